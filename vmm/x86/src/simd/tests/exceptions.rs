//! Unmasked exceptions. The expected flags were observed on a real processor through its #XM.

use super::super::{Frame, SimdFault};
use super::native::{Machine, emulate, instruction};
use iced_x86::Code;

const IE: u32 = 1;
const DE: u32 = 2;
const ZE: u32 = 4;
const OE: u32 = 8;
const UE: u32 = 16;
const PE: u32 = 32;
const FTZ: u32 = 0x8000;

/// Runs a packed single instruction with the exceptions `unmasked`; the outcome and the flags.
fn run(
    code: Code,
    imm: u8,
    dst: [u32; 4],
    src: [u32; 4],
    unmasked: u32,
    control: u32,
) -> (Result<(), SimdFault>, u32) {
    let quads = |d: [u32; 4]| {
        [
            u64::from(d[0]) | u64::from(d[1]) << 32,
            u64::from(d[2]) | u64::from(d[3]) << 32,
        ]
    };
    let instr = instruction(code, imm, false).unwrap();
    let before = Machine {
        xmm: [[0; 2], quads(dst), quads(src)],
        mxcsr: 0x1f80 & !(unmasked << 7) | control,
        flags: 0x10,
        ..Machine::default()
    };
    let mut after = before;
    let outcome = emulate(&instr, &mut after);
    if outcome.is_err() {
        assert_eq!(
            Machine {
                mxcsr: before.mxcsr,
                ..after
            },
            before,
            "{instr} wrote a result"
        );
    }
    (outcome, after.mxcsr & 0x3f)
}

const FAULT: Result<(), SimdFault> = Err(SimdFault::FloatingPoint);

#[test]
fn an_unmasked_overflow_reports_inexactness_of_the_unbounded_result() {
    let mul = |b: u32, src, unmasked| {
        run(
            Code::Mulps_xmm_xmmm128,
            0,
            [b, 0, 0, 0],
            [src, 0, 0, 0],
            unmasked,
            0,
        )
    };
    assert_eq!(mul(0x7f00_0000, 0x4000_0000, 0), (Ok(()), OE | PE));
    assert_eq!(mul(0x7f00_0000, 0x4000_0000, OE), (FAULT, OE));
    assert_eq!(mul(0x7f00_0000, 0x4000_0000, PE), (FAULT, OE | PE));
    assert_eq!(mul(0x7f00_0000, 0x4000_0000, OE | PE), (FAULT, OE));
    assert_eq!(mul(0x7f00_0001, 0x4040_0000, OE), (FAULT, OE | PE));
    let add = |a, b| {
        run(
            Code::Addps_xmm_xmmm128,
            0,
            [a, 0, 0, 0],
            [b, 0, 0, 0],
            OE,
            0,
        )
    };
    assert_eq!(add(0x7f7f_ffff, 0x7f7f_ffff), (FAULT, OE));
    assert_eq!(add(0x7f7f_ffff, 0x7e80_0002), (FAULT, OE));
    assert_eq!(add(0x7f7f_ffff, 0x7e80_0001), (FAULT, OE | PE));
    assert_eq!(add(0x7f7f_fffe, 0x7f00_0000), (FAULT, OE));
    assert_eq!(add(0x7f7f_ffff, 0x7f00_0000), (FAULT, OE | PE));
}

#[test]
fn an_unmasked_underflow_is_raised_by_exact_tiny_results_and_ignores_flush_to_zero() {
    let mul = |a, b, unmasked, control| {
        run(
            Code::Mulps_xmm_xmmm128,
            0,
            [a, 0, 0, 0],
            [b, 0, 0, 0],
            unmasked,
            control,
        )
    };
    assert_eq!(mul(0x0080_0000, 0x3f00_0000, 0, 0), (Ok(()), 0));
    assert_eq!(mul(0x0080_0000, 0x3f00_0000, UE, 0), (FAULT, UE));
    assert_eq!(mul(0x0080_0000, 0x3f00_0000, UE, FTZ), (FAULT, UE));
    assert_eq!(mul(0x0080_0000, 0x3f00_0000, PE, FTZ), (FAULT, UE | PE));
    assert_eq!(mul(0x0080_0001, 0x3f00_0000, 0, 0), (Ok(()), UE | PE));
    assert_eq!(mul(0x0080_0001, 0x3f00_0000, UE, 0), (FAULT, UE));
    assert_eq!(mul(0x0080_0001, 0x3f00_0000, PE, 0), (FAULT, UE | PE));
    assert_eq!(mul(0x0080_0001, 0x3eaa_aaab, UE, 0), (FAULT, UE | PE));
    let add = |unmasked| {
        run(
            Code::Addps_xmm_xmmm128,
            0,
            [1, 0, 0, 0],
            [1, 0, 0, 0],
            unmasked,
            0,
        )
    };
    assert_eq!(add(0), (Ok(()), DE));
    assert_eq!(add(UE), (FAULT, UE | DE));
    assert_eq!(add(UE | DE), (FAULT, DE));
    assert_eq!(
        run(
            Code::Minps_xmm_xmmm128,
            0,
            [1, 0, 0, 0],
            [2, 0, 0, 0],
            UE,
            0
        ),
        (Ok(()), DE)
    );
}

#[test]
fn an_unmasked_early_exception_hides_the_late_ones_of_all_lanes() {
    let (one, three) = (0x3f80_0000, 0x4040_0000);
    let div = |unmasked| {
        run(
            Code::Divps_xmm_xmmm128,
            0,
            [one, one, 0, 0],
            [0, three, one, one],
            unmasked,
            0,
        )
    };
    assert_eq!(div(0), (Ok(()), ZE | PE));
    assert_eq!(div(ZE), (FAULT, ZE));
    assert_eq!(div(PE), (FAULT, ZE | PE));
    let sqrt = |unmasked| {
        run(
            Code::Sqrtps_xmm_xmmm128,
            0,
            [0; 4],
            [0xbf80_0000, 1, 0x4000_0000, 0],
            unmasked,
            0,
        )
    };
    assert_eq!(sqrt(IE), (FAULT, IE | DE));
    assert_eq!(sqrt(DE), (FAULT, IE | DE));
    assert_eq!(sqrt(PE), (FAULT, IE | DE | PE));
}

#[test]
fn late_exceptions_of_all_lanes_are_reported_together() {
    let dst = [0x7f00_0000, 0x0080_0001, 0x3f80_0001, 0];
    let src = [0x4000_0000, 0x3f00_0000, 0x3f80_0001, 0x3f80_0000];
    for unmasked in [OE, UE, PE] {
        assert_eq!(
            run(Code::Mulps_xmm_xmmm128, 0, dst, src, unmasked, 0),
            (FAULT, OE | UE | PE)
        );
    }
    let dst = [0x7f00_0000, 0x7f00_0000, 1, 1];
    let src = [0x4000_0000, 1, 0x3f80_0001, 0];
    assert_eq!(
        run(Code::Haddps_xmm_xmmm128, 0, dst, src, OE, 0),
        (FAULT, OE | PE | DE)
    );
}

#[test]
fn a_flag_that_is_already_set_raises_nothing() {
    let one = [0x3f80_0000; 4];
    assert_eq!(
        run(Code::Addps_xmm_xmmm128, 0, one, one, PE, PE),
        (Ok(()), PE)
    );
}

#[test]
fn a_dot_product_stops_after_the_step_that_raises() {
    let dst = [0x7f00_0000, 0x7f80_0001, 0x3f80_0001, 0];
    let src = [0x4000_0000, 0, 0x3f80_0001, 0];
    assert_eq!(
        run(Code::Dpps_xmm_xmmm128_imm8, 0xff, dst, src, OE, 0),
        (FAULT, OE | IE | PE)
    );
    let tiny = [0x0080_0000, 0, 0, 0];
    assert_eq!(
        run(
            Code::Dpps_xmm_xmmm128_imm8,
            0xff,
            tiny,
            [0x3f00_0000, 0, 0, 0],
            UE,
            0
        ),
        (FAULT, UE)
    );
}

#[test]
fn rounding_raises_inexact_only_if_its_immediate_lets_it() {
    let round = |imm, unmasked| {
        run(
            Code::Roundps_xmm_xmmm128_imm8,
            imm,
            [0; 4],
            [0x3fc0_0000, 1, 0, 0],
            unmasked,
            0,
        )
    };
    assert_eq!(round(0, PE), (FAULT, PE));
    assert_eq!(round(8, PE | DE), (Ok(()), 0));
    assert_eq!(round(0, DE), (Ok(()), PE));
}

#[test]
fn an_unordered_comparison_with_unmasked_invalid_leaves_the_flags() {
    let nan = [0x7fc0_0000, 0, 0, 0];
    assert_eq!(
        run(Code::Comiss_xmm_xmmm32, 0, nan, nan, IE, 0),
        (FAULT, IE)
    );
    assert_eq!(
        run(Code::Ucomiss_xmm_xmmm32, 0, nan, nan, IE, 0),
        (Ok(()), 0)
    );
}

#[test]
fn loading_a_reserved_bit_of_mxcsr_is_a_general_protection_fault() {
    let instr = instruction(Code::Ldmxcsr_m32, 0, true).unwrap();
    for bit in 16..32 {
        let mut m = Machine {
            memory: [0x1f80 | 1 << bit, 0],
            mxcsr: 0x1f81,
            ..Machine::default()
        };
        assert_eq!(emulate(&instr, &mut m), Err(SimdFault::GeneralProtection));
        assert_eq!(m.mxcsr, 0x1f81);
    }
}

#[test]
fn any_frame_is_accepted_by_every_primitive() {
    for code in crate::simd::forms() {
        for memory in [false, true] {
            let Some(instr) = instruction(code, 0xff, memory) else {
                continue;
            };
            let prim = super::super::prim(&instr).unwrap();
            for fill in [0, u64::MAX, 0x8000_0000_8000_0000] {
                let quads = [fill; 2];
                let mut f = Frame {
                    dst: quads,
                    src: quads,
                    xmm0: quads,
                    gpr: quads,
                    imm: 0xff,
                    mxcsr: fill as u32 & 0xffff,
                    ..Frame::default()
                };
                // Whatever it returns, it must neither panic nor trap.
                let _ = prim(&mut f);
            }
        }
    }
}

/// An operation, its two operands, what is not masked, and what is reported.
const OUT_OF_RANGE: [(Code, u64, u64, u32, u32); 12] = [
    (
        Code::Mulpd_xmm_xmmm128,
        0x7fe0_0000_0000_0001,
        0x4000_0000_0000_0000,
        OE,
        OE,
    ),
    (
        Code::Mulpd_xmm_xmmm128,
        0x7fe0_0000_0000_0001,
        0x4008_0000_0000_0000,
        OE,
        OE | PE,
    ),
    (
        Code::Divpd_xmm_xmmm128,
        0x7fe8_0000_0000_0000,
        0x3fe0_0000_0000_0000,
        OE,
        OE,
    ),
    (
        Code::Divpd_xmm_xmmm128,
        0x7fe8_0000_0000_0000,
        0x3fe8_0000_0000_0000,
        OE,
        OE,
    ),
    (
        Code::Divpd_xmm_xmmm128,
        0x7fe0_0000_0000_0000,
        0x3fb8_0000_0000_0000,
        OE,
        OE | PE,
    ),
    (
        Code::Divpd_xmm_xmmm128,
        0x0018_0000_0000_0000,
        0x4008_0000_0000_0000,
        UE,
        UE,
    ),
    (
        Code::Divpd_xmm_xmmm128,
        0x0010_0000_0000_0000,
        0x4008_0000_0000_0000,
        UE,
        UE | PE,
    ),
    (Code::Cvtpd2ps_xmm_xmmm128, 0, 0x4c70_0000_0000_0000, OE, OE),
    (
        Code::Cvtpd2ps_xmm_xmmm128,
        0,
        0x4c70_0000_0040_0000,
        OE,
        OE | PE,
    ),
    (Code::Cvtpd2ps_xmm_xmmm128, 0, 0x3730_0000_0000_0000, UE, UE),
    (
        Code::Cvtpd2ps_xmm_xmmm128,
        0,
        0x3730_0000_1000_0000,
        UE,
        UE | PE,
    ),
    (
        Code::Addsubpd_xmm_xmmm128,
        0x7fef_ffff_ffff_ffff,
        0xffef_ffff_ffff_ffff,
        OE,
        OE,
    ),
];

#[test]
fn binary64_results_out_of_range_report_inexactness_of_the_unbounded_result() {
    let one = 0x3ff0_0000_0000_0000_u64;
    for (code, a, b, unmasked, expected) in OUT_OF_RANGE {
        let lanes = |low: u64| {
            [
                low as u32,
                (low >> 32) as u32,
                one as u32,
                (one >> 32) as u32,
            ]
        };
        let outcome = run(code, 0, lanes(a), lanes(b), unmasked, 0);
        assert_eq!(outcome, (FAULT, expected), "{code:?} of {a:#x} and {b:#x}");
    }
}
