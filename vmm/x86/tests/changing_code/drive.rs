//! Machines of one program on two threads, each interpreted and compiled side by side.

use std::thread;

use chaosrun_x86::{Activity, CodeStore, Exit};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::guest::Guest;
use crate::layout::*;

/// Machines on each thread, and how many instructions each retires at least.
const MACHINES: u64 = 2;
const INSTRUCTIONS: u64 = 60_000;

/// A guest that fails so often has lost itself.
const RESTARTS: u64 = 60;

/// What happened.
#[derive(Debug, Default)]
pub struct Numbers {
    programs: u64,
    guests: u64,
    instructions: u64,
    pieces: u64,
    compared_completely: u64,
    interrupts: u64,
    steps: u64,
    writes_from_outside: u64,
    restarts: u64,
    blocks_compiled: u64,
    blocks_adopted: u64,
    pages_bound: u64,
    pages_unbound: u64,
    stores_forgotten: u64,
    foreign_returns: u64,
    stale_landings_forgotten: u64,
}

impl Numbers {
    /// Adds what happened elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.programs += other.programs;
        self.guests += other.guests;
        self.instructions += other.instructions;
        self.pieces += other.pieces;
        self.compared_completely += other.compared_completely;
        self.interrupts += other.interrupts;
        self.steps += other.steps;
        self.writes_from_outside += other.writes_from_outside;
        self.restarts += other.restarts;
        self.blocks_compiled += other.blocks_compiled;
        self.blocks_adopted += other.blocks_adopted;
        self.pages_bound += other.pages_bound;
        self.pages_unbound += other.pages_unbound;
        self.stores_forgotten += other.stores_forgotten;
        self.foreign_returns += other.foreign_returns;
        self.stale_landings_forgotten += other.stale_landings_forgotten;
    }

    /// Fails if something never happened that the guests are there for.
    pub fn assert_all_happened(&self) {
        let rare = [
            self.interrupts,
            self.steps,
            self.writes_from_outside,
            self.stores_forgotten,
            self.foreign_returns,
            self.stale_landings_forgotten,
        ];
        assert!(rare.iter().all(|&count| count > 100), "{self:#?}");
        // Most of it is executed compiled, and most guests do what they were made for.
        assert!(self.blocks_compiled > 100 * self.guests, "{self:#?}");
        assert!(self.pages_unbound > 50 * self.guests, "{self:#?}");
        assert!(self.restarts < 20 * self.guests, "{self:#?}");
    }
}

/// Tells the seed if the thread panics.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "this was CHAOSRUN_HUNT_SEED={} CHAOSRUN_HUNT_COUNT=1",
                self.0
            );
        }
    }
}

/// Runs the machines of the program of a seed.
pub fn hunt(seed: u64) -> Numbers {
    let store = CodeStore::default();
    let mut numbers = Numbers {
        programs: 1,
        ..Numbers::default()
    };
    thread::scope(|scope| {
        let store = &store;
        let work = |number| {
            move || {
                let _told = Told(seed);
                run_thread(seed, number, store)
            }
        };
        let threads = [0, 1].map(|number| scope.spawn(work(number)));
        for thread in threads {
            match thread.join() {
                Ok(more) => numbers.add(&more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    numbers
}

/// A guest, interpreted and compiled.
struct Pair {
    plain: Guest,
    compiled: Guest,
    turn: u64,
    restarts: u64,
    pieces: u64,
    done: bool,
}

fn run_thread(seed: u64, thread: u64, store: &CodeStore) -> Numbers {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ (thread + 1) << 56);
    let mut numbers = Numbers::default();
    let mut pairs: Vec<_> = (0..MACHINES)
        .map(|_| {
            let turn = random.next_u64();
            let after = [1, 2, 2, 5, 24][(random.next_u64() % 5) as usize];
            let mut compiled = Guest::new(seed, turn, after);
            // One in four machines has its code for itself.
            if !random.next_u64().is_multiple_of(4) {
                compiled.machine.code.share(store);
            }
            Pair {
                plain: Guest::new(seed, turn, 0),
                compiled,
                turn,
                restarts: 0,
                pieces: 0,
                done: false,
            }
        })
        .collect();
    while pairs.iter().any(|pair| !pair.done) {
        let number = (random.next_u64() % MACHINES) as usize;
        if !pairs[number].done {
            pairs[number].step(&mut random, &mut numbers);
        }
        if random.next_u64().is_multiple_of(400) {
            store.begin_afresh();
        }
    }
    for mut pair in pairs {
        pair.plain.assert_same(&mut pair.compiled, "at the end");
        let counts = pair.compiled.machine.code.counts();
        numbers.guests += 1;
        numbers.instructions += pair.compiled.retired();
        numbers.pieces += pair.pieces;
        numbers.compared_completely += 1;
        numbers.restarts += pair.restarts;
        // A guest that lost itself may have written anything there.
        let steps = pair.compiled.machine.peek64(STEPS);
        numbers.steps += if steps <= pair.compiled.retired() {
            steps
        } else {
            0
        };
        numbers.blocks_compiled += counts.compiled;
        numbers.blocks_adopted += counts.adopted;
        numbers.pages_bound += counts.bound;
        numbers.pages_unbound += counts.unbound;
        numbers.stores_forgotten += counts.starts_over;
        numbers.foreign_returns += counts.foreign_returns;
        numbers.stale_landings_forgotten += counts.landings_forgotten;
    }
    numbers
}

impl Pair {
    /// A piece of the execution of one CPU, and what comes from outside then.
    fn step(&mut self, random: &mut ChaCha8Rng, numbers: &mut Numbers) {
        let cpu = (random.next_u64() & 1) as usize;
        let most = 2 << (random.next_u64() % 11);
        let budget = 1 + random.next_u64() % most;
        let exit = self.plain.run(cpu, budget);
        assert_eq!(self.compiled.run(cpu, budget), exit, "exit");
        self.pieces += 1;
        assert_eq!(self.plain.state(cpu), self.compiled.state(cpu), "CPU {cpu}");
        if self.pieces.is_multiple_of(8) {
            let same = self.plain.fingerprint(cpu) == self.compiled.fingerprint(cpu);
            assert!(same, "CPU {cpu}: the translations differ");
        }
        if self.pieces.is_multiple_of(128) {
            self.plain.assert_same(&mut self.compiled, "in between");
            numbers.compared_completely += 1;
        }
        match exit {
            Exit::Budget => self.disturb(cpu, random, numbers),
            // It faulted, or lost itself in some other way.
            _ => self.restart(cpu),
        }
        let lost = self.restarts > RESTARTS;
        self.done |= lost || self.compiled.retired() > INSTRUCTIONS;
    }

    fn disturb(&mut self, cpu: usize, random: &mut ChaCha8Rng, numbers: &mut Numbers) {
        if random.next_u64().is_multiple_of(6) {
            let done = self.plain.interrupt(cpu);
            assert_eq!(self.compiled.interrupt(cpu), done, "interrupt");
            numbers.interrupts += u64::from(done == Some(true));
            if done == Some(false) {
                self.restart(cpu);
            }
        }
        if random.next_u64().is_multiple_of(40) {
            let level = (random.next_u64() % SLOTS.len() as u64) as usize;
            let page = PAGES + random.next_u64() % COUNT * 0x1000;
            let from = form(level, random.next_u64() % FORMS);
            let (position, size) = SLOTS[level];
            for guest in [&mut self.plain, &mut self.compiled] {
                let mut bytes = vec![0; size as usize];
                assert!(guest.machine.memory.read(from, &mut bytes));
                guest.machine.poke(page + position, &bytes);
            }
            numbers.writes_from_outside += 1;
        }
    }

    fn restart(&mut self, cpu: usize) {
        self.restarts += 1;
        let turn = self.turn.wrapping_add(self.restarts * 0x1_0000_0001);
        for guest in [&mut self.plain, &mut self.compiled] {
            guest.restart(cpu, turn);
            assert_eq!(guest.state(cpu).activity, Activity::Running);
        }
    }
}
