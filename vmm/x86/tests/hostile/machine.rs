//! A machine that is hostile all over, and what has to hold in it nevertheless.

use std::ffi::c_void;

use chaosrun_x86::{Access, Bus, CodeCache, Cpu, CpuModel, Exit, Memory};

use crate::setup;
use crate::values::Values;

/// RAM below the device hole.
pub const LOW: u64 = 0x4_0000;
/// RAM above 4 GiB.
pub const HIGH: u64 = 0x1_0000;
/// Where that starts.
pub const HIGH_START: u64 = 1 << 32;
/// The inaccessible memory on either side of the RAM.
const GUARD: usize = 64 << 20;

/// RAM between two guards.
struct Ram(*mut u8);

impl Ram {
    fn new() -> Self {
        let size = 2 * GUARD + (LOW + HIGH) as usize;
        // SAFETY: a new mapping at a place of the kernel's choice replaces nothing.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert!(start != libc::MAP_FAILED, "no room for RAM and guards");
        // SAFETY: the range lies inside the mapping.
        let opened = unsafe {
            libc::mprotect(
                start.cast::<u8>().add(GUARD).cast(),
                (LOW + HIGH) as usize,
                libc::PROT_READ | libc::PROT_WRITE,
            )
        };
        assert_eq!(opened, 0, "RAM can't be made accessible");
        Self(start.cast())
    }

    fn base(&self) -> *mut u8 {
        // SAFETY: the mapping is larger than its first guard.
        unsafe { self.0.add(GUARD) }
    }

    fn contents(&self) -> &[u8] {
        // SAFETY: all of RAM is mapped, and nothing writes it while the machine is borrowed.
        unsafe { std::slice::from_raw_parts(self.base(), (LOW + HIGH) as usize) }
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this size, and the `Memory` that uses it goes with it.
        unsafe { libc::munmap(self.0.cast::<c_void>(), 2 * GUARD + (LOW + HIGH) as usize) };
    }
}

/// A bus that answers anything, and checks that it is asked for nothing improper.
#[derive(Debug, Clone)]
pub struct Noise {
    values: Values,
    /// How often, in percent, the CPU is asked to stop.
    stops: u64,
    /// Everything that was asked for: what, the size, and the instructions retired before.
    asked: Vec<(u64, u8, u64)>,
}

impl Noise {
    fn answer(&mut self, at: &mut Access, what: u64, size: u8) -> u64 {
        self.asked.push((what, size, at.retired));
        at.stop = self.values.chance(self.stops);
        self.values.bits() & u64::MAX >> (64 - 8 * u32::from(size))
    }

    fn check_mmio(gpa: u64, size: u8) {
        assert!(matches!(size, 1 | 2 | 4 | 8), "an access of {size} bytes");
        let last = gpa + u64::from(size) - 1;
        let is_ram = |gpa: u64| gpa < LOW || (HIGH_START..HIGH_START + HIGH).contains(&gpa);
        assert!(
            !is_ram(gpa) && !is_ram(last),
            "RAM at {gpa:#x} asked from the bus"
        );
        assert_eq!(gpa >> 12, last >> 12, "an access of two pages");
    }

    fn check_port(size: u8) {
        assert!(matches!(size, 1 | 2 | 4), "a port access of {size} bytes");
    }

    fn check_value(size: u8, value: u64) {
        assert_eq!(
            value & !(u64::MAX >> (64 - 8 * u32::from(size))),
            0,
            "more than {size} bytes"
        );
    }
}

impl Bus for Noise {
    fn read_mmio(&mut self, at: &mut Access, gpa: u64, size: u8) -> u64 {
        Self::check_mmio(gpa, size);
        self.answer(at, gpa, size)
    }
    fn write_mmio(&mut self, at: &mut Access, gpa: u64, size: u8, value: u64) {
        Self::check_mmio(gpa, size);
        Self::check_value(size, value);
        self.answer(at, gpa ^ value.rotate_left(32), size);
    }
    fn read_port(&mut self, at: &mut Access, port: u16, size: u8) -> u32 {
        Self::check_port(size);
        self.answer(at, port.into(), size) as u32
    }
    fn write_port(&mut self, at: &mut Access, port: u16, size: u8, value: u32) {
        Self::check_port(size);
        Self::check_value(size, value.into());
        self.answer(at, u64::from(port) ^ u64::from(value) << 16, size);
    }
    fn read_msr(&mut self, at: &mut Access, index: u32) -> Option<u64> {
        let value = self.answer(at, index.into(), 8);
        (value & 3 != 0).then_some(value)
    }
    fn write_msr(&mut self, at: &mut Access, index: u32, value: u64) -> bool {
        self.answer(at, u64::from(index) ^ value, 8) & 3 != 0
    }
    fn read_tsc(&mut self, at: &mut Access) -> u64 {
        self.answer(at, 1, 8) ^ at.retired
    }
    fn tsc_adjusted(&mut self, at: &mut Access, adjust: u64) {
        self.answer(at, adjust, 8);
    }
    fn read_cr8(&mut self, at: &mut Access) -> u64 {
        self.answer(at, 2, 8)
    }
    fn write_cr8(&mut self, at: &mut Access, value: u64) {
        self.answer(at, value, 8);
    }
    fn random(&mut self, at: &mut Access) -> u64 {
        self.answer(at, 3, 8)
    }
}

/// A CPU with its memory and its bus.
pub struct Machine {
    pub cpu: Cpu,
    memory: Memory,
    code: CodeCache,
    bus: Noise,
    ram: Ram,
}

impl Machine {
    /// The machine that a case's bytes describe.
    pub fn new(values: &mut Values, data: &[u8]) -> Self {
        let mut machine = Self::empty(values);
        setup::fill_memory(&mut machine.memory, values, data);
        let state = setup::state(machine.cpu.state(), values, data);
        machine.cpu.set_state(&state);
        machine
    }

    /// A machine in real mode that has nothing but `code`, at address 0 of its only segment, to
    /// which all interrupt vectors lead too.
    pub fn plain_real_mode(code: &[u8]) -> Self {
        let mut machine = Self::empty(&mut Values::new(1));
        assert!(machine.memory.write(0x1000, code));
        for vector in 0..256 {
            assert!(machine.memory.write(4 * vector, &[0, 0, 0, 1]));
        }
        let mut state = machine.cpu.state();
        state.segments[1].selector = 0x100;
        state.segments[1].base = 0x1000;
        state.segments[2].selector = 0x1000;
        state.segments[2].base = 0x1_0000;
        state.idtr.limit = 0x3ff;
        state.rip = 0;
        machine.cpu.set_state(&state);
        machine
    }

    fn empty(values: &mut Values) -> Self {
        let ram = Ram::new();
        // SAFETY: the RAM lives as long as the `Memory`, and nothing else writes it.
        let memory = unsafe { Memory::new(ram.base(), LOW, HIGH) };
        let stops = values.pick(&[0, 0, 5, 50]);
        let bus = Noise {
            values: Values::new(values.bits()),
            stops,
            asked: Vec::new(),
        };
        Self {
            cpu: Cpu::new(0, CpuModel::default()),
            memory,
            code: CodeCache::new(),
            bus,
            ram,
        }
    }

    /// Sets after how many executions code is compiled; 0 for never.
    pub fn compile_after(&mut self, executions: u8) {
        self.code.compile_after(executions);
    }

    /// Runs the CPU and checks that it keeps to its budget. Returns whether it may run again.
    pub fn run_checked(&mut self, budget: u64) -> bool {
        !matches!(self.run(budget), Exit::Unimplemented(_))
    }

    fn run(&mut self, budget: u64) -> Exit {
        let before = self.cpu.retired();
        let exit = self
            .cpu
            .run(&mut self.memory, &mut self.code, &mut self.bus, budget);
        let retired = self.cpu.retired().wrapping_sub(before);
        assert!(
            retired <= budget,
            "{retired} instructions with a budget of {budget}"
        );
        match &exit {
            Exit::Budget => assert_eq!(retired, budget, "the budget is not used up"),
            Exit::Unimplemented(what) => assert!(!what.to_string().is_empty()),
            _ => {}
        }
        exit
    }

    /// Runs for `total` instructions in pieces of what `piece` makes of the rest, unless something
    /// that is not a request of the bus ends the run.
    pub fn run_for(&mut self, total: u64, mut piece: impl FnMut(u64) -> u64) -> Exit {
        let mut left = total;
        loop {
            let before = self.cpu.retired();
            let exit = self.run(piece(left));
            left -= self.cpu.retired().wrapping_sub(before);
            match exit {
                Exit::Stop | Exit::Budget if left > 0 => {}
                // What stops behind the last instruction depends on where the pieces end.
                Exit::Stop => return Exit::Budget,
                exit => return exit,
            }
        }
    }

    /// Takes the CPU's state and gives it back, which must change nothing.
    pub fn reload(&mut self) {
        let state = self.cpu.state();
        self.cpu.set_state(&state);
        assert_eq!(self.cpu.state(), state, "a state that is not kept");
        let mut bytes = 0;
        self.cpu.hash_into(&mut |part| bytes += part.len());
        assert!(bytes > 0);
    }

    /// Delivers an interrupt, or an NMI. Returns whether the CPU may run again.
    pub fn inject(&mut self, vector: Option<u8>) -> bool {
        let (memory, bus) = (&mut self.memory, &mut self.bus);
        let exit = match vector {
            Some(vector) => self.cpu.inject_interrupt(memory, bus, vector),
            None => self.cpu.inject_nmi(memory, bus),
        };
        !matches!(exit, Some(Exit::Unimplemented(_)))
    }

    /// Checks that two machines are the same.
    pub fn assert_same(&self, other: &Self) {
        assert_eq!(self.cpu.state(), other.cpu.state(), "the state differs");
        assert_eq!(
            self.cpu.retired(),
            other.cpu.retired(),
            "one retired more than the other"
        );
        let pairs = self.bus.asked.iter().zip(&other.bus.asked);
        let first = pairs.enumerate().find(|(_, (ours, theirs))| ours != theirs);
        assert_eq!(first, None, "what reached the bus differs");
        assert_eq!(
            self.bus.asked.len(),
            other.bus.asked.len(),
            "more reached the bus"
        );
        let pairs = self.ram.contents().iter().zip(other.ram.contents());
        let first = pairs.enumerate().find(|(_, (ours, theirs))| ours != theirs);
        assert_eq!(first, None, "memory differs");
        let print = |cpu: &Cpu| {
            let mut bytes = Vec::new();
            cpu.hash_into(&mut |part| bytes.extend_from_slice(part));
            bytes
        };
        assert!(print(&self.cpu) == print(&other.cpu), "the TLB differs");
    }

    /// Whether the host refuses to read the memory around the RAM.
    pub fn guards_are_closed(&self) -> bool {
        let size = (LOW + HIGH) as usize;
        // SAFETY: both addresses lie inside the mapping of RAM and guards.
        let (before, behind) = unsafe { (self.ram.base().sub(1), self.ram.base().add(size)) };
        is_inaccessible(before) && is_inaccessible(behind)
    }
}

/// Asks the kernel to read the byte, which fails instead of raising a signal.
fn is_inaccessible(address: *const u8) -> bool {
    let mut ends = [0; 2];
    // SAFETY: `write` reports memory that it can't read; the descriptors are closed again.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0, "no pipe");
        let written = libc::write(ends[1], address.cast(), 1);
        libc::close(ends[0]);
        libc::close(ends[1]);
        written < 0
    }
}
