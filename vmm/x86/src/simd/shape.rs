//! Where the operands of an instruction come from and where its results go.

use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

/// A place of an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// There is no such operand, or it is an immediate.
    None,
    /// An XMM register, by number.
    Xmm(u8),
    /// An MM register, by number.
    Mm(u8),
    /// A general register of 32 bits, by the number of the encoding.
    Gpr32(u8),
    /// A general register of 64 bits, by the number of the encoding.
    Gpr64(u8),
    /// The memory operand, [`Shape::memory`].
    Memory,
}

/// The memory operand of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryOperand {
    /// How many bytes are read or written.
    pub bytes: u8,
    /// A misaligned address is a #GP(0). Only 16-byte operands demand alignment.
    pub aligned: bool,
}

/// An implicit source operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    /// There is none.
    None,
    /// XMM0, into `Frame::xmm0`.
    Xmm0,
    /// RAX and RDX, into `Frame::gpr`; forms that use EAX and EDX ignore their high halves.
    Lengths,
}

/// Where the result goes, apart from flags (`Frame::flags`) and MXCSR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// `Frame::dst` goes to [`Shape::dst`].
    Dst,
    /// `Frame::xmm0` goes to XMM0.
    Xmm0,
    /// `Frame::rcx` goes to RCX.
    Rcx,
    /// MASKMOVQ and MASKMOVDQU: byte `i` of `Frame::dst` goes to memory at DS:rDI + `i` if bit `i` of
    /// `Frame::rcx` is set. [`Shape::memory`] has the number of bytes.
    Masked,
    /// Only flags or MXCSR are written.
    Nothing,
}

/// How an instruction gets its operands and gives its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The destination. A register of it is always loaded into `Frame::dst`, unless it is a general
    /// register, and is written back whole. Memory is not read and takes the low bytes.
    pub dst: Place,
    /// The source, which is zero-extended into `Frame::src`.
    pub src: Place,
    /// The memory operand, if there is one.
    pub memory: Option<MemoryOperand>,
    /// The implicit source operand.
    pub extra: Extra,
    /// Where the result goes.
    pub output: Output,
    /// The instruction belongs to SSE: #UD if CR0.EM or not CR4.OSFXSR, #NM if CR0.TS. (An
    /// instruction that is neither this nor `mmx` is MOVNTI, which has no such conditions.)
    pub sse: bool,
    /// The instruction uses MM registers: #UD if CR0.EM, #NM if CR0.TS, #MF if an x87 exception is
    /// pending. It marks all x87 registers as valid and makes TOP zero; writing an MM register sets
    /// the register's sign and exponent bits (Intel SDM vol. 1, 9.6.2).
    pub mmx: bool,
    /// The instruction uses MXCSR: it can raise #XM, and `Frame::mxcsr` is loaded and written back.
    pub mxcsr: bool,
}

/// The shape of `instr`, or `None` if [`super::prim`] has no primitive for it.
pub(crate) fn shape(instr: &Instruction) -> Option<Shape> {
    super::prim(instr)?;
    let masked = matches!(
        instr.code(),
        Code::Maskmovq_rDI_mm_mm | Code::Maskmovdqu_rDI_xmm_xmm
    );
    let (dst, src) = match instr.code() {
        Code::Ldmxcsr_m32 => (Place::None, Place::Memory),
        _ if masked => (place(instr, 1), place(instr, 2)),
        _ => (place(instr, 0), place(instr, 1)),
    };
    let in_memory = dst == Place::Memory || src == Place::Memory || masked;
    let memory = in_memory.then(|| MemoryOperand {
        bytes: instr.code().op_code().memory_size().size() as u8,
        aligned: !masked && needs_alignment(instr),
    });
    Some(Shape {
        dst,
        src,
        memory,
        extra: extra(instr),
        output: output(instr),
        sse: sse(instr),
        mmx: mmx(instr),
        mxcsr: mxcsr(instr),
    })
}

/// The place of one operand.
fn place(instr: &Instruction, operand: u32) -> Place {
    if operand >= instr.op_count() {
        return Place::None;
    }
    match instr.op_kind(operand) {
        OpKind::Memory => Place::Memory,
        OpKind::Register => {
            let register = instr.op_register(operand);
            let number = register.number() as u8;
            match register {
                _ if register.is_xmm() => Place::Xmm(number),
                _ if register.is_mm() => Place::Mm(number),
                _ if register.is_gpr64() => Place::Gpr64(number),
                _ if register.is_gpr32() => Place::Gpr32(number),
                _ => Place::None,
            }
        }
        _ => Place::None,
    }
}

/// Whether a memory operand must be aligned: those of 16 bytes, with exceptions (Intel SDM vol. 1,
/// 4.1.1 and vol. 2, 2.6.1).
fn needs_alignment(instr: &Instruction) -> bool {
    let unaligned = matches!(
        instr.mnemonic(),
        Mnemonic::Movups
            | Mnemonic::Movupd
            | Mnemonic::Movdqu
            | Mnemonic::Lddqu
            | Mnemonic::Pcmpestri
            | Mnemonic::Pcmpestri64
            | Mnemonic::Pcmpestrm
            | Mnemonic::Pcmpestrm64
            | Mnemonic::Pcmpistri
            | Mnemonic::Pcmpistrm
    );
    instr.code().op_code().memory_size().size() == 16 && !unaligned
}

/// The implicit source operand.
fn extra(instr: &Instruction) -> Extra {
    match instr.mnemonic() {
        Mnemonic::Pblendvb | Mnemonic::Blendvps | Mnemonic::Blendvpd => Extra::Xmm0,
        Mnemonic::Pcmpestri
        | Mnemonic::Pcmpestri64
        | Mnemonic::Pcmpestrm
        | Mnemonic::Pcmpestrm64 => Extra::Lengths,
        _ => Extra::None,
    }
}

/// Where the result goes.
fn output(instr: &Instruction) -> Output {
    match instr.mnemonic() {
        Mnemonic::Pcmpestri | Mnemonic::Pcmpestri64 | Mnemonic::Pcmpistri => Output::Rcx,
        Mnemonic::Pcmpestrm | Mnemonic::Pcmpestrm64 | Mnemonic::Pcmpistrm => Output::Xmm0,
        Mnemonic::Maskmovq | Mnemonic::Maskmovdqu => Output::Masked,
        Mnemonic::Comiss
        | Mnemonic::Comisd
        | Mnemonic::Ucomiss
        | Mnemonic::Ucomisd
        | Mnemonic::Ptest
        | Mnemonic::Ldmxcsr => Output::Nothing,
        _ => Output::Dst,
    }
}

/// Whether one of the operands is a register for which `test` holds.
fn has_register(instr: &Instruction, test: fn(Register) -> bool) -> bool {
    (0..instr.op_count())
        .any(|i| instr.op_kind(i) == OpKind::Register && test(instr.op_register(i)))
}

/// Whether CR4.OSFXSR governs the instruction.
fn sse(instr: &Instruction) -> bool {
    has_register(instr, Register::is_xmm)
        || matches!(instr.mnemonic(), Mnemonic::Ldmxcsr | Mnemonic::Stmxcsr)
}

/// Whether the instruction moves the x87 unit to MMX mode. CVTPI2PD and CVTPI2PS with a memory operand
/// do not; the SDM says so of CVTPI2PD only, but processors treat both alike.
fn mmx(instr: &Instruction) -> bool {
    has_register(instr, Register::is_mm)
}

/// Whether the instruction uses MXCSR.
fn mxcsr(instr: &Instruction) -> bool {
    match instr.mnemonic() {
        Mnemonic::Ldmxcsr | Mnemonic::Stmxcsr => true,
        Mnemonic::Cvtdq2pd | Mnemonic::Cvtpi2pd => false,
        mnemonic => {
            super::float::prim(instr.code(), 0).is_some()
                || super::convert::prim(instr.code()).is_some()
                || super::dot::prim(instr.code()).is_some()
                || (super::compare::prim(instr.code(), 0).is_some() && mnemonic != Mnemonic::Ptest)
        }
    }
}
