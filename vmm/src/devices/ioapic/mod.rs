//! The I/O APIC: 24 pins (Intel 82093AA, with the EOI register of version 0x20).
#![allow(unused_variables)]

use serde::{Deserialize, Serialize};

use super::Effect;

/// The physical address of the register page.
pub const BASE: u64 = 0xfec0_0000;

/// The size of the register page in bytes.
pub const PAGE_SIZE: u64 = 0x1000;

/// The number of pins.
pub const PINS: u32 = 24;

/// The pin of an interrupt line: ISA interrupt 0 arrives at pin 2, as the MADT has to tell.
pub const fn pin_of_line(line: u32) -> u32 {
    if line == 0 { 2 } else { line }
}

/// The state of the I/O APIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoapicState {
    redirection: [u64; PINS as usize],
}

impl IoapicState {
    /// An I/O APIC after reset, with all pins masked. `id` is its APIC ID (4 bits).
    pub fn new(id: u8) -> Self {
        todo!()
    }

    /// Reads the 32-bit register at `offset` of the register page.
    pub fn read(&self, offset: u32) -> u32 {
        todo!()
    }

    /// Writes the 32-bit register at `offset` of the register page.
    pub fn write(&mut self, offset: u32, value: u32, effects: &mut Vec<Effect>) {
        todo!()
    }

    /// Sets the level of `pin` (not line: see [`pin_of_line`]).
    pub fn set_line(&mut self, pin: u32, asserted: bool, effects: &mut Vec<Effect>) {
        todo!()
    }

    /// A local APIC finished the level-triggered interrupt `vector`.
    pub fn eoi(&mut self, vector: u8, effects: &mut Vec<Effect>) {
        todo!()
    }
}
