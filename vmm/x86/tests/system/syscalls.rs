//! SYSCALL, SYSRET, SYSENTER, SYSEXIT and SWAPGS (Intel SDM vol. 2).

use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Machine, reg, seg};

/// STAR for the selectors of the test machine.
const STAR: u64 = 0x08 << 32 | 0x20 << 48;
const ENTRY: u64 = CODE + 0x800;

fn with_syscall(m: &mut Machine, mask: u64) {
    m.change(|state| {
        state.msrs.star = STAR;
        state.msrs.lstar = ENTRY;
        state.msrs.sfmask = mask;
    });
}

#[test]
fn syscall_saves_and_masks_flags_and_loads_fixed_segments() {
    let (mut m, p) = Machine::user(|a| a.syscall());
    m.place(ENTRY, 64, |a| a.hlt());
    with_syscall(&mut m, flag::IF | flag::DF);
    m.change(|state| state.rflags = 2 | flag::IF | flag::DF | flag::CF | flag::ID);
    m.halt();
    let state = m.cpu.state();
    assert_eq!(state.gpr[reg::RCX], p.end());
    assert_eq!(state.gpr[11], 2 | flag::IF | flag::DF | flag::CF | flag::ID);
    assert_eq!(state.rflags, 2 | flag::CF | flag::ID);
    assert_eq!(state.gpr[reg::RSP], USER_STACK);
    let (code, stack) = (state.segments[seg::CS], state.segments[seg::SS]);
    assert_eq!(
        (code.selector, code.access, code.limit, code.base),
        (0x08, 0xa09b, u32::MAX, 0)
    );
    assert_eq!(
        (stack.selector, stack.access, stack.limit, stack.base),
        (0x10, 0xc093, u32::MAX, 0)
    );
}

#[test]
fn syscall_enters_level_0() {
    let (mut m, _) = Machine::user(|a| a.syscall());
    m.place(ENTRY, 64, |a| {
        a.mov(rax, cr0)?;
        a.mov(al, byte_ptr(DATA))?;
        a.hlt()
    });
    with_syscall(&mut m, 0);
    m.halt();
}

#[test]
fn syscall_is_undefined_without_sce_and_outside_of_64_bit_mode() {
    let (mut m, p) = Machine::user(|a| a.syscall());
    m.change(|state| state.msrs.efer &= !control::EFER_SCE);
    assert_eq!(m.event().what(), (vector::UD, None, p.at(0)));
    let (mut m, p) = Machine::compatible(|a| a.syscall());
    assert_eq!(m.event().what(), (vector::UD, None, p.at(0)));
}

/// A machine that executes SYSRET with RCX and R11 given.
fn sysret(long: bool, target: u64, flags: u64) -> (Machine, u64) {
    let (mut m, p) = Machine::kernel(|a| if long { a.sysretq() } else { a.sysret() });
    with_syscall(&mut m, 0);
    m.place(USER_CODE, 64, |a| a.ud2());
    m.change(|state| {
        state.gpr[reg::RCX] = target;
        state.gpr[11] = flags;
        state.gpr[reg::RSP] = USER_STACK - 0x40;
    });
    let at = p.at(0);
    (m, at)
}

#[test]
fn sysret_returns_to_64_bit_user_code() {
    let (mut m, _) = sysret(true, USER_CODE, !(flag::TF | flag::NT));
    let e = m.event();
    assert_eq!(e.what(), (vector::UD, None, USER_CODE));
    assert_eq!(
        (e.cs, e.ss, e.rsp),
        (
            selector::USER_CODE64,
            selector::USER_DATA,
            USER_STACK - 0x40
        )
    );
    // Everything but RF and VM, of the bits that exist.
    assert_eq!(e.rflags & !flag::RF, 0x3c_7fd7 & !flag::TF & !flag::NT);
}

#[test]
fn sysret_returns_to_compatibility_mode() {
    let (mut m, _) = sysret(false, 0xffff_ffff_0000_0000 | USER_CODE, 2);
    let e = m.event();
    assert_eq!(e.what(), (vector::UD, None, USER_CODE));
    assert_eq!((e.cs, e.ss), (selector::USER_CODE32, selector::USER_DATA));
}

#[test]
fn sysret_to_a_non_canonical_address_faults_in_the_kernel() {
    let (mut m, at) = sysret(true, 0x8000_0000_0000, 2);
    let e = m.event();
    assert_eq!(e.what(), (vector::GP, Some(0), at));
    assert_eq!((e.cs, e.rsp), (selector::CODE64, USER_STACK - 0x40));
}

#[test]
fn sysret_is_for_level_0_and_sce() {
    let (mut m, p) = Machine::user(|a| a.sysretq());
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(0)));
    let (mut m, at) = sysret(true, USER_CODE, 2);
    m.change(|state| state.msrs.efer &= !control::EFER_SCE);
    assert_eq!(m.event().what(), (vector::UD, None, at));
}

#[test]
fn sysret_that_sets_tf_traps_at_once() {
    let (mut m, _) = sysret(true, USER_CODE, 2 | flag::TF);
    let e = m.event();
    assert_eq!(e.what(), (vector::DB, None, USER_CODE));
    assert_ne!(e.rflags & flag::TF, 0);
    assert_eq!(m.cpu.state().dr[6] & 0xf00f, 0x4000);
}

#[test]
fn syscall_under_tf_traps_behind_it_unless_tf_is_masked() {
    let (mut m, p) = Machine::user(|a| a.syscall());
    m.place(ENTRY, 64, |a| a.hlt());
    with_syscall(&mut m, 0);
    m.change(|state| state.rflags |= flag::TF);
    let e = m.event();
    assert_eq!(
        (e.what(), e.cs),
        ((vector::DB, None, ENTRY), selector::CODE64)
    );

    let (mut m, _) = Machine::user(|a| a.syscall());
    m.place(ENTRY, 64, |a| a.hlt());
    with_syscall(&mut m, flag::TF);
    m.change(|state| state.rflags |= flag::TF);
    m.halt();
    assert_eq!(m.gpr(11), 2 | flag::TF);
    assert_eq!(m.gpr(reg::RCX), p.end());
}

#[test]
fn system_call_makes_the_round_trip() {
    let (mut m, p) = Machine::user(|a| {
        a.mov(eax, 20)?;
        a.syscall()?;
        a.add(eax, 1)?;
        a.int(0x80)
    });
    m.open_gate(0x80, 3, 0);
    m.place(ENTRY, 64, |a| {
        a.swapgs()?;
        a.mov(qword_ptr(0).gs(), rsp)?;
        a.mov(rsp, qword_ptr(8).gs())?;
        a.push(rcx)?;
        a.push(r11)?;
        a.add(eax, eax)?;
        a.pop(r11)?;
        a.pop(rcx)?;
        a.mov(rsp, qword_ptr(0).gs())?;
        a.swapgs()?;
        a.sysretq()
    });
    with_syscall(&mut m, flag::IF);
    m.poke64(DATA + 8, STACK);
    m.change(|state| {
        state.msrs.kernel_gs_base = DATA;
        state.segments[seg::GS].base = USER_DATA;
        state.rflags |= flag::IF | flag::CF;
    });
    let e = m.event();
    assert_eq!(e.what(), (0x80, None, p.end()));
    assert_eq!(m.gpr(reg::RAX), 41);
    assert_eq!(e.rsp, USER_STACK);
    assert_eq!(e.rflags & flag::IF, flag::IF);
    assert_eq!(m.cpu.state().segments[seg::GS].base, USER_DATA);
    assert_eq!(m.peek64(DATA), USER_STACK);
}

#[test]
fn swapgs_exchanges_the_bases_and_is_privileged() {
    let (mut m, _) = Machine::kernel(|a| {
        a.swapgs()?;
        a.mov(rax, qword_ptr(0).gs())?;
        a.hlt()
    });
    m.poke64(DATA, 0x77);
    m.change(|state| {
        state.msrs.kernel_gs_base = DATA;
        state.segments[seg::GS].base = 0x1234;
    });
    m.halt();
    assert_eq!(m.gpr(reg::RAX), 0x77);
    assert_eq!(m.cpu.state().msrs.kernel_gs_base, 0x1234);
    let (mut m, p) = Machine::compatible(|a| a.db(&[0x0f, 0x01, 0xf8]));
    assert_eq!(m.event().what(), (vector::UD, None, p.at(0)));
}

fn with_sysenter(m: &mut Machine) {
    m.change(|state| {
        state.msrs.sysenter_cs = 0x08;
        state.msrs.sysenter_esp = STACK - 0x100;
        state.msrs.sysenter_eip = ENTRY;
    });
}

#[test]
fn sysenter_loads_stack_and_entry_and_clears_if() {
    let (mut m, _) = Machine::user(|a| a.sysenter());
    m.place(ENTRY, 64, |a| a.hlt());
    with_sysenter(&mut m);
    m.change(|state| state.rflags |= flag::IF | flag::CF);
    m.halt();
    let state = m.cpu.state();
    assert_eq!(
        (state.gpr[reg::RSP], state.rflags),
        (STACK - 0x100, 2 | flag::CF)
    );
    assert_eq!(state.segments[seg::CS].selector, 0x08);
    assert_eq!(state.segments[seg::CS].access, 0xa09b);
    assert_eq!(state.segments[seg::SS].selector, 0x10);
}

#[test]
fn sysenter_does_not_clear_tf_so_that_the_trap_is_in_the_kernel() {
    let (mut m, _) = Machine::user(|a| a.sysenter());
    m.place(ENTRY, 64, |a| a.hlt());
    with_sysenter(&mut m);
    m.change(|state| state.rflags |= flag::TF);
    let e = m.event();
    assert_eq!(
        (e.what(), e.cs),
        ((vector::DB, None, ENTRY), selector::CODE64)
    );
}

#[test]
fn sysenter_and_sysexit_need_a_code_segment() {
    let (mut m, p) = Machine::user(|a| a.sysenter());
    m.change(|state| state.msrs.sysenter_cs = 3);
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(0)));
    let (mut m, p) = Machine::kernel(|a| a.sysexitq());
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(0)));
    let (mut m, p) = Machine::user(|a| a.sysexitq());
    with_sysenter(&mut m);
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(0)));
}

#[test]
fn sysexit_goes_to_user_code_of_either_width() {
    for (long, code, stack) in [(true, 0x2b, 0x33), (false, 0x1b, 0x23)] {
        let (mut m, _) = Machine::kernel(|a| if long { a.sysexitq() } else { a.sysexit() });
        m.place(USER_CODE, 64, |a| a.ud2());
        with_sysenter(&mut m);
        m.change(|state| {
            state.gpr[reg::RCX] = USER_STACK;
            state.gpr[reg::RDX] = USER_CODE;
        });
        let e = m.event();
        assert_eq!(e.what(), (vector::UD, None, USER_CODE));
        assert_eq!((e.cs, e.ss, e.rsp), (code, stack, USER_STACK));
    }
}

#[test]
fn sysexit_checks_both_addresses() {
    for (stack, target) in [
        (0x8000_0000_0000, USER_CODE),
        (USER_STACK, 0x8000_0000_0000),
    ] {
        let (mut m, p) = Machine::kernel(|a| a.sysexitq());
        with_sysenter(&mut m);
        m.change(|state| {
            state.gpr[reg::RCX] = stack;
            state.gpr[reg::RDX] = target;
        });
        assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(0)));
    }
}
