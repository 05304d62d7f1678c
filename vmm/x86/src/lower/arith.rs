//! Arithmetic, logic, shifts and bit operations.

use iced_x86::{Code, Instruction, Mnemonic, Register};

use super::select::{by_kind, by_width, by_width_and_kind};
use super::{Form, Kind, Operand, Width, form, plain, width};
use crate::exec::addr::{Based, General, Indexed};
use crate::exec::alu::{
    self, Adc, Add, And, Binary, Cmp, Dec, Inc, Neg, Not, Or, Sbb, Sub, Test, Unary, Xor,
};
use crate::exec::bits::{
    bswap, bt_r, btx_mi, btx_mr, btx_r, cmpxchg_mr, imul_rm, imul_rmi, imul_rr, imul_rri, xadd_mr,
};
use crate::exec::operand::{offset, operand_size};
use crate::exec::shift::{self, Rcl, Rcr, Rol, Ror, Sar, Shift, Shl, Shr};
use crate::mode::Mode;
use crate::op::{Fast, Op, OpFn};

/// Lowers an instruction of this family, if it is one with handlers of its own.
pub(super) fn lower(ins: &Instruction, mem: &Operand, mode: Mode) -> Option<Op> {
    match ins.mnemonic() {
        Mnemonic::Add => binary::<Add>(ins, mem),
        Mnemonic::Or => binary::<Or>(ins, mem),
        Mnemonic::Adc => binary::<Adc>(ins, mem),
        Mnemonic::Sbb => binary::<Sbb>(ins, mem),
        Mnemonic::And => binary::<And>(ins, mem),
        Mnemonic::Sub => binary::<Sub>(ins, mem),
        Mnemonic::Xor => xor(ins, mem),
        Mnemonic::Cmp => binary::<Cmp>(ins, mem),
        Mnemonic::Test => binary::<Test>(ins, mem),
        Mnemonic::Inc => unary::<Inc>(ins, mem),
        Mnemonic::Dec => unary::<Dec>(ins, mem),
        Mnemonic::Neg => unary::<Neg>(ins, mem),
        Mnemonic::Not => unary::<Not>(ins, mem),
        Mnemonic::Shl | Mnemonic::Sal => shift_op::<Shl>(ins, mem),
        Mnemonic::Shr => shift_op::<Shr>(ins, mem),
        Mnemonic::Sar => shift_op::<Sar>(ins, mem),
        Mnemonic::Rol => shift_op::<Rol>(ins, mem),
        Mnemonic::Ror => shift_op::<Ror>(ins, mem),
        Mnemonic::Rcl => shift_op::<Rcl>(ins, mem),
        Mnemonic::Rcr => shift_op::<Rcr>(ins, mem),
        Mnemonic::Imul => imul(ins, mem),
        Mnemonic::Bt => bit_test::<0>(ins, mem, mode),
        Mnemonic::Bts => bit_test::<1>(ins, mem, mode),
        Mnemonic::Btr => bit_test::<2>(ins, mem, mode),
        Mnemonic::Btc => bit_test::<3>(ins, mem, mode),
        Mnemonic::Bswap => swap(ins),
        Mnemonic::Cmpxchg => exchange(ins, mem),
        Mnemonic::Xadd => add_exchange(ins, mem),
        _ => None,
    }
}

fn registers(op: Op, ins: &Instruction) -> Op {
    let register = |n: u32| {
        if ins.op_count() > n && ins.op_register(n) != Register::None {
            offset(ins.op_register(n))
        } else {
            0
        }
    };
    let memory_first = matches!(form(ins), Form::MR | Form::MI | Form::M);
    Op {
        dst: if memory_first { 0 } else { register(0) },
        src: register(1),
        ..op
    }
}

pub(super) fn op(func: OpFn, ins: &Instruction, mem: &Operand) -> Op {
    registers(mem.put(plain(func)), ins)
}

fn binary<O: Binary>(ins: &Instruction, mem: &Operand) -> Option<Op> {
    use alu::{mi, mr, ri, rm, rr};
    let w = width(operand_size(ins, 0))?;
    let func: OpFn = match form(ins) {
        Form::RR => by_width!(w, rr, O),
        Form::RI => by_width!(w, ri, O),
        Form::RM => by_width_and_kind!(w, mem.kind, rm, O),
        Form::MR => by_width_and_kind!(w, mem.kind, mr, O),
        Form::MI => by_width_and_kind!(w, mem.kind, mi, O),
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

fn xor(ins: &Instruction, mem: &Operand) -> Option<Op> {
    let same = form(ins) == Form::RR && ins.op0_register() == ins.op1_register();
    if same && operand_size(ins, 0) >= 4 {
        return Some(op(alu::zero, ins, mem));
    }
    binary::<Xor>(ins, mem)
}

fn unary<O: Unary>(ins: &Instruction, mem: &Operand) -> Option<Op> {
    use alu::{m, r};
    let w = width(operand_size(ins, 0))?;
    let func: OpFn = match form(ins) {
        Form::R => by_width!(w, r, O),
        Form::M => by_width_and_kind!(w, mem.kind, m, O),
        _ => return None,
    };
    Some(op(func, ins, mem))
}

fn shift_op<O: Shift>(ins: &Instruction, mem: &Operand) -> Option<Op> {
    use shift::{m, rc, ri};
    let size = operand_size(ins, 0);
    let w = width(size)?;
    let by_register = ins.op_register(1) == Register::CL;
    let count = if by_register {
        255
    } else {
        ins.immediate(1) as u8 & if size == 8 { 63 } else { 31 }
    };
    let func: OpFn = match form(ins) {
        Form::RR => by_width!(w, rc, O),
        // A shift by nothing still clears the upper half of a 32-bit register, as `rc` does.
        Form::RI if count == 0 => return None,
        Form::RI => by_width!(w, ri, O),
        Form::MR | Form::MI => by_width_and_kind!(w, mem.kind, m, O),
        _ => return None,
    };
    Some(Op {
        aux: count,
        ..op(func, ins, mem)
    })
}

fn imul(ins: &Instruction, mem: &Operand) -> Option<Op> {
    let w = width(operand_size(ins, 0))?;
    let (func, imm): (OpFn, u64) = match (ins.op_count(), form(ins)) {
        (2, Form::RR) => (by_width!(w, imul_rr), 0),
        (2, Form::RM) => (by_width_and_kind!(w, mem.kind, imul_rm), 0),
        (3, Form::RR) => (by_width!(w, imul_rri), ins.immediate(2)),
        (3, Form::RM) => (by_width_and_kind!(w, mem.kind, imul_rmi), ins.immediate(2)),
        _ => return None,
    };
    Some(Op {
        imm,
        ..op(func, ins, mem)
    })
}

fn bit_test<const K: u8>(ins: &Instruction, mem: &Operand, mode: Mode) -> Option<Op> {
    macro_rules! wide {
        ($func:ident, $w:expr) => {
            match $w {
                Width::Word => $func::<K, u16>,
                Width::Dword => $func::<K, u32>,
                _ => $func::<K, u64>,
            }
        };
    }
    macro_rules! by_bit_kind {
        ($func:ident, $w:expr, $kind:expr) => {
            match $w {
                Width::Word => by_kind!($kind, $func, K, u16),
                Width::Dword => by_kind!($kind, $func, K, u32),
                _ => by_kind!($kind, $func, K, u64),
            }
        };
    }
    let w = width(operand_size(ins, 0))?;
    let by_register = matches!(form(ins), Form::RR | Form::MR);
    let bits = 8 * operand_size(ins, 0) as u8;
    let aux = if by_register {
        255
    } else {
        ins.immediate(1) as u8 & (bits - 1)
    };
    let func: OpFn = match form(ins) {
        Form::RR | Form::RI if K == 0 => match w {
            Width::Word => bt_r::<u16>,
            Width::Dword => bt_r::<u32>,
            _ => bt_r::<u64>,
        },
        Form::RR | Form::RI => wide!(btx_r, w),
        Form::MI => by_bit_kind!(btx_mi, w, mem.kind),
        // The bit index is added to the linear address, which only 64-bit addressing allows.
        Form::MR if mode.bits == 64 && mem.asize & 3 == 2 => by_bit_kind!(btx_mr, w, mem.kind),
        _ => return None,
    };
    Some(Op {
        aux,
        ..op(func, ins, mem)
    })
}

fn swap(ins: &Instruction) -> Option<Op> {
    let func: OpFn = match ins.code() {
        Code::Bswap_r32 => bswap::<u32>,
        Code::Bswap_r64 => bswap::<u64>,
        _ => return None,
    };
    Some(Op {
        dst: offset(ins.op0_register()),
        ..plain(func)
    })
}

fn exchange(ins: &Instruction, mem: &Operand) -> Option<Op> {
    let w = width(operand_size(ins, 0))?;
    match form(ins) {
        Form::MR => Some(op(by_width_and_kind!(w, mem.kind, cmpxchg_mr), ins, mem)),
        _ => None,
    }
}

fn add_exchange(ins: &Instruction, mem: &Operand) -> Option<Op> {
    let w = width(operand_size(ins, 0))?;
    match form(ins) {
        Form::MR => Some(op(by_width_and_kind!(w, mem.kind, xadd_mr), ins, mem)),
        _ => None,
    }
}
