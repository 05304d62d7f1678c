//! Whole instructions on random states, compared with the host's x87: registers, tags, control and
//! status word, RFLAGS, AX and memory. Last-instruction pointers are not compared, because vendors
//! differ in them; the transcendental instructions have tests of their own.

use super::host::{AX, Input, Native, Output};
use super::operands::Random;
use super::{decode, encodings};
use crate::fpu::{Effect, EnvFormat, FpuOp, Operand, execute, restore, save};
use crate::make::{self, Departure, Make, Met};
use crate::state::{F80, X87};
use iced_x86::Code;

pub(super) const WIDE: EnvFormat = EnvFormat {
    wide: true,
    real: false,
};
const ARITHMETIC_FLAGS: u64 = 0x8d5;
const POINTERS: std::ops::Range<usize> = 12..28;

pub(super) fn is_transcendental(code: Code) -> bool {
    use Code::{F2xm1, Fcos, Fpatan, Fptan, Fsin, Fsincos, Fyl2x, Fyl2xp1};
    matches!(
        code,
        F2xm1 | Fyl2x | Fptan | Fpatan | Fyl2xp1 | Fsincos | Fsin | Fcos
    )
}

pub(super) fn image(fpu: &X87) -> [u8; 108] {
    let mut bytes = [0; 108];
    save(&mut fpu.clone(), WIDE, &mut bytes);
    bytes
}

/// What the interpreter makes of the same input.
pub(super) fn interpret(op: &FpuOp, input: &Input) -> Output {
    let mut fpu = X87::default();
    restore(&mut fpu, WIDE, &input.state);
    let mut mem = Operand {
        bytes: input.memory,
        address: 0,
    };
    let effect = execute(&mut fpu, op, &mut mem, input.rflags, 0);
    let mut output = Output {
        state: image(&fpu),
        memory: input.memory,
        rflags: input.rflags,
        ax: AX,
    };
    match effect {
        Effect::None => {}
        Effect::StoreMem(len) => {
            let len = usize::from(len);
            output.memory[..len].copy_from_slice(&mem.bytes[..len]);
        }
        Effect::SetAx(value) => output.ax = value,
        Effect::SetFlags { mask, value } => output.rflags = output.rflags & !mask | value,
    }
    output
}

pub(super) fn comparable(mut output: Output) -> ([u8; 108], [u8; 16], u64, u16) {
    output.state[POINTERS].fill(0);
    (
        output.state,
        output.memory,
        output.rflags & ARITHMETIC_FLAGS,
        output.ax,
    )
}

/// A state image in words, for failure messages.
pub(super) fn show(state: &[u8; 108]) -> String {
    let word = |at: usize| u16::from_le_bytes([state[at], state[at + 1]]);
    let mut text = format!("cw {:04x} sw {:04x} tw {:04x}", word(0), word(4), word(8));
    for i in 0..8 {
        let at = 28 + 10 * i;
        let mantissa = u64::from_le_bytes(std::array::from_fn(|k| state[at + k]));
        text += &format!("\n  st{i} {:04x}:{mantissa:016x}", word(at + 8));
    }
    text
}

/// Puts into `ours` what a processor of the host's make has, where that departs from Intel's.
fn depart(code: Code, input: &Input, ours: &mut Output) -> Option<Departure> {
    use Code::{Fcomi_st0_sti, Fcomip_st0_sti, Fscale, Fucomi_st0_sti, Fucomip_st0_sti};
    if make::host() == Make::Intel {
        return None;
    }
    let word = |at: usize, state: &[u8; 108]| u16::from_le_bytes([state[at], state[at + 1]]);
    let control = word(0, &input.state);
    match code {
        Fcomi_st0_sti | Fcomip_st0_sti | Fucomi_st0_sti | Fucomip_st0_sti => {
            let unmasked = word(4, &ours.state) & !control & 1 != 0;
            ours.rflags |= if unmasked { 0x45 } else { 0 };
            unmasked.then_some(Departure::ComparedToFlags)
        }
        Fscale => scale_by_zero(input, ours),
        _ => None,
    }
}

/// FSCALE of a denormal by less than two in magnitude, with underflow unmasked.
fn scale_by_zero(input: &Input, ours: &mut Output) -> Option<Departure> {
    const BIAS: u16 = 0x3fff;
    const UNDERFLOW: u16 = 0x10;
    let mut fpu = X87::default();
    restore(&mut fpu, WIDE, &input.state);
    let (top, factor) = (fpu.st(0), fpu.st(1));
    let denormal = top.sign_exponent & 0x7fff == 0 && top.mantissa >> 63 == 0 && top.mantissa != 0;
    let normal_factor = factor.mantissa >> 63 != 0 || factor.mantissa == 0;
    let by_zero = factor.sign_exponent & 0x7fff < BIAS && normal_factor;
    let exceptions = fpu.control & UNDERFLOW == 0 && fpu.control & 2 != 0;
    if fpu.is_empty(0) || fpu.is_empty(1) || !(denormal && by_zero && exceptions) {
        return None;
    }
    let mut after = X87::default();
    restore(&mut after, WIDE, &ours.state);
    let shift = top.mantissa.leading_zeros();
    after.set_st(
        0,
        F80 {
            mantissa: top.mantissa << shift,
            sign_exponent: top.sign_exponent | (1 + 24576 - shift as u16),
        },
    );
    after.load_status(after.status | UNDERFLOW);
    ours.state = image(&after);
    Some(Departure::ScaledByZero)
}

/// What was not recorded of Intel's processors yet, in FCOMI and its kind: C1, which the SDM has them
/// clear and reports have them keep, and the flags with an unmasked invalid operation.
fn forget_unrecorded(code: Code, output: &mut Output) {
    use Code::{Fcomi_st0_sti, Fcomip_st0_sti, Fucomi_st0_sti, Fucomip_st0_sti};
    let compares = matches!(
        code,
        Fcomi_st0_sti | Fcomip_st0_sti | Fucomi_st0_sti | Fucomip_st0_sti
    );
    if compares && make::host() == Make::Intel {
        output.state[5] &= !2;
        let pending = output.state[4] & !output.state[0];
        output.rflags &= if pending & 1 != 0 { !0x45 } else { !0 };
    }
}

fn compare(bytes: [u8; 2], rounds: u64, failures: &mut Vec<String>, met: &mut Met) {
    let (code, op) = decode(&bytes);
    let op = op.expect("filtered");
    let native = Native::new(&bytes);
    let mut random = Random(u64::from(bytes[0]) << 8 | u64::from(bytes[1]));
    let mut shown = 0;
    for round in 0..rounds {
        let input = Input {
            state: image(&random.state()),
            memory: random.memory(op.mem_size),
            rflags: 0x202 | random.next() & ARITHMETIC_FLAGS,
        };
        let (mut expected, mut actual) = (native.run(&input), interpret(&op, &input));
        forget_unrecorded(code, &mut expected);
        forget_unrecorded(code, &mut actual);
        if let Some(departure) = depart(code, &input, &mut actual) {
            met.note(departure);
        }
        if comparable(expected) != comparable(actual) {
            shown += 1;
            if shown > 2 {
                continue;
            }
            failures.push(format!(
                "{code:?} ({bytes:02x?}) round {round}, memory {:02x?} flags {:x}\n\
                 from {}\nhost {} memory {:02x?} flags {:x} ax {:x}\nours {} memory \
                 {:02x?} flags {:x} ax {:x}",
                input.memory,
                input.rflags,
                show(&input.state),
                show(&expected.state),
                expected.memory,
                expected.rflags & ARITHMETIC_FLAGS,
                expected.ax,
                show(&actual.state),
                actual.memory,
                actual.rflags & ARITHMETIC_FLAGS,
                actual.ax,
            ));
        }
    }
    if shown > 0 {
        failures.push(format!("=== {code:?} {bytes:02x?}: {shown} of {rounds}"));
    }
}

#[test]
fn every_exact_instruction_agrees_with_the_host() {
    let rounds = std::env::var("CHAOSRUN_X87_ROUNDS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(2_000);
    make::announce();
    let mut failures = Vec::new();
    let mut met = Met::default();
    let mut count = 0;
    for bytes in encodings().filter(|bytes| !is_transcendental(decode(bytes).0)) {
        compare(bytes, rounds, &mut failures, &mut met);
        count += 1;
    }
    assert!(count > 400, "only {count} encodings");
    println!(
        "where this host's processor is expected to depart from Intel's:\n{}",
        met.text()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
