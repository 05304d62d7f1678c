//! Rules that the comparison with a host does not reach, or not on every host.

use super::{Effect, decode, run, run_with};
use crate::fpu::{Operand, execute, pending_exception};
use crate::state::{F80, X87};

const ONE: F80 = F80 {
    mantissa: 1 << 63,
    sign_exponent: 0x3fff,
};

#[test]
fn an_unmasked_exception_is_pending_until_it_is_cleared_or_masked() {
    let mut fpu = X87 {
        control: 0x37b,
        ..X87::default()
    };
    run(&mut fpu, &[0xd9, 0xe8]);
    run(&mut fpu, &[0xd9, 0xee]);
    assert!(!pending_exception(&fpu));
    run(&mut fpu, &[0xdc, 0xf9]);
    assert!(pending_exception(&fpu), "1 / 0");
    assert_eq!(fpu.status & 0x80ff, 0x8084);
    assert_eq!(
        (fpu.st(0).mantissa, fpu.st(1)),
        (0, ONE),
        "the operands stay"
    );
    let mut masked = fpu;
    run_with(
        &mut masked,
        &[0xd9, 0x2e],
        [0x7f, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    assert!(!pending_exception(&masked), "FLDCW recomputes the summary");
    run(&mut fpu, &[0xdb, 0xe2]);
    assert!(!pending_exception(&fpu), "FNCLEX");
}

#[test]
fn an_unmasked_exception_suppresses_a_store() {
    let mut fpu = X87 {
        control: 0x37e,
        ..X87::default()
    };
    let (effect, bytes) = run_with(&mut fpu, &[0xdd, 0x1e], [7; 16]);
    assert_eq!(effect, Effect::None);
    assert!(pending_exception(&fpu), "ST(0) is empty");
    assert_eq!(fpu.top(), 0, "nothing is popped");
    assert_eq!(bytes[8..], [7; 8]);
}

#[test]
fn pointers_follow_non_control_instructions() {
    let mut fpu = X87::default();
    let bytes = [0x64, 0xdd, 0x06];
    let op = decode(&bytes).1.expect("fld m64");
    let mut mem = Operand {
        bytes: [0; 16],
        address: 0x1234_5678_9abc,
    };
    execute(&mut fpu, &op, &mut mem, 0, 0xffff_8000_0000_0400);
    assert_eq!(
        (fpu.ip, fpu.dp, fpu.opcode),
        (0xffff_8000_0000_0400, 0x1234_5678_9abc, 0x506)
    );
    run_with(&mut fpu, &[0xd9, 0x3e], [0; 16]);
    assert_eq!(
        (fpu.ip, fpu.opcode),
        (0xffff_8000_0000_0400, 0x506),
        "FNSTCW is a control instruction"
    );
    run(&mut fpu, &[0xd9, 0xe0]);
    assert_eq!(
        (fpu.ip, fpu.dp, fpu.opcode),
        (0x400, 0x1234_5678_9abc, 0x1e0),
        "FCHS has no data pointer"
    );
    run(&mut fpu, &[0xdb, 0xe3]);
    assert_eq!((fpu.ip, fpu.dp, fpu.opcode), (0, 0, 0), "FNINIT");
}

#[test]
fn initialising_keeps_the_contents_of_the_registers() {
    let mut fpu = X87::default();
    run(&mut fpu, &[0xd9, 0xe8]);
    run(&mut fpu, &[0xdb, 0xe3]);
    assert_eq!(
        fpu,
        X87 {
            regs: fpu.regs,
            ..X87::default()
        }
    );
    assert_eq!(fpu.regs[7], ONE);
}

#[test]
fn arguments_of_two_to_the_63_are_out_of_the_trigonometric_range() {
    let huge = F80 {
        mantissa: 1 << 63,
        sign_exponent: 0x3fff + 63,
    };
    for opcode in [0xfe, 0xff, 0xf2, 0xfb] {
        let mut fpu = X87::default();
        fpu.push(huge);
        run(&mut fpu, &[0xd9, opcode]);
        assert_eq!(
            (fpu.status & 0x47f, fpu.st(0), fpu.top()),
            (0x400, huge, 7),
            "d9 {opcode:02x}"
        );
        fpu.set_st(
            0,
            F80 {
                sign_exponent: 0x3fff + 62,
                ..huge
            },
        );
        run(&mut fpu, &[0xd9, opcode]);
        assert_eq!(fpu.status & 0x400, 0, "d9 {opcode:02x}");
    }
}

#[test]
fn fcomi_tells_the_relation_and_clears_the_other_flags() {
    let mut fpu = X87::default();
    run(&mut fpu, &[0xd9, 0xee]);
    run(&mut fpu, &[0xd9, 0xe8]);
    let all = 0x8d5;
    assert_eq!(
        run(&mut fpu, &[0xdb, 0xf1]),
        Effect::SetFlags {
            mask: all,
            value: 0
        }
    );
    assert_eq!(
        run(&mut fpu, &[0xdb, 0xf0]),
        Effect::SetFlags {
            mask: all,
            value: 0x40
        }
    );
    assert_eq!(
        run(&mut fpu, &[0xdb, 0xf7]),
        Effect::SetFlags {
            mask: all,
            value: 0x45
        },
        "ST(7) is empty"
    );
    fpu.control &= !1;
    let only_others = Effect::SetFlags {
        mask: 0x890,
        value: 0,
    };
    assert_eq!(
        run(&mut fpu, &[0xdb, 0xf7]),
        only_others,
        "invalid and unmasked"
    );
}

#[test]
fn the_status_word_goes_to_ax_and_to_memory() {
    let mut fpu = X87 {
        status: 0x4123,
        ..X87::default()
    };
    assert_eq!(run(&mut fpu, &[0xdf, 0xe0]), Effect::SetAx(0x4123));
    let (effect, bytes) = run_with(&mut fpu, &[0xdd, 0x3e], [0; 16]);
    assert_eq!(
        (effect, &bytes[..2]),
        (Effect::StoreMem(2), &[0x23, 0x41][..])
    );
}

#[test]
fn undefined_domains_of_logarithms_and_exponentials_are_pinned() {
    let negative = |exponent: u16| F80 {
        mantissa: 3 << 62,
        sign_exponent: 0x8000 | exponent,
    };
    let mut fpu = X87::default();
    fpu.push(ONE);
    fpu.push(negative(0x4000));
    run(&mut fpu, &[0xd9, 0xf9]);
    assert_eq!(fpu.status & 0x7f, 1, "FYL2XP1 below -1 is invalid");
    fpu.set_st(0, negative(0x4000));
    run(&mut fpu, &[0xd9, 0xf0]);
    assert_eq!(
        fpu.st(0),
        negative(0x4000),
        "F2XM1 beyond 1 leaves its operand"
    );
}

#[test]
fn a_denormal_scaled_by_zero_stays_as_it_is_whatever_is_masked() {
    let denormal = F80 {
        mantissa: 0xff,
        sign_exponent: 0x8000,
    };
    let zero = F80 {
        mantissa: 0,
        sign_exponent: 0x8000,
    };
    let half = F80 {
        mantissa: 1 << 63,
        sign_exponent: 0x3ffe,
    };
    for factor in [zero, half] {
        // Underflow is unmasked, then masked.
        for control in [0x0d6b, 0x0d7b] {
            let mut fpu = X87 {
                control,
                ..X87::default()
            };
            fpu.push(factor);
            fpu.push(denormal);
            run(&mut fpu, &[0xd9, 0xfd]);
            assert_eq!(fpu.st(0), denormal);
            assert_eq!(fpu.status & 0x80ff, 2, "only the denormal is told");
        }
    }
}

#[test]
fn the_least_normal_number_is_its_own_sine_however_it_is_rounded() {
    let least = F80 {
        mantissa: 1 << 63,
        sign_exponent: 1,
    };
    for (opcode, rounding) in [(0xfe, 0), (0xfe, 1), (0xfe, 2), (0xfe, 3), (0xfb, 3)] {
        // Underflow is unmasked.
        let mut fpu = X87 {
            control: 0x36f | rounding << 10,
            ..X87::default()
        };
        fpu.push(least);
        run(&mut fpu, &[0xd9, opcode]);
        let sine = if opcode == 0xfe { 0 } else { 1 };
        assert_eq!(fpu.st(sine), least);
        assert_eq!(fpu.status & 0x80ff, 0x20, "inexact, but no underflow");
    }
}

#[test]
fn comparisons_to_the_flags_leave_c1_and_the_last_opcode() {
    const C1: u16 = 1 << 9;
    // FUCOMI, FCOMI, FUCOMIP and FCOMIP.
    for bytes in [[0xdb, 0xe9], [0xdb, 0xf1], [0xdf, 0xe9], [0xdf, 0xf1]] {
        let mut fpu = X87::default();
        fpu.push(ONE);
        fpu.push(ONE);
        fpu.opcode = 0x123;
        fpu.status |= C1;
        run(&mut fpu, &bytes);
        assert_eq!((fpu.status & C1, fpu.opcode), (C1, 0x123), "{bytes:x?}");
        // FCOM clears one and records the other.
        fpu.push(ONE);
        fpu.status |= C1;
        run(&mut fpu, &[0xd8, 0xd1]);
        assert_eq!((fpu.status & C1, fpu.opcode), (0, 0xd1));
    }
    let mut fpu = X87 {
        status: C1,
        ..X87::default()
    };
    run(&mut fpu, &[0xdb, 0xe9]);
    assert_eq!(
        fpu.status & 0x2ff,
        0x41,
        "an empty register is an underflow of the stack"
    );
}
