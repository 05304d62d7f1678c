//! MMX and SSE instructions.

use iced_x86::{Code, Instruction, OpKind};

use super::{End, Kind, Lowered, Operand, plain};
use crate::exec::addr::{Based, General, Indexed};
use crate::exec::{Extra, simd};
use crate::op::{Fast, Op, OpFn};

/// Lowers an MMX or SSE instruction.
pub(super) fn lower(ins: &Instruction, mem: Option<&Operand>) -> Option<Lowered> {
    let prim = crate::simd::prim(ins)?;
    let shape = crate::simd::shape(ins)?;
    if let Some(op) = mem.and_then(|mem| lower_move(ins, mem)) {
        return Some(Lowered::op(op));
    }
    let extra = Extra::Simd(prim, shape);
    Some(Lowered::decoded_with(simd::execute, extra, End::No))
}

/// The common moves of whole registers.
fn lower_move(ins: &Instruction, mem: &Operand) -> Option<Op> {
    let (load, aligned) = match ins.code() {
        Code::Movups_xmm_xmmm128 | Code::Movupd_xmm_xmmm128 | Code::Movdqu_xmm_xmmm128 => {
            (true, false)
        }
        Code::Movaps_xmm_xmmm128 | Code::Movapd_xmm_xmmm128 | Code::Movdqa_xmm_xmmm128 => {
            (true, true)
        }
        Code::Movups_xmmm128_xmm | Code::Movupd_xmmm128_xmm | Code::Movdqu_xmmm128_xmm => {
            (false, false)
        }
        Code::Movaps_xmmm128_xmm | Code::Movapd_xmmm128_xmm | Code::Movdqa_xmmm128_xmm => {
            (false, true)
        }
        _ => return None,
    };
    let register = |n: u32| ins.op_register(n).number() as u8;
    let memory = ins.op0_kind() == OpKind::Memory || ins.op1_kind() == OpKind::Memory;
    let aux = u8::from(aligned);
    if !memory {
        return Some(Op {
            dst: register(0),
            src: register(1),
            ..plain(simd::mov_xx)
        });
    }
    let func: OpFn = match (load, mem.kind()) {
        (true, Kind::Based) => simd::load_x::<Based, Fast>,
        (true, Kind::Indexed) => simd::load_x::<Indexed, Fast>,
        (true, Kind::General) => simd::load_x::<General, Fast>,
        (false, Kind::Based) => simd::store_x::<Based, Fast>,
        (false, Kind::Indexed) => simd::store_x::<Indexed, Fast>,
        (false, Kind::General) => simd::store_x::<General, Fast>,
    };
    let register = if load { register(0) } else { register(1) };
    Some(Op {
        dst: register,
        aux,
        ..mem.put(plain(func))
    })
}
