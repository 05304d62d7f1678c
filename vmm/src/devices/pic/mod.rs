//! The pair of 8259A interrupt controllers of a PC, and its edge/level control registers.

use serde::{Deserialize, Serialize};

use super::Effect;
use chip::Chip;

mod chip;
#[cfg(test)]
mod tests;

/// The input of the first controller that the second one is wired to.
const CASCADE: u8 = 2;

/// The inputs that can be level-triggered: not the timer, the keyboard, the cascade, the clock and
/// the coprocessor.
const LEVEL_CAPABLE: [u8; 2] = [0xf8, 0xde];

/// The state of the pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicState {
    chips: [Chip; 2],
    output: bool,
}

impl Default for PicState {
    fn default() -> Self {
        Self::new()
    }
}

impl PicState {
    /// Both controllers after power-on, with every input masked until they are programmed.
    pub fn new() -> Self {
        Self {
            chips: [Chip::new(), Chip::new()],
            output: false,
        }
    }

    /// Whether `port` belongs to the pair: 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1.
    pub const fn owns(port: u16) -> bool {
        matches!(port, 0x20 | 0x21 | 0xa0 | 0xa1 | 0x4d0 | 0x4d1)
    }

    /// Reads a port.
    pub fn read(&mut self, port: u16, effects: &mut Vec<Effect>) -> u8 {
        let value = match port {
            0x20 | 0x21 => self.chips[0].read(port & 1 != 0),
            0xa0 | 0xa1 => self.chips[1].read(port & 1 != 0),
            0x4d0 => self.chips[0].level_triggered(),
            0x4d1 => self.chips[1].level_triggered(),
            _ => 0xff,
        };
        // A poll acknowledges an interrupt.
        self.update(effects);
        value
    }

    /// Writes a port.
    pub fn write(&mut self, port: u16, value: u8, effects: &mut Vec<Effect>) {
        match port {
            0x20 | 0x21 => self.chips[0].write(port & 1 != 0, value),
            0xa0 | 0xa1 => self.chips[1].write(port & 1 != 0, value),
            0x4d0 => self.chips[0].set_level_triggered(value & LEVEL_CAPABLE[0]),
            0x4d1 => self.chips[1].set_level_triggered(value & LEVEL_CAPABLE[1]),
            _ => {}
        }
        self.update(effects);
    }

    /// Sets the level of the ISA interrupt `line` (0 to 15; 2 is the cascade and ignored).
    pub fn set_line(&mut self, line: u32, asserted: bool, effects: &mut Vec<Effect>) {
        if line > 15 || line == u32::from(CASCADE) {
            return;
        }
        self.chips[(line >> 3) as usize].set_input((line & 7) as u8, asserted);
        self.update(effects);
    }

    /// Whether the pair requests an interrupt. Each change is also an [`Effect::Intr`].
    pub fn output(&self) -> bool {
        self.output
    }

    /// The CPU acknowledges an interrupt and gets its vector; the spurious one (input 7) if none is
    /// requested any more.
    pub fn acknowledge(&mut self, effects: &mut Vec<Effect>) -> u8 {
        let first = self.chips[0].acknowledge();
        let vector = if first == Some(CASCADE) {
            let second = self.chips[1].acknowledge();
            self.chips[1].vector(second.unwrap_or(7))
        } else {
            self.chips[0].vector(first.unwrap_or(7))
        };
        self.update(effects);
        vector
    }

    /// Lets the second controller's output reach the first one, and that one's the CPU.
    fn update(&mut self, effects: &mut Vec<Effect>) {
        let second = self.chips[1].requested(false).is_some();
        self.chips[0].set_cascade(CASCADE, second);
        let output = self.chips[0].requested(true).is_some();
        if output != self.output {
            self.output = output;
            effects.push(Effect::Intr { asserted: output });
        }
    }
}
