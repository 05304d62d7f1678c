//! The shadow of STI, MOV SS and POP SS, which holds off what would come between two instructions (Intel SDM
//! vol. 3, 6.8.3 and 18.3.1.1), and what it does to traps.

use chaosrun_x86::Exit;
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Emit, Machine, reg};

/// A read or write of four bytes at `DATA` is watched by breakpoint 1.
fn watch(m: &mut Machine) {
    m.change(|state| {
        state.dr[1] = DATA;
        state.dr[7] = 0x400 | 2 << 2 | 0xf << 20;
    });
    m.poke64(DATA, u64::from(selector::DATA));
}

/// The bits of DR6 that say what happened.
fn cause(m: &Machine) -> u64 {
    m.cpu.state().dr[6] & 0xe00f
}

#[test]
fn each_instruction_holds_off_what_it_should_for_one_instruction() {
    // The instruction, and whether an interrupt and an NMI are acceptable behind it.
    let cases: [(&str, Emit, bool, bool); 8] = [
        ("STI", |a| a.sti(), false, false),
        ("MOV SS, AX", |a| a.mov(ss, eax), false, false),
        ("MOV SS, [m]", |a| a.mov(ss, word_ptr(DATA)), false, false),
        (
            "LSS",
            |a| a.db(&[0x48, 0x0f, 0xb2, 0x24, 0x25, 0, 0x84, 2, 0]),
            true,
            true,
        ),
        ("MOV DS, AX", |a| a.mov(ds, eax), true, true),
        ("POP FS", |a| a.pop(fs), true, true),
        ("CLI", |a| a.cli(), false, true),
        ("POPF", |a| a.popfq(), true, true),
    ];
    for (name, write, interrupt, nmi) in cases {
        let (mut m, _) = Machine::kernel(|a| {
            write(a)?;
            a.nop()?;
            a.hlt()
        });
        // A far pointer to the stack as it is, for LSS.
        m.poke64(DATA + 0x400, STACK);
        m.poke64(DATA + 0x408, selector::DATA.into());
        m.poke64(DATA, selector::DATA.into());
        let popped = if name == "POPF" {
            0x202
        } else {
            selector::DATA.into()
        };
        m.poke64(STACK - 8, popped);
        m.change(|state| {
            state.gpr[reg::RAX] = selector::DATA.into();
            state.gpr[reg::RSP] = STACK - 8;
            state.rflags |= if name == "STI" { 0 } else { flag::IF };
        });
        assert_eq!(m.run(1), Exit::Budget, "{name}");
        let acceptable = (m.cpu.interruptible(), m.cpu.nmi_acceptable());
        assert_eq!(acceptable, (interrupt, nmi), "behind {name}");
        assert_eq!(m.run(1), Exit::Budget);
        let acceptable = (m.cpu.interruptible(), m.cpu.nmi_acceptable());
        assert_eq!(acceptable, (name != "CLI", true), "one instruction later");
    }
}

#[test]
fn pop_ss_holds_off_in_compatibility_mode() {
    let (mut m, _) = Machine::compatible(|a| {
        a.pop(ss)?;
        a.nop()?;
        a.hlt()
    });
    m.poke64(STACK - 8, selector::DATA.into());
    m.change(|state| {
        state.gpr[reg::RSP] = STACK - 8;
        state.rflags |= flag::IF;
    });
    assert_eq!(m.run(1), Exit::Budget);
    assert!(!m.cpu.interruptible() && !m.cpu.nmi_acceptable());
    assert_eq!(m.run(1), Exit::Budget);
    assert!(m.cpu.interruptible() && m.cpu.nmi_acceptable());
}

#[test]
fn only_the_first_of_several_shadows_counts() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(ss, eax)?;
        a.mov(ss, eax)?;
        a.nop()?;
        a.hlt()
    });
    m.change(|state| {
        state.gpr[reg::RAX] = selector::DATA.into();
        state.rflags |= flag::IF;
    });
    assert_eq!(m.run(1), Exit::Budget);
    assert!(!m.cpu.interruptible());
    assert_eq!(m.run(1), Exit::Budget);
    assert!(m.cpu.interruptible() && m.cpu.nmi_acceptable());
}

#[test]
fn a_fault_in_a_shadow_ends_it() {
    for ss_first in [false, true] {
        let (mut m, _) = Machine::kernel(|a| {
            if ss_first {
                a.mov(ss, eax)?
            } else {
                a.sti()?
            }
            a.ud2()
        });
        m.change(|state| state.gpr[reg::RAX] = selector::DATA.into());
        assert_eq!(m.event().vector, vector::UD);
        assert_eq!(m.cpu.state().interrupt_shadow, 0);
        assert!(m.cpu.nmi_acceptable());
    }
}

#[test]
fn sti_does_not_hold_off_single_steps_and_mov_ss_does() {
    for (write, first) in [
        ((|a| a.sti()) as Emit, 1),
        ((|a| a.mov(ss, eax)) as Emit, 2),
    ] {
        let (mut m, p) = Machine::kernel(|a| {
            write(a)?;
            a.nop()?;
            a.nop()?;
            a.hlt()
        });
        m.change(|state| {
            state.gpr[reg::RAX] = selector::DATA.into();
            state.rflags |= flag::TF;
        });
        let e = m.event();
        assert_eq!(e.what(), (vector::DB, None, p.at(first)));
    }
}

#[test]
fn int1_tells_of_a_watched_mov_ss_in_the_same_exception() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(ss, word_ptr(DATA))?;
        a.db(&[0x2e, 0x2e, 0xf1])?;
        a.nop()?;
        a.hlt()
    });
    watch(&mut m);
    let e = m.event();
    assert_eq!((e.what(), cause(&m)), ((vector::DB, None, p.at(2)), 2));
    // The handler runs once.
    m.halt();
}

#[test]
fn int1_alone_leaves_dr6() {
    let (mut m, p) = Machine::kernel(|a| {
        a.db(&[0xf1])?;
        a.hlt()
    });
    m.change(|state| state.dr[6] = 0xffff_4ff1);
    let e = m.event();
    assert_eq!((e.what(), cause(&m)), ((vector::DB, None, p.at(1)), 0x4001));
    m.halt();
}

#[test]
fn software_interrupts_behind_a_watched_mov_ss_are_followed_by_the_trap() {
    // The trap comes at the handler's first instruction.
    for number in [1u8, 3] {
        let (mut m, p) = Machine::kernel(|a| {
            a.mov(ss, word_ptr(DATA))?;
            if number == 3 {
                a.int3()?;
            } else {
                a.int(1)?;
            }
            a.hlt()
        });
        m.open_gate(1, 3, 0);
        watch(&mut m);
        let e = m.event();
        let first = HANDLERS + HANDLER_STEP * u64::from(number);
        assert_eq!((e.what(), cause(&m)), ((vector::DB, None, first), 2));
        let e = m.event();
        assert_eq!((e.vector, e.rip), (number, p.at(2)));
        m.halt();
    }
}
