//! A scenario with a fault and the same without, run from its text to what the guest told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use chaosrun::artifact::HostFiles;
use chaosrun::artifact::node_image::{NodeImage, node_images};
use chaosrun::artifact::{Progress, Store};
use chaosrun::outcome::event::EventKind;
use chaosrun::plan::{Compiled, compile_all};
use chaosrun::property::Judgement;
use chaosrun::run::cluster::Means;
use chaosrun::run::{End, Outcome, Setup, Unwatched, cluster, run};
use chaosrun::scenario::diag::{Rendering, render};
use chaosrun::scenario::load_text;
use chaosrun::scenario::source::Language;
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::world::{Boots, Checkpoint, World};
use serde_json::Value;

/// Nanoseconds of a millisecond.
pub const MILLI: u64 = 1_000_000;

/// Defines a test for each kind of fault and the list of kinds that have one. In the block, `$with` and
/// `$without` are what was seen with the faults and without.
///
/// ```text
/// faults! { BASE;
///     "kind" => name_of_the_test, faults, |with, without| { assert!(..) }
///     "kind" => name_of_the_test, faults, control, |with, without| { assert!(..) }
/// }
/// ```
macro_rules! faults {
    ($base:expr; $($kind:literal => $name:ident, $faults:literal $(- $control:literal)?,
        |$with:ident, $without:ident| $body:block)+) => {
        /// The kinds that have a test here.
        pub const TESTED: &[&str] = &[$($kind),+];
        $(
            #[test]
            fn $name() {
                let control = concat!("" $(, $control)?);
                let ($with, $without) = crate::pair::pair($base, $kind, $faults, control);
                $body
            }
        )+
    };
}
pub(crate) use faults;

/// What the guests of a run told.
pub struct Seen {
    outcome: Outcome,
}

/// An SDK event of a guest.
#[derive(Debug, Clone)]
pub struct Told {
    /// World time since all nodes were ready, in milliseconds.
    pub at_ms: u64,
    pub details: Value,
}

impl Told {
    pub fn number(&self, key: &str) -> i64 {
        let value = &self.details[key];
        value
            .as_i64()
            .unwrap_or_else(|| panic!("{key} is no number in {}", self.details))
    }

    pub fn text(&self, key: &str) -> &str {
        self.details[key].as_str().unwrap_or_default()
    }
}

impl Seen {
    /// The events of this name, in the order of time, from when all nodes were ready.
    pub fn events(&self, name: &str) -> Vec<Told> {
        let ready = self.outcome.ready_ns.unwrap_or(0);
        let events = self.outcome.events.iter();
        events
            .filter_map(|event| match &event.kind {
                EventKind::Guest {
                    name: other,
                    details,
                } if other == name => Some(Told {
                    at_ms: event.vtime_ns.checked_sub(ready)? / MILLI,
                    details: details.clone(),
                }),
                _ => None,
            })
            .collect()
    }

    /// The events of this name that came in these milliseconds.
    pub fn between(&self, name: &str, from_ms: u64, to_ms: u64) -> Vec<Told> {
        let mut events = self.events(name);
        events.retain(|told| (from_ms..to_ms).contains(&told.at_ms));
        assert!(
            !events.is_empty(),
            "no `{name}` in {from_ms}..{to_ms} ms; consoles:\n{}",
            self.consoles()
        );
        events
    }

    /// What went wrong, and what the consoles showed.
    fn problems(&self) -> String {
        let judgements = self.outcome.judgements.iter();
        let failed = judgements.filter(|judgement| judgement.failure.is_some());
        let reasons: Vec<&str> = failed.map(|judgement| judgement.reason.as_str()).collect();
        format!("{reasons:?}, consoles:\n{}", self.consoles())
    }

    /// Makes sure that no property is violated.
    pub fn none_failed(&self) {
        let failed = |judgement: &Judgement| judgement.failure.is_some();
        assert!(
            !self.outcome.judgements.iter().any(failed),
            "{}",
            self.problems()
        );
    }

    /// What the consoles showed.
    pub fn consoles(&self) -> String {
        let all = self.outcome.consoles.iter();
        all.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }
}

/// Runs `base`, in which `FAULTS` stands for the faults, with `faults` and with `control`, and makes sure
/// that a fault of this kind was injected in the first run only.
pub fn pair(base: &str, kind: &str, faults: &str, control: &str) -> (Arc<Seen>, Arc<Seen>) {
    let (with, without) = (seen(base, faults), seen(base, control));
    let injected = |seen: &Seen| seen.outcome.faults.get(kind).copied().unwrap_or(0);
    assert!(injected(&with) > 0, "no {kind} was injected");
    assert_eq!(injected(&without), 0, "the control has a {kind}, too");
    (with, without)
}

/// What was seen of a scenario without faults.
pub fn alone(base: &str) -> Arc<Seen> {
    seen(base, "")
}

/// What was seen with these faults. Several tests share a control, so each scenario runs once.
fn seen(base: &str, faults: &str) -> Arc<Seen> {
    type Slot = Arc<OnceLock<Arc<Seen>>>;
    static RUNS: Mutex<BTreeMap<String, Slot>> = Mutex::new(BTreeMap::new());
    let text = base.replace("FAULTS", &format!("faults {{ {faults} }}"));
    let slot = RUNS
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .entry(text.clone())
        .or_default()
        .clone();
    slot.get_or_init(|| Arc::new(run_text(base, &text))).clone()
}

/// What became of `base`, in which `FAULTS` stands for the faults.
pub fn outcome(base: &str, faults: &str) -> Outcome {
    let text = base.replace("FAULTS", &format!("faults {{ {faults} }}"));
    let compiled = compiled(&text);
    run_on(&compiled, &images(base, &compiled))
}

/// The guest events of this name of a node, with their moments in nanoseconds since power-on.
pub fn told_by(outcome: &Outcome, node: &str, name: &str) -> Vec<(u64, Value)> {
    let of_node = outcome.events.iter();
    let of_node = of_node.filter(|event| event.node.as_deref() == Some(node));
    of_node
        .filter_map(|event| match &event.kind {
            EventKind::Guest {
                name: other,
                details,
            } if other == name => Some((event.vtime_ns, details.clone())),
            _ => None,
        })
        .collect()
}

fn run_text(base: &str, text: &str) -> Seen {
    let compiled = compiled(text);
    let images = images(base, &compiled);
    let outcome = run_on(&compiled, &images);
    let seen = Seen { outcome };
    let end = &seen.outcome.end;
    assert_eq!(*end, End::Complete, "{}", seen.problems());
    let failed = seen.events("command failed");
    assert!(failed.is_empty(), "init could not do it: {failed:?}");
    seen
}

/// Runs a plan whose nodes boot `images`.
pub fn run_on(compiled: &Compiled, images: &[NodeImage]) -> Outcome {
    static BOOTS: LazyLock<Boots> = LazyLock::new(|| Boots::once(None));
    run_with(compiled, images, &BOOTS)
}

/// The same, with these boots.
pub fn run_with(compiled: &Compiled, images: &[NodeImage], boots: &Boots) -> Outcome {
    let tape = Tape::new(compiled.plan.run.seed_first);
    let world = world(compiled, images, &tape, boots);
    let setup = Setup {
        plan: &compiled.plan,
        tape: &tape,
        world,
    };
    run(setup, &mut Unwatched).expect("the world works")
}

/// The world of a plan.
pub fn world(compiled: &Compiled, images: &[NodeImage], tape: &Tape, boots: &Boots) -> World {
    let means = Means {
        boots: boots.clone(),
        ..Means::default()
    };
    cluster::world(&compiled.plan, images, tape, means).expect("the cluster is possible")
}

/// Another world of a plan, which goes on from a checkpoint.
pub fn forked(
    compiled: &Compiled,
    images: &[NodeImage],
    tape: &Tape,
    boots: &Boots,
    from: &Checkpoint,
) -> World {
    let means = Means {
        boots: boots.clone(),
        ..Means::default()
    };
    cluster::fork(&compiled.plan, images, tape, means, from).expect("the cluster is possible")
}

/// The plan of a scenario.
pub fn compiled(text: &str) -> Compiled {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests");
    let mut loaded = load_text(text, Language::Kdl, "fault.kdl", &folder);
    let files = HostFiles {
        kernels: BTreeMap::new(),
        presence_only: false,
    };
    let mut plans = compile_all(&mut loaded, &files);
    let diags = std::mem::take(&mut loaded.diags).into_sorted();
    let problems = render(&loaded.sources, &diags, Rendering::Json);
    assert_eq!(plans.len(), 1, "{problems}");
    plans.remove(0)
}

/// What the nodes of a base boot, which does not depend on the faults.
pub fn images(base: &str, compiled: &Compiled) -> Arc<Vec<NodeImage>> {
    static IMAGES: Mutex<BTreeMap<String, Arc<Vec<NodeImage>>>> = Mutex::new(BTreeMap::new());
    let mut all = IMAGES
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let images = all.entry(base.to_owned()).or_insert_with(|| {
        let store = Store::open(Progress::Silent).expect("there is a cache");
        let images = node_images(&store, &compiled.plan, &compiled.origins);
        Arc::new(images.unwrap_or_else(|error| panic!("the images cannot be made: {error:?}")))
    });
    images.clone()
}
