//! The I/O APIC: 24 pins (Intel 82093AA, with the EOI register of version 0x20).
//!
//! A level here is logical: a device asserts its line, whatever voltage that is. The polarity bit
//! of an entry is kept for the guest and changes nothing, because the tables that this machine
//! gives to the guest describe the polarity of each line as it is.

use serde::{Deserialize, Serialize};

use super::{Destination, Effect, Ipi};
use crate::invariant::invariant;

#[cfg(test)]
mod tests;

/// The physical address of the register page.
pub const BASE: u64 = 0xfec0_0000;

/// The size of the register page in bytes.
pub const PAGE_SIZE: u64 = 0x1000;

/// The number of pins.
pub const PINS: u32 = 24;

/// Offsets in the register page.
const SELECT: u32 = 0x00;
const WINDOW: u32 = 0x10;
const EOI: u32 = 0x40;

/// Indices of the registers behind the window.
const INDEX_ID: u8 = 0x00;
const INDEX_VERSION: u8 = 0x01;
const INDEX_ARBITRATION: u8 = 0x02;
const INDEX_REDIRECTION: u8 = 0x10;
const INDEX_LAST: u8 = INDEX_REDIRECTION + 2 * PINS as u8 - 1;

/// Fields of a redirection entry.
const LOGICAL: u64 = 1 << 11;
const REMOTE_IRR: u64 = 1 << 14;
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;

/// The bits of a redirection entry that software can write.
const WRITABLE: u64 = 0xff00_0000_0001_afff;

/// Delivery modes that can be level-triggered.
const MODE_FIXED: u8 = 0;
const MODE_LOWEST_PRIORITY: u8 = 1;

/// The pin of an interrupt line: ISA interrupt 0 arrives at pin 2, as the MADT has to tell.
pub const fn pin_of_line(line: u32) -> u32 {
    if line == 0 { 2 } else { line }
}

/// The state of the I/O APIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoapicState {
    id: u8,
    select: u8,
    /// The levels of the pins, one bit each.
    levels: u32,
    redirection: [u64; PINS as usize],
}

impl IoapicState {
    /// An I/O APIC after reset, with all pins masked. `id` is its APIC ID (4 bits).
    pub fn new(id: u8) -> Self {
        Self {
            id: id & 15,
            select: 0,
            levels: 0,
            redirection: [MASKED; PINS as usize],
        }
    }

    /// Reads the 32-bit register at `offset` of the register page.
    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            SELECT => self.select.into(),
            WINDOW => self.read_window(),
            _ => 0,
        }
    }

    fn read_window(&self) -> u32 {
        match self.select {
            INDEX_ID | INDEX_ARBITRATION => u32::from(self.id) << 24,
            INDEX_VERSION => (PINS - 1) << 16 | 0x20,
            INDEX_REDIRECTION..=INDEX_LAST => {
                let (pin, shift) = entry_of(self.select);
                (self.redirection[pin] >> shift) as u32
            }
            _ => 0,
        }
    }

    /// Writes the 32-bit register at `offset` of the register page.
    pub fn write(&mut self, offset: u32, value: u32, effects: &mut Vec<Effect>) {
        match offset {
            SELECT => self.select = value as u8,
            WINDOW => self.write_window(value, effects),
            EOI => self.eoi(value as u8, effects),
            _ => {}
        }
    }

    fn write_window(&mut self, value: u32, effects: &mut Vec<Effect>) {
        match self.select {
            INDEX_ID => self.id = (value >> 24 & 15) as u8,
            INDEX_REDIRECTION..=INDEX_LAST => {
                let (pin, shift) = entry_of(self.select);
                let writable = WRITABLE & 0xffff_ffff << shift;
                let entry = &mut self.redirection[pin];
                *entry = *entry & !writable | u64::from(value) << shift & writable;
                // An edge-triggered entry doesn't wait for an EOI. Guests change the trigger mode
                // to and fro to get rid of a remote IRR.
                if *entry & LEVEL == 0 {
                    *entry &= !REMOTE_IRR;
                }
                self.service_level(pin, effects);
                // An edge-triggered entry that waits for an EOI, which never comes, would be dead.
                let entry = self.redirection[pin];
                invariant!(
                    entry & REMOTE_IRR == 0 || entry & LEVEL != 0,
                    "edge-triggered pin {pin} waits for an EOI"
                );
            }
            _ => {}
        }
    }

    /// Sets the level of `pin` (not line: see [`pin_of_line`]). A rising edge at a masked
    /// edge-triggered pin is lost, as the data sheet demands.
    pub fn set_line(&mut self, pin: u32, asserted: bool, effects: &mut Vec<Effect>) {
        if pin >= PINS {
            return;
        }
        let bit = 1 << pin;
        let rising = asserted && self.levels & bit == 0;
        self.levels = if asserted {
            self.levels | bit
        } else {
            self.levels & !bit
        };
        let pin = pin as usize;
        let entry = self.redirection[pin];
        if entry & LEVEL != 0 {
            self.service_level(pin, effects);
        } else if rising && entry & MASKED == 0 {
            effects.push(message(entry));
        }
    }

    /// Whether `pin` is asserted.
    pub fn asserted(&self, pin: u32) -> bool {
        pin < PINS && self.levels >> pin & 1 != 0
    }

    /// A local APIC finished the level-triggered interrupt `vector`. A line that is still asserted
    /// asks again.
    pub fn eoi(&mut self, vector: u8, effects: &mut Vec<Effect>) {
        for pin in 0..PINS as usize {
            let entry = self.redirection[pin];
            if entry as u8 == vector && entry & REMOTE_IRR != 0 {
                self.redirection[pin] &= !REMOTE_IRR;
                self.service_level(pin, effects);
            }
        }
    }

    /// Sends the interrupt of a level-triggered pin that is asserted, unmasked and not waiting for
    /// an EOI. Other pins are left alone.
    fn service_level(&mut self, pin: usize, effects: &mut Vec<Effect>) {
        let entry = self.redirection[pin];
        let waiting = entry & (LEVEL | MASKED | REMOTE_IRR) == LEVEL;
        if !waiting || self.levels & 1 << pin == 0 {
            return;
        }
        self.redirection[pin] |= REMOTE_IRR;
        effects.push(message(entry));
    }
}

/// The pin of a redirection register, and the shift of that half of its entry.
fn entry_of(index: u8) -> (usize, u32) {
    let register = index - INDEX_REDIRECTION;
    (usize::from(register / 2), u32::from(register % 2) * 32)
}

/// The message that an entry sends.
fn message(entry: u64) -> Effect {
    let mode = (entry >> 8 & 7) as u8;
    let logical = entry & LOGICAL != 0;
    let id = (entry >> 56) as u32;
    let destination = if id == 0xff && !logical {
        Destination::All
    } else {
        Destination::Field { logical, id }
    };
    Effect::Ipi(Ipi {
        mode,
        vector: entry as u8,
        level: entry & LEVEL != 0 && matches!(mode, MODE_FIXED | MODE_LOWEST_PRIORITY),
        deassert: false,
        destination,
    })
}
