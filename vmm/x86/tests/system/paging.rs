//! Page faults: every bit of the error code, CR2, accessed and dirty bits, and the TLB (Intel SDM
//! vol. 3, chapter 4).

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Emit, Machine, Seen, reg};

const PRESENT: u32 = 1;
const WRITE: u32 = 2;
const USER: u32 = 4;
const RESERVED: u32 = 8;
const FETCH: u32 = 16;

fn load(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(al, byte_ptr(USER_DATA + 5))?;
    a.int(0x80)
}

fn store(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(byte_ptr(USER_DATA + 5), 1)?;
    a.int(0x80)
}

fn fetch(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(eax, (USER_DATA + 5) as u32)?;
    a.jmp(rax)
}

/// Runs an access to a page with the given entry; the error code if it faults.
fn try_access(
    user: bool,
    access: Emit,
    entry: u64,
    setup: impl FnOnce(&mut Machine),
) -> Option<u32> {
    let (mut m, p) = if user {
        Machine::user(access)
    } else {
        Machine::kernel(access)
    };
    m.open_gate(0x80, 3, 0);
    m.poke(0x5_0005, &[0xcd, 0x80]);
    m.map(USER_DATA, entry);
    setup(&mut m);
    let e = m.event();
    if e.vector == 0x80 {
        return None;
    }
    let at = if e.error.is_some_and(|code| code & FETCH != 0) {
        USER_DATA + 5
    } else {
        p.at(0)
    };
    assert_eq!((e.vector, e.rip, e.cr2), (vector::PF, at, USER_DATA + 5));
    e.error
}

const FRAME: u64 = 0x5_0000;

#[test]
fn error_code_tells_present_write_user_and_fetch() {
    use page::*;
    let cases: [(bool, Emit, u64, Option<u32>); 18] = [
        (false, load, 0, Some(0)),
        (false, store, 0, Some(WRITE)),
        (false, fetch, 0, Some(FETCH)),
        (true, load, 0, Some(USER)),
        (true, store, 0, Some(USER | WRITE)),
        (true, fetch, 0, Some(USER | FETCH)),
        (true, load, FRAME | P | W, Some(USER | PRESENT)),
        (true, store, FRAME | P | W, Some(USER | PRESENT | WRITE)),
        (true, fetch, FRAME | P | W, Some(USER | PRESENT | FETCH)),
        (true, load, FRAME | P | U, None),
        (true, store, FRAME | P | U, Some(USER | PRESENT | WRITE)),
        (true, fetch, FRAME | P | U, None),
        (
            true,
            fetch,
            FRAME | P | U | NX,
            Some(USER | PRESENT | FETCH),
        ),
        (true, load, FRAME | P | U | NX, None),
        (false, fetch, FRAME | P | NX, Some(PRESENT | FETCH)),
        (false, load, FRAME | P, None),
        (false, store, FRAME | P, Some(PRESENT | WRITE)),
        (false, store, FRAME | P | W | U, None),
    ];
    for (n, (user, access, entry, expected)) in cases.into_iter().enumerate() {
        assert_eq!(
            try_access(user, access, entry, |_| {}),
            expected,
            "case {n}"
        );
    }
}

#[test]
fn supervisor_writes_through_read_only_pages_without_wp() {
    let entry = FRAME | page::P | page::U;
    let no_wp = |m: &mut Machine| m.change(|state| state.cr0 &= !control::CR0_WP);
    assert_eq!(try_access(false, store, entry, no_wp), None);
    assert_eq!(
        try_access(true, store, entry, no_wp),
        Some(PRESENT | WRITE | USER)
    );
}

/// A page at an address of its own, so that the levels above it are not the program's.
const APART: u64 = 0x6000_0000_0000;

fn apart(access: Emit, user: bool, level: u32, change: impl FnOnce(u64) -> u64) -> Option<u32> {
    let (mut m, _) = if user {
        Machine::user(access)
    } else {
        Machine::kernel(access)
    };
    m.open_gate(0x80, 3, 0);
    m.poke(FRAME, &[0xcd, 0x80]);
    m.map(APART, FRAME | page::P | page::W | page::U);
    let slot = m.slot(APART, level);
    let value = change(m.peek64(slot));
    m.poke64(slot, value);
    m.change(|state| state.gpr[reg::RBX] = APART);
    let e = m.event();
    if e.vector == 0x80 {
        return None;
    }
    assert_eq!((e.vector, e.cr2), (vector::PF, APART));
    e.error
}

fn load_apart(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(al, byte_ptr(rbx))?;
    a.int(0x80)
}

fn store_apart(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(byte_ptr(rbx), al)?;
    a.int(0x80)
}

fn fetch_apart(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.jmp(rbx)
}

#[test]
fn every_level_can_deny_writing_user_access_and_execution() {
    use page::*;
    for level in 1..=4 {
        let denied = Some(PRESENT | WRITE | USER);
        assert_eq!(
            apart(store_apart, true, level, |e| e & !W),
            denied,
            "level {level}"
        );
        assert_eq!(
            apart(load_apart, true, level, |e| e & !W),
            None,
            "level {level}"
        );
        assert_eq!(
            apart(load_apart, true, level, |e| e & !U),
            Some(PRESENT | USER),
            "level {level}"
        );
        assert_eq!(
            apart(load_apart, false, level, |e| e & !U),
            None,
            "level {level}"
        );
        let denied = Some(PRESENT | FETCH | USER);
        assert_eq!(
            apart(fetch_apart, true, level, |e| e | NX),
            denied,
            "level {level}"
        );
        assert_eq!(
            apart(fetch_apart, true, level, |e| e),
            None,
            "level {level}"
        );
        assert_eq!(
            apart(load_apart, true, level, |e| e & !P),
            Some(USER),
            "level {level}"
        );
    }
}

#[test]
fn reserved_bits_fault_at_every_level() {
    let reserved = Some(PRESENT | RESERVED | USER);
    for level in 1..=4 {
        for bit in 46..52 {
            assert_eq!(
                apart(load_apart, true, level, |e| e | 1 << bit),
                reserved,
                "level {level}, bit {bit}"
            );
        }
        for bit in 52..63 {
            assert_eq!(
                apart(load_apart, true, level, |e| e | 1 << bit),
                None,
                "level {level}, bit {bit}"
            );
        }
    }
    // The root's entries are never large.
    assert_eq!(apart(load_apart, true, 4, |e| e | page::PS), reserved);
    // An entry that is not present has no reserved bits.
    assert_eq!(apart(load_apart, true, 1, |e| e & !1 | 1 << 50), Some(USER));
}

#[test]
fn no_execute_is_reserved_without_nxe() {
    let (mut m, _) = Machine::user(load);
    m.remap(USER_DATA, |entry| entry | page::NX);
    m.change(|state| state.msrs.efer &= !control::EFER_NXE);
    let e = m.event();
    assert_eq!(
        (e.vector, e.error),
        (vector::PF, Some(PRESENT | RESERVED | USER))
    );
}

#[test]
fn fetch_bit_is_not_reported_without_nxe() {
    let without = |m: &mut Machine| m.change(|state| state.msrs.efer &= !control::EFER_NXE);
    let (mut m, _) = Machine::user(fetch);
    m.map(USER_DATA, 0);
    without(&mut m);
    let e = m.event();
    assert_eq!(
        (e.vector, e.error, e.rip),
        (vector::PF, Some(USER), USER_DATA + 5)
    );
}

#[test]
fn accessed_and_dirty_bits_are_set_by_what_needs_them() {
    use page::*;
    let bits = |access: Emit| {
        let (mut m, _) = Machine::kernel(access);
        m.map(APART, FRAME | P | W);
        m.poke(FRAME, &[0xcd, 0x80]);
        m.change(|state| state.gpr[reg::RBX] = APART);
        assert_eq!(m.event().vector, 0x80);
        [1, 2, 3, 4].map(|level| {
            let slot = m.slot(APART, level);
            m.peek64(slot) & (A | D)
        })
    };
    assert_eq!(bits(load_apart), [A, A, A, A]);
    assert_eq!(bits(fetch_apart), [A, A, A, A]);
    assert_eq!(bits(store_apart), [A | D, A, A, A]);
}

#[test]
fn store_after_a_load_sets_the_dirty_bit() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(al, byte_ptr(rbx))?;
        a.int(0x80)?;
        a.mov(byte_ptr(rbx), al)?;
        a.int(0x80)
    });
    m.map(APART, FRAME | page::P | page::W);
    m.change(|state| state.gpr[reg::RBX] = APART);
    m.event();
    assert_eq!(m.entry(APART) & page::D, 0);
    m.event();
    assert_ne!(m.entry(APART) & page::D, 0);
}

#[test]
fn faulting_walks_set_no_accessed_bits() {
    let (mut m, _) = Machine::user(store_apart);
    m.map(APART, FRAME | page::P | page::U);
    m.change(|state| state.gpr[reg::RBX] = APART);
    assert_eq!(m.event().error, Some(PRESENT | WRITE | USER));
    assert_eq!(m.entry(APART) & (page::A | page::D), 0);
}

#[test]
fn failed_write_does_not_set_the_dirty_bit_of_the_first_of_two_pages() {
    let (mut m, p) = Machine::kernel(|a| a.mov(qword_ptr(FREE + 4096 - 4), rax));
    m.remap(FREE + 4096, |_| 0);
    m.poke64(FREE + 4088, 0x1122_3344_5566_7788);
    let e = m.event();
    assert_eq!(e.what(), (vector::PF, Some(WRITE), p.at(0)));
    assert_eq!(e.cr2, FREE + 4096);
    assert_eq!(m.peek64(FREE + 4088), 0x1122_3344_5566_7788);
}

#[test]
fn access_across_pages_reports_the_page_that_faults() {
    for (first, second, blamed) in [
        (true, false, FREE + 4096),
        (false, true, FREE + 4093),
        (false, false, FREE + 4093),
    ] {
        for write in [false, true] {
            let (mut m, p) = Machine::kernel(|a| {
                if write {
                    a.add(qword_ptr(FREE + 4093), rax)
                } else {
                    a.mov(rax, qword_ptr(FREE + 4093))
                }
            });
            m.remap(FREE, |entry| if first { entry } else { 0 });
            m.remap(FREE + 4096, |entry| if second { entry } else { 0 });
            let e = m.event();
            let error = if write { WRITE } else { 0 };
            assert_eq!(e.what(), (vector::PF, Some(error), p.at(0)));
            assert_eq!(e.cr2, blamed);
        }
    }
}

#[test]
fn access_across_pages_joins_frames_that_are_apart() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(rax, 0x1122_3344_5566_7788u64)?;
        a.mov(qword_ptr(rbx), rax)?;
        a.xor(ecx, ecx)?;
        a.add(rcx, qword_ptr(rbx))?;
        a.hlt()
    });
    m.map(APART, 0x6_0000 | page::P | page::W);
    m.map(APART + 4096, 0x5_0000 | page::P | page::W);
    m.change(|state| state.gpr[reg::RBX] = APART + 4096 - 3);
    m.halt();
    assert_eq!(m.gpr(reg::RCX), 0x1122_3344_5566_7788);
    assert_eq!(m.peek64(0x6_0ff8) >> 40, 0x66_7788);
    assert_eq!(m.peek64(0x5_0000), 0x11_2233_4455);
}

#[test]
fn push_that_faults_leaves_the_stack_pointer() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(rsp, FREE + 4096)?;
        a.push(rax)
    });
    m.remap(FREE, |_| 0);
    m.open_gate(vector::PF, 0, 2);
    let e = m.event();
    assert_eq!(e.what(), (vector::PF, Some(WRITE), p.at(1)));
    assert_eq!((e.rsp, e.cr2), (FREE + 4096, FREE + 4088));
}

#[test]
fn string_instruction_that_faults_keeps_its_progress() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(edi, (FREE + 4096 - 100) as u32)?;
        a.mov(ecx, 1000)?;
        a.mov(al, 0xaa)?;
        a.rep().stosb()?;
        a.hlt()
    });
    m.remap(FREE + 4096, |_| 0);
    let e = m.event();
    assert_eq!(e.what(), (vector::PF, Some(WRITE), p.at(3)));
    assert_eq!((m.gpr(reg::RDI), m.gpr(reg::RCX)), (FREE + 4096, 900));
    assert_eq!(e.cr2, FREE + 4096);
    m.map(FREE + 4096, (FREE + 4096) | page::P | page::W);
    m.halt();
    assert_eq!(m.peek64(FREE + 4096 + 892), 0xaaaa_aaaa_aaaa_aaaa);
    assert_eq!(m.peek64(FREE + 4096 + 900), 0);
}

#[test]
fn instruction_across_pages_faults_on_its_second_page() {
    let (mut m, _) = Machine::at(FREE + 4096 - 3, |a| a.mov(eax, 0x1234_5678));
    m.remap(FREE + 4096, |_| 0);
    let e = m.event();
    assert_eq!(e.what(), (vector::PF, Some(FETCH), FREE + 4096 - 3));
    assert_eq!(e.cr2, FREE + 4096);
}

#[test]
fn translations_last_until_they_are_invalidated() {
    let program = |invalidate: Emit| remapped(0, 0, invalidate);
    assert_eq!(program(|a| a.nop()), (0x101, 1));
    assert_eq!(program(|a| a.invlpg(byte_ptr(rbx + 0xfff))), (0x101, 2));
    assert_eq!(program(|a| a.invlpg(byte_ptr(rbx + 0x1000))), (0x101, 1));
    assert_eq!(program(|a| a.mov(cr3, rdx)), (0x101, 2));
}

#[test]
fn global_translations_outlast_loading_cr3_while_cr4_says_so() {
    const PGE: u64 = 1 << 7;
    let program = |control: u64, invalidate: Emit| remapped(page::G, control, invalidate);
    assert_eq!(program(PGE, |a| a.mov(cr3, rdx)), (0x101, 1));
    assert_eq!(program(0, |a| a.mov(cr3, rdx)), (0x101, 2));
    assert_eq!(program(PGE, |a| a.invlpg(byte_ptr(rbx))), (0x101, 2));
    // Any change of CR4.PGE invalidates everything.
    let clear: Emit = |a| {
        a.xor(rsi, PGE as i32)?;
        a.mov(cr4, rsi)
    };
    assert_eq!(program(PGE, clear), (0x101, 2));
    assert_eq!(remapped(0, PGE, |a| a.mov(cr3, rdx)), (0x101, 2));
}

/// Reads the same page three times, while its entry, which has `flags`, is changed behind the second
/// read: the first two results, and the third, which comes after `invalidate`. RDX, RSI and RDI hold CR3,
/// CR4 and CR0; `control` is added to what CR4 is.
fn remapped(flags: u64, control: u64, invalidate: Emit) -> (u64, u64) {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(al, byte_ptr(rbx))?;
        a.int(0x80)?;
        a.mov(ah, byte_ptr(rbx))?;
        invalidate(a)?;
        a.mov(cl, byte_ptr(rbx))?;
        a.hlt()
    });
    m.map(APART, 0x5_0000 | page::P | page::W | flags);
    m.poke(0x5_0000, &[1]);
    m.poke(0x5_1000, &[2]);
    m.change(|state| {
        state.cr4 |= control;
        state.gpr[reg::RBX] = APART;
        state.gpr[reg::RDX] = state.cr3;
        state.gpr[reg::RSI] = state.cr4;
        state.gpr[reg::RDI] = state.cr0;
    });
    m.event();
    m.map(APART, 0x5_1000 | page::P | page::W | flags);
    m.halt();
    (m.gpr(reg::RAX) & 0xffff, m.gpr(reg::RCX) & 0xff)
}

#[test]
fn becoming_more_permissive_needs_no_invalidation_after_the_fault() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(al, byte_ptr(rbx))?;
        a.mov(byte_ptr(rbx), 9)?;
        a.hlt()
    });
    m.map(APART, 0x5_0000 | page::P);
    m.change(|state| state.gpr[reg::RBX] = APART);
    assert_eq!(m.event().error, Some(PRESENT | WRITE));
    m.map(APART, 0x5_0000 | page::P | page::W);
    m.halt();
    assert_eq!(m.peek64(0x5_0000), 9);
}

#[test]
fn user_translations_are_not_the_supervisors() {
    // The supervisor reads the page first; the user is still denied.
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(al, byte_ptr(DATA))?;
        for value in [
            u64::from(selector::USER_DATA),
            USER_STACK,
            2,
            u64::from(selector::USER_CODE64),
            USER_CODE,
        ] {
            a.mov(rax, value)?;
            a.push(rax)?;
        }
        a.iretq()
    });
    m.place(USER_CODE, 64, |a| a.mov(al, byte_ptr(DATA)));
    let e = m.event();
    assert_eq!(e.what(), (vector::PF, Some(PRESENT | USER), USER_CODE));
    assert_eq!(e.cr2, DATA);
}

#[test]
fn addresses_outside_ram_go_to_the_bus() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(eax, dword_ptr(rbx + 0x10))?;
        a.mov(word_ptr(rbx + 0x20), ax)?;
        a.mov(rcx, qword_ptr(rbx + 0x30))?;
        a.add(byte_ptr(rbx + 0x41), 1)?;
        a.hlt()
    });
    m.map(APART, 0xfee0_0000 | page::P | page::W);
    m.change(|state| state.gpr[reg::RBX] = APART);
    m.bus.answer = 0x8877_6655_4433_2211;
    m.halt();
    assert_eq!(
        (m.gpr(reg::RAX), m.gpr(reg::RCX)),
        (0x4433_2211, 0x8877_6655_4433_2211)
    );
    let expected = [
        Seen::Load(0xfee0_0010, 4),
        Seen::Store(0xfee0_0020, 2, 0x2211),
        Seen::Load(0xfee0_0030, 8),
        Seen::Load(0xfee0_0041, 1),
        Seen::Store(0xfee0_0041, 1, 0x12),
    ];
    assert_eq!(m.bus.seen, expected);
}
