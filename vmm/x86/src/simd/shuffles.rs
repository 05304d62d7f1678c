//! Shuffles, blends, unpacks, alignments, inserts and extracts.

use super::host::{IntOp, int_ops, plain};
use super::{Frame, Prim, Quads, SimdFault};
use iced_x86::Code;

/// The primitive of a shuffle.
pub(super) fn prim(code: Code, imm: u8, from_memory: bool) -> Option<Prim> {
    hosted(code)
        .or_else(|| shuffle(code))
        .or_else(|| blend(code))
        .or_else(|| element(code, imm, from_memory))
}

int_ops! {
    Punpcklbw "punpcklbw" {
        Punpcklbw_xmm_xmmm128: plain, Punpcklbw_mm_mmm32: plain, Punpckhbw_mm_mmm64: upper,
    }
    Punpcklwd "punpcklwd" {
        Punpcklwd_xmm_xmmm128: plain, Punpcklwd_mm_mmm32: plain, Punpckhwd_mm_mmm64: upper,
    }
    Punpckldq "punpckldq" {
        Punpckldq_xmm_xmmm128: plain, Punpckldq_mm_mmm32: plain, Punpckhdq_mm_mmm64: upper,
        Unpcklps_xmm_xmmm128: plain,
    }
    Punpcklqdq "punpcklqdq" { Punpcklqdq_xmm_xmmm128: plain, Unpcklpd_xmm_xmmm128: plain }
    Punpckhbw "punpckhbw" { Punpckhbw_xmm_xmmm128: plain }
    Punpckhwd "punpckhwd" { Punpckhwd_xmm_xmmm128: plain }
    Punpckhdq "punpckhdq" { Punpckhdq_xmm_xmmm128: plain, Unpckhps_xmm_xmmm128: plain }
    Punpckhqdq "punpckhqdq" { Punpckhqdq_xmm_xmmm128: plain, Unpckhpd_xmm_xmmm128: plain }
    Movddup "movddup" { Movddup_xmm_xmmm64: plain }
    Movsldup "movsldup" { Movsldup_xmm_xmmm128: plain }
    Movshdup "movshdup" { Movshdup_xmm_xmmm128: plain }
    Pshufb "pshufb" { Pshufb_xmm_xmmm128: plain, Pshufb_mm_mmm64: pshufb_mm }
}

/// MM forms of PUNPCKH: the high quadword of PUNPCKL on XMM interleaves the high halves of the low
/// quadwords.
fn upper<O: IntOp>(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [O::run(f.dst, f.src)[1], 0];
    Ok(())
}

/// PSHUFB on MM registers ignores bit 3 of each index, which would select from the high quadword.
fn pshufb_mm<O: IntOp>(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [O::run(f.dst, [f.src[0] & 0x8787_8787_8787_8787, 0])[0], 0];
    Ok(())
}

/// A value as a 128-bit integer.
pub(super) fn wide(value: Quads) -> u128 {
    u128::from(value[0]) | u128::from(value[1]) << 64
}

/// The inverse of [`wide`].
pub(super) fn from_wide(value: u128) -> Quads {
    [value as u64, (value >> 64) as u64]
}

/// A value as its bytes, the lowest first.
pub(super) fn bytes(value: Quads) -> [u8; 16] {
    wide(value).to_le_bytes()
}

/// A value as its words, the lowest first.
pub(super) fn words(value: Quads) -> [u16; 8] {
    core::array::from_fn(|i| (value[i / 4] >> (i % 4 * 16)) as u16)
}

/// The inverse of [`words`].
pub(super) fn from_words(words: [u16; 8]) -> Quads {
    let quad = |w: &[u16]| {
        w.iter()
            .rev()
            .fold(0, |all, &word| all << 16 | u64::from(word))
    };
    [quad(&words[..4]), quad(&words[4..])]
}

/// A value as its doublewords, the lowest first.
pub(super) fn doubles(value: Quads) -> [u32; 4] {
    core::array::from_fn(|i| (value[i / 2] >> (i % 2 * 32)) as u32)
}

/// The inverse of [`doubles`].
pub(super) fn from_doubles(d: [u32; 4]) -> Quads {
    [
        u64::from(d[0]) | u64::from(d[1]) << 32,
        u64::from(d[2]) | u64::from(d[3]) << 32,
    ]
}

/// The two-bit field of a shuffle immediate that selects the source of element `i`.
fn selector(imm: u8, i: usize) -> usize {
    usize::from(imm >> (2 * (i & 3)) & 3)
}

/// Shuffles and alignments by an immediate.
fn shuffle(code: Code) -> Option<Prim> {
    Some(match code {
        Code::Pshufd_xmm_xmmm128_imm8 => pshufd,
        Code::Pshuflw_xmm_xmmm128_imm8 => pshuflw,
        Code::Pshufhw_xmm_xmmm128_imm8 => pshufhw,
        Code::Pshufw_mm_mmm64_imm8 => pshufw,
        Code::Shufps_xmm_xmmm128_imm8 => shufps,
        Code::Shufpd_xmm_xmmm128_imm8 => shufpd,
        Code::Palignr_xmm_xmmm128_imm8 => palignr,
        Code::Palignr_mm_mmm64_imm8 => palignr_mm,
        _ => return None,
    })
}

fn pshufd(f: &mut Frame) -> Result<(), SimdFault> {
    let src = doubles(f.src);
    f.dst = from_doubles(core::array::from_fn(|i| src[selector(f.imm, i)]));
    Ok(())
}

/// The four words of a quadword in the order that an immediate selects.
fn shuffle_words(quad: u64, imm: u8) -> u64 {
    (0..4).fold(0, |all, i| {
        all | (quad >> (selector(imm, i) * 16) & 0xffff) << (i * 16)
    })
}

fn pshuflw(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [shuffle_words(f.src[0], f.imm), f.src[1]];
    Ok(())
}

fn pshufhw(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [f.src[0], shuffle_words(f.src[1], f.imm)];
    Ok(())
}

fn pshufw(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [shuffle_words(f.src[0], f.imm), 0];
    Ok(())
}

fn shufps(f: &mut Frame) -> Result<(), SimdFault> {
    let (dst, src) = (doubles(f.dst), doubles(f.src));
    f.dst = from_doubles(core::array::from_fn(
        |i| if i < 2 { &dst } else { &src }[selector(f.imm, i)],
    ));
    Ok(())
}

fn shufpd(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [
        f.dst[usize::from(f.imm & 1)],
        f.src[usize::from(f.imm >> 1 & 1)],
    ];
    Ok(())
}

fn palignr(f: &mut Frame) -> Result<(), SimdFault> {
    let (high, low) = (wide(f.dst), wide(f.src));
    let shift = u32::from(f.imm) * 8;
    f.dst = from_wide(match shift {
        0 => low,
        1..128 => low >> shift | high << (128 - shift),
        _ => high.checked_shr(shift - 128).unwrap_or(0),
    });
    Ok(())
}

fn palignr_mm(f: &mut Frame) -> Result<(), SimdFault> {
    let both = u128::from(f.src[0]) | u128::from(f.dst[0]) << 64;
    f.dst = [
        both.checked_shr(u32::from(f.imm) * 8).unwrap_or(0) as u64,
        0,
    ];
    Ok(())
}

/// Blends, which take each element from the source or leave the destination's.
fn blend(code: Code) -> Option<Prim> {
    Some(match code {
        Code::Blendps_xmm_xmmm128_imm8 => blendps,
        Code::Blendpd_xmm_xmmm128_imm8 => blendpd,
        Code::Pblendw_xmm_xmmm128_imm8 => pblendw,
        Code::Pblendvb_xmm_xmmm128 => pblendvb,
        Code::Blendvps_xmm_xmmm128 => blendvps,
        Code::Blendvpd_xmm_xmmm128 => blendvpd,
        _ => return None,
    })
}

/// The bits that are set in `mask` from the source, the others from the destination.
fn select(f: &mut Frame, mask: Quads) {
    for (dst, (src, mask)) in f.dst.iter_mut().zip(f.src.iter().zip(mask)) {
        *dst = *dst & !mask | src & mask;
    }
}

fn blendps(f: &mut Frame) -> Result<(), SimdFault> {
    select(
        f,
        from_doubles(core::array::from_fn(|i| {
            u32::from(f.imm >> i & 1).wrapping_neg()
        })),
    );
    Ok(())
}

fn blendpd(f: &mut Frame) -> Result<(), SimdFault> {
    select(
        f,
        core::array::from_fn(|i| u64::from(f.imm >> i & 1).wrapping_neg()),
    );
    Ok(())
}

fn pblendw(f: &mut Frame) -> Result<(), SimdFault> {
    select(
        f,
        from_words(core::array::from_fn(|i| {
            u16::from(f.imm >> i & 1).wrapping_neg()
        })),
    );
    Ok(())
}

fn pblendvb(f: &mut Frame) -> Result<(), SimdFault> {
    select(
        f,
        f.xmm0
            .map(|quad| (quad >> 7 & 0x0101_0101_0101_0101) * 0xff),
    );
    Ok(())
}

fn blendvps(f: &mut Frame) -> Result<(), SimdFault> {
    select(
        f,
        f.xmm0
            .map(|quad| (quad >> 31 & 0x1_0000_0001) * 0xffff_ffff),
    );
    Ok(())
}

fn blendvpd(f: &mut Frame) -> Result<(), SimdFault> {
    select(f, f.xmm0.map(|quad| (quad >> 63).wrapping_neg()));
    Ok(())
}

/// Inserts and extracts of one element.
fn element(code: Code, imm: u8, from_memory: bool) -> Option<Prim> {
    Some(match code {
        Code::Pinsrb_xmm_r32m8_imm8 | Code::Pinsrb_xmm_r64m8_imm8 => insert::<8>,
        Code::Pinsrw_xmm_r32m16_imm8 | Code::Pinsrw_xmm_r64m16_imm8 => insert::<16>,
        Code::Pinsrw_mm_r32m16_imm8 | Code::Pinsrw_mm_r64m16_imm8 => pinsrw_mm,
        Code::Pinsrd_xmm_rm32_imm8 => insert::<32>,
        Code::Pinsrq_xmm_rm64_imm8 => insert::<64>,
        Code::Pextrb_r32m8_xmm_imm8 | Code::Pextrb_r64m8_xmm_imm8 => extract::<8>,
        Code::Pextrw_r32m16_xmm_imm8
        | Code::Pextrw_r64m16_xmm_imm8
        | Code::Pextrw_r32_xmm_imm8
        | Code::Pextrw_r64_xmm_imm8 => extract::<16>,
        Code::Pextrw_r32_mm_imm8 | Code::Pextrw_r64_mm_imm8 => pextrw_mm,
        Code::Pextrd_rm32_xmm_imm8
        | Code::Extractps_rm32_xmm_imm8
        | Code::Extractps_r64m32_xmm_imm8 => extract::<32>,
        Code::Pextrq_rm64_xmm_imm8 => extract::<64>,
        Code::Insertps_xmm_xmmm32_imm8 if from_memory || imm >> 6 == 0 => insertps::<0>,
        Code::Insertps_xmm_xmmm32_imm8 => match imm >> 6 {
            1 => insertps::<1>,
            2 => insertps::<2>,
            _ => insertps::<3>,
        },
        _ => return None,
    })
}

/// The low `BITS` bits.
const fn ones<const BITS: u32>() -> u64 {
    u64::MAX >> (64 - BITS)
}

/// The quadword that the immediate's element of `BITS` bits is in, and its shift in there. Bits of
/// the immediate that number no element are ignored.
fn position<const BITS: u32>(imm: u8) -> (usize, u32) {
    let index = u32::from(imm) & (128 / BITS - 1);
    let per_quad = 64 / BITS;
    ((index / per_quad) as usize, index % per_quad * BITS)
}

fn insert<const BITS: u32>(f: &mut Frame) -> Result<(), SimdFault> {
    let (quad, shift) = position::<BITS>(f.imm);
    f.dst[quad] = f.dst[quad] & !(ones::<BITS>() << shift) | (f.src[0] & ones::<BITS>()) << shift;
    Ok(())
}

fn extract<const BITS: u32>(f: &mut Frame) -> Result<(), SimdFault> {
    let (quad, shift) = position::<BITS>(f.imm);
    f.dst = [f.src[quad] >> shift & ones::<BITS>(), 0];
    Ok(())
}

fn pinsrw_mm(f: &mut Frame) -> Result<(), SimdFault> {
    f.imm &= 3;
    insert::<16>(f)
}

fn pextrw_mm(f: &mut Frame) -> Result<(), SimdFault> {
    f.imm &= 3;
    extract::<16>(f)
}

/// INSERTPS from element `FROM` of the source (0 if that is in memory).
fn insertps<const FROM: usize>(f: &mut Frame) -> Result<(), SimdFault> {
    let mut dst = doubles(f.dst);
    dst[usize::from(f.imm >> 4 & 3)] = doubles(f.src)[FROM];
    for (i, element) in dst.iter_mut().enumerate() {
        if f.imm >> i & 1 != 0 {
            *element = 0;
        }
    }
    f.dst = from_doubles(dst);
    Ok(())
}
