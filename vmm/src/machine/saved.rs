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
    vcpus: Vec<SavedVcpu>,
    ram: Pages,
    platform: SavedPlatform,
    scheduler: SchedState,
    chain: u128,
    booted: Booted,
    windows: u32,
    over: Option<Stop>,
}

/// What surrounds the vCPUs.
#[derive(Clone)]
struct SavedPlatform {
    state: PlatformState,
    random: StreamState,
    entropy: StreamState,
    tsc_reads: u64,
    outputs: Outputs,
    disks: Vec<Disk>,
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
            // Follow from the content of RAM.
            pages: _,
            chain,
            // What it is, and where its code is.
            model: _,
            code: _,
            booted,
            external_input: _,
            windows,
            over,
            poisoned,
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
        for (vcpu, saved) in (0..).zip(vcpus) {
            self.engine.restore(vcpu, saved)?;
            let wanted = windows >> vcpu & 1 != 0;
            self.engine.request_interrupt_window(vcpu, wanted);
        }
        self.platform.restore(platform);
        self.scheduler.set_state(scheduler, &self.platform.tape);
        self.chain = *chain;
        self.booted = booted.clone();
        self.windows = *windows;
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
        let ram = GuestRam::new(config.memory)?;
        let mut machine = Self::assemble(config, engine, ram, saved.booted.clone());
        machine.restore(saved)?;
        Ok(machine)
    }
}

impl Platform {
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
            tape: _,
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
        self.random = self.tape.resume(random);
        self.entropy = self.tape.resume(entropy);
        self.tsc_reads = *tsc_reads;
        self.outputs.clone_from(outputs);
        self.disks.clone_from(disks);
        for disk in &mut self.disks {
            disk.decide_by(&self.tape);
        }
    }
}
