//! CPUs that are saved and put back, with what they remember of page tables, and pages that are put back.

use chaosrun_x86::{Cpu, CpuModel, Exit, PageBytes};
use iced_x86::code_asm::{byte_ptr, dword_ptr, eax, ebx, ecx, ptr, rax, rbx};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::harness::layout::{CODE, DATA, FREE, page, vector};
use super::harness::same::{assert_same, fingerprint};
use super::harness::{Machine, reg};
use super::workload;

/// Saves the CPU, lets it forget, and puts it back.
fn round_trip(m: &mut Machine) {
    let saved = m.cpu.save();
    m.change(|state| state.gpr = [7; 16]);
    m.cpu.restore(&saved);
    assert_eq!(m.cpu.save(), saved);
}

#[test]
fn a_cpu_that_is_replaced_by_its_copy_again_and_again_comes_to_the_same() {
    let mut whole = workload::machine();
    while whole.run(1 << 40) == Exit::Budget {}
    let mut copied = workload::machine();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    loop {
        let exit = copied.run(1 + random.next_u64() % 2000);
        let before = fingerprint(&copied);
        let mut other = Cpu::new(0, CpuModel::default());
        other.restore(&copied.cpu.save());
        copied.cpu = other;
        assert!(fingerprint(&copied) == before);
        if exit == Exit::Halt {
            break;
        }
        assert_eq!(exit, Exit::Budget);
    }
    assert_same(&copied, &whole, "with copies");
}

#[test]
fn what_is_remembered_of_page_tables_is_put_back() {
    let run = |restored: bool| {
        let (mut m, _) = Machine::kernel(|a| {
            a.mov(eax, dword_ptr(DATA))?;
            a.mov(ebx, dword_ptr(DATA))?;
            a.hlt()
        });
        m.poke64(DATA, 1);
        m.poke64(FREE, 2);
        m.run(1);
        // The CPU is not told, so that it may go on as before.
        m.remap(DATA, |entry| entry - DATA + FREE);
        if restored {
            round_trip(&mut m);
        } else {
            m.change(|_| {});
        }
        m.halt();
        [m.gpr(reg::RAX), m.gpr(reg::RBX)]
    };
    assert_eq!(run(true), [1, 1]);
    assert_eq!(run(false), [1, 2], "a CPU that has forgotten looks again");
}

#[test]
fn a_large_page_that_is_put_back_is_forgotten_as_a_whole() {
    const LARGE: u64 = 0x4000_0000;
    const PS: u64 = 1 << 7;
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(rax, LARGE + 0x3000)?;
        a.mov(ecx, dword_ptr(rax))?;
        a.mov(rbx, LARGE)?;
        a.invlpg(ptr(rbx))?;
        a.mov(ecx, dword_ptr(rax))?;
        a.hlt()
    });
    let slot = m.slot(LARGE, 2);
    m.poke64(slot, page::P | page::W | PS);
    m.run(3);
    m.poke64(slot, 0);
    round_trip(&mut m);
    assert_eq!(m.event().what(), (vector::PF, Some(0), p.at(4)));
}

#[test]
fn code_of_a_page_that_is_put_back_is_executed_as_it_is_there() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(eax, 1)?;
        a.hlt()
    });
    let again = |m: &mut Machine| {
        m.change(|state| {
            state.rip = CODE;
            state.activity = chaosrun_x86::Activity::Running;
        });
        m.halt();
        m.gpr(reg::RAX)
    };
    assert_eq!(again(&mut m), 1);
    let first: PageBytes = *m.memory.page(CODE);
    // The operand of MOV.
    m.poke(CODE + 1, &[2]);
    assert_eq!(again(&mut m), 2);
    m.memory.take_written();
    assert!(m.memory.put_back(CODE, Some(&first)));
    assert_eq!(again(&mut m), 1);
    assert!(!m.memory.put_back(CODE, Some(&first)), "nothing changes");
    assert!(!m.memory.take_written().contains(&((CODE / 4096) as u32)));
}

#[test]
fn a_store_that_was_fast_when_it_was_saved_is_looked_at_where_code_is_now() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(byte_ptr(FREE + 1), 2)?;
        a.mov(byte_ptr(FREE + 1), 3)?;
        a.hlt()
    });
    m.place(FREE, 64, |a| {
        a.mov(eax, 1)?;
        a.hlt()
    });
    let call = |m: &mut Machine| {
        m.change(|state| {
            state.rip = FREE;
            state.activity = chaosrun_x86::Activity::Running;
        });
        m.halt();
        m.gpr(reg::RAX)
    };
    m.run(1);
    let saved = m.cpu.save();
    // Once to decode it, once more to hear that it was decoded.
    assert_eq!([call(&mut m), call(&mut m)], [2, 2]);
    m.cpu.restore(&saved);
    m.halt();
    assert_eq!(call(&mut m), 3);
}
