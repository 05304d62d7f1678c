//! Loads of segment and table registers, far transfers, LAR, LSL, VERR and VERW (Intel SDM vol. 3,
//! chapters 3 and 5).

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Event, Machine, reg, seg};

/// Loads `selector` into the segment register `index`.
fn load_segment(
    user: bool,
    index: usize,
    selector: u16,
    setup: impl FnOnce(&mut Machine),
) -> Result<Machine, Event> {
    let program = |a: &mut CodeAssembler| -> Result<(), IcedError> {
        a.mov(eax, u32::from(selector))?;
        let register = [es, cs, ss, ds, fs, gs][index];
        a.mov(register, eax)?;
        a.int(0x80)
    };
    let (mut m, p) = if user {
        Machine::user(program)
    } else {
        Machine::kernel(program)
    };
    m.open_gate(0x80, 3, 0);
    setup(&mut m);
    let e = m.event();
    if e.vector == 0x80 {
        return Ok(m);
    }
    assert_eq!(e.rip, p.at(1));
    Err(e)
}

fn failure(user: bool, index: usize, selector: u16, descriptor: u64) -> Option<(u8, u32)> {
    let result = load_segment(user, index, selector, |m| {
        m.describe(selector::SPARE, descriptor)
    });
    result.err().map(|e| (e.vector, e.error.unwrap_or(0)))
}

const SPARE: u16 = selector::SPARE;
const CODE_EXECUTE_ONLY: u64 = descriptor::CODE64 & !(2 << 40);
const CODE_CONFORMING: u64 = descriptor::CODE64 | 4 << 40;
const DATA_READ_ONLY: u64 = descriptor::DATA & !(2 << 40);

#[test]
fn data_segments_are_checked_for_type_privilege_and_presence() {
    let gp = |selector: u16| Some((vector::GP, u32::from(selector & !3)));
    let cases = [
        (false, SPARE, descriptor::DATA, None),
        (false, SPARE, DATA_READ_ONLY, None),
        (false, SPARE, descriptor::CODE64, None),
        (false, SPARE, CODE_EXECUTE_ONLY, gp(SPARE)),
        (false, SPARE, 0x0000_8b00_0000_0067, gp(SPARE)),
        (false, SPARE | 3, descriptor::DATA, gp(SPARE)),
        (false, SPARE | 3, CODE_CONFORMING, None),
        (false, SPARE | 3, descriptor::USER_DATA, None),
        (true, SPARE, descriptor::DATA, gp(SPARE)),
        (true, SPARE | 3, descriptor::USER_DATA, None),
        (true, SPARE, descriptor::USER_DATA, None),
        (true, SPARE | 3, CODE_CONFORMING, None),
        (
            false,
            SPARE,
            descriptor::DATA & !descriptor::PRESENT,
            Some((vector::NP, u32::from(SPARE))),
        ),
        (false, selector::BEYOND, 0, gp(selector::BEYOND)),
        // The local table is empty.
        (false, SPARE | 4, descriptor::DATA, gp(SPARE | 4)),
        (true, 0, 0, None),
        (true, 3, 0, None),
    ];
    for (user, selector, descriptor, expected) in cases {
        for index in [seg::ES, seg::DS, seg::FS, seg::GS] {
            assert_eq!(
                failure(user, index, selector, descriptor),
                expected,
                "{selector:#x} {descriptor:#x}"
            );
        }
    }
}

#[test]
fn stack_segments_are_writable_and_of_the_same_privilege() {
    let gp = |selector: u16| Some((vector::GP, u32::from(selector & !3)));
    let cases = [
        (false, SPARE, descriptor::DATA, None),
        (false, SPARE, DATA_READ_ONLY, gp(SPARE)),
        (false, SPARE, descriptor::CODE64, gp(SPARE)),
        (false, SPARE | 1, descriptor::DATA, gp(SPARE)),
        (false, SPARE, descriptor::USER_DATA, gp(SPARE)),
        (true, SPARE | 3, descriptor::USER_DATA, None),
        (true, SPARE, descriptor::USER_DATA, gp(SPARE)),
        (
            false,
            SPARE,
            descriptor::DATA & !descriptor::PRESENT,
            Some((vector::SS, u32::from(SPARE))),
        ),
        (false, selector::BEYOND, 0, gp(selector::BEYOND)),
        // A null SS is for 64-bit code inside of level 3, with its own level.
        (false, 0, 0, None),
        (false, 3, 0, Some((vector::GP, 0))),
        (true, 3, 0, Some((vector::GP, 0))),
    ];
    for (user, selector, descriptor, expected) in cases {
        assert_eq!(
            failure(user, seg::SS, selector, descriptor),
            expected,
            "{selector:#x} {descriptor:#x}"
        );
    }
}

#[test]
fn null_ss_is_refused_in_compatibility_mode() {
    let (mut m, p) = Machine::compatible(|a| {
        a.xor(eax, eax)?;
        a.mov(ss, eax)
    });
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(1)));
}

#[test]
fn loading_a_segment_sets_its_accessed_bit() {
    let unused = descriptor::DATA & !(1 << 40);
    let m = load_segment(false, seg::DS, SPARE, |m| m.describe(SPARE, unused))
        .expect("the load succeeds");
    assert_eq!(m.peek64(GDT + u64::from(SPARE)), descriptor::DATA);
    assert_eq!(m.cpu.state().segments[seg::DS].access, 0xc093);
}

#[test]
fn fs_and_gs_take_their_bases_from_descriptors_and_null_clears_them() {
    let based = descriptor::DATA | 0x12 << 56 | 0x34_5678 << 16;
    let m = load_segment(false, seg::FS, SPARE, |m| m.describe(SPARE, based))
        .expect("the load succeeds");
    assert_eq!(m.cpu.state().segments[seg::FS].base, 0x1234_5678);
    let set = |m: &mut Machine| m.change(|state| state.segments[seg::GS].base = 0x99);
    let m = load_segment(false, seg::GS, 0, set).expect("the load succeeds");
    assert_eq!(m.cpu.state().segments[seg::GS].base, 0);
}

#[test]
fn local_descriptor_table_is_used_for_its_selectors() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(eax, u32::from(SPARE))?;
        a.lldt(ax)?;
        a.sldt(ecx)?;
        a.mov(eax, 0xcu32)?;
        a.mov(fs, eax)?;
        a.hlt()
    });
    // A system descriptor of 16 bytes whose table is at DATA, with two entries.
    m.describe(SPARE, 0x0000_8200_0000_000f | DATA << 16);
    m.poke64(DATA + 8, descriptor::DATA | 0x77 << 16);
    m.halt();
    let state = m.cpu.state();
    assert_eq!(
        (state.ldtr.selector, state.ldtr.base, state.ldtr.limit),
        (SPARE, DATA, 15)
    );
    assert_eq!(
        (state.gpr[reg::RCX], state.segments[seg::FS].base),
        (u64::from(SPARE), 0x77)
    );
}

#[test]
fn lldt_and_ltr_check_their_descriptors() {
    let gp = (vector::GP, Some(u32::from(SPARE)));
    let np = (vector::NP, Some(u32::from(SPARE)));
    let cases: [(bool, u16, u64, _); 8] = [
        (false, SPARE, descriptor::DATA, gp),
        (false, SPARE, 0x0000_0200_0000_000f, np),
        (
            false,
            selector::BEYOND,
            0,
            (vector::GP, Some(u32::from(selector::BEYOND))),
        ),
        (
            false,
            SPARE | 4,
            0,
            (vector::GP, Some(u32::from(SPARE | 4))),
        ),
        (true, 0, 0, (vector::GP, Some(0))),
        (true, SPARE, 0x0000_8b00_0000_0067, gp),
        (true, SPARE, 0x0000_0900_0000_0067, np),
        (true, SPARE, 0x0000_8200_0000_0067, gp),
    ];
    for (task, selector, descriptor, expected) in cases {
        let (mut m, p) = Machine::kernel(|a| {
            a.mov(eax, u32::from(selector))?;
            if task { a.ltr(ax) } else { a.lldt(ax) }
        });
        m.describe(SPARE, descriptor);
        let e = m.event();
        assert_eq!(
            ((e.vector, e.error), e.rip),
            (expected, p.at(1)),
            "{selector:#x} {descriptor:#x}"
        );
    }
}

#[test]
fn lldt_and_ltr_check_the_second_half_of_a_descriptor() {
    let code = u32::from(SPARE);
    let end = u32::from(SPARE) + 15;
    // The second half, the limit of the table, and whether that is refused.
    let cases = [
        (0xffff_8000, end, false),
        (0x7fff, end, false),
        // Not canonical.
        (0x8000, end, true),
        (0xffff_7fff, end, true),
        // A type in the second half.
        (0x0100_0000_0000, end, true),
        (0x1000_0000_0000, end, true),
        // Bits that are ignored.
        (0xff00_e000_0000_0000 | 0x7fff, end, false),
        // Beyond the table.
        (0x7fff, end - 1, true),
        (0x7fff, end - 8, true),
    ];
    for (task, descriptor) in [
        (false, 0x8000_8200_0000_000f),
        (true, 0x8000_8900_0000_0067),
    ] {
        for (upper, limit, refused) in cases {
            let (mut m, p) = Machine::kernel(|a| {
                a.mov(eax, u32::from(SPARE))?;
                if task { a.ltr(ax) } else { a.lldt(ax) }?;
                a.hlt()
            });
            m.describe(SPARE, descriptor);
            m.poke64(GDT + u64::from(SPARE) + 8, upper);
            m.change(|state| state.gdtr.limit = limit as u16);
            let before = m.cpu.state();
            if refused {
                let e = m.event();
                assert_eq!(e.what(), (vector::GP, Some(code), p.at(1)), "{upper:#x}");
                let after = m.cpu.state();
                assert_eq!((after.tr, after.ldtr), (before.tr, before.ldtr));
                assert_eq!(m.peek64(GDT + u64::from(SPARE)), descriptor);
            } else {
                m.halt();
                let state = m.cpu.state();
                let loaded = if task { state.tr } else { state.ldtr };
                assert_eq!(loaded.base >> 32, upper & 0xffff_ffff);
            }
        }
    }
}

#[test]
fn ltr_loads_64_bits_of_base_and_marks_the_segment_busy() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(eax, u32::from(SPARE))?;
        a.ltr(ax)?;
        a.str(ecx)?;
        a.hlt()
    });
    m.describe(SPARE, 0x0000_8900_1234_0067);
    m.poke64(GDT + u64::from(SPARE) + 8, 0xffff_8000);
    m.halt();
    let state = m.cpu.state();
    assert_eq!(
        (state.tr.base, state.tr.limit, state.tr.selector),
        (0xffff_8000_0000_1234, 0x67, SPARE)
    );
    assert_eq!(m.peek64(GDT + u64::from(SPARE)) >> 40 & 0xff, 0x8b);
    assert_eq!(state.gpr[reg::RCX], u64::from(SPARE));
}

#[test]
fn table_registers_are_stored_as_they_were_loaded() {
    let (mut m, _) = Machine::kernel(|a| {
        a.lgdt(ptr(DATA))?;
        a.sgdt(ptr(DATA + 16))?;
        a.lidt(ptr(DATA))?;
        a.sidt(ptr(DATA + 32))?;
        a.hlt()
    });
    m.poke(
        DATA,
        &[0x7f, 0x01, 0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xff, 0xff],
    );
    m.halt();
    for address in [DATA + 16, DATA + 32] {
        assert_eq!(m.peek64(address), m.peek64(DATA));
        assert_eq!(m.peek64(address + 8) & 0xffff, 0xffff);
    }
    assert_eq!(m.cpu.state().gdtr.limit, 0x17f);
}

#[test]
fn table_base_has_to_be_canonical() {
    let (mut m, p) = Machine::kernel(|a| a.lgdt(ptr(DATA)));
    m.poke(DATA, &[0x7f, 0x01, 0, 0, 0, 0, 0, 0x80, 0, 0]);
    let before = m.cpu.state().gdtr;
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(0)));
    assert_eq!(m.cpu.state().gdtr, before);
}

/// A far jump through a pointer in memory to `selector:offset`.
fn far_jump(user: bool, selector: u16, offset: u64, descriptor: u64) -> (Machine, u64) {
    // JMP m16:64 and RAX as its address.
    let program = |a: &mut CodeAssembler| a.db(&[0x48, 0xff, 0x28]);
    let (mut m, p) = if user {
        Machine::user(program)
    } else {
        Machine::kernel(program)
    };
    m.poke64(USER_DATA, offset);
    m.poke64(USER_DATA + 8, u64::from(selector));
    m.describe(SPARE, descriptor);
    m.change(|state| state.gpr[reg::RAX] = USER_DATA);
    m.place(USER_CODE + 0x800, 64, |a| a.ud2());
    let at = p.at(0);
    (m, at)
}

#[test]
fn far_jumps_check_the_code_segment() {
    let target = USER_CODE + 0x800;
    let gp = |selector: u16| Some((vector::GP, u32::from(selector & !3)));
    let both_sizes = descriptor::CODE64 | 1 << 54;
    let cases = [
        (false, SPARE, descriptor::CODE64, None),
        (false, SPARE | 3, descriptor::CODE64, gp(SPARE)),
        (false, SPARE, CODE_CONFORMING, None),
        (false, SPARE, descriptor::USER_CODE64, gp(SPARE)),
        (false, SPARE, descriptor::DATA, gp(SPARE)),
        (false, SPARE, both_sizes, gp(SPARE)),
        (
            false,
            SPARE,
            descriptor::CODE64 & !descriptor::PRESENT,
            Some((vector::NP, u32::from(SPARE))),
        ),
        (false, 0, 0, Some((vector::GP, 0))),
        (false, selector::BEYOND, 0, gp(selector::BEYOND)),
        // Neither a local table nor a free task can be jumped to in long mode.
        (false, SPARE, 0x0000_8200_0000_0067, gp(SPARE)),
        (false, SPARE, 0x0000_8900_0000_0067, gp(SPARE)),
        (true, SPARE | 3, descriptor::USER_CODE64, None),
        (true, SPARE, descriptor::USER_CODE64, None),
        (true, SPARE, descriptor::CODE64, gp(SPARE)),
        // Conforming code is executed at the caller's level.
        (true, SPARE, CODE_CONFORMING, None),
    ];
    for (user, selector, descriptor, expected) in cases {
        let (mut m, at) = far_jump(user, selector, target, descriptor);
        let e = m.event();
        match expected {
            None => {
                assert_eq!(
                    e.what(),
                    (vector::UD, None, target),
                    "{selector:#x} {descriptor:#x}"
                );
                assert_eq!(e.cs, SPARE | if user { 3 } else { 0 });
            }
            Some((vector, error)) => {
                assert_eq!(
                    e.what(),
                    (vector, Some(error), at),
                    "{selector:#x} {descriptor:#x}"
                )
            }
        }
    }
}

#[test]
fn far_jump_to_a_non_canonical_address_faults_at_the_jump() {
    let (mut m, at) = far_jump(false, selector::CODE64, 0x8000_0000_0000, 0);
    assert_eq!(m.event().what(), (vector::GP, Some(0), at));
}

#[test]
fn far_call_and_return_switch_between_64_and_32_bit_code() {
    let (mut m, p) = Machine::kernel(|a| {
        a.db(&[0xff, 0x18])?; // CALL m16:32, RAX its address
        a.mov(ecx, 5)?;
        a.hlt()
    });
    m.place(CODE + 0x400, 32, |a| {
        a.db(&[0x40])?; // INC EAX
        a.retf()
    });
    m.poke64(DATA, (CODE + 0x400) | u64::from(selector::CODE32) << 32);
    m.change(|state| state.gpr[reg::RAX] = DATA);
    m.halt();
    let state = m.cpu.state();
    assert_eq!(
        (
            state.gpr[reg::RAX],
            state.gpr[reg::RCX],
            state.gpr[reg::RSP]
        ),
        (DATA + 1, 5, STACK)
    );
    assert_eq!(state.segments[seg::CS].selector, selector::CODE64);
    assert_eq!(
        m.peek64(STACK - 8),
        p.at(1) | u64::from(selector::CODE64) << 32
    );
}

#[test]
fn far_call_that_faults_leaves_the_stack_pointer() {
    let (mut m, p) = Machine::kernel(|a| a.db(&[0xff, 0x18]));
    m.poke64(DATA, CODE | u64::from(selector::BEYOND) << 32);
    m.change(|state| state.gpr[reg::RAX] = DATA);
    let e = m.event();
    assert_eq!(
        e.what(),
        (vector::GP, Some(u32::from(selector::BEYOND)), p.at(0))
    );
    assert_eq!(e.rsp, STACK);
}

#[test]
fn load_of_a_far_pointer_loads_segment_and_register() {
    let (mut m, _) = Machine::kernel(|a| {
        a.db(&[0x48, 0x0f, 0xb5, 0x18])?; // LGS RBX, [RAX]
        a.hlt()
    });
    m.poke64(DATA, 0x1122_3344_5566_7788);
    m.poke64(DATA + 8, u64::from(selector::DATA));
    m.change(|state| state.gpr[reg::RAX] = DATA);
    m.halt();
    assert_eq!(m.gpr(reg::RBX), 0x1122_3344_5566_7788);
    assert_eq!(m.cpu.state().segments[seg::GS].selector, selector::DATA);
}

/// ZF and the result of LAR and LSL, and ZF of VERR and VERW, for a selector.
fn probe(user: bool, selector: u16, descriptor: u64) -> (Option<u64>, Option<u64>, bool, bool) {
    let program = |a: &mut CodeAssembler| -> Result<(), IcedError> {
        a.mov(eax, u32::from(selector))?;
        a.lar(ebx, eax)?;
        a.setz(r8b)?;
        a.lsl(ecx, eax)?;
        a.setz(r9b)?;
        a.verr(ax)?;
        a.setz(r10b)?;
        a.verw(ax)?;
        a.setz(r11b)?;
        a.int(0x80)
    };
    let (mut m, _) = if user {
        Machine::user(program)
    } else {
        Machine::kernel(program)
    };
    m.open_gate(0x80, 3, 0);
    m.describe(SPARE, descriptor);
    assert_eq!(m.event().vector, 0x80);
    let g = m.cpu.state().gpr;
    let found = |zf: usize, value: usize| (g[zf] & 1 != 0).then_some(g[value]);
    if g[8] & 1 == 0 {
        assert_eq!(g[reg::RBX], 0, "LAR leaves its destination when it fails");
    }
    (
        found(8, reg::RBX),
        found(9, reg::RCX),
        g[10] & 1 != 0,
        g[11] & 1 != 0,
    )
}

#[test]
fn lar_lsl_verr_and_verw_tell_what_can_be_accessed() {
    let nothing = (None, None, false, false);
    let whole = Some(0xffff_ffff);
    let cases = [
        (
            false,
            SPARE,
            descriptor::DATA,
            (Some(0x00cf_9300), whole, true, true),
        ),
        (
            false,
            SPARE,
            DATA_READ_ONLY,
            (Some(0x00cf_9100), whole, true, false),
        ),
        (
            false,
            SPARE,
            descriptor::CODE64,
            (Some(0x00af_9b00), whole, true, false),
        ),
        (
            false,
            SPARE,
            CODE_EXECUTE_ONLY,
            (Some(0x00af_9900), whole, false, false),
        ),
        (true, SPARE, descriptor::DATA, nothing),
        (false, SPARE | 3, descriptor::DATA, nothing),
        (
            true,
            SPARE,
            CODE_CONFORMING,
            (Some(0x00af_9f00), whole, true, false),
        ),
        (
            true,
            SPARE,
            descriptor::USER_DATA,
            (Some(0x00cf_f300), whole, true, true),
        ),
        (
            false,
            SPARE,
            0x0000_8b00_0000_0067,
            (Some(0x8b00), Some(0x67), false, false),
        ),
        (
            false,
            SPARE,
            0x0000_8200_0000_0067,
            (Some(0x8200), Some(0x67), false, false),
        ),
        // A call gate has rights but no limit; an interrupt gate has neither.
        (
            false,
            SPARE,
            0x0000_8c00_0008_0000,
            (Some(0x8c00), None, false, false),
        ),
        (false, SPARE, 0x0000_8e00_0008_0000, nothing),
        (false, 0, 0, nothing),
        (false, selector::BEYOND, 0, nothing),
    ];
    for (user, selector, descriptor, expected) in cases {
        assert_eq!(
            probe(user, selector, descriptor),
            expected,
            "{user} {selector:#x} {descriptor:#x}"
        );
    }
}
