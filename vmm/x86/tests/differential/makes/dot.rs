//! DPPS and DPPD as AMD's processors execute them: with the lanes added in ascending order. The arithmetic is
//! the host's, whose MULPS, ADDPS, MULPD and ADDPD agree with the emulated ones, as tests of their own show.

use std::arch::asm;

use iced_x86::{Instruction, Mnemonic as M, OpKind};

use super::Before;
use crate::make::{Departure, Make, host};
use crate::state::Outcome;

/// A vector as its low and high quadwords.
type Quads = [u64; 2];

/// Declares a function that executes an instruction under the controls of `mxcsr`, with all exceptions
/// masked.
macro_rules! arithmetic {
    ($($name:ident $op:literal)+) => {
        $(fn $name(mut a: Quads, b: Quads, mxcsr: u32) -> Quads {
            let (mut host, guest) = (0_u32, mxcsr & 0xffff | 0x1f80);
            // SAFETY: it accesses the two values and the two words, and puts MXCSR back.
            unsafe {
                asm!(
                    "stmxcsr [{host}]",
                    "ldmxcsr [{guest}]",
                    "movups {value}, [{a}]",
                    "movups {other}, [{b}]",
                    concat!($op, " {value}, {other}"),
                    "movups [{a}], {value}",
                    "ldmxcsr [{host}]",
                    host = in(reg) &raw mut host,
                    guest = in(reg) &raw const guest,
                    a = in(reg) &raw mut a,
                    b = in(reg) &raw const b,
                    value = out(xmm_reg) _,
                    other = out(xmm_reg) _,
                    options(nostack),
                );
            }
            a
        })+
    };
}

arithmetic! {
    mulps "mulps"
    addps "addps"
    mulpd "mulpd"
    addpd "addpd"
}

/// The lanes of a value of which `bits` has a bit set, the others zero.
fn selected(value: Quads, bits: u8, wide: bool) -> Quads {
    let half = |value: u64, bits: u8| {
        let low = if bits & 1 != 0 { 0xffff_ffff } else { 0 };
        let high = if bits & 2 != 0 { 0xffff_ffff << 32 } else { 0 };
        value & (low | high)
    };
    if wide {
        return [
            if bits & 1 != 0 { value[0] } else { 0 },
            if bits & 2 != 0 { value[1] } else { 0 },
        ];
    }
    [half(value[0], bits), half(value[1], bits >> 2)]
}

/// The result of Intel's and that of AMD's processors.
fn both(wide: bool, dst: Quads, src: Quads, imm: u8, mxcsr: u32) -> [Quads; 2] {
    let (dst, src) = (selected(dst, imm >> 4, wide), selected(src, imm >> 4, wide));
    if wide {
        let p = mulpd(dst, src, mxcsr);
        let turned = [p[1], p[0]];
        return [addpd(p, turned, mxcsr), addpd([p[0]; 2], [p[1]; 2], mxcsr)]
            .map(|sum| selected(sum, imm, true));
    }
    let p = mulps(dst, src, mxcsr);
    let neighbours = p.map(|half| half.rotate_left(32));
    let pairs = addps(neighbours, p, mxcsr);
    let intel = addps(pairs, [pairs[1], pairs[0]], mxcsr);
    let low = |half: u64| half & 0xffff_ffff;
    let pairs = addps(p.map(low), p.map(|half| half >> 32), mxcsr);
    let sum = low(addps([pairs[0], 0], [pairs[1], 0], mxcsr)[0]);
    let amd = [sum | sum << 32; 2];
    [intel, amd].map(|sum| selected(sum, imm, false))
}

pub(super) fn depart(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    let instruction = &before.instruction;
    if !before.completed(outcome) {
        return None;
    }
    let source = match instruction.op1_kind() {
        OpKind::Register => before.case.regs.fp.xmm[instruction.op1_register().number()],
        _ => quads(&before.read(before.address()?, 16)?),
    };
    let number = instruction.op0_register().number();
    let old = before.case.regs.fp.xmm[number];
    let wide = instruction.mnemonic() == M::Dppd;
    let imm = instruction.immediate8();
    let [intel, amd] = both(wide, old, source, imm, before.case.regs.fp.mxcsr);
    // What is wrong with both is for the comparison to find.
    if outcome.regs.fp.xmm[number] == intel {
        outcome.regs.fp.xmm[number] = amd;
    }
    Some(Departure::DotProduct)
}

fn quads(bytes: &[u8]) -> Quads {
    let half = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    [half(0), half(8)]
}

/// Whether the host's processor has another result than Intel's for a DPPS or DPPD in a program, whose
/// operands are `dst` and `src`.
pub fn sum_differs(instruction: &Instruction, dst: Quads, src: Quads, mxcsr: u32) -> bool {
    if host() == Make::Intel || !matches!(instruction.mnemonic(), M::Dpps | M::Dppd) {
        return false;
    }
    let wide = instruction.mnemonic() == M::Dppd;
    let [intel, amd] = both(wide, dst, src, instruction.immediate8(), mxcsr);
    intel != amd
}
