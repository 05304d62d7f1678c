//! Follows a program instruction by instruction on the emulated CPU, to know where it goes and
//! which flags are undefined where.

use chaosrun_x86::CpuState;
use iced_x86::{Instruction, Mnemonic as M, OpKind, Register, RflagsBits};

use crate::builder::{self, RCX};
use crate::emulated::Emulated;
use crate::state::{Case, Outcome};
use crate::{makes, obstacles};

const CF: u64 = 1;
const PF: u64 = 1 << 2;
const AF: u64 = 1 << 4;
const ZF: u64 = 1 << 6;
const SF: u64 = 1 << 7;
const OF: u64 = 1 << 11;
const ALL: u64 = CF | PF | AF | ZF | SF | OF;

/// More instructions than a program executes that ends by itself.
const PATIENCE: u64 = 500;

/// What following a program to its end found out.
#[derive(Debug, Clone)]
pub struct Trace {
    /// How it ended.
    pub outcome: Outcome,
    /// The flags that the last writers left undefined.
    pub undefined: u64,
    /// How many instructions were executed.
    pub steps: u64,
}

/// Why a program can't be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reject {
    /// The instruction at this address reads an undefined flag.
    ReadsUndefined(u64),
    /// It leaves its code, or takes too long.
    Escapes(u64),
    /// It is too long for its place.
    TooLong,
    /// The emulated CPU didn't end in an exception, for this reason.
    Broken(String),
    /// The host's processor does something else than the modelled one in the instruction at this address, or
    /// its kernel does: the instruction's own test knows what.
    Departs(u64),
}

/// Follows the program of `case`, which has been loaded.
pub fn follow(emulated: &mut Emulated, case: &Case, background: &[u8]) -> Result<Trace, Reject> {
    let mut undefined = 0;
    // What is undefined once the current instruction has retired, which it doesn't if it faults.
    let mut next = 0;
    let mut steps = 0;
    let mut reject = None;
    let result = emulated.execute_seeing(case, background, |state, window| {
        let at = state.rip.wrapping_sub(case.regs.rip) as usize;
        if at > case.bytes.len() {
            // What follows is the handler of an exception.
            if state.rip < 1 << 63 {
                reject = Some(Reject::Escapes(state.rip));
                return None;
            }
            return Some(1);
        }
        undefined = next;
        if at == case.bytes.len() {
            return Some(1);
        }
        let instruction = builder::decode(&case.bytes[at..], state.rip, case.bits);
        if bits(instruction.rflags_read()) & undefined != 0 {
            reject = Some(Reject::ReadsUndefined(state.rip));
            return None;
        }
        if departs(&instruction, state, window) {
            reject = Some(Reject::Departs(state.rip));
            return None;
        }
        steps += 1;
        if steps > PATIENCE {
            reject = Some(Reject::Escapes(state.rip));
            return None;
        }
        next = undefined_after(&instruction, state.gpr[RCX], undefined);
        Some(1)
    });
    match (reject, result) {
        (Some(reject), _) => Err(reject),
        (None, Err(why)) => Err(Reject::Broken(why)),
        (None, Ok(outcome)) => Ok(Trace {
            // A single-step trap comes behind the instruction.
            undefined: if outcome.vector == 1 { next } else { undefined },
            outcome,
            steps,
        }),
    }
}

/// Whether an instruction cannot be part of a program on this host.
fn departs(instruction: &Instruction, state: &CpuState, window: &dyn Fn(u64) -> [u64; 2]) -> bool {
    let address = (0..instruction.op_count())
        .find(|i| instruction.op_kind(*i) == OpKind::Memory)
        .and_then(|i| {
            instruction.virtual_address(i, 0, |register, _, _| match register {
                Register::FS => Some(state.segments[4].base),
                Register::GS => Some(state.segments[5].base),
                _ if register.is_segment_register() => Some(0),
                _ => Some(
                    state.gpr[register.full_register().number()]
                        & (u64::MAX >> (64 - 8 * register.size())),
                ),
            })
        });
    if let Some(address) = address
        && obstacles::splits_lock(instruction, address)
    {
        return true;
    }
    if !matches!(instruction.mnemonic(), M::Dpps | M::Dppd) {
        return false;
    }
    let dst = state.xmm[instruction.op0_register().number()];
    let src = match (instruction.op1_kind(), address) {
        (OpKind::Register, _) => state.xmm[instruction.op1_register().number()],
        (_, Some(address)) => window(address),
        (_, None) => return false,
    };
    makes::sum_differs(instruction, dst, src, state.mxcsr)
}

/// The flags that are undefined behind an instruction if those of `before` were in front of it.
pub fn undefined_after(instruction: &Instruction, rcx: u64, before: u64) -> u64 {
    if let Some((count, size)) = shift(instruction, rcx) {
        let overflow = if count > 1 { OF } else { 0 };
        let rotates = matches!(instruction.mnemonic(), M::Rol | M::Ror | M::Rcl | M::Rcr);
        if count == 0 {
            return before;
        }
        if matches!(instruction.mnemonic(), M::Rcl | M::Rcr) && count % (size + 1) == 0 {
            // All the way round: the carry flag is back where it was.
            return before | overflow;
        }
        if rotates {
            return before & !(CF | OF) | overflow;
        }
        return match instruction.mnemonic() {
            M::Shld | M::Shrd if count > size => ALL,
            M::Shl | M::Sal | M::Shr if count >= size => AF | CF | overflow,
            _ => AF | overflow,
        };
    }
    before & !bits(instruction.rflags_modified()) | bits(instruction.rflags_undefined())
}

/// The masked count and the operand's bits if the instruction is a shift or a rotation.
fn shift(instruction: &Instruction, rcx: u64) -> Option<(u64, u64)> {
    let shifts = matches!(
        instruction.mnemonic(),
        M::Rol | M::Ror | M::Rcl | M::Rcr | M::Shl | M::Sal | M::Shr | M::Sar | M::Shld | M::Shrd
    );
    if !shifts {
        return None;
    }
    let count = match instruction.op_kind(instruction.op_count() - 1) {
        OpKind::Immediate8 => u64::from(instruction.immediate8()),
        _ => rcx,
    };
    let size = 8 * match instruction.op0_kind() {
        OpKind::Register => instruction.op0_register().size() as u64,
        _ => instruction.memory_size().size() as u64,
    };
    Some((count & if size == 64 { 63 } else { 31 }, size))
}

/// The arithmetic flags of a set in iced-x86's encoding, in that of RFLAGS.
fn bits(set: u32) -> u64 {
    [
        (RflagsBits::CF, CF),
        (RflagsBits::PF, PF),
        (RflagsBits::AF, AF),
        (RflagsBits::ZF, ZF),
        (RflagsBits::SF, SF),
        (RflagsBits::OF, OF),
    ]
    .into_iter()
    .filter(|(bit, _)| set & bit != 0)
    .fold(0, |bits, (_, flag)| bits | flag)
}
