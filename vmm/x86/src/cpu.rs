//! The CPU: its state, its caches and what the machine does with it from outside.

use std::ptr::{NonNull, null};

use crate::block::Block;
use crate::flags::{self, Lazy};
use crate::jit::{CodeCache, Landings};
use crate::memory::PAGE_SIZE;
use crate::memory::ProtectionCursor;
use crate::mode::Mode;
use crate::op::At;
use crate::state::{Activity, CpuState, Msrs, Segment, TableRegister, X87};
use crate::tlb::{self, Tlb};
use crate::{Access, Bus, CpuModel, Memory};

/// Positions in [`Cpu::regs`] behind the sixteen general registers.
pub(crate) mod slot {
    /// Always zero: the base or index of a memory operand that has none.
    pub(crate) const ZERO: usize = 16;
    /// The instruction pointer at the start of the current block.
    pub(crate) const RIP: usize = 17;
    /// The segment bases that address generation adds: ES, CS, SS, DS, FS, GS.
    pub(crate) const SEGMENTS: usize = 18;
    /// How many slots there are.
    pub(crate) const COUNT: usize = 24;
}

/// General registers by their encoding.
pub(crate) mod gpr {
    pub(crate) const RAX: usize = 0;
    pub(crate) const RCX: usize = 1;
    pub(crate) const RDX: usize = 2;
    pub(crate) const RBX: usize = 3;
    pub(crate) const RSP: usize = 4;
    pub(crate) const RBP: usize = 5;
    pub(crate) const RSI: usize = 6;
    pub(crate) const RDI: usize = 7;
}

/// Segment registers by their encoding.
pub(crate) mod seg {
    pub(crate) const ES: usize = 0;
    pub(crate) const CS: usize = 1;
    pub(crate) const SS: usize = 2;
    pub(crate) const DS: usize = 3;
    pub(crate) const FS: usize = 4;
    pub(crate) const GS: usize = 5;
}

/// What stopped an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An exception with its vector, its error code if it has one, and CR2 for a page fault.
    Exception { vector: u8, error: Option<u32> },
    /// A memory operand with a non-canonical address: #SS or #GP, as the operand decides.
    NotCanonical,
    /// The CPU does not implement what the guest asks for.
    Unimplemented(String),
}

/// System registers that no hot path reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct System {
    pub segments: [Segment; 6],
    pub ldtr: Segment,
    pub tr: Segment,
    pub gdtr: TableRegister,
    pub idtr: TableRegister,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub xcr0: u64,
    pub dr: [u64; 8],
    pub msrs: Msrs,
    pub activity: Activity,
    pub interrupt_shadow: u8,
    pub nmi_blocked: bool,
}

/// One virtual CPU.
#[repr(C)]
pub struct Cpu {
    /// The general registers and the slots behind them.
    pub(crate) regs: [u64; slot::COUNT],
    pub(crate) lazy: Lazy,
    /// Instructions left in the current chunk; a block takes its length when it starts.
    pub(crate) budget: i64,
    /// What to add to a linear address in the page that instructions come from to get its place in the store
    /// of compiled code; that place is below the size of a page if the page is not bound.
    pub(crate) code_place: u64,
    /// Host address of offset 0 of guest RAM. Like the next pointers, set by `attach`.
    pub(crate) ram: *mut u8,
    pub(crate) tlb_read: *const tlb::Entry,
    pub(crate) tlb_write: *const tlb::Entry,
    pub(crate) tlb_execute: *const tlb::Entry,
    /// The block being executed.
    pub(crate) block: *const Block,
    /// Where returns to compiled code lead.
    pub(crate) landings: Landings,
    /// The page that instructions come from, or `u64::MAX`.
    pub(crate) code_page: u64,
    /// What to add to a linear address in it to get its offset in the host mapping.
    pub(crate) code_add: u64,
    /// The store's pages that the pages of RAM are bound to.
    pub(crate) bound: *const u32,
    /// The machine's blocks by the store's numbers.
    pub(crate) blocks: *const *const Block,
    /// All ones in 64-bit mode; 32 bits otherwise.
    pub(crate) linear_mask: u64,
    pub(crate) mode: Mode,
    /// `mode.key()`, which every branch out of its page needs.
    pub(crate) mode_key: u64,
    pub(crate) cpl: u8,
    /// Segments that refuse some accesses, a bit for each: see `exec::guard`.
    pub(crate) rough_segments: u8,
    /// A slow path wants the block to end after the current instruction.
    pub(crate) leave: bool,
    /// The bus wants `run` to return.
    pub(crate) stop: bool,
    /// Something has to be looked at before each block: a shadow, single-stepping, a window.
    pub(crate) attention: bool,
    /// The instruction pointer while no block runs.
    pub(crate) rip: u64,
    /// RFLAGS but for the arithmetic flags; bit 1 is set.
    pub(crate) rflags: u64,
    /// Instructions of the running block that are not retired yet, as of the last slow path.
    pub(crate) rest: u8,
    /// Whether an operation with a handler of its own follows the one that is being executed from its decoded
    /// form.
    pub(crate) next_is_plain: bool,
    /// The link of `block` to be set once the next block is known.
    pub(crate) link: Option<usize>,
    /// The budget that is not in the current chunk.
    pub(crate) reserve: i64,
    /// `retired` as it will be when budget and reserve are used up.
    pub(crate) retired_end: u64,
    /// Bytes moved by string instructions that are not yet paid for.
    pub(crate) string_bytes: u64,
    pub(crate) xmm: [[u64; 2]; 16],
    pub(crate) mxcsr: u32,
    pub(crate) x87: X87,
    pub(crate) system: System,
    pub(crate) fault: Fault,
    pub(crate) fault_is_stack: bool,
    pub(crate) window_wanted: bool,
    /// Accesses to the bus since power-on; only differences count.
    pub(crate) bus_calls: u64,
    /// Data breakpoints that the current instruction has hit, or a MOV SS in front of it.
    pub(crate) watch_hits: u8,
    /// The current instruction (SYSCALL, INT n) swallows the single-step trap behind it.
    pub(crate) no_step_trap: bool,
    /// A single-step trap is due because of what SYSCALL or SYSRET put into TF.
    pub(crate) trap_due: bool,
    /// The #DB being delivered does not set RF in its frame.
    pub(crate) debug_trap: bool,
    /// A walk of the page tables fails where it would change code.
    pub(crate) spares_code: bool,
    pub(crate) tlb: Box<Tlb>,
    pub(crate) cursor: ProtectionCursor,
    pub(crate) model: CpuModel,
    pub(crate) id: u32,
    pub(crate) memory: Option<NonNull<Memory>>,
    pub(crate) code: Option<NonNull<CodeCache>>,
    pub(crate) bus: Option<NonNull<dyn Bus>>,
}

// SAFETY: the pointers are set by `attach` and used only while the borrows it was given last; they
// are never followed between runs.
unsafe impl Send for Cpu {}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cpu")
            .field("id", &self.id)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Cpu {
    /// A CPU after power-on reset (Intel SDM vol. 3, table 10-1). `id` is its index and APIC ID.
    /// CPU 0 runs; the others wait for a start-up IPI.
    pub fn new(id: u32, model: CpuModel) -> Self {
        let tlb = Tlb::new();
        let mut cpu = Self {
            regs: [0; slot::COUNT],
            lazy: Lazy::default(),
            budget: 0,
            ram: std::ptr::null_mut(),
            tlb_read: null(),
            tlb_write: null(),
            tlb_execute: null(),
            block: null(),
            landings: Landings::new(),
            code_page: u64::MAX,
            code_add: 0,
            code_place: 0,
            bound: null(),
            blocks: null(),
            linear_mask: u64::from(u32::MAX),
            mode: Mode::default(),
            mode_key: 0,
            cpl: 0,
            rough_segments: 0,
            leave: false,
            stop: false,
            attention: false,
            rip: 0,
            rflags: 2,
            rest: 0,
            next_is_plain: false,
            link: None,
            reserve: 0,
            retired_end: 0,
            string_bytes: 0,
            xmm: [[0; 2]; 16],
            mxcsr: 0x1f80,
            x87: X87::default(),
            system: System::default(),
            fault: Fault::NotCanonical,
            fault_is_stack: false,
            window_wanted: false,
            bus_calls: 0,
            watch_hits: 0,
            no_step_trap: false,
            trap_due: false,
            debug_trap: false,
            spares_code: false,
            tlb,
            cursor: ProtectionCursor::default(),
            model,
            id,
            memory: None,
            code: None,
            bus: None,
        };
        let mut state = crate::reset::power_on(&cpu.model);
        if id != 0 {
            state.activity = Activity::WaitForSipi;
        }
        cpu.set_state(&state);
        cpu
    }

    /// Whether a maskable interrupt would be taken now: IF is set and nothing shadows it.
    pub fn interruptible(&self) -> bool {
        self.rflags & flags::IF != 0 && self.system.interrupt_shadow == 0
    }

    /// Whether an NMI would be taken now. The shadow of STI holds NMIs off as that of MOV SS does: the SDM
    /// allows it (vol. 2, STI), and hypervisors rely on it.
    pub fn nmi_acceptable(&self) -> bool {
        !self.system.nmi_blocked && self.system.interrupt_shadow == 0
    }

    /// Asks [`Self::run`] to return [`crate::Exit::InterruptWindow`] as soon as
    /// [`Self::interruptible`] is true, or withdraws that wish.
    pub fn request_interrupt_window(&mut self, wanted: bool) {
        self.window_wanted = wanted;
        self.refresh_attention();
    }

    /// INIT: resets the CPU and leaves it waiting for a start-up IPI (Intel SDM vol. 3, table 10-1
    /// and 11.4.2). What INIT does not touch is kept: the x87 and SSE state, most MSRs, the TSC.
    pub fn init(&mut self) {
        let state = crate::reset::init(&self.model, &self.state());
        self.set_state(&state);
    }

    /// A start-up IPI: a CPU in `WaitForSipi` starts in real mode at `vector << 12`; any other
    /// ignores it.
    pub fn sipi(&mut self, vector: u8) {
        if self.system.activity != Activity::WaitForSipi {
            return;
        }
        let mut state = self.state();
        crate::reset::start_up(&mut state, vector);
        self.set_state(&state);
    }

    /// Instructions retired since power-on. During a bus access this is the count before the
    /// accessing instruction.
    pub fn retired(&self) -> u64 {
        self.retired_end
            .wrapping_sub((self.budget + self.reserve) as u64)
    }

    /// Whether the CPU runs, is halted, waits for a start-up IPI or is shut down.
    pub fn activity(&self) -> Activity {
        self.system.activity
    }

    /// The processor identity that this CPU was made with.
    pub fn model(&self) -> &CpuModel {
        &self.model
    }

    /// A copy of the architectural state. Not to be called from a bus access.
    pub fn state(&self) -> CpuState {
        let mut gpr = [0; 16];
        gpr.copy_from_slice(&self.regs[..16]);
        let system = &self.system;
        CpuState {
            gpr,
            rip: self.rip,
            rflags: self.rflags(),
            segments: system.segments,
            ldtr: system.ldtr,
            tr: system.tr,
            gdtr: system.gdtr,
            idtr: system.idtr,
            cr0: system.cr0,
            cr2: system.cr2,
            cr3: system.cr3,
            cr4: system.cr4,
            xcr0: system.xcr0,
            dr: system.dr,
            xmm: self.xmm,
            // There is no AVX here.
            ymm_high: [[0; 2]; 16],
            mxcsr: self.mxcsr,
            x87: self.x87,
            msrs: system.msrs.clone(),
            activity: system.activity,
            interrupt_shadow: system.interrupt_shadow,
            nmi_blocked: system.nmi_blocked,
            pending_breakpoints: self.watch_hits,
            retired: self.retired(),
            string_bytes: self.string_bytes,
        }
    }

    /// Replaces the architectural state and empties the translation caches.
    pub fn set_state(&mut self, state: &CpuState) {
        self.regs = [0; slot::COUNT];
        self.regs[..16].copy_from_slice(&state.gpr);
        self.rip = state.rip;
        self.system = System {
            segments: state.segments,
            ldtr: state.ldtr,
            tr: state.tr,
            gdtr: state.gdtr,
            idtr: state.idtr,
            cr0: state.cr0,
            cr2: state.cr2,
            cr3: state.cr3,
            cr4: state.cr4,
            xcr0: state.xcr0,
            dr: state.dr,
            msrs: state.msrs.clone(),
            activity: state.activity,
            interrupt_shadow: state.interrupt_shadow,
            nmi_blocked: state.nmi_blocked,
        };
        self.set_rflags(state.rflags);
        self.xmm = state.xmm;
        self.mxcsr = state.mxcsr;
        self.x87 = state.x87;
        self.watch_hits = state.pending_breakpoints;
        self.no_step_trap = false;
        self.trap_due = false;
        self.debug_trap = false;
        self.retired_end = state.retired;
        self.budget = 0;
        self.reserve = 0;
        self.string_bytes = state.string_bytes;
        self.flush_tlb();
        self.update_mode();
    }

    /// Feeds everything that decides what this CPU does next, the architectural state and the TLB,
    /// as bytes to `sink`. Equal CPUs feed equal bytes.
    pub fn hash_into(&self, sink: &mut dyn FnMut(&[u8])) {
        self.state().hash_into(sink);
        sink(&self.code_page.to_le_bytes());
        self.tlb.hash_into(sink);
    }

    /// RFLAGS with the arithmetic flags materialised.
    pub(crate) fn rflags(&self) -> u64 {
        // The arithmetic flags have one home, or an old one would shine through.
        debug_assert_eq!(
            self.rflags & (flags::ARITHMETIC | 2),
            2,
            "RFLAGS without those flags"
        );
        self.rflags | self.lazy.bits()
    }

    /// Sets RFLAGS as a whole.
    pub(crate) fn set_rflags(&mut self, value: u64) {
        let known = flags::ARITHMETIC
            | flags::TF
            | flags::IF
            | flags::DF
            | flags::IOPL
            | flags::NT
            | flags::RF
            | flags::VM
            | flags::AC
            | flags::VIF
            | flags::VIP
            | flags::ID;
        self.lazy = Lazy::from_bits(value);
        self.rflags = value & known & !flags::ARITHMETIC | 2;
        self.refresh_attention();
    }

    /// Recomputes `attention`.
    pub(crate) fn refresh_attention(&mut self) {
        self.attention = self.window_wanted
            || self.system.interrupt_shadow != 0
            || self.rflags & (flags::TF | flags::RF) != 0
            || self.system.dr[7] & 0xff != 0;
    }

    /// Lends the CPU its memory and its bus until the next call of `detach`.
    pub(crate) fn attach(&mut self, memory: &mut Memory, bus: &mut dyn Bus) {
        self.ram = memory.base();
        self.block = null();
        self.link = None;
        self.memory = Some(NonNull::from(memory));
        self.follow_protections();
        debug_assert!(
            self.tlb_agrees(),
            "a store that nobody looks at is of a page that is dirty and has no code"
        );
        let bus: NonNull<dyn Bus + '_> = NonNull::from(bus);
        // SAFETY: only the lifetime changes; `detach` forgets the pointer before the borrow ends.
        self.bus = Some(unsafe {
            std::mem::transmute::<NonNull<dyn Bus + '_>, NonNull<dyn Bus + 'static>>(bus)
        });
    }

    /// Lends the CPU the code that it executes, too, which is dropped as far as memory has changed. Without
    /// that it executes nothing.
    pub(crate) fn attach_code(&mut self, code: &mut CodeCache) {
        code.follow(self.memory());
        self.code = Some(NonNull::from(code));
    }

    /// Gets ready for executing compiled code, which does not change meanwhile.
    pub(crate) fn enter_code(&mut self) {
        if self.code().jit.is_outdated() {
            self.code().jit.start_over();
        }
        let jit = &self.code().jit;
        let (generation, bindings) = (jit.store().generation(), jit.bindings());
        let forgotten = self.landings.follow(generation, bindings);
        self.code().jit.counts.landings_forgotten += forgotten;
        self.follow_code();
    }

    /// Forgets the landings if a page was unbound since they were noted. Between that and the next block
    /// nobody returns to one: whoever overwrites code leaves the block that it is in.
    #[inline]
    pub(crate) fn follow_landings(&mut self) {
        let jit = &self.code().jit;
        let (generation, bindings) = (jit.generation(), jit.bindings());
        if !self.landings.are_of(bindings) {
            let forgotten = self.landings.follow(generation, bindings);
            self.code().jit.counts.landings_forgotten += forgotten;
        }
    }

    /// Carries what is known of compiled code over to where that looks for it.
    pub(crate) fn follow_code(&mut self) {
        (self.bound, self.blocks) = self.code().jit.tables();
        self.find_place();
    }

    /// Code was overwritten, perhaps that of the block that is being executed, which is left behind the
    /// current instruction. Compiled blocks jump on without looking, so that the chain of blocks ends as
    /// well. The run loop then finds anew what the page is bound to, as compiled code relies on that.
    #[cold]
    pub(crate) fn code_overwritten(&mut self) {
        self.leave = true;
        self.reserve += self.budget;
        self.budget = 0;
        // Without code, the CPU delivers an interrupt or the like: the next run drops what was overwritten.
        if self.code.is_some() {
            let (code, memory) = self.code_and_memory();
            code.drop_overwritten(memory);
        }
    }

    /// Finds what the page that instructions come from is bound to.
    #[inline]
    pub(crate) fn find_place(&mut self) {
        let page = self.code_page;
        if page != u64::MAX {
            debug_assert!(
                page.is_multiple_of(PAGE_SIZE) && self.code_add.is_multiple_of(PAGE_SIZE),
                "instructions come from a page"
            );
            let index = page.wrapping_add(self.code_add) / PAGE_SIZE;
            let bound = self.code().jit.bound(index);
            self.code_place = (u64::from(bound) << PAGE_SIZE.trailing_zeros()).wrapping_sub(page);
        }
    }

    /// Remembers a block, for whoever looks for it again, if it is compiled.
    pub(crate) fn remember(&mut self, block: *const Block) {
        // SAFETY: callers pass a block of the cache, which is not cleared meanwhile.
        let block = unsafe { &*block };
        if block.heat.get() == 0
            && let Some(target) = self.code().jit.target(block)
        {
            self.landings.remember(target);
        }
    }

    /// Whether the TLB leads to RAM, and past the slow path only where nothing has to be noted.
    fn tlb_agrees(&mut self) -> bool {
        let memory = self.memory.expect("a running CPU has memory");
        // SAFETY: as in `follow_protections`.
        let memory = unsafe { memory.as_ref() };
        self.tlb.agrees_with(
            |offset| offset < memory.size(),
            |offset| memory.is_dirty_data(offset),
        )
    }

    /// Forgets memory and bus.
    pub(crate) fn detach(&mut self) {
        self.memory = None;
        self.code = None;
        self.bus = None;
        self.block = null();
    }

    /// The memory lent by `attach`.
    #[inline]
    pub(crate) fn memory(&mut self) -> &mut Memory {
        let mut memory = self.memory.expect("a running CPU has memory");
        // SAFETY: `attach` got it from a unique borrow that lasts until `detach`; the result borrows
        // the CPU, so that no second reference can be made from it.
        unsafe { memory.as_mut() }
    }

    /// Whether `size` bytes at `offset` are RAM.
    pub(crate) fn is_ram(&self, offset: u64, size: u64) -> bool {
        let memory = self.memory.expect("a running CPU has memory");
        // SAFETY: as in `follow_protections`.
        let ram = unsafe { memory.as_ref() }.size();
        offset <= ram && size <= ram - offset
    }

    /// The code lent by `attach_code`.
    #[inline]
    pub(crate) fn code(&mut self) -> &mut CodeCache {
        let mut code = self.code.expect("a running CPU has code");
        // SAFETY: as in `memory`.
        unsafe { code.as_mut() }
    }

    /// Both the code and the memory.
    pub(crate) fn code_and_memory(&mut self) -> (&mut CodeCache, &mut Memory) {
        let mut code = self.code.expect("a running CPU has code");
        let mut memory = self.memory.expect("a running CPU has memory");
        // SAFETY: as in `memory`, and the two were borrowed apart from each other.
        unsafe { (code.as_mut(), memory.as_mut()) }
    }

    /// Carries the protections that memory asks for over to the TLB.
    pub(crate) fn follow_protections(&mut self) {
        let memory = self.memory.expect("a running CPU has memory");
        // SAFETY: as in `memory`; only a shared reference is made, and none other lives meanwhile.
        let memory = unsafe { memory.as_ref() };
        if memory.has_news(&self.cursor) {
            match memory.protections_since(&mut self.cursor) {
                None => self.tlb.protect_all(),
                Some(pages) => pages.iter().for_each(|&page| self.tlb.protect(page)),
            }
        }
    }

    /// Calls the bus for the instruction that is being executed.
    pub(crate) fn on_bus<T>(&mut self, call: impl FnOnce(&mut dyn Bus, &mut Access) -> T) -> T {
        let mut access = Access {
            vcpu: self.id,
            retired: self.retired().wrapping_sub(u64::from(self.rest)),
            stop: false,
        };
        self.bus_calls = self.bus_calls.wrapping_add(1);
        let mut bus = self.bus.expect("a running CPU has a bus");
        // SAFETY: as in `memory`.
        let result = call(unsafe { bus.as_mut() }, &mut access);
        if access.stop {
            self.stop = true;
            self.leave = true;
        }
        result
    }

    /// The instruction pointer of the operation at `at`.
    pub(crate) fn rip_at(&self, at: At) -> u64 {
        self.mode
            .wrap(self.regs[slot::RIP].wrapping_add(u64::from(at.at)))
    }

    /// The instruction pointer behind the operation at `at`.
    pub(crate) fn rip_after(&self, at: At) -> u64 {
        self.mode
            .wrap(self.regs[slot::RIP].wrapping_add(u64::from(at.at) + u64::from(at.len)))
    }
}
