//! Whole instructions on random states, compared with the host's x87: registers, tags, control and
//! status word, RFLAGS, AX and memory. Last-instruction pointers are not compared, because vendors
//! differ in them; the transcendental instructions have tests of their own.

use super::host::{AX, Input, Native, Output};
use super::operands::Random;
use super::{decode, encodings};
use crate::fpu::{Effect, EnvFormat, FpuOp, Operand, execute, restore, save};
use crate::state::X87;
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

/// What may differ from the host, in FCOMI and its kind (Intel SDM vol. 2, FCOMI): they clear C1,
/// which AMD's processors leave alone, and do not tell the relation if it is an unmasked invalid
/// operation, which AMD's processors do.
fn forgive(code: Code, output: &mut Output) {
    use Code::{Fcomi_st0_sti, Fcomip_st0_sti, Fucomi_st0_sti, Fucomip_st0_sti};
    if matches!(
        code,
        Fcomi_st0_sti | Fcomip_st0_sti | Fucomi_st0_sti | Fucomip_st0_sti
    ) {
        output.state[5] &= !2;
        let pending = output.state[4] & !output.state[0];
        if pending & 1 != 0 {
            output.rflags &= !0x45;
        }
    }
}

fn compare(bytes: [u8; 2], rounds: u64, failures: &mut Vec<String>) {
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
        forgive(code, &mut expected);
        forgive(code, &mut actual);
        if comparable(expected) != comparable(actual) {
            shown += 1;
            if shown > 2 {
                continue;
            }
            failures.push(format!(
                "{code:?} ({bytes:02x?}) round {round}, memory {:02x?} flags {:x}\nfrom {}\nhost {} memory {:02x?} flags {:x} ax {:x}\nours {} memory {:02x?} flags {:x} ax {:x}",
                input.memory, input.rflags, show(&input.state),
                show(&expected.state), expected.memory, expected.rflags & ARITHMETIC_FLAGS, expected.ax,
                show(&actual.state), actual.memory, actual.rflags & ARITHMETIC_FLAGS, actual.ax,
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
    let mut failures = Vec::new();
    let mut count = 0;
    for bytes in encodings().filter(|bytes| !is_transcendental(decode(bytes).0)) {
        compare(bytes, rounds, &mut failures);
        count += 1;
    }
    assert!(count > 400, "only {count} encodings");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
