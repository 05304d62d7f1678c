//! A CPU as it is saved and put back: unlike [`CpuState`], with what it remembers of page tables.
//!
//! What is saved is what [`Cpu::hash_into`] feeds. It has no host pointers, and nothing in it depends on
//! which code was decoded or compiled.

use serde::{Deserialize, Serialize};

use crate::cpu::Cpu;
use crate::state::CpuState;
use crate::tlb::SavedTlb;

/// Everything of a CPU that decides what it does next, between two calls of [`Cpu::run`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedCpu {
    state: CpuState,
    /// The page that instructions come from, or `u64::MAX`, and what to add to get its offset.
    code_page: u64,
    code_add: u64,
    tlb: SavedTlb,
}

impl SavedCpu {
    /// The architectural part.
    pub fn state(&self) -> &CpuState {
        &self.state
    }
}

impl Cpu {
    /// Saves the CPU. Not to be called from a bus access.
    pub fn save(&self) -> SavedCpu {
        // Every field is named, so that a new one can't be forgotten.
        let Self {
            code_page,
            code_add,
            tlb,
            // In the architectural state.
            regs: _,
            lazy: _,
            rip: _,
            rflags: _,
            retired_end: _,
            string_bytes: _,
            xmm: _,
            mxcsr: _,
            x87: _,
            system: _,
            watch_hits: _,
            // Follow from it: see `update_mode`, `update_tables` and `refresh_attention`.
            linear_mask: _,
            mode: _,
            mode_key: _,
            cpl: _,
            rough_segments: _,
            attention: _,
            tlb_read: _,
            tlb_write: _,
            tlb_execute: _,
            // Are of a run or of an instruction, and nothing of them outlives it.
            budget,
            reserve,
            ram: _,
            block: _,
            leave: _,
            stop: _,
            rest: _,
            next_is_plain: _,
            link: _,
            fault: _,
            fault_is_stack: _,
            no_step_trap: _,
            trap_due,
            debug_trap,
            spares_code: _,
            memory: _,
            code: _,
            bus: _,
            // What the machine has asked for, which it asks for again.
            window_wanted: _,
            // Only differences count.
            bus_calls: _,
            // Lead to compiled code, and are looked at anew before each use.
            code_place: _,
            landings: _,
            bound: _,
            blocks: _,
            // How far it has followed the protections of its memory, not of this one's content.
            cursor: _,
            // What it is.
            model: _,
            id: _,
        } = self;
        debug_assert!(
            (*budget, *reserve, *trap_due, *debug_trap) == (0, 0, false, false),
            "nothing of a run is left over behind it"
        );
        SavedCpu {
            state: self.state(),
            code_page: *code_page,
            code_add: *code_add,
            tlb: tlb.save(),
        }
    }

    /// Puts back what was saved of this CPU, or of another one with the same model and number. Its memory has
    /// to be what it was then. It is asked for no interrupt window.
    pub fn restore(&mut self, saved: &SavedCpu) {
        let SavedCpu {
            state,
            code_page,
            code_add,
            tlb,
        } = saved;
        self.window_wanted = false;
        self.set_state(state);
        self.tlb.restore(tlb);
        self.code_page = *code_page;
        self.code_add = *code_add;
    }
}
