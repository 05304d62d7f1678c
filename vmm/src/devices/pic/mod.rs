//! The pair of 8259A interrupt controllers of a PC, and its edge/level control registers.
#![allow(unused_variables)]

use serde::{Deserialize, Serialize};

use super::Effect;

/// The state of the pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicState {
    output: bool,
}

impl PicState {
    /// Both controllers after power-on, with every input masked until they are programmed.
    pub fn new() -> Self {
        todo!()
    }

    /// Whether `port` belongs to the pair: 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1.
    pub const fn owns(port: u16) -> bool {
        matches!(port, 0x20 | 0x21 | 0xa0 | 0xa1 | 0x4d0 | 0x4d1)
    }

    /// Reads a port.
    pub fn read(&mut self, port: u16, effects: &mut Vec<Effect>) -> u8 {
        todo!()
    }

    /// Writes a port.
    pub fn write(&mut self, port: u16, value: u8, effects: &mut Vec<Effect>) {
        todo!()
    }

    /// Sets the level of the ISA interrupt `line` (0 to 15; 2 is the cascade and ignored).
    pub fn set_line(&mut self, line: u32, asserted: bool, effects: &mut Vec<Effect>) {
        todo!()
    }

    /// Whether the pair requests an interrupt. Each change is also an [`Effect::Intr`].
    pub fn output(&self) -> bool {
        self.output
    }

    /// The CPU acknowledges an interrupt and gets its vector; the spurious one (IRQ 7) if none is
    /// requested any more.
    pub fn acknowledge(&mut self, effects: &mut Vec<Effect>) -> u8 {
        todo!()
    }
}
