//! Large pages, and the paging modes outside of long mode (Intel SDM vol. 3, 4.3 to 4.5).

use chaosrun_x86::{CpuState, Exit};
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Machine, flat, reg, seg};

/// An address whose tables are not the program's.
const APART: u64 = 0x6000_0000_0000;
const RESERVED: u32 = 1 | 8;

/// A machine that loads from RBX and stores to RBX + 8, with a page of a level mapped at `APART`.
fn large(level: u32, entry: u64) -> Machine {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(rax, qword_ptr(rbx))?;
        a.mov(qword_ptr(rbx + 8), rax)?;
        a.hlt()
    });
    let slot = m.slot(APART, level);
    m.poke64(slot, entry | page::P | page::W | page::PS);
    m
}

#[test]
fn two_megabyte_pages_translate_21_bits() {
    let mut m = large(2, 0x20_0000);
    m.poke64(0x20_0000 + 0x12_3450, 0x1234_5678_9abc_def0);
    m.change(|state| state.gpr[reg::RBX] = APART + 0x12_3450);
    m.halt();
    assert_eq!(m.peek64(0x20_0000 + 0x12_3458), 0x1234_5678_9abc_def0);
    let slot = m.slot(APART, 2);
    assert_eq!(
        m.peek64(slot) & 0xfff,
        page::P | page::W | page::PS | page::A | page::D
    );
}

#[test]
fn one_gigabyte_pages_translate_30_bits() {
    let mut m = large(3, 0);
    m.poke64(0x32_1000, 0x1234_5678_9abc_def0);
    m.change(|state| state.gpr[reg::RBX] = APART + 0x32_1000);
    m.halt();
    assert_eq!(m.peek64(0x32_1008), 0x1234_5678_9abc_def0);
    let slot = m.slot(APART, 3);
    assert_eq!(
        m.peek64(slot) & 0xfff,
        page::P | page::W | page::PS | page::A | page::D
    );
}

#[test]
fn address_bits_inside_a_large_page_are_reserved_but_for_the_pat_bit() {
    for (level, bits) in [(2, 13..21), (3, 13..30)] {
        for bit in bits {
            let mut m = large(level, 1 << bit);
            m.change(|state| state.gpr[reg::RBX] = APART);
            assert_eq!(m.event().error, Some(RESERVED), "level {level}, bit {bit}");
        }
        let mut m = large(level, 1 << 12);
        m.change(|state| state.gpr[reg::RBX] = APART);
        m.halt();
    }
}

#[test]
fn invlpg_of_any_address_in_a_large_page_drops_all_of_it() {
    for (level, apart) in [(2, 0x1f_f000u64), (3, 0x3f_f000)] {
        let (mut m, _) = Machine::kernel(|a| {
            a.mov(al, byte_ptr(rbx))?;
            a.mov(ah, byte_ptr(rcx))?;
            a.int(0x80)?;
            a.invlpg(byte_ptr(rbx + 0x5000))?;
            a.mov(dl, byte_ptr(rbx))?;
            a.mov(dh, byte_ptr(rcx))?;
            a.hlt()
        });
        let slot = m.slot(APART, level);
        m.poke64(slot, page::P | page::W | page::PS);
        m.poke(0x7_0000, &[1]);
        m.poke(apart, &[2]);
        m.change(|state| {
            state.gpr[reg::RBX] = APART + 0x7_0000;
            state.gpr[reg::RCX] = APART + apart;
        });
        m.event();
        assert_eq!(m.gpr(reg::RAX), 0x201);
        // Now the large page is elsewhere, or gone.
        m.poke64(slot, 0);
        let e = m.event();
        assert_eq!(
            (e.vector, e.cr2),
            (vector::PF, APART + 0x7_0000),
            "level {level}"
        );
        m.poke64(slot, page::P | page::W | page::PS);
        m.halt();
        assert_eq!(m.gpr(reg::RDX), 0x201);
    }
}

#[test]
fn invlpg_of_a_small_page_is_enough_after_a_large_one_elsewhere() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(al, byte_ptr(rbx))?;
        a.mov(ah, byte_ptr(DATA))?;
        a.int(0x80)?;
        a.invlpg(byte_ptr(DATA))?;
        a.mov(dl, byte_ptr(rbx))?;
        a.mov(dh, byte_ptr(DATA))?;
        a.hlt()
    });
    let slot = m.slot(APART, 2);
    m.poke64(slot, page::P | page::W | page::PS);
    m.poke(0, &[1]);
    m.poke(0x5_0000, &[9]);
    m.change(|state| state.gpr[reg::RBX] = APART);
    m.event();
    m.poke64(slot, 0);
    m.map(DATA, 0x5_0000 | page::P | page::W);
    m.halt();
    assert_eq!(m.gpr(reg::RDX), 0x901);
}

/// 32-bit protected mode with the given paging.
fn protected(state: &mut CpuState, root: u64, features: u64) {
    state.segments[seg::CS] = flat(selector::CODE32, descriptor::CODE32);
    state.msrs.efer = 0;
    state.cr3 = root;
    state.cr4 = features;
}

/// Where the tables of the other paging modes are.
const ROOT: u64 = 0x10_0000;

fn program32(m: &mut Machine) {
    m.load(CODE, 32, |a| {
        a.mov(eax, dword_ptr(ebx))?;
        a.mov(dword_ptr(ebx + 4), eax)?;
        a.hlt()
    });
}

fn poke32(m: &mut Machine, address: u64, value: u32) {
    m.poke(address, &value.to_le_bytes());
}

#[test]
fn paging_of_32_bits_translates_4_kib_and_4_mib_pages() {
    let mut m = Machine::new();
    program32(&mut m);
    // The first 4 MiB are one page; 0x8000_0000 has a table.
    poke32(&mut m, ROOT, 0x83);
    poke32(&mut m, ROOT + 0x200 * 4, (ROOT + 0x1000) as u32 | 3);
    poke32(&mut m, ROOT + 0x1000 + 5 * 4, 0x5_0000 | 3);
    m.poke64(0x5_0010, 0x1234_5678);
    m.change(|state| {
        protected(state, ROOT, control::CR4_PSE);
        state.gpr[reg::RBX] = 0x8000_5010;
    });
    m.halt();
    assert_eq!(m.peek32(0x5_0014), 0x1234_5678);
    assert_eq!(m.peek32(ROOT), 0x83 | 0x20);
    assert_eq!(m.peek32(ROOT + 0x200 * 4) & 0xfff, 0x23);
    assert_eq!(m.peek32(ROOT + 0x1000 + 20) & 0xfff, 0x63);
}

#[test]
fn page_size_bit_means_nothing_without_pse() {
    let mut m = Machine::new();
    program32(&mut m);
    poke32(&mut m, ROOT, (ROOT + 0x1000) as u32 | 0x83);
    for n in 0..0x400 {
        poke32(&mut m, ROOT + 0x1000 + u64::from(n) * 4, n << 12 | 3);
    }
    m.poke64(0x5_0010, 77);
    m.change(|state| {
        protected(state, ROOT, 0);
        state.gpr[reg::RBX] = 0x5_0010;
    });
    m.halt();
    assert_eq!(m.peek32(0x5_0014), 77);
}

#[test]
fn pae_paging_translates_4_kib_and_2_mib_pages() {
    let mut m = Machine::new();
    program32(&mut m);
    // Four entries point to page directories; the table is aligned to 32 bytes only.
    let root = ROOT + 0x20;
    m.poke64(root, (ROOT + 0x1000) | 1);
    m.poke64(root + 16, (ROOT + 0x2000) | 1);
    m.poke64(ROOT + 0x1000, 0x83);
    m.poke64(ROOT + 0x2000, (ROOT + 0x3000) | 3);
    m.poke64(ROOT + 0x3000 + 5 * 8, 0x5_0000 | 3);
    m.poke64(0x5_0010, 0x1234_5678);
    m.change(|state| {
        protected(state, root, control::CR4_PAE);
        state.gpr[reg::RBX] = 0x8000_5010;
    });
    m.halt();
    assert_eq!(m.peek32(0x5_0014), 0x1234_5678);
    assert_eq!(m.peek64(ROOT + 0x1000), 0x83 | 0x20);
    assert_eq!(m.peek64(ROOT + 0x3000 + 40) & 0xfff, 0x63);
    // The entries of the first level have neither bit.
    assert_eq!(m.peek64(root + 16), (ROOT + 0x2000) | 1);
}

#[test]
fn protected_mode_without_paging_uses_linear_addresses_of_32_bits() {
    let mut m = Machine::new();
    m.load(CODE, 32, |a| {
        a.mov(eax, dword_ptr(ebx + 0x10))?;
        a.mov(dword_ptr(ebx + 0x14), eax)?;
        a.hlt()
    });
    m.poke64(0x5_0000, 42);
    m.change(|state| {
        protected(state, 0, 0);
        state.cr0 &= !control::CR0_PG;
        state.segments[seg::DS].base = 0xffff_0000;
        state.gpr[reg::RBX] = 0x5_fff0;
    });
    m.halt();
    assert_eq!(m.peek32(0x5_0004), 42);
}

#[test]
fn exception_outside_of_long_mode_ends_the_run_with_its_reason() {
    let mut m = Machine::new();
    m.load(CODE, 32, |a| a.ud2());
    m.change(|state| {
        protected(state, 0, 0);
        state.cr0 &= !control::CR0_PG;
    });
    let Exit::Unimplemented(what) = m.run(10) else {
        panic!("not an unimplemented exit")
    };
    assert_eq!((what.rip, what.mode), (CODE, "32-bit"));
    assert!(what.what.contains("exception 6"), "{}", what.what);
}
