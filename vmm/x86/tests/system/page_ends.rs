//! Code at the ends of pages, and what the compiler remembers of it when the page changes or is left.

use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Machine, reg};
use crate::modes::{ALL_CUTS, check};

/// More often than it takes until code is compiled.
const OFTEN: u32 = 100;

/// Calls a function so often that it is compiled.
fn call_often(a: &mut CodeAssembler, function: u64) -> Result<(), iced_x86::IcedError> {
    let mut again = a.create_label();
    a.mov(ecx, OFTEN)?;
    a.set_label(&mut again)?;
    a.call(function)?;
    a.dec(ecx)?;
    a.jnz(again)
}

/// A call that ends with its page cannot know where its return arrives. Another return with the same hash
/// arrives there when the page is not bound any more and its blocks are gone.
#[test]
fn return_to_the_landing_of_a_call_at_the_end_of_a_page_that_changed_goes_where_it_leads() {
    let (once, last, other, function) = (FREE + 0x1b, FREE + 0x3ff9, FREE + 0x2000, FREE + 0x1000);
    let build = || {
        let (mut m, _) = Machine::kernel(|a| {
            call_often(a, last)?;
            a.mov(byte_ptr(FREE + 0x3000), 1)?;
            // What is bound now has the compiler forget the blocks of the page that changed.
            call_often(a, other)?;
            a.jmp(once)
        });
        m.place(once, 64, |a| {
            a.call(function)?;
            a.mov(eax, 0x1234)?;
            a.hlt()
        });
        m.place(function, 64, |a| {
            a.inc(ebx)?;
            a.ret()
        });
        m.place(other, 64, |a| {
            a.inc(esi)?;
            a.ret()
        });
        let end = m.place(last, 64, |a| {
            a.inc(edi)?;
            a.call(function)?;
            a.ret()
        });
        assert_eq!(end.at(2), FREE + 0x4000);
        m
    };
    let m = check("a stale landing", build, |_| {}, &ALL_CUTS);
    let count = u64::from(OFTEN);
    assert_eq!(m.gpr(reg::RAX), 0x1234);
    assert_eq!(m.gpr(reg::RBX), count + 1);
    assert_eq!((m.gpr(reg::RSI), m.gpr(reg::RDI)), (count, count));
}

/// A block ends in front of a repeated string instruction. If that becomes something else, which the
/// block did itself, a block that starts at the same place is longer from then on, with the same
/// content of the page.
#[test]
fn block_whose_end_depends_on_what_is_behind_it_goes_when_that_changes() {
    let build = || {
        let (mut m, _) = Machine::kernel(|a| {
            a.mov(edi, (FREE + 0x40) as u32)?;
            a.mov(eax, 0x9090)?;
            a.call(FREE)?;
            a.mov(edi, DATA as u32)?;
            call_often(a, FREE)?;
            // The page goes, and comes back with the content that it had.
            a.inc(byte_ptr(FREE + 0x800))?;
            a.dec(byte_ptr(FREE + 0x800))?;
            call_often(a, FREE)?;
            a.hlt()
        });
        let p = m.place(FREE, 64, |a| {
            a.mov(word_ptr(rdi), ax)?;
            a.inc(ebx)?;
            for _ in 0..59 {
                a.nop()?;
            }
            a.rep().stosb()?;
            a.inc(esi)?;
            a.ret()
        });
        assert_eq!(p.at(61), FREE + 0x40);
        m
    };
    let m = check("an end that changes", build, |_| {}, &ALL_CUTS);
    let count = 2 * u64::from(OFTEN) + 1;
    assert_eq!((m.gpr(reg::RBX), m.gpr(reg::RSI)), (count, count));
}
