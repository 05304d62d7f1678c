//! The execution of one x87 instruction on the state.

use super::arith::{Relation, binary, compare, sqrt};
use super::convert::{
    Stored, from_bcd, from_double, from_integer, from_m80, from_single, round_integral, to_bcd,
    to_double, to_integer, to_m80, to_single,
};
use super::explog::{exp2_minus_1, y_log2_x, y_log2_x_plus_1};
use super::forms::{Against, Condition, Constant, Mem, Op, Operands, Pair, Popping, Unary};
use super::number::{
    Class, INDEFINITE, ONE, Out, class, flag, negative, pack, quiet, round_at, zero,
};
use super::remainder::{extract, remainder, scale};
use super::stack::{BUSY, C0, C1, C2, C3, Destination, SUMMARY};
use super::trig::{angle, sine_cosine, tangent};
use super::{Effect, FpuOp, Operand};
use crate::state::{F80, X87};

const CARRY: u64 = 1;
const PARITY: u64 = 1 << 2;
const AUXILIARY: u64 = 1 << 4;
const ZERO: u64 = 1 << 6;
const SIGN: u64 = 1 << 7;
const OVERFLOW: u64 = 1 << 11;

/// Executes one instruction. A memory operand that is read must be in `mem`; one that is written
/// comes back there. `ip` is the offset of the instruction in its code segment, prefixes included.
/// The caller has dealt with #NM and, for waiting instructions, with a pending #MF.
pub(crate) fn execute(
    fpu: &mut X87,
    instr: &FpuOp,
    mem: &mut Operand,
    rflags: u64,
    ip: u64,
) -> Effect {
    if !instr.op.is_control() {
        if !matches!(instr.op, Op::Compare { flags: true, .. }) {
            fpu.opcode = instr.opcode;
        }
        fpu.ip = ip;
        if instr.mem_size != 0 {
            fpu.dp = mem.address;
        }
    }
    let sti = instr.sti;
    match instr.op {
        Op::Arith(arith, operands) => arithmetic(fpu, arith, operands, sti, mem),
        Op::Compare {
            against,
            pops,
            quiet,
            flags,
        } => {
            return comparison(fpu, against, pops, quiet, sti, mem, flags);
        }
        Op::LoadMemory(format) => load_memory(fpu, format, mem),
        Op::StoreMemory {
            mem: format,
            pop,
            truncate,
        } => return store_memory(fpu, format, pop, truncate, mem),
        Op::LoadRegister => load_register(fpu, sti),
        Op::StoreRegister { pop, unchecked } => store_register(fpu, sti, pop, unchecked),
        Op::LoadConstant(constant) => push(fpu, constant_value(constant, fpu.control)),
        Op::Exchange => exchange(fpu, sti),
        Op::Free(pop) => free(fpu, sti, pop),
        Op::Move(condition, wanted) => {
            conditional_move(fpu, sti, holds(condition, rflags) == wanted)
        }
        Op::Unary(function) => unary(fpu, function),
        Op::Pair(function) => pair(fpu, function),
        Op::Popping(function) => popping(fpu, function),
        Op::Remainder(nearest) => partial_remainder(fpu, nearest),
        Op::Scale => scale_top(fpu),
        Op::ChangeSign => change_sign(fpu, |sign| sign ^ 0x8000),
        Op::Absolute => change_sign(fpu, |sign| sign & 0x7fff),
        Op::Examine => examine(fpu),
        Op::Rotate(by) => {
            fpu.set_top(fpu.top().wrapping_add_signed(by));
            fpu.set_conditions(C1, 0);
        }
        Op::Initialize => initialize(fpu),
        Op::ClearExceptions => fpu.status &= !(0x7f | SUMMARY | BUSY),
        Op::LoadControl => fpu.load_control(u16::from_le_bytes([mem.bytes[0], mem.bytes[1]])),
        Op::StoreControl => return store_word(fpu.control, mem),
        Op::StoreStatus => return store_word(fpu.status, mem),
        Op::StoreStatusAx => return Effect::SetAx(fpu.status),
        Op::Nop | Op::Obsolete => {}
    }
    Effect::None
}

/// FNINIT: everything but the contents of the registers.
pub(super) fn initialize(fpu: &mut X87) {
    *fpu = X87 {
        regs: fpu.regs,
        ..X87::default()
    };
}

fn store_word(value: u16, mem: &mut Operand) -> Effect {
    mem.bytes[..2].copy_from_slice(&value.to_le_bytes());
    Effect::StoreMem(2)
}

/// The first so many bytes of an operand as an unsigned integer.
fn low_bytes<const N: usize>(mem: &Operand) -> [u8; N] {
    std::array::from_fn(|i| mem.bytes[i])
}

/// A memory operand as a register would hold it. Only denormal sources have a flag; a signaling NaN
/// stays one.
fn read(format: Mem, mem: &Operand) -> Out {
    match format {
        Mem::Single => from_single(u32::from_le_bytes(low_bytes(mem))),
        Mem::Double => from_double(u64::from_le_bytes(low_bytes(mem))),
        Mem::Extended => Out::exact(from_m80(&mem.bytes)),
        Mem::Int16 => Out::exact(from_integer(i16::from_le_bytes(low_bytes(mem)).into())),
        Mem::Int32 => Out::exact(from_integer(i32::from_le_bytes(low_bytes(mem)).into())),
        Mem::Int64 => Out::exact(from_integer(i64::from_le_bytes(low_bytes(mem)))),
        Mem::Bcd => Out::exact(from_bcd(&mem.bytes)),
    }
}

/// The denormal flag of a memory source counts only if nothing of a higher priority happened.
fn source_flag(source: &Out, other: F80, flags: u16) -> u16 {
    let preceded = flags & (flag::INVALID | flag::ZERO_DIVIDE) != 0 || class(other).is_nan();
    if preceded { 0 } else { source.flags }
}

fn arithmetic(
    fpu: &mut X87,
    arith: super::arith::Arith,
    operands: Operands,
    sti: u8,
    mem: &Operand,
) {
    let (destination, other, pop) = match operands {
        Operands::ToTop => (0, sti, false),
        Operands::FromTop(pop) => (sti, 0, pop),
        Operands::Memory(format) => {
            if fpu.is_empty(0) {
                fpu.underflow_to(0);
                return;
            }
            let source = read(format, mem);
            let top = fpu.st(0);
            let mut out = binary(arith, top, source.value, fpu.control);
            out.flags |= source_flag(&source, top, out.flags);
            if fpu.raise_out(&out) {
                fpu.set_st(0, out.value);
            }
            return;
        }
    };
    let completes = if fpu.is_empty(destination) || fpu.is_empty(other) {
        fpu.underflow_to(destination)
    } else {
        let out = binary(arith, fpu.st(destination), fpu.st(other), fpu.control);
        let completes = fpu.raise_out(&out);
        if completes {
            fpu.set_st(destination, out.value);
        }
        completes
    };
    if completes && pop {
        fpu.pop();
    }
}

fn comparison(
    fpu: &mut X87,
    against: Against,
    pops: u8,
    quiet: bool,
    sti: u8,
    mem: &Operand,
    to_flags: bool,
) -> Effect {
    let empty = fpu.is_empty(0) || against == Against::Sti && fpu.is_empty(sti);
    let before = fpu.status & C1;
    let (relation, completes) = if empty {
        (Relation::Unordered, fpu.stack_fault(false))
    } else {
        let top = fpu.st(0);
        let source = match against {
            Against::Sti => Out::exact(fpu.st(sti)),
            Against::Zero => Out::exact(zero(false)),
            Against::Memory(format) => read(format, mem),
        };
        let (relation, mut flags) = compare(top, source.value, quiet);
        flags |= source_flag(&source, top, flags);
        (relation, fpu.raise(flags, false, Destination::Register))
    };
    let effect = if to_flags {
        // FCOMI and its kind write the status word only to record exceptions: C1 stays, unless it tells a
        // stack fault, and so does the last opcode.
        if !empty {
            fpu.set_conditions(C1, before);
        }
        let invalid = fpu.status & !fpu.control & flag::INVALID != 0;
        flags_effect(relation, completes || !invalid)
    } else {
        // The condition codes tell the relation even if the comparison signals.
        let codes = match relation {
            Relation::Greater => 0,
            Relation::Less => C0,
            Relation::Equal => C3,
            Relation::Unordered => C0 | C2 | C3,
        };
        fpu.set_conditions(C0 | C2 | C3, codes);
        Effect::None
    };
    if completes {
        (0..pops).for_each(|_| fpu.pop());
    }
    effect
}

/// The effect of FCOMI and FUCOMI. An unmasked invalid operation suppresses the relation, but the
/// other three flags are cleared in any case (Intel SDM vol. 2, FCOMI).
fn flags_effect(relation: Relation, tells: bool) -> Effect {
    let cleared = OVERFLOW | SIGN | AUXILIARY;
    if !tells {
        return Effect::SetFlags {
            mask: cleared,
            value: 0,
        };
    }
    let value = match relation {
        Relation::Greater => 0,
        Relation::Less => CARRY,
        Relation::Equal => ZERO,
        Relation::Unordered => ZERO | PARITY | CARRY,
    };
    Effect::SetFlags {
        mask: cleared | ZERO | PARITY | CARRY,
        value,
    }
}

/// Pushes a value that cannot signal.
fn push(fpu: &mut X87, value: F80) {
    push_out(fpu, &Out::exact(value));
}

/// Pushes with a check of the stack; without room, the masked response is a NaN.
fn push_out(fpu: &mut X87, out: &Out) {
    if !fpu.is_empty(7) {
        if fpu.stack_fault(true) {
            fpu.push(INDEFINITE);
        }
    } else if fpu.raise_out(out) {
        fpu.push(out.value);
    }
}

fn load_memory(fpu: &mut X87, format: Mem, mem: &Operand) {
    let mut out = read(format, mem);
    if format != Mem::Extended && class(out.value) == Class::SignalingNan {
        out = Out::exact(quiet(out.value)).with(flag::INVALID);
    }
    // A denormal source is loaded even if that signals: its value is exact in a register.
    if out.flags == flag::DENORMAL && fpu.is_empty(7) {
        fpu.raise(out.flags, false, Destination::Register);
        fpu.push(out.value);
    } else {
        push_out(fpu, &out);
    }
}

fn load_register(fpu: &mut X87, sti: u8) {
    if fpu.is_empty(sti) {
        if fpu.stack_fault(false) {
            fpu.push(INDEFINITE);
        }
    } else {
        push(fpu, fpu.st(sti));
    }
}

fn store_memory(
    fpu: &mut X87,
    format: Mem,
    pop: bool,
    truncate: bool,
    mem: &mut Operand,
) -> Effect {
    let completes = if fpu.is_empty(0) {
        write(format, INDEFINITE, truncate, fpu.control, mem);
        fpu.stack_fault(false)
    } else {
        let (flags, up) = write(format, fpu.st(0), truncate, fpu.control, mem);
        fpu.raise(flags, up, Destination::Memory)
    };
    if !completes {
        return Effect::None;
    }
    if pop {
        fpu.pop();
    }
    Effect::StoreMem(format.size())
}

/// Converts into the operand's bytes; gives the exceptions and whether the magnitude grew.
fn write(format: Mem, value: F80, truncate: bool, control: u16, mem: &mut Operand) -> (u16, bool) {
    let control = if truncate { control | 3 << 10 } else { control };
    let stored = match format {
        Mem::Single => to_single(value, control),
        Mem::Double => to_double(value, control),
        Mem::Int16 => to_integer(value, 16, control),
        Mem::Int32 => to_integer(value, 32, control),
        Mem::Int64 => to_integer(value, 64, control),
        Mem::Bcd => return to_bcd(value, &mut mem.bytes, control),
        Mem::Extended => {
            to_m80(value, &mut mem.bytes);
            return (0, false);
        }
    };
    let Stored { bits, flags, up } = stored;
    mem.bytes[..8].copy_from_slice(&bits.to_le_bytes());
    (flags, up)
}

fn store_register(fpu: &mut X87, sti: u8, pop: bool, unchecked: bool) {
    if fpu.is_empty(0) && !unchecked {
        if !fpu.underflow_to(sti) {
            return;
        }
    } else {
        fpu.set_conditions(C1, 0);
        if !fpu.is_empty(0) {
            fpu.set_st(sti, fpu.st(0));
        }
    }
    if pop {
        fpu.pop();
    }
}

fn exchange(fpu: &mut X87, sti: u8) {
    let empty = [fpu.is_empty(0), fpu.is_empty(sti)];
    if empty.contains(&true) {
        if !fpu.stack_fault(false) {
            return;
        }
        for (i, _) in [0, sti].into_iter().zip(empty).filter(|(_, empty)| *empty) {
            fpu.set_st(i, INDEFINITE);
        }
    } else {
        fpu.set_conditions(C1, 0);
    }
    let (top, other) = (fpu.st(0), fpu.st(sti));
    fpu.set_st(0, other);
    fpu.set_st(sti, top);
}

fn free(fpu: &mut X87, sti: u8, pop: bool) {
    fpu.free(sti);
    fpu.set_conditions(C1, 0);
    if pop {
        fpu.pop();
    }
}

fn holds(condition: Condition, rflags: u64) -> bool {
    let mask = match condition {
        Condition::Below => CARRY,
        Condition::Equal => ZERO,
        Condition::BelowOrEqual => CARRY | ZERO,
        Condition::Unordered => PARITY,
    };
    rflags & mask != 0
}

fn conditional_move(fpu: &mut X87, sti: u8, moves: bool) {
    if fpu.is_empty(0) || fpu.is_empty(sti) {
        fpu.underflow_to(0);
        return;
    }
    if moves {
        fpu.set_st(0, fpu.st(sti));
    }
}

fn unary(fpu: &mut X87, function: Unary) {
    if matches!(function, Unary::Sine | Unary::Cosine) {
        fpu.set_conditions(C2, 0);
    }
    if fpu.is_empty(0) {
        fpu.underflow_to(0);
        return;
    }
    let (top, control) = (fpu.st(0), fpu.control);
    let out = match function {
        Unary::SquareRoot => Some(sqrt(top, control)),
        Unary::RoundInteger => Some(round_integral(top, control)),
        Unary::Exp2Minus1 => Some(exp2_minus_1(top, control)),
        Unary::Sine => reduced(fpu, sine_cosine(top, control)).map(|(sine, _)| sine),
        Unary::Cosine => reduced(fpu, sine_cosine(top, control)).map(|(_, cosine)| cosine),
    };
    if let Some(out) = out
        && fpu.raise_out(&out)
    {
        fpu.set_st(0, out.value);
    }
}

/// Sets C2 if the argument of a trigonometric function was out of range.
fn reduced<T>(fpu: &mut X87, result: Option<T>) -> Option<T> {
    fpu.set_conditions(C1 | C2, if result.is_none() { C2 } else { 0 });
    result
}

fn pair(fpu: &mut X87, function: Pair) {
    if function != Pair::Extract {
        fpu.set_conditions(C2, 0);
    }
    if fpu.is_empty(0) || !fpu.is_empty(7) {
        let overflow = !fpu.is_empty(0);
        if fpu.stack_fault(overflow) {
            fpu.set_st(0, INDEFINITE);
            fpu.push(INDEFINITE);
        }
        return;
    }
    let (top, control) = (fpu.st(0), fpu.control);
    let results = match function {
        Pair::Extract => {
            let (exponent, significand) = extract(top);
            Some((exponent, significand))
        }
        Pair::SineCosine => reduced(fpu, sine_cosine(top, control))
            .map(|(sine, cosine)| (sine.with(cosine.flags), cosine.value)),
        Pair::Tangent => reduced(fpu, tangent(top, control)).map(|out| {
            (
                out,
                if class(out.value).is_nan() {
                    out.value
                } else {
                    ONE
                },
            )
        }),
    };
    if let Some((out, pushed)) = results
        && fpu.raise_out(&out)
    {
        fpu.set_st(0, out.value);
        fpu.push(pushed);
    }
}

fn popping(fpu: &mut X87, function: Popping) {
    let completes = if fpu.is_empty(0) || fpu.is_empty(1) {
        fpu.underflow_to(1)
    } else {
        let (y, x, control) = (fpu.st(1), fpu.st(0), fpu.control);
        let out = match function {
            Popping::Angle => angle(y, x, control),
            Popping::YLog2X => y_log2_x(y, x, control),
            Popping::YLog2XPlus1 => y_log2_x_plus_1(y, x, control),
        };
        let completes = fpu.raise_out(&out);
        if completes {
            fpu.set_st(1, out.value);
        }
        completes
    };
    if completes {
        fpu.pop();
    }
}

fn partial_remainder(fpu: &mut X87, nearest: bool) {
    fpu.set_conditions(C2, 0);
    if fpu.is_empty(0) || fpu.is_empty(1) {
        fpu.underflow_to(0);
        return;
    }
    let result = remainder(fpu.st(0), fpu.st(1), nearest, fpu.control);
    if !fpu.raise_out(&result.out) {
        return;
    }
    fpu.set_st(0, result.out.value);
    if class(result.out.value).is_nan() {
        return;
    }
    let bit = |n: u8, code: u16| {
        if result.quotient >> n & 1 != 0 {
            code
        } else {
            0
        }
    };
    let partial = if result.partial { C2 } else { 0 };
    fpu.set_conditions(
        C0 | C1 | C2 | C3,
        partial | bit(0, C1) | bit(1, C3) | bit(2, C0),
    );
}

fn scale_top(fpu: &mut X87) {
    if fpu.is_empty(0) || fpu.is_empty(1) {
        fpu.underflow_to(0);
        return;
    }
    let out = scale(fpu.st(0), fpu.st(1), fpu.control);
    if fpu.raise_out(&out) {
        fpu.set_st(0, out.value);
    }
}

fn change_sign(fpu: &mut X87, change: impl Fn(u16) -> u16) {
    if fpu.is_empty(0) {
        fpu.underflow_to(0);
        return;
    }
    let top = fpu.st(0);
    fpu.set_conditions(C1, 0);
    fpu.set_st(
        0,
        F80 {
            sign_exponent: change(top.sign_exponent),
            ..top
        },
    );
}

fn examine(fpu: &mut X87) {
    let top = fpu.st(0);
    let codes = match class(top) {
        _ if fpu.is_empty(0) => C3 | C0,
        Class::Unsupported => 0,
        Class::QuietNan | Class::SignalingNan => C0,
        Class::Normal => C2,
        Class::Infinity => C2 | C0,
        Class::Zero => C3,
        Class::Denormal => C3 | C2,
    };
    fpu.set_conditions(
        C0 | C1 | C2 | C3,
        codes | if negative(top) { C1 } else { 0 },
    );
}

/// A constant, rounded as the rounding control says, but without an exception.
fn constant_value(constant: Constant, control: u16) -> F80 {
    let (exp, sig): (i32, u128) = match constant {
        Constant::One => return ONE,
        Constant::Zero => return zero(false),
        Constant::Log2Of10 => (0x4000, 0xd49a_784b_cd1b_8afe_492b_f6ff_4daf_db4c),
        Constant::Log2OfE => (0x3fff, 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e88),
        Constant::Pi => (0x4000, 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1),
        Constant::Log10Of2 => (0x3ffd, 0x9a20_9a84_fbcf_f798_8f89_59ac_0b7c_9178),
        Constant::LnOf2 => (0x3ffe, 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af),
    };
    pack(
        false,
        exp,
        (round_at(false, sig, 64, control).sig >> 64) as u64,
    )
}
