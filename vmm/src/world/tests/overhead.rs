//! What windows cost. Nothing is asserted about time; the figures are for people.

use std::time::Instant;

use super::*;

/// Runs a world up to a moment and prints what a window took on average.
#[allow(
    clippy::disallowed_methods,
    reason = "measures the host's time and has no part in what is simulated"
)]
fn measure(what: &str, mut world: World, until: u64) {
    let (begin, mut windows) = (Instant::now(), 0u64);
    while world.now().0 < until {
        world.step(VirtTime(until)).unwrap();
        windows += 1;
    }
    let took = begin.elapsed();
    let counters = world.counters();
    let frames = counters.networks[0].switch.frames;
    let events = world.take_events().len();
    eprintln!(
        "  {frames} frames, {events} events, {} M instructions",
        world.retired() / 1_000_000
    );
    let each = took.as_nanos() / u128::from(windows);
    eprintln!("{what}: {windows} windows, {each} ns each, {took:?} for {until} ns");
}

/// Nodes that each do something small every millisecond, at different moments.
fn ticking(nodes: usize, jobs: usize) -> World {
    let scripts = (0..nodes)
        .map(|index| {
            let offset = index as u64 * 100 * MICRO;
            let ticks = (0..10_000).map(|n| (n * MILLI + offset, Act::Flush));
            Script::new(index, ticks.collect())
        })
        .collect();
    world(scripts, plain(), 1, jobs)
}

#[test]
#[ignore = "prints how long windows take; run it with --release and --nocapture"]
fn windows_of_nodes_with_little_to_do() {
    for nodes in [1, 3, 5, 20] {
        measure(
            &format!("{nodes} ticking nodes"),
            ticking(nodes, 1),
            10 * SECOND,
        );
    }
    measure("5 ticking nodes, 2 threads", ticking(5, 2), 10 * SECOND);
    let chatter = |jobs| {
        let scripts = (0..5).map(|index| Script::new(index, vec![(0, Act::Chatter(5, MILLI))]));
        world(scripts.collect(), plain(), 1, jobs)
    };
    measure("5 nodes that send frames", chatter(1), SECOND);
    measure(
        "5 nodes that send frames, 2 threads",
        chatter(2),
        5 * SECOND,
    );
}
