//! Threads hand numbers through a bounded queue without locks. Shows assertions that several threads
//! reach, and gives exploration races to look into: with several processors, chaosrun decides which
//! thread goes on after each instruction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use chaosrun_sdk::{
    assert_always, assert_always_greater_than, assert_sometimes, buggify, publish, random,
};
use serde_json::json;

/// Few slots, so that the queue is often full.
const SLOTS: usize = 4;

/// A queue of numbers for any number of threads. Each slot has a ticket: it may be written when its
/// ticket is the position of a push, and read when its ticket is one more than that of a pop.
struct Queue {
    slots: [Slot; SLOTS],
    pushes: AtomicU64,
    pops: AtomicU64,
}

struct Slot {
    ticket: AtomicU64,
    value: AtomicU64,
}

impl Queue {
    fn new() -> Self {
        Self {
            slots: std::array::from_fn(|number| Slot {
                ticket: AtomicU64::new(number as u64),
                value: AtomicU64::new(0),
            }),
            pushes: AtomicU64::new(0),
            pops: AtomicU64::new(0),
        }
    }

    /// Adds a value; false if the queue is full.
    fn push(&self, value: u64) -> bool {
        let Some((position, slot)) = self.claim(&self.pushes, 0) else {
            return false;
        };
        // Between claim and ticket the slot is ours; to be slow here is what finds bugs.
        if buggify!("a push is interrupted", 1, 8) {
            thread::yield_now();
        }
        slot.value.store(value, Ordering::Relaxed);
        slot.ticket.store(position + 1, Ordering::Release);
        true
    }

    /// Takes the oldest value; none if the queue is empty.
    fn pop(&self) -> Option<u64> {
        let (position, slot) = self.claim(&self.pops, 1)?;
        let value = slot.value.load(Ordering::Relaxed);
        slot.ticket
            .store(position + SLOTS as u64, Ordering::Release);
        Some(value)
    }

    /// Takes the next position of a counter, if its slot has the ticket `position + ahead`.
    fn claim(&self, counter: &AtomicU64, ahead: u64) -> Option<(u64, &Slot)> {
        let mut position = counter.load(Ordering::Relaxed);
        loop {
            let slot = &self.slots[position as usize % SLOTS];
            let ticket = slot.ticket.load(Ordering::Acquire);
            if ticket < position + ahead {
                return None;
            }
            // A higher ticket says that another thread was here since the counter was read.
            let next = position + u64::from(ticket == position + ahead);
            match counter.compare_exchange_weak(
                position,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) if next > position => return Some((position, slot)),
                Ok(now) | Err(now) => position = now,
            }
        }
    }
}

/// Each of the threads pushes `count` numbers and pops as many.
pub fn run(threads: u64, count: u64) {
    let queue = Queue::new();
    fill_and_drain(&queue);
    let popped: Vec<Vec<u64>> = thread::scope(|scope| {
        let queue = &queue;
        let threads: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || work(queue, thread, count)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_default())
            .collect()
    });
    judge(&popped, threads, count);
    publish("numbers through the queue", threads * count);
}

/// One thread after the other, so that both ends of the queue are seen in each run.
fn fill_and_drain(queue: &Queue) {
    let mut value = 0;
    while queue.push(value) {
        value += 1;
    }
    assert_sometimes!(
        value == SLOTS as u64,
        "the queue becomes full",
        &json!({ "values": value })
    );
    for expected in 0..value {
        let got = queue.pop();
        assert_always!(
            got == Some(expected),
            "the queue keeps the order",
            &json!({ "expected": expected, "got": got })
        );
    }
    assert_sometimes!(queue.pop().is_none(), "the queue becomes empty");
}

/// Pushes the thread's own numbers, in order, and pops whatever comes.
fn work(queue: &Queue, thread: u64, count: u64) -> Vec<u64> {
    let mut popped = Vec::new();
    let mut pushed = 0;
    while pushed < count || (popped.len() as u64) < count {
        // Which comes first is a decision of chaosrun's.
        let push_first = random::below(2) == 0;
        let mut moved = false;
        for push in [push_first, !push_first] {
            if push && pushed < count && queue.push(thread << 32 | pushed) {
                pushed += 1;
                moved = true;
            } else if !push && (popped.len() as u64) < count {
                let value = queue.pop();
                moved |= value.is_some();
                popped.extend(value);
            }
        }
        if !moved {
            thread::yield_now();
        }
    }
    popped
}

/// Each number came out once, and those of one thread in their order.
fn judge(popped: &[Vec<u64>], threads: u64, count: u64) {
    let mut all: Vec<u64> = popped.iter().flatten().copied().collect();
    all.sort_unstable();
    let expected: Vec<u64> = (0..threads)
        .flat_map(|thread| (0..count).map(move |number| thread << 32 | number))
        .collect();
    assert_always!(
        all == expected,
        "each number comes out of the queue once",
        &json!({ "expected": expected.len(), "got": all.len() })
    );
    for consumer in popped {
        let mut last = vec![-1; threads as usize];
        for value in consumer {
            let (producer, number) = ((value >> 32) as usize, (value & 0xffff_ffff) as i64);
            if let Some(last) = last.get_mut(producer) {
                assert_always_greater_than!(
                    number,
                    *last,
                    "numbers of one thread keep their order"
                );
                *last = number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_refuses_when_full_and_when_empty() {
        let queue = Queue::new();
        assert_eq!(queue.pop(), None);
        for round in 0..10 {
            for number in 0..SLOTS as u64 {
                assert!(queue.push(round * 10 + number));
            }
            assert!(!queue.push(99));
            for number in 0..SLOTS as u64 {
                assert_eq!(queue.pop(), Some(round * 10 + number));
            }
            assert_eq!(queue.pop(), None);
        }
    }

    #[test]
    fn numbers_of_many_threads_all_arrive() {
        let queue = Queue::new();
        let popped: Vec<Vec<u64>> = thread::scope(|scope| {
            let queue = &queue;
            let threads: Vec<_> = (0..4)
                .map(|thread| scope.spawn(move || work(queue, thread, 500)))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let mut all: Vec<u64> = popped.into_iter().flatten().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2000);
    }
}
