//! What executes a machine's instructions.
//!
//! An engine owns the vCPUs and nothing else: RAM, devices, interrupt controllers and the clock are
//! the machine's, and are the same for every engine. The machine lends the engine its RAM and its bus
//! for the time of one call. Only this folder knows which engines there are.

pub mod doctor;
mod exact;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod kvm;
mod probe;

use chaosrun_x86::{
    Activity, Bus, CodeCache, CodeStore, CpuModel, CpuState, Exit, Memory, SavedCpu,
};
use serde::{Deserialize, Serialize};

/// The engines that there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// The software CPU: deterministic to the instruction on any host.
    #[default]
    Exact,
    /// The host's KVM: faster, and deterministic only as far as the host lets it be.
    Kvm,
}

/// The settings of an engine besides the identity of its processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineOptions {
    /// Go on when a guest had to be stopped at a point that is not a function of its inputs, instead
    /// of ending with [`EngineError::NotDeterministic`]. The exact engine never has to.
    pub allow_nondeterminism: bool,
    /// For how many milliseconds of the host's processor time a guest may run without an exit before
    /// it is stopped. It has no effect on guests that exit in time.
    pub patience_ms: u64,
    /// After how many executions the exact engine compiles a block of the guest's code to the host's; 0 for
    /// never. It changes nothing but the time that things take.
    pub compile_after: u8,
}

impl EngineOptions {
    /// For a guest that may be stopped anywhere: soon, since its timers tick only then.
    pub const NONDETERMINISTIC: Self = Self {
        allow_nondeterminism: true,
        patience_ms: 10,
        compile_after: CodeCache::COMPILE_AFTER,
    };
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            allow_nondeterminism: false,
            patience_ms: 10_000,
            compile_after: CodeCache::COMPILE_AFTER,
        }
    }
}

/// Why an engine could not go on. Unlike an [`Exit`] this is not the guest's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// This host can't run the engine.
    #[error("the {engine} engine can't be used on this host: {why}")]
    Unavailable {
        /// The engine's name.
        engine: &'static str,
        /// What is missing, and what would help.
        why: String,
    },
    /// The engine does not have what the processor is to have.
    #[error("the {engine} engine has no {what}")]
    Lacks {
        /// The engine's name.
        engine: &'static str,
        /// What it lacks, and which engine has it.
        what: &'static str,
    },
    /// The host refused or misbehaved.
    #[error("the {engine} engine failed on vCPU {vcpu}: {what}")]
    Host {
        /// The engine's name.
        engine: &'static str,
        /// The index of the vCPU.
        vcpu: u32,
        /// What happened, with the guest's instruction pointer where that helps.
        what: String,
    },
    /// The guest had to be stopped at a point that is not a function of the machine's inputs.
    #[error(
        "vCPU {vcpu} ran for {ran_ms} ms without an exit and was stopped at {rip:#x}; from here on the \
         run is not deterministic"
    )]
    NotDeterministic {
        /// The index of the vCPU.
        vcpu: u32,
        /// Milliseconds of host time without an exit.
        ran_ms: u64,
        /// The instruction pointer.
        rip: u64,
    },
    /// The machine has to execute from now on, and could not be made for that.
    #[error("the machine can't be made: {why}")]
    NotMade {
        /// Why.
        why: String,
    },
    /// Something was to be put back, and part of it was not.
    #[error("the machine was put back in part only, and can't be used any more")]
    Poisoned,
}

/// A vCPU as it is saved and put back, on any engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SavedVcpu {
    /// With what the exact engine remembers of page tables.
    Exact(Box<SavedCpu>),
    /// What an engine has that can't say what it remembers.
    Architectural(Box<CpuState>),
}

impl SavedVcpu {
    /// The architectural state.
    pub fn state(&self) -> &CpuState {
        match self {
            Self::Exact(saved) => saved.state(),
            Self::Architectural(state) => state,
        }
    }
}

/// The vCPUs of one machine.
///
/// *Progress* is what virtual time is made of: retired instructions on the exact engine. An engine
/// that can't count those charges its exits instead. Whatever it counts must be a function of the
/// machine's inputs.
pub trait Engine: Send {
    /// The engine's name, for reports.
    fn name(&self) -> &'static str;

    /// The number of vCPUs.
    fn vcpus(&self) -> u32;

    /// Runs `vcpu` until the bus asks to stop, an exit that the caller has to handle, or `budget`
    /// units of progress. An engine that can't stop in the midst of guest code stops at the first exit
    /// at or behind the budget, which is a function of the machine's inputs as well; if it has to stop
    /// elsewhere, it declares that with [`EngineError::NotDeterministic`].
    ///
    /// # Errors
    /// If the engine itself failed.
    fn run(
        &mut self,
        vcpu: u32,
        memory: &mut Memory,
        bus: &mut dyn Bus,
        budget: u64,
    ) -> Result<Exit, EngineError>;

    /// Whether `vcpu` would take a maskable interrupt now.
    fn interruptible(&self, vcpu: u32) -> bool;

    /// Whether `vcpu` would take an NMI now.
    fn nmi_acceptable(&self, vcpu: u32) -> bool;

    /// Asks that `run` returns [`Exit::InterruptWindow`] as soon as `vcpu` is interruptible, or
    /// withdraws that wish.
    fn request_interrupt_window(&mut self, vcpu: u32, wanted: bool);

    /// Delivers the maskable interrupt `vector` and wakes the vCPU. Only for an interruptible vCPU.
    /// The result is `Some` if the delivery ended in a triple fault or in something unimplemented.
    ///
    /// # Errors
    /// If the engine itself failed.
    fn inject_interrupt(
        &mut self,
        vcpu: u32,
        memory: &mut Memory,
        bus: &mut dyn Bus,
        vector: u8,
    ) -> Result<Option<Exit>, EngineError>;

    /// Delivers a non-maskable interrupt, as [`Self::inject_interrupt`] does.
    ///
    /// # Errors
    /// If the engine itself failed.
    fn inject_nmi(
        &mut self,
        vcpu: u32,
        memory: &mut Memory,
        bus: &mut dyn Bus,
    ) -> Result<Option<Exit>, EngineError>;

    /// INIT: resets `vcpu` and leaves it waiting for a start-up IPI.
    ///
    /// # Errors
    /// If the engine itself failed.
    fn init(&mut self, vcpu: u32) -> Result<(), EngineError>;

    /// A start-up IPI, which a vCPU that does not wait for one ignores.
    ///
    /// # Errors
    /// If the engine itself failed.
    fn sipi(&mut self, vcpu: u32, vector: u8) -> Result<(), EngineError>;

    /// Units of progress that `vcpu` has made since power-on.
    fn retired(&self, vcpu: u32) -> u64;

    /// What `vcpu` is doing.
    fn activity(&self, vcpu: u32) -> Activity;

    /// A copy of the architectural state of `vcpu`.
    ///
    /// # Errors
    /// If the engine itself failed.
    fn state(&self, vcpu: u32) -> Result<CpuState, EngineError>;

    /// Replaces the architectural state of `vcpu`.
    ///
    /// # Errors
    /// If the engine itself failed or does not support the state.
    fn set_state(&mut self, vcpu: u32, state: &CpuState) -> Result<(), EngineError>;

    /// Saves `vcpu`, between two runs of it.
    ///
    /// # Errors
    /// If the engine itself failed.
    fn save(&self, vcpu: u32) -> Result<SavedVcpu, EngineError> {
        Ok(SavedVcpu::Architectural(Box::new(self.state(vcpu)?)))
    }

    /// Puts back what was saved of `vcpu`, after its RAM. It is asked for no interrupt window. A vCPU that
    /// was saved on another engine goes on as one that remembers nothing of page tables.
    ///
    /// # Errors
    /// If the engine itself failed or does not support the state.
    fn restore(&mut self, vcpu: u32, saved: &SavedVcpu) -> Result<(), EngineError> {
        self.set_state(vcpu, saved.state())?;
        self.request_interrupt_window(vcpu, false);
        Ok(())
    }

    /// Feeds everything that decides what `vcpu` does next to `sink`. Equal vCPUs feed equal bytes.
    ///
    /// # Errors
    /// If the engine itself failed.
    fn hash_into(&self, vcpu: u32, sink: &mut dyn FnMut(&[u8])) -> Result<(), EngineError>;

    /// Marks in `memory` the pages that the engine knows to be written and `memory` does not, such
    /// as those of the host kernel's dirty log.
    ///
    /// # Errors
    /// If the engine itself failed.
    fn collect_dirty(&mut self, memory: &mut Memory) -> Result<(), EngineError>;

    /// What makes a run on this engine depend on more than the machine's inputs, a line each, for the
    /// report. None on an engine that keeps everything of the host from the guest.
    fn caveats(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Makes the vCPUs of a machine: vCPU 0 as after power-on, the others waiting for a start-up IPI. An
/// engine that compiles the guest's code has what it compiles in `code`.
///
/// # Errors
/// If this host can't run the engine, or the engine lacks what the model has.
pub fn build(
    kind: EngineKind,
    model: &CpuModel,
    options: &EngineOptions,
    code: &CodeStore,
) -> Result<Box<dyn Engine>, EngineError> {
    match kind {
        EngineKind::Exact => {
            let exact = exact::Exact::new(model, code, options.compile_after)?;
            Ok(Box::new(exact))
        }
        EngineKind::Kvm => build_kvm(model, options),
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn build_kvm(model: &CpuModel, options: &EngineOptions) -> Result<Box<dyn Engine>, EngineError> {
    Ok(Box::new(kvm::Kvm::new(model, options)?))
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn build_kvm(_model: &CpuModel, _options: &EngineOptions) -> Result<Box<dyn Engine>, EngineError> {
    Err(EngineError::Unavailable {
        engine: "kvm",
        why: "it needs Linux on an x86-64 processor".to_owned(),
    })
}

/// What tests of machines on an engine need.
#[cfg(test)]
pub(crate) mod tests {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) use super::kvm::has_kvm;
}
