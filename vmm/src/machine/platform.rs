//! The devices of a machine as one whole: interrupt wiring, timers, and what they want of the vCPUs.

use std::sync::Arc;

use chaosrun_x86::{Access, CpuState, Memory};
use serde::{Deserialize, Serialize};

use super::attention::AttentionState;
use super::clock::Clock;
use super::config::IMAGE_DATE_NS;
use super::io::{MachineEvent, OutputKind, Outputs};
use super::log::Log;
use crate::devices::ioapic::{self, IoapicState};
use crate::devices::lapic::{self, Accepted, LapicState};
use crate::devices::pic::PicState;
use crate::devices::pit::PitState;
use crate::devices::reset::ResetState;
use crate::devices::rtc::RtcState;
use crate::devices::sdk::{self, SdkState, WallClock};
use crate::devices::serial::SerialState;
use crate::devices::virtio::{Environment, VirtioState};
use crate::devices::{Deadline, Effect};
use crate::disk::Disk;
use crate::dlog::Event;
use crate::invariant::invariant;
use crate::tape::{Stream, Tape};
use crate::time::{TscClock, VirtTime};

/// The stream of RDRAND and RDSEED until the guest has asked who it is.
const IMAGE_RANDOM: &str = "boot/rdrand";

/// ISA interrupts, which reach the PIC as well as the I/O APIC.
const ISA_LINES: u32 = 16;

/// What a vCPU has to be told as soon as it does not run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals {
    /// A non-maskable interrupt waits to be delivered.
    pub nmi: bool,
    /// The vCPU has to be reset.
    pub init: bool,
    /// After that, the page at which the vCPU has to start.
    pub startup: Option<u8>,
}

/// How the guest ended the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shutdown {
    /// It switched the machine off.
    PowerOff,
    /// It asked for a reset.
    Reset,
}

/// Everything of a machine besides vCPUs, RAM and scheduler that decides what happens next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformState {
    /// Virtual time.
    pub clock: Clock,
    /// The time stamp counter of all vCPUs.
    pub tsc: TscClock,
    /// The local APICs in the order of the vCPUs.
    pub lapics: Vec<LapicState>,
    /// The I/O APIC.
    pub ioapic: IoapicState,
    /// The legacy interrupt controllers.
    pub pic: PicState,
    /// The interval timer.
    pub pit: PitState,
    /// The CMOS clock.
    pub rtc: RtcState,
    /// The date, which the CMOS clock shows too coarsely.
    pub wall: WallClock,
    /// The serial port.
    pub serial: SerialState,
    /// The virtio devices.
    pub virtio: VirtioState,
    /// The port of the SDK.
    pub sdk: SdkState,
    /// Reset and power-off.
    pub reset: ResetState,
    /// What the vCPUs have to be told.
    pub signals: Vec<Signals>,
    /// Whether and how the guest ended the machine.
    pub shutdown: Option<Shutdown>,
    /// Accesses that no device claimed.
    pub unclaimed: u64,
    /// How much later than they should the timers of the local APICs expire, in nanoseconds.
    pub timer_delay: u64,
    /// Whether the vCPUs let interrupts in.
    pub attention: AttentionState,
    /// When the guest last read the time stamp counter, if the engine sees that.
    pub tsc_read: Option<VirtTime>,
    /// Whether the guest has asked who it is, or has known from the beginning. Before that, nothing of the
    /// node and its life reaches it.
    pub introduced: bool,
}

/// What the machine knows when it lets a vCPU run, by which the bus decides whether to stop it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// What to add to the vCPU's instruction count to get the machine's.
    pub skew: u64,
    /// The deadline up to which the budget reaches.
    pub deadline: Deadline,
    /// Whether the vCPU already stops as soon as it can be interrupted.
    pub window: bool,
    /// The vCPUs that wait for an interrupt and would take one.
    pub wakeable: u32,
}

/// The stream of the virtio device's random numbers.
pub(super) fn entropy_stream(tape: &Tape, name: &str) -> Stream {
    tape.stream(&format!("{name}/entropy"))
}

/// The state with what surrounds it while the machine runs.
pub(super) struct Platform {
    pub state: PlatformState,
    /// Answers of RDRAND and RDSEED.
    pub random: Stream,
    /// How often the time stamp counter was read, which decides nothing and is for people.
    pub tsc_reads: u64,
    pub log: Option<Log>,
    pub plan: Plan,
    /// What nobody has taken yet.
    pub outputs: Outputs,
    pub disks: Vec<Disk>,
    /// Random numbers of the virtio device.
    pub entropy: Stream,
    /// From which programs' random numbers come.
    pub tape: Tape,
    /// From which everything comes until the guest has asked who it is, if it has to.
    pub image_tape: Tape,
    /// The node's description.
    pub identity: Option<Arc<[u8]>>,
    pub(super) effects: Vec<Effect>,
}

impl Platform {
    pub fn new(state: PlatformState, disks: Vec<Disk>, tape: &Tape, name: &str) -> Self {
        let plan = Plan {
            skew: 0,
            deadline: None,
            window: false,
            wakeable: 0,
        };
        Self {
            state,
            random: tape.stream(&format!("{name}/rdrand")),
            tsc_reads: 0,
            log: None,
            plan,
            outputs: Outputs::default(),
            disks,
            entropy: entropy_stream(tape, name),
            tape: tape.clone(),
            image_tape: Tape::default(),
            identity: None,
            effects: Vec::new(),
        }
    }

    /// With a description of the node for a guest that asks. Until then all comes from the image's tape.
    pub fn with_identity(self, identity: Arc<[u8]>, image_tape: Tape) -> Self {
        Self {
            random: image_tape.stream(IMAGE_RANDOM),
            image_tape,
            identity: Some(identity),
            ..self
        }
    }

    /// The guest has asked who it is: from now on the node and its life reach it.
    pub fn introduce(&mut self) {
        self.state.introduced = true;
        self.random = self
            .tape
            .stream(&format!("{}/rdrand", self.state.sdk.node()));
        self.step(|state, effects| {
            let by = state.wall.at(VirtTime(0)).saturating_sub(IMAGE_DATE_NS);
            state.rtc.shift(by, state.clock.now(), effects);
            state.virtio.set_hidden(false);
        });
    }

    /// The tape from which decisions come that are about the machine.
    pub fn tape_now(&self) -> &Tape {
        if self.state.introduced {
            &self.tape
        } else {
            &self.image_tape
        }
    }

    pub fn now(&self) -> VirtTime {
        self.state.clock.now()
    }

    /// The machine's instruction count at an access.
    pub fn retired_at(&self, at: &Access) -> u64 {
        let retired = at.retired.wrapping_add(self.plan.skew);
        invariant!(
            retired >= self.state.clock.retired(),
            "an access happened before the turn of its vCPU began"
        );
        retired
    }

    /// The moment of an access.
    pub fn moment(&self, at: &Access) -> VirtTime {
        self.state.clock.at(self.retired_at(at))
    }

    /// Writes `event` to the log, if there is one.
    pub fn note(&mut self, event: impl FnOnce() -> Event) {
        let clock = &self.state.clock;
        if let Some(log) = &mut self.log {
            log.write(clock.now(), clock.retired(), &event());
        }
    }

    /// The next moment at which a device has to be stepped.
    pub fn deadline(&self) -> Deadline {
        let state = &self.state;
        let lapics = state.lapics.iter().filter_map(LapicState::deadline).min();
        let lapics = lapics.map(|moment| moment.after(state.timer_delay));
        let virtio = state.virtio.deadline();
        [lapics, state.pit.deadline(), state.rtc.deadline(), virtio]
            .into_iter()
            .flatten()
            .min()
    }

    /// Steps the devices whose deadline has come. Returns the next deadline.
    pub fn expire(&mut self) -> Deadline {
        let now = self.now();
        let due = match self.deadline() {
            Some(due) if due <= now => due,
            later => return later,
        };
        self.note(|| Event::Timer { due });
        let is_due = |deadline: Deadline| deadline.is_some_and(|moment| moment <= now);
        let delay = self.state.timer_delay;
        for lapic in &mut self.state.lapics {
            if is_due(lapic.deadline().map(|moment| moment.after(delay))) {
                lapic.expire(now);
            }
        }
        if is_due(self.state.pit.deadline()) {
            self.state.pit.expire(now, &mut self.effects);
        }
        if is_due(self.state.rtc.deadline()) {
            self.state.rtc.expire(now, &mut self.effects);
        }
        self.apply(now, self.state.clock.retired());
        self.deadline()
    }

    /// Whether `vcpu` has a maskable interrupt to take.
    pub fn wants(&self, vcpu: u32) -> bool {
        let lapic = &self.state.lapics[vcpu as usize];
        lapic.extint_pending() || lapic.pending().is_some()
    }

    /// Takes the vector of the interrupt that `vcpu` wants.
    pub fn acknowledge(&mut self, vcpu: u32) -> u8 {
        let lapic = &mut self.state.lapics[vcpu as usize];
        if !lapic.extint_pending() {
            return lapic.acknowledge();
        }
        lapic.acknowledge_extint();
        let vector = self.state.pic.acknowledge(&mut self.effects);
        self.apply(self.now(), self.state.clock.retired());
        vector
    }

    /// Whether [`Self::service`] or [`Self::serve_sdk`] has something to do.
    pub fn has_work(&self) -> bool {
        let virtio = &self.state.virtio;
        virtio.is_notified()
            || self.state.sdk.caller().is_some()
            || virtio.deadline().is_some_and(|due| due <= self.now())
    }

    /// Lets the virtio devices work with the guest's RAM, and carries out the effects.
    pub fn with_virtio<T>(
        &mut self,
        memory: &mut Memory,
        step: impl FnOnce(&mut VirtioState, &mut Environment<'_>, &mut Vec<Effect>) -> T,
    ) -> T {
        let mut env = Environment {
            now: self.state.clock.now(),
            memory,
            disks: &mut self.disks,
            entropy: &mut self.entropy,
        };
        let result = step(&mut self.state.virtio, &mut env, &mut self.effects);
        self.apply(self.now(), self.state.clock.retired());
        result
    }

    /// Serves the SDK call that waits. `caller` is the state of the vCPU that made it.
    pub fn serve_sdk(&mut self, caller: &CpuState, memory: &mut Memory) {
        let world = sdk::Surroundings {
            tape: &self.tape,
            wall: &self.state.wall,
            tsc_read: self.state.tsc_read,
            identity: self.identity.as_deref(),
            now: self.state.clock.now(),
        };
        self.state
            .sdk
            .serve(caller, memory, &world, &mut self.effects);
        self.apply(self.now(), self.state.clock.retired());
    }

    /// Lets a device do something and carries out the effects, outside of any access.
    pub fn step<T>(&mut self, step: impl FnOnce(&mut PlatformState, &mut Vec<Effect>) -> T) -> T {
        let result = step(&mut self.state, &mut self.effects);
        self.apply(self.now(), self.state.clock.retired());
        result
    }

    /// Lets a device serve an access, carries out the effects, and stops the vCPU if it has to take
    /// notice.
    pub fn serve<T>(
        &mut self,
        at: &mut Access,
        step: impl FnOnce(&mut PlatformState, VirtTime, &mut Vec<Effect>) -> T,
    ) -> T {
        invariant!(
            self.effects.is_empty(),
            "effects of another step are left over"
        );
        let now = self.moment(at);
        let result = step(&mut self.state, now, &mut self.effects);
        self.apply(now, self.retired_at(at));
        at.stop |= self.must_stop(at.vcpu);
        result
    }

    /// Whether `vcpu`, which runs by the plan, has to stop because of what it did.
    fn must_stop(&self, vcpu: u32) -> bool {
        let state = &self.state;
        let signalled = |signals: &Signals| *signals != Signals::default();
        let wakes = |other: u32| self.plan.wakeable >> other & 1 != 0 && self.wants(other);
        state.virtio.is_notified()
            || state.sdk.caller().is_some()
            || state.shutdown.is_some()
            || state.signals.iter().any(signalled)
            || (!self.plan.window && self.wants(vcpu))
            || (self.plan.wakeable != 0 && (0..state.lapics.len() as u32).any(wakes))
            || self.is_sooner()
    }

    /// Whether there is a deadline before the one that was planned for.
    fn is_sooner(&self) -> bool {
        match (self.deadline(), self.plan.deadline) {
            (Some(new), Some(planned)) => new < planned,
            (new, planned) => new.is_some() && planned.is_none(),
        }
    }

    /// Carries out effects until there are none left.
    fn apply(&mut self, now: VirtTime, retired: u64) {
        let mut next = 0;
        while let Some(effect) = self.effects.get_mut(next) {
            let effect = std::mem::replace(effect, Effect::PowerOff);
            next += 1;
            self.carry_out(effect, now, retired);
        }
        self.effects.clear();
    }

    fn carry_out(&mut self, effect: Effect, now: VirtTime, retired: u64) {
        let state = &mut self.state;
        match effect {
            Effect::Irq { line, asserted } => {
                if line < ISA_LINES {
                    state.pic.set_line(line, asserted, &mut self.effects);
                }
                state
                    .ioapic
                    .set_line(ioapic::pin_of_line(line), asserted, &mut self.effects);
            }
            Effect::Ipi(ipi) => {
                for (vcpu, accepted) in lapic::deliver(&mut state.lapics, &ipi) {
                    signal(&mut state.signals[vcpu], accepted);
                }
            }
            Effect::Intr { asserted } => {
                for (lapic, signals) in state.lapics.iter_mut().zip(&mut state.signals) {
                    signal(signals, lapic.set_lint(0, asserted));
                }
            }
            Effect::Eoi { vector } => state.ioapic.eoi(vector, &mut self.effects),
            Effect::Console(bytes) => self.print(&bytes, now, retired),
            Effect::Frame { nic, bytes } => {
                self.outputs.push(now, OutputKind::Frame { nic, bytes });
            }
            Effect::Control(bytes) => self
                .outputs
                .push(now, OutputKind::Event(MachineEvent::Control(bytes))),
            Effect::Sdk(payload) => self
                .outputs
                .push(now, OutputKind::Event(MachineEvent::Sdk(payload))),
            Effect::BadSdkCall(why) => self.outputs.push(
                now,
                OutputKind::Event(MachineEvent::BadSdkCall(why.to_owned())),
            ),
            Effect::PowerOff => state.shutdown = Some(Shutdown::PowerOff),
            // A guest that asks for both at once is off.
            Effect::Reset => state.shutdown = state.shutdown.or(Some(Shutdown::Reset)),
        }
    }

    fn print(&mut self, bytes: &[u8], now: VirtTime, retired: u64) {
        if let Some(log) = &mut self.log {
            log.write(now, retired, &Event::Console(bytes.to_vec()));
        }
        self.outputs.print(now, bytes);
    }
}

/// Notes what an interrupt message demands of a vCPU besides a maskable interrupt, which its local
/// APIC remembers.
fn signal(signals: &mut Signals, accepted: Accepted) {
    match accepted {
        Accepted::Nmi => signals.nmi = true,
        Accepted::Init => {
            *signals = Signals {
                init: true,
                ..Signals::default()
            }
        }
        Accepted::Startup(page) => signals.startup = Some(page),
        // There is no system management mode to enter: a machine without firmware has no handler.
        Accepted::Smi | Accepted::Ignored | Accepted::Interrupt | Accepted::ExtInt => {}
    }
}
