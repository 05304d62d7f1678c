//! An execution does not depend on how it is split: the same bytes describe the CPU, the same bytes
//! are in memory and the same accesses reached the bus after the same number of instructions,
//! whatever the budgets were. And a budget is used up exactly.

use chaosrun_x86::{Exit, PAGE_SIZE};
use iced_x86::code_asm::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::harness::layout::*;
use crate::harness::same::{assert_same, fingerprint, memory};
use crate::harness::{Machine, Script};
use crate::workload;

/// Everything that the machine is.
#[derive(PartialEq, Eq, Clone)]
struct Picture {
    cpu: Vec<u8>,
    memory: Vec<u8>,
    bus: Script,
}

fn picture(m: &Machine) -> Picture {
    Picture {
        cpu: fingerprint(m),
        memory: memory(m),
        bus: m.bus.clone(),
    }
}

/// Runs to `target` retired instructions with budgets from `next`, or to the end.
fn run_to(m: &mut Machine, target: u64, mut next: impl FnMut() -> u64) -> Exit {
    loop {
        let left = target - m.cpu.retired();
        if left == 0 {
            return Exit::Budget;
        }
        let budget = next().min(left);
        let before = m.cpu.retired();
        let exit = m.run(budget);
        let done = m.cpu.retired() - before;
        match exit {
            Exit::Budget => assert_eq!(done, budget, "a budget is used up exactly"),
            Exit::Halt => {
                assert!(done <= budget);
                return exit;
            }
            other => panic!("unexpected exit {other:?} at {:#x}", m.cpu.state().rip),
        }
    }
}

/// The workload's length in instructions.
fn length() -> u64 {
    let mut m = workload::machine();
    assert_eq!(run_to(&mut m, 10_000_000, || u64::MAX), Exit::Halt);
    m.cpu.retired()
}

#[test]
fn workload_does_what_it_is_for() {
    let mut m = workload::machine();
    assert_eq!(run_to(&mut m, 10_000_000, || u64::MAX), Exit::Halt);
    let turns = 12;
    assert_eq!(m.peek64(DATA), 2 * turns, "page faults");
    assert_eq!(m.peek64(DATA + 8), 16 * turns, "interrupts of the user");
    assert!(m.peek64(DATA + 16) >= 70 * turns, "single steps");
    assert_eq!(m.peek64(DATA + 24), turns, "divide errors");
    assert_eq!(m.bus.seen.len() as u64, turns);
    let length = m.cpu.retired();
    assert!((20_000..200_000).contains(&length), "{length} instructions");
}

#[test]
fn single_instructions_lead_where_one_run_does() {
    let end = length();
    let mut whole = workload::machine();
    assert_eq!(run_to(&mut whole, end, || u64::MAX), Exit::Halt);
    let mut split = workload::machine();
    assert_eq!(run_to(&mut split, end, || 1), Exit::Halt);
    assert_same(&split, &whole, "budget 1");
}

#[test]
fn random_budgets_lead_where_one_run_does() {
    let end = length();
    let mut whole = workload::machine();
    assert_eq!(run_to(&mut whole, end, || u64::MAX), Exit::Halt);
    for seed in 0..200 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // From tiny budgets to some that are longer than any chain of blocks.
        let largest = 1 << (1 + seed % 14);
        let mut split = workload::machine();
        let exit = run_to(&mut split, end, || 1 + random.next_u64() % largest);
        assert_eq!(exit, Exit::Halt);
        assert_same(
            &split,
            &whole,
            &format!("seed {seed}, budgets up to {largest}"),
        );
    }
}

#[test]
fn pictures_on_the_way_do_not_depend_on_the_budgets() {
    let end = length();
    let mut random = ChaCha8Rng::seed_from_u64(4711);
    let mut single = workload::machine();
    let mut split = workload::machine();
    let mut at = 0;
    while at < end - 1 {
        at = (at + 1 + random.next_u64() % 997).min(end - 1);
        assert_eq!(run_to(&mut single, at, || 1), Exit::Budget);
        assert_eq!(
            run_to(&mut split, at, || 1 + random.next_u64() % 100),
            Exit::Budget
        );
        // From the start in one go, with the code cache and the chains of a longer run.
        assert_same(&split, &single, &format!("after {at} instructions"));
    }
}

#[test]
fn one_run_to_any_point_is_the_same_as_many_short_ones() {
    let end = length();
    let mut single = workload::machine();
    for step in 1..60 {
        let at = end * step / 60;
        assert_eq!(run_to(&mut single, at, || 1), Exit::Budget);
        let mut whole = workload::machine();
        assert_eq!(whole.run(at), Exit::Budget);
        assert_same(&whole, &single, &format!("after {at} instructions"));
    }
}

#[test]
fn equal_runs_are_equal_and_different_memory_is_not() {
    let end = length();
    let mut a = workload::machine();
    let mut b = workload::machine();
    run_to(&mut a, end, || u64::MAX);
    run_to(&mut b, end, || u64::MAX);
    assert!(picture(&a) == picture(&b));
    let mut c = workload::machine();
    c.poke(CODE + 2, &[5]);
    run_to(&mut c, end, || u64::MAX);
    assert!(picture(&a) != picture(&c));
}

#[test]
fn budget_of_zero_does_nothing() {
    let mut m = workload::machine();
    let before = picture(&m);
    assert_eq!(m.run(0), Exit::Budget);
    assert!(picture(&m) == before);
}

#[test]
fn saved_state_continues_to_the_same_end() {
    let end = length();
    let mut whole = workload::machine();
    assert_eq!(run_to(&mut whole, end, || u64::MAX), Exit::Halt);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..20 {
        let mut first = workload::machine();
        let at = 1 + random.next_u64() % (end - 1);
        assert_eq!(run_to(&mut first, at, || u64::MAX), Exit::Budget);
        // Another machine takes over with the state and the memory, without code or translations.
        let mut second = Machine::new();
        let state = first.cpu.state();
        let seen = picture(&first);
        second.poke(0, &seen.memory);
        second.cpu.set_state(&state);
        second.bus = seen.bus;
        assert_eq!(second.cpu.state(), state);
        assert_eq!(
            run_to(&mut second, end, || 1 + random.next_u64() % 5000),
            Exit::Halt
        );
        assert_eq!(
            second.cpu.state(),
            whole.cpu.state(),
            "saved after {at} instructions"
        );
        let (a, b) = (picture(&second), picture(&whole));
        assert!(
            a.memory == b.memory && a.bus == b.bus,
            "saved after {at} instructions"
        );
    }
}

#[test]
fn draining_dirty_pages_changes_nothing_and_reports_every_written_page() {
    let end = length();
    let mut whole = workload::machine();
    assert_eq!(run_to(&mut whole, end, || u64::MAX), Exit::Halt);
    let mut drained = workload::machine();
    let mut copy = vec![0u8; RAM as usize];
    drained.memory.read(0, &mut copy);
    drained.memory.take_written();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    loop {
        let exit = drained.run(1 + random.next_u64() % 3000);
        for index in drained.memory.take_written() {
            let start = u64::from(index) * PAGE_SIZE;
            let page = drained.memory.page(start);
            copy[start as usize..][..page.len()].copy_from_slice(page);
        }
        if exit == Exit::Halt {
            break;
        }
        assert_eq!(exit, Exit::Budget);
    }
    assert_same(&drained, &whole, "with drained pages");
    assert!(
        copy == picture(&drained).memory,
        "the pages reported make up the memory"
    );
}

#[test]
fn repeated_stores_are_charged_one_instruction_and_one_more_for_64_bytes() {
    let retired = |counts: &[u32]| {
        let (mut m, _) = Machine::kernel(|a| {
            a.mov(edi, FREE as u32)?;
            for &count in counts {
                a.mov(ecx, count)?;
                a.rep().stosb()?;
            }
            a.hlt()
        });
        let before = m.cpu.retired();
        m.halt();
        m.cpu.retired() - before - 2 - 2 * counts.len() as u64
    };
    assert_eq!(retired(&[0]), 0);
    assert_eq!(retired(&[63]), 0);
    assert_eq!(retired(&[64]), 1);
    assert_eq!(retired(&[5000]), 5000 / 64);
    // What is left over counts for the next one, so that no guest stores for nothing.
    assert_eq!(retired(&[40, 40]), 1);
    assert_eq!(retired(&[63; 64]), 63);
}

#[test]
fn shadows_of_sti_and_mov_ss_do_not_depend_on_cuts() {
    // MOV SS holds interrupts off for an instruction only if STI in front of it does not.
    let make = || {
        let program = |a: &mut CodeAssembler| {
            a.mov(eax, ss)?;
            a.cli()?;
            a.sti()?;
            a.mov(ss, eax)?;
            a.inc(rbx)?;
            a.cli()?;
            a.sti()?;
            a.inc(rbx)?;
            a.hlt()
        };
        Machine::kernel(program).0
    };
    for count in 1..=8 {
        let (mut whole, mut pieces) = (make(), make());
        assert_eq!(whole.run(count), Exit::Budget);
        for _ in 0..count {
            assert_eq!(pieces.run(1), Exit::Budget);
        }
        assert_same(&whole, &pieces, &format!("{count} instructions"));
    }
}
