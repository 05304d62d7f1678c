//! One machine: it lets vCPUs run in turn, delivers their interrupts and moves time.

use std::io::Write;
use std::sync::Arc;

use chaosrun_x86::{Activity, CodeStore, CpuModel, Exit};

use super::acpi;
use super::beginning::Jump;
use super::boot::{self, BootSource, Booted};
use super::config::{MachineConfig, MachineError, power_on};
use super::image::ImageId;
use super::io::{MachineEvent, OutputKind};
use super::log::Log;
use super::platform::{Plan, Platform, Shutdown, Signals};
use super::sched::{Scheduler, Turn, VCPUS_MAX};
use super::stop::{Stop, VcpuAt};
use crate::devices::Deadline;
use crate::devices::virtio::VirtioState;
use crate::dlog::{DlogError, Event};
use crate::engine::{self, Engine, EngineError, EngineKind, EngineOptions};
use crate::invariant::invariant;
use crate::ram::GuestRam;
use crate::time::VirtTime;

/// RFLAGS.IF.
const INTERRUPT_FLAG: u64 = 1 << 9;

/// One machine.
pub struct Machine {
    pub(super) engine: Box<dyn Engine>,
    pub(super) ram: GuestRam,
    pub(super) platform: Platform,
    pub(super) scheduler: Scheduler,
    pub(super) chain: u128,
    pub(super) model: CpuModel,
    pub(super) code: CodeStore,
    pub(super) booted: Booted,
    pub(super) external_input: bool,
    /// vCPUs that were asked to stop as soon as they can be interrupted.
    pub(super) windows: u32,
    /// Why the machine is over, once it is.
    pub(super) over: Option<Stop>,
    /// Whether something was put back in part only.
    pub(super) poisoned: bool,
    /// What it boots without knowing more, if it does.
    pub(super) image: Option<ImageId>,
    /// Each jump over idle time, where that is recorded.
    pub(super) jumps: Option<Vec<Jump>>,
    /// Whether it stops in front of the answer when the guest asks who it is.
    pub(super) stops_when_asked: bool,
}

/// The streams of the scheduler until the guest has asked who it is.
const IMAGE_TURNS: &str = "boot/sched";

/// The seed of the kernel's random numbers: the image's, or from a stream of its own.
fn boot_seed(config: &MachineConfig<'_>) -> [u8; 32] {
    if let Some(image) = config.anonymous() {
        return image.kernel_seed();
    }
    let mut stream = config.tape.stream(&format!("{}/boot-seed", config.name));
    let mut seed = [0; 32];
    for chunk in seed.chunks_exact_mut(8) {
        chunk.copy_from_slice(&stream.any().to_le_bytes());
    }
    seed
}

impl Machine {
    /// Makes a machine and puts its kernel into RAM; it has not executed anything yet.
    ///
    /// # Errors
    /// If the configuration is not possible or a file can't be booted.
    pub fn new(config: &MachineConfig<'_>) -> Result<Self, MachineError> {
        if !(1..=VCPUS_MAX).contains(&config.vcpus) {
            return Err(MachineError::Vcpus {
                vcpus: config.vcpus,
            });
        }
        let mut ram = GuestRam::new(config.memory)?;
        let rsdp = acpi::install(&mut ram, config.vcpus, &config.virtio())?;
        let source = BootSource {
            kernel: config.kernel,
            initrd: config.initrd,
            cmdline: &config.cmdline,
            rsdp,
            random: boot_seed(config),
        };
        let booted = boot::load(&mut ram, &source)?;
        let model = config.processor();
        let mut engine =
            engine::build(config.engine, &model, &config.engine_options, &config.code)?;
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
        let disks = config.attached_disks();
        let image = config.anonymous();
        let mut platform = Platform::new(power_on(config), disks, &config.tape, &config.name);
        let mut scheduler = Scheduler::new(config.interleaving, &config.tape, &stream("sched"));
        if let (Some(identity), Some(image)) = (&config.identity, image) {
            let tape = image.tape();
            scheduler.draw_from(&tape, IMAGE_TURNS);
            platform = platform.with_identity(Arc::clone(identity), tape);
        }
        Self {
            engine,
            ram,
            platform,
            scheduler,
            chain: 0,
            image,
            stops_when_asked: false,
            jumps: None,
            model: config.model.clone(),
            code: config.code.clone(),
            booted,
            external_input: config.external_input,
            windows: 0,
            over: None,
            poisoned: false,
        }
    }

    /// Runs until `until` or until the machine is over. Whether a stretch of time is run through in
    /// one call or in many makes no difference.
    ///
    /// # Errors
    /// If the engine itself failed.
    pub fn run_until(&mut self, until: VirtTime) -> Result<Stop, EngineError> {
        if self.poisoned {
            return Err(EngineError::Poisoned);
        }
        let mut before = self.now();
        loop {
            let now = self.now();
            invariant!(
                before <= now,
                "time ran backwards from {before:?} to {now:?}"
            );
            before = now;
            if let Some(stop) = &self.over {
                return Ok(stop.clone());
            }
            let mut deadline = self.platform.expire();
            if self.now() >= self.platform.state.attention.next() {
                self.look_for_attention()?;
            }
            if self.is_asked()? {
                if self.stops_when_asked {
                    return Ok(Stop::Reached);
                }
                self.introduce();
            }
            if self.serve_devices()? {
                deadline = self.platform.deadline();
            }
            self.apply_signals()?;
            if let Some(shutdown) = self.platform.state.shutdown {
                self.end(match shutdown {
                    Shutdown::PowerOff => Stop::PowerOff,
                    Shutdown::Reset => Stop::Reset,
                });
            } else if self.now() >= until {
                return Ok(Stop::Reached);
            } else if let Some(turn) = self.scheduler.turn(self.runnable()) {
                let look = self.platform.state.attention.next();
                self.take_turn(turn, deadline, until.min(look))?;
            } else {
                self.idle(deadline, until)?;
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

    /// How often the guest has read the time stamp counter since the machine was made. An engine that
    /// can't keep RDTSC from a guest does not see that.
    pub fn tsc_reads(&self) -> u64 {
        self.platform.tsc_reads
    }

    /// How often another vCPU got its turn.
    pub fn switches(&self) -> u64 {
        self.scheduler.switches()
    }

    /// Accesses that no device claimed.
    pub fn unclaimed(&self) -> u64 {
        self.platform.state.unclaimed
    }

    /// What makes this run depend on more than the machine's inputs: see [`Engine::caveats`].
    pub fn caveats(&self) -> Vec<String> {
        self.engine.caveats()
    }

    /// Saves the state of every vCPU and restores it on a fresh engine, which may be of another kind.
    /// RAM and devices stay as they are.
    ///
    /// # Errors
    /// If the host can't run the engine, or the state can't be read or set.
    pub fn change_engine(
        &mut self,
        kind: EngineKind,
        options: &EngineOptions,
    ) -> Result<(), EngineError> {
        let model = CpuModel {
            cpus: self.engine.vcpus(),
            ..self.model.clone()
        };
        // The log of written pages is the old engine's.
        self.engine.collect_dirty(&mut self.ram)?;
        let mut engine = engine::build(kind, &model, options, &self.code)?;
        for vcpu in 0..self.engine.vcpus() {
            engine.set_state(vcpu, &self.engine.state(vcpu)?)?;
        }
        self.engine = engine;
        self.windows = 0;
        Ok(())
    }

    /// Where kernel and initrd were put.
    pub fn booted(&self) -> &Booted {
        &self.booted
    }

    /// Where the vCPUs are.
    ///
    /// # Errors
    /// If the engine itself failed.
    pub fn vcpus(&self) -> Result<Vec<VcpuAt>, EngineError> {
        (0..self.engine.vcpus())
            .map(|vcpu| self.place(vcpu))
            .collect()
    }

    /// Takes the console output since the last call.
    pub fn take_console(&mut self) -> Vec<u8> {
        self.platform.outputs.take_console()
    }

    /// Bytes of console output dropped because nobody took 16 MiB of it.
    pub fn console_lost(&self) -> u64 {
        self.platform.outputs.console_lost()
    }

    /// Types `bytes` on the console and returns how many the serial port had room for.
    pub fn type_console(&mut self, bytes: &[u8]) -> usize {
        self.platform
            .step(|state, effects| state.serial.enqueue(bytes, effects))
    }

    /// Starts a determinism log. A log that was being written ends, and its errors are lost.
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

    /// Whether the machine has ended.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Whether something happens in the machine before time passes.
    pub(super) fn is_busy(&self) -> bool {
        let state = &self.platform.state;
        let signalled = |signals: &Signals| signals.init || signals.startup.is_some();
        self.platform.has_work()
            || self.runnable() != 0
            || state.shutdown.is_some()
            || state.signals.iter().any(signalled)
            // Nothing can wake it, which ends it as soon as it is asked to run.
            || self.wakeable() == 0
    }

    /// The vCPUs that execute instructions or would take an interrupt that they have.
    fn runnable(&self) -> u32 {
        (0..self.engine.vcpus())
            .filter(|vcpu| self.is_runnable(*vcpu))
            .fold(0, |set, vcpu| set | 1 << vcpu)
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

    /// Serves what needs RAM or registers besides a device's own state: at the moment at which it was
    /// asked for or became due, before anything else happens. Returns whether there was anything.
    pub(super) fn serve_devices(&mut self) -> Result<bool, EngineError> {
        if !self.platform.has_work() {
            return Ok(false);
        }
        if let Some(vcpu) = self.platform.state.sdk.caller() {
            let caller = self.engine.state(vcpu)?;
            self.platform.serve_sdk(&caller, &mut self.ram);
        }
        self.platform
            .with_virtio(&mut self.ram, VirtioState::service);
        Ok(true)
    }

    /// Whether a guest that has not asked yet who it is asks now.
    pub(super) fn is_asked(&self) -> Result<bool, EngineError> {
        let state = &self.platform.state;
        match state.sdk.caller() {
            Some(vcpu) if !state.introduced => {
                let caller = self.engine.state(vcpu)?;
                Ok(state.sdk.needs_identity(&caller, &self.ram))
            }
            _ => Ok(false),
        }
    }

    /// From now on the node and its life reach the guest.
    pub(super) fn introduce(&mut self) {
        self.platform.introduce();
        let turns = format!("{}/sched", self.platform.state.sdk.node());
        self.scheduler.draw_from(&self.platform.tape, &turns);
    }

    /// Carries out INIT and start-up IPIs.
    fn apply_signals(&mut self) -> Result<(), EngineError> {
        for vcpu in 0..self.engine.vcpus() {
            let signals = &mut self.platform.state.signals[vcpu as usize];
            let Signals { nmi, init, startup } = *signals;
            *signals = Signals {
                nmi,
                ..Signals::default()
            };
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

    /// Lets a vCPU run for at most its turn, up to `until` and the next deadline of the devices.
    fn take_turn(
        &mut self,
        turn: Turn,
        deadline: Deadline,
        until: VirtTime,
    ) -> Result<(), EngineError> {
        let Turn {
            vcpu,
            budget,
            switched,
        } = turn;
        if switched {
            self.platform.note(|| Event::Slice { vcpu, budget });
        }
        let before = self.engine.retired(vcpu);
        let clock = &self.platform.state.clock;
        let skew = clock.retired().wrapping_sub(before);
        let until_deadline = deadline.map_or(u64::MAX, |moment| clock.instructions_until(moment));
        let budget = budget
            .min(until_deadline)
            .min(clock.instructions_until(until))
            .max(1);
        let wakeable = self.wakeable() & !(1 << vcpu);
        self.platform.plan = Plan {
            skew,
            deadline,
            window: false,
            wakeable,
        };
        let mut exit = self.deliver(vcpu)?;
        if exit.is_none() && self.engine.activity(vcpu) == Activity::Running {
            let budget = self.prepare_wishes(vcpu, budget);
            exit = Some(
                self.engine
                    .run(vcpu, &mut self.ram, &mut self.platform, budget)?,
            );
        }
        let retired = self.engine.retired(vcpu);
        // Time is made of these, so that it would run backwards with them.
        assert!(
            retired >= before,
            "vCPU {vcpu} took back instructions: {before} before, {retired} now"
        );
        let ran = retired - before;
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
            self.engine
                .inject_nmi(vcpu, &mut self.ram, &mut self.platform)
        } else if self.platform.wants(vcpu) && self.engine.interruptible(vcpu) {
            self.listens(vcpu);
            let vector = self.platform.acknowledge(vcpu);
            self.platform.note(|| Event::Interrupt { vcpu, vector });
            self.engine
                .inject_interrupt(vcpu, &mut self.ram, &mut self.platform, vector)
        } else {
            Ok(None)
        }
    }

    /// Sees to it that `vcpu` stops in time for an interrupt that it does not take yet. Returns the
    /// budget for that.
    fn prepare_wishes(&mut self, vcpu: u32, budget: u64) -> u64 {
        let (wanted, interruptible) = (self.platform.wants(vcpu), self.engine.interruptible(vcpu));
        if interruptible {
            self.listens(vcpu);
        }
        // One interrupt was just delivered and the next would be taken at once, or an NMI waits for
        // the end of the one before: look again after the next instruction.
        let at_once = wanted && interruptible || self.platform.state.signals[vcpu as usize].nmi;
        let watched = self.platform.state.attention.is_watched(vcpu);
        let window = (wanted || watched) && !at_once;
        if window != (self.windows >> vcpu & 1 != 0) {
            self.engine.request_interrupt_window(vcpu, window);
            self.windows ^= 1 << vcpu;
        }
        self.platform.plan.window = window;
        if at_once { 1 } else { budget }
    }

    /// Looks which vCPUs execute with interrupts off, and reports those that did so at the last look as well.
    fn look_for_attention(&mut self) -> Result<(), EngineError> {
        let now = self.now();
        let deaf = (0..self.engine.vcpus())
            .filter(|vcpu| self.engine.activity(*vcpu) == Activity::Running)
            .filter(|vcpu| !self.engine.interruptible(*vcpu))
            .fold(0, |set, vcpu| set | 1 << vcpu);
        let lost: u32 = self.platform.state.attention.look(now, deaf);
        for vcpu in (0..self.engine.vcpus()).filter(|vcpu| lost >> vcpu & 1 != 0) {
            let rip = self.engine.state(vcpu)?.rip;
            let kind = OutputKind::Event(MachineEvent::IgnoresInterrupts { vcpu, rip });
            self.platform.outputs.push(now, kind);
        }
        Ok(())
    }

    /// `vcpu` would take an interrupt now.
    fn listens(&mut self, vcpu: u32) {
        if self.platform.state.attention.listens(vcpu) {
            let kind = OutputKind::Event(MachineEvent::TakesInterrupts { vcpu });
            self.platform.outputs.push(self.now(), kind);
        }
    }

    fn handle(&mut self, vcpu: u32, exit: Exit) -> Result<(), EngineError> {
        match exit {
            Exit::Budget | Exit::Stop | Exit::InterruptWindow | Exit::Halt => {}
            Exit::TripleFault => {
                let state = self.engine.state(vcpu)?;
                self.end(Stop::TripleFault {
                    vcpu,
                    rip: state.rip,
                    cr2: state.cr2,
                });
            }
            Exit::Unimplemented(what) => self.end(Stop::Unimplemented(what)),
        }
        Ok(())
    }

    /// No vCPU can run: time jumps to the next event.
    fn idle(&mut self, deadline: Deadline, until: VirtTime) -> Result<(), EngineError> {
        if self.wakeable() == 0 || (deadline.is_none() && !self.external_input) {
            let vcpus = self.vcpus()?;
            self.end(Stop::HaltedForever { vcpus });
            return Ok(());
        }
        // A deadline that stays where it was after its device was stepped must not stop time.
        let from = self.now();
        let soonest = from.after(1);
        let clock = &mut self.platform.state.clock;
        match deadline.filter(|moment| *moment <= until) {
            Some(moment) => {
                clock.jump(moment.max(soonest));
                self.platform.note(|| Event::Idle { until: moment });
            }
            None => clock.jump(until),
        }
        if let Some(jumps) = &mut self.jumps {
            jumps.push(Jump {
                from,
                deadline: deadline.unwrap_or(VirtTime(u64::MAX)),
                clock: self.platform.state.clock.clone(),
            });
        }
        Ok(())
    }

    fn place(&self, vcpu: u32) -> Result<VcpuAt, EngineError> {
        let state = self.engine.state(vcpu)?;
        let interrupts = state.rflags & INTERRUPT_FLAG != 0;
        Ok(VcpuAt {
            vcpu,
            activity: state.activity,
            rip: state.rip,
            interrupts,
        })
    }

    fn end(&mut self, stop: Stop) {
        self.platform.note(|| Event::End {
            why: stop.to_string(),
        });
        self.over = Some(stop);
    }
}
