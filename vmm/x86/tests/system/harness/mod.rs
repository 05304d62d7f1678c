//! A machine for bare-metal guest programs: 64-bit mode with flat segments, identity paging and
//! exception handlers that report to the host and then return.

mod bus;
pub mod layout;
pub mod program;
pub mod same;
mod tables;

use chaosrun_x86::{
    Activity, CodeCache, Cpu, CpuModel, CpuState, Exit, Memory, Segment, TableRegister,
};
use iced_x86::IcedError;
use iced_x86::code_asm::CodeAssembler;

pub use bus::{BUS_MSR, STOP_PORT, Script, Seen, TSC_RATE};
use layout::*;
pub use program::{Emit, Program};

/// More instructions than any of the short programs takes.
const PATIENCE: u64 = 1_000_000;

/// Whether all code is compiled when it is executed for the first time, instead of when it was executed
/// often: these tests are built both ways.
const ALL_COMPILED: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"system_compiled");

/// Positions in `CpuState::gpr`.
pub mod reg {
    pub const RAX: usize = 0;
    pub const RCX: usize = 1;
    pub const RDX: usize = 2;
    pub const RBX: usize = 3;
    pub const RSP: usize = 4;
    pub const RSI: usize = 6;
    pub const RDI: usize = 7;
}

/// Positions in `CpuState::segments`.
pub mod seg {
    pub const ES: usize = 0;
    pub const CS: usize = 1;
    pub const SS: usize = 2;
    pub const DS: usize = 3;
    pub const FS: usize = 4;
    pub const GS: usize = 5;
}

/// What a handler found: an interrupt or exception and the frame that it pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub vector: u8,
    pub error: Option<u32>,
    pub rip: u64,
    pub cs: u16,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u16,
    /// CR2 when the handler reported.
    pub cr2: u64,
    /// The address of the frame, that of the pushed RIP.
    pub frame: u64,
}

impl Event {
    /// Vector, error code and pushed RIP.
    pub fn what(&self) -> (u8, Option<u32>, u64) {
        (self.vector, self.error, self.rip)
    }
}

/// One vCPU, its memory and its bus.
pub struct Machine {
    pub cpu: Cpu,
    pub memory: Memory,
    /// What its CPUs have made of the code in memory.
    pub code: CodeCache,
    pub bus: Script,
    next_table: u64,
    /// What `memory` refers to.
    _ram: Vec<u64>,
}

impl Machine {
    /// Memory with tables and handlers, and a CPU in 64-bit mode at privilege level 0 with nothing
    /// to execute yet.
    pub fn new() -> Self {
        Self::with_model(CpuModel::default())
    }

    /// As [`Self::new`], with a processor of the given identity.
    pub fn with_model(model: CpuModel) -> Self {
        let mut ram = vec![0u64; (RAM / 8) as usize];
        // SAFETY: the vector lives in the machine as long as the memory, is never resized, and is
        // not touched in any other way.
        let memory = unsafe { Memory::new(ram.as_mut_ptr().cast(), RAM, 0) };
        let mut code = CodeCache::new();
        if ALL_COMPILED {
            code.compile_after(1);
        }
        let cpu = Cpu::new(0, model);
        let mut machine = Self {
            cpu,
            memory,
            code,
            bus: Script::default(),
            next_table: TABLES,
            _ram: ram,
        };
        machine.install();
        let mut state = machine.cpu.state();
        enter_long_mode(&mut state);
        machine.cpu.set_state(&state);
        machine
    }

    /// A machine with a program for privilege level 0 in 64-bit mode.
    pub fn kernel(
        write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
    ) -> (Self, Program) {
        Self::at(CODE, write)
    }

    /// As [`Self::kernel`], with the program at an address of the test's choice.
    pub fn at(
        base: u64,
        write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
    ) -> (Self, Program) {
        let mut machine = Self::new();
        let program = machine.load(base, 64, write);
        (machine, program)
    }

    /// A machine with a program for privilege level 3 in 64-bit mode.
    pub fn user(
        write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
    ) -> (Self, Program) {
        let mut machine = Self::new();
        let program = machine.load(USER_CODE, 64, write);
        machine.change(|state| {
            enter_user(state, selector::USER_CODE64);
            state.rip = USER_CODE;
        });
        (machine, program)
    }

    /// A machine with a 32-bit program in compatibility mode at privilege level 0.
    pub fn compatible(
        write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
    ) -> (Self, Program) {
        let mut machine = Self::new();
        let program = machine.load(CODE, 32, write);
        machine
            .change(|state| state.segments[seg::CS] = flat(selector::CODE32, descriptor::CODE32));
        (machine, program)
    }

    /// Assembles a program at `base`, puts it into memory and lets RIP point to it.
    pub fn load(
        &mut self,
        base: u64,
        bits: u32,
        write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
    ) -> Program {
        let program = self.place(base, bits, write);
        self.change(|state| state.rip = base);
        program
    }

    /// Assembles a program at `base` and puts it into memory.
    pub fn place(
        &mut self,
        base: u64,
        bits: u32,
        write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
    ) -> Program {
        let program = Program::new(base, bits, write);
        self.poke(base, &program.bytes);
        program
    }

    /// Changes the CPU's state, which empties its TLB.
    pub fn change(&mut self, change: impl FnOnce(&mut CpuState)) {
        let mut state = self.cpu.state();
        change(&mut state);
        self.cpu.set_state(&state);
    }

    /// A general register.
    pub fn gpr(&self, index: usize) -> u64 {
        self.cpu.state().gpr[index]
    }

    /// Writes physical memory.
    pub fn poke(&mut self, address: u64, bytes: &[u8]) {
        assert!(self.memory.write(address, bytes), "{address:#x} is RAM");
    }

    /// Writes a quadword of physical memory.
    pub fn poke64(&mut self, address: u64, value: u64) {
        self.poke(address, &value.to_le_bytes());
    }

    /// Reads a quadword of physical memory.
    pub fn peek64(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        assert!(self.memory.read(address, &mut bytes), "{address:#x} is RAM");
        u64::from_le_bytes(bytes)
    }

    /// Reads a doubleword of physical memory.
    pub fn peek32(&self, address: u64) -> u32 {
        self.peek64(address) as u32
    }

    /// Runs at most `budget` instructions.
    pub fn run(&mut self, budget: u64) -> Exit {
        self.cpu
            .run(&mut self.memory, &mut self.code, &mut self.bus, budget)
    }

    /// Runs until a handler reports, and returns what it reports. Running on returns from the
    /// handler.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        let exit = self.run(PATIENCE);
        let state = self.cpu.state();
        assert_eq!(
            exit,
            Exit::Stop,
            "no handler was entered; rip is {:#x}",
            state.rip
        );
        self.reported()
    }

    /// Runs to the HLT that ends a program.
    #[track_caller]
    pub fn halt(&mut self) {
        match self.run(PATIENCE) {
            Exit::Halt => {}
            Exit::Stop => panic!("expected HLT, got {:x?}", self.reported()),
            other => panic!("expected HLT, got {other:?}"),
        }
    }

    /// What the handler that has just reported found.
    #[track_caller]
    pub fn reported(&self) -> Event {
        let state = self.cpu.state();
        let handlers = HANDLERS..HANDLERS + 256 * HANDLER_STEP;
        assert!(
            handlers.contains(&state.rip),
            "{:#x} is not in a handler",
            state.rip
        );
        let vector = ((state.rip - HANDLERS) / HANDLER_STEP) as u8;
        let mut frame = state.gpr[reg::RSP];
        let error = tables::has_error_code(vector).then(|| self.peek64(frame));
        if error.is_some() {
            frame += 8;
        }
        let word = |n: u64| self.peek64(frame + 8 * n);
        Event {
            vector,
            error: error.map(|code| u32::try_from(code).expect("an error code has 32 bits")),
            rip: word(0),
            cs: word(1) as u16,
            rflags: word(2),
            rsp: word(3),
            ss: word(4) as u16,
            cr2: state.cr2,
            frame,
        }
    }

    /// Delivers a maskable interrupt, which must not end in a fault.
    #[track_caller]
    pub fn interrupt(&mut self, vector: u8) {
        assert!(self.cpu.interruptible());
        assert_eq!(
            self.cpu
                .inject_interrupt(&mut self.memory, &mut self.bus, vector),
            None
        );
    }
}

/// A segment register as it is after loading `descriptor`, with a flat limit.
pub fn flat(selector: u16, descriptor: u64) -> Segment {
    Segment {
        selector,
        access: (descriptor >> 40 & 0xf0ff) as u16,
        limit: u32::MAX,
        base: 0,
    }
}

fn enter_long_mode(state: &mut CpuState) {
    use control::*;
    state.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    state.cr3 = PML4;
    state.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    state.msrs.efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    state.segments = [flat(selector::DATA, descriptor::DATA); 6];
    state.segments[seg::CS] = flat(selector::CODE64, descriptor::CODE64);
    state.gdtr = TableRegister {
        base: GDT,
        limit: selector::LAST + 7,
    };
    state.idtr = TableRegister {
        base: IDT,
        limit: 0xfff,
    };
    state.tr = Segment {
        selector: selector::TSS,
        access: 0x8b,
        limit: TSS_LIMIT,
        base: TSS,
    };
    state.ldtr = Segment::default();
    state.gpr = [0; 16];
    state.gpr[reg::RSP] = STACK;
    state.rflags = 2;
    state.activity = Activity::Running;
}

/// Goes to privilege level 3.
pub fn enter_user(state: &mut CpuState, code: u16) {
    let wide = if code == selector::USER_CODE64 {
        descriptor::USER_CODE64
    } else {
        descriptor::USER_CODE32
    };
    state.segments = [flat(selector::USER_DATA, descriptor::USER_DATA); 6];
    state.segments[seg::CS] = flat(code, wide);
    state.gpr[reg::RSP] = USER_STACK;
}
