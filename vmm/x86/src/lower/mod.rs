//! From a decoded instruction to an operation: the choice of the handler.

mod arith;
mod branch;
mod decoded;
mod fpu;
mod moves;
mod select;
mod simd;

use iced_x86::{Code, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use crate::cpu::{seg, slot};
use crate::exec::operand::{address_size, in_stack_segment, offset};
use crate::exec::{DecodedFn, Extra};
use crate::mode::Mode;
use crate::op::{Op, OpFn, plain};

/// The most bytes that an instruction has. One that is longer raises #GP(0), not #UD.
const MAX_INSTRUCTION: usize = 15;

/// How an instruction ends a block, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It does not.
    No,
    /// It is a terminator itself.
    Branch,
    /// The block ends behind it.
    Block,
    /// It has to be in a block of its own.
    Alone,
}

/// A lowered instruction.
#[derive(Clone, Copy)]
pub(crate) struct Lowered {
    /// The operation, without its position.
    pub op: Op,
    /// What executes the instruction from its decoded form, which the operation's immediate is to point to;
    /// `None` if the operation is all there is to it.
    pub decoded: Option<(DecodedFn, Extra)>,
    /// How it ends the block.
    pub end: End,
    /// The handlers of a direct branch within the page and out of it.
    pub near: Option<(OpFn, OpFn)>,
}

/// A comparison and a conditional branch as one operation.
pub(crate) struct Fused {
    /// The handlers for a target within the page and out of it.
    pub near: (OpFn, OpFn),
    /// The comparison's immediate.
    pub imm: Option<i32>,
}

impl Lowered {
    fn op(op: Op) -> Self {
        Self {
            op,
            decoded: None,
            end: End::No,
            near: None,
        }
    }

    fn decoded(func: DecodedFn, end: End) -> Self {
        Self::decoded_with(func, Extra::None, end)
    }

    fn decoded_with(func: DecodedFn, extra: Extra, end: End) -> Self {
        Self {
            op: plain(crate::exec::execute_decoded),
            decoded: Some((func, extra)),
            end,
            near: None,
        }
    }
}

/// Lowers one instruction; `bytes` are its own.
pub(crate) fn lower(ins: &Instruction, bytes: &[u8], mode: Mode) -> Lowered {
    if ins.code() == Code::INVALID {
        let too_long = bytes.len() >= MAX_INSTRUCTION;
        let func = if too_long {
            crate::exec::integer::too_long
        } else {
            crate::exec::integer::undefined
        };
        return Lowered::decoded(func, End::Block);
    }
    if mode.bits == 64
        && let Some(lowered) = branch::lower(ins)
    {
        return lowered;
    }
    if stores_through_code(ins, mode) {
        return Lowered::decoded(crate::exec::integer::store_to_code, End::Block);
    }
    let operand = Operand::of(ins, mode);
    if let Some(operand) = &operand
        && let Some(op) =
            arith::lower(ins, operand, mode).or_else(|| moves::lower(ins, operand, mode))
    {
        return Lowered::op(op);
    }
    let mut lowered = decoded::lower(ins, bytes, operand.as_ref());
    if in_stack_segment(ins, mode.bits) {
        lowered.op.asize |= 0x80;
    }
    lowered
}

pub(crate) use branch::fused;

/// Whether an instruction writes memory through CS outside of 64-bit mode.
fn stores_through_code(ins: &Instruction, mode: Mode) -> bool {
    if mode.bits == 64 || !mode.protected || ins.memory_segment() != Register::CS {
        return false;
    }
    // ARPL writes only if it changes something, and checks that itself.
    if ins.mnemonic() == Mnemonic::Arpl {
        return false;
    }
    let mut factory = InstructionInfoFactory::new();
    let mut accesses = factory.info(ins).used_memory().iter();
    accesses.any(|memory| {
        memory.segment() == Register::CS
            && matches!(
                memory.access(),
                OpAccess::Write
                    | OpAccess::CondWrite
                    | OpAccess::ReadWrite
                    | OpAccess::ReadCondWrite
            )
    })
}

/// How the memory operand of an instruction is addressed; the kinds of `exec::addr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Based,
    Indexed,
    General,
}

/// The memory operand, ready to be put into an operation, if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Operand {
    kind: Kind,
    base: u8,
    index: u8,
    scale: u8,
    seg: u8,
    asize: u8,
    disp: i32,
}

impl Operand {
    /// `None` if the operand cannot be expressed in an operation's fields, so that the instruction
    /// is executed from its decoded form.
    fn of(ins: &Instruction, mode: Mode) -> Option<Self> {
        let none = slot::ZERO as u8 * 8;
        let has_memory = (0..ins.op_count()).any(|n| ins.op_kind(n) == OpKind::Memory);
        if !has_memory {
            return Some(Self {
                kind: Kind::Based,
                base: none,
                index: none,
                scale: 0,
                seg: none,
                asize: 2,
                disp: 0,
            });
        }
        let register = |register: Register| match register {
            Register::None => none,
            Register::RIP | Register::EIP => slot::RIP as u8 * 8,
            other => offset(other),
        };
        let bytes = address_size(ins, mode.bits);
        let segment = ins.memory_segment().number();
        let flat = mode.bits == 64 && segment < seg::FS;
        let base = register(ins.memory_base());
        let index = register(ins.memory_index());
        let displacement = ins.memory_displacement64();
        // Displacements of 32-bit addressing are zero-extended here, but only 32 bits count.
        let disp = match bytes {
            8 => i32::try_from(displacement as i64).ok()?,
            _ => displacement as u32 as i32,
        };
        let kind = match (flat && bytes == 8, index == none) {
            (true, true) => Kind::Based,
            (true, false) => Kind::Indexed,
            _ => Kind::General,
        };
        let mut asize = match bytes {
            2 => 0,
            4 => 1,
            _ => 2,
        };
        if in_stack_segment(ins, mode.bits) {
            asize |= 0x80;
        }
        let scale = ins.memory_index_scale().trailing_zeros() as u8;
        Some(Self {
            kind,
            base,
            index,
            scale,
            seg: (slot::SEGMENTS + segment) as u8 * 8,
            asize,
            disp,
        })
    }

    /// How the operand is addressed.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Puts the operand into an operation.
    pub(crate) fn put(&self, op: Op) -> Op {
        Op {
            base: self.base,
            index: self.index,
            scale: self.scale,
            seg: self.seg,
            asize: self.asize,
            disp: self.disp,
            ..op
        }
    }
}

/// An operation that has nothing but the memory operand of an instruction in 64-bit mode.
pub(crate) fn memory_operand(ins: &Instruction) -> Option<Op> {
    let mode = Mode {
        bits: 64,
        stack_bits: 64,
        protected: true,
    };
    Some(Operand::of(ins, mode)?.put(plain(crate::exec::unimplemented)))
}

/// The operand width of a register or memory operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Byte,
    Word,
    Dword,
    Qword,
}

fn width(bytes: u64) -> Option<Width> {
    match bytes {
        1 => Some(Width::Byte),
        2 => Some(Width::Word),
        4 => Some(Width::Dword),
        8 => Some(Width::Qword),
        _ => None,
    }
}

/// What the first two operands are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    R,
    M,
    RR,
    RM,
    MR,
    RI,
    MI,
    Other,
}

fn is_gpr(register: Register) -> bool {
    register.is_gpr()
}

pub(crate) fn form(ins: &Instruction) -> Form {
    let kind = |n: u32| match ins.op_kind(n) {
        OpKind::Register if is_gpr(ins.op_register(n)) => 'r',
        OpKind::Memory => 'm',
        OpKind::Immediate8
        | OpKind::Immediate16
        | OpKind::Immediate32
        | OpKind::Immediate64
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64 => 'i',
        _ => '?',
    };
    match (ins.op_count(), kind(0), kind(1)) {
        (1, 'r', _) => Form::R,
        (1, 'm', _) => Form::M,
        (_, 'r', 'r') => Form::RR,
        (_, 'r', 'm') => Form::RM,
        (_, 'm', 'r') => Form::MR,
        (_, 'r', 'i') => Form::RI,
        (_, 'm', 'i') => Form::MI,
        _ => Form::Other,
    }
}

/// Whether the CPU implements an instruction, decoded for a default operand size of `bits` (16, 32
/// or 64). An encoding that is invalid, or that belongs to an extension that the CPU model does not
/// have, is implemented in that it raises #UD.
pub fn is_implemented(ins: &Instruction, bytes: &[u8], bits: u8) -> bool {
    let mode = Mode {
        bits,
        stack_bits: bits,
        protected: true,
    };
    let lowered = lower(ins, bytes, mode);
    !std::ptr::fn_addr_eq(lowered.op.func, crate::exec::unimplemented as OpFn)
}
