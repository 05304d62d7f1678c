//! Model-specific, control and extended control registers: what can be written and what faults.

use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{BUS_MSR, Emit, Machine, reg, seg};

/// A value that is not canonical.
const CROOKED: u64 = 0x8000_0000_0000;

/// Writes a register; the value read back, or `None` after #GP(0).
fn write_msr(index: u32, value: u64, setup: impl FnOnce(&mut Machine)) -> Option<u64> {
    let (mut m, p) = Machine::kernel(|a| {
        a.wrmsr()?;
        a.xor(eax, eax)?;
        a.xor(edx, edx)?;
        a.rdmsr()?;
        a.hlt()
    });
    setup(&mut m);
    m.change(|state| {
        state.gpr[reg::RCX] = u64::from(index) | 0xdead_0000_0000;
        state.gpr[reg::RAX] = value & 0xffff_ffff | 0xdead_0000_0000;
        state.gpr[reg::RDX] = value >> 32 | 0xdead_0000_0000;
    });
    let exit = m.run(100);
    if exit == chaosrun_x86::Exit::Halt {
        let (low, high) = (m.gpr(reg::RAX), m.gpr(reg::RDX));
        assert!(
            low >> 32 == 0 && high >> 32 == 0,
            "RDMSR clears the upper halves"
        );
        return Some(low | high << 32);
    }
    assert_eq!(
        m.reported().what(),
        (vector::GP, Some(0), p.at(0)),
        "MSR {index:#x}"
    );
    None
}

#[test]
fn addresses_in_registers_have_to_be_canonical() {
    for index in [
        0x175,
        0x176,
        0xc000_0082,
        0xc000_0083,
        0xc000_0100,
        0xc000_0101,
        0xc000_0102,
    ] {
        for value in [0, 0x7fff_ffff_ffff, 0xffff_8000_0000_0000, 0x1234_5678_9abc] {
            assert_eq!(
                write_msr(index, value, |_| {}),
                Some(value),
                "MSR {index:#x}"
            );
        }
        for value in [CROOKED, 0x7fff_0000_0000_0000, 1 << 63] {
            assert_eq!(
                write_msr(index, value, |_| {}),
                None,
                "MSR {index:#x} = {value:#x}"
            );
        }
    }
}

#[test]
fn plain_registers_keep_what_is_written() {
    for (index, value) in [
        (0x174, 0x10),
        (0xc000_0081, 0x0123_4567_89ab_cdef),
        (0xc000_0084, 0x4_7700),
        (0xc000_0103, 77),
        (0x3b, 0xffff_ffff_ffff_0000),
        (0x277, 0x0007_0406_0007_0401),
        (0x2ff, 0xc06),
        (0x200, 0x8000_0006),
        (0x20e, 0x3fff_ffff_f001),
        (0x20f, 0x3fff_ffff_f800),
        (0x48, 7),
        (0x1a0, 0x44_00c5_1889),
        (0x201, 0x3f_8000_0800),
        (0x250, 0x0606_0606_0606_0606),
        (0x26f, 0x0505_0505_0505_0505),
        (BUS_MSR, 0xfee0_0900),
    ] {
        assert_eq!(
            write_msr(index, value, |_| {}),
            Some(value),
            "MSR {index:#x}"
        );
    }
}

#[test]
fn reserved_bits_and_unknown_registers_raise_gp() {
    for (index, value) in [
        (0xc000_0084, 1 << 32),
        (0xc000_0103, 1 << 32),
        (0x277, 2),
        (0x277, 3 << 56),
        (0x2ff, 7),
        (0x2ff, 1 << 12),
        // Variable ranges: no such type, reserved bits, beyond the physical addresses.
        (0x200, 2),
        (0x20e, 7),
        (0x200, 1 << 8),
        (0x20e, 1 << 11),
        (0x200, 1 << 46),
        (0x201, 1),
        (0x20f, 1 << 10),
        (0x201, 1 << 46),
        (0x20f, 1 << 63),
        // Fixed ranges: no such type.
        (0x250, 2),
        (0x26f, 7 << 56),
        (0x48, 8),
        (0x49, 2),
        (0x49, 1 << 32),
        (0x17a, 8),
        (0x1a0, 2),
        (0x1a0, 1 << 63),
        (0x174, 1 << 32),
        // Registers that can only be read.
        (0x17, 0),
        (0x3a, 1),
        (0xce, 0),
        (0x10a, 0),
        (0x179, 0),
        (0x1d9, 1),
        (0xc000_0080, 1 << 1),
        (0xc000_0080, 1 << 9),
        (0xc000_0080, 1 << 12),
        (0xc000_0080, 1 << 63),
        (0xfe, 0),
        (0x1234_5678, 0),
        (0x4000_0000, 0),
        (0xc001_0000, 0),
    ] {
        assert_eq!(
            write_msr(index, value, |_| {}),
            None,
            "MSR {index:#x} = {value:#x}"
        );
    }
    let (mut m, p) = Machine::kernel(|a| a.rdmsr());
    m.change(|state| state.gpr[reg::RCX] = 0x1234_5678);
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(0)));
}

#[test]
fn efer_keeps_lma_and_refuses_to_change_lme_under_paging() {
    use control::*;
    let long = EFER_LME | EFER_LMA;
    let written = |value| write_msr(0xc000_0080, value, |_| {});
    assert_eq!(written(EFER_LME), Some(long));
    assert_eq!(
        written(long | EFER_SCE | EFER_NXE),
        Some(long | EFER_SCE | EFER_NXE)
    );
    assert_eq!(written(EFER_NXE), None);
}

#[test]
fn bases_of_fs_and_gs_are_those_of_the_segments() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(ecx, 0xc000_0100u32)?;
        a.mov(eax, DATA as u32)?;
        a.xor(edx, edx)?;
        a.wrmsr()?;
        a.mov(rbx, qword_ptr(8).fs())?;
        a.hlt()
    });
    m.poke64(DATA + 8, 0x5151);
    m.halt();
    assert_eq!(m.gpr(reg::RBX), 0x5151);
    assert_eq!(m.cpu.state().segments[seg::FS].base, DATA);
}

#[test]
fn time_stamp_counter_can_be_written_through_its_adjustment() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(ecx, 0x10)?;
        a.mov(eax, 1_000_000)?;
        a.xor(edx, edx)?;
        a.wrmsr()?;
        a.rdtsc()?;
        a.mov(esi, eax)?;
        a.mov(ecx, 0x3b)?;
        a.rdmsr()?;
        a.hlt()
    });
    m.halt();
    let rate = crate::harness::TSC_RATE;
    assert_eq!(m.gpr(reg::RSI), 1_000_000 + rate);
    assert_eq!(m.gpr(reg::RAX), 1_000_000 - 3 * rate);
}

/// Moves `value` into a register; the value read back, or `None` after #GP(0).
fn move_into(write: Emit, read: Emit, value: u64, setup: impl FnOnce(&mut Machine)) -> Option<u64> {
    let (mut m, p) = Machine::kernel(|a| {
        write(a)?;
        read(a)?;
        a.hlt()
    });
    m.change(|state| state.gpr[reg::RAX] = value);
    setup(&mut m);
    let exit = m.run(100);
    if exit == chaosrun_x86::Exit::Halt {
        return Some(m.gpr(reg::RBX));
    }
    assert_eq!(m.reported().what(), (vector::GP, Some(0), p.at(0)));
    None
}

fn cr0_becomes(value: u64) -> Option<u64> {
    move_into(|a| a.mov(cr0, rax), |a| a.mov(rbx, cr0), value, |_| {})
}

#[test]
fn cr0_refuses_combinations_that_do_not_exist() {
    use control::*;
    let normal = CR0_PE | CR0_PG | CR0_ET | CR0_WP | CR0_NE;
    assert_eq!(cr0_becomes(normal), Some(normal));
    assert_eq!(
        cr0_becomes(normal & !CR0_ET),
        Some(normal),
        "ET is always set"
    );
    assert_eq!(
        cr0_becomes(normal | CR0_CD | CR0_NW),
        Some(normal | CR0_CD | CR0_NW)
    );
    assert_eq!(cr0_becomes(normal | CR0_NW), None, "NW needs CD");
    assert_eq!(
        cr0_becomes(normal & !CR0_PE),
        None,
        "paging needs protection"
    );
    assert_eq!(
        cr0_becomes(normal & !CR0_PG),
        None,
        "64-bit code cannot leave paging"
    );
    assert_eq!(cr0_becomes(normal | 1 << 32), None);
    assert_eq!(
        cr0_becomes(normal | 1 << 6),
        Some(normal),
        "reserved bits in the lower half are ignored"
    );
}

#[test]
fn cr4_refuses_unknown_bits_and_long_mode_without_pae() {
    use control::*;
    let becomes = |value| move_into(|a| a.mov(cr4, rax), |a| a.mov(rbx, cr4), value, |_| {});
    let normal = CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE | CR4_DE | CR4_TSD;
    assert_eq!(becomes(normal), Some(normal));
    assert_eq!(becomes(normal & !CR4_PAE), None);
    for bit in [11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 32, 63] {
        assert_eq!(becomes(normal | 1 << bit), None, "bit {bit}");
    }
}

#[test]
fn cr3_refuses_addresses_beyond_the_physical_ones() {
    let becomes = |value| move_into(|a| a.mov(cr3, rax), |a| a.mov(rbx, cr3), value, |_| {});
    assert_eq!(becomes(PML4 | 0x18), Some(PML4 | 0x18));
    for bit in [46, 52, 62] {
        assert_eq!(becomes(PML4 | 1 << bit), None, "bit {bit}");
    }
}

#[test]
fn cr2_is_plain_and_cr8_belongs_to_the_bus() {
    let becomes = |value| move_into(|a| a.mov(cr2, rax), |a| a.mov(rbx, cr2), value, |_| {});
    assert_eq!(becomes(u64::MAX), Some(u64::MAX));
    let becomes = |value| move_into(|a| a.mov(cr8, rax), |a| a.mov(rbx, cr8), value, |_| {});
    assert_eq!(becomes(0xf), Some(0xf));
    assert_eq!(becomes(0x10), None);
}

#[test]
fn lmsw_sets_but_never_clears_protection() {
    use control::*;
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(eax, 0xfff0 | CR0_TS as u32)?;
        a.lmsw(ax)?;
        a.smsw(rbx)?;
        a.clts()?;
        a.mov(rcx, cr0)?;
        a.hlt()
    });
    let before = m.cpu.state().cr0;
    m.halt();
    assert_eq!(m.gpr(reg::RBX), before & !CR0_MP | CR0_TS);
    assert_eq!(m.gpr(reg::RCX), before & !CR0_MP);
}

#[test]
fn leaving_long_mode_needs_compatibility_mode_and_clears_lma() {
    use control::*;
    let (mut m, _) = Machine::compatible(|a| {
        a.mov(eax, cr0)?;
        a.and(eax, 0x7fff_ffff)?;
        a.mov(cr0, eax)?;
        a.mov(ecx, 0xc000_0080u32)?;
        a.rdmsr()?;
        a.hlt()
    });
    m.halt();
    assert_eq!(m.gpr(reg::RAX), EFER_LME | EFER_SCE | EFER_NXE);
}

#[test]
fn entering_long_mode_needs_pae_and_a_code_segment_that_is_not_long() {
    use control::*;
    let enter = |features: u64, long_segment: bool| {
        let (mut m, p) = Machine::compatible(|a| {
            a.mov(cr0, eax)?;
            a.hlt()
        });
        m.change(|state| {
            state.gpr[reg::RAX] = state.cr0;
            state.cr0 &= !CR0_PG;
            state.msrs.efer = EFER_LME;
            state.cr4 = features;
            if long_segment {
                state.segments[seg::CS].access |= 0x2000;
            }
        });
        let exit = m.run(10);
        (
            exit == chaosrun_x86::Exit::Halt && m.cpu.state().msrs.efer & EFER_LMA != 0,
            p,
        )
    };
    assert!(enter(CR4_PAE, false).0);
    assert!(!enter(0, false).0);
    assert!(!enter(CR4_PAE, true).0);
}

#[test]
fn xcr0_needs_osxsave_x87_and_known_bits() {
    let write: Emit = |a| {
        a.xor(ecx, ecx)?;
        a.xor(edx, edx)?;
        a.xsetbv()?;
        a.xgetbv()?;
        a.hlt()
    };
    let becomes = |value: u64| {
        let (mut m, p) = Machine::kernel(write);
        m.change(|state| {
            state.gpr[reg::RAX] = value;
            state.cr4 |= control::CR4_OSXSAVE;
        });
        if m.run(10) == chaosrun_x86::Exit::Halt {
            assert_eq!(m.cpu.state().xcr0, m.gpr(reg::RAX));
            return Some(m.gpr(reg::RAX));
        }
        assert_eq!(m.reported().what(), (vector::GP, Some(0), p.at(2)));
        None
    };
    assert_eq!(becomes(1), Some(1));
    assert_eq!(becomes(3), Some(3));
    for value in [0, 2, 7, 0x1f, 0x8000_0001] {
        assert_eq!(becomes(value), None, "{value:#x}");
    }
    let (mut m, p) = Machine::kernel(write);
    m.change(|state| state.gpr[reg::RAX] = 3);
    assert_eq!(m.event().what(), (vector::UD, None, p.at(2)));
    let (mut m, p) = Machine::user(|a| {
        a.xor(ecx, ecx)?;
        a.xgetbv()?;
        a.xsetbv()
    });
    m.change(|state| state.cr4 |= control::CR4_OSXSAVE);
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(2)));
}
