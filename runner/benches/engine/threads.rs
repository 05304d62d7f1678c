//! What threads bring when there is one run: the time of the whole run, with one thread and with one for each
//! core, as `chaosrun --replay none --jobs N` takes it.

use std::time::{Duration, Instant};

use chaosrun::artifact::node_image::node_images;
use chaosrun::artifact::{Progress as Told, Store};
use chaosrun::plan::Compiled;
use chaosrun::run::campaign::{Board, Task, TaskError, campaign};
use chaosrun::run::{End, Outcome, Progress};
use chaosrun_vmm::engine::EngineOptions;
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::world::Boots;

use super::{RUNS, cluster};

/// Fifty nodes that boot, and do nothing then.
const FIFTY: &str = r#"
scenario "fifty" schema=1 {
    kernel "tiny"
    network "lan" latency="1ms"
    node "n" replicas=50 { memory "64MiB"; network "lan"; console loglevel=7 }
    ready console="Run /init" within="60s"
    run duration="100ms"
}
"#;

struct Unwatched;

impl Board for Unwatched {
    fn begin(&self, _: usize) {}

    fn progress(&self, _: usize, _: Progress) -> Option<String> {
        None
    }

    fn end(&self, _: usize, _: &Result<Outcome, TaskError>) -> bool {
        true
    }
}

/// Prints medians for many nodes and for few.
pub fn report() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (name, text) in [
        ("50 nodes boot", FIFTY.to_owned()),
        ("raft, 4 nodes", cluster::SCENARIO.replace("KERNEL", "tiny")),
    ] {
        let compiled = cluster::compiled(&text);
        let mut hashes = Vec::new();
        let mut median = |jobs| {
            let mut times: Vec<Duration> = (0..RUNS)
                .map(|_| {
                    let (took, hash) = once(&compiled, jobs);
                    hashes.push(hash);
                    took
                })
                .collect();
            times.sort_unstable();
            times[RUNS / 2].as_secs_f64()
        };
        let (one, all) = (median(1), median(cores));
        println!(
            "threads, {name}: {one:.2} s on one, {all:.2} s on {cores}, {:.2} times as fast",
            one / all
        );
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:x?}");
    }
}

/// How long the run takes, and the last of its chain of state hashes.
#[allow(
    clippy::disallowed_methods,
    reason = "measures the host's time and has no part in what is simulated"
)]
fn once(compiled: &Compiled, jobs: usize) -> (Duration, Option<u128>) {
    let store = Store::open(Told::Silent).expect("there is a cache");
    let images = node_images(&store, &compiled.plan, &compiled.origins).expect("it can be built");
    let task = Task {
        plan: &compiled.plan,
        images: &images,
        tape: &Tape::new(1),
        engine_options: EngineOptions::default(),
        captures: None,
        boots: &Boots::fresh(),
        jumps: None,
    };
    let begin = Instant::now();
    let outcomes = campaign(&[task], jobs, &Unwatched, &|_, outcome| outcome);
    let took = begin.elapsed();
    let outcome = outcomes.into_iter().next().flatten().expect("it has begun");
    let outcome = outcome.expect("the world works");
    assert_eq!(outcome.end, End::Complete);
    (took, outcome.chain.last().map(|hash| hash.chain))
}
