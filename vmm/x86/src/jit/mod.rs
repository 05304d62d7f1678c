//! Compiling blocks that are executed often to the host's own instructions.
//!
//! The code of an operation does the same to the CPU's state as its handler does, byte for byte, or jumps
//! to the handler: everything that is rare or goes wrong is left to the interpreter. The two meet in the
//! operations: the handler of an operation that was compiled is replaced by its code, so that whoever
//! dispatches need not know. Nothing is kept in the host's registers from one operation to the next, and a
//! block pays for its instructions when it starts, as it does when it is interpreted. So when a block is
//! compiled changes nothing but the time that it takes.
//!
//! Blocks jump to each other directly. A jump within a page is good as long as the block that it is in,
//! because all blocks of a page are dropped together. A jump to another page compares where that page is
//! in memory, and forgets it when the block there is dropped.

#![expect(
    clippy::useless_conversion,
    reason = "the assembler converts registers that are numbers already"
)]

mod arith;
mod branch;
mod compile;
mod emit;
mod field;
mod landings;
mod memory;
mod ops;
mod rares;
mod region;
mod select;
mod stubs;
mod uncommon;
mod wide;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Memory;
use crate::code::Block;
use crate::cpu::Cpu;
use crate::exec::control;
use crate::op::{Op, OpFn};
pub(crate) use landings::Landings;
use region::Region;

/// The compiled code of a machine.
pub(crate) struct Jit {
    /// What is usually executed.
    hot: Region,
    /// What is not.
    cold: Region,
    compiled: BTreeMap<*const Block, Compiled>,
    #[expect(
        clippy::vec_box,
        reason = "code points to the elements, so they must not move"
    )]
    sites: Vec<Box<Site>>,
    /// After how many executions a block is compiled; 0 for never.
    after: u8,
    /// What no other code has had, of this machine or another.
    generation: u64,
}

fn new_generation() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// What is known of a compiled block.
struct Compiled {
    /// Where jumps from other blocks lead.
    entry: *mut u8,
    /// The handlers of its operations before they were replaced.
    handlers: Box<[OpFn]>,
    /// The jumps from other pages that lead here.
    incoming: BTreeSet<*const Site>,
}

/// A jump from a compiled block to another block.
pub(crate) struct Site {
    /// The block that it is in.
    pub block: *const Block,
    /// Which of the block's links it is.
    pub link: usize,
    /// Behind its 32-bit operand.
    jump: *mut u8,
    /// Behind the operand that says which offset it is for, or null if it stays in the page.
    offset: *mut u8,
    /// Where it leads if it is where returns arrive: the offset in the host mapping.
    pub place: Option<u64>,
    /// How often it may be aimed: one that leads to many places is not worth it.
    aims: Cell<u8>,
}

impl Site {
    fn new(block: *const Block, link: usize, place: Option<u64>) -> Self {
        Self {
            block,
            link,
            place,
            jump: std::ptr::null_mut(),
            offset: std::ptr::null_mut(),
            aims: Cell::new(16),
        }
    }
}

impl Jit {
    pub(crate) fn new() -> Self {
        Self {
            hot: Region::default(),
            cold: Region::default(),
            compiled: BTreeMap::new(),
            sites: Vec::new(),
            after: Memory::COMPILE_AFTER,
            generation: new_generation(),
        }
    }

    /// After how many executions a block is compiled.
    pub(crate) fn after(&self) -> u8 {
        self.after
    }

    /// Sets after how many executions blocks that are decoded from now on are compiled; 0 for never.
    pub(crate) fn set_after(&mut self, after: u8) {
        self.after = after;
    }

    /// Whether there is no room for more.
    pub(crate) fn full(&self) -> bool {
        self.hot.full() || self.cold.full()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.compiled.clear();
        self.sites.clear();
        self.hot = Region::default();
        self.cold = Region::default();
        self.generation = new_generation();
    }

    /// What changes when code is forgotten, and differs from any other machine's.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The operations of a block with the handlers that they had when it was decoded.
    pub(crate) fn original(&self, block: *const Block, ops: &[Op]) -> Vec<Op> {
        let mut ops = ops.to_vec();
        if let Some(compiled) = self.compiled.get(&block) {
            for (op, handler) in ops.iter_mut().zip(&compiled.handlers) {
                op.func = *handler;
            }
        }
        ops
    }

    /// Lets nobody jump to `block` any more.
    pub(crate) fn invalidate(&mut self, block: *const Block) {
        let Some(compiled) = self.compiled.remove(&block) else {
            return;
        };
        let Some(stubs) = stubs::stubs() else {
            return;
        };
        for site in compiled.incoming {
            // SAFETY: sites live until `clear`, and their code as long.
            unsafe { (*site).offset.sub(4).cast::<i32>().write_unaligned(-1) };
        }
        // SAFETY: the entry is longer than the jump that replaces its beginning.
        unsafe {
            let behind = compiled.entry.add(5);
            compiled.entry.write(0xe9);
            set_jump(behind, stubs.exit);
        }
    }

    /// Lets the jump at `site` lead straight to `target`, if that is compiled.
    pub(crate) fn aim(&mut self, site: *const Site, target: *const Block) {
        // SAFETY: `site` and `target` live until `clear`.
        if unsafe { (*site).aims.get() == 0 || (*target).heat.get() != 0 } {
            return;
        }
        let Some(compiled) = self.compiled.get_mut(&target) else {
            return;
        };
        // SAFETY: sites live until `clear`, and so does their code; `target` is a block of the cache.
        let (site, key) = unsafe { (&*site, (*target).key) };
        if site.offset.is_null() {
            // SAFETY: a site's positions are in its code.
            return unsafe { set_jump(site.jump, compiled.entry as usize) };
        }
        let Ok(place) = i32::try_from(key >> 4) else {
            return;
        };
        if site.aims.get() > 0 {
            site.aims.set(site.aims.get() - 1);
            compiled.incoming.insert(site);
            // SAFETY: as above.
            unsafe {
                set_jump(site.jump, compiled.entry as usize);
                site.offset.sub(4).cast::<i32>().write_unaligned(place);
            }
        }
    }

    /// Compiles a block whose instructions are `code`.
    fn compile(&mut self, block: *const Block, code: &[u8]) -> Option<()> {
        let places = (self.hot.place()?, self.cold.place()?);
        // SAFETY: `block` is a block of the cache, which is not cleared meanwhile.
        let ops = unsafe { Block::ops(block) };
        let handlers = ops.iter().map(|op| op.func).collect();
        let made = compile::compile(block, ops, code, places)?;
        let (hot, cold) = places;
        self.hot.fill(&made.hot);
        self.cold.fill(&made.cold);
        for (behind, tail) in made.jumps {
            // SAFETY: the positions are in the code, behind jumps.
            unsafe { set_jump(hot.add(behind), cold as usize + tail) };
        }
        for mut exit in made.exits {
            // SAFETY: both are positions in the code.
            unsafe {
                exit.site.jump = hot.add(exit.jump);
                if let Some(offset) = exit.offset {
                    exit.site.offset = hot.add(offset);
                }
            }
            self.sites.push(exit.site);
        }
        for (index, entry) in made.entries {
            // SAFETY: nobody else looks at the operations now, of which `index` is one; the entries are
            // positions in the code, which keeps to the calling convention of handlers.
            unsafe {
                let op = block.add(1).cast::<Op>().cast_mut().add(index);
                let entry: *const u8 = cold.add(entry);
                (*op).func = std::mem::transmute::<*const u8, OpFn>(entry);
            }
        }
        let compiled = Compiled {
            entry: hot,
            handlers,
            incoming: BTreeSet::new(),
        };
        self.compiled.insert(block, compiled);
        Some(())
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

/// A block has been executed often enough.
#[cold]
#[inline(never)]
pub(crate) fn compile(cpu: &mut Cpu, block: *const Block) {
    let ram = cpu.ram;
    // SAFETY: callers pass a block of the cache, which is not cleared meanwhile.
    let (key, spans, bytes) = unsafe { ((*block).key, (*block).spans, (*block).bytes) };
    // Only 64-bit mode: a quarter of its number of bits is in the key.
    if spans || key & 3 != 2 {
        return;
    }
    // SAFETY: a block that does not span two pages lies within a page of the mapping.
    let code =
        unsafe { std::slice::from_raw_parts(ram.add((key >> 4) as usize), usize::from(bytes)) };
    cpu.memory().cache.jit.compile(block, code);
}

/// A jump within the page that does not lead to a compiled block yet.
extern "sysv64-unwind" fn link_near(cpu: &mut Cpu, site: *const Site) -> crate::op::Flow {
    // SAFETY: compiled code passes a site of its own.
    control::link_near(cpu, unsafe { &*site })
}

/// A jump to another page that does not lead to a compiled block yet, or not to the one that is there now.
/// `rip` is where it leads.
extern "sysv64-unwind" fn link_far(cpu: &mut Cpu, site: *const Site, rip: u64) -> crate::op::Flow {
    // SAFETY: compiled code passes a site of its own.
    control::link_far(cpu, unsafe { &*site }, rip)
}
