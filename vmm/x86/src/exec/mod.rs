//! What instructions do.
//!
//! The files with generic handlers (`alu`, `data`, `control`, `shift`, `bits`) hold what is
//! executed all the time: every operand form has a function of its own. The others hold what is
//! executed from the decoded form of the instruction, which they look at each time.

pub(crate) mod addr;
pub(crate) mod alu;
mod area;
pub(crate) mod bits;
pub(crate) mod branch;
pub(crate) mod control;
pub(crate) mod data;
mod decoded;
pub(crate) mod far;
pub(crate) mod fpu;
pub(crate) mod guard;
pub(crate) mod integer;
pub(crate) mod muldiv;
pub(crate) mod operand;

pub(crate) mod shift;
pub(crate) mod simd;
pub(crate) mod stack;
pub(crate) mod string;
pub(crate) mod syscall;
pub(crate) mod system;

use crate::cpu::Cpu;
use crate::mmu::Res;
use crate::op::{At, Flow, fault, leave_after, next};
pub(crate) use decoded::{Decoded, Extra};

/// How an instruction ends that is executed from its decoded form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// Go on with the next instruction.
    Next,
    /// Go on with the next instruction, but not within this block: the mode, the privileges, the
    /// flags that the run loop watches or the time left may have changed.
    Sync,
    /// Go on at this instruction pointer.
    Jump(u64),
    /// Not finished: the same instruction goes on later. It has not retired.
    Again,
    /// Not finished, but what was done counts as an instruction: the same instruction goes on.
    Repeat,
    /// HLT.
    Halt,
}

/// What executes an instruction from its decoded form.
pub(crate) type DecodedFn = fn(&mut Cpu, &Decoded) -> Res<Done>;

/// Executes an instruction from its decoded form.
pub(crate) extern "sysv64-unwind" fn execute_decoded(cpu: &mut Cpu, at: At) -> Flow {
    cpu.rest = at.rest;
    cpu.next_is_plain = at.next_is_plain();
    // SAFETY: lowering puts the address of a `Decoded` of the same block here, which lives as long.
    let decoded = unsafe { &*(at.imm as *const Decoded) };
    match (decoded.func)(cpu, decoded) {
        Ok(Done::Next) if !cpu.leave => next(cpu, at),
        Ok(Done::Next | Done::Sync) => leave_after(cpu, at),
        Ok(Done::Jump(rip)) => {
            leave_after(cpu, at);
            cpu.rip = rip;
            Flow::Block
        }
        Ok(Done::Again) => {
            cpu.leave = false;
            cpu.interrupt_repetition();
            cpu.rip = cpu.rip_at(at);
            cpu.budget += i64::from(at.rest);
            Flow::Block
        }
        Ok(Done::Repeat) => {
            cpu.leave = false;
            cpu.interrupt_repetition();
            cpu.rip = cpu.rip_at(at);
            cpu.budget += i64::from(at.rest) - 1;
            Flow::Block
        }
        Ok(Done::Halt) => {
            leave_after(cpu, at);
            Flow::Halt
        }
        Err(crate::mmu::Raised) => fault(cpu, at),
    }
}

impl Cpu {
    /// A repeated instruction has done some of its iterations: whatever comes before the next one finds RF
    /// set (Intel SDM vol. 3, 18.3.1.1).
    fn interrupt_repetition(&mut self) {
        self.rflags |= crate::flags::RF;
        self.refresh_attention();
    }
}

/// Ends a block that has no branch: the next one starts behind it.
pub(crate) extern "sysv64-unwind" fn end(cpu: &mut Cpu, at: At) -> Flow {
    control::follow(cpu, at, 0)
}

/// Ends a block that was cut short to a given number of instructions; `rest` says how many of its
/// instructions were not executed.
pub(crate) extern "sysv64-unwind" fn cut(cpu: &mut Cpu, at: At) -> Flow {
    cpu.rip = cpu.rip_at(at);
    cpu.budget += i64::from(at.rest);
    Flow::Block
}

/// An instruction that the CPU does not implement.
pub(crate) extern "sysv64-unwind" fn unimplemented(cpu: &mut Cpu, at: At) -> Flow {
    cpu.fault = crate::cpu::Fault::Unimplemented(String::new());
    fault(cpu, at)
}
