//! Moves, extensions, the stack, conditions.

use iced_x86::{Code, Instruction, Mnemonic, OpKind};

use super::arith::op;
use super::select::{by_kind, by_width, by_width_and_kind};
use super::{Form, Kind, Operand, Width, form, plain, width};
use crate::exec::addr::{Based, General, Indexed};
use crate::exec::data::*;
use crate::exec::operand::{condition, offset, operand_size};
use crate::mode::Mode;
use crate::op::{Fast, Op, OpFn};

/// Lowers an instruction of this family, if it is one with handlers of its own.
pub(super) fn lower(ins: &Instruction, mem: &Operand, mode: Mode) -> Option<Op> {
    match ins.mnemonic() {
        Mnemonic::Mov => mov(ins, mem),
        Mnemonic::Movzx => extend(ins, mem, false),
        Mnemonic::Movsx | Mnemonic::Movsxd => extend(ins, mem, true),
        Mnemonic::Lea => load_address(ins, mem),
        Mnemonic::Xchg => exchange(ins, mem),
        Mnemonic::Push if mode.bits == 64 => push(ins, mem),
        Mnemonic::Pop if ins.code() == Code::Pop_r64 => Some(Op {
            dst: offset(ins.op0_register()),
            ..plain(pop_r::<Fast>)
        }),
        Mnemonic::Leave if ins.code() == Code::Leaveq => Some(plain(leave::<Fast>)),
        Mnemonic::Nop | Mnemonic::Pause | Mnemonic::Endbr64 | Mnemonic::Endbr32 => Some(plain(nop)),
        Mnemonic::Lfence | Mnemonic::Mfence | Mnemonic::Sfence => Some(plain(nop)),
        Mnemonic::Prefetch
        | Mnemonic::Prefetchw
        | Mnemonic::Prefetchnta
        | Mnemonic::Prefetcht0
        | Mnemonic::Prefetcht1
        | Mnemonic::Prefetcht2 => Some(plain(nop)),
        Mnemonic::Cwde => Some(plain(extend_a::<u32, u16>)),
        Mnemonic::Cdqe => Some(plain(extend_a::<u64, u32>)),
        Mnemonic::Cbw => Some(plain(extend_a::<u16, u8>)),
        Mnemonic::Cwd => Some(plain(extend_d::<u16>)),
        Mnemonic::Cdq => Some(plain(extend_d::<u32>)),
        Mnemonic::Cqo => Some(plain(extend_d::<u64>)),
        _ => conditional(ins, mem),
    }
}

fn mov(ins: &Instruction, mem: &Operand) -> Option<Op> {
    let w = width(operand_size(ins, 0))?;
    let func: OpFn = match form(ins) {
        Form::RR => by_width!(w, mov_rr),
        Form::RI => by_width!(w, mov_ri),
        Form::RM => by_width_and_kind!(w, mem.kind, mov_rm),
        Form::MR => by_width_and_kind!(w, mem.kind, mov_mr),
        Form::MI => by_width_and_kind!(w, mem.kind, mov_mi),
        _ => return None,
    };
    let imm = if matches!(form(ins), Form::RI | Form::MI) {
        ins.immediate(1)
    } else {
        0
    };
    Some(Op {
        imm,
        ..op(func, ins, mem)
    })
}

fn extend(ins: &Instruction, mem: &Operand, signed: bool) -> Option<Op> {
    macro_rules! pick {
        ($rr:ident, $rm:ident, $t:tt, $s:tt) => {
            match form(ins) {
                Form::RR => $rr::<$t, $s>,
                Form::RM => by_kind!(mem.kind, $rm, $t, $s),
                _ => return None,
            }
        };
    }
    macro_rules! sized {
        ($rr:ident, $rm:ident) => {
            match (width(operand_size(ins, 0))?, width(operand_size(ins, 1))?) {
                (Width::Word, Width::Byte) => pick!($rr, $rm, u16, u8),
                (Width::Word, Width::Word) => pick!($rr, $rm, u16, u16),
                (Width::Dword, Width::Byte) => pick!($rr, $rm, u32, u8),
                (Width::Dword, Width::Word) => pick!($rr, $rm, u32, u16),
                (Width::Dword, Width::Dword) => pick!($rr, $rm, u32, u32),
                (Width::Qword, Width::Byte) => pick!($rr, $rm, u64, u8),
                (Width::Qword, Width::Word) => pick!($rr, $rm, u64, u16),
                (Width::Qword, Width::Dword) => pick!($rr, $rm, u64, u32),
                _ => return None,
            }
        };
    }
    let func: OpFn = if signed {
        sized!(movsx_rr, movsx_rm)
    } else {
        sized!(movzx_rr, movzx_rm)
    };
    Some(op(func, ins, mem))
}

fn load_address(ins: &Instruction, mem: &Operand) -> Option<Op> {
    macro_rules! pick {
        ($t:ty) => {
            match mem.kind {
                Kind::Based => lea::<$t, Based>,
                Kind::Indexed => lea::<$t, Indexed>,
                Kind::General => lea::<$t, General>,
            }
        };
    }
    let func: OpFn = match operand_size(ins, 0) {
        2 => pick!(u16),
        4 => pick!(u32),
        _ => pick!(u64),
    };
    Some(op(func, ins, mem))
}

fn exchange(ins: &Instruction, mem: &Operand) -> Option<Op> {
    let w = width(operand_size(ins, 0))?;
    match form(ins) {
        Form::RR => Some(op(by_width!(w, xchg_rr), ins, mem)),
        Form::MR => Some(op(by_width_and_kind!(w, mem.kind, xchg_mr), ins, mem)),
        _ => None,
    }
}

fn push(ins: &Instruction, mem: &Operand) -> Option<Op> {
    let plain = match ins.code() {
        Code::Push_r64 => Op {
            src: offset(ins.op0_register()),
            ..plain(push_r::<Fast>)
        },
        Code::Pushq_imm8 | Code::Pushq_imm32 => Op {
            imm: ins.immediate(0),
            ..plain(push_i::<Fast>)
        },
        Code::Push_rm64 if ins.op0_kind() == OpKind::Register => Op {
            src: offset(ins.op0_register()),
            ..plain(push_r::<Fast>)
        },
        Code::Push_rm64 => match mem.kind {
            Kind::Based => mem.put(plain(push_m::<Based, Fast>)),
            Kind::Indexed => mem.put(plain(push_m::<Indexed, Fast>)),
            Kind::General => mem.put(plain(push_m::<General, Fast>)),
        },
        _ => return None,
    };
    Some(plain)
}

/// SETcc and CMOVcc.
fn conditional(ins: &Instruction, mem: &Operand) -> Option<Op> {
    let code = ins.condition_code();
    if code == iced_x86::ConditionCode::None {
        return None;
    }
    let aux = condition(code);
    let func: OpFn = match (ins.op_count(), form(ins), operand_size(ins, 0)) {
        (1, Form::R, 1) => setcc_r,
        (1, Form::M, 1) => by_kind!(mem.kind, setcc_m),
        (2, Form::RR, size) => match width(size)? {
            Width::Word => cmov_rr::<u16>,
            Width::Dword => cmov_rr::<u32>,
            _ => cmov_rr::<u64>,
        },
        (2, Form::RM, size) => match width(size)? {
            Width::Word => by_kind!(mem.kind, cmov_rm, u16),
            Width::Dword => by_kind!(mem.kind, cmov_rm, u32),
            _ => by_kind!(mem.kind, cmov_rm, u64),
        },
        _ => return None,
    };
    Some(Op {
        aux,
        ..op(func, ins, mem)
    })
}
