//! Compiled instructions that the interpreter executes from their decoded form: quotients, scans, long
//! shifts, CMPXCHG16B, the base of GS. Where they fault, the interpreter reports it.

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Machine, reg};
use crate::modes::{ALL_CUTS, check, skip_faulting};

/// Not canonical.
const NOWHERE: u64 = 0x8000_0000_0000;

/// A loop in which RSI points to each of `cases` in turn, several times.
fn cases<const N: usize>(
    cases: &[[u64; N]],
    body: impl Fn(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Machine {
    let (mut m, _) = Machine::kernel(|a| {
        let (mut again, mut first) = (a.create_label(), a.create_label());
        a.mov(r15d, 30)?;
        a.set_label(&mut again)?;
        a.mov(esi, DATA as u32)?;
        a.set_label(&mut first)?;
        body(a)?;
        a.mov(rsp, STACK)?;
        a.add(rsi, 8 * N as i32)?;
        a.cmp(rsi, (DATA + 8 * (N * cases.len()) as u64) as i32)?;
        a.jne(first)?;
        a.dec(r15d)?;
        a.jnz(again)?;
        a.hlt()
    });
    for (n, value) in (0..).zip(cases.as_flattened()) {
        m.poke64(DATA + 8 * n, *value);
    }
    m
}

const MIN: u64 = 1 << 63;
const MAX: u64 = u64::MAX;

/// Dividends, lower half first, and divisors.
const QUOTIENTS: [[u64; 3]; 18] = [
    [100, 0, 7],
    [100, 0, 0],
    [MAX, MAX, 1],
    [MAX, MAX, MAX],
    [MIN, MAX, MAX],
    [MIN, MAX, 1],
    [MIN, 0, 1],
    [5, 7, 7],
    [5, 7, 8],
    [5, 6, 7],
    [0, 1 << 62, MIN],
    [0x8000_0000, 0xffff_ffff, 0xffff_ffff],
    [0x8000_0000, 0xffff_ffff, 2],
    [0x8000_0000, 0, 0xffff_ffff],
    [
        0xffff_fff0_0000_0000 | 9,
        0xffff_fff0_0000_0000,
        0xffff_fff0_0000_0004,
    ],
    [77, 0xffff_ffff_0000_0000, 0xffff_ffff_ffff_fffb],
    [1u64.wrapping_neg() << 3, MAX, 3],
    [12345, 0, NOWHERE],
];

#[test]
fn quotients_that_fit_and_others() {
    for way in 0..8 {
        let build = || {
            cases(&QUOTIENTS, |a| {
                a.mov(rax, qword_ptr(rsi))?;
                a.mov(rdx, qword_ptr(rsi + 8))?;
                a.mov(rcx, qword_ptr(rsi + 16))?;
                // The flags stay.
                a.cmp(rax, rcx)?;
                match way {
                    0 => a.div(rcx)?,
                    1 => a.idiv(rcx)?,
                    2 => a.div(ecx)?,
                    3 => a.idiv(ecx)?,
                    4 => a.div(qword_ptr(rsi + 16))?,
                    5 => a.idiv(qword_ptr(rsi + 16))?,
                    6 => a.div(dword_ptr(rsi + 16))?,
                    _ => a.idiv(dword_ptr(rsi + 16))?,
                }
                a.setle(bl)?;
                a.lea(r8, qword_ptr(r8 + rax))?;
                a.xor(r9, rdx)?;
                // An address that is none at the end.
                a.idiv(dword_ptr(rcx * 2 + 4))
            })
        };
        check(&format!("quotients {way}"), build, skip_faulting, &ALL_CUTS);
    }
}

#[test]
fn products_of_the_accumulator() {
    let build = || {
        cases(&QUOTIENTS, |a| {
            a.mov(rax, qword_ptr(rsi))?;
            a.mov(rcx, qword_ptr(rsi + 8))?;
            a.imul(rcx)?;
            a.seto(bl)?;
            a.add(r8, rax)?;
            a.mul(dword_ptr(rsi + 16))?;
            a.setc(bh)?;
            a.xor(r9, rdx)?;
            a.imul(ecx)?;
            a.cmovs(r10, rdx)?;
            a.imul(qword_ptr(rsi + 16))?;
            a.pushfq()?;
            a.imul_3(rdi, qword_ptr(rsi + 8), 0x1_0001)?;
            a.cmovo(r11, rdi)?;
            a.imul_3(edi, dword_ptr(rsi), -3)?;
            a.sets(r13b)?;
            a.mul(qword_ptr(rcx * 2 + 4))
        })
    };
    check("products", build, skip_faulting, &ALL_CUTS);
}

#[test]
fn scans_leave_what_they_do_not_find() {
    let sources = [
        0,
        1,
        0x8000_0000,
        1 << 32,
        MIN,
        MAX,
        0xffff_0000_0000_0000,
        0x10,
    ]
    .map(|n| [n]);
    let build = || {
        cases(&sources, |a| {
            a.mov(rax, qword_ptr(rsi))?;
            a.mov(rcx, MAX / 3)?;
            a.mov(rdx, rcx)?;
            a.mov(rbx, rcx)?;
            // All flags in turn.
            a.imul_3(edi, r15d, 0x357)?;
            a.and(edi, 0x8d5)?;
            a.push(rdi)?;
            a.popfq()?;
            a.bsf(rcx, rax)?;
            a.pushfq()?;
            a.bsr(edx, eax)?;
            a.setbe(r8b)?;
            a.bsf(ebx, dword_ptr(rsi + 4))?;
            a.setp(r9b)?;
            a.sub(rcx, rdx)?;
            a.bsr(rcx, qword_ptr(rsi))?;
            a.pushfq()?;
            a.tzcnt(rdx, rax)?;
            a.seto(r10b)?;
            a.add(edx, ecx)?;
            a.lzcnt(ebx, eax)?;
            a.adc(r11, rbx)?;
            a.bsf(rdi, rax)?;
            a.test(rax, rax)?;
            a.cmovs(r12, rdi)?;
            a.bsr(rdx, qword_ptr(rax * 2 + 4))
        })
    };
    check("scans", build, skip_faulting, &ALL_CUTS);
}

#[test]
fn long_shifts_by_cl() {
    let counts = [0, 1, 31, 32, 33, 63, 64, 95, 255].map(|n| [n, n << 57 | 0x1234_5678_9abc_def1]);
    let build = || {
        cases(&counts, |a| {
            a.mov(rcx, qword_ptr(rsi))?;
            a.mov(rax, qword_ptr(rsi + 8))?;
            a.mov(rbx, rax)?;
            a.sub(rdx, rax)?;
            a.shrd(rax, rdx, cl)?;
            a.pushfq()?;
            a.shld(rbx, rax, cl)?;
            a.seto(r8b)?;
            a.shrd(edx, ebx, cl)?;
            a.pushfq()?;
            a.shld(eax, edx, cl)?;
            a.adc(r9, rax)?;
            a.shld(rcx, rax, cl)?;
            a.adc(r10, rcx)?;
            a.shrd(ecx, edx, cl)?;
            a.shld(dword_ptr(rsi), edx, cl)?;
            a.shrd(r10, rcx, 5)
        })
    };
    check("long shifts", build, skip_faulting, &ALL_CUTS);
}

#[test]
fn pairs_are_exchanged() {
    let places = [
        DATA + 0x800,
        DATA + 0x808,
        FREE + 0xff0,
        NOWHERE,
        0x20_0000,
        DATA + 0x810,
    ]
    .map(|n| [n]);
    let build = || {
        let mut m = cases(&places, |a| {
            a.mov(rdi, qword_ptr(rsi))?;
            a.mov(rbx, r15)?;
            a.lea(rcx, qword_ptr(r15 + rsi))?;
            // Flags of all kinds, of which only ZF changes.
            a.imul_3(r8d, r15d, 0x357)?;
            a.and(r8d, 0x8d5)?;
            a.push(r8)?;
            a.popfq()?;
            a.cmpxchg16b(xmmword_ptr(rdi))?;
            a.pushfq()?;
            a.pop(r9)?;
            a.lock().cmpxchg16b(xmmword_ptr(rdi))?;
            a.setnz(r10b)?;
            a.not(rdx)?;
            a.cmpxchg16b(xmmword_ptr(rdi))?;
            a.cmovne(r11, rax)?;
            a.cmpxchg8b(qword_ptr(rdi))?;
            a.xor(r12, rax)
        });
        m.change(|state| state.gpr[reg::RAX] = 7);
        m
    };
    check("pairs", build, skip_faulting, &ALL_CUTS);
}

#[test]
fn pairs_in_pages_that_may_not_be_written() {
    let build = || {
        let mut m = cases(&[[FREE], [FREE + 0x10]], |a| {
            a.mov(rdi, qword_ptr(rsi))?;
            a.add(rax, qword_ptr(rdi))?;
            a.cmpxchg16b(xmmword_ptr(rdi))?;
            a.setz(bl)?;
            a.movq(qword_ptr(rdi), xmm1)?;
            a.inc(r8)
        });
        let table = m.slot(FREE, 1);
        m.poke64(table, FREE | page::P);
        m
    };
    check("read-only pairs", build, skip_faulting, &ALL_CUTS);
}

#[test]
fn the_base_of_gs_is_swapped() {
    let build = || {
        let mut m = cases(&[[1], [2], [3]], |a| {
            a.mov(rbx, qword_ptr(rsi))?;
            a.swapgs()?;
            a.add(qword_ptr(0x10).gs(), rbx)?;
            a.mov(eax, ds)?;
            a.mov(cx, ss)?;
            a.std()?;
            a.swapgs()?;
            a.cld()?;
            a.add(rdx, qword_ptr(0x10).gs())?;
            a.swapgs()?;
            a.mov(r9, cs)?;
            a.mov(word_ptr(DATA + 0x700), gs)
        });
        m.change(|state| {
            state.segments[5].base = FREE;
            state.msrs.kernel_gs_base = FREE + 0x1000;
            state.gpr[reg::RCX] = MAX;
        });
        m
    };
    check("swapgs", build, skip_faulting, &ALL_CUTS);
}

#[test]
fn programs_may_not_swap_the_base_of_gs() {
    let build = || {
        let (mut m, _) = Machine::user(|a| {
            a.mov(r15d, 30)?;
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.mov(eax, ss)?;
            a.add(rbx, rax)?;
            a.swapgs()?;
            a.std()?;
            a.cld()?;
            a.mov(rcx, fs)?;
            a.dec(r15d)?;
            a.jnz(again)?;
            a.int(0x80)?;
            a.nop()
        });
        m.open_gate(0x80, 3, 0);
        // The handler of the end.
        m.poke(HANDLERS + 0x80 * HANDLER_STEP, &[0xf4]);
        m
    };
    check("swapgs of a program", build, skip_faulting, &ALL_CUTS);
}

#[test]
fn segments_are_read_at_the_end_of_a_page() {
    let build = || {
        let mut m = Machine::new();
        m.load(CODE + 0xfe4, 64, |a| {
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            for _ in 0..7 {
                a.swapgs()?;
                a.mov(eax, ds)?;
                a.inc(ebx)?;
            }
            a.dec(r15d)?;
            a.jnz(again)?;
            a.hlt()
        });
        m.change(|state| state.gpr[15] = 30);
        m
    };
    check("end of a page", build, skip_faulting, &ALL_CUTS);
}

#[test]
fn moves_of_parts_of_wide_registers() {
    let places = [DATA + 0x801, FREE + 0xffc, NOWHERE, 0x20_0000, DATA + 0x810].map(|n| [n]);
    let build = || {
        cases(&places, |a| {
            a.mov(rdi, qword_ptr(rsi))?;
            a.movq(xmm1, rsi)?;
            a.pinsrw(xmm1, r15d, 5)?;
            a.movq(xmm2, qword_ptr(rdi))?;
            a.movhps(xmm2, qword_ptr(rdi + 8))?;
            a.movd(dword_ptr(rdi + 2), xmm1)?;
            a.pshufd(xmm3, xmm1, 0x1b)?;
            a.movd(eax, xmm3)?;
            a.movhps(qword_ptr(rdi + 8), xmm3)?;
            a.paddq(xmm4, xmm3)?;
            a.paddd(xmm4, xmmword_ptr(rdi))?;
            a.pslld(xmm4, 3)?;
            a.psrldq(xmm4, 1)?;
            a.pshufd(xmm4, xmmword_ptr(rdi), 0x4e)?;
            a.movq(r8, xmm4)?;
            a.movd(xmm5, dword_ptr(rdi + 1))?;
            a.movsd_2(qword_ptr(rdi), xmm5)?;
            a.pinsrw(xmm5, word_ptr(rdi + 3), 15)
        })
    };
    check("parts", build, skip_faulting, &ALL_CUTS);
}
