//! Branches in 64-bit mode.

use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

use super::{End, Form, Fused, Kind, Lowered, Operand, form, plain};
use crate::exec::addr::{Based, General, Indexed};
use crate::exec::control::*;
use crate::exec::operand::{condition, offset, operand_size};
use crate::mode::Mode;
use crate::op::{Fast, Op, OpFn};

/// Handlers for a target within the page and out of it, indexed by condition.
type Table = [(OpFn, OpFn); 16];

macro_rules! table {
    ($func:ident $(, $t:ty)?) => {
        table!(@ $func, ($($t)?), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    };
    (@ $func:ident, (), $($c:literal),*) => {
        [$(($func::<$c, true> as OpFn, $func::<$c, false> as OpFn)),*]
    };
    (@ $func:ident, ($t:ty), $($c:literal),*) => {
        [$(($func::<$c, true, $t> as OpFn, $func::<$c, false, $t> as OpFn)),*]
    };
}

static JCC: Table = table!(jcc);

/// What comparisons become when a branch follows, by the tag that `tag` gives.
static FUSED: [Table; 16] = [
    table!(cmp_rr_jcc, u8),
    table!(cmp_ri_jcc, u8),
    table!(test_rr_jcc, u8),
    table!(test_ri_jcc, u8),
    table!(cmp_rr_jcc, u16),
    table!(cmp_ri_jcc, u16),
    table!(test_rr_jcc, u16),
    table!(test_ri_jcc, u16),
    table!(cmp_rr_jcc, u32),
    table!(cmp_ri_jcc, u32),
    table!(test_rr_jcc, u32),
    table!(test_ri_jcc, u32),
    table!(cmp_rr_jcc, u64),
    table!(cmp_ri_jcc, u64),
    table!(test_rr_jcc, u64),
    table!(test_ri_jcc, u64),
];

/// The tag of a comparison that a branch can be joined with: CMP or TEST of a register with a
/// register or an immediate.
fn tag(ins: &Instruction) -> Option<usize> {
    let test = match ins.mnemonic() {
        Mnemonic::Cmp => 0,
        Mnemonic::Test => 2,
        _ => return None,
    };
    let immediate = match form(ins) {
        Form::RR => 0,
        Form::RI => 1,
        _ => return None,
    };
    let width = operand_size(ins, 0).trailing_zeros() as usize;
    Some(width * 4 + test + immediate)
}

/// The fused form of the comparison `first` and the branch `second`, if there is one.
pub(crate) fn fused(first: &Instruction, second: &Instruction) -> Option<Fused> {
    if !is_conditional(second) {
        return None;
    }
    let tag = tag(first)?;
    let imm = if tag & 1 == 1 {
        Some(i32::try_from(first.immediate(1) as i64).ok()?)
    } else {
        None
    };
    Some(Fused {
        near: FUSED[tag][usize::from(condition(second.condition_code()))],
        imm,
    })
}

fn is_conditional(ins: &Instruction) -> bool {
    ins.is_jcc_short_or_near() && ins.op0_kind() == OpKind::NearBranch64
}

/// Lowers a branch, if it is one of the common forms.
pub(super) fn lower(ins: &Instruction) -> Option<Lowered> {
    if is_conditional(ins) {
        return Some(direct(
            ins,
            JCC[usize::from(condition(ins.condition_code()))],
        ));
    }
    match ins.code() {
        Code::Jmp_rel8_64 | Code::Jmp_rel32_64 => Some(direct(ins, (jmp_near, jmp_far))),
        Code::Call_rel32_64 => Some(direct(ins, (call_near::<Fast>, call_far::<Fast>))),
        Code::Retnq => Some(terminator(plain(ret::<Fast>))),
        Code::Retnq_imm16 => Some(terminator(Op {
            imm: u64::from(ins.immediate16()),
            ..plain(ret::<Fast>)
        })),
        Code::Jmp_rm64 => indirect(
            ins,
            jmp_r,
            [
                jmp_m::<Based, Fast>,
                jmp_m::<Indexed, Fast>,
                jmp_m::<General, Fast>,
            ],
        ),
        Code::Call_rm64 => indirect(
            ins,
            call_r::<Fast>,
            [
                call_m::<Based, Fast>,
                call_m::<Indexed, Fast>,
                call_m::<General, Fast>,
            ],
        ),
        _ => None,
    }
}

fn terminator(op: Op) -> Lowered {
    Lowered {
        op,
        decoded: None,
        end: End::Branch,
        near: None,
    }
}

fn direct(ins: &Instruction, near: (OpFn, OpFn)) -> Lowered {
    let op = Op {
        imm: ins.near_branch64(),
        ..plain(near.0)
    };
    Lowered {
        op,
        decoded: None,
        end: End::Branch,
        near: Some(near),
    }
}

fn indirect(ins: &Instruction, register: OpFn, memory: [OpFn; 3]) -> Option<Lowered> {
    if ins.op0_register() != Register::None {
        return Some(terminator(Op {
            src: offset(ins.op0_register()),
            ..plain(register)
        }));
    }
    let mode = Mode {
        bits: 64,
        stack_bits: 64,
        protected: true,
    };
    let operand = Operand::of(ins, mode)?;
    let func = match operand.kind {
        Kind::Based => memory[0],
        Kind::Indexed => memory[1],
        Kind::General => memory[2],
    };
    Some(terminator(operand.put(plain(func))))
}
