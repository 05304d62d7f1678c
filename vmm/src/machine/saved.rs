//! Saves a machine and puts it back.

use super::boot::Booted;
use super::config::{MachineConfig, MachineError};
use super::io::Outputs;
use super::node::Machine;
use super::platform::{Platform, PlatformState};
use super::sched::SchedState;
use super::stop::Stop;
use crate::disk::Disk;
use crate::engine::{self, EngineError, SavedVcpu};
use crate::ram::{GuestRam, Pages};
use crate::tape::StreamState;

/// A machine at a moment, with everything that decides what it does next, and what nobody has taken out of it
/// yet. It shares all pages of RAM and of disks with other moments as far as they are the same.
#[derive(Clone)]
pub struct SavedMachine {
    pub(super) vcpus: Vec<SavedVcpu>,
    pub(super) ram: Pages,
    pub(super) platform: SavedPlatform,
    pub(super) scheduler: SchedState,
    pub(super) chain: u128,
    pub(super) booted: Booted,
    pub(super) windows: u32,
    pub(super) over: Option<Stop>,
}

/// What surrounds the vCPUs.
#[derive(Clone)]
pub(super) struct SavedPlatform {
    pub state: PlatformState,
    pub random: StreamState,
    pub entropy: StreamState,
    pub tsc_reads: u64,
    pub outputs: Outputs,
    pub disks: Vec<Disk>,
}

impl Machine {
    /// Saves the machine. Its cost is that of what changed since it was saved or put back last. A determinism
    /// log is no part of it.
    ///
    /// # Errors
    /// If the engine itself failed.
    pub fn save(&mut self) -> Result<SavedMachine, EngineError> {
        // Every field is named, so that a new one can't be forgotten.
        let Self {
            engine,
            ram,
            platform,
            scheduler,
            chain,
            // What it is, and where its code is.
            model: _,
            image: _,
            code: _,
            booted,
            external_input: _,
            windows,
            over,
            poisoned,
            // Is about how it is run.
            stops_when_asked: _,
            jumps: _,
        } = self;
        if *poisoned {
            return Err(EngineError::Poisoned);
        }
        engine.collect_dirty(ram)?;
        let vcpus = (0..engine.vcpus()).map(|vcpu| engine.save(vcpu));
        Ok(SavedMachine {
            vcpus: vcpus.collect::<Result<_, _>>()?,
            ram: ram.save(),
            platform: platform.save(),
            scheduler: scheduler.state(),
            chain: *chain,
            booted: booted.clone(),
            windows: *windows,
            over: over.clone(),
        })
    }

    /// Has machines that are made of what is saved from now on share with each other what RAM holds now,
    /// until they write. That costs once what it holds, and makes each of them cheaper; no effect on results.
    ///
    /// # Errors
    /// If the engine itself failed.
    pub fn settle(&mut self) -> Result<(), EngineError> {
        self.engine.collect_dirty(&mut self.ram)?;
        self.ram.settle();
        Ok(())
    }

    /// How many pages of RAM were written since the machine was saved or put back last: what the next time
    /// costs.
    ///
    /// # Errors
    /// If the engine itself failed.
    pub fn pages_unsaved(&mut self) -> Result<usize, EngineError> {
        self.engine.collect_dirty(&mut self.ram)?;
        Ok(self.ram.unsaved())
    }

    /// Puts back what was saved of this machine, or of another one of the same configuration. Later decisions
    /// are those of this machine's tape. Its cost is that of what differs. Code that was decoded or compiled
    /// is kept where memory is the same. A determinism log goes on.
    ///
    /// # Errors
    /// If the engine itself failed. The machine is then poisoned: it can only be dropped.
    ///
    /// # Panics
    /// If the other one has another number of vCPUs or another size of RAM.
    pub fn restore(&mut self, saved: &SavedMachine) -> Result<(), EngineError> {
        let SavedMachine {
            vcpus,
            ram,
            platform,
            scheduler,
            chain,
            booted,
            windows,
            over,
        } = saved;
        assert_eq!(
            vcpus.len(),
            self.engine.vcpus() as usize,
            "what is put back is of the same configuration"
        );
        self.poisoned = true;
        self.engine.collect_dirty(&mut self.ram)?;
        self.ram.restore(ram);
        self.restore_vcpus(vcpus, *windows)?;
        self.platform.restore(platform);
        self.scheduler
            .set_state(scheduler, self.platform.tape_now());
        self.chain = *chain;
        self.booted = booted.clone();
        self.over = over.clone();
        self.poisoned = false;
        Ok(())
    }

    /// Makes a machine that goes on where another one of the same configuration was saved, with the decisions
    /// of its own tape.
    ///
    /// # Errors
    /// If the configuration is not possible, or the engine failed.
    pub fn resume(config: &MachineConfig<'_>, saved: &SavedMachine) -> Result<Self, MachineError> {
        let model = config.processor();
        let engine = engine::build(config.engine, &model, &config.engine_options, &config.code)?;
        let ram = GuestRam::of(&saved.ram)?;
        let mut machine = Self::assemble(config, engine, ram, saved.booted.clone());
        machine.restore(saved)?;
        Ok(machine)
    }
}

impl Machine {
    fn restore_vcpus(&mut self, vcpus: &[SavedVcpu], windows: u32) -> Result<(), EngineError> {
        for (vcpu, saved) in (0..).zip(vcpus) {
            self.engine.restore(vcpu, saved)?;
            let wanted = windows >> vcpu & 1 != 0;
            self.engine.request_interrupt_window(vcpu, wanted);
        }
        self.windows = windows;
        Ok(())
    }

    /// Makes a machine that goes on where another one with its image was saved in front of the answer to the
    /// question who it is.
    pub(super) fn begin(
        config: &MachineConfig<'_>,
        saved: &SavedMachine,
    ) -> Result<Self, MachineError> {
        let SavedMachine {
            vcpus,
            ram,
            platform,
            scheduler,
            // Nothing was hashed yet.
            chain: _,
            booted,
            windows,
            // It goes on.
            over: _,
        } = saved;
        let model = config.processor();
        let engine = engine::build(config.engine, &model, &config.engine_options, &config.code)?;
        let memory = GuestRam::of(ram)?;
        let mut machine = Self::assemble(config, engine, memory, booted.clone());
        machine.restore_vcpus(vcpus, *windows)?;
        machine.platform.begin(platform);
        machine
            .scheduler
            .set_state(scheduler, &machine.platform.image_tape);
        Ok(machine)
    }
}

impl Platform {
    /// Goes on where a platform with the same image was saved, with what this one has of its node and its
    /// life.
    fn begin(&mut self, saved: &SavedPlatform) {
        let SavedPlatform {
            state,
            random,
            tsc_reads,
            // Were given out already, or have not been drawn from.
            outputs: _,
            entropy: _,
            disks: _,
        } = saved;
        let own = &self.state;
        // Every field is named, so that it is said of a new one whose it is.
        self.state = PlatformState {
            clock: state.clock.clone(),
            tsc: state.tsc,
            lapics: state.lapics.clone(),
            ioapic: state.ioapic.clone(),
            pic: state.pic.clone(),
            pit: state.pit.clone(),
            rtc: state.rtc.clone(),
            serial: state.serial.clone(),
            reset: state.reset.clone(),
            signals: state.signals.clone(),
            shutdown: state.shutdown,
            unclaimed: state.unclaimed,
            timer_delay: state.timer_delay,
            attention: state.attention.clone(),
            tsc_read: state.tsc_read,
            introduced: state.introduced,
            // The call is the guest's, and all else the node's.
            sdk: own.sdk.clone().with_call_of(&state.sdk),
            wall: own.wall,
            virtio: own.virtio.clone(),
        };
        self.random = self.image_tape.resume(random);
        self.tsc_reads = *tsc_reads;
    }

    fn save(&self) -> SavedPlatform {
        let Self {
            state,
            random,
            tsc_reads,
            // Is no part of the machine.
            log: _,
            // Is made for each turn.
            plan: _,
            outputs,
            disks,
            entropy,
            // What it is.
            tape: _,
            image_tape: _,
            identity: _,
            effects,
        } = self;
        debug_assert!(effects.is_empty(), "a step has carried out its effects");
        SavedPlatform {
            state: state.clone(),
            random: random.state().clone(),
            entropy: entropy.state().clone(),
            tsc_reads: *tsc_reads,
            outputs: outputs.clone(),
            disks: disks.clone(),
        }
    }

    fn restore(&mut self, saved: &SavedPlatform) {
        let SavedPlatform {
            state,
            random,
            entropy,
            tsc_reads,
            outputs,
            disks,
        } = saved;
        self.state.clone_from(state);
        self.random = self.tape_now().resume(random);
        self.entropy = self.tape.resume(entropy);
        self.tsc_reads = *tsc_reads;
        self.outputs.clone_from(outputs);
        self.disks.clone_from(disks);
        for disk in &mut self.disks {
            disk.decide_by(&self.tape);
        }
    }
}
