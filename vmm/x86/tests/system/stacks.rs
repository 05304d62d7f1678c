//! The stacks of handlers: alignment, privilege changes and the interrupt stack table (Intel SDM
//! vol. 3, 6.14), and what IRETQ makes of the frames.

use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Machine, enter_user, reg, seg};

#[test]
fn frames_are_aligned_to_sixteen_bytes_whatever_rsp_was() {
    for offset in 0..16 {
        let (mut m, _) = Machine::kernel(|a| a.int3());
        m.change(|state| state.gpr[reg::RSP] = STACK - offset);
        let e = m.event();
        assert_eq!(e.rsp, STACK - offset);
        assert_eq!(e.frame + 40, (STACK - offset) & !15);
    }
}

#[test]
fn error_code_lies_below_the_frame() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(eax, u32::from(selector::BEYOND))?;
        a.mov(ds, eax)
    });
    let e = m.event();
    assert_eq!(m.gpr(reg::RSP), STACK - 48);
    assert_eq!(
        (e.frame, e.error),
        (STACK - 40, Some(u32::from(selector::BEYOND)))
    );
}

#[test]
fn entry_from_user_takes_the_stack_of_the_task_and_a_null_ss() {
    let (mut m, p) = Machine::user(|a| a.ud2());
    let e = m.event();
    assert_eq!(e.what(), (vector::UD, None, p.at(0)));
    assert_eq!(
        (e.cs, e.ss, e.rsp),
        (selector::USER_CODE64, selector::USER_DATA, USER_STACK)
    );
    assert_eq!(e.frame, STACK0 - 40);
    let state = m.cpu.state();
    assert_eq!(state.segments[seg::SS].selector, 0);
    assert_eq!(state.segments[seg::CS].selector, selector::CODE64);
    assert_eq!(state.segments[seg::DS].selector, selector::USER_DATA);
}

#[test]
fn interrupt_stacks_apply_with_and_without_a_privilege_change() {
    for ist in 1..8 {
        let (mut m, _) = Machine::kernel(|a| a.ud2());
        m.open_gate(vector::UD, 0, ist);
        let e = m.event();
        assert_eq!((e.frame, e.ss), (IST + 0x1000 * ist - 40, selector::DATA));
        assert_eq!(m.cpu.state().segments[seg::SS].selector, selector::DATA);
        let (mut m, _) = Machine::user(|a| a.ud2());
        m.open_gate(vector::UD, 0, ist);
        assert_eq!(m.event().frame, IST + 0x1000 * ist - 40);
        assert_eq!(m.cpu.state().segments[seg::SS].selector, 0);
    }
}

#[test]
fn handlers_stack_is_written_as_supervisor() {
    // The user's own stack is read-only for nobody here, but the task's stack is not the user's.
    let (mut m, _) = Machine::user(|a| a.ud2());
    assert_eq!(m.entry(STACK0 - 8) & page::U, 0);
    assert_eq!(m.event().vector, vector::UD);
}

#[test]
fn iretq_returns_to_the_user_and_restores_everything() {
    let (mut m, p) = Machine::user(|a| {
        a.int(0x80)?;
        a.mov(eax, 7)?;
        a.int(0x81)
    });
    m.open_gate(0x80, 3, 0);
    m.open_gate(0x81, 3, 0);
    m.change(|state| state.rflags = 2 | flag::CF | flag::OF | flag::IF | flag::ID);
    let first = m.event();
    assert_eq!(first.rip, p.at(1));
    let second = m.event();
    assert_eq!(second.rip, p.end());
    assert_eq!(
        (second.cs, second.ss, second.rsp),
        (first.cs, first.ss, first.rsp)
    );
    assert_eq!(second.rflags, first.rflags);
    assert_eq!(m.gpr(reg::RAX), 7);
}

/// Runs IRETQ at privilege level 0 with a frame of the test's.
fn iretq(target: u64, code: u16, rflags: u64, pointer: u64, stack: u16) -> (Machine, u64) {
    let (mut m, p) = Machine::kernel(|a| {
        for value in [u64::from(stack), pointer, rflags, u64::from(code), target] {
            a.mov(rax, value)?;
            a.push(rax)?;
        }
        a.iretq()
    });
    m.place(USER_CODE, 64, |a| a.ud2());
    let at = p.at(10);
    (m, at)
}

#[test]
fn iretq_to_level_3_drops_segments_that_are_too_privileged() {
    let (mut m, _) = iretq(
        USER_CODE,
        selector::USER_CODE64,
        2,
        USER_STACK,
        selector::USER_DATA,
    );
    m.change(|state| {
        state.segments[seg::ES].selector = selector::USER_DATA;
        state.segments[seg::ES].access = 0xc0f3;
        state.segments[seg::FS].base = 0x1234;
    });
    let e = m.event();
    assert_eq!(e.what(), (vector::UD, None, USER_CODE));
    let state = m.cpu.state();
    assert_eq!(state.segments[seg::DS].selector, 0);
    assert_eq!(state.segments[seg::ES].selector, selector::USER_DATA);
    assert_eq!(state.segments[seg::FS].selector, 0);
}

#[test]
fn iretq_checks_the_code_segment() {
    let spare = u32::from(selector::SPARE);
    let cases = [
        (0, vector::GP, 0),
        (3, vector::GP, 0),
        (selector::BEYOND, vector::GP, u32::from(selector::BEYOND)),
        (selector::DATA, vector::GP, u32::from(selector::DATA)),
        // The requested level is that of neither the segment nor the CPU.
        (
            selector::CODE64 | 3,
            vector::GP,
            u32::from(selector::CODE64),
        ),
        (
            selector::USER_CODE64 & !3,
            vector::GP,
            u32::from(selector::USER_CODE64 & !3),
        ),
        (selector::SPARE, vector::NP, spare),
    ];
    for (code, vector, error) in cases {
        let (mut m, at) = iretq(CODE, code, 2, STACK, selector::DATA);
        m.describe(selector::SPARE, descriptor::CODE64 & !descriptor::PRESENT);
        assert_eq!(m.event().what(), (vector, Some(error), at), "{code:#x}");
    }
}

#[test]
fn iretq_checks_the_stack_segment() {
    let user = selector::USER_CODE64;
    let cases = [
        // A null SS is for 64-bit code inside of level 3.
        (user, 3, vector::GP, 0),
        (user, 0, vector::GP, 0),
        (
            user,
            selector::DATA | 3,
            vector::GP,
            u32::from(selector::DATA),
        ),
        (
            user,
            selector::USER_DATA & !3,
            vector::GP,
            u32::from(selector::USER_DATA & !3),
        ),
        (user, user, vector::GP, u32::from(user & !3)),
        (
            user,
            selector::BEYOND | 3,
            vector::GP,
            u32::from(selector::BEYOND),
        ),
        (
            user,
            selector::SPARE | 3,
            vector::SS,
            u32::from(selector::SPARE),
        ),
        (selector::CODE32, 0, vector::GP, 0),
    ];
    for (code, stack, vector, error) in cases {
        let (mut m, at) = iretq(USER_CODE, code, 2, USER_STACK, stack);
        m.describe(
            selector::SPARE,
            descriptor::USER_DATA & !descriptor::PRESENT,
        );
        assert_eq!(
            m.event().what(),
            (vector, Some(error), at),
            "{code:#x} {stack:#x}"
        );
        assert_eq!(m.cpu.state().segments[seg::CS].selector, selector::CODE64);
    }
}

#[test]
fn iretq_takes_a_null_ss_within_level_0() {
    let (mut m, _) = iretq(USER_CODE, selector::CODE64, 2, STACK - 8, 0);
    let e = m.event();
    assert_eq!((e.vector, e.ss, e.rsp), (vector::UD, 0, STACK - 8));
}

#[test]
fn iretq_to_a_non_canonical_address_faults_at_the_iretq() {
    let (mut m, at) = iretq(
        0x8000_0000_0000,
        selector::USER_CODE64,
        2,
        USER_STACK,
        selector::USER_DATA,
    );
    let e = m.event();
    assert_eq!(e.what(), (vector::GP, Some(0), at));
    assert_eq!(e.cs, selector::CODE64);
}

#[test]
fn iretq_with_nested_task_faults_in_long_mode() {
    let (mut m, at) = iretq(CODE, selector::CODE64, 2, STACK, selector::DATA);
    m.change(|state| state.rflags |= flag::NT);
    assert_eq!(m.event().what(), (vector::GP, Some(0), at));
}

#[test]
fn iretq_to_compatibility_mode_runs_32_bit_code() {
    let (mut m, _) = iretq(
        USER_CODE,
        selector::USER_CODE32,
        2,
        USER_STACK,
        selector::USER_DATA,
    );
    let p = m.place(USER_CODE, 32, |a| {
        a.db(&[0x40])?; // INC EAX, which is a prefix in 64-bit mode
        a.int3()
    });
    m.open_gate(vector::BP, 3, 0);
    let e = m.event();
    assert_eq!(e.what(), (vector::BP, None, p.end()));
    assert_eq!(e.cs, selector::USER_CODE32);
}

#[test]
fn iretq_at_level_3_may_change_neither_if_nor_iopl() {
    let (mut m, _) = Machine::user(|a| {
        for value in [
            u64::from(selector::USER_DATA),
            USER_STACK,
            2 | flag::IOPL | flag::IF | flag::CF | flag::AC,
            u64::from(selector::USER_CODE64),
            USER_CODE + 0x100,
        ] {
            a.mov(rax, value)?;
            a.push(rax)?;
        }
        a.iretq()
    });
    m.place(USER_CODE + 0x100, 64, |a| a.ud2());
    assert_eq!(m.event().rflags & !flag::RF, 2 | flag::CF | flag::AC);
}

#[test]
fn iretq_at_level_0_sets_all_flags_that_exist() {
    let all = flag::IOPL | flag::IF | flag::CF | flag::AC | flag::ID | flag::NT | flag::DF;
    let (mut m, _) = iretq(
        USER_CODE,
        selector::USER_CODE64,
        all,
        USER_STACK,
        selector::USER_DATA,
    );
    assert_eq!(m.event().rflags & !flag::RF, 2 | all);
}

#[test]
fn far_return_to_level_3_pops_the_stack_and_the_parameters() {
    let (mut m, p) = Machine::kernel(|a| {
        for value in [
            u64::from(selector::USER_DATA),
            USER_STACK - 64,
            0x1111,
            u64::from(selector::USER_CODE64),
            USER_CODE,
        ] {
            a.mov(rax, value)?;
            a.push(rax)?;
        }
        a.db(&[0x48, 0xca, 8, 0]) // RETFQ 8
    });
    m.place(USER_CODE, 64, |a| a.ud2());
    let e = m.event();
    assert_eq!(e.what(), (vector::UD, None, USER_CODE));
    assert_eq!(
        (e.cs, e.ss, e.rsp),
        (
            selector::USER_CODE64,
            selector::USER_DATA,
            USER_STACK - 64 + 8
        )
    );
    let _ = p;
}

#[test]
fn user_code_cannot_return_inwards() {
    let (mut m, p) = Machine::user(|a| {
        a.push(i32::from(selector::CODE64))?;
        a.push(0)?;
        a.db(&[0x48, 0xcb]) // RETFQ
    });
    m.change(|state| enter_user(state, selector::USER_CODE64));
    assert_eq!(
        m.event().what(),
        (vector::GP, Some(u32::from(selector::CODE64)), p.at(2))
    );
}
