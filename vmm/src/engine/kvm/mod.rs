//! The KVM engine: the host's processor executes the guest, and everything else is the machine's.
//!
//! No interrupt controller, timer or clock of the host's kernel is used. What the guest does to a
//! device, a model-specific register that is not a plain one, or the interrupt controllers, leaves the
//! guest. These exits are all that can be counted, so that progress is made of them: each one counts
//! as a fixed number of instructions by its kind, and a budget ends at the first exit at or behind it.
//! Interrupts are delivered at exits. A guest that does not exit is stopped by one of the host's timers,
//! which is not a function of its inputs and is therefore reported instead of hidden.

#[cfg(test)]
mod avx;
mod cpuid;
mod exit;
mod fpu;
mod host;
mod ioctl;
mod kick;
mod msr;
mod preempt;
pub(super) mod probe;
mod ram;
mod state;
#[cfg(test)]
mod tests;
mod vcpu;

use std::path::Path;

use chaosrun_x86::{Activity, Bus, CpuModel, CpuState, Exit, Memory};
use kvm_ioctls::VmFd;

use super::{Engine, EngineError, EngineOptions};
#[cfg(test)]
pub(crate) use tests::has_kvm;
use vcpu::Vcpu;

/// The engine's name.
const NAME: &str = "kvm";

/// The vCPUs of one machine on the host's KVM.
pub(super) struct Kvm {
    // Dropped in this order: the vCPUs before the machine that they belong to.
    vcpus: Vec<Vcpu>,
    vm: VmFd,
    slots: ram::Slots,
    options: EngineOptions,
}

impl Kvm {
    /// Makes the vCPUs of a machine.
    ///
    /// # Errors
    /// If this host's KVM can't.
    pub(super) fn new(model: &CpuModel, options: &EngineOptions) -> Result<Self, EngineError> {
        let unavailable = |why: host::HostError| EngineError::Unavailable {
            engine: NAME,
            why: why.to_string(),
        };
        let kvm = host::open(Path::new(host::DEVICE)).map_err(unavailable)?;
        cpuid::check_host(&kvm).map_err(unavailable)?;
        if model.avx2 {
            probe::check_avx2().map_err(unavailable)?;
        }
        let exact_windows = probe::windows_are_exact();
        let vm = host::create_vm(&kvm).map_err(unavailable)?;
        let vcpus = (0..model.cpus)
            .map(|id| Vcpu::new(&kvm, &vm, model, id, exact_windows))
            .collect::<Result<_, _>>()
            .map_err(unavailable)?;
        Ok(Self {
            vcpus,
            vm,
            slots: ram::Slots::default(),
            options: *options,
        })
    }

    fn vcpu(&self, vcpu: u32) -> &Vcpu {
        &self.vcpus[vcpu as usize]
    }

    fn vcpu_mut(&mut self, vcpu: u32) -> &mut Vcpu {
        &mut self.vcpus[vcpu as usize]
    }
}

/// An error of the host's while it served `vcpu`.
fn host_error(vcpu: u32) -> impl FnOnce(String) -> EngineError {
    move |what| EngineError::Host {
        engine: NAME,
        vcpu,
        what,
    }
}

impl Engine for Kvm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn vcpus(&self) -> u32 {
        self.vcpus.len() as u32
    }

    fn run(
        &mut self,
        vcpu: u32,
        memory: &mut Memory,
        bus: &mut dyn Bus,
        budget: u64,
    ) -> Result<Exit, EngineError> {
        self.slots
            .follow(&self.vm, memory)
            .map_err(|error| host_error(vcpu)(error.to_string()))?;
        let options = &self.options;
        self.vcpus[vcpu as usize].run(memory, bus, budget, options)
    }

    fn interruptible(&self, vcpu: u32) -> bool {
        self.vcpu(vcpu).interruptible()
    }

    fn nmi_acceptable(&self, vcpu: u32) -> bool {
        self.vcpu(vcpu).nmi_acceptable()
    }

    fn request_interrupt_window(&mut self, vcpu: u32, wanted: bool) {
        self.vcpu_mut(vcpu).request_window(wanted);
    }

    fn inject_interrupt(
        &mut self,
        vcpu: u32,
        _memory: &mut Memory,
        _bus: &mut dyn Bus,
        vector: u8,
    ) -> Result<Option<Exit>, EngineError> {
        self.vcpu_mut(vcpu)
            .interrupt(vector)
            .map_err(host_error(vcpu))?;
        Ok(None)
    }

    fn inject_nmi(
        &mut self,
        vcpu: u32,
        _memory: &mut Memory,
        _bus: &mut dyn Bus,
    ) -> Result<Option<Exit>, EngineError> {
        self.vcpu_mut(vcpu).nmi().map_err(host_error(vcpu))?;
        Ok(None)
    }

    fn init(&mut self, vcpu: u32) -> Result<(), EngineError> {
        self.vcpu_mut(vcpu).init().map_err(host_error(vcpu))
    }

    fn sipi(&mut self, vcpu: u32, vector: u8) -> Result<(), EngineError> {
        self.vcpu_mut(vcpu).sipi(vector).map_err(host_error(vcpu))
    }

    fn retired(&self, vcpu: u32) -> u64 {
        self.vcpu(vcpu).progress()
    }

    fn activity(&self, vcpu: u32) -> Activity {
        self.vcpu(vcpu).activity()
    }

    fn state(&self, vcpu: u32) -> Result<CpuState, EngineError> {
        self.vcpu(vcpu).state().map_err(host_error(vcpu))
    }

    fn set_state(&mut self, vcpu: u32, state: &CpuState) -> Result<(), EngineError> {
        self.vcpu_mut(vcpu).store(state).map_err(host_error(vcpu))
    }

    fn hash_into(&self, vcpu: u32, sink: &mut dyn FnMut(&[u8])) -> Result<(), EngineError> {
        let state = self.state(vcpu)?;
        let bytes = postcard::to_allocvec(&state).expect("a CPU's state has a postcard form");
        sink(&bytes);
        Ok(())
    }

    fn collect_dirty(&mut self, memory: &mut Memory) -> Result<(), EngineError> {
        self.slots
            .collect_dirty(&self.vm, memory)
            .map_err(|error| host_error(0)(error.to_string()))
    }

    fn caveats(&self) -> Vec<String> {
        let mut caveats: Vec<String> = probe::NATIVE.iter().map(|&line| line.to_owned()).collect();
        let late: u64 = self.vcpus.iter().map(|vcpu| vcpu.counters.late_stops).sum();
        if late > 0 {
            caveats.push(format!(
                "the guest was stopped {late} times by the host's timer: this run is not deterministic"
            ));
        }
        caveats
    }
}
