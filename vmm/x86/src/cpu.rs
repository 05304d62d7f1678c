//! The CPU: its state, its caches and its run loop.

use crate::{Bus, CpuModel, CpuState, Exit, Memory};

/// One virtual CPU.
pub struct Cpu {}

#[allow(unused_variables)]
impl Cpu {
    /// A CPU after power-on reset (Intel SDM vol. 3, table 10-1). `id` is its index and APIC ID.
    pub fn new(id: u32, model: CpuModel) -> Self {
        todo!()
    }

    /// Runs at most `budget` instructions and returns why it stopped. With [`Exit::Budget`] exactly
    /// `budget` instructions were retired. A CPU that is not `Running` must not be run.
    pub fn run(&mut self, memory: &mut Memory, bus: &mut dyn Bus, budget: u64) -> Exit {
        todo!()
    }

    /// Whether a maskable interrupt would be taken now: IF is set and nothing shadows it.
    pub fn interruptible(&self) -> bool {
        todo!()
    }

    /// Whether an NMI would be taken now.
    pub fn nmi_acceptable(&self) -> bool {
        todo!()
    }

    /// Delivers the maskable interrupt `vector` and wakes the CPU if it was halted. Call it only if
    /// [`Self::interruptible`]. An exception during the delivery is delivered in turn; the result
    /// is `Some` only if that ends in a triple fault or in something unimplemented.
    pub fn inject_interrupt(&mut self, memory: &mut Memory, bus: &mut dyn Bus, vector: u8) -> Option<Exit> {
        todo!()
    }

    /// Delivers a non-maskable interrupt, as [`Self::inject_interrupt`] does.
    pub fn inject_nmi(&mut self, memory: &mut Memory, bus: &mut dyn Bus) -> Option<Exit> {
        todo!()
    }

    /// Asks [`Self::run`] to return [`Exit::InterruptWindow`] as soon as [`Self::interruptible`] is
    /// true, or withdraws that wish.
    pub fn request_interrupt_window(&mut self, wanted: bool) {
        todo!()
    }

    /// INIT: resets the CPU and leaves it waiting for a start-up IPI (SDM vol. 3, 10.4.7 and 11.4).
    pub fn init(&mut self) {
        todo!()
    }

    /// A start-up IPI: a CPU in `WaitForSipi` starts in real mode at `vector << 12`; any other
    /// ignores it.
    pub fn sipi(&mut self, vector: u8) {
        todo!()
    }

    /// Instructions retired since power-on. During a bus access this is the count before the
    /// accessing instruction.
    pub fn retired(&self) -> u64 {
        todo!()
    }

    /// Whether the CPU runs, is halted, waits for a start-up IPI or is shut down.
    pub fn activity(&self) -> crate::Activity {
        todo!()
    }

    /// A copy of the architectural state.
    pub fn state(&self) -> CpuState {
        todo!()
    }

    /// Replaces the architectural state and empties the translation caches.
    pub fn set_state(&mut self, state: &CpuState) {
        todo!()
    }

    /// Feeds everything that decides what this CPU does next, the architectural state and the TLB,
    /// as bytes to `sink`. Equal CPUs feed equal bytes.
    pub fn hash_into(&self, sink: &mut dyn FnMut(&[u8])) {
        todo!()
    }
}
