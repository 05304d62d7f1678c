//! The first serial port (COM1): a 16550A.
#![allow(unused_variables)]

use serde::{Deserialize, Serialize};

use super::Effect;

/// The first of the eight ports.
pub const PORT: u16 = 0x3f8;

/// The ISA interrupt.
pub const IRQ: u32 = 4;

/// The state of the serial port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialState {
    line: bool,
}

impl SerialState {
    /// A port after reset.
    pub fn new() -> Self {
        todo!()
    }

    /// Whether `port` belongs to COM1: 0x3f8 to 0x3ff.
    pub const fn owns(port: u16) -> bool {
        port & !7 == PORT
    }

    /// Reads a port.
    pub fn read(&mut self, port: u16, effects: &mut Vec<Effect>) -> u8 {
        todo!()
    }

    /// Writes a port. A byte that goes out is an [`Effect::Console`].
    pub fn write(&mut self, port: u16, value: u8, effects: &mut Vec<Effect>) {
        todo!()
    }

    /// Puts `bytes` into the receive FIFO and returns how many of them fit.
    pub fn enqueue(&mut self, bytes: &[u8], effects: &mut Vec<Effect>) -> usize {
        todo!()
    }
}
