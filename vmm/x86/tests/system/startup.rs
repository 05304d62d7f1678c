//! From the reset and the start-up IPI to long mode, as an operating system does it.

use chaosrun_x86::{Activity, Cpu, CpuModel, Exit};
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Machine, Seen, reg, seg};

const VECTOR: u8 = 0x90;
const START: u64 = (VECTOR as u64) << 12;

/// Puts an application processor into the machine's place.
fn application_processor(m: &mut Machine) {
    m.cpu = Cpu::new(1, CpuModel::default());
}

#[test]
fn application_processor_waits_for_its_start_up() {
    let mut m = Machine::new();
    application_processor(&mut m);
    assert_eq!(
        (m.cpu.activity(), m.run(10)),
        (Activity::WaitForSipi, Exit::Halt)
    );
    m.cpu.sipi(VECTOR);
    let state = m.cpu.state();
    let code = state.segments[seg::CS];
    assert_eq!(
        (code.selector, code.base, state.rip),
        (u16::from(VECTOR) << 8, START, 0)
    );
    assert_eq!(state.activity, Activity::Running);
    m.cpu.sipi(0x10);
    assert_eq!(
        m.cpu.state().segments[seg::CS].base,
        START,
        "a second one is ignored"
    );
}

#[test]
fn init_resets_but_keeps_what_the_manual_says() {
    let (mut m, _) = Machine::kernel(|a| a.nop());
    m.change(|state| {
        state.xmm[3] = [1, 2];
        state.msrs.lstar = 0x1234;
        state.gpr[reg::RBX] = 5;
        state.interrupt_shadow = 1;
    });
    m.run(1);
    let retired = m.cpu.retired();
    m.cpu.init();
    let state = m.cpu.state();
    assert_eq!(state.activity, Activity::WaitForSipi);
    assert_eq!(
        (state.xmm[3], state.msrs.lstar, state.gpr[reg::RBX]),
        ([1, 2], 0x1234, 0)
    );
    assert_eq!(
        (state.rip, state.rflags, state.cr3, state.cr4),
        (0xfff0, 2, 0, 0)
    );
    assert_eq!((state.cr0 & 0x8000_0001, state.msrs.efer), (0, 0));
    assert_eq!((m.cpu.retired(), state.interrupt_shadow), (retired, 0));
}

#[test]
fn real_mode_addresses_are_segments_times_sixteen() {
    let mut m = Machine::new();
    application_processor(&mut m);
    m.place(START, 16, |a| {
        a.mov(ax, 0x2345)?;
        a.mov(ds, ax)?;
        a.mov(word_ptr(0x10), 0x7788)?;
        a.mov(ss, ax)?;
        a.mov(sp, 0)?;
        a.push(ax)?;
        a.hlt()
    });
    m.cpu.sipi(VECTOR);
    m.halt();
    assert_eq!(m.peek64(0x2_3450 + 0x10) & 0xffff, 0x7788);
    assert_eq!(m.peek64(0x2_3450 + 0xfffe) & 0xffff, 0x2345);
    assert_eq!(m.gpr(reg::RSP), 0xfffe);
}

#[test]
fn real_mode_interrupts_go_through_the_vector_table() {
    let mut m = Machine::new();
    application_processor(&mut m);
    let p = m.place(START, 16, |a| {
        a.xor(ax, ax)?;
        a.mov(ss, ax)?;
        a.mov(sp, 0x8000)?;
        a.int(0x21)?;
        a.xor(cx, cx)?;
        a.div(cx)?;
        a.hlt()
    });
    // INT 21 returns; the divide error halts.
    m.poke(0x21 * 4, &[0x00, 0x00, 0x00, 0x95]);
    m.poke(0, &[0x10, 0x00, 0x00, 0x95]);
    m.place(0x9_5000, 16, |a| {
        a.mov(bx, 0x1111)?;
        a.iret()
    });
    m.place(0x9_5010, 16, |a| a.hlt());
    m.cpu.sipi(VECTOR);
    m.change(|state| state.rflags |= flag::IF);
    m.halt();
    let state = m.cpu.state();
    assert_eq!((state.gpr[reg::RBX], state.rip), (0x1111, 0x11));
    assert_eq!(state.segments[seg::CS].base, 0x9_5000);
    assert_eq!(state.rflags & flag::IF, 0);
    // IP, CS and FLAGS of the division.
    let frame = m.peek64(0x8000 - 6);
    assert_eq!(frame & 0xffff, p.at(5) - START);
    assert_eq!(frame >> 16 & 0xffff, u64::from(VECTOR) << 8);
    assert_eq!(frame >> 32 & flag::IF, flag::IF);
}

#[test]
fn real_mode_fault_without_a_vector_table_shuts_down() {
    let mut m = Machine::new();
    application_processor(&mut m);
    m.place(START, 16, |a| {
        a.lidt(ptr(0x100))?;
        a.int3()
    });
    m.cpu.sipi(VECTOR);
    assert_eq!(m.run(10), Exit::TripleFault);
}

#[test]
fn nmi_in_real_mode_is_blocked_until_iret() {
    let mut m = Machine::new();
    application_processor(&mut m);
    m.place(START, 16, |a| {
        a.mov(sp, 0x8000)?;
        a.nop()?;
        a.hlt()
    });
    m.poke(2 * 4, &[0x00, 0x00, 0x00, 0x95]);
    m.place(0x9_5000, 16, |a| a.iret());
    m.cpu.sipi(VECTOR);
    assert_eq!(m.run(1), Exit::Budget);
    assert_eq!(m.cpu.inject_nmi(&mut m.memory, &mut m.bus), None);
    assert!(!m.cpu.nmi_acceptable());
    m.halt();
    assert!(m.cpu.nmi_acceptable());
}

/// Where the parts of the trampoline are, from its start.
const PROTECTED: u64 = 0x100;
const LONG: u64 = 0x200;
const TABLE: u64 = 0x300;

fn place_trampoline(m: &mut Machine) {
    m.place(START, 16, |a| {
        a.cli()?;
        a.mov(ax, cs)?;
        a.mov(ds, ax)?;
        a.db(&[0x66])?; // LGDT with a base of 32 bits
        a.lgdt(ptr(TABLE as u32))?;
        a.mov(eax, cr0)?;
        a.or(al, 1)?;
        a.mov(cr0, eax)?;
        // JMP CODE32:PROTECTED with an offset of 32 bits.
        a.db(&[0x66, 0xea])?;
        a.db(&((START + PROTECTED) as u32).to_le_bytes())?;
        a.db(&selector::CODE32.to_le_bytes())
    });
    m.place(START + PROTECTED, 32, |a| {
        a.mov(eax, u32::from(selector::DATA))?;
        a.mov(ds, eax)?;
        a.mov(ss, eax)?;
        a.mov(esp, STACK as u32)?;
        a.push(0x1234_5678)?;
        a.pop(ebx)?;
        a.mov(eax, cr4)?;
        a.or(eax, control::CR4_PAE as u32)?;
        a.mov(cr4, eax)?;
        a.mov(eax, PML4 as u32)?;
        a.mov(cr3, eax)?;
        a.mov(ecx, 0xc000_0080u32)?;
        a.rdmsr()?;
        a.or(eax, control::EFER_LME as u32)?;
        a.wrmsr()?;
        a.mov(eax, cr0)?;
        a.or(eax, control::CR0_PG as u32)?;
        a.mov(cr0, eax)?;
        a.db(&[0xea])?;
        a.db(&((START + LONG) as u32).to_le_bytes())?;
        a.db(&selector::CODE64.to_le_bytes())
    });
    m.place(START + LONG, 64, |a| {
        a.mov(rax, 0x1122_3344_5566_7788u64)?;
        a.lidt(ptr(START + TABLE + 16))?;
        a.mov(ecx, u32::from(selector::TSS))?;
        a.ltr(cx)?;
        a.mov(dx, 0x3f8u32)?;
        a.out(dx, al)?;
        a.int3()?;
        a.hlt()
    });
    m.poke(START + TABLE, &(selector::LAST + 7).to_le_bytes());
    m.poke64(START + TABLE + 2, GDT);
    m.poke(START + TABLE + 16, &0xfffu16.to_le_bytes());
    m.poke64(START + TABLE + 18, IDT);
    m.describe(
        selector::TSS,
        0x0000_8900_0000_0000 | u64::from(TSS_LIMIT) | TSS << 16,
    );
}

#[test]
fn trampoline_goes_from_real_mode_to_protected_to_long_mode() {
    let mut m = Machine::new();
    place_trampoline(&mut m);
    application_processor(&mut m);
    m.cpu.sipi(VECTOR);
    let e = m.event();
    assert_eq!(
        (e.vector, e.cs, e.ss),
        (vector::BP, selector::CODE64, selector::DATA)
    );
    m.halt();
    let state = m.cpu.state();
    assert_eq!(state.gpr[reg::RAX], 0x1122_3344_5566_7788);
    assert_eq!(state.gpr[reg::RBX], 0x1234_5678);
    assert_eq!(state.msrs.efer, control::EFER_LME | control::EFER_LMA);
    assert_eq!((state.tr.selector, state.tr.base), (selector::TSS, TSS));
    assert_eq!(m.bus.seen, [Seen::Out(0x3f8, 1, 0x88)]);
}

#[test]
fn mode_changes_do_not_depend_on_how_the_run_is_split() {
    let mut whole = Machine::new();
    place_trampoline(&mut whole);
    application_processor(&mut whole);
    whole.cpu.sipi(VECTOR);
    whole.event();
    let mut split = Machine::new();
    place_trampoline(&mut split);
    application_processor(&mut split);
    split.cpu.sipi(VECTOR);
    while split.run(1) == Exit::Budget {}
    assert_eq!(split.cpu.state(), whole.cpu.state());
}
