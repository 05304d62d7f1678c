//! Nodes that are bound to processors of the host.

use super::*;
use crate::affinity;

/// A node that tells where it may run, again and again, and has something to do in between.
fn teller(index: usize, pin: &[u32]) -> Script {
    let tell = (0..10).map(|n| (n * 2 * MILLI, Act::Processors));
    let work = (0..20).map(|n| (n * MILLI, Act::Flush));
    Script {
        pin: pin.to_vec(),
        ..Script::new(index, tell.chain(work).collect())
    }
}

#[test]
fn a_node_runs_where_it_is_bound_to_and_the_others_do_not() {
    let all = affinity::allowed();
    let last = all[all.len() - 1];
    for jobs in 1..=3 {
        let scripts = vec![teller(0, &[]), teller(1, &[last]), teller(2, &all)];
        let mut world = world(scripts, plain(), 1, jobs);
        run_to(&mut world, 30 * MILLI);
        let messages = messages(&mut world);
        assert_eq!(messages.len(), 30);
        for (_, node, text) in messages {
            let expected = if node == 1 { &[last][..] } else { &all };
            assert_eq!(text, format!("{expected:?}"), "node {node}, {jobs} threads");
        }
        assert_eq!(affinity::allowed(), all);
    }
}

#[test]
fn where_nodes_are_bound_to_makes_no_difference() {
    let all = affinity::allowed();
    let run = |pin: &[u32]| {
        let chatter = |index| Script {
            pin: pin.to_vec(),
            ..Script::new(index, vec![(1000, Act::Chatter(2, 50_000))])
        };
        let mut world = world(vec![chatter(0), chatter(1)], plain(), 7, 2);
        run_to(&mut world, 20 * MILLI);
        (world.state_hash().unwrap(), world.counters())
    };
    let free = run(&[]);
    assert!(!free.1.networks[0].links.is_empty());
    assert_eq!(run(&[all[0]]), free);
    assert_eq!(run(&all), free);
}

#[test]
fn a_processor_that_the_host_lacks_is_refused_with_the_node() {
    let missing = 4095;
    let blueprints = vec![
        blueprint(teller(0, &[])),
        blueprint(teller(1, &[affinity::allowed()[0], missing])),
    ];
    let tape = Arc::new(Tape::new(1));
    let error = World::assemble(blueprints, vec![plain()], &tape, Pool::new(1)).err();
    let text = error.expect("there is no such processor").to_string();
    assert!(text.contains("`n1`") && text.contains("4095"), "{text}");
}
