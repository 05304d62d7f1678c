//! What clients did, and whether an order of it explains what they were told.

use std::collections::BTreeSet;

/// What a client did to a register. Values are never written twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Read(Option<u64>),
    Write(u64),
    Cas(u64, u64),
}

/// An operation: when it began, when it ended if anybody knows, and what it was.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub began: u64,
    pub ended: Option<u64>,
    pub act: Act,
}

/// Whether there is an order of the operations in which each takes effect between its beginning and
/// its end. Those without an end may take effect at any later time, or never.
pub fn is_linearizable(operations: &[Operation]) -> bool {
    assert!(
        operations.len() <= 128,
        "the search remembers what is done in 128 bits"
    );
    let must = (0..operations.len())
        .filter(|&i| operations[i].ended.is_some())
        .fold(0u128, |all, i| all | 1 << i);
    let mut seen = BTreeSet::from([(0u128, None)]);
    let mut open = vec![(0u128, None)];
    while let Some((done, value)) = open.pop() {
        if done & must == must {
            return true;
        }
        // Whatever is next began before the first end of those that are not done yet.
        let waiting = |i: &usize| done & (1 << i) == 0;
        let limit = (0..operations.len())
            .filter(waiting)
            .filter_map(|i| operations[i].ended)
            .min();
        for i in (0..operations.len()).filter(waiting) {
            if limit.is_some_and(|limit| operations[i].began > limit) {
                continue;
            }
            let next = match operations[i].act {
                Act::Read(read) if read == value => value,
                Act::Write(written) => Some(written),
                Act::Cas(expected, written) if value == Some(expected) => Some(written),
                _ => continue,
            };
            let state = (done | 1 << i, next);
            if seen.insert(state) {
                open.push(state);
            }
        }
    }
    false
}

fn op(began: u64, ended: u64, act: Act) -> Operation {
    Operation {
        began,
        ended: (ended != 0).then_some(ended),
        act,
    }
}

#[test]
fn a_read_must_see_a_write_that_ended_before_it() {
    let write = op(1, 2, Act::Write(7));
    assert!(is_linearizable(&[write, op(3, 4, Act::Read(Some(7)))]));
    assert!(!is_linearizable(&[write, op(3, 4, Act::Read(None))]));
    assert!(is_linearizable(&[write, op(1, 4, Act::Read(None))]));
}

#[test]
fn what_nobody_knows_may_have_happened_at_any_time_or_not() {
    let lost = op(1, 0, Act::Write(7));
    assert!(is_linearizable(&[
        lost,
        op(3, 4, Act::Read(None)),
        op(5, 6, Act::Read(Some(7)))
    ]));
    assert!(is_linearizable(&[lost, op(3, 4, Act::Read(None))]));
    assert!(!is_linearizable(&[
        lost,
        op(3, 4, Act::Read(Some(7))),
        op(5, 6, Act::Read(None))
    ]));
}

#[test]
fn compare_and_set_needs_what_it_expects() {
    let write = op(1, 2, Act::Write(1));
    assert!(is_linearizable(&[
        write,
        op(3, 4, Act::Cas(1, 2)),
        op(5, 6, Act::Read(Some(2)))
    ]));
    assert!(!is_linearizable(&[write, op(3, 4, Act::Cas(3, 2))]));
}
