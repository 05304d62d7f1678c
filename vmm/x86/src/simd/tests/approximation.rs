//! The defined reciprocal approximations against the architecture's error bound and special cases.

use super::super::approx::{reciprocal, reciprocal_sqrt};

/// The architecture's bound on the relative error.
const BOUND: f64 = 1.5 / 4096.0;

#[test]
fn reciprocal_stays_within_the_error_bound() {
    for fraction in (0..1 << 23).step_by(7) {
        for exponent in [1_u32, 2, 100, 127, 128, 200, 251, 252] {
            let x = f32::from_bits(exponent << 23 | fraction);
            let exact = 1.0 / f64::from(x);
            let ours = f64::from(f32::from_bits(reciprocal(x.to_bits())));
            assert!(
                ((ours - exact) / exact).abs() <= BOUND / 6.0,
                "1/{x:e} is {exact:e}, not {ours:e}"
            );
        }
    }
}

#[test]
fn reciprocal_square_root_stays_within_the_error_bound() {
    for fraction in (0..1 << 23).step_by(7) {
        for exponent in [1_u32, 2, 99, 100, 127, 128, 253, 254] {
            let x = f32::from_bits(exponent << 23 | fraction);
            let exact = 1.0 / f64::from(x).sqrt();
            let ours = f64::from(f32::from_bits(reciprocal_sqrt(x.to_bits())));
            assert!(
                ((ours - exact) / exact).abs() <= BOUND / 6.0,
                "1/sqrt({x:e}) is {exact:e}, not {ours:e}"
            );
        }
    }
}

#[test]
fn special_operands_of_the_reciprocal_have_the_architectures_results() {
    let cases = [
        (0x0000_0000, 0x7f80_0000),
        (0x8000_0000, 0xff80_0000),
        (0x007f_ffff, 0x7f80_0000),
        (0x8000_0001, 0xff80_0000),
        (0x7f80_0000, 0x0000_0000),
        (0xff80_0000, 0x8000_0000),
        (0x7f80_0001, 0x7fc0_0001),
        (0xffc1_2345, 0xffc1_2345),
        (0x3f80_0000, 0x3f80_0000),
        (0xc000_0000, 0xbf00_0000),
        (0x7e7f_ffff, 0x0080_0000),
        (0x7e80_0000, 0x0080_0000),
        (0x7e80_1801, 0x0000_0000),
        (0xff7f_ffff, 0x8000_0000),
    ];
    for (x, expected) in cases {
        assert_eq!(
            reciprocal(x),
            expected,
            "RCP of {x:#x} is {:#x}",
            reciprocal(x)
        );
    }
}

#[test]
fn special_operands_of_the_reciprocal_square_root_have_the_architectures_results() {
    let cases = [
        (0x0000_0000, 0x7f80_0000),
        (0x8000_0000, 0xff80_0000),
        (0x007f_ffff, 0x7f80_0000),
        (0x807f_ffff, 0xff80_0000),
        (0x7f80_0000, 0x0000_0000),
        (0xff80_0000, 0xffc0_0000),
        (0xbf80_0000, 0xffc0_0000),
        (0x7f80_0001, 0x7fc0_0001),
        (0xffc1_2345, 0xffc1_2345),
        (0x3f80_0000, 0x3f80_0000),
        (0x4080_0000, 0x3f00_0000),
        (0x4180_0000, 0x3e80_0000),
    ];
    for (x, expected) in cases {
        assert_eq!(
            reciprocal_sqrt(x),
            expected,
            "RSQRT of {x:#x} is {:#x}",
            reciprocal_sqrt(x)
        );
    }
}
