//! Compiling blocks that are executed often to the host's own instructions.
//!
//! The code of an operation does the same to the CPU's state as its handler does, byte for byte, or jumps
//! to the handler: everything that is rare or goes wrong is left to the interpreter. The two meet in the
//! operations: the handler of an operation that was compiled is replaced by its code, so that whoever
//! dispatches need not know. Nothing but flags is kept in the host's registers from one operation to
//! the next, and a block pays for its instructions when it starts, as it does when it is interpreted.
//! So when a block is compiled changes nothing but the time that it takes.
//!
//! The code is as short as it can be, because hardly any of it is in the host's first cache when it is
//! needed: what takes more than a few instructions is a stub that all blocks call.
//!
//! The code belongs to no machine: see [`store`] for what machines share, and [`bind`] for what each has of
//! its own. Where code needs what is the machine's, it looks for it in tables of the CPU.
//!
//! Blocks jump to each other directly. A jump within a page is good as long as the block that it is in,
//! because the code of a page stays good or goes as a whole. A jump to another page compares which page of
//! the store that is bound to.
//!
//! # What outlives a page, and why what is found there is right
//!
//! A page of the machine's memory is unbound when what was decoded of it is written to. What leads to its
//! code, or to what is known of it, is not looked for; each has its own reason why nobody is led astray:
//!
//! - **Code** stays where it is until the store is forgotten as a whole, which happens while nobody
//!   executes any; whoever may execute some has the store's gate and has compared the generation
//!   ([`store`]). A place in the store, a page's number there and a position, is not given out twice in a
//!   generation, and belongs to a content that does not change: equal bytes for all who share the page, or
//!   what one machine has decoded. So a place has one block at most, and that is right for whoever is bound
//!   to the page.
//! - **`bound` and `holders`** say the same in two directions and are changed together ([`Jit::unbind`]). A
//!   page that is not bound has place 0, where nothing is.
//! - **Aimed jumps** ([`Site`]) of a page to itself are executed in that page only, which is bound then;
//!   all others compare the place that they lead to, which the CPU has found for the address where it goes.
//! - **Sites** live as long as their code, and so do the **aims** that wait, which go with the store.
//! - **Landings** are addresses of code without a place, so that a return may arrive behind any call with
//!   the same hash. Each compares its place or the page in front of it, and does nothing but search if it
//!   is the wrong one. Those that are remembered are in pages that are bound: all are forgotten when one is
//!   unbound ([`Landings::follow`]), before the next block is executed.
//! - **Targets**, the cache of places, have the place beside the code ([`Landings`]).
//! - **`blocks`** has the machine's blocks by the numbers of code that is being executed; those of a page
//!   that was unbound are taken out before a page is bound, and compiled code asks only for blocks of its
//!   own page, which is bound, and is found in `holders` if nobody has asked before ([`resolve`]).
//! - **`adopted`** has valid blocks only ([`Jit::invalidate`]). A block gets code that was made from a
//!   block of the same [shape](crate::block::Shape) at the same place: all bytes that a block depends on
//!   are decoded ones.
//! - **Handlers** in the operations of a block that is not valid lead to code that may be gone. Such a
//!   block is not started: links and the cache of blocks look whether it is valid, and whoever overwrites
//!   code leaves the block that it is in behind the instruction that did it, before anything looks at it
//!   again.
//! - **Links** of blocks are looked at when they are followed: whether the block is valid, and out of the
//!   page, whether it has the right key.
//! - **`leave`** of the CPU, which asks for a block to be left, is cleared before a block is looked for:
//!   who wrote to code in between, as a walk of the page tables does or the delivery of an interrupt, was
//!   in none. What was found while that happened is looked for again, since it may be what was overwritten.
//! - **`code_place`** of the CPU is found anew when it enters a page, when code was bound, and before each
//!   chain of blocks, which ends when code was overwritten.
//! - **What memory has noted** as overwritten ([`Memory::take_overwritten`](crate::Memory)) is dropped by
//!   the CPU that wrote it, as part of the write, and before anything is executed by the CPU that runs
//!   next, if a device wrote it or an interrupt was delivered. Nobody else writes while a CPU runs, for
//!   memory is lent to that. Memory that has forgotten what was decoded of it
//!   ([`forget_code`](crate::Memory::forget_code)), or is another one, goes by another number than the
//!   cache, which drops everything then ([`CodeCache::follow`]).
//! - **`lost`** and the counts decide what is worth while.
//! - Several CPUs of a machine run one at a time, and each compares bindings and generation when it begins.
//!   Several machines share the store alone, which is changed under its lock, and code, under its gate.

#![expect(
    clippy::useless_conversion,
    reason = "the assembler converts registers that are numbers already"
)]

mod arith;
mod binary;
mod bind;
mod branch;
mod cache;
mod compile;
mod counts;
mod decoded;
mod emit;
mod field;
mod flagging;
mod integer;
mod landings;
mod link;
mod memory;
mod ops;
mod region;
mod row;
mod select;
mod sse;
mod store;
mod stubs;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::block::Block;
use crate::cpu::{Cpu, slot};
use crate::memory::PAGE_SIZE;
use crate::mode::Mode;
use crate::op::{At, Flow};
pub use cache::CodeCache;
pub use counts::CodeCounts;
pub(crate) use landings::{Landings, Target};
pub use store::CodeStore;

/// The key of the mode that code is compiled for: a place has one block, and nothing compiled is executed in
/// another mode, as every change of the mode goes by way of the run loop.
pub(crate) const MODE: u64 = Mode::LONG.key();

/// What is known of where a jump leads when it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lead {
    /// To this place: within the page, or where returns arrive.
    Place(u32),
    /// To the start of whatever page is mapped behind this page of the store: there returns from a call
    /// arrive that ends with its page.
    Behind(u32),
    /// Anywhere.
    Anywhere,
}

/// A jump from a compiled block to another block.
pub(crate) struct Site {
    /// The block that it is in.
    pub number: u32,
    /// Which of the block's links it is.
    pub link: usize,
    /// What is known of where it leads.
    pub lead: Lead,
    /// Behind its 32-bit operand.
    jump: *mut u8,
    /// Behind the operand that says which place it is for, or null if it stays in the page.
    offset: *mut u8,
    /// How often it may be aimed: one that leads to many places is not worth it.
    aims: AtomicU8,
    /// Whether it waits for being aimed.
    waits: AtomicBool,
}

impl Site {
    fn new(number: u32, link: usize, lead: Lead) -> Self {
        Self {
            number,
            link,
            lead,
            jump: std::ptr::null_mut(),
            offset: std::ptr::null_mut(),
            aims: AtomicU8::new(16),
            waits: AtomicBool::new(false),
        }
    }

    /// Whether it leads to so few places that it is worth it.
    pub(crate) fn may_be_aimed(&self) -> bool {
        self.aims.load(Ordering::Relaxed) > 0
    }

    /// Asks for it to be aimed, and tells whether nobody has done that yet.
    fn ask(&self) -> bool {
        !self.waits.swap(true, Ordering::Relaxed)
    }

    /// It has been aimed.
    fn done(&self) {
        self.waits.store(false, Ordering::Relaxed);
        if !self.offset.is_null() {
            self.aims.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Sets the operand of a relative jump.
///
/// # Safety
/// `behind` is the end of a jump with an operand of 32 bits in memory that can be written.
unsafe fn set_jump(behind: *mut u8, target: usize) {
    let distance = (target as i64).wrapping_sub(behind as i64) as i32;
    // SAFETY: the caller's promise.
    unsafe { behind.sub(4).cast::<i32>().write_unaligned(distance) };
}

/// Where a place in the page that is executed is.
pub(crate) fn rip_of(cpu: &Cpu, place: u32) -> u64 {
    let rip = u64::from(place).wrapping_sub(cpu.code_place);
    assert_eq!(
        rip & !(PAGE_SIZE - 1),
        cpu.code_page,
        "compiled code is executed where its page is"
    );
    rip
}

impl Cpu {
    /// Compiles a block that has been executed often enough.
    #[cold]
    #[inline(never)]
    pub(crate) fn compile(&mut self, block: *const Block) {
        let (code, memory) = self.code_and_memory();
        code.compile(block, memory);
        self.follow_code();
    }
}

/// Enters a block of the store. The budget covers it.
pub(crate) fn start(cpu: &mut Cpu, target: Target) -> Flow {
    type Start = extern "sysv64-unwind" fn(&mut Cpu, *const u8) -> Flow;
    let stubs = stubs::stubs().expect("what is in the store was compiled");
    // SAFETY: the stub is a function of this type, and the target an entry of the code that the CPU has
    // entered.
    let start = unsafe { std::mem::transmute::<usize, Start>(stubs.start) };
    start(cpu, target.entry)
}

/// The machine's block with a number: compiled code of a bound page may get to blocks that the machine has
/// not decoded.
pub(crate) fn resolve(cpu: &mut Cpu, number: u32) -> *const Block {
    cpu.code().jit.resolve(number).unwrap_or_else(|start| {
        let block = cpu.block_in_page(start | cpu.mode_key);
        cpu.code().jit.attach(block, number);
        cpu.follow_code();
        block
    })
}

/// A stub that would have come back to `address` failed: the handler takes over.
extern "sysv64-unwind" fn give_up(cpu: &mut Cpu, address: usize) -> Flow {
    let store = cpu.code().jit.store().clone();
    let inner = store.inner();
    let (number, index) = inner.caller(address);
    let compiled = inner.block(number);
    let (place, handler) = (compiled.place, compiled.handlers[index]);
    drop(inner);
    cpu.regs[slot::RIP] = rip_of(cpu, place);
    // What ends a block looks at it.
    let block = resolve(cpu, number);
    cpu.block = block;
    // SAFETY: the block has as many operations as the one that was compiled, and lives as long as it is
    // executed.
    let at = unsafe { At::new(bind::operation(block, index)) };
    handler(cpu, at)
}

/// The host address of an access that the TLB does not know, or null if it is left to the handler.
extern "sysv64" fn reach(cpu: &mut Cpu, linear: u64, access: u32) -> *mut u8 {
    cpu.reach(linear, u64::from(access as u8), access >> 8 != 0)
        .unwrap_or(std::ptr::null_mut())
}

/// [`resolve`] for compiled code.
extern "sysv64" fn resolve_slowly(cpu: &mut Cpu, number: u32) -> *const Block {
    resolve(cpu, number)
}

/// A jump within the page that does not lead to a compiled block yet.
extern "sysv64-unwind" fn link_near(cpu: &mut Cpu, site: *const Site) -> Flow {
    // SAFETY: compiled code passes a site of its own.
    link::link_near(cpu, unsafe { &*site })
}

/// A jump to another page that does not lead to a compiled block yet, or not to the one that is there now.
/// `rip` is where it leads.
extern "sysv64-unwind" fn link_far(cpu: &mut Cpu, site: *const Site, rip: u64) -> Flow {
    // SAFETY: compiled code passes a site of its own.
    link::link_far(cpu, unsafe { &*site }, rip)
}
