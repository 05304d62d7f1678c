//! How fast three Raft nodes and a client simulate, from when all are ready.

use std::path::Path;
use std::time::{Duration, Instant};

use chaosrun::artifact::HostFiles;
use chaosrun::artifact::node_image::node_images;
use chaosrun::artifact::{Progress as Told, Store};
use chaosrun::plan::{Compiled, compile_all};
use chaosrun::run::cluster::Means;
use chaosrun::run::{Progress, Setup, Watch, cluster, run};
use chaosrun::scenario::load_text;
use chaosrun::scenario::source::Language;
use chaosrun_vmm::tape::Tape;

use super::RUNS;

/// Seconds of virtual time after everybody is ready.
const SPAN: u32 = 10;

/// The cluster of `scenarios/raft.kdl` without its faults.
pub const SCENARIO: &str = r#"
scenario "speed" schema=1 {
    kernel "KERNEL"
    guest "raft" crate="raft"
    guest "raft-client" crate="raft" { args "client" }
    network "lan" latency="1ms" jitter="200us" bandwidth="1Gbit"
    node "n1" "n2" "n3" {
        guest "raft"
        memory "128MiB"
        disk "data" size="16MiB"
        network "lan"
    }
    node "client" { guest "raft-client"; memory "128MiB"; network "lan" }
    ready within="60s"
    run duration="10s"
}
"#;

/// Notes when all nodes were ready.
#[derive(Default)]
struct Stopwatch {
    ready: Option<Instant>,
    before: u64,
    after: u64,
}

#[allow(
    clippy::disallowed_methods,
    reason = "measures the host's time and has no part in what is simulated"
)]
impl Watch for Stopwatch {
    fn look(&mut self, progress: Progress) -> Option<String> {
        if progress.ready_ns.is_some() && self.ready.is_none() {
            self.ready = Some(Instant::now());
            self.before = progress.instructions;
        }
        self.after = progress.instructions;
        None
    }
}

/// Prints medians for both kernels, on one thread.
pub fn report() {
    for kernel in ["tiny", "debian"] {
        let compiled = compiled(&SCENARIO.replace("KERNEL", kernel));
        let mut runs: Vec<(Duration, u64)> = (0..RUNS).map(|_| once(&compiled)).collect();
        runs.sort_unstable();
        let (took, instructions) = runs[RUNS / 2];
        let seconds = took.as_secs_f64();
        println!(
            "cluster, {kernel}: {:.1} virtual seconds per second, {:.0} MIPS ({:.1} to {:.1})",
            f64::from(SPAN) / seconds,
            instructions as f64 / seconds / 1e6,
            f64::from(SPAN) / runs[RUNS - 1].0.as_secs_f64(),
            f64::from(SPAN) / runs[0].0.as_secs_f64(),
        );
    }
}

/// The time that the virtual seconds took, and the instructions of all nodes in them.
fn once(compiled: &Compiled) -> (Duration, u64) {
    let store = Store::open(Told::Silent).expect("there is a cache");
    let images = node_images(&store, &compiled.plan, &compiled.origins).expect("it can be built");
    let tape = Tape::new(1);
    let world = cluster::world(&compiled.plan, &images, &tape, Means::default());
    let setup = Setup {
        plan: &compiled.plan,
        tape: &tape,
        world: world.expect("the cluster is possible"),
    };
    let mut watch = Stopwatch::default();
    run(setup, &mut watch).expect("the world works");
    let ready = watch.ready.expect("the nodes get ready");
    (ready.elapsed(), watch.after - watch.before)
}

/// The plan of a scenario whose crates are those of `guests`.
pub fn compiled(text: &str) -> Compiled {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests");
    let mut loaded = load_text(text, Language::Kdl, "speed.kdl", &folder);
    let files = HostFiles {
        kernels: Default::default(),
        presence_only: false,
    };
    compile_all(&mut loaded, &files)
        .pop()
        .expect("the scenario is right")
}
