//! Code in pages of page tables: to note that a page is accessed may overwrite it, between two blocks, too.

use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Machine, reg};
use crate::modes::{ALL_CUTS, check, repeat};

/// Mapped where a test wants it, with an entry that has code beside it.
const ALIAS: u64 = FREE + 0x8000;
/// What is mapped there.
const FUNCTION: u64 = FREE + 0x2000;

/// Maps `ALIAS`, which nobody has accessed, and puts a function beside its entry; where that is.
fn alias(m: &mut Machine) -> u64 {
    m.map(ALIAS, FUNCTION | page::P | page::W);
    let beside = m.slot(ALIAS, 1) + 8;
    m.place(beside, 64, |a| {
        a.inc(ebp)?;
        a.ret()
    });
    beside
}

#[test]
fn walk_between_two_blocks_spares_other_translations() {
    // `data` is mapped to `first`, and to `second` without anybody being told: the TLB still has the
    // first. As there is code in that page, stores look at it each time.
    let (data, first, second) = (FREE + 0x4000, FREE + 0x3000, FREE + 0x5000);
    let build = || {
        let mut m = Machine::new();
        m.map(data, first | page::P | page::W);
        let beside = alias(&mut m);
        let slot = m.slot(data, 1);
        m.place(first, 64, |a| a.ret());
        m.place(FUNCTION, 64, |a| {
            a.inc(qword_ptr(rsi))?;
            a.inc(ebx)?;
            a.ret()
        });
        m.load(CODE, 64, |a| {
            a.mov(esi, data as u32 + 0x800)?;
            a.mov(rdi, second | page::P | page::W)?;
            let mut again = a.create_label();
            a.mov(r15d, 40)?;
            a.set_label(&mut again)?;
            a.call(FUNCTION)?;
            a.dec(r15d)?;
            a.jnz(again)?;
            a.call(first)?;
            a.mov(qword_ptr(slot), rdi)?;
            a.call(beside)?;
            a.call(ALIAS)?;
            a.hlt()
        });
        m
    };
    let mut m = check("spared", build, |_| {}, &ALL_CUTS);
    assert_ne!(m.entry(ALIAS) & page::A, 0);
    assert_eq!((m.gpr(reg::RBX), m.peek64(first + 0x800)), (41, 41));
    assert_eq!(m.peek64(second + 0x800), 0);
}

#[test]
fn walk_between_two_instructions_is_no_step() {
    let mut m = Machine::new();
    let beside = alias(&mut m);
    m.place(FUNCTION, 64, |a| {
        a.nop()?;
        a.nop()?;
        a.hlt()
    });
    let p = m.load(CODE, 64, |a| {
        a.call(beside)?;
        a.int(0x80)?;
        a.jmp(ALIAS)
    });
    assert_eq!(m.event().vector, 0x80);
    let frame = m.reported().frame;
    m.poke64(frame + 16, 2 | flag::TF);
    assert_eq!(m.reported().rip, p.at(2));
    for rip in [ALIAS, ALIAS + 1, ALIAS + 2] {
        assert_eq!(m.event().what(), (vector::DB, None, rip));
    }
    assert_ne!(m.entry(ALIAS) & page::A, 0);
}

#[test]
fn instruction_whose_own_bytes_note_that_its_second_page_is_accessed() {
    // A page of page tables ends with the beginning of an instruction, and it is mapped twice, in front
    // of the same page. The entry that maps that the second time is beside the instruction and has not
    // been accessed when the instruction has been decoded.
    let (one, other) = (0x1f_9000, 0x1f_c000);
    let build = || {
        let mut m = Machine::new();
        let table = m.slot(FREE, 1) & !0xfff;
        for linear in [one, other] {
            m.map(linear, table | page::P | page::W | page::A);
            m.map(linear + 0x1000, FUNCTION | page::P | page::W);
        }
        m.poke(table + 0xffd, &[0x05, 1, 0]);
        m.poke(FUNCTION, &[0, 0, 0xc3]);
        m.load(CODE, 64, |a| {
            repeat(a, 40, |a| {
                let mut keep = a.create_label();
                a.mov(ecx, one as u32 + 0xffd)?;
                a.mov(edx, other as u32 + 0xffd)?;
                a.cmp(r15d, 10)?;
                a.cmove(ecx, edx)?;
                a.jne(keep)?;
                a.nop()?;
                a.set_label(&mut keep)?;
                a.call(rcx)
            })
        });
        m
    };
    let mut m = check("two pages", build, |_| {}, &ALL_CUTS);
    assert_eq!(m.gpr(reg::RAX), 40);
    assert_ne!(m.entry(other + 0x1000) & page::A, 0);
}
