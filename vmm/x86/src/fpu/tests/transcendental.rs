//! The transcendental instructions against the host's: the value within two units in the last
//! place, the stack, the invalid, zero-divide, denormal and stack flags and C2 exactly. Inexact,
//! underflow and rounding information follow from the last bits, in which processors differ.

use super::differential::{WIDE, comparable, image, interpret, is_transcendental, show};
use super::host::{Input, Native, Output};
use super::operands::Random;
use super::{decode, encodings};
use crate::fpu::number::{Class, class, negative, unpack};
use crate::fpu::restore;
use crate::state::{F80, X87};
use iced_x86::Code;

/// The distance of two results in units of the last place, or `None` if they are of unlike kinds.
pub(super) fn distance(a: F80, b: F80) -> Option<u64> {
    let key = |x: F80| {
        i128::from(x.sign_exponent & 0x7fff) << 63 | i128::from(x.mantissa & (u64::MAX >> 1))
    };
    let signed = |x: F80| if negative(x) { -key(x) } else { key(x) };
    let finite = class(a).is_finite() && class(b).is_finite();
    if !finite {
        return (a == b).then_some(0);
    }
    u64::try_from((signed(a) - signed(b)).unsigned_abs()).ok()
}

/// Operands for which the SDM defines a result (except in range tests of their own).
fn operand(random: &mut Random, code: Code) -> F80 {
    let any = random.extended();
    let finite = matches!(class(any), Class::Normal);
    let exponent = match code {
        Code::F2xm1 if finite && unpack(any).exp >= 0x3fff => 0x3ffe - random.below(20) as u16,
        Code::Fyl2xp1 if finite && unpack(any).exp >= 0x3ffd => 0x3ffc - random.below(20) as u16,
        _ => return any,
    };
    F80 {
        sign_exponent: any.sign_exponent & 0x8000 | exponent,
        ..any
    }
}

/// Everything but the last-place details.
fn essence(output: &Output) -> ([u8; 108], [F80; 8]) {
    let mut fpu = X87::default();
    restore(&mut fpu, WIDE, &output.state);
    let values = std::array::from_fn(|i| fpu.st(i as u8));
    let (mut state, ..) = comparable(*output);
    // Clears OE, UE, PE and C1 of the status word, and the values.
    state[4] &= !0x38;
    state[5] &= !2;
    // Of the tags only emptiness: the last bit can make a denormal of a normal number.
    let tags = u16::from_le_bytes([state[8], state[9]]);
    let empty = tags & tags >> 1 & 0x5555;
    state[8..10].copy_from_slice(&empty.to_le_bytes());
    state[28..].fill(0);
    (state, values)
}

fn compare(bytes: [u8; 2], rounds: u64, limit: u64, failures: &mut Vec<String>) -> u64 {
    let (code, op) = decode(&bytes);
    let op = op.expect("filtered");
    let native = Native::new(&bytes);
    let mut random = Random(u64::from(bytes[1]) << 32);
    let (mut worst, mut shown) = (0, 0);
    for _ in 0..rounds {
        let mut fpu = random.state();
        fpu.load_control(fpu.control | 0x38);
        let top = operand(&mut random, code);
        if !fpu.is_empty(0) {
            fpu.set_st(0, top);
        }
        let input = Input {
            state: image(&fpu),
            memory: [0; 16],
            rflags: 0x202,
        };
        let (expected, actual) = (native.run(&input), interpret(&op, &input));
        let ((state, values), (our_state, our_values)) = (essence(&expected), essence(&actual));
        let apart = values
            .into_iter()
            .zip(our_values)
            .map(|(a, b)| distance(a, b).unwrap_or(u64::MAX))
            .max();
        let apart = apart.unwrap_or(0);
        if state != our_state || apart > limit {
            shown += 1;
            if shown <= 6 {
                let text = |x: &Output| {
                    show(&x.state)
                        .lines()
                        .take(3)
                        .collect::<Vec<_>>()
                        .join("\n")
                };
                failures.push(format!(
                    "{code:?}: {apart} ulp\nfrom {}\nhost {}\nours {}",
                    text(&Output {
                        state: input.state,
                        ..expected
                    }),
                    text(&expected),
                    text(&actual)
                ));
            }
        } else {
            worst = worst.max(apart);
        }
    }
    if shown > 0 {
        failures.push(format!("=== {code:?}: {shown} of {rounds}"));
    }
    worst
}

#[test]
fn every_transcendental_instruction_is_within_two_units_of_the_host() {
    let rounds = std::env::var("CHAOSRUN_X87_ROUNDS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(2_000);
    crate::make::announce();
    let mut failures = Vec::new();
    let mut count = 0;
    for bytes in encodings().filter(|bytes| is_transcendental(decode(bytes).0)) {
        let worst = compare(bytes, 10 * rounds, 2, &mut failures);
        println!("{:?}: at most {worst} ulp", decode(&bytes).0);
        count += 1;
    }
    assert_eq!(count, 8);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
