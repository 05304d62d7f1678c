//! One vCPU: enters the guest, serves its exits, and keeps what KVM does not.

use chaosrun_x86::{Access, Activity, Bus, Cpu, CpuModel, CpuState, Exit, Memory, MsrAccess};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};

use super::exit::{self, Kind, Left};
use super::host::{HostError, in_words};
use super::kick::Watch;
use super::preempt::{Never, Preempt};
use super::{cpuid, msr, state};
use crate::engine::{EngineError, EngineOptions};

/// The longest instruction of the architecture, in bytes.
const CODE_BYTES: u64 = 15;
const PAGE_BYTES: u64 = 4096;

/// Exits by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// How often the guest left for each [`Kind`].
    pub exits: [u64; 4],
    /// How often the guest had to be stopped at a moment that is not a function of its inputs.
    pub late_stops: u64,
}

/// One vCPU.
pub(super) struct Vcpu {
    id: u32,
    fd: VcpuFd,
    /// The size of the page that KVM shares, with what follows it.
    mapping: usize,
    /// Whether KVM leaves the guest exactly when interrupts become acceptable.
    exact_windows: bool,
    /// What KVM does not keep; its own registers are only up to date in `load`ed copies.
    kept: CpuState,
    /// The exact engine's processor, which knows what registers and resets do.
    model: Cpu,
    activity: Activity,
    progress: u64,
    interruptible: bool,
    window: bool,
    /// The task priority that the guest was entered with.
    priority: u64,
    pub(super) preemption: Box<dyn Preempt>,
    pub(super) counters: Counters,
}

/// What came of one exit.
struct Served {
    /// The run is over with this.
    exit: Option<Exit>,
    /// The bus wants the vCPU to stop.
    stop: bool,
}

impl Vcpu {
    /// Makes vCPU `id` as it is after power-on.
    pub(super) fn new(
        kvm: &Kvm,
        vm: &VmFd,
        model: &CpuModel,
        id: u32,
        exact_windows: bool,
    ) -> Result<Self, HostError> {
        let fd = vm
            .create_vcpu(id.into())
            .map_err(HostError::call("create a vCPU"))?;
        let mapping = kvm
            .get_vcpu_mmap_size()
            .map_err(HostError::call("tell the size of its shared page"))?;
        cpuid::install(&fd, model, id)?;
        let mut cpu = Cpu::new(id, model.clone());
        if id > 0 {
            cpu.init();
        }
        let kept = cpu.state();
        let mut vcpu = Self {
            id,
            fd,
            mapping,
            exact_windows,
            activity: kept.activity,
            kept: kept.clone(),
            model: cpu,
            progress: 0,
            interruptible: false,
            window: false,
            priority: 0,
            preemption: Box::new(Never),
            counters: Counters::default(),
        };
        vcpu.store(&kept).map_err(|why| HostError::Call {
            what: "take a vCPU's state after power-on",
            why,
        })?;
        Ok(vcpu)
    }

    pub(super) fn progress(&self) -> u64 {
        self.progress
    }

    pub(super) fn activity(&self) -> Activity {
        self.activity
    }

    pub(super) fn interruptible(&self) -> bool {
        self.interruptible
    }

    pub(super) fn request_window(&mut self, wanted: bool) {
        self.window = wanted;
    }

    /// Whether an NMI would be taken.
    pub(super) fn nmi_acceptable(&self) -> bool {
        self.fd
            .get_vcpu_events()
            .is_ok_and(|events| events.nmi.masked == 0 && !state::is_busy(&events))
    }

    /// The architectural state.
    pub(super) fn state(&self) -> Result<CpuState, String> {
        let mut state = self.kept.clone();
        state::load(&self.fd, &mut state)?;
        state.activity = self.activity;
        state.retired = self.progress;
        Ok(state)
    }

    /// Replaces the architectural state.
    pub(super) fn store(&mut self, state: &CpuState) -> Result<(), String> {
        state::store(&self.fd, state, self.id == 0)?;
        self.kept = state.clone();
        self.activity = state.activity;
        self.progress = state.retired;
        self.interruptible = state.rflags & 1 << 9 != 0 && state.interrupt_shadow == 0;
        Ok(())
    }

    /// INIT.
    pub(super) fn init(&mut self) -> Result<(), String> {
        self.change(Cpu::init)
    }

    /// A start-up IPI.
    pub(super) fn sipi(&mut self, vector: u8) -> Result<(), String> {
        if self.activity != Activity::WaitForSipi {
            return Ok(());
        }
        self.change(|cpu| cpu.sipi(vector))
    }

    /// Has the exact engine's processor change the state.
    fn change(&mut self, change: impl FnOnce(&mut Cpu)) -> Result<(), String> {
        let before = self.state()?;
        self.model.set_state(&before);
        change(&mut self.model);
        let mut state = self.model.state();
        // It has no place for these, and neither INIT nor a start-up IPI changes them.
        state.ymm_high = before.ymm_high;
        self.store(&state)
    }

    /// Queues the maskable interrupt `vector`, which the next entry delivers.
    pub(super) fn interrupt(&mut self, vector: u8) -> Result<(), String> {
        super::ioctl::interrupt(&self.fd, vector).map_err(|error| error.to_string())?;
        self.wake();
        Ok(())
    }

    /// Queues an NMI, which the next entry delivers.
    pub(super) fn nmi(&mut self) -> Result<(), String> {
        self.fd.nmi().map_err(in_words)?;
        self.wake();
        Ok(())
    }

    fn wake(&mut self) {
        self.interruptible = false;
        if self.activity == Activity::Halted {
            self.activity = Activity::Running;
        }
    }

    /// Runs until an exit that the machine has to handle, or until the first exit at or behind
    /// `budget` units of progress.
    pub(super) fn run(
        &mut self,
        memory: &mut Memory,
        bus: &mut dyn Bus,
        budget: u64,
        options: &EngineOptions,
    ) -> Result<Exit, EngineError> {
        let mut end = self.progress.saturating_add(budget);
        let flag = &raw mut self.fd.get_kvm_run().immediate_exit;
        let mut watch = Watch::start(flag, options.patience_ms)
            .map_err(|error| self.host(error.to_string()))?;
        loop {
            let exit = self.until_exit(memory, bus, end, options, &mut watch)?;
            if exit == Exit::TripleFault {
                return Ok(exit);
            }
            self.finish(memory, bus)?;
            if !self.is_busy()? {
                let run = self.fd.get_kvm_run();
                self.interruptible = run.if_flag != 0 && run.ready_for_interrupt_injection != 0;
                return Ok(exit);
            }
            // The instruction ended in an exception that KVM is about to deliver, and that a saved state
            // has no place for. On to the next exit, behind the delivery.
            end = self.progress;
        }
    }

    fn until_exit(
        &mut self,
        memory: &mut Memory,
        bus: &mut dyn Bus,
        end: u64,
        options: &EngineOptions,
        watch: &mut Watch,
    ) -> Result<Exit, EngineError> {
        let armed = self.preemption.arm(end.saturating_sub(self.progress));
        loop {
            self.prepare(bus);
            let left = exit::enter(&mut self.fd);
            if left == Left::Interrupted {
                self.fd.set_kvm_immediate_exit(0);
                if armed && self.preemption.arrived() {
                    self.progress = end;
                    return Ok(Exit::Budget);
                }
                if let Some(ran_ms) = watch.interrupted() {
                    return self.give_up(end, ran_ms, options);
                }
                continue;
            }
            watch.exited();
            let Served { exit, stop } = self.serve(left, memory, bus)?;
            if let Some(exit) = exit {
                return Ok(exit);
            } else if stop {
                return Ok(Exit::Stop);
            } else if self.progress >= end {
                return Ok(Exit::Budget);
            } else if self.window && self.fd.get_kvm_run().ready_for_interrupt_injection != 0 {
                return Ok(Exit::InterruptWindow);
            }
        }
    }

    /// Tells KVM what it has to know at each entry.
    fn prepare(&mut self, bus: &mut dyn Bus) {
        let priority = bus.read_cr8(&mut self.access());
        let window = self.window && self.exact_windows;
        self.priority = priority;
        let run = self.fd.get_kvm_run();
        run.cr8 = priority;
        run.request_interrupt_window = window.into();
    }

    fn access(&self) -> Access {
        Access {
            vcpu: self.id,
            retired: self.progress,
            stop: false,
        }
    }

    /// The guest has been away for too long.
    fn give_up(
        &mut self,
        end: u64,
        ran_ms: u64,
        options: &EngineOptions,
    ) -> Result<Exit, EngineError> {
        if !options.allow_nondeterminism {
            let rip = self.fd.get_regs().map_or(0, |regs| regs.rip);
            return Err(EngineError::NotDeterministic {
                vcpu: self.id,
                ran_ms,
                rip,
            });
        }
        self.counters.late_stops += 1;
        let ran = ran_ms.saturating_mul(1_000_000).max(1);
        self.progress += ran.min(end.saturating_sub(self.progress)).max(1);
        Ok(Exit::Budget)
    }

    /// Finishes the instruction that the guest was left in, without executing another one.
    fn finish(&mut self, memory: &mut Memory, bus: &mut dyn Bus) -> Result<(), EngineError> {
        loop {
            self.prepare(bus);
            self.fd.set_kvm_immediate_exit(1);
            let left = exit::enter(&mut self.fd);
            self.fd.set_kvm_immediate_exit(0);
            if left == Left::Interrupted {
                return Ok(());
            }
            // An access that KVM splits leaves the guest once for each part.
            if !left.is_unfinished() {
                return Err(self.host(format!("KVM ran on although it was told not to: {left:?}")));
            }
            self.serve(left, memory, bus)?;
        }
    }

    fn is_busy(&self) -> Result<bool, EngineError> {
        let events = self
            .fd
            .get_vcpu_events()
            .map_err(|error| self.host(in_words(error)))?;
        Ok(state::is_busy(&events))
    }

    /// Serves one exit and charges it.
    fn serve(
        &mut self,
        left: Left,
        memory: &mut Memory,
        bus: &mut dyn Bus,
    ) -> Result<Served, EngineError> {
        let kind = left.kind();
        let mut access = self.access();
        let mut exit = None;
        self.follow_priority(bus, &mut access);
        match left {
            Left::PortRead { port, size, count } => {
                let bytes: Vec<u8> = (0..count)
                    .map(|_| bus.read_port(&mut access, port, size).to_le_bytes())
                    .flat_map(|value| value.into_iter().take(size.into()))
                    .collect();
                exit::answer_port(&mut self.fd, &bytes, self.mapping);
            }
            Left::PortWrite { port, size, bytes } => {
                for element in bytes.chunks(size.into()) {
                    let mut value = [0; 4];
                    value[..element.len()].copy_from_slice(element);
                    bus.write_port(&mut access, port, size, u32::from_le_bytes(value));
                }
            }
            Left::MemoryRead { gpa, size } => {
                let value = read_memory(bus, &mut access, gpa, size);
                exit::answer_memory(&mut self.fd, value);
            }
            Left::MemoryWrite { gpa, size, value } => {
                write_memory(bus, &mut access, gpa, size, value);
            }
            Left::MsrRead { index } => {
                let done = self.msr(index, |cpu| cpu.rdmsr(memory, bus, index));
                access.stop |= done.stop;
                exit::answer_msr(&mut self.fd, done.value);
            }
            Left::MsrWrite { index, value } => {
                let done = self.msr(index, |cpu| cpu.wrmsr(memory, bus, index, value));
                access.stop |= done.stop;
                self.kept = self.model.state();
                exit::answer_msr(&mut self.fd, done.value);
            }
            Left::Halt => {
                self.activity = Activity::Halted;
                exit = Some(Exit::Halt);
            }
            Left::Window => exit = Some(Exit::InterruptWindow),
            Left::Shutdown => {
                self.activity = Activity::Shutdown;
                exit = Some(Exit::TripleFault);
            }
            Left::Priority | Left::Interrupted => {}
            Left::Failed(failure) => {
                let (rip, code) = self.place(memory);
                return Err(self.host(failure.described(rip, &code)));
            }
        }
        if let Some(kind) = kind {
            self.progress += kind.cost();
            self.counters.exits[kind as usize] += 1;
        }
        Ok(Served {
            exit,
            stop: access.stop,
        })
    }

    /// Has the exact engine's processor access a register that is not KVM's.
    fn msr(&mut self, index: u32, access: impl FnOnce(&mut Cpu) -> MsrAccess) -> MsrAccess {
        self.kept.retired = self.progress;
        self.model.set_state(&self.kept);
        if msr::is_native(index) || index == msr::TSC_DEADLINE {
            // KVM's own registers leave the guest only if KVM refuses the value.
            return MsrAccess {
                value: None,
                stop: false,
            };
        }
        access(&mut self.model)
    }

    /// Tells the local APIC of a task priority that the guest changed by CR8 since it was entered.
    fn follow_priority(&mut self, bus: &mut dyn Bus, access: &mut Access) {
        let priority = self.fd.get_kvm_run().cr8;
        if priority != self.priority {
            self.priority = priority;
            bus.write_cr8(access, priority);
        }
    }

    fn host(&self, what: String) -> EngineError {
        EngineError::Host {
            engine: super::NAME,
            vcpu: self.id,
            what,
        }
    }

    /// The instruction pointer, and the bytes there as far as they are in one page of RAM.
    fn place(&self, memory: &Memory) -> (u64, Vec<u8>) {
        let (Ok(regs), Ok(sregs)) = (self.fd.get_regs(), self.fd.get_sregs()) else {
            return (0, Vec::new());
        };
        let linear = sregs.cs.base.wrapping_add(regs.rip);
        let physical = match self.fd.translate_gva(linear) {
            Ok(found) if found.valid != 0 => found.physical_address,
            _ => return (regs.rip, Vec::new()),
        };
        let in_page = PAGE_BYTES - physical % PAGE_BYTES;
        let mut bytes = vec![0; in_page.min(CODE_BYTES) as usize];
        if !memory.read(physical, &mut bytes) {
            bytes.clear();
        }
        (regs.rip, bytes)
    }
}

/// Whether the bus takes an access of this size as a whole.
fn is_plain(size: u8) -> bool {
    matches!(size, 1 | 2 | 4 | 8)
}

fn read_memory(bus: &mut dyn Bus, access: &mut Access, gpa: u64, size: u8) -> u64 {
    if is_plain(size) {
        return bus.read_mmio(access, gpa, size);
    }
    (0..size).fold(0, |value, index| {
        let byte = bus.read_mmio(access, gpa.wrapping_add(index.into()), 1) & 0xff;
        value | byte << (8 * index)
    })
}

fn write_memory(bus: &mut dyn Bus, access: &mut Access, gpa: u64, size: u8, value: u64) {
    if is_plain(size) {
        bus.write_mmio(access, gpa, size, value);
        return;
    }
    for index in 0..size {
        let byte = value >> (8 * index) & 0xff;
        bus.write_mmio(access, gpa.wrapping_add(index.into()), 1, byte);
    }
}

const _: () = assert!(
    Kind::Other as usize == 3,
    "`Counters` has a place for every kind"
);
