//! Branches.

use super::addr::{Addr, General};
use crate::block::Block;
use crate::cpu::{Cpu, gpr, seg, slot};
use crate::flags::Lazy;
use crate::memory::PAGE_SIZE;
use crate::op::{At, Flow, Path, Slow, access, dispatch};
use crate::word::Word;

const RSP: u8 = gpr::RSP as u8 * 8;

/// Enters `block` at `rip` if the chunk's budget covers it.
#[inline(always)]
pub(crate) fn enter(cpu: &mut Cpu, block: *const Block, rip: u64) -> Flow {
    // SAFETY: callers pass a block of the cache, which is not cleared while a chain runs.
    let next = unsafe { &*block };
    debug_assert!(
        next.valid.get(),
        "a block is entered as long as its code is what it was"
    );
    debug_assert_eq!(
        next.key,
        cpu.code_linear(cpu.mode.wrap(rip))
            .wrapping_add(cpu.code_add)
            << 4
            | cpu.mode_key,
        "the block is that of the place and the mode that it is entered at"
    );
    if cpu.budget < i64::from(next.len) {
        cpu.rip = rip;
        return Flow::Block;
    }
    warm(cpu, block);
    cpu.budget -= i64::from(next.len);
    cpu.regs[slot::RIP] = rip;
    cpu.block = block;
    next.fetch_ahead();
    // SAFETY: as above.
    dispatch(cpu, unsafe { Block::start(block) })
}

/// Counts an execution of `block`, and has it compiled when it was executed often enough.
#[inline(always)]
pub(crate) fn warm(cpu: &mut Cpu, block: *const Block) {
    // SAFETY: callers pass a block of the cache.
    let heat = unsafe { &(*block).heat };
    if heat.get() != 0 {
        heat.set(heat.get() - 1);
        if heat.get() == 0 {
            cpu.compile(block);
        }
    }
}

/// Goes on in the same page, `at.imm` bytes from the start of the block.
#[inline(always)]
pub(crate) fn follow(cpu: &mut Cpu, at: At, link: usize) -> Flow {
    let rip = cpu.regs[slot::RIP].wrapping_add(at.imm);
    // SAFETY: `block` is the block being executed.
    let next = unsafe { (*cpu.block).links[link].get() };
    // SAFETY: links lead to blocks of the cache, which is not cleared while a chain runs.
    if !next.is_null() && unsafe { (*next).valid.get() } {
        return enter(cpu, next, rip);
    }
    cpu.rip = cpu.mode.wrap(rip);
    cpu.link = Some(link);
    Flow::Block
}

/// Goes on anywhere in 64-bit mode; `links[link]` of the block `from` says where that was the last time.
#[inline(always)]
fn transfer(cpu: &mut Cpu, rip: u64, from: *const Block, link: usize) -> Flow {
    match destination(cpu, rip, from, link) {
        Some(block) => enter(cpu, block, rip),
        None => {
            cpu.rip = rip;
            Flow::Block
        }
    }
}

/// The block at `rip`, if it can be found without the page tables and without decoding.
///
/// Most branches always lead to the same block, which is then found without looking into the cache. Its
/// key says that it has not been mapped elsewhere meanwhile.
#[inline(always)]
pub(crate) fn destination(
    cpu: &mut Cpu,
    rip: u64,
    from: *const Block,
    link: usize,
) -> Option<*const Block> {
    let key = cpu.locate(rip)?;
    // SAFETY: callers pass a block of the cache, which is not cleared while a chain runs.
    let last = unsafe { &(&(*from).links)[link] };
    let guess = last.get();
    // SAFETY: as in `follow`.
    if !guess.is_null() && unsafe { (*guess).key == key && (*guess).valid.get() } {
        return Some(guess);
    }
    let block = cpu.code().blocks.fast(key)?;
    last.set(block);
    Some(block)
}

/// Goes on at `rip`, where the block is if it is known.
pub(crate) fn arrive(cpu: &mut Cpu, block: Option<*const Block>, rip: u64) -> Flow {
    match block {
        Some(block) => enter(cpu, block, rip),
        None => {
            cpu.rip = rip;
            Flow::Block
        }
    }
}

/// A direct branch to another page in 64-bit mode.
#[inline(always)]
fn leave_page(cpu: &mut Cpu, at: At) -> Flow {
    let rip = cpu.regs[slot::RIP].wrapping_add(at.imm);
    transfer(cpu, rip, cpu.block, 1)
}

/// Ends a block at the end of its page. In 64-bit mode the next page may be known.
pub(crate) extern "sysv64-unwind" fn end_of_page(cpu: &mut Cpu, at: At) -> Flow {
    let rip = cpu.regs[slot::RIP].wrapping_add(at.imm);
    if cpu.mode.bits == 64 {
        return transfer(cpu, rip, cpu.block, 0);
    }
    cpu.rip = cpu.mode.wrap(rip);
    Flow::Block
}

/// `jmp` within the page.
pub(crate) extern "sysv64-unwind" fn jmp_near(cpu: &mut Cpu, at: At) -> Flow {
    follow(cpu, at, 1)
}

/// `jmp` to another page.
pub(crate) extern "sysv64-unwind" fn jmp_far(cpu: &mut Cpu, at: At) -> Flow {
    leave_page(cpu, at)
}

/// Where a conditional branch goes when it is not taken: behind itself, which `at.disp` says
/// relative to the block's start.
#[inline(always)]
fn fall_through(cpu: &mut Cpu, at: At) -> Flow {
    let rip = cpu.regs[slot::RIP].wrapping_add(at.disp as u64);
    if rip & !(PAGE_SIZE - 1) != cpu.code_page {
        return transfer(cpu, rip, cpu.block, 0);
    }
    // SAFETY: `block` is the block being executed.
    let next = unsafe { (*cpu.block).links[0].get() };
    // SAFETY: as in `follow`.
    if !next.is_null() && unsafe { (*next).valid.get() } {
        return enter(cpu, next, rip);
    }
    cpu.rip = rip;
    cpu.link = Some(0);
    Flow::Block
}

#[inline(always)]
fn decide<const NEAR: bool>(cpu: &mut Cpu, at: At, taken: bool) -> Flow {
    if !taken {
        fall_through(cpu, at)
    } else if NEAR {
        follow(cpu, at, 1)
    } else {
        leave_page(cpu, at)
    }
}

/// `jcc` with condition `C`.
pub(crate) extern "sysv64-unwind" fn jcc<const C: u8, const NEAR: bool>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let taken = cpu.lazy.condition(C);
    decide::<NEAR>(cpu, at, taken)
}

#[inline(always)]
fn compare<const C: u8, T: Word>(a: T, b: T, r: T) -> bool {
    let base = match C >> 1 {
        0 => ((a ^ b) & (a ^ r)).wide() >> T::TOP & 1 != 0,
        1 => a < b,
        2 => a == b,
        3 => a <= b,
        4 => r.sign() < 0,
        5 => (r.wide() as u8).count_ones().is_multiple_of(2),
        6 => a.sign() < b.sign(),
        _ => a.sign() <= b.sign(),
    };
    base != (C & 1 != 0)
}

#[inline(always)]
fn cmp_jcc<const C: u8, const NEAR: bool, T: Word>(cpu: &mut Cpu, at: At, a: T, b: T) -> Flow {
    let r = T::low(a.wide().wrapping_sub(b.wide()));
    cpu.lazy = Lazy::subtracted(r, b);
    decide::<NEAR>(cpu, at, compare::<C, T>(a, b, r))
}

/// `cmp reg, reg` and `jcc`.
pub(crate) extern "sysv64-unwind" fn cmp_rr_jcc<const C: u8, const NEAR: bool, T: Word>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let (a, b) = (cpu.reg::<T>(at.dst), cpu.reg::<T>(at.src));
    cmp_jcc::<C, NEAR, T>(cpu, at, a, b)
}

/// `cmp reg, imm` and `jcc`; the immediate is in the fields of the memory operand that a fused pair
/// does not have.
pub(crate) extern "sysv64-unwind" fn cmp_ri_jcc<const C: u8, const NEAR: bool, T: Word>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let a = cpu.reg::<T>(at.dst);
    let b = T::low(at.fused_imm() as u64);
    cmp_jcc::<C, NEAR, T>(cpu, at, a, b)
}

#[inline(always)]
fn test_jcc<const C: u8, const NEAR: bool, T: Word>(cpu: &mut Cpu, at: At, r: T) -> Flow {
    cpu.lazy = Lazy::logic(r);
    let base = match C >> 1 {
        0 | 1 => false,
        2 | 3 => r.wide() == 0,
        4 | 6 => r.sign() < 0,
        5 => (r.wide() as u8).count_ones().is_multiple_of(2),
        _ => r.sign() <= 0,
    };
    decide::<NEAR>(cpu, at, base != (C & 1 != 0))
}

/// `test reg, reg` and `jcc`.
pub(crate) extern "sysv64-unwind" fn test_rr_jcc<const C: u8, const NEAR: bool, T: Word>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let r = cpu.reg::<T>(at.dst) & cpu.reg::<T>(at.src);
    test_jcc::<C, NEAR, T>(cpu, at, r)
}

/// `test reg, imm` and `jcc`.
pub(crate) extern "sysv64-unwind" fn test_ri_jcc<const C: u8, const NEAR: bool, T: Word>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let r = cpu.reg::<T>(at.dst) & T::low(at.fused_imm() as u64);
    test_jcc::<C, NEAR, T>(cpu, at, r)
}

/// Pushes the return address in 64-bit mode.
macro_rules! push_return {
    ($cpu:ident, $at:ident, $path:ident, $slow:expr) => {{
        let back = $cpu.regs[slot::RIP].wrapping_add(u64::from($at.at) + u64::from($at.len));
        let rsp = $cpu.reg::<u64>(RSP).wrapping_sub(8);
        access!(
            $cpu,
            $at,
            $path,
            $slow,
            $cpu.store_stack::<$path>(rsp, back)
        );
        $cpu.set_reg(RSP, rsp);
    }};
}

/// Ends a branch whose slow path may want to stop.
macro_rules! stop_if_asked {
    ($cpu:ident, $path:ident, $rip:expr) => {
        if $path::SLOW && $cpu.leave {
            $cpu.leave = false;
            $cpu.rip = $rip;
            // As the branch does that does not stop: why it stops may depend on what is compiled.
            $cpu.locate($rip);
            return Flow::Block;
        }
    };
}

/// `call` within the page, 64-bit mode.
pub(crate) extern "sysv64-unwind" fn call_near<P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    push_return!(cpu, at, P, call_near::<Slow>);
    stop_if_asked!(cpu, P, cpu.regs[slot::RIP].wrapping_add(at.imm));
    follow(cpu, at, 1)
}

/// `call` to another page, 64-bit mode.
pub(crate) extern "sysv64-unwind" fn call_far<P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    push_return!(cpu, at, P, call_far::<Slow>);
    stop_if_asked!(cpu, P, cpu.regs[slot::RIP].wrapping_add(at.imm));
    leave_page(cpu, at)
}

/// Checks the target of an indirect branch in 64-bit mode: #GP(0) on the branch itself if it is not
/// canonical.
macro_rules! check_target {
    ($cpu:ident, $at:ident, $rip:expr) => {
        if !crate::mmu::is_canonical($rip) {
            $cpu.rest = $at.rest;
            $cpu.raise_gp();
            return crate::op::fault($cpu, $at);
        }
    };
}

/// `jmp reg`, 64-bit mode.
pub(crate) extern "sysv64-unwind" fn jmp_r(cpu: &mut Cpu, at: At) -> Flow {
    let rip = cpu.reg::<u64>(at.src);
    check_target!(cpu, at, rip);
    transfer(cpu, rip, cpu.block, 1)
}

/// `jmp mem`, 64-bit mode.
pub(crate) extern "sysv64-unwind" fn jmp_m<A: Addr, P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    let linear = A::linear(cpu, at);
    let rip: u64 = access!(
        cpu,
        at,
        P,
        jmp_m::<General, Slow>,
        cpu.load::<u64, P>(linear)
    );
    check_target!(cpu, at, rip);
    stop_if_asked!(cpu, P, rip);
    transfer(cpu, rip, cpu.block, 1)
}

/// Calls `rip` in 64-bit mode. Processors write the return address before they look at the target: it is in
/// memory, below the stack pointer, when a target that is not canonical raises #GP(0).
macro_rules! call_to {
    ($cpu:ident, $at:ident, $path:ident, $slow:expr, $rip:expr) => {
        let rsp = $cpu.reg::<u64>(RSP);
        push_return!($cpu, $at, $path, $slow);
        if !crate::mmu::is_canonical($rip) {
            $cpu.set_reg(RSP, rsp);
        }
        check_target!($cpu, $at, $rip);
        stop_if_asked!($cpu, $path, $rip);
        return transfer($cpu, $rip, $cpu.block, 1);
    };
}

/// `call reg`, 64-bit mode.
pub(crate) extern "sysv64-unwind" fn call_r<P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    let rip = cpu.reg::<u64>(at.src);
    call_to!(cpu, at, P, call_r::<Slow>, rip);
}

/// `call mem`, 64-bit mode.
pub(crate) extern "sysv64-unwind" fn call_m<A: Addr, P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    let linear = A::linear(cpu, at);
    let rip: u64 = access!(
        cpu,
        at,
        P,
        call_m::<General, Slow>,
        cpu.load::<u64, P>(linear)
    );
    call_to!(cpu, at, P, call_m::<General, Slow>, rip);
}

/// `ret` and `ret imm16`, 64-bit mode.
pub(crate) extern "sysv64-unwind" fn ret<P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    let rsp = cpu.reg::<u64>(RSP);
    let rip: u64 = access!(cpu, at, P, ret::<Slow>, cpu.load_stack::<P>(rsp));
    check_target!(cpu, at, rip);
    cpu.set_reg(RSP, rsp.wrapping_add(8).wrapping_add(at.imm));
    stop_if_asked!(cpu, P, rip);
    transfer(cpu, rip, cpu.block, 1)
}

impl Cpu {
    /// The linear address of an instruction pointer.
    #[inline(always)]
    pub(crate) fn code_linear(&self, rip: u64) -> u64 {
        self.wrap_linear(rip.wrapping_add(self.regs[slot::SEGMENTS + seg::CS]))
    }
}
