//! Segments that may not be used for everything, outside of 64-bit mode (Intel SDM vol. 3, 5.3 to 5.5).
//!
//! Nearly all programs have flat segments, so that handlers add bases and look at nothing else. In front of
//! an instruction that accesses memory outside of 64-bit mode there is an operation of its own, the guard,
//! which knows the segments that the instruction uses. It has something to do only if one of them is not
//! flat: null, limited, or not writable. String instructions check each iteration themselves.

use iced_x86::{Instruction, InstructionInfoFactory, OpAccess, Register, UsedMemory};

use super::{Decoded, Extra, integer};
use crate::cpu::{Cpu, seg};
use crate::mmu::{Res, vector};
use crate::mode::{CODE, DOWNWARDS, Mode, WRITABLE, access};
use crate::op::{At, Flow, Op, fault, next, plain};
use crate::state::Segment;

/// The guard of an instruction, if it needs one, and what it points to.
pub(crate) fn of(ins: &Instruction, mode: Mode) -> Option<(Op, Decoded)> {
    if mode.bits == 64 || !mode.protected || ins.is_string_instruction() {
        return None;
    }
    let mut factory = InstructionInfoFactory::new();
    let used = factory.info(ins).used_memory().iter();
    let segments = used
        .filter(|memory| is_access(memory))
        .fold(0, |bits, memory| bits | 1 << memory.segment().number());
    if segments == 0 {
        return None;
    }
    let guarded = Decoded::new(integer::nop, Extra::None, *ins);
    let op = Op {
        dst: segments,
        ..plain(guard)
    };
    Some((op, guarded))
}

fn is_access(memory: &UsedMemory) -> bool {
    !matches!(memory.access(), OpAccess::None | OpAccess::NoMemAccess)
        && memory.segment() != Register::None
}

fn writes(memory: &UsedMemory) -> bool {
    matches!(
        memory.access(),
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}

/// Checks the accesses of the operation behind it.
extern "sysv64-unwind" fn guard(cpu: &mut Cpu, at: At) -> Flow {
    if at.dst & cpu.rough_segments == 0 {
        return next(cpu, at);
    }
    check_all(cpu, at)
}

#[cold]
#[inline(never)]
fn check_all(cpu: &mut Cpu, at: At) -> Flow {
    cpu.rest = at.rest;
    // SAFETY: the builder puts the address of a `Decoded` of the same block here, which lives as long.
    let guarded = unsafe { &*(at.imm as *const Decoded) };
    let mut factory = InstructionInfoFactory::new();
    for memory in factory.info(guarded).used_memory() {
        if is_access(memory) && cpu.check_access(memory).is_err() {
            return fault(cpu, at);
        }
    }
    next(cpu, at)
}

impl Cpu {
    fn check_access(&mut self, memory: &UsedMemory) -> Res<()> {
        let part = |register: Register| match register {
            Register::None => 0,
            register => self.read_register(register),
        };
        let index = part(memory.index()).wrapping_mul(memory.scale() as u64);
        let offset = part(memory.base())
            .wrapping_add(index)
            .wrapping_add(memory.displacement());
        let mask = match memory.address_size() {
            iced_x86::CodeSize::Code16 => 0xffff,
            _ => 0xffff_ffff,
        };
        let size = memory.memory_size().size() as u64;
        let index = memory.segment().number();
        self.check_segment(index, offset & mask, size, writes(memory))
    }

    /// Raises #GP(0), or #SS(0) for the stack, unless `size` bytes at `offset` of a segment may be read or
    /// written.
    pub(crate) fn check_segment(
        &mut self,
        index: usize,
        offset: u64,
        size: u64,
        write: bool,
    ) -> Res<()> {
        if self.rough_segments >> index & 1 == 0
            || permits(&self.system.segments[index], offset, size, write)
        {
            return Ok(());
        }
        let vector = if index == seg::SS {
            vector::SS
        } else {
            vector::GP
        };
        Err(self.raise_error(vector, 0))
    }
}

fn permits(segment: &Segment, offset: u64, size: u64, write: bool) -> bool {
    let kind = segment.access;
    // A null selector leaves nothing of a descriptor.
    if kind & access::PRESENT == 0 {
        return false;
    }
    let code = kind & CODE != 0;
    let permitted = match (code, write) {
        (true, true) => false,
        (false, false) => true,
        _ => kind & WRITABLE != 0,
    };
    let last = offset + size.max(1) - 1;
    let limit = u64::from(segment.limit);
    let inside = if !code && kind & DOWNWARDS != 0 {
        let top = if kind & access::BIG != 0 {
            0xffff_ffff
        } else {
            0xffff
        };
        offset > limit && last <= top
    } else {
        last <= limit
    };
    permitted && inside
}
