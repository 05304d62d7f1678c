//! Debug registers and hardware breakpoints (Intel SDM vol. 3, chapter 17).

use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Emit, Machine, reg};

const EXECUTE: u64 = 0;
const WRITE: u64 = 1;
const PORT: u64 = 2;
const ACCESS: u64 = 3;

/// DR7 for one breakpoint: its number, its condition and its length.
fn enable(n: u64, condition: u64, length: u64) -> u64 {
    let code = [0, 0, 1, 0, 3, 0, 0, 0, 2][length as usize];
    1 << (2 * n + 1) | condition << (16 + 4 * n) | code << (18 + 4 * n)
}

/// The bits of DR6 that say what happened.
fn cause(m: &Machine) -> u64 {
    m.cpu.state().dr[6] & 0xe00f
}

#[test]
fn execution_breakpoint_faults_before_the_instruction_and_rf_lets_it_pass() {
    for n in 0..4 {
        let (mut m, p) = Machine::kernel(|a| {
            a.mov(eax, 1)?;
            a.mov(eax, 2)?;
            a.mov(eax, 3)?;
            a.hlt()
        });
        m.change(|state| {
            state.dr[n] = p.at(1);
            state.dr[7] = enable(n as u64, EXECUTE, 1);
        });
        let e = m.event();
        assert_eq!(e.what(), (vector::DB, None, p.at(1)));
        assert_eq!((m.gpr(reg::RAX), cause(&m)), (1, 1 << n));
        assert_eq!(
            e.rflags & flag::RF,
            0,
            "the handler decides whether it goes on"
        );
        m.poke64(e.frame + 16, e.rflags | flag::RF);
        m.halt();
        assert_eq!(m.gpr(reg::RAX), 3);
    }
}

#[test]
fn execution_breakpoint_comes_again_without_rf() {
    let (mut m, p) = Machine::kernel(|a| {
        a.nop()?;
        a.hlt()
    });
    m.change(|state| {
        state.dr[0] = p.at(0);
        state.dr[7] = enable(0, EXECUTE, 1);
    });
    assert_eq!(m.event().rip, p.at(0));
    assert_eq!(m.event().rip, p.at(0));
}

#[test]
fn rf_covers_one_instruction_only() {
    let (mut m, p) = Machine::kernel(|a| {
        a.nop()?;
        a.nop()?;
        a.hlt()
    });
    m.change(|state| {
        state.dr[0] = p.at(1);
        state.dr[7] = enable(0, EXECUTE, 1);
        state.rflags |= flag::RF;
    });
    assert_eq!(m.event().rip, p.at(1));
}

#[test]
fn execution_breakpoint_on_a_repeated_instruction_hits_once() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(edi, FREE as u32)?;
        a.mov(ecx, 50)?;
        a.rep().stosb()?;
        a.hlt()
    });
    m.change(|state| {
        state.dr[0] = p.at(2);
        state.dr[7] = enable(0, EXECUTE, 1);
    });
    let e = m.event();
    assert_eq!((e.rip, m.gpr(reg::RCX)), (p.at(2), 50));
    m.poke64(e.frame + 16, e.rflags | flag::RF);
    m.halt();
    assert_eq!(m.gpr(reg::RCX), 0);
}

#[test]
fn execution_breakpoint_on_hlt_hits_once() {
    let (mut m, p) = Machine::kernel(|a| a.hlt());
    m.change(|state| {
        state.dr[0] = p.at(0);
        state.dr[7] = enable(0, EXECUTE, 1);
    });
    let e = m.event();
    m.poke64(e.frame + 16, e.rflags | flag::RF);
    m.halt();
    assert_eq!(m.cpu.state().rflags & flag::RF, 0);
}

#[test]
fn data_breakpoints_trap_behind_the_access() {
    let cases = [
        (WRITE, true, true),
        (WRITE, false, false),
        (ACCESS, true, true),
        (ACCESS, false, true),
        (PORT, true, false),
    ];
    for (condition, store, hits) in cases {
        let (mut m, p) = Machine::kernel(|a| {
            if store {
                a.mov(dword_ptr(DATA), eax)?
            } else {
                a.mov(eax, dword_ptr(DATA))?
            }
            a.nop()?;
            a.hlt()
        });
        m.change(|state| {
            state.dr[2] = DATA;
            state.dr[7] = enable(2, condition, 4);
        });
        if !hits {
            m.halt();
            continue;
        }
        let e = m.event();
        assert_eq!(e.what(), (vector::DB, None, p.at(1)));
        assert_eq!((cause(&m), e.rflags & flag::RF), (4, 0));
        m.halt();
    }
}

#[test]
fn data_breakpoints_cover_their_length() {
    // The address, the size of the access, the length watched at DATA + 8.
    let cases = [
        (8, 1, 1, true),
        (7, 1, 1, false),
        (9, 1, 1, false),
        (9, 1, 2, true),
        (10, 1, 2, false),
        (11, 1, 4, true),
        (12, 1, 4, false),
        (15, 1, 8, true),
        (16, 1, 8, false),
        (1, 8, 1, true),
        (0, 8, 1, false),
        (5, 4, 4, true),
    ];
    for (offset, size, length, hits) in cases {
        let (mut m, _) = Machine::kernel(|a| {
            match size {
                1 => a.mov(byte_ptr(DATA + offset), al)?,
                4 => a.mov(dword_ptr(DATA + offset), eax)?,
                _ => a.mov(qword_ptr(DATA + offset), rax)?,
            }
            a.int(0x80)
        });
        m.change(|state| {
            state.dr[1] = DATA + 8;
            state.dr[7] = enable(1, WRITE, length);
        });
        let expected = if hits { vector::DB } else { 0x80 };
        assert_eq!(
            m.event().vector,
            expected,
            "{size} bytes at {offset}, watching {length}"
        );
    }
}

#[test]
fn stack_accesses_and_read_modify_writes_hit_data_breakpoints() {
    let programs: [Emit; 5] = [
        |a| a.push(rax),
        |a| a.call(CODE + 0x100),
        |a| a.add(qword_ptr(rsp - 8), 1),
        |a| a.movups(xmmword_ptr(rsp - 16), xmm0),
        |a| a.fstp(qword_ptr(rsp - 8)),
    ];
    for (n, program) in programs.into_iter().enumerate() {
        let (mut m, _) = Machine::kernel(program);
        m.change(|state| {
            state.dr[0] = STACK - 4;
            state.dr[7] = enable(0, WRITE, 1);
        });
        assert_eq!(m.event().vector, vector::DB, "program {n}");
    }
}

#[test]
fn repeated_instruction_traps_behind_the_iteration_that_hits() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(edi, FREE as u32)?;
        a.mov(ecx, 100)?;
        a.mov(al, 7)?;
        a.rep().stosb()?;
        a.hlt()
    });
    m.change(|state| {
        state.dr[0] = FREE + 10;
        state.dr[7] = enable(0, WRITE, 1);
    });
    assert_eq!(m.event().what(), (vector::DB, None, p.at(3)));
    assert_eq!((m.gpr(reg::RCX), m.gpr(reg::RDI)), (89, FREE + 11));
    m.halt();
    assert_eq!(m.peek64(FREE + 92), 0x0707_0707_0707_0707);
}

#[test]
fn access_that_faults_hits_nothing() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(dword_ptr(FREE + 4094), eax)?;
        a.hlt()
    });
    m.remap(FREE + 4096, |_| 0);
    m.change(|state| {
        state.dr[0] = FREE + 4094;
        state.dr[7] = enable(0, WRITE, 1);
    });
    assert_eq!(m.event().vector, vector::PF);
    assert_eq!(cause(&m), 0);
    m.map(FREE + 4096, (FREE + 4096) | page::P | page::W);
    assert_eq!(m.event().what(), (vector::DB, None, p.at(1)));
}

#[test]
fn port_breakpoints_need_debugging_extensions() {
    for extensions in [false, true] {
        let (mut m, p) = Machine::kernel(|a| {
            a.out(0x40, al)?;
            a.nop()?;
            a.hlt()
        });
        m.change(|state| {
            state.cr4 |= if extensions { control::CR4_DE } else { 0 };
            state.dr[3] = 0x40;
            state.dr[7] = enable(3, PORT, 1);
        });
        if extensions {
            assert_eq!(m.event().what(), (vector::DB, None, p.at(1)));
            assert_eq!(cause(&m), 8);
        }
        m.halt();
    }
}

#[test]
fn breakpoint_registers_4_and_5_are_6_and_7_without_extensions() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(rax, dr4)?;
        a.mov(rbx, dr5)?;
        a.hlt()
    });
    m.halt();
    assert_eq!((m.gpr(reg::RAX), m.gpr(reg::RBX)), (0xffff_0ff0, 0x400));
    let (mut m, p) = Machine::kernel(|a| a.mov(rax, dr4));
    m.change(|state| state.cr4 |= control::CR4_DE);
    assert_eq!(m.event().what(), (vector::UD, None, p.at(0)));
}

#[test]
fn debug_registers_have_fixed_bits_and_no_upper_half() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(rax, -1i64 as u64)?;
        a.mov(dr0, rax)?;
        a.mov(rbx, dr0)?;
        a.mov(eax, -1)?;
        a.mov(dr6, rax)?;
        a.mov(rcx, dr6)?;
        a.xor(eax, eax)?;
        a.mov(dr7, rax)?;
        a.mov(rdx, dr7)?;
        a.hlt()
    });
    m.halt();
    assert_eq!(
        (m.gpr(reg::RBX), m.gpr(reg::RCX), m.gpr(reg::RDX)),
        (u64::MAX, 0xffff_efff, 0x400)
    );
    for register in [dr6, dr7] {
        let (mut m, p) = Machine::kernel(|a| a.mov(register, rax));
        m.change(|state| state.gpr[reg::RAX] = 1 << 32);
        assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(0)));
    }
}

#[test]
fn general_detect_faults_at_the_access_and_switches_itself_off() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(rax, dr0)?;
        a.hlt()
    });
    m.change(|state| state.dr[7] = 0x400 | 1 << 13);
    assert_eq!(m.event().what(), (vector::DB, None, p.at(0)));
    assert_eq!(cause(&m), 1 << 13);
    m.halt();
}
