//! Which NaN is the result of a dot product of several, as Intel's processors choose it.

use super::native::{Machine, emulate, instruction};
use iced_x86::Code;

/// The result of a dot product under an MXCSR that masks everything.
fn dot(code: Code, imm: u8, dst: [u64; 2], src: [u64; 2]) -> [u64; 2] {
    let instr = instruction(code, imm, false).expect("it has a register form");
    let mut machine = Machine {
        xmm: [[0; 2], dst, src],
        mxcsr: 0x1f80,
        ..Machine::default()
    };
    assert_eq!(emulate(&instr, &mut machine), Ok(()));
    machine.xmm[1]
}

#[test]
fn dpps_gives_the_nan_that_intel_processors_were_seen_to_give() {
    let dst = [0x007f_7f41_ff02_0101, 0x3f80_0000_0576_4fb8];
    let src = [0xffdf_ffff_ffff_ffff, 0x7f80_0000_7f80_0001];
    assert_eq!(
        dot(Code::Dpps_xmm_xmmm128_imm8, 0x31, dst, src),
        [0xffdf_ffff, 0]
    );
}

#[test]
fn each_lane_of_dpps_has_the_nan_of_its_neighbour() {
    let nan = |n: u64| 0x7fc0_0000 | n;
    let dst = [nan(0) | nan(1) << 32, nan(2) | nan(3) << 32];
    let one = 0x3f80_0000_3f80_0000;
    let result = |imm, dst| dot(Code::Dpps_xmm_xmmm128_imm8, imm, dst, [one; 2]);
    assert_eq!(
        result(0xff, dst),
        [nan(1) | nan(0) << 32, nan(3) | nan(2) << 32]
    );
    // With numbers in a half, the lanes of that half have the NaNs of the other one.
    assert_eq!(
        result(0xff, [one, dst[1]]),
        [nan(3) | nan(2) << 32, nan(3) | nan(2) << 32]
    );
    assert_eq!(
        result(0x3f, dst),
        [nan(1) | nan(0) << 32, nan(1) | nan(0) << 32]
    );
    assert_eq!(result(0xf9, dst), [nan(1), nan(2) << 32]);
}

#[test]
fn each_lane_of_dppd_has_its_own_nan_before_the_other_one() {
    let nan = |n: u64| 0x7ff8 << 48 | n;
    let one = 1.0f64.to_bits();
    let result = |imm| dot(Code::Dppd_xmm_xmmm128_imm8, imm, [nan(1), nan(2)], [one; 2]);
    // As a Xeon of signature 0xc06f2 was seen to do.
    assert_eq!(result(0x33), [nan(1), nan(2)]);
    assert_eq!(result(0x11), [nan(1), 0]);
    assert_eq!(result(0x13), [nan(1), nan(1)]);
    assert_eq!(result(0x23), [nan(2), nan(2)]);
}
