//! Repeated string instructions, between whose iterations makes differ.

use iced_x86::{Mnemonic as M, OpKind};

use super::{Before, TF_TO_RF};
use crate::builder::{RAX, RCX, RDI, RSI};
use crate::make::Departure;
use crate::state::Outcome;

/// Carries out what differs in a repeated string instruction. A case shows one thing at a time, but for a
/// trap behind an iteration of a comparison, which shows both RF and the flags.
pub fn depart(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    let narrow = narrow(before, outcome);
    let unfinished = outcome.regs.rip == before.case.regs.rip;
    let iterated = count(before, outcome.regs.gpr[RCX]) != count(before, before.case.regs.gpr[RCX]);
    let mut met = narrow;
    if unfinished && iterated && is_comparison(before) {
        let flags = flags_of_last(before, outcome)?;
        outcome.regs.rflags = outcome.regs.rflags & !0x8d5 | flags;
        met = Some(Departure::FlagsInRepetition);
    }
    if unfinished && outcome.vector == 1 {
        outcome.regs.rflags &= !TF_TO_RF;
        met = met.or(Some(Departure::TrapInRepetition));
    }
    met
}

fn is_comparison(before: &Before) -> bool {
    matches!(
        before.instruction.mnemonic(),
        M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq | M::Scasb | M::Scasw | M::Scasd | M::Scasq
    )
}

/// Whether addresses have 32 bits in 64-bit mode.
fn is_narrow(before: &Before) -> bool {
    let instruction = &before.instruction;
    before.case.bits == 64
        && (0..instruction.op_count()).any(|i| {
            matches!(
                instruction.op_kind(i),
                OpKind::MemorySegESI | OpKind::MemorySegEDI | OpKind::MemoryESEDI
            )
        })
}

fn count(before: &Before, rcx: u64) -> u64 {
    let narrow = is_narrow(before) || before.case.bits == 32;
    if narrow { rcx & 0xffff_ffff } else { rcx }
}

fn narrow(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    let old = &before.case.regs.gpr;
    let nothing_done = count(before, old[RCX]) == count(before, outcome.regs.gpr[RCX]);
    let refused = matches!(outcome.vector, 6 | 13)
        && matches!(
            before.instruction.mnemonic(),
            M::Insb | M::Insw | M::Insd | M::Outsb | M::Outsw | M::Outsd
        );
    if !is_narrow(before) || !nothing_done || refused {
        return None;
    }
    for register in [RCX, RSI, RDI] {
        outcome.regs.gpr[register] = old[register];
    }
    Some(Departure::NarrowRepetition)
}

/// The arithmetic flags of the comparison that was made last.
fn flags_of_last(before: &Before, outcome: &Outcome) -> Option<u64> {
    let size = before.instruction.memory_size().size();
    let step = if before.case.regs.rflags & 1 << 10 == 0 {
        size as u64
    } else {
        (size as u64).wrapping_neg()
    };
    let narrow = is_narrow(before) || before.case.bits == 32;
    let at = |register: usize, base: u64| {
        let index = outcome.regs.gpr[register].wrapping_sub(step);
        let index = if narrow { index & 0xffff_ffff } else { index };
        index.wrapping_add(base)
    };
    let value = |address: u64| {
        let mut bytes = before.read(address, size)?;
        bytes.resize(8, 0);
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let scans = matches!(
        before.instruction.mnemonic(),
        M::Scasb | M::Scasw | M::Scasd | M::Scasq
    );
    let a = if scans {
        before.case.regs.gpr[RAX]
    } else {
        let base = match before.instruction.memory_segment() {
            iced_x86::Register::FS => before.case.regs.fs_base,
            iced_x86::Register::GS => before.case.regs.gs_base,
            _ => 0,
        };
        value(at(RSI, base))?
    };
    let b = value(at(RDI, 0))?;
    Some(flags_of_difference(a, b, 8 * size as u32))
}

/// CF, PF, AF, ZF, SF and OF of `a - b` in so many bits.
fn flags_of_difference(a: u64, b: u64, bits: u32) -> u64 {
    let mask = u64::MAX >> (64 - bits);
    let (a, b) = (a & mask, b & mask);
    let difference = a.wrapping_sub(b) & mask;
    let top = |value: u64| value >> (bits - 1) & 1;
    u64::from(a < b)
        | u64::from((difference as u8).count_ones().is_multiple_of(2)) << 2
        | u64::from(a & 15 < b & 15) << 4
        | u64::from(difference == 0) << 6
        | top(difference) << 7
        | top((a ^ b) & (a ^ difference)) << 11
}

#[test]
fn flags_of_a_difference_are_those_of_cmp() {
    assert_eq!(flags_of_difference(1, 1, 8), 0x44);
    assert_eq!(flags_of_difference(0, 1, 16), 0x95);
    assert_eq!(flags_of_difference(0x80, 1, 8), 0x810);
    assert_eq!(flags_of_difference(0x1_0000_0000, 0, 32), 0x44);
}
