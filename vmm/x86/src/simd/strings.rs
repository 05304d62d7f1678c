//! PCMPESTRI, PCMPESTRM, PCMPISTRI and PCMPISTRM (Intel SDM vol. 2, 4.1).

use super::rflags::{CF, OF, SF, ZF};
use super::shuffles::{bytes, from_wide, words};
use super::{Frame, Prim, Quads, SimdFault};
use iced_x86::Code;

/// The primitive of a string comparison.
pub(super) fn prim(code: Code) -> Option<Prim> {
    Some(match code {
        Code::Pcmpestri_xmm_xmmm128_imm8 => |f| index(f, explicit32),
        Code::Pcmpestri64_xmm_xmmm128_imm8 => |f| index(f, explicit64),
        Code::Pcmpistri_xmm_xmmm128_imm8 => |f| index(f, implicit),
        Code::Pcmpestrm_xmm_xmmm128_imm8 => |f| mask(f, explicit32),
        Code::Pcmpestrm64_xmm_xmmm128_imm8 => |f| mask(f, explicit64),
        Code::Pcmpistrm_xmm_xmmm128_imm8 => |f| mask(f, implicit),
        _ => return None,
    })
}

/// The elements of one operand, and how many of them are the string. Unsigned and signed elements of
/// both sizes compare alike as `i32`.
struct Text {
    elements: [i32; 16],
    length: usize,
}

/// How many elements of an operand are the string, given the operand's elements and their capacity.
type Length = fn(f: &Frame, operand: usize, elements: &[i32]) -> usize;

/// The string ends before the first zero.
fn implicit(_: &Frame, _: usize, elements: &[i32]) -> usize {
    elements
        .iter()
        .position(|&element| element == 0)
        .unwrap_or(elements.len())
}

/// The absolute value of EAX for the first operand and of EDX for the second.
fn explicit32(f: &Frame, operand: usize, elements: &[i32]) -> usize {
    let length = u64::from((f.gpr[operand] as i32).unsigned_abs());
    length.min(elements.len() as u64) as usize
}

/// The absolute value of RAX for the first operand and of RDX for the second.
fn explicit64(f: &Frame, operand: usize, elements: &[i32]) -> usize {
    let length = (f.gpr[operand] as i64).unsigned_abs();
    length.min(elements.len() as u64) as usize
}

/// How many elements an operand has: 16 bytes or 8 words.
fn capacity(imm: u8) -> usize {
    if imm & 1 == 0 { 16 } else { 8 }
}

/// Reads one operand in the format of the immediate's bits 0 and 1.
fn text(f: &Frame, operand: usize, value: Quads, length: Length) -> Text {
    let mut elements = [0; 16];
    for (i, element) in elements.iter_mut().enumerate().take(capacity(f.imm)) {
        *element = match f.imm & 3 {
            0 => i32::from(bytes(value)[i]),
            1 => i32::from(words(value)[i]),
            2 => i32::from(bytes(value)[i] as i8),
            _ => i32::from(words(value)[i] as i16),
        };
    }
    let length = length(f, operand, &elements[..capacity(f.imm)]);
    Text { elements, length }
}

/// One bit for each element of `text` for which `predicate` holds, given its index.
fn bits(count: usize, predicate: impl Fn(usize) -> bool) -> u32 {
    (0..count).fold(0, |all, i| all | u32::from(predicate(i)) << i)
}

/// The aggregation that the immediate's bits 2 and 3 select (the SDM's IntRes1). Comparisons with
/// elements outside of a string have the results of SDM vol. 2, table 4-6.
fn aggregate(imm: u8, first: &Text, second: &Text) -> u32 {
    let count = capacity(imm);
    let pattern = &first.elements[..first.length];
    let within = |j: usize| j < second.length;
    match imm >> 2 & 3 {
        0 => bits(count, |j| {
            within(j) && pattern.contains(&second.elements[j])
        }),
        1 => bits(count, |j| {
            let in_range =
                |range: &[i32]| range[0] <= second.elements[j] && second.elements[j] <= range[1];
            within(j) && pattern.chunks_exact(2).any(in_range)
        }),
        2 => bits(count, |i| match (i < first.length, within(i)) {
            (true, true) => first.elements[i] == second.elements[i],
            (one, other) => one == other,
        }),
        _ => bits(count, |j| {
            let follows = |(i, &element)| {
                j + i >= count || (within(j + i) && second.elements[j + i] == element)
            };
            pattern.iter().enumerate().all(follows)
        }),
    }
}

/// Compares the operands, sets the flags and returns the SDM's IntRes2.
fn compare(f: &mut Frame, length: Length) -> u32 {
    let first = text(f, 0, f.dst, length);
    let second = text(f, 1, f.src, length);
    let count = capacity(f.imm);
    let result = aggregate(f.imm, &first, &second)
        ^ match f.imm >> 4 & 3 {
            1 => bits(count, |_| true),
            3 => bits(count, |j| j < second.length),
            _ => 0,
        };
    let flag = |condition: bool, flag: u32| if condition { flag } else { 0 };
    f.flags = Some(
        flag(result != 0, CF)
            | flag(second.length < count, ZF)
            | flag(first.length < count, SF)
            | flag(result & 1 != 0, OF),
    );
    result
}

/// The forms that return the index of the lowest or the highest bit in ECX.
fn index(f: &mut Frame, length: Length) -> Result<(), SimdFault> {
    let result = compare(f, length);
    f.rcx = match result {
        0 => capacity(f.imm) as u64,
        _ if f.imm & 0x40 == 0 => u64::from(result.trailing_zeros()),
        _ => u64::from(result.ilog2()),
    };
    Ok(())
}

/// The forms that return the bits, or a mask of elements, in XMM0.
fn mask(f: &mut Frame, length: Length) -> Result<(), SimdFault> {
    let result = compare(f, length);
    if f.imm & 0x40 == 0 {
        f.xmm0 = [u64::from(result), 0];
        return Ok(());
    }
    let count = capacity(f.imm);
    let width = 128 / count;
    let ones = u128::MAX >> (128 - width);
    f.xmm0 = from_wide(
        (0..count)
            .filter(|i| result >> i & 1 != 0)
            .fold(0, |all, i| all | ones << (i * width)),
    );
    Ok(())
}
