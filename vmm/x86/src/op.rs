//! A decoded operation: a handler with its operands ready.

use crate::cpu::{Cpu, slot};
pub(crate) use crate::mmu::{Fast, Path, Slow};

/// What a handler tells the run loop when it leaves the chain of handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Flow {
    /// `rip` and the budget are exact; find the next block.
    Block,
    /// An exception, or something unimplemented, is described in `Cpu::fault`; `rip` is the
    /// faulting instruction's.
    Fault,
    /// HLT retired.
    Halt,
}

/// A handler. It executes one operation and then calls the next one's handler; compilers turn that
/// into a jump, and nothing depends on it, since a chain is never longer than a chunk of the
/// budget.
pub(crate) type OpFn = extern "sysv64-unwind" fn(&mut Cpu, At) -> Flow;

/// What `Op::aux` is in instructions that are executed from their decoded form, so that nobody takes them for
/// others.
pub(crate) const DECODED: u8 = 0xfe;

/// One decoded instruction, or a fused pair.
///
/// Registers are byte offsets into `Cpu::regs`, so that AH is as easy to reach as RAX.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Op {
    /// The handler.
    pub func: OpFn,
    /// Immediate operand, relative branch target, or the address of a `Decoded`.
    pub imm: u64,
    /// Displacement of the memory operand.
    pub disp: i32,
    /// First register operand.
    pub dst: u8,
    /// Second register operand.
    pub src: u8,
    /// Base register of the memory operand, or the slot that always holds zero.
    pub base: u8,
    /// Index register, or the slot that always holds zero.
    pub index: u8,
    /// Shift of the index, 0 to 3.
    pub scale: u8,
    /// The slot of the segment base that applies.
    pub seg: u8,
    /// Address size: 0, 1, 2 for 16, 32 and 64 bits; bit 7 is set if the default or overridden
    /// segment is SS, which decides between #SS and #GP.
    pub asize: u8,
    /// Instructions of the block that are not retired when this one starts.
    pub rest: u8,
    /// Offset of this instruction from the start of the block, in bytes.
    pub at: u16,
    /// Length of this instruction in bytes; of both, in a fused pair.
    pub len: u8,
    /// Whatever the handler wants: a condition code, a shift count's width.
    pub aux: u8,
}

impl Op {
    /// Whether it is an instruction that has a handler of its own: not one that is executed from its decoded
    /// form, and not what ends a block behind its last instruction.
    pub(crate) fn is_plain(&self) -> bool {
        self.len != 0 && self.aux != DECODED
    }

    /// The immediate of a comparison that is fused with a branch, which the memory operand's fields
    /// hold: base, index, scale and segment.
    #[inline(always)]
    pub(crate) fn fused_imm(&self) -> i32 {
        i32::from_le_bytes([self.base, self.index, self.scale, self.seg])
    }

    /// Sets what [`Self::fused_imm`] returns.
    pub(crate) fn set_fused_imm(&mut self, value: i32) {
        [self.base, self.index, self.scale, self.seg] = value.to_le_bytes();
    }
}

/// An operation without operands.
pub(crate) fn plain(func: OpFn) -> Op {
    Op {
        func,
        imm: 0,
        disp: 0,
        dst: 0,
        src: 0,
        base: slot::ZERO as u8 * 8,
        index: slot::ZERO as u8 * 8,
        scale: 0,
        seg: slot::ZERO as u8 * 8,
        asize: 2,
        rest: 0,
        at: 0,
        len: 0,
        aux: 0,
    }
}

/// A position in a block's operations.
///
/// It always points into the operations of a live block (or of the scratch block), in front of a
/// terminator.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct At(*const Op);

impl At {
    /// # Safety
    /// `first` points to operations that end with a terminator and outlive their execution.
    #[inline(always)]
    pub(crate) unsafe fn new(first: *const Op) -> Self {
        Self(first)
    }

    /// The operation behind this one. Terminators have none and never ask.
    #[inline(always)]
    fn following(self) -> Self {
        // SAFETY: an operation that is not a terminator has a successor in the same allocation.
        Self(unsafe { self.0.add(1) })
    }
}

impl At {
    /// Whether an instruction of the same block follows that has a handler of its own.
    pub(crate) fn next_is_plain(self) -> bool {
        self.following().is_plain()
    }
}

impl std::ops::Deref for At {
    type Target = Op;

    #[inline(always)]
    fn deref(&self) -> &Op {
        // SAFETY: the invariant of the type.
        unsafe { &*self.0 }
    }
}

/// Runs the operation at `at`.
#[inline(always)]
pub(crate) fn dispatch(cpu: &mut Cpu, at: At) -> Flow {
    (at.func)(cpu, at)
}

/// Goes on with the operation behind `at`.
#[inline(always)]
pub(crate) fn next(cpu: &mut Cpu, at: At) -> Flow {
    dispatch(cpu, at.following())
}

/// Goes on behind an operation that may have gone through the slow path, which may want to stop.
#[inline(always)]
pub(crate) fn next_after<P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    if P::SLOW && cpu.leave {
        return leave_after(cpu, at);
    }
    next(cpu, at)
}

/// Leaves the block behind the operation at `at`, which is retired.
#[cold]
pub(crate) fn leave_after(cpu: &mut Cpu, at: At) -> Flow {
    cpu.leave = false;
    cpu.rip = cpu.rip_after(at);
    cpu.budget += i64::from(at.rest) - 1;
    if at.rest == 1 && cpu.mode.bits == 64 {
        // As the end of a page does: why the block is left may depend on what is compiled.
        cpu.locate(cpu.rip);
    }
    Flow::Block
}

/// Starts the operation over in its slow body. Out of line, so that the fast body stays small.
#[cold]
#[inline(never)]
pub(crate) fn slow(cpu: &mut Cpu, at: At, body: OpFn) -> Flow {
    cpu.rest = at.rest;
    body(cpu, at)
}

/// Ends the block at `at` because of `Cpu::fault`; the operation is not retired.
#[cold]
#[inline(never)]
pub(crate) fn fault(cpu: &mut Cpu, at: At) -> Flow {
    cpu.leave = false;
    cpu.fault_is_stack = at.asize & 0x80 != 0;
    cpu.rip = cpu.rip_at(at);
    cpu.budget += i64::from(at.rest);
    Flow::Fault
}

/// Unwraps an access: on failure the fast body starts over in `$slow`, the slow body faults.
macro_rules! access {
    ($cpu:ident, $at:ident, $path:ident, $slow:expr, $access:expr) => {
        match $access {
            Ok(value) => value,
            Err(crate::mmu::Raised) => {
                return if $path::SLOW {
                    crate::op::fault($cpu, $at)
                } else {
                    crate::op::slow($cpu, $at, $slow)
                };
            }
        }
    };
}
pub(crate) use access;
