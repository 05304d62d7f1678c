//! Single-stepping (Intel SDM vol. 3, 17.3.1.4) and the shadow of MOV SS.

use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Emit, Machine, reg};

const STEP: u64 = 1 << 14;

/// Checks that the next events are single-step traps at the given addresses.
#[track_caller]
fn expect_steps(m: &mut Machine, addresses: &[u64]) {
    for (n, &rip) in addresses.iter().enumerate() {
        let e = m.event();
        assert_eq!(e.what(), (vector::DB, None, rip), "step {n}");
        assert_eq!(m.cpu.state().dr[6] & 0xe00f, STEP);
        assert_eq!(e.rflags & flag::RF, 0);
    }
}

#[test]
fn every_instruction_traps_behind_itself() {
    let (mut m, p) = Machine::kernel(|a| {
        a.nop()?;
        a.cmp(eax, 1)?;
        a.jne(CODE + 0x100)?;
        a.hlt()
    });
    m.place(CODE + 0x100, 64, |a| {
        a.push(rax)?;
        a.ret()
    });
    m.change(|state| {
        state.rflags |= flag::TF;
        state.gpr[reg::RAX] = p.at(3);
    });
    expect_steps(
        &mut m,
        &[p.at(1), p.at(2), CODE + 0x100, CODE + 0x101, p.at(3)],
    );
}

#[test]
fn popf_that_sets_tf_traps_behind_the_next_instruction() {
    let (mut m, p) = Machine::kernel(|a| {
        a.int(0x80)?;
        a.pushfq()?;
        a.or(qword_ptr(rsp), 0x100)?;
        a.popfq()?;
        a.nop()?;
        a.nop()?;
        a.hlt()
    });
    assert_eq!(m.event().vector, 0x80);
    expect_steps(&mut m, &[p.at(5), p.at(6)]);
}

#[test]
fn popf_that_clears_tf_still_traps() {
    let (mut m, p) = Machine::kernel(|a| {
        a.push(2)?;
        a.popfq()?;
        a.nop()?;
        a.hlt()
    });
    m.change(|state| state.rflags |= flag::TF);
    expect_steps(&mut m, &[p.at(1), p.at(2)]);
    m.halt();
}

#[test]
fn software_interrupts_swallow_the_trap_and_handlers_run_freely() {
    let (mut m, p) = Machine::kernel(|a| {
        a.int(0x80)?;
        a.nop()?;
        a.hlt()
    });
    m.change(|state| state.rflags |= flag::TF);
    let e = m.event();
    assert_eq!((e.vector, e.rip), (0x80, p.at(1)));
    assert_ne!(e.rflags & flag::TF, 0);
    assert_eq!(m.cpu.state().rflags & flag::TF, 0);
    // IRETQ restores TF, so that the trap is behind the NOP.
    expect_steps(&mut m, &[p.at(2)]);
}

#[test]
fn faulting_instructions_are_stepped_when_they_are_repeated() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(al, byte_ptr(FREE))?;
        a.nop()?;
        a.hlt()
    });
    m.remap(FREE, |_| 0);
    m.change(|state| state.rflags |= flag::TF);
    let e = m.event();
    assert_eq!(e.what(), (vector::PF, Some(0), p.at(0)));
    assert_eq!(e.rflags & (flag::TF | flag::RF), flag::TF | flag::RF);
    m.map(FREE, FREE | page::P);
    expect_steps(&mut m, &[p.at(1), p.at(2)]);
}

#[test]
fn repeated_instructions_trap_behind_every_iteration() {
    let programs: [Emit; 5] = [
        |a| a.rep().movsb(),
        |a| a.rep().stosq(),
        |a| a.rep().lodsb(),
        |a| a.repe().cmpsb(),
        |a| a.repe().scasb(),
    ];
    for (n, program) in programs.into_iter().enumerate() {
        let (mut m, p) = Machine::kernel(|a| {
            program(a)?;
            a.nop()?;
            a.hlt()
        });
        m.change(|state| {
            state.rflags |= flag::TF;
            state.gpr[reg::RCX] = 3;
            state.gpr[reg::RSI] = FREE;
            state.gpr[reg::RDI] = FREE + 0x100;
        });
        for left in [2, 1] {
            assert_eq!(m.event().what(), (vector::DB, None, p.at(0)), "program {n}");
            assert_eq!(m.gpr(reg::RCX), left);
        }
        expect_steps(&mut m, &[p.at(1), p.at(2)]);
        assert_eq!(m.gpr(reg::RCX), 0);
    }
}

#[test]
fn hlt_under_tf_traps_instead_of_halting() {
    let (mut m, p) = Machine::kernel(|a| {
        a.hlt()?;
        a.nop()
    });
    m.change(|state| state.rflags |= flag::TF);
    expect_steps(&mut m, &[p.at(1), p.end()]);
}

#[test]
fn mov_and_pop_ss_hold_the_trap_off_for_one_instruction() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(eax, u32::from(selector::DATA))?;
        a.mov(ss, eax)?;
        a.mov(ebx, 1)?;
        a.nop()?;
        a.hlt()
    });
    m.change(|state| state.rflags |= flag::TF);
    expect_steps(&mut m, &[p.at(1), p.at(3), p.at(4)]);
    let (mut m, p) = Machine::compatible(|a| {
        a.push(u32::from(selector::DATA))?;
        a.pop(ss)?;
        a.mov(ebx, 1)?;
        a.nop()?;
        a.hlt()
    });
    m.change(|state| state.rflags |= flag::TF);
    expect_steps(&mut m, &[p.at(1), p.at(3), p.at(4)]);
}

#[test]
fn sti_does_not_hold_traps_off() {
    let (mut m, p) = Machine::kernel(|a| {
        a.sti()?;
        a.nop()?;
        a.hlt()
    });
    m.change(|state| state.rflags |= flag::TF);
    expect_steps(&mut m, &[p.at(1), p.at(2)]);
}

#[test]
fn mov_ss_holds_off_execution_breakpoints_and_delays_data_breakpoints() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(ss, word_ptr(DATA))?;
        a.nop()?;
        a.nop()?;
        a.hlt()
    });
    m.poke64(DATA, u64::from(selector::DATA));
    m.change(|state| {
        state.dr[0] = p.at(1);
        state.dr[1] = DATA;
        // An execution breakpoint behind the MOV, a data breakpoint on its operand.
        state.dr[7] = 1 | 1 << 2 | 3 << 20;
    });
    assert_eq!(m.event().what(), (vector::DB, None, p.at(2)));
    assert_eq!(m.cpu.state().dr[6] & 0xe00f, 2);
    m.halt();
}

#[test]
fn delayed_data_breakpoint_survives_save_and_restore() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(ss, word_ptr(DATA))?;
        a.nop()?;
        a.hlt()
    });
    m.poke64(DATA, u64::from(selector::DATA));
    m.change(|state| {
        state.dr[1] = DATA;
        state.dr[7] = 1 << 2 | 3 << 20;
    });
    assert_eq!(m.run(1), chaosrun_x86::Exit::Budget);
    assert_eq!(m.cpu.state().pending_breakpoints, 2);
    m.change(|_| {});
    assert_eq!(m.event().what(), (vector::DB, None, p.at(2)));
}

#[test]
fn taken_branch_into_another_page_is_stepped() {
    let (mut m, p) = Machine::kernel(|a| a.jmp(FREE));
    m.place(FREE, 64, |a| {
        a.nop()?;
        a.hlt()
    });
    m.change(|state| state.rflags |= flag::TF);
    expect_steps(&mut m, &[FREE, FREE + 1]);
    let _ = p;
}

#[test]
fn step_and_breakpoint_flags_accumulate_in_dr6_only_for_the_latest_hits() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(dword_ptr(DATA), eax)?;
        a.nop()?;
        a.hlt()
    });
    m.change(|state| {
        state.rflags |= flag::TF;
        state.dr[0] = DATA;
        state.dr[7] = 1 | 1 << 16;
    });
    assert_eq!(m.event().rip, p.at(1));
    assert_eq!(m.cpu.state().dr[6] & 0xe00f, STEP | 1);
    assert_eq!(m.event().rip, p.at(2));
    assert_eq!(m.cpu.state().dr[6] & 0xf, 0);
}
