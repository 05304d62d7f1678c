//! One machine: it lets vCPUs run in turn, delivers their interrupts and moves time.

use std::io::Write;

use chaosrun_x86::{Activity, CpuModel, Exit, Unimplemented};

use super::acpi::{self, VirtioSlot};
use super::boot::{self, BootError, BootSource, Booted};
use super::clock::Clock;
use super::hash::{Component, PageHashes, StateHash, digest_fed, digest_of};
use super::log::Log;
use super::memory::{GuestRam, MemoryError};
use super::platform::{Plan, Platform, PlatformState, Shutdown, Signals};
use super::sched::{Interleaving, Scheduler, Turn, VCPUS_MAX};
use crate::devices::ioapic::IoapicState;
use crate::devices::lapic::LapicState;
use crate::devices::pic::PicState;
use crate::devices::pit::PitState;
use crate::devices::reset::ResetState;
use crate::devices::rtc::{self, RtcState};
use crate::devices::serial::SerialState;
use crate::dlog::{DlogError, Event};
use crate::engine::{self, Engine, EngineError, EngineKind};
use crate::tape::Tape;
use crate::time::{TscClock, VirtTime};

/// RFLAGS.IF.
const INTERRUPT_FLAG: u64 = 1 << 9;

/// What a machine is made of.
#[derive(Debug, Clone)]
pub struct MachineConfig<'a> {
    /// The machine's name, which is part of the names of its streams of decisions.
    pub name: String,
    /// What executes its instructions.
    pub engine: EngineKind,
    /// RAM in bytes.
    pub memory: u64,
    /// The number of vCPUs, 1 to 8.
    pub vcpus: u32,
    /// The identity of the processors; its `cpus` is taken from `vcpus`.
    pub model: CpuModel,
    /// Instructions per microsecond of virtual time.
    pub rate: u64,
    /// What the CMOS clock shows at power-on, in Unix seconds.
    pub epoch: i64,
    /// An ELF executable or a bzImage.
    pub kernel: &'a [u8],
    /// The initial RAM disk.
    pub initrd: Option<&'a [u8]>,
    /// The kernel's command line.
    pub cmdline: String,
    /// Seed and overrides of all decisions.
    pub tape: Tape,
    /// How the vCPUs take turns.
    pub interleaving: Interleaving,
    /// The virtio-mmio devices that the firmware tells of.
    pub virtio: Vec<VirtioSlot>,
    /// Whether something outside can still send it input, so that waiting without a timer is not
    /// the end.
    pub external_input: bool,
}

impl<'a> MachineConfig<'a> {
    /// A machine with one vCPU and 256 MiB of RAM that boots `kernel`.
    pub fn new(kernel: &'a [u8]) -> Self {
        Self {
            name: "node".to_owned(),
            engine: EngineKind::default(),
            memory: 256 << 20,
            vcpus: 1,
            model: CpuModel::default(),
            rate: 1000,
            epoch: rtc::DEFAULT_EPOCH,
            kernel,
            initrd: None,
            cmdline: String::new(),
            tape: Tape::default(),
            interleaving: Interleaving::default(),
            virtio: Vec::new(),
            external_input: false,
        }
    }
}

/// Why a machine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The number of vCPUs is not possible.
    #[error("a machine has 1 to {VCPUS_MAX} vCPUs, not {vcpus}")]
    Vcpus {
        /// The number asked for.
        vcpus: u32,
    },
    /// The guest RAM could not be made.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Kernel, initrd or command line can't be booted.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The ACPI tables don't fit.
    #[error(transparent)]
    Acpi(#[from] acpi::AcpiError),
    /// The engine can't be had on this host.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Where a vCPU is when a machine can't go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VcpuAt {
    /// The index of the vCPU.
    pub vcpu: u32,
    /// What it is doing.
    pub activity: Activity,
    /// Its instruction pointer.
    pub rip: u64,
    /// Whether it would take a maskable interrupt.
    pub interrupts: bool,
}

/// Why [`Machine::run_until`] returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The moment asked for is reached.
    Reached,
    /// The guest switched the machine off.
    PowerOff,
    /// The guest asked for a reset.
    Reset,
    /// A vCPU could not deliver an exception (Intel SDM vol. 3, 6.15).
    TripleFault {
        /// The index of the vCPU.
        vcpu: u32,
        /// The instruction pointer.
        rip: u64,
        /// The last page-fault address.
        cr2: u64,
    },
    /// The guest executed something that the CPU does not implement.
    Unimplemented(Box<Unimplemented>),
    /// No vCPU runs, and nothing can wake one.
    HaltedForever {
        /// All vCPUs.
        vcpus: Vec<VcpuAt>,
    },
}

/// One machine.
pub struct Machine {
    engine: Box<dyn Engine>,
    ram: GuestRam,
    platform: Platform,
    scheduler: Scheduler,
    pages: PageHashes,
    chain: u128,
    booted: Booted,
    external_input: bool,
    /// vCPUs that were asked to stop as soon as they can be interrupted.
    windows: u32,
    /// Why the machine is over, once it is.
    over: Option<Stop>,
}

impl Machine {
    /// Makes a machine and puts its kernel into RAM; it has not executed anything yet.
    ///
    /// # Errors
    /// If the configuration is not possible or a file can't be booted.
    pub fn new(config: &MachineConfig<'_>) -> Result<Self, MachineError> {
        if !(1..=VCPUS_MAX).contains(&config.vcpus) {
            return Err(MachineError::Vcpus { vcpus: config.vcpus });
        }
        let mut ram = GuestRam::new(config.memory)?;
        let rsdp = acpi::install(&mut ram, config.vcpus, &config.virtio)?;
        let source = BootSource {
            kernel: config.kernel,
            initrd: config.initrd,
            cmdline: &config.cmdline,
            rsdp,
        };
        let booted = boot::load(&mut ram, &source)?;
        let model = CpuModel { cpus: config.vcpus, ..config.model.clone() };
        let mut engine = engine::build(config.engine, &model)?;
        let entry = booted.entry_state(engine.state(0)?);
        engine.set_state(0, &entry)?;
        Ok(Self::assemble(config, engine, ram, booted))
    }

    /// Puts the parts together.
    pub(super) fn assemble(
        config: &MachineConfig<'_>,
        engine: Box<dyn Engine>,
        ram: GuestRam,
        booted: Booted,
    ) -> Self {
        let stream = |what: &str| format!("{}/{what}", config.name);
        let random = config.tape.stream(&stream("rdrand"));
        Self {
            engine,
            pages: PageHashes::new(ram.size() / chaosrun_x86::PAGE_SIZE),
            ram,
            platform: Platform::new(power_on(config), random),
            scheduler: Scheduler::new(config.interleaving, &config.tape, &stream("sched")),
            chain: 0,
            booted,
            external_input: config.external_input,
            windows: 0,
            over: None,
        }
    }

    /// Runs until `until` or until the machine is over. Whether a stretch of time is run through in
    /// one call or in many makes no difference.
    ///
    /// # Errors
    /// If the engine itself failed.
    pub fn run_until(&mut self, until: VirtTime) -> Result<Stop, EngineError> {
        loop {
            if let Some(stop) = &self.over {
                return Ok(stop.clone());
            }
            self.platform.expire();
            self.apply_signals()?;
            if let Some(shutdown) = self.platform.state.shutdown {
                self.end(match shutdown {
                    Shutdown::PowerOff => Stop::PowerOff,
                    Shutdown::Reset => Stop::Reset,
                });
            } else if self.now() >= until {
                return Ok(Stop::Reached);
            } else if let Some(turn) = self.scheduler.turn(self.runnable()) {
                self.take_turn(turn, until)?;
            } else {
                self.idle(until)?;
            }
        }
    }

    /// The present moment.
    pub fn now(&self) -> VirtTime {
        self.platform.now()
    }

    /// Instructions that all vCPUs together have retired.
    pub fn retired(&self) -> u64 {
        self.platform.state.clock.retired()
    }

    /// How often another vCPU got its turn.
    pub fn switches(&self) -> u64 {
        self.scheduler.switches()
    }

    /// Accesses that no device claimed.
    pub fn unclaimed(&self) -> u64 {
        self.platform.state.unclaimed
    }

    /// Where kernel and initrd were put.
    pub fn booted(&self) -> &Booted {
        &self.booted
    }

    /// Takes the console output since the last call.
    pub fn take_console(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.platform.console)
    }

    /// Bytes of console output dropped because nobody took 16 MiB of it.
    pub fn console_lost(&self) -> u64 {
        self.platform.console_lost
    }

    /// Types `bytes` on the console and returns how many the serial port had room for.
    pub fn type_console(&mut self, bytes: &[u8]) -> usize {
        self.platform.step(|state, effects| state.serial.enqueue(bytes, effects))
    }

    /// Starts a determinism log. A log that was being written ends without its errors being told.
    ///
    /// # Errors
    /// If `out` can't be written to.
    pub fn start_log(&mut self, out: Box<dyn Write + Send>, title: &str) -> Result<(), DlogError> {
        self.platform.log = Some(Log::new(out, title)?);
        Ok(())
    }

    /// Ends the determinism log, if there is one.
    ///
    /// # Errors
    /// If it could not be written completely.
    pub fn finish_log(&mut self) -> Result<(), DlogError> {
        self.platform.log.take().map_or(Ok(()), Log::finish)
    }

    /// Takes the next link of the chain of state hashes.
    ///
    /// # Errors
    /// If the engine itself failed.
    pub fn state_hash(&mut self) -> Result<StateHash, EngineError> {
        let mut parts: Vec<Component> = Vec::new();
        let mut part = |name: String, digest| parts.push(Component { name, digest });
        for vcpu in 0..self.engine.vcpus() {
            let digest = digest_fed(|sink| self.engine.hash_into(vcpu, sink))?;
            part(format!("vcpu{vcpu}"), digest);
        }
        for (name, digest) in platform_digests(&self.platform.state) {
            part(name, digest);
        }
        part("scheduler".to_owned(), digest_of(&self.scheduler.state()));
        part("rdrand".to_owned(), digest_of(self.platform.random.state()));
        part("ram".to_owned(), self.hash_ram()?);
        let hash = StateHash::chained(self.chain, self.now(), parts);
        self.chain = hash.chain;
        self.log_registers()?;
        self.platform.note(|| Event::Hash { chain: hash.chain });
        Ok(hash)
    }

    /// Rehashes the pages that were written and returns the digest of RAM.
    fn hash_ram(&mut self) -> Result<u128, EngineError> {
        self.engine.collect_dirty(&mut self.ram)?;
        let logging = self.platform.log.is_some();
        let mut changed = Vec::new();
        let pages = &mut self.pages;
        self.ram.drain_dirty(|index, bytes| {
            if let Some(hash) = pages.update(index, bytes)
                && logging
            {
                changed.push((index, hash));
            }
        });
        self.platform.note(|| Event::Pages(changed));
        Ok(self.pages.digest())
    }

    fn log_registers(&mut self) -> Result<(), EngineError> {
        if self.platform.log.is_some() {
            for vcpu in 0..self.engine.vcpus() {
                let state = Box::new(self.engine.state(vcpu)?);
                self.platform.note(|| Event::Registers { vcpu, state });
            }
        }
        Ok(())
    }

    /// The vCPUs that execute instructions or would take an interrupt that they have.
    fn runnable(&self) -> u32 {
        (0..self.engine.vcpus()).filter(|vcpu| self.is_runnable(*vcpu)).fold(0, |set, vcpu| set | 1 << vcpu)
    }

    fn is_runnable(&self, vcpu: u32) -> bool {
        match self.engine.activity(vcpu) {
            Activity::Running => true,
            Activity::Halted => {
                let nmi = self.platform.state.signals[vcpu as usize].nmi;
                nmi && self.engine.nmi_acceptable(vcpu)
                    || self.platform.wants(vcpu) && self.engine.interruptible(vcpu)
            }
            Activity::WaitForSipi | Activity::Shutdown => false,
        }
    }

    /// The vCPUs that are halted and would take a maskable interrupt.
    fn wakeable(&self) -> u32 {
        (0..self.engine.vcpus())
            .filter(|vcpu| self.engine.activity(*vcpu) == Activity::Halted)
            .filter(|vcpu| self.engine.interruptible(*vcpu))
            .fold(0, |set, vcpu| set | 1 << vcpu)
    }

    /// Carries out INIT and start-up IPIs.
    fn apply_signals(&mut self) -> Result<(), EngineError> {
        for vcpu in 0..self.engine.vcpus() {
            let signals = &mut self.platform.state.signals[vcpu as usize];
            let Signals { nmi, init, startup } = *signals;
            *signals = Signals { nmi, ..Signals::default() };
            if init {
                self.engine.init(vcpu)?;
                self.windows &= !(1 << vcpu);
                self.platform.note(|| Event::Init { vcpu });
            }
            if let Some(page) = startup {
                self.engine.sipi(vcpu, page)?;
                self.platform.note(|| Event::Startup { vcpu, page });
            }
        }
        Ok(())
    }

    /// Lets a vCPU run for at most its turn.
    fn take_turn(&mut self, turn: Turn, until: VirtTime) -> Result<(), EngineError> {
        let Turn { vcpu, budget, switched } = turn;
        if switched {
            self.platform.note(|| Event::Slice { vcpu, budget });
        }
        let before = self.engine.retired(vcpu);
        let deadline = self.platform.deadline();
        let clock = &self.platform.state.clock;
        let skew = clock.retired().wrapping_sub(before);
        let until_deadline = deadline.map_or(u64::MAX, |moment| clock.instructions_until(moment));
        let budget = budget.min(until_deadline).min(clock.instructions_until(until)).max(1);
        let wakeable = self.wakeable() & !(1 << vcpu);
        self.platform.plan = Plan { skew, deadline, window: false, wakeable };
        let mut exit = self.deliver(vcpu)?;
        if exit.is_none() && self.engine.activity(vcpu) == Activity::Running {
            let budget = self.prepare_wishes(vcpu, budget);
            exit = Some(self.engine.run(vcpu, &mut self.ram, &mut self.platform, budget)?);
        }
        let ran = self.engine.retired(vcpu).wrapping_sub(before);
        self.platform.state.clock.advance(ran);
        self.scheduler.ran(ran);
        match exit {
            Some(exit) => self.handle(vcpu, exit),
            None => Ok(()),
        }
    }

    /// Delivers one interrupt to `vcpu` if it has one that it takes now.
    fn deliver(&mut self, vcpu: u32) -> Result<Option<Exit>, EngineError> {
        if self.platform.state.signals[vcpu as usize].nmi && self.engine.nmi_acceptable(vcpu) {
            self.platform.state.signals[vcpu as usize].nmi = false;
            self.platform.note(|| Event::Nmi { vcpu });
            self.engine.inject_nmi(vcpu, &mut self.ram, &mut self.platform)
        } else if self.platform.wants(vcpu) && self.engine.interruptible(vcpu) {
            let vector = self.platform.acknowledge(vcpu);
            self.platform.note(|| Event::Interrupt { vcpu, vector });
            self.engine.inject_interrupt(vcpu, &mut self.ram, &mut self.platform, vector)
        } else {
            Ok(None)
        }
    }

    /// Sees to it that `vcpu` stops in time for an interrupt that it does not take yet. Returns the
    /// budget for that.
    fn prepare_wishes(&mut self, vcpu: u32, budget: u64) -> u64 {
        let wanted = self.platform.wants(vcpu);
        // One interrupt was just delivered and the next would be taken at once, or an NMI waits for
        // the end of the one before: look again after the next instruction.
        let at_once = wanted && self.engine.interruptible(vcpu)
            || self.platform.state.signals[vcpu as usize].nmi;
        let window = wanted && !at_once;
        if window != (self.windows >> vcpu & 1 != 0) {
            self.engine.request_interrupt_window(vcpu, window);
            self.windows ^= 1 << vcpu;
        }
        self.platform.plan.window = window;
        if at_once { 1 } else { budget }
    }

    fn handle(&mut self, vcpu: u32, exit: Exit) -> Result<(), EngineError> {
        match exit {
            Exit::Budget | Exit::Stop | Exit::InterruptWindow | Exit::Halt => {}
            Exit::TripleFault => {
                let state = self.engine.state(vcpu)?;
                self.end(Stop::TripleFault { vcpu, rip: state.rip, cr2: state.cr2 });
            }
            Exit::Unimplemented(what) => self.end(Stop::Unimplemented(what)),
        }
        Ok(())
    }

    /// No vCPU can run: time jumps to the next event.
    fn idle(&mut self, until: VirtTime) -> Result<(), EngineError> {
        let deadline = self.platform.deadline();
        if self.wakeable() == 0 || (deadline.is_none() && !self.external_input) {
            let vcpus = (0..self.engine.vcpus()).map(|vcpu| self.place(vcpu));
            let vcpus = vcpus.collect::<Result<_, _>>()?;
            self.end(Stop::HaltedForever { vcpus });
            return Ok(());
        }
        // A deadline that stays where it was after its device was stepped must not stop time.
        let soonest = self.now().after(1);
        let clock = &mut self.platform.state.clock;
        match deadline.filter(|moment| *moment <= until) {
            Some(moment) => {
                clock.jump(moment.max(soonest));
                self.platform.note(|| Event::Idle { until: moment });
            }
            None => clock.jump(until),
        }
        Ok(())
    }

    fn place(&self, vcpu: u32) -> Result<VcpuAt, EngineError> {
        let state = self.engine.state(vcpu)?;
        let interrupts = state.rflags & INTERRUPT_FLAG != 0;
        Ok(VcpuAt { vcpu, activity: state.activity, rip: state.rip, interrupts })
    }

    fn end(&mut self, stop: Stop) {
        self.platform.note(|| Event::End { why: stop.to_string() });
        self.over = Some(stop);
    }
}

/// The devices after power-on.
fn power_on(config: &MachineConfig<'_>) -> PlatformState {
    let tsc = TscClock::new(config.model.tsc_khz);
    let lapic = |index| LapicState::new(index, config.model.crystal_hz, tsc);
    let mut lapics: Vec<LapicState> = (0..config.vcpus).map(lapic).collect();
    lapics[0].wire_virtual();
    PlatformState {
        clock: Clock::new(config.rate),
        tsc,
        lapics,
        ioapic: IoapicState::new(acpi::IOAPIC_ID),
        pic: PicState::new(),
        pit: PitState::new(),
        rtc: RtcState::new(config.epoch),
        serial: SerialState::new(),
        reset: ResetState::new(),
        signals: vec![Signals::default(); config.vcpus as usize],
        shutdown: None,
        unclaimed: 0,
    }
}

/// The digests of the devices. Every field of the state appears, or this does not compile.
fn platform_digests(state: &PlatformState) -> Vec<(String, u128)> {
    let PlatformState {
        clock,
        tsc,
        lapics,
        ioapic,
        pic,
        pit,
        rtc,
        serial,
        reset,
        signals,
        shutdown,
        unclaimed,
    } = state;
    let mut digests: Vec<(String, u128)> = lapics
        .iter()
        .enumerate()
        .map(|(index, lapic)| (format!("lapic{index}"), digest_of(lapic)))
        .collect();
    let mut add = |name: &str, digest| digests.push((name.to_owned(), digest));
    add("clock", digest_of(&(clock, tsc)));
    add("ioapic", digest_of(ioapic));
    add("pic", digest_of(pic));
    add("pit", digest_of(pit));
    add("rtc", digest_of(rtc));
    add("serial", digest_of(serial));
    add("reset", digest_of(&(reset, shutdown)));
    add("signals", digest_of(&(signals, unclaimed)));
    digests
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reached => f.write_str("the moment asked for is reached"),
            Self::PowerOff => f.write_str("the guest switched the machine off"),
            Self::Reset => f.write_str("the guest asked for a reset"),
            Self::TripleFault { vcpu, rip, cr2 } => {
                write!(f, "triple fault of vCPU {vcpu} at {rip:#x}, last page fault at {cr2:#x}")
            }
            Self::Unimplemented(what) => what.fmt(f),
            Self::HaltedForever { vcpus } => {
                f.write_str("all vCPUs are halted and nothing can wake one:")?;
                for VcpuAt { vcpu, activity, rip, interrupts } in vcpus {
                    let interrupts = if *interrupts { "on" } else { "off" };
                    write!(f, " vCPU {vcpu} {activity:?} at {rip:#x}, interrupts {interrupts};")?;
                }
                Ok(())
            }
        }
    }
}
