//! Two CPUs that share a memory, interleaved at any granularity: atomic operations lose nothing,
//! others do.

use chaosrun_x86::{Cpu, CpuModel, Exit};
use iced_x86::code_asm::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::harness::layout::*;
use crate::harness::{Emit, Machine, Script, reg};

const ROUNDS: u64 = 2000;

/// Runs the loop on two CPUs with slices of at most `longest` instructions; the counter at DATA.
fn count(body: Emit, longest: u64, seed: u64) -> u64 {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(r15d, ROUNDS as u32)?;
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        body(a)?;
        a.dec(r15d)?;
        a.jnz(again)?;
        a.hlt()
    });
    let mut state = m.cpu.state();
    let mut other = Cpu::new(1, CpuModel::default());
    state.gpr[reg::RSP] = STACK0;
    other.set_state(&state);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut bus = Script::default();
    let mut halted = [false; 2];
    while halted != [true; 2] {
        let turn = (random.next_u64() & 1) as usize;
        let budget = 1 + random.next_u64() % longest;
        let cpu = if turn == 0 { &mut m.cpu } else { &mut other };
        match cpu.run(&mut m.memory, &mut m.code, &mut bus, budget) {
            Exit::Budget => {}
            Exit::Halt => halted[turn] = true,
            exit => panic!("unexpected exit {exit:?}"),
        }
    }
    m.peek64(DATA)
}

const ATOMIC: [(&str, Emit); 4] = [
    ("LOCK XADD", |a| {
        a.mov(eax, 1)?;
        a.lock().xadd(qword_ptr(DATA), rax)
    }),
    ("LOCK INC", |a| a.lock().inc(qword_ptr(DATA))),
    ("LOCK CMPXCHG", |a| {
        let mut again = a.create_label();
        a.mov(rax, qword_ptr(DATA))?;
        a.set_label(&mut again)?;
        a.lea(rbx, qword_ptr(rax + 1))?;
        a.lock().cmpxchg(qword_ptr(DATA), rbx)?;
        a.jnz(again)
    }),
    ("LOCK CMPXCHG16B", |a| {
        let mut again = a.create_label();
        a.mov(rax, qword_ptr(DATA))?;
        a.mov(rdx, qword_ptr(DATA + 8))?;
        a.set_label(&mut again)?;
        a.lea(rbx, qword_ptr(rax + 1))?;
        a.lea(rcx, qword_ptr(rdx + 2))?;
        a.lock().cmpxchg16b(xmmword_ptr(DATA))?;
        a.jnz(again)
    }),
];

#[test]
fn atomic_operations_never_lose_updates() {
    for (name, body) in ATOMIC {
        for longest in [1, 3, 50] {
            assert_eq!(
                count(body, longest, longest),
                2 * ROUNDS,
                "{name}, slices up to {longest}"
            );
        }
    }
}

#[test]
fn separate_loads_and_stores_lose_updates() {
    let racy: Emit = |a| {
        a.mov(rax, qword_ptr(DATA))?;
        a.inc(rax)?;
        a.mov(qword_ptr(DATA), rax)
    };
    for longest in [1, 3, 50] {
        let total = count(racy, longest, longest);
        assert!(total < 2 * ROUNDS, "slices up to {longest}: {total}");
        assert!(total >= ROUNDS / 2, "slices up to {longest}: {total}");
    }
}

#[test]
fn interleaving_decides_the_result_and_nothing_else_does() {
    let racy: Emit = |a| {
        a.mov(rax, qword_ptr(DATA))?;
        a.inc(rax)?;
        a.mov(qword_ptr(DATA), rax)
    };
    let totals: Vec<_> = (0..8).map(|seed| count(racy, 5, seed)).collect();
    let again: Vec<_> = (0..8).map(|seed| count(racy, 5, seed)).collect();
    assert_eq!(totals, again);
    assert!(totals.iter().any(|&total| total != totals[0]), "{totals:?}");
}

#[test]
fn spin_lock_with_xchg_excludes_the_other_cpu() {
    let locked: Emit = |a| {
        let mut spin = a.create_label();
        a.nop()?;
        a.set_label(&mut spin)?;
        a.mov(eax, 1)?;
        a.xchg(dword_ptr(DATA + 0x80), eax)?;
        a.test(eax, eax)?;
        a.jnz(spin)?;
        a.mov(rbx, qword_ptr(DATA))?;
        a.inc(rbx)?;
        a.mov(qword_ptr(DATA), rbx)?;
        a.mov(dword_ptr(DATA + 0x80), 0)
    };
    assert_eq!(count(locked, 4, 9), 2 * ROUNDS);
}

#[test]
fn each_cpu_has_its_own_translations() {
    let linear = 0x6000_0000_0000u64;
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(al, byte_ptr(rbx))?;
        a.mov(ah, byte_ptr(rbx))?;
        a.hlt()
    });
    m.map(linear, 0x5_0000 | page::P);
    m.poke(0x5_0000, &[1]);
    m.poke(0x5_1000, &[2]);
    m.change(|state| state.gpr[reg::RBX] = linear);
    let mut other = Cpu::new(1, CpuModel::default());
    other.set_state(&m.cpu.state());
    assert_eq!(m.run(1), Exit::Budget);
    m.map(linear, 0x5_1000 | page::P);
    // The first keeps what it has; the second has not looked yet.
    m.halt();
    assert_eq!(
        other.run(&mut m.memory, &mut m.code, &mut m.bus, 10),
        Exit::Halt
    );
    assert_eq!(
        (m.gpr(reg::RAX), other.state().gpr[reg::RAX]),
        (0x101, 0x202)
    );
}
