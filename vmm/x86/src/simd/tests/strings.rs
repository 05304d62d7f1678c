//! String comparisons against the real processor on strings that resemble each other, for all
//! immediates.

use super::inputs::Random;
use super::native::{Machine, Native, emulate, instruction};
use iced_x86::Code;

/// A string over a tiny alphabet, so that matches, partial matches and terminators are frequent.
fn text(random: &mut Random) -> [u64; 2] {
    let alphabet: &[u64] = random.pick(&[
        &[0x61, 0x62],
        &[0x61, 0x62, 0],
        &[0x80, 0x7f, 1, 0xff, 0x61],
        &[0x61, 0x61, 0x61, 0x62, 0],
    ]);
    let wide = random.below(2) == 0;
    let mut quad = || {
        (0..if wide { 4 } else { 8 }).fold(0_u64, |all, _| {
            let element = random.pick(alphabet);
            if wide {
                all << 16 | element
            } else {
                all << 8 | element
            }
        })
    };
    [quad(), quad()]
}

#[test]
fn all_immediates_of_string_comparisons_agree_with_the_processor_on_similar_strings() {
    let mut native = Native::new();
    let mut random = Random(42);
    for code in crate::simd::forms().filter(|code| {
        format!("{code:?}").starts_with("Pcmp") && format!("{code:?}").contains("str")
    }) {
        for imm in 0..=255 {
            let instr = instruction(code, imm, false).unwrap();
            native.assemble(instr);
            for _ in 0..150 {
                let lengths = [random.below(37) as i64 - 18, random.below(37) as i64 - 18];
                let before = Machine {
                    xmm: [[7, 9], text(&mut random), text(&mut random)],
                    gpr: [lengths[0] as u64, lengths[1] as u64, 77],
                    mxcsr: 0x1f80,
                    ..Machine::default()
                };
                let (mut real, mut ours) = (before, before);
                native.run(&mut real);
                assert_eq!(emulate(&instr, &mut ours), Ok(()));
                assert_eq!(ours, real, "{instr}: ours, then real, from {before:x?}");
            }
        }
    }
}

#[test]
fn pcmpistri_finds_a_substring_at_its_index() {
    let quads = |s: &str| {
        let mut bytes = [0_u8; 16];
        bytes[..s.len()].copy_from_slice(s.as_bytes());
        u128::from_le_bytes(bytes)
    };
    let split = |v: u128| [v as u64, (v >> 64) as u64];
    let instr = instruction(Code::Pcmpistri_xmm_xmmm128_imm8, 0x0c, false).unwrap();
    let mut m = Machine {
        xmm: [[0; 2], split(quads("lo w")), split(quads("hello world"))],
        mxcsr: 0x1f80,
        ..Machine::default()
    };
    emulate(&instr, &mut m).unwrap();
    // The match is at 3; CF: there is one; ZF and SF: both strings end within their registers.
    assert_eq!((m.gpr[2], m.flags), (3, 0xc1));
}
