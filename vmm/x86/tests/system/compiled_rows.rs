//! Compiled pushes and pops in a row, flags that branches take from the host, and accesses that the TLB does
//! not know.

use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Machine, reg};
use crate::modes::{ALL_CUTS, check, repeat, skip_faulting};

/// Not canonical.
const NOWHERE: u64 = 0x8000_0000_0000;

/// More than it takes until something is compiled.
const ROUNDS: u32 = 80;

/// A machine whose handlers need no stack of the program's.
fn with_stacks_for_faults(mut m: Machine) -> Machine {
    for vector in 12..=14 {
        m.open_gate(vector, 0, 1);
    }
    m
}

/// Where the stack is: in the middle of a page, at its end, across it, in front of pages that are absent or
/// read-only, at a device, and nowhere.
fn stacks() -> Vec<u64> {
    let mut all = vec![STACK, FREE + 0x1004, NOWHERE, NOWHERE + 0x10, 16, 0];
    for n in 0..6 {
        all.extend([
            FREE + 0x3000 + 8 * n,
            0x1f_ffe0 + 8 * n,
            FREE + 0x6000 + 8 * n,
        ]);
    }
    all
}

#[test]
fn rows_of_pushes_and_pops() {
    let build = || {
        let (m, _) = Machine::kernel(|a| {
            repeat(a, 4 * stacks().len() as u32, |a| {
                a.mov(rsp, qword_ptr(r15 * 8 + DATA))?;
                a.cmp(rbx, r15)?;
                a.push(rbx)?;
                a.push(r15)?;
                a.push(rsp)?;
                a.push(r9)?;
                a.push(r10)?;
                a.push(rbp)?;
                a.adc(rbx, 3)?;
                a.pop(r9)?;
                a.pop(rcx)?;
                a.pop(rbp)?;
                a.pop(r11)?;
                // What was RSP before it was pushed.
                a.sub(r11, rsp)?;
                a.add(r10, rbp)?;
                a.add(r12, r11)?;
                a.mov(rsp, qword_ptr(r15 * 8 + DATA))?;
                a.pop(rcx)?;
                a.pop(r11)?;
                a.pop(rsp)?;
                a.mov(rsp, qword_ptr(r15 * 8 + DATA))?;
                a.lea(r8, qword_ptr(r15 + 1))?;
                for register in [r8, r9, r10, r11, r12, r13, rbx, rcx, rdx, rsi] {
                    a.push(register)?;
                }
                a.xor(r12, rbx)?;
                for register in [rsi, r13, rcx, r12, rdx, rbp, r8, r9, r14, rbx] {
                    a.pop(register)?;
                }
                a.inc(r12)
            })
        });
        let mut m = with_stacks_for_faults(m);
        m.remap(FREE + 0x5000, |entry| entry & !page::W);
        m.change(|state| {
            for (n, register) in (1..).zip(&mut state.gpr) {
                *register = 0x0101_0101_0101_0101 * n;
            }
        });
        for n in 0..=4 * stacks().len() {
            m.poke64(DATA + 8 * n as u64, stacks()[n / 3 % stacks().len()]);
        }
        m
    };
    let m = check("rows", build, skip_faulting, &ALL_CUTS);
    // Rows went into both of two pages, and into the last page before one that is absent.
    for end in [FREE + 0x2ff8, FREE + 0x3020, 0x20_0000] {
        assert!((0..6).any(|n| m.peek64(end - 8 * n) != 0), "{end:#x}");
    }
}

#[test]
fn flags_of_memory_that_the_tlb_does_not_know() {
    let build = || {
        let (mut m, _) = Machine::kernel(|a| {
            repeat(a, ROUNDS, |a| {
                let (mut one, mut two, mut three) =
                    (a.create_label(), a.create_label(), a.create_label());
                a.mov(rsi, qword_ptr(r15 * 8 + DATA))?;
                // Every second time nothing is known.
                a.test(r15d, 1)?;
                a.jz(one)?;
                a.mov(rax, cr3)?;
                a.mov(cr3, rax)?;
                a.set_label(&mut one)?;
                a.cmp(qword_ptr(rsi), 5)?;
                a.setb(r8b)?;
                a.mov(rdx, r8)?;
                a.cmovg(r9, r15)?;
                a.cmovo(r10, r9)?;
                a.jbe(two)?;
                a.inc(r11)?;
                a.set_label(&mut two)?;
                a.sub(dword_ptr(rsi + 8), 0x1234_5678)?;
                a.cmovs(rbp, r15)?;
                a.movzx(ecx, bpl)?;
                a.jl(three)?;
                a.add(r12, rcx)?;
                a.set_label(&mut three)?;
                a.and(byte_ptr(rsi + 16), 0xf3u32 as i32)?;
                a.setnp(r13b)?;
                a.or(r14w, word_ptr(rsi + 17))?;
                a.cmovns(rbx, rsi)?;
                a.mov(rax, qword_ptr(rsi))?;
                a.add(rax, r8)?;
                a.lock().cmpxchg(qword_ptr(rsi), r15)?;
                a.cmove(rdi, rax)?;
                a.adc(rdi, 0)
            })
        });
        let places = [
            DATA + 0x800,
            FREE + 0xffc,
            NOWHERE,
            FREE + 0x2000,
            0x20_0000,
            FREE + 0x2ff0,
            0x1f_fff8,
        ];
        for n in 0..=u64::from(ROUNDS) {
            m.poke64(DATA + 8 * n, places[n as usize / 5 % places.len()]);
        }
        m.poke64(FREE + 0x2000, 1 << 63);
        m.poke64(DATA + 0x800, 4);
        m.remap(FREE + 0x2000, |entry| entry & !(page::A | page::D));
        m
    };
    let mut m = check("flags", build, skip_faulting, &ALL_CUTS);
    assert_eq!(
        m.entry(FREE + 0x2000) & (page::A | page::D),
        page::A | page::D
    );
}

#[test]
fn code_beside_the_page_table_that_notes_its_accesses() {
    // The entries of four pages and the loop that accesses them are in the same line, so that the first
    // access to each of the pages changes code that is being executed.
    let build = || {
        let mut m = Machine::new();
        let pages = FREE + 0x8000;
        let slot = m.slot(pages, 1);
        m.load(slot + 32, 64, |a| {
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.mov(rbx, qword_ptr(rsi))?;
            a.add(r8, rbx)?;
            a.mov(qword_ptr(rsi + 8), r15)?;
            a.add(r9, r8)?;
            a.mov(rsi, qword_ptr(rdi + r15 * 8))?;
            a.dec(r15)?;
            a.jnz(again)?;
            a.hlt()
        });
        for n in 0..4 {
            let linear = pages + 0x1000 * n;
            m.remap(linear, |entry| entry & !(page::A | page::D));
            m.poke64(linear, 3 + n);
        }
        for n in 0..=u64::from(ROUNDS) {
            m.poke64(DATA + 8 * n, pages + 0x1000 * (n / 30));
        }
        m.change(|state| {
            state.gpr[15] = ROUNDS.into();
            state.gpr[reg::RDI] = DATA;
            state.gpr[reg::RSI] = pages + 0x3000;
        });
        m
    };
    let mut m = check("tables", build, skip_faulting, &ALL_CUTS);
    assert_eq!(m.entry(FREE + 0x8000) & page::A, page::A);
}

#[test]
fn code_that_is_a_page_table_entry() {
    // The page's entry is executed: ADD EAX, EAX as long as the page has not been accessed, and AND EAX, EAX
    // from then on. The block that it is in accesses the page just in front of it.
    const PAGE: u64 = FREE + 0xc000;
    const NEAR: u64 = DATA + 0x800;
    let build = || {
        let mut m = Machine::new();
        let slot = m.slot(PAGE, 1);
        m.remap(PAGE, |entry| entry & !(page::A | page::D));
        assert_eq!(m.peek64(slot), 0x0010_c003);
        let head = |a: &mut CodeAssembler| {
            a.mov(eax, NEAR as u32)?;
            a.mov(rsi, qword_ptr(rdi + r15 * 8))?;
            a.mov(rcx, qword_ptr(rsi))
        };
        let start = slot - m.place(CODE, 64, head).bytes.len() as u64;
        m.load(start, 64, head);
        m.place(slot + 8, 64, |a| {
            a.add(r8, rax)?;
            a.dec(r15)?;
            a.jnz(start)?;
            a.hlt()
        });
        for n in 0..=u64::from(ROUNDS) {
            m.poke64(DATA + 8 * n, if n < 20 { PAGE } else { FREE });
        }
        m.change(|state| {
            state.gpr[15] = ROUNDS.into();
            state.gpr[reg::RDI] = DATA;
        });
        m
    };
    let m = check("entry", build, skip_faulting, &ALL_CUTS);
    // It was executed as it is from the very round on in which the page is accessed.
    assert_eq!(m.gpr(8), 61 * 2 * NEAR + 19 * NEAR);
}
