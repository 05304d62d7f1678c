//! External interrupts: when they are taken, what holds them off, HLT, NMI (Intel SDM vol. 3,
//! chapter 6).

use chaosrun_x86::{Activity, Exit};
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Emit, Machine, reg};

#[test]
fn interrupt_is_delivered_between_instructions_with_everything_saved() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(eax, 1)?;
        a.mov(eax, 2)?;
        a.hlt()
    });
    m.change(|state| state.rflags |= flag::IF | flag::CF);
    assert_eq!(m.run(1), Exit::Budget);
    m.interrupt(0x33);
    let e = m.event();
    assert_eq!(e.what(), (0x33, None, p.at(1)));
    assert_eq!(
        (e.rflags, e.rsp, m.gpr(reg::RAX)),
        (2 | flag::IF | flag::CF, STACK, 1)
    );
    assert!(!m.cpu.interruptible());
    m.halt();
    assert_eq!(m.gpr(reg::RAX), 2);
}

#[test]
fn delivery_retires_no_instruction() {
    let (mut m, _) = Machine::kernel(|a| a.nop());
    m.change(|state| state.rflags |= flag::IF);
    let before = m.cpu.retired();
    m.interrupt(0x33);
    assert_eq!(m.cpu.retired(), before);
}

#[test]
fn interrupt_from_user_mode_switches_stacks() {
    let (mut m, p) = Machine::user(|a| a.nop());
    m.change(|state| state.rflags |= flag::IF);
    m.interrupt(0x20);
    let e = m.event();
    assert_eq!(e.what(), (0x20, None, p.at(0)));
    assert_eq!(
        (e.ss, e.rsp, e.frame),
        (selector::USER_DATA, USER_STACK, STACK0 - 40)
    );
}

#[test]
fn interrupt_may_come_between_the_iterations_of_a_repeated_instruction() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(edi, FREE as u32)?;
        a.mov(ecx, 1000)?;
        a.mov(al, 9)?;
        a.rep().stosb()?;
        a.hlt()
    });
    m.change(|state| state.rflags |= flag::IF);
    assert_eq!(m.run(3 + 5), Exit::Budget);
    m.interrupt(0x20);
    let e = m.event();
    assert_eq!(e.rip, p.at(3));
    let (count, to) = (m.gpr(reg::RCX), m.gpr(reg::RDI));
    assert!(count > 0 && count < 1000 && to == FREE + 1000 - count);
    m.halt();
    assert_eq!(m.peek64(FREE + 992), 0x0909_0909_0909_0909);
}

#[test]
fn hlt_waits_for_an_interrupt_and_goes_on_behind_itself() {
    let (mut m, p) = Machine::kernel(|a| {
        a.sti()?;
        a.hlt()?;
        a.mov(eax, 5)?;
        a.cli()?;
        a.hlt()
    });
    m.halt();
    assert_eq!(
        (m.cpu.activity(), m.cpu.state().rip),
        (Activity::Halted, p.at(2))
    );
    let retired = m.cpu.retired();
    assert_eq!(m.run(100), Exit::Halt);
    assert_eq!(m.cpu.retired(), retired, "a halted CPU retires nothing");
    m.interrupt(0x40);
    assert_eq!(m.event().what(), (0x40, None, p.at(2)));
    m.halt();
    assert_eq!(m.gpr(reg::RAX), 5);
    assert!(!m.cpu.interruptible());
}

#[test]
fn sti_shadows_one_instruction() {
    let (mut m, p) = Machine::kernel(|a| {
        a.sti()?;
        a.nop()?;
        a.nop()?;
        a.hlt()
    });
    m.cpu.request_interrupt_window(true);
    assert_eq!(m.run(1), Exit::Budget);
    assert!(!m.cpu.interruptible());
    assert_eq!(m.cpu.state().interrupt_shadow, 1);
    assert!(!m.cpu.nmi_acceptable());
    assert_eq!(m.run(100), Exit::InterruptWindow);
    assert_eq!(m.cpu.state().rip, p.at(2));
    assert!(m.cpu.nmi_acceptable());
}

#[test]
fn sti_shadows_nmis_wherever_a_run_ends_behind_it() {
    // Nobody has asked for a window, and the next instruction is a plain one.
    let (mut m, p) = Machine::kernel(|a| {
        a.nop()?;
        a.sti()?;
        a.nop()?;
        a.nop()?;
        a.hlt()
    });
    for (instructions, acceptable) in [(1, true), (1, false), (1, true), (1, true)] {
        assert_eq!(m.run(instructions), Exit::Budget);
        assert_eq!(
            m.cpu.nmi_acceptable(),
            acceptable,
            "{:#x}",
            m.cpu.state().rip
        );
    }
    assert_eq!(m.cpu.state().rip, p.at(4));
}

#[test]
fn an_iret_that_faults_unblocks_nmis() {
    let (mut m, p) = Machine::kernel(|a| a.iretq());
    m.change(|state| {
        state.nmi_blocked = true;
        state.gpr[reg::RSP] = FREE;
    });
    m.poke64(FREE + 8, u64::from(selector::BEYOND));
    let e = m.event();
    assert_eq!(
        e.what(),
        (vector::GP, Some(u32::from(selector::BEYOND)), p.at(0))
    );
    assert!(m.cpu.nmi_acceptable());
}

#[test]
fn sti_without_a_change_shadows_nothing() {
    let (mut m, _) = Machine::kernel(|a| a.sti());
    m.change(|state| state.rflags |= flag::IF);
    assert_eq!(m.run(1), Exit::Budget);
    assert!(m.cpu.interruptible());
}

#[test]
fn sti_followed_by_cli_never_opens_a_window() {
    let (mut m, _) = Machine::kernel(|a| {
        a.sti()?;
        a.cli()?;
        a.hlt()
    });
    m.cpu.request_interrupt_window(true);
    m.halt();
}

#[test]
fn mov_ss_shadows_interrupts_and_nmis_for_one_instruction() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(ss, eax)?;
        a.nop()?;
        a.nop()?;
        a.hlt()
    });
    m.change(|state| {
        state.gpr[reg::RAX] = u64::from(selector::DATA);
        state.rflags |= flag::IF;
    });
    assert_eq!(m.run(1), Exit::Budget);
    assert!(!m.cpu.interruptible() && !m.cpu.nmi_acceptable());
    m.cpu.request_interrupt_window(true);
    assert_eq!(m.run(100), Exit::InterruptWindow);
    assert_eq!(m.cpu.state().rip, p.at(2));
    assert!(m.cpu.nmi_acceptable());
}

#[test]
fn window_opens_where_interrupts_become_acceptable_and_not_later() {
    let openings: [(&str, Emit); 2] = [
        ("POPF", |a| {
            a.push(0x202)?;
            a.popfq()
        }),
        ("STI", |a| {
            a.nop()?;
            a.sti()?;
            a.nop()
        }),
    ];
    for (name, opening) in openings {
        let (mut m, p) = Machine::kernel(|a| {
            opening(a)?;
            a.mov(eax, 1)?;
            a.hlt()
        });
        m.cpu.request_interrupt_window(true);
        assert_eq!(m.run(100), Exit::InterruptWindow, "{name}");
        assert_eq!(m.cpu.state().rip, p.end() - 6, "{name}");
        // The wish is fulfilled once.
        m.halt();
    }
}

#[test]
fn window_is_open_at_once_if_interrupts_are_acceptable() {
    let (mut m, _) = Machine::kernel(|a| a.nop());
    m.change(|state| state.rflags |= flag::IF);
    m.cpu.request_interrupt_window(true);
    let before = m.cpu.retired();
    assert_eq!(m.run(100), Exit::InterruptWindow);
    assert_eq!(m.cpu.retired(), before);
}

#[test]
fn withdrawn_wish_for_a_window_is_forgotten() {
    let (mut m, _) = Machine::kernel(|a| a.hlt());
    m.change(|state| state.rflags |= flag::IF);
    m.cpu.request_interrupt_window(true);
    m.cpu.request_interrupt_window(false);
    m.halt();
}

#[test]
fn nmis_are_blocked_until_iret() {
    let (mut m, p) = Machine::kernel(|a| {
        a.nop()?;
        a.hlt()
    });
    assert!(m.cpu.nmi_acceptable());
    assert_eq!(m.cpu.inject_nmi(&mut m.memory, &mut m.bus), None);
    assert!(!m.cpu.nmi_acceptable());
    let e = m.event();
    assert_eq!(e.what(), (vector::NMI, None, p.at(0)));
    assert!(!m.cpu.nmi_acceptable());
    m.halt();
    assert!(m.cpu.nmi_acceptable());
}

#[test]
fn nmi_wakes_a_halted_cpu_with_interrupts_off() {
    let (mut m, p) = Machine::kernel(|a| {
        a.hlt()?;
        a.nop()?;
        a.hlt()
    });
    m.halt();
    assert_eq!(m.cpu.inject_nmi(&mut m.memory, &mut m.bus), None);
    assert_eq!(m.event().what(), (vector::NMI, None, p.at(1)));
    m.halt();
    assert_eq!(m.cpu.state().rip, p.end());
}

#[test]
fn interrupt_through_a_bad_gate_raises_an_external_fault() {
    let (mut m, p) = Machine::kernel(|a| a.nop());
    m.change(|state| state.rflags |= flag::IF);
    m.change_gate(0x20, |_| 0);
    m.interrupt(0x20);
    assert_eq!(m.event().what(), (vector::GP, Some(0x20 * 8 + 3), p.at(0)));
}

#[test]
fn interrupt_that_cannot_be_delivered_at_all_shuts_down() {
    let (mut m, _) = Machine::kernel(|a| a.nop());
    m.change(|state| {
        state.rflags |= flag::IF;
        state.idtr.limit = 0;
    });
    let exit = m.cpu.inject_interrupt(&mut m.memory, &mut m.bus, 0x20);
    assert_eq!(
        (exit, m.cpu.activity()),
        (Some(Exit::TripleFault), Activity::Shutdown)
    );
}

#[test]
fn cli_and_sti_obey_the_io_privilege_level() {
    let (mut m, p) = Machine::user(|a| {
        a.sti()?;
        a.nop()?;
        a.cli()?;
        a.int(0x80)
    });
    m.open_gate(0x80, 3, 0);
    m.change(|state| state.rflags |= flag::IOPL);
    let e = m.event();
    assert_eq!((e.what(), e.rflags & flag::IF), ((0x80, None, p.end()), 0));
}

#[test]
fn popf_at_level_3_changes_neither_if_nor_iopl_without_permission() {
    for (level, kept) in [(0u64, flag::IF), (flag::IOPL, 0)] {
        let (mut m, _) = Machine::user(|a| {
            a.push(if level == 0 { 0x3003 } else { 0x0003 })?;
            a.popfq()?;
            a.int(0x80)
        });
        m.open_gate(0x80, 3, 0);
        m.change(|state| state.rflags = 2 | level | flag::IF);
        assert_eq!(m.event().rflags, 3 | level | kept);
    }
}
