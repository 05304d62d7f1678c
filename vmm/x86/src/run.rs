//! The run loop.

use crate::block::Block;
use crate::code::{self, DecodedBlock};
use crate::cpu::{Cpu, Fault, slot};
use crate::exit::Unimplemented;
use crate::flags;
use crate::jit::{self, Target};
use crate::memory::PAGE_SIZE;
use crate::mmu::{Place, Raised, Res, vector};
use crate::op::{Flow, dispatch};
use crate::state::Activity;
use crate::tlb::Kind;
use crate::{Bus, CodeCache, CodeStore, Exit, Memory};

/// The longest chain of handlers. It bounds the depth of the stack if a compiler does not turn
/// their last calls into jumps.
const CHUNK: i64 = if cfg!(debug_assertions) { 1024 } else { 4096 };

/// What is executed next.
enum Found {
    /// A block of the store that the budget covers.
    Compiled(Target),
    /// A block of the cache.
    Decoded(*const Block),
}

impl Cpu {
    /// Runs at most `budget` instructions and returns why it stopped. The delivery of a fault counts
    /// as one, so that a guest that does nothing but fault comes to an end. With [`Exit::Budget`]
    /// exactly `budget` instructions were retired. A CPU that is not `Running` does not run; it returns
    /// [`Exit::Halt`].
    ///
    /// What is made of the instructions is kept in `code`, which all CPUs of a machine should share.
    pub fn run(
        &mut self,
        memory: &mut Memory,
        code: &mut CodeCache,
        bus: &mut dyn Bus,
        budget: u64,
    ) -> Exit {
        if self.system.activity != Activity::Running {
            return Exit::Halt;
        }
        let budget = budget.min(i64::MAX as u64 >> 8);
        self.attach(memory, bus);
        self.attach_code(code);
        let before = self.retired();
        self.retired_end = self.retired().wrapping_add(budget);
        self.budget = 0;
        self.reserve = budget as i64;
        let store = self.code().jit.store().clone();
        let exit = self.run_attached(&store);
        self.detach();
        // Virtual time is made of this number, so that one instruction too many would change what the guest
        // sees.
        let retired = self.retired().wrapping_sub(before);
        assert!(
            retired <= budget && (exit != Exit::Budget || retired == budget),
            "{retired} instructions were retired of {budget}, and the exit is {exit:?}"
        );
        // What is left was not retired.
        self.retired_end = self.retired();
        self.budget = 0;
        self.reserve = 0;
        exit
    }

    fn run_attached(&mut self, store: &CodeStore) -> Exit {
        self.stop = false;
        let mut entered = store.enter();
        self.enter_code();
        loop {
            if store.waiting() {
                drop(entered);
                store.settle();
                entered = store.enter();
                self.enter_code();
            }
            if self.stop {
                return Exit::Stop;
            }
            if self.attention
                && let Some(exit) = self.attend()
            {
                return exit;
            }
            let left = self.budget + self.reserve;
            debug_assert!(left >= 0, "a run retires no more than its budget");
            if left <= 0 {
                return Exit::Budget;
            }
            if self.attention && self.hits_code_breakpoint() {
                if let Some(exit) = self.deliver_debug() {
                    return exit;
                }
                // The handler may have a breakpoint on its first instruction too.
                self.budget -= 1;
                continue;
            }
            let single = self.attention && self.steps();
            self.budget = if single { 1 } else { left.min(CHUNK) };
            self.reserve = left - self.budget;
            self.no_step_trap = false;
            // Whoever overwrote code in between was in no block that could be left for it.
            self.leave = false;
            let found = self.find();
            if self.leave && found.is_ok() {
                // To note that the page is accessed has overwritten code, perhaps what was found, and
                // has taken the budget from whatever comes next.
                continue;
            }
            let before = (self.system.interrupt_shadow, self.rflags);
            if single {
                // RF covers one instruction, which itself finds it cleared.
                self.rflags &= !flags::RF;
            }
            self.follow_landings();
            let flow = match found {
                Ok(Found::Compiled(target)) => jit::start(self, target),
                Ok(Found::Decoded(block)) => self.enter_block(block),
                Err(Raised) => Flow::Fault,
            };
            // What was not executed has been given back to the budget.
            self.rest = 0;
            let exit = match flow {
                Flow::Block if single => self.stepped(before),
                Flow::Block => None,
                Flow::Halt => self.halted(single, before.1),
                Flow::Fault => self.faulted(),
            };
            if let Some(exit) = exit {
                return exit;
            }
        }
    }

    /// HLT was executed, with these flags before it.
    fn halted(&mut self, single: bool, before: u64) -> Option<Exit> {
        self.system.interrupt_shadow = 0;
        self.refresh_attention();
        // A trap that is due keeps the CPU from halting.
        if single && self.take_debug_traps(before & flags::TF != 0) {
            return self.deliver_debug();
        }
        self.system.activity = Activity::Halted;
        Some(Exit::Halt)
    }

    /// An instruction faulted, or could not be fetched.
    fn faulted(&mut self) -> Option<Exit> {
        self.system.interrupt_shadow = 0;
        self.watch_hits = 0;
        self.refresh_attention();
        if let Err(exit) = self.deliver_fault() {
            return Some(exit);
        }
        // A handler that cannot execute its first instruction would otherwise be entered again and again
        // without end.
        self.budget -= 1;
        None
    }

    /// Looks at what may change before the next instruction.
    fn attend(&mut self) -> Option<Exit> {
        if self.trap_due && self.take_debug_traps(false) {
            return self.deliver_debug();
        }
        if self.window_wanted && self.interruptible() {
            self.window_wanted = false;
            self.refresh_attention();
            return Some(Exit::InterruptWindow);
        }
        None
    }

    /// Delivers the #DB that DR6 describes.
    fn deliver_debug(&mut self) -> Option<Exit> {
        self.fault = Fault::Exception {
            vector: vector::DB,
            error: None,
        };
        self.deliver_fault().err()
    }

    /// Whether instructions have to be executed one at a time.
    fn steps(&self) -> bool {
        self.system.interrupt_shadow != 0
            || self.rflags & (flags::TF | flags::RF) != 0
            || self.system.dr[7] & 0xff != 0
    }

    /// A single instruction was executed, or an iteration of one that is repeated; `before` is the interrupt
    /// shadow and RFLAGS before it. A shadow lasts for one instruction.
    fn stepped(&mut self, before: (u8, u64)) -> Option<Exit> {
        if before.0 != 0 {
            self.system.interrupt_shadow = 0;
        }
        self.refresh_attention();
        if self.system.interrupt_shadow & 2 != 0 {
            // MOV SS and POP SS hold debug traps off until behind the next instruction.
            return None;
        }
        if self.take_debug_traps(before.1 & flags::TF != 0) {
            return self.deliver_debug();
        }
        None
    }

    /// Finds what to execute at `rip`.
    fn find(&mut self) -> Res<Found> {
        let link = self.link.take();
        let linear = self.code_linear(self.rip);
        let page = linear & !(PAGE_SIZE - 1);
        let stays = page == self.code_page;
        if stays {
            self.find_place();
        } else {
            self.enter_page(linear)?;
        }
        if link.is_none()
            && self.mode_key == jit::MODE
            && let Some(target) = self.landings.target(linear.wrapping_add(self.code_place))
            && self.budget >= i64::from(target.len)
        {
            return Ok(Found::Compiled(target));
        }
        let block = self.find_block(linear, link.filter(|_| stays))?;
        if link.is_none() {
            self.remember(block);
        }
        Ok(Found::Decoded(block))
    }

    /// Finds or decodes the block at `linear`, where `link` of the last block leads.
    fn find_block(&mut self, linear: u64, link: Option<usize>) -> Res<*const Block> {
        let key = linear.wrapping_add(self.code_add) << 4 | self.mode_key;
        if let Some(block) = self.code().blocks.fast(key) {
            self.link_to(link, block);
            return Ok(block);
        }
        let found = self.code().blocks.find(key);
        let found = match found {
            Some(block) => match self.code().blocks.second_page(block) {
                None => Some(block),
                Some(second) if self.second_page(linear)? & !(PAGE_SIZE - 1) == second => {
                    Some(block)
                }
                Some(second) => {
                    // The second page is mapped elsewhere now.
                    self.code().invalidate_page(second);
                    None
                }
            },
            None => None,
        };
        // To look for the second page may have overwritten the block.
        // SAFETY: the cache's blocks live until it is cleared.
        let found = found.filter(|&block| unsafe { (*block).valid.get() });
        let block = match found {
            Some(block) => block,
            None => self.decode(linear, key)?,
        };
        // SAFETY: as above.
        let (valid, spans) = unsafe { ((*block).valid.get(), (*block).spans) };
        assert!(valid, "the cache has only blocks whose code did not change");
        if !spans {
            self.link_to(link, block);
        }
        Ok(block)
    }

    fn link_to(&mut self, link: Option<usize>, block: *const Block) {
        if let Some(link) = link
            && !self.block.is_null()
        {
            // SAFETY: `block` is the last block executed; `decode` forgets it before it clears the
            // cache.
            unsafe { (&(*self.block).links)[link].set(block) };
        }
    }

    /// Looks up the page that instructions are fetched from.
    fn enter_page(&mut self, linear: u64) -> Res<()> {
        let offset = self.translate_code(linear)?;
        self.code_page = linear & !(PAGE_SIZE - 1);
        self.code_add = offset.wrapping_sub(linear);
        self.find_place();
        Ok(())
    }

    /// The offset in RAM of the instruction byte at `linear`.
    fn translate_code(&mut self, linear: u64) -> Res<u64> {
        let user = self.cpl == 3;
        match self.translate(linear, Kind::Execute, user)? {
            Place::Ram(offset) => Ok(offset),
            Place::Device(gpa) => Err(self.raise_unimplemented(format!(
                "code at physical address {gpa:#x}, which is not RAM"
            ))),
        }
    }

    /// The offset of the page behind the one that `linear` is in.
    fn second_page(&mut self, linear: u64) -> Res<u64> {
        let next = self.wrap_linear((linear & !(PAGE_SIZE - 1)).wrapping_add(PAGE_SIZE));
        self.translate_code(next)
    }

    /// Decodes a block, with the following page's bytes if the first instruction needs them.
    fn decode(&mut self, linear: u64, key: u64) -> Res<*const Block> {
        if self.code().blocks.full() {
            self.block = std::ptr::null();
            let (code, memory) = self.code_and_memory();
            code.clear(memory);
            self.follow_code();
        }
        let offset = key >> 4;
        let in_page = PAGE_SIZE - offset % PAGE_SIZE;
        let mode = self.mode;
        let mut bytes = [0; 16];
        let block = match self.build(key) {
            Some(block) => block,
            None => {
                let second = self.second_page(linear)?;
                // SAFETY: both ranges lie within pages of the mapping; an instruction that does not
                // fit in the page starts within its last 15 bytes.
                unsafe {
                    let first = in_page as usize;
                    std::ptr::copy_nonoverlapping(
                        self.ram.add(offset as usize),
                        bytes.as_mut_ptr(),
                        first,
                    );
                    let rest = bytes.len() - first;
                    std::ptr::copy_nonoverlapping(
                        self.ram.add(second as usize),
                        bytes.as_mut_ptr().add(first),
                        rest,
                    );
                }
                let mut block = code::build(&bytes, key, mode, 1, true)
                    .expect("sixteen bytes hold an instruction");
                block.second_page = Some(second);
                block
            }
        };
        Ok(self.insert(block))
    }

    /// Decodes a block if its first instruction does not span two pages.
    fn build(&self, key: u64) -> Option<DecodedBlock> {
        let offset = key >> 4;
        let in_page = PAGE_SIZE - offset % PAGE_SIZE;
        // SAFETY: the range lies within a page of the mapping, and nothing writes it meanwhile.
        let code =
            unsafe { std::slice::from_raw_parts(self.ram.add(offset as usize), in_page as usize) };
        code::build(code, key, self.mode, usize::MAX, true)
    }

    /// The block with `key`, which does not span two pages. Nothing is dropped for it.
    pub(crate) fn block_in_page(&mut self, key: u64) -> *const Block {
        if let Some(block) = self.code().blocks.find(key) {
            return block;
        }
        let block = self
            .build(key)
            .expect("it was decoded when it was compiled");
        self.insert(block)
    }

    /// Puts a block into the cache.
    fn insert(&mut self, block: DecodedBlock) -> *const Block {
        let (code, memory) = self.code_and_memory();
        let block = code.insert(block, memory);
        self.follow_code();
        self.follow_protections();
        block
    }

    /// Executes a block, or as much of it as the chunk's budget covers.
    fn enter_block(&mut self, block: *const Block) -> Flow {
        // SAFETY: the cache's blocks live until it is cleared, which only `decode` does.
        let len = unsafe { (*block).len };
        self.regs[slot::RIP] = self.rip;
        self.block = block;
        if self.budget >= i64::from(len) {
            crate::exec::control::warm(self, block);
            self.budget -= i64::from(len);
            // SAFETY: as above.
            return dispatch(self, unsafe { Block::start(block) });
        }
        // SAFETY: as above.
        let cut = {
            let (count, ram, mode) = (self.budget as u8, self.ram, self.mode);
            // SAFETY: as above.
            let all = self
                .code()
                .jit
                .original(block, unsafe { Block::ops(block) });
            // SAFETY: as above.
            unsafe { code::cut(block, &all, count, ram, mode) }
        };
        self.budget -= i64::from(len);
        let flow = dispatch(self, cut.start());
        // A link of the scratch block means nothing.
        self.link = None;
        self.block = std::ptr::null();
        flow
    }

    /// The error for something that is not implemented, with the instruction's bytes.
    pub(crate) fn unimplemented(&mut self, what: String) -> Exit {
        let mut bytes = Vec::new();
        let start = self.code_linear(self.rip);
        let user = self.cpl == 3;
        for n in 0..15 {
            match self.translate(self.wrap_linear(start.wrapping_add(n)), Kind::Execute, user) {
                Ok(Place::Ram(offset)) => {
                    // SAFETY: `translate` returns offsets inside the mapping.
                    bytes.push(unsafe { *self.ram.add(offset as usize) });
                }
                _ => break,
            }
        }
        let mut decoder = iced_x86::Decoder::with_ip(
            u32::from(self.mode.bits),
            &bytes,
            self.rip,
            iced_x86::DecoderOptions::NONE,
        );
        let instruction = decoder.decode();
        if instruction.len() > 0 && instruction.len() <= bytes.len() {
            bytes.truncate(instruction.len());
        }
        let what = if what.is_empty() {
            code::text(&instruction)
        } else {
            format!("{} ({what})", code::text(&instruction))
        };
        Exit::Unimplemented(Box::new(Unimplemented {
            vcpu: self.id,
            what,
            bytes,
            rip: self.rip,
            mode: self.mode.name(),
        }))
    }
}

/// Runs what needs memory and bus outside of [`Cpu::run`].
impl Cpu {
    pub(crate) fn with_attached<T>(
        &mut self,
        memory: &mut Memory,
        bus: &mut dyn Bus,
        work: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.attach(memory, bus);
        self.rest = 0;
        let result = work(self);
        self.leave = false;
        self.detach();
        result
    }
}
