//! What becomes of instructions that the interpreter executes from their decoded form. Their operations do
//! not have the operands.

use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

use super::select::Act;
use super::sse::XmmOp;
use crate::exec::operand::{offset, operand_size};
use crate::lower;
use crate::op::Op;

/// Where an operand of up to 8 bytes is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// The general register at this offset.
    Register(u8),
    /// Memory, which the operation has the fields of.
    Memory(Op),
}

impl Place {
    fn of(ins: &Instruction, n: u32) -> Option<Self> {
        match ins.op_kind(n) {
            OpKind::Register if ins.op_register(n).is_gpr() => {
                Some(Self::Register(offset(ins.op_register(n))))
            }
            OpKind::Memory => Some(Self::Memory(lower::memory_operand(ins)?)),
            _ => None,
        }
    }

    /// Whether it may not be at hand.
    pub(super) fn in_memory(self) -> bool {
        matches!(self, Self::Memory(_))
    }
}

/// The code of such an operation; `None` if its handler does it.
pub(super) fn select(ins: &Instruction) -> Option<Act> {
    general(ins).or_else(|| system(ins)).or_else(|| sse(ins))
}

fn general(ins: &Instruction) -> Option<Act> {
    let size = operand_size(ins, 0);
    let large = size >= 4;
    match ins.mnemonic() {
        Mnemonic::Mul | Mnemonic::Imul if large && ins.op_count() == 1 => Some(Act::MultiplyPair {
            signed: ins.mnemonic() == Mnemonic::Imul,
            by: Place::of(ins, 0)?,
            size,
        }),
        Mnemonic::Div | Mnemonic::Idiv if large => Some(Act::Divide {
            signed: ins.mnemonic() == Mnemonic::Idiv,
            by: Place::of(ins, 0)?,
            size,
        }),
        Mnemonic::Shld | Mnemonic::Shrd if large => shift_double(ins),
        // The CPU model does not have LZCNT and TZCNT, whose prefix is ignored.
        Mnemonic::Bsf | Mnemonic::Tzcnt | Mnemonic::Bsr | Mnemonic::Lzcnt if large => {
            Some(Act::Scan {
                forward: matches!(ins.mnemonic(), Mnemonic::Bsf | Mnemonic::Tzcnt),
                dst: offset(ins.op0_register()),
                from: Place::of(ins, 1)?,
                size,
            })
        }
        Mnemonic::Cmpxchg16b => Some(Act::CompareExchangePair(lower::memory_operand(ins)?)),
        _ => None,
    }
}

fn shift_double(ins: &Instruction) -> Option<Act> {
    let size = operand_size(ins, 0);
    if ins.op0_kind() != OpKind::Register {
        return None;
    }
    let count = match ins.op2_kind() {
        OpKind::Immediate8 => Some(ins.immediate8() & (8 * size - 1) as u8),
        _ => None,
    };
    (count != Some(0)).then(|| Act::ShiftDouble {
        left: ins.mnemonic() == Mnemonic::Shld,
        dst: offset(ins.op0_register()),
        src: offset(ins.op1_register()),
        count,
        size,
    })
}

fn system(ins: &Instruction) -> Option<Act> {
    match ins.mnemonic() {
        Mnemonic::Cli => Some(Act::ClearInterrupts),
        Mnemonic::Sti => Some(Act::SetInterrupts),
        Mnemonic::Cld => Some(Act::ClearDirection),
        Mnemonic::Swapgs => Some(Act::SwapGs),
        Mnemonic::Pushfq => Some(Act::PushFlags),
        Mnemonic::Mov
            if ins.op0_register().is_gpr() && ins.op1_register().is_segment_register() =>
        {
            Some(Act::ReadSegment {
                dst: offset(ins.op0_register()),
                segment: ins.op1_register().number(),
                size: operand_size(ins, 0),
            })
        }
        _ => None,
    }
}

/// SSE instructions. Those whose operand is in memory and has 16 bytes want it aligned.
fn sse(ins: &Instruction) -> Option<Act> {
    let (first, second) = (ins.op0_register(), ins.op1_register());
    if let Some(act) = part(ins) {
        return Some(act);
    }
    if ins.mnemonic() == Mnemonic::Pmovmskb && second.is_xmm() {
        return Some(Act::XmmMask {
            dst: offset(first),
            src: number(second),
        });
    }
    if ins.op0_kind() != OpKind::Register || !first.is_xmm() {
        return None;
    }
    let kind = XmmOp::of(ins)?;
    let dst = number(first);
    match ins.op1_kind() {
        OpKind::Register => return Some(Act::Xmm(kind, dst, number(second))),
        // A shift by a constant.
        OpKind::Immediate8 => return Some(Act::Xmm(kind, dst, dst)),
        _ => {}
    }
    Some(Act::XmmMemory(kind, dst, lower::memory_operand(ins)?))
}

fn number(register: Register) -> u8 {
    register.number() as u8
}

/// Moves of up to 8 bytes to and from XMM registers.
fn part(ins: &Instruction) -> Option<Act> {
    let (first, second) = (number(ins.op0_register()), number(ins.op1_register()));
    let in_memory = |n| ins.op_kind(n) == OpKind::Memory;
    match ins.code() {
        Code::Movq_xmm_rm64 | Code::Movd_xmm_rm32 => {}
        Code::Movq_xmm_xmmm64 | Code::Movss_xmm_xmmm32 | Code::Movsd_xmm_xmmm64 if in_memory(1) => {
        }
        Code::Movq_rm64_xmm | Code::Movd_rm32_xmm => return store(ins, second, 0),
        Code::Movq_xmmm64_xmm | Code::Movss_xmmm32_xmm | Code::Movsd_xmmm64_xmm if in_memory(0) => {
            return store(ins, second, 0);
        }
        Code::Movlps_m64_xmm | Code::Movlpd_m64_xmm => return store(ins, second, 0),
        Code::Movhps_m64_xmm | Code::Movhpd_m64_xmm => return store(ins, second, 8),
        Code::Movlps_xmm_m64 | Code::Movlpd_xmm_m64 => return insert(ins, 0),
        Code::Movhps_xmm_m64 | Code::Movhpd_xmm_m64 => return insert(ins, 8),
        Code::Pinsrw_xmm_r32m16_imm8 => return insert(ins, ins.immediate8() % 8 * 2),
        Code::Pinsrd_xmm_rm32_imm8 => return insert(ins, ins.immediate8() % 4 * 4),
        Code::Pinsrq_xmm_rm64_imm8 => return insert(ins, ins.immediate8() % 2 * 8),
        _ => return None,
    }
    Some(Act::XmmSet {
        dst: first,
        from: Place::of(ins, 1)?,
        size: size(ins, 1),
    })
}

/// The size of an operand; PINSRW uses a part of the register that it names.
fn size(ins: &Instruction, n: u32) -> u64 {
    match ins.mnemonic() {
        Mnemonic::Pinsrw => 2,
        _ => operand_size(ins, n),
    }
}

fn store(ins: &Instruction, src: u8, at: u8) -> Option<Act> {
    Some(Act::XmmGet {
        to: Place::of(ins, 0)?,
        src,
        at,
        size: size(ins, 0),
    })
}

fn insert(ins: &Instruction, at: u8) -> Option<Act> {
    Some(Act::XmmInsert {
        dst: number(ins.op0_register()),
        at,
        from: Place::of(ins, 1)?,
        size: size(ins, 1),
    })
}
