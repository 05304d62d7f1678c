//! The exact engine: the software CPU of `chaosrun-x86`, which never fails and counts instructions.

use chaosrun_x86::{Activity, Bus, CodeCache, CodeStore, Cpu, CpuModel, CpuState, Exit, Memory};

use super::{Engine, EngineError, SavedVcpu};
use crate::last_words::LastWords;

/// The component of XCR0 for the upper halves of the YMM registers.
const XCR0_AVX: u64 = 1 << 2;
const NO_AVX: EngineError = EngineError::Lacks {
    engine: "exact",
    what: "AVX: its processor ends at SSE4.2; the kvm engine has AVX2 where the host has",
};

/// The vCPUs of one machine as software CPUs.
pub(super) struct Exact {
    cpus: Vec<Cpu>,
    /// What they have made of the code in memory: no state of the machine, which goes with the engine.
    code: CodeCache,
}

impl Exact {
    /// Compiled code is in `store`, and a block is compiled after `compile_after` executions.
    ///
    /// # Errors
    /// If the model has what this processor does not execute.
    pub(super) fn new(
        model: &CpuModel,
        store: &CodeStore,
        compile_after: u8,
    ) -> Result<Self, EngineError> {
        if model.avx2 {
            return Err(NO_AVX);
        }
        let mut cpus: Vec<Cpu> = (0..model.cpus)
            .map(|id| Cpu::new(id, model.clone()))
            .collect();
        cpus.iter_mut().skip(1).for_each(Cpu::init);
        let mut code = CodeCache::new();
        code.compile_after(compile_after);
        code.share(store);
        Ok(Self { cpus, code })
    }

    fn cpu(&self, vcpu: u32) -> &Cpu {
        &self.cpus[vcpu as usize]
    }

    fn cpu_mut(&mut self, vcpu: u32) -> &mut Cpu {
        &mut self.cpus[vcpu as usize]
    }
}

impl Engine for Exact {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn vcpus(&self) -> u32 {
        self.cpus.len() as u32
    }

    fn run(
        &mut self,
        vcpu: u32,
        memory: &mut Memory,
        bus: &mut dyn Bus,
        budget: u64,
    ) -> Result<Exit, EngineError> {
        let words = |cpu: &&mut Cpu| format!("vCPU {vcpu}: {:#x?}", cpu.state());
        let cpu = LastWords::new(&mut self.cpus[vcpu as usize], words);
        Ok(cpu.about.run(memory, &mut self.code, bus, budget))
    }

    fn interruptible(&self, vcpu: u32) -> bool {
        self.cpu(vcpu).interruptible()
    }

    fn nmi_acceptable(&self, vcpu: u32) -> bool {
        self.cpu(vcpu).nmi_acceptable()
    }

    fn request_interrupt_window(&mut self, vcpu: u32, wanted: bool) {
        self.cpu_mut(vcpu).request_interrupt_window(wanted);
    }

    fn inject_interrupt(
        &mut self,
        vcpu: u32,
        memory: &mut Memory,
        bus: &mut dyn Bus,
        vector: u8,
    ) -> Result<Option<Exit>, EngineError> {
        Ok(self.cpu_mut(vcpu).inject_interrupt(memory, bus, vector))
    }

    fn inject_nmi(
        &mut self,
        vcpu: u32,
        memory: &mut Memory,
        bus: &mut dyn Bus,
    ) -> Result<Option<Exit>, EngineError> {
        Ok(self.cpu_mut(vcpu).inject_nmi(memory, bus))
    }

    fn init(&mut self, vcpu: u32) -> Result<(), EngineError> {
        self.cpu_mut(vcpu).init();
        Ok(())
    }

    fn sipi(&mut self, vcpu: u32, vector: u8) -> Result<(), EngineError> {
        self.cpu_mut(vcpu).sipi(vector);
        Ok(())
    }

    fn retired(&self, vcpu: u32) -> u64 {
        self.cpu(vcpu).retired()
    }

    fn activity(&self, vcpu: u32) -> Activity {
        self.cpu(vcpu).activity()
    }

    fn state(&self, vcpu: u32) -> Result<CpuState, EngineError> {
        Ok(self.cpu(vcpu).state())
    }

    fn set_state(&mut self, vcpu: u32, state: &CpuState) -> Result<(), EngineError> {
        if state.xcr0 & XCR0_AVX != 0 || state.ymm_high != [[0; 2]; 16] {
            return Err(NO_AVX);
        }
        self.cpu_mut(vcpu).set_state(state);
        Ok(())
    }

    fn save(&self, vcpu: u32) -> Result<SavedVcpu, EngineError> {
        Ok(SavedVcpu::Exact(Box::new(self.cpu(vcpu).save())))
    }

    fn restore(&mut self, vcpu: u32, saved: &SavedVcpu) -> Result<(), EngineError> {
        match saved {
            SavedVcpu::Exact(saved) => {
                self.cpu_mut(vcpu).restore(saved);
                Ok(())
            }
            SavedVcpu::Architectural(state) => {
                self.set_state(vcpu, state)?;
                self.request_interrupt_window(vcpu, false);
                Ok(())
            }
        }
    }

    fn hash_into(&self, vcpu: u32, sink: &mut dyn FnMut(&[u8])) -> Result<(), EngineError> {
        self.cpu(vcpu).hash_into(sink);
        Ok(())
    }

    fn collect_dirty(&mut self, _memory: &mut Memory) -> Result<(), EngineError> {
        // Every store of the software CPU goes through `Memory`, which marks the page itself.
        Ok(())
    }
}
