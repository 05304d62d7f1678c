//! Every exception: its vector, its error code and the RIP that it pushes (Intel SDM vol. 3, 6.15).

use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Emit, Machine, seg};

#[test]
fn divide_error_points_at_the_division() {
    let (mut m, p) = Machine::kernel(|a| {
        a.xor(ecx, ecx)?;
        a.div(ecx)?;
        a.hlt()
    });
    let e = m.event();
    assert_eq!(e.what(), (vector::DE, None, p.at(1)));
    assert_eq!(
        (e.cs, e.ss, e.rsp),
        (selector::CODE64, selector::DATA, STACK)
    );
}

#[test]
fn divide_overflow_leaves_the_operands() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(eax, -1)?;
        a.mov(edx, 7)?;
        a.mov(ecx, 7)?;
        a.div(ecx)?;
        a.hlt()
    });
    assert_eq!(m.event().what(), (vector::DE, None, p.at(3)));
    let state = m.cpu.state();
    assert_eq!((state.gpr[0], state.gpr[2]), (0xffff_ffff, 7));
}

#[test]
fn breakpoint_is_a_trap_that_points_behind() {
    let (mut m, p) = Machine::kernel(|a| {
        a.int3()?;
        a.hlt()
    });
    assert_eq!(m.event().what(), (vector::BP, None, p.at(1)));
    m.halt();
}

#[test]
fn int_3_in_its_long_form_is_vector_3() {
    let (mut m, p) = Machine::kernel(|a| {
        a.int(3)?;
        a.hlt()
    });
    assert_eq!(m.event().what(), (vector::BP, None, p.at(1)));
}

#[test]
fn int1_is_a_debug_exception_that_points_behind_and_leaves_dr6() {
    let (mut m, p) = Machine::kernel(|a| {
        a.int1()?;
        a.hlt()
    });
    let before = m.cpu.state().dr[6];
    assert_eq!(m.event().what(), (vector::DB, None, p.at(1)));
    assert_eq!(m.cpu.state().dr[6], before);
}

#[test]
fn into_traps_only_with_overflow() {
    let (mut m, p) = Machine::compatible(|a| {
        a.xor(eax, eax)?;
        a.into()?;
        a.mov(al, 0x7f)?;
        a.inc(al)?;
        a.into()?;
        a.hlt()
    });
    let e = m.event();
    assert_eq!(e.what(), (vector::OF, None, p.at(5)));
    assert_eq!(e.cs, selector::CODE32);
    m.halt();
}

#[test]
fn bound_faults_outside_its_bounds_only() {
    let (mut m, p) = Machine::compatible(|a| {
        a.mov(dword_ptr(DATA as u32), -5)?;
        a.mov(dword_ptr(DATA as u32 + 4), 5)?;
        a.mov(eax, -5)?;
        a.bound(eax, qword_ptr(DATA as u32))?;
        a.mov(eax, 5)?;
        a.bound(eax, qword_ptr(DATA as u32))?;
        a.mov(eax, 6)?;
        a.bound(eax, qword_ptr(DATA as u32))?;
        a.hlt()
    });
    assert_eq!(m.event().what(), (vector::BR, None, p.at(7)));
}

#[test]
fn undefined_opcodes_fault_at_themselves() {
    for bytes in [
        &[0x0f, 0x0b][..],               // UD2
        &[0x0f, 0xff, 0xc0],             // UD0
        &[0x0f, 0xb9, 0xc0],             // UD1
        &[0xce],                         // INTO in 64-bit mode
        &[0x06],                         // PUSH ES in 64-bit mode
        &[0x62, 0x00],                   // BOUND in 64-bit mode
        &[0xf0, 0x90],                   // LOCK NOP
        &[0xf0, 0x01, 0xc0],             // LOCK ADD of a register
        &[0xf0, 0x8b, 0x00],             // LOCK MOV
        &[0x8e, 0xc8],                   // MOV CS, EAX
        &[0x0f, 0x20, 0xc8],             // MOV RAX, CR1
        &[0x0f, 0x01, 0xc1],             // VMCALL
        &[0xc4, 0xe2, 0x79, 0x18, 0x00], // VBROADCASTSS
        &[0x0f, 0x01, 0xca],             // CLAC
    ] {
        let (mut m, p) = Machine::kernel(|a| {
            a.nop()?;
            a.db(bytes)?;
            a.hlt()
        });
        assert_eq!(
            m.event().what(),
            (vector::UD, None, p.at(1)),
            "{bytes:02x?}"
        );
    }
}

#[test]
fn fpu_instructions_raise_nm_with_ts_or_em() {
    for bit in [control::CR0_TS, control::CR0_EM] {
        let (mut m, p) = Machine::kernel(|a| a.fld1());
        m.change(|state| state.cr0 |= bit);
        assert_eq!(m.event().what(), (vector::NM, None, p.at(0)));
    }
}

#[test]
fn fwait_raises_nm_only_with_ts_and_mp() {
    let (mut m, p) = Machine::kernel(|a| {
        a.wait()?;
        a.hlt()
    });
    m.change(|state| state.cr0 = state.cr0 & !control::CR0_MP | control::CR0_TS);
    m.halt();
    m.change(|state| {
        state.cr0 |= control::CR0_MP;
        state.rip = CODE;
        state.activity = chaosrun_x86::Activity::Running;
    });
    assert_eq!(m.event().what(), (vector::NM, None, p.at(0)));
}

#[test]
fn sse_raises_ud_without_osfxsr_and_nm_with_ts() {
    let program = |a: &mut CodeAssembler| a.addps(xmm0, xmm1);
    let (mut m, p) = Machine::kernel(program);
    m.change(|state| state.cr4 &= !control::CR4_OSFXSR);
    assert_eq!(m.event().what(), (vector::UD, None, p.at(0)));
    let (mut m, p) = Machine::kernel(program);
    m.change(|state| state.cr0 |= control::CR0_TS);
    assert_eq!(m.event().what(), (vector::NM, None, p.at(0)));
    let (mut m, p) = Machine::kernel(program);
    m.change(|state| state.cr0 |= control::CR0_EM);
    assert_eq!(m.event().what(), (vector::UD, None, p.at(0)));
}

#[test]
fn x87_errors_are_reported_by_the_next_waiting_instruction() {
    let (mut m, p) = Machine::kernel(|a| {
        a.fninit()?;
        a.mov(word_ptr(DATA), 0x37bu32)?; // zero divide unmasked
        a.fldcw(word_ptr(DATA))?;
        a.fld1()?;
        a.fldz()?;
        a.fdivp(st1, st0)?;
        a.nop()?;
        a.wait()?;
        a.hlt()
    });
    assert_eq!(m.event().what(), (vector::MF, None, p.at(7)));
}

#[test]
fn sse_errors_raise_xm_or_ud_at_the_instruction() {
    let program = |a: &mut CodeAssembler| {
        a.mov(dword_ptr(DATA), 0x1d80)?; // zero divide unmasked
        a.ldmxcsr(dword_ptr(DATA))?;
        a.mov(eax, 0x3f80_0000)?;
        a.movd(xmm0, eax)?;
        a.xorps(xmm1, xmm1)?;
        a.divss(xmm0, xmm1)?;
        a.hlt()
    };
    let (mut m, p) = Machine::kernel(program);
    assert_eq!(m.event().what(), (vector::XM, None, p.at(5)));
    let (mut m, p) = Machine::kernel(program);
    m.change(|state| state.cr4 &= !control::CR4_OSXMMEXCPT);
    assert_eq!(m.event().what(), (vector::UD, None, p.at(5)));
}

#[test]
fn unaligned_access_raises_ac_only_at_level_3_with_am_and_ac() {
    let program = |a: &mut CodeAssembler| {
        a.mov(eax, dword_ptr(USER_DATA + 1))?;
        a.hlt()
    };
    let run = |level: u8, am: bool, ac: bool| {
        let (mut m, p) = if level == 3 {
            Machine::user(program)
        } else {
            Machine::kernel(program)
        };
        m.change(|state| {
            state.cr0 |= if am { control::CR0_AM } else { 0 };
            state.rflags |= if ac { flag::AC } else { 0 };
        });
        if level == 0 {
            m.halt();
            return None;
        }
        let e = m.event();
        assert!(
            matches!(e.what(), (vector::AC, Some(0), rip) if rip == p.at(0))
                || e.what() == (vector::GP, Some(0), p.at(1))
        );
        Some(e.vector)
    };
    assert_eq!(run(3, true, true), Some(vector::AC));
    assert_eq!(run(3, true, false), Some(vector::GP));
    assert_eq!(run(3, false, true), Some(vector::GP));
    assert_eq!(run(0, true, true), None);
}

#[test]
fn aligned_accesses_pass_the_alignment_check() {
    let (mut m, p) = Machine::user(|a| {
        a.mov(al, byte_ptr(USER_DATA + 1))?;
        a.mov(ax, word_ptr(USER_DATA + 2))?;
        a.mov(eax, dword_ptr(USER_DATA + 4))?;
        a.push(rax)?;
        a.mov(rax, qword_ptr(USER_DATA + 8))?;
        a.mov(word_ptr(USER_DATA + 1), ax)?;
        a.hlt()
    });
    m.change(|state| {
        state.cr0 |= control::CR0_AM;
        state.rflags |= flag::AC;
    });
    assert_eq!(m.event().what(), (vector::AC, Some(0), p.at(5)));
}

#[test]
fn privileged_instructions_raise_gp_at_level_3() {
    let programs: [Emit; 17] = [
        |a| a.hlt(),
        |a| a.cli(),
        |a| a.sti(),
        |a| a.clts(),
        |a| a.invd(),
        |a| a.wbinvd(),
        |a| a.invlpg(byte_ptr(rax)),
        |a| a.lgdt(ptr(rax)),
        |a| a.lidt(ptr(rax)),
        |a| a.lldt(ax),
        |a| a.ltr(ax),
        |a| a.lmsw(ax),
        |a| a.mov(rax, cr0),
        |a| a.mov(dr0, rax),
        |a| a.rdmsr(),
        |a| a.swapgs(),
        |a| a.in_(al, dx),
    ];
    for (n, program) in programs.into_iter().enumerate() {
        let (mut m, p) = Machine::user(|a| {
            a.nop()?;
            program(a)
        });
        assert_eq!(
            m.event().what(),
            (vector::GP, Some(0), p.at(1)),
            "program {n}"
        );
    }
}

#[test]
fn non_canonical_addresses_raise_gp_or_ss_by_the_segment() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(rbx, 0x8000_0000_0000u64)?;
        a.mov(rax, qword_ptr(rbx))?;
        a.hlt()
    });
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(1)));
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(rbp, 0x8000_0000_0000u64)?;
        a.mov(rax, qword_ptr(rbp))?;
        a.hlt()
    });
    assert_eq!(m.event().what(), (vector::SS, Some(0), p.at(1)));
    // The last byte counts as well as the first.
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(rbx, 0x7fff_ffff_fffcu64)?;
        a.mov(qword_ptr(rbx), rax)?;
        a.hlt()
    });
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(1)));
}

#[test]
fn push_to_a_non_canonical_stack_raises_ss_on_the_interrupt_stack() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(rsp, 0x8000_0000_1000u64)?;
        a.push(rax)?;
        a.hlt()
    });
    m.open_gate(vector::SS, 0, 1);
    let e = m.event();
    assert_eq!(e.what(), (vector::SS, Some(0), p.at(1)));
    assert_eq!(e.rsp, 0x8000_0000_1000);
}

#[test]
fn jumps_to_non_canonical_addresses_fault_at_the_jump() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(rax, 0x1234_0000_0000_0000u64)?;
        a.jmp(rax)
    });
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(1)));
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(rax, 0x1234_0000_0000_0000u64)?;
        a.push(rax)?;
        a.ret()
    });
    let e = m.event();
    assert_eq!(e.what(), (vector::GP, Some(0), p.at(2)));
    assert_eq!(e.rsp, STACK - 8);
}

#[test]
fn instructions_longer_than_fifteen_bytes_raise_gp() {
    let (mut m, p) = Machine::kernel(|a| {
        a.nop()?;
        a.db(&[0x66; 15])?;
        a.db(&[0x90])
    });
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(1)));
}

#[test]
fn segment_not_present_names_the_selector() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(eax, u32::from(selector::SPARE))?;
        a.mov(ds, eax)?;
        a.hlt()
    });
    m.describe(selector::SPARE, descriptor::DATA & !descriptor::PRESENT);
    assert_eq!(
        m.event().what(),
        (vector::NP, Some(u32::from(selector::SPARE)), p.at(1))
    );
    assert_eq!(m.cpu.state().segments[seg::DS].selector, selector::DATA);
}

#[test]
fn faults_push_rf_and_traps_do_not() {
    let (mut m, _) = Machine::kernel(|a| {
        a.int3()?;
        a.ud2()
    });
    assert_eq!(m.event().rflags & flag::RF, 0);
    assert_ne!(m.event().rflags & flag::RF, 0);
}

#[test]
fn handlers_run_without_tf_nt_rf_and_behind_interrupt_gates_without_if() {
    let set = flag::IF | flag::NT | flag::DF | flag::ID | flag::CF;
    let trap_gate = |low: u64| low | 1 << 40;
    for (is_trap_gate, kept) in [(false, 0), (true, flag::IF)] {
        let (mut m, _) = Machine::kernel(|a| a.ud2());
        m.change(|state| state.rflags = 2 | set);
        if is_trap_gate {
            m.change_gate(vector::UD, trap_gate);
        }
        assert_eq!(m.event().rflags, 2 | set | flag::RF);
        assert_eq!(
            m.cpu.state().rflags,
            2 | kept | flag::DF | flag::ID | flag::CF
        );
    }
}
