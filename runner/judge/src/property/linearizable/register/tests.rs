//! The search against one that does without its cleverness, and at the size that it is made for.

use super::passes::once;
use super::*;
use crate::property::linearizable::smallest::{part_of, smallest, without};
use crate::property::linearizable::{LIMITS, wing_gong::has_order};

/// A small generator of numbers; its quality does not matter.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

type Timed = (Op, u64, u64);

fn edges(timed: &[Timed]) -> (Vec<Op>, Vec<Edge>) {
    let mut all = Vec::new();
    for (at, (op, begin, end)) in timed.iter().enumerate() {
        all.push((*begin, false, at));
        if !op.optional {
            all.push((*end, true, at));
        }
    }
    all.sort_unstable();
    let edge = |(_, ends, at)| {
        if ends {
            Edge::Return(at)
        } else {
            Edge::Invoke(at)
        }
    };
    let ops = timed.iter().map(|(op, ..)| *op).collect();
    (ops, all.into_iter().map(edge).collect())
}

/// A history of up to eleven operations of all kinds, few of which have an order.
fn small(numbers: &mut Numbers) -> Vec<Timed> {
    let count = 2 + numbers.below(10);
    let (values, span, length) = (
        2 + numbers.below(5),
        5 + numbers.below(30),
        1 + numbers.below(20),
    );
    let unknown = [2, 4, 8, 1_000][numbers.below(4) as usize];
    let kinds = [5, 7, 8, 9, 10][numbers.below(5) as usize];
    let mut out = Vec::new();
    for _ in 0..count {
        let begin = numbers.below(span);
        let end = begin + numbers.below(length);
        let (a, b) = (numbers.below(values) as u32, numbers.below(values) as u32);
        let (guard, put) = match numbers.below(kinds) {
            0..=2 => (Guard::Is(a), None),
            3 | 4 => (Guard::Any, Some(a)),
            5 | 6 => (Guard::Is(a), (a != b).then_some(b)),
            7 => (Guard::IsNot(a), None),
            8 => (Guard::IsNot(a), Some(a)),
            _ => (Guard::Any, Some(ABSENT)),
        };
        let can = put.is_some() && !matches!(guard, Guard::IsNot(_));
        let op = Op {
            action: Action { guard, put },
            optional: can && numbers.below(unknown) == 0,
        };
        out.push((op, begin, end));
    }
    out
}

#[test]
fn every_search_agrees_with_one_that_tries_all_orders() {
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    let mut with_order = 0;
    for _ in 0..60_000 {
        let timed = small(&mut numbers);
        let (ops, edges) = edges(&timed);
        let expected = has_order(&ops, &edges, u64::MAX).expect("it has no bound");
        with_order += u32::from(expected);
        for found in [search(&ops, &edges, LIMITS).0, once(&ops, &edges, LIMITS).0] {
            match found {
                Found::Order => assert!(expected, "{timed:#?}"),
                Found::Violation { .. } => assert!(!expected, "{timed:#?}"),
                Found::GaveUp { why, .. } => panic!("{why}: {timed:#?}"),
            }
        }
    }
    assert!((5_000..55_000).contains(&with_order), "{with_order}");
}

#[test]
fn the_smallest_part_has_no_order_by_itself_and_loses_that_with_any_operation() {
    let mut numbers = Numbers(0x0fed_cba9_8765_4321);
    let mut found = 0;
    let (mut smaller, mut left_out) = (0, 0);
    while found < 5_000 {
        let timed = small(&mut numbers);
        let (ops, all) = edges(&timed);
        let (Found::Violation { op, .. }, _) = search(&ops, &all, LIMITS) else {
            continue;
        };
        found += 1;
        let part = smallest(&ops, &all, op);
        let part = part.unwrap_or_else(|| panic!("none found near {op} of {timed:#?}"));
        assert!(
            part.minimal && part.ops.contains(&part.unexplained),
            "{part:?}"
        );
        smaller += u32::from(part.ops.len() < ops.len());
        for op in &part.ops {
            if let Some((ops, edges)) = without(&ops, &all, &part, *op) {
                left_out += 1;
                let order = has_order(&ops, &edges, u64::MAX);
                assert_eq!(order, Some(true), "{op} of {part:?} of {timed:#?}");
            }
        }
        let alone: Vec<Timed> = part.ops.iter().map(|op| timed[*op]).collect();
        let (ops, all) = edges(&alone);
        assert_eq!(
            has_order(&ops, &all, u64::MAX),
            Some(false),
            "{part:?} of {timed:#?}"
        );
    }
    assert!(smaller > 4_000, "{smaller}");
    assert!(left_out > 5_000, "{left_out}");
}

/// The rule by which parts leave operations out: those of a part, what they can have seen, and nothing else.
#[test]
fn a_history_with_an_order_has_no_part_without_one() {
    let mut numbers = Numbers(0x5eed_0123_4567_89ab);
    let (mut none, mut some) = (0, 0);
    for _ in 0..40_000 {
        let timed = small(&mut numbers);
        let (ops, all) = edges(&timed);
        let mut of: Vec<usize> = (0..ops.len()).collect();
        of.retain(|_| numbers.below(3) > 0);
        let cut = numbers.below(all.len() as u64 + 1) as usize;
        let part = part_of(&ops, &all, &of, cut);
        if has_order(&part.0, &part.1, u64::MAX) == Some(false) {
            none += 1;
            let whole = has_order(&ops, &all, u64::MAX);
            assert_eq!(whole, Some(false), "{of:?} up to {cut} of {timed:#?}");
        } else {
            some += 1;
        }
    }
    assert!(none > 5_000 && some > 5_000, "{none} and {some}");
}

#[test]
fn a_stale_read_is_shown_with_the_write_that_it_misses_and_nothing_else() {
    let op = |guard, put| Op {
        action: Action { guard, put },
        optional: false,
    };
    let write = |value| op(Guard::Any, Some(value));
    let read = |value| op(Guard::Is(value), None);
    let mut timed = Vec::new();
    for at in 0..50 {
        timed.push((write(at + 1), 10 * u64::from(at), 10 * u64::from(at) + 3));
        timed.push((read(at + 1), 10 * u64::from(at) + 4, 10 * u64::from(at) + 7));
    }
    timed[81].0 = read(40);
    let (ops, edges) = edges(&timed);
    let (Found::Violation { op, .. }, _) = search(&ops, &edges, LIMITS) else {
        panic!("not found");
    };
    let part = smallest(&ops, &edges, op).expect("it is found");
    assert_eq!(
        (part.ops.as_slice(), part.unexplained),
        ([80, 81].as_slice(), 81)
    );
    assert!(part.any_start && part.minimal);
}

#[test]
fn the_bounds_are_counts_and_say_what_they_are() {
    let mut timed = Vec::new();
    for at in 0..40 {
        let op = |guard, put| Op {
            action: Action { guard, put },
            optional: false,
        };
        timed.push((op(Guard::IsNot(at), Some(at)), 0, 100 + u64::from(at)));
        timed.push((op(Guard::Is(at), None), 0, 200));
    }
    let (ops, edges) = edges(&timed);
    let limits = Limits {
        steps: 1_000,
        ..LIMITS
    };
    let found = search(&ops, &edges, limits);
    let Found::GaveUp { why, .. } = &found.0 else {
        panic!("{found:?}");
    };
    assert!(why.contains("steps"), "{why}");
    assert_eq!(found, search(&ops, &edges, limits), "the same on each host");
}
