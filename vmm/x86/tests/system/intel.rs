//! What Intel's processors do where those of other makes do otherwise. The values are written down, so that
//! they are checked on every host; `differential` compares with the host's processor.

use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Machine, enter_user, reg, seg};

/// A 32-bit program of the user, with the stack pointer at `stack`.
fn compatible_user(
    stack: u64,
    write: impl FnOnce(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>,
) -> (Machine, crate::harness::Program) {
    let mut m = Machine::new();
    let p = m.load(USER_CODE, 32, write);
    m.change(|state| {
        enter_user(state, selector::USER_CODE32);
        state.rip = USER_CODE;
        state.gpr[reg::RSP] = stack;
    });
    (m, p)
}

/// Enables alignment checks for the user.
fn check_alignment(m: &mut Machine, now: bool) {
    m.change(|state| {
        state.cr0 |= 1 << 18;
        state.rflags |= if now { flag::AC } else { 0 };
    });
}

#[test]
fn pushed_selectors_leave_the_upper_half_of_a_32_bit_slot() {
    let (mut m, _) = compatible_user(USER_DATA + 0x88, |a| {
        a.push(ds)?;
        a.push(fs)?;
        a.ud2()
    });
    m.poke64(USER_DATA + 0x80, 0x1111_2222_3333_4444);
    // Sixteen bits that are aligned: the slot is not.
    m.change(|state| state.gpr[reg::RSP] = USER_DATA + 0x86);
    check_alignment(&mut m, true);
    let e = m.event();
    assert_eq!((e.vector, e.rsp), (vector::UD, USER_DATA + 0x7e));
    assert_eq!(m.peek64(USER_DATA + 0x80), 0x1111_2222_002b_4444);
    assert_eq!(m.peek64(USER_DATA + 0x7e) & 0xffff, 0x2b);
}

#[test]
fn pushed_selectors_fill_a_64_bit_slot() {
    let (mut m, _) = Machine::kernel(|a| {
        a.push(fs)?;
        a.hlt()
    });
    m.poke64(STACK - 8, u64::MAX);
    m.halt();
    assert_eq!(m.peek64(STACK - 8), u64::from(selector::DATA));
}

#[test]
fn popped_selectors_are_read_as_16_bits() {
    // The slot ends in a page that is not there.
    let end = FREE + 0x1000;
    let (mut m, _) = compatible_user(end - 2, |a| {
        a.pop(es)?;
        a.ud2()
    });
    m.remap(FREE, |entry| entry | page::U);
    m.remap(end, |_| 0);
    m.poke(end - 2, &selector::USER_DATA.to_le_bytes());
    let e = m.event();
    assert_eq!((e.vector, e.rsp), (vector::UD, end + 2));
    let (mut m, _) = Machine::kernel(|a| {
        a.pop(gs)?;
        a.hlt()
    });
    m.remap(end, |_| 0);
    m.poke(end - 2, &selector::DATA.to_le_bytes());
    m.change(|state| {
        state.segments[seg::GS] = Default::default();
        state.gpr[reg::RSP] = end - 2;
    });
    m.halt();
    assert_eq!(m.cpu.state().segments[seg::GS].selector, selector::DATA);
    assert_eq!(m.gpr(reg::RSP), end + 6);
}

#[test]
fn bound_does_not_read_the_upper_bound_of_an_index_below_the_lower_one() {
    let end = FREE + 0x1000;
    for (index, expected) in [(1u32, vector::BR), (3, vector::PF)] {
        let (mut m, p) = compatible_user(USER_STACK, |a| {
            a.mov(eax, index)?;
            a.bound(eax, qword_ptr(end - 4))
        });
        m.remap(FREE, |entry| entry | page::U);
        m.remap(end, |_| 0);
        m.poke(end - 4, &2u32.to_le_bytes());
        let e = m.event();
        assert_eq!((e.vector, e.rip), (expected, p.at(1)));
    }
}

/// A program that repeats a comparison, whose third iteration reads a page that is not there.
fn repeated_comparison(repne: bool) -> (Machine, u64) {
    let end = FREE + 0x1000;
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(edi, (end - 2) as u32)?;
        a.mov(ecx, 10)?;
        a.mov(eax, if repne { 7 } else { 0 })?;
        a.cmp(ecx, 11)?;
        if repne {
            a.repne().scasb()
        } else {
            a.repe().scasb()
        }
    });
    m.remap(end, |_| 0);
    (m, p.at(4))
}

#[test]
fn repeated_comparisons_show_the_flags_from_before_them_until_they_are_over() {
    for repne in [false, true] {
        // CMP 10, 11 leaves CF, PF, AF and SF; neither comparison would.
        let (mut m, at) = repeated_comparison(repne);
        let e = m.event();
        assert_eq!((e.vector, e.rip, m.gpr(reg::RCX)), (vector::PF, at, 8));
        assert_eq!(e.rflags & 0x8d5, 0x95);
        assert_ne!(e.rflags & flag::RF, 0);
        // Now between two iterations.
        let (mut m, at) = repeated_comparison(repne);
        m.change(|state| state.rflags |= flag::TF);
        let mut e = m.event();
        while e.rip != at || m.gpr(reg::RCX) != 9 {
            e = m.event();
        }
        assert_eq!((e.vector, e.rflags & 0x8d5), (vector::DB, 0x95));
        assert_ne!(e.rflags & flag::RF, 0, "the instruction is not over");
    }
}

#[test]
fn traps_and_interrupts_between_iterations_save_rf() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(edi, FREE as u32)?;
        a.mov(ecx, 3)?;
        a.rep().stosb()?;
        a.hlt()
    });
    m.change(|state| state.rflags |= flag::TF);
    let seen: Vec<(u64, bool)> = (0..5)
        .map(|_| {
            let e = m.event();
            (e.rip - p.at(0), e.rflags & flag::RF != 0)
        })
        .collect();
    let (at, behind) = (p.at(2) - p.at(0), p.at(3) - p.at(0));
    assert_eq!(
        seen,
        [
            (p.at(1) - p.at(0), false),
            (at, false),
            (at, true),
            (at, true),
            (behind, false)
        ]
    );
    let (mut m, p) = Machine::kernel(|a| {
        a.sti()?;
        a.mov(edi, FREE as u32)?;
        a.mov(ecx, 1000)?;
        a.rep().stosb()?;
        a.hlt()
    });
    assert_eq!(m.run(5), chaosrun_x86::Exit::Budget);
    assert!((1..1000).contains(&m.gpr(reg::RCX)));
    m.interrupt(0x80);
    let e = m.event();
    assert_eq!((e.vector, e.rip), (0x80, p.at(3)));
    assert_ne!(e.rflags & flag::RF, 0);
    m.halt();
    assert_eq!(m.cpu.state().rflags & flag::RF, 0);
}

#[test]
fn repetitions_with_narrow_addresses_clear_upper_halves() {
    const HIGH: u64 = 0x1234_5678_0000_0000;
    let run = |count: u64, scan: bool| {
        let (mut m, _) = Machine::kernel(|a| {
            // REP MOVSB or REPE SCASB with 32-bit addresses.
            a.db(if scan {
                &[0x67, 0xf3, 0xae]
            } else {
                &[0x67, 0xf3, 0xa4]
            })?;
            a.hlt()
        });
        m.remap(FREE, |_| 0);
        m.change(|state| {
            state.gpr[reg::RCX] = HIGH | count;
            state.gpr[reg::RSI] = HIGH | DATA;
            state.gpr[reg::RDI] = HIGH | FREE;
        });
        if count == 0 {
            m.halt();
        } else {
            assert_eq!(m.event().vector, vector::PF);
        }
        [reg::RCX, reg::RSI, reg::RDI].map(|register| m.gpr(register))
    };
    assert_eq!(run(0, false), [0, DATA, FREE]);
    assert_eq!(run(5, false), [5, DATA, FREE]);
    assert_eq!(run(0, true), [0, HIGH | DATA, HIGH | FREE]);
    assert_eq!(run(5, true), [5, HIGH | DATA, HIGH | FREE]);
}

#[test]
fn x87_exceptions_keep_a_store_from_faulting() {
    // Nothing is on the stack of the x87 unit; invalid operations are unmasked, then masked.
    for (control, expected) in [(0x37e_u16, vector::MF), (0x37f, vector::PF)] {
        let (mut m, p) = Machine::kernel(|a| {
            a.fninit()?;
            a.fldcw(word_ptr(DATA))?;
            a.fstp(qword_ptr(FREE))?;
            a.wait()
        });
        m.poke(DATA, &control.to_le_bytes());
        m.remap(FREE, |_| 0);
        let e = m.event();
        let at = if expected == vector::MF { 3 } else { 2 };
        assert_eq!((e.vector, e.rip), (expected, p.at(at)));
        let status = m.cpu.state().x87.status;
        assert_eq!(status & 0xff, if expected == vector::MF { 0xc1 } else { 0 });
    }
}

#[test]
fn a_call_of_nowhere_has_written_the_return_address() {
    for in_memory in [false, true] {
        let (mut m, p) = Machine::kernel(|a| {
            a.mov(rax, 0x8000_0000_0000u64)?;
            a.mov(qword_ptr(DATA), rax)?;
            if in_memory {
                a.call(qword_ptr(DATA))?
            } else {
                a.call(rax)?
            }
            a.nop()
        });
        m.poke64(STACK - 8, 7);
        let e = m.event();
        assert_eq!(e.what(), (vector::GP, Some(0), p.at(2)));
        assert_eq!(e.rsp, STACK, "the stack pointer is as it was");
    }
    // On a stack of its own, so that the handler's frame does not lie over it.
    let (mut m, p) = Machine::user(|a| {
        a.mov(rax, 0x8000_0000_0000u64)?;
        a.call(rax)?;
        a.nop()
    });
    let e = m.event();
    assert_eq!((e.vector, e.rsp), (vector::GP, USER_STACK));
    assert_eq!(m.peek64(USER_STACK - 8), p.at(2));
}

#[test]
fn iret_checks_the_alignment_of_its_frame_by_the_flags_that_it_pops() {
    for (misaligned, wide) in [(0, true), (4, true), (2, false), (0, false)] {
        let frame = USER_DATA + 0x100 + misaligned;
        let (mut m, p) = Machine::user(|a| if wide { a.iretq() } else { a.iretd() });
        check_alignment(&mut m, false);
        m.change(|state| state.gpr[reg::RSP] = frame);
        let words = [
            USER_CODE + 0x100,
            selector::USER_CODE64.into(),
            2 | flag::AC,
            USER_STACK,
            selector::USER_DATA.into(),
        ];
        let size = if wide { 8 } else { 4 };
        for (n, word) in words.into_iter().enumerate() {
            m.poke(frame + (n * size) as u64, &word.to_le_bytes()[..size]);
        }
        m.poke(USER_CODE + 0x100, &[0x0f, 0x0b]);
        let e = m.event();
        if misaligned == 0 {
            assert_eq!((e.vector, e.rip), (vector::UD, USER_CODE + 0x100));
            assert_ne!(e.rflags & flag::AC, 0);
        } else {
            assert_eq!(e.what(), (vector::AC, Some(0), p.at(0)));
            assert_eq!((e.rflags & flag::AC, e.rsp), (0, frame), "as before it");
        }
    }
}

#[test]
fn a_repeated_copy_finds_the_faults_of_its_source_first_however_many_elements_it_has() {
    for count in [1u64, 100] {
        let (mut m, p) = Machine::kernel(|a| {
            a.rep().movsb()?;
            a.hlt()
        });
        m.remap(FREE, |_| 0);
        m.change(|state| {
            state.gpr[reg::RCX] = count;
            state.gpr[reg::RSI] = FREE;
            state.gpr[reg::RDI] = 0x8000_0000_0000;
        });
        let e = m.event();
        assert_eq!(e.what(), (vector::PF, Some(0), p.at(0)));
    }
}
