//! Executes one instruction on the real processor and on the primitives, from the same state.

use super::super::{Extra, Frame, Output, Place, SimdFault, prim, shape};
use iced_x86::code_asm::*;
use iced_x86::{Code, Instruction, MemoryOperand, OpCodeOperandKind, Register};

/// The arithmetic flags: CF, PF, AF, ZF, SF, OF.
const ARITHMETIC: u64 = 0x8d5;

/// What an instruction under test can read and write.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// The memory operand.
    pub memory: [u64; 2],
    /// XMM0, XMM1 (the destination) and XMM2 (the source).
    pub xmm: [[u64; 2]; 3],
    /// MM1 (the destination) and MM2 (the source).
    pub mm: [u64; 2],
    /// RAX (the source), RDX and RCX (the destination).
    pub gpr: [u64; 3],
    /// RFLAGS.
    pub flags: u64,
    /// MXCSR.
    pub mxcsr: u32,
    /// The host's MXCSR meanwhile.
    pub host_mxcsr: u32,
}

/// Builds the instruction for a form with the registers of [`Machine`]; `None` if it has no memory
/// form, or no register form.
pub(super) fn instruction(code: Code, imm: u8, memory: bool) -> Option<Instruction> {
    match code {
        Code::Maskmovq_rDI_mm_mm if memory => {
            return Instruction::with_maskmovq(64, Register::MM1, Register::MM2, Register::None)
                .ok();
        }
        Code::Maskmovdqu_rDI_xmm_xmm if memory => {
            return Instruction::with_maskmovdqu(
                64,
                Register::XMM1,
                Register::XMM2,
                Register::None,
            )
            .ok();
        }
        Code::Maskmovq_rDI_mm_mm | Code::Maskmovdqu_rDI_xmm_xmm => return None,
        _ => {}
    }
    let info = code.op_code();
    let mut instr = Instruction::default();
    instr.set_code(code);
    let mut has_memory = false;
    for i in 0..info.op_count() {
        let first = i == 0;
        let xmm = if first {
            Register::XMM1
        } else {
            Register::XMM2
        };
        let mm = if first { Register::MM1 } else { Register::MM2 };
        let gpr32 = if first { Register::ECX } else { Register::EAX };
        let gpr64 = if first { Register::RCX } else { Register::RAX };
        let (register, or_memory) = match info.op_kind(i) {
            OpCodeOperandKind::xmm_reg | OpCodeOperandKind::xmm_rm => (xmm, false),
            OpCodeOperandKind::xmm_or_mem => (xmm, true),
            OpCodeOperandKind::mm_reg | OpCodeOperandKind::mm_rm => (mm, false),
            OpCodeOperandKind::mm_or_mem => (mm, true),
            OpCodeOperandKind::r32_reg => (gpr32, false),
            OpCodeOperandKind::r32_or_mem => (gpr32, true),
            OpCodeOperandKind::r64_reg => (gpr64, false),
            OpCodeOperandKind::r64_or_mem => (gpr64, true),
            OpCodeOperandKind::mem => (Register::None, true),
            OpCodeOperandKind::imm8 => {
                instr.set_op_kind(i, iced_x86::OpKind::Immediate8);
                instr.set_immediate8(imm);
                continue;
            }
            other => panic!("{code:?}: no operand for {other:?}"),
        };
        if or_memory && memory {
            has_memory = true;
            instr.set_op_kind(i, iced_x86::OpKind::Memory);
            let operand = MemoryOperand::with_base(Register::RDI);
            instr.set_memory_base(operand.base);
            instr.set_memory_displ_size(0);
        } else if register == Register::None {
            return None;
        } else {
            instr.set_op_kind(i, iced_x86::OpKind::Register);
            instr.set_op_register(i, register);
        }
    }
    (has_memory == memory).then_some(instr)
}

/// A page of executable memory with the code that runs one instruction.
pub(super) struct Native(*mut u8);

impl Native {
    /// Maps a page.
    pub(super) fn new() -> Self {
        let mut result: isize = 9;
        // SAFETY: mmap(null, 4096, read | write | execute, private | anonymous, -1, 0) touches nothing.
        unsafe {
            core::arch::asm!(
                "syscall",
                inlateout("rax") result,
                in("rdi") 0, in("rsi") 4096, in("rdx") 7, in("r10") 0x22, in("r8") -1_isize, in("r9") 0,
                lateout("rcx") _, lateout("r11") _,
            );
        }
        assert!(result > 0, "mmap failed with {result}");
        Self(result as *mut u8)
    }

    /// Assembles the code that loads a [`Machine`], executes `instr` and stores the machine.
    pub(super) fn assemble(&mut self, instr: Instruction) {
        let mut a = CodeAssembler::new(64).unwrap();
        let field = |offset: usize| rdi + offset as i32;
        let at = |xmm: usize| core::mem::offset_of!(Machine, xmm) + xmm * 16;
        let at_mm = core::mem::offset_of!(Machine, mm);
        let at_gpr = core::mem::offset_of!(Machine, gpr);
        let at_flags = core::mem::offset_of!(Machine, flags);
        let at_csr = core::mem::offset_of!(Machine, mxcsr);
        let at_host = core::mem::offset_of!(Machine, host_mxcsr);
        a.stmxcsr(dword_ptr(field(at_host))).unwrap();
        a.ldmxcsr(dword_ptr(field(at_csr))).unwrap();
        for (register, i) in [(xmm0, 0), (xmm1, 1), (xmm2, 2)] {
            a.movups(register, xmmword_ptr(field(at(i)))).unwrap();
        }
        for (register, i) in [(mm1, 0), (mm2, 1)] {
            a.movq(register, qword_ptr(field(at_mm + 8 * i))).unwrap();
        }
        a.push(qword_ptr(field(at_flags))).unwrap();
        a.popfq().unwrap();
        for (register, i) in [(rax, 0), (rdx, 1), (rcx, 2)] {
            a.mov(register, qword_ptr(field(at_gpr + 8 * i))).unwrap();
        }
        a.add_instruction(instr).unwrap();
        for (register, i) in [(rax, 0), (rdx, 1), (rcx, 2)] {
            a.mov(qword_ptr(field(at_gpr + 8 * i)), register).unwrap();
        }
        a.pushfq().unwrap();
        a.pop(qword_ptr(field(at_flags))).unwrap();
        for (register, i) in [(mm1, 0), (mm2, 1)] {
            a.movq(qword_ptr(field(at_mm + 8 * i)), register).unwrap();
        }
        for (register, i) in [(xmm0, 0), (xmm1, 1), (xmm2, 2)] {
            a.movups(xmmword_ptr(field(at(i))), register).unwrap();
        }
        a.emms().unwrap();
        a.stmxcsr(dword_ptr(field(at_csr))).unwrap();
        a.ldmxcsr(dword_ptr(field(at_host))).unwrap();
        a.ret().unwrap();
        let code = a.assemble(self.0 as u64).unwrap();
        assert!(code.len() <= 4096);
        // SAFETY: the page is writable, as large as this, and nothing executes it now.
        unsafe { core::ptr::copy_nonoverlapping(code.as_ptr(), self.0, code.len()) };
    }

    /// Executes the assembled code. All exceptions must be masked in `machine.mxcsr`.
    pub(super) fn run(&self, machine: &mut Machine) {
        // SAFETY: the page holds a function of this type, which writes nothing but the machine and
        // keeps the registers that the calling convention preserves.
        unsafe {
            let code: extern "sysv64" fn(*mut Machine) = core::mem::transmute(self.0);
            // The code changes x87 and SSE state in ways that the compiler expects of any call.
            code(machine);
        }
        machine.host_mxcsr = 0;
        machine.flags &= ARITHMETIC;
    }
}

/// Executes `instr` by its shape and primitive, as the CPU's executor does.
pub(super) fn emulate(instr: &Instruction, machine: &mut Machine) -> Result<(), SimdFault> {
    let shape = shape(instr).expect("every form has a shape");
    let prim = prim(instr).expect("every form has a primitive");
    let limit = |bytes: u8, value: [u64; 2]| match bytes {
        16 => value,
        8 => [value[0], 0],
        n => [value[0] & ((1 << (u32::from(n) * 8)) - 1), 0],
    };
    let gpr_index = |n: u8| [0, 2, 1][usize::from(n)];
    let load = |place: Place| match place {
        Place::None => [0, 0],
        Place::Xmm(n) => machine.xmm[usize::from(n)],
        Place::Mm(n) => [machine.mm[usize::from(n) - 1], 0],
        Place::Gpr32(n) => [machine.gpr[gpr_index(n)] & 0xffff_ffff, 0],
        Place::Gpr64(n) => [machine.gpr[gpr_index(n)], 0],
        Place::Memory => limit(shape.memory.unwrap().bytes, machine.memory),
    };
    let dst = if matches!(shape.dst, Place::Xmm(_) | Place::Mm(_)) {
        load(shape.dst)
    } else {
        [0, 0]
    };
    let mut f = Frame {
        dst,
        src: load(shape.src),
        mxcsr: machine.mxcsr,
        ..Frame::default()
    };
    if instr.op_count() > 0 && instr.op_kind(instr.op_count() - 1) == iced_x86::OpKind::Immediate8 {
        f.imm = instr.immediate8();
    }
    match shape.extra {
        Extra::None => {}
        Extra::Xmm0 => f.xmm0 = machine.xmm[0],
        Extra::Lengths => f.gpr = [machine.gpr[0], machine.gpr[1]],
    }
    let outcome = prim(&mut f);
    if shape.mxcsr {
        machine.mxcsr = f.mxcsr;
    }
    outcome?;
    if let Some(flags) = f.flags {
        machine.flags = u64::from(flags);
    }
    match shape.output {
        Output::Nothing => {}
        Output::Xmm0 => machine.xmm[0] = f.xmm0,
        Output::Rcx => machine.gpr[2] = f.rcx,
        Output::Masked => store(&mut machine.memory, f.dst, |i| f.rcx >> i & 1 != 0),
        Output::Dst => match shape.dst {
            Place::Xmm(n) => machine.xmm[usize::from(n)] = f.dst,
            Place::Mm(n) => machine.mm[usize::from(n) - 1] = f.dst[0],
            Place::Gpr32(n) => {
                assert_eq!(f.dst[0] >> 32, 0, "{instr}: not zero-extended");
                machine.gpr[gpr_index(n)] = f.dst[0];
            }
            Place::Gpr64(n) => machine.gpr[gpr_index(n)] = f.dst[0],
            Place::Memory => {
                let bytes = usize::from(shape.memory.unwrap().bytes);
                store(&mut machine.memory, f.dst, |i| i < bytes);
            }
            Place::None => panic!("{instr}: a result without a place"),
        },
    }
    Ok(())
}

/// Stores the bytes for which `enabled` holds.
fn store(memory: &mut [u64; 2], value: [u64; 2], enabled: impl Fn(usize) -> bool) {
    for i in (0..16).filter(|&i| enabled(i)) {
        let shift = i % 8 * 8;
        memory[i / 8] = memory[i / 8] & !(0xff << shift) | (value[i / 8] >> shift & 0xff) << shift;
    }
}
