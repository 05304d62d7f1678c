//! The 8254 interval timer and the system control port 0x61.
#![allow(unused_variables)]

use serde::{Deserialize, Serialize};

use super::{Deadline, Effect};
use crate::time::VirtTime;

/// The state of the timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PitState {
    control: u8,
}

impl PitState {
    /// A timer whose channels have not been programmed.
    pub fn new() -> Self {
        todo!()
    }

    /// Whether `port` belongs to the timer: 0x40 to 0x43 and 0x61.
    pub const fn owns(port: u16) -> bool {
        matches!(port, 0x40..=0x43 | 0x61)
    }

    /// Reads a port.
    pub fn read(&mut self, port: u16, now: VirtTime) -> u8 {
        todo!()
    }

    /// Writes a port.
    pub fn write(&mut self, port: u16, value: u8, now: VirtTime, effects: &mut Vec<Effect>) {
        todo!()
    }

    /// The moment at which [`Self::expire`] wants to be called.
    pub fn deadline(&self) -> Deadline {
        todo!()
    }

    /// Lets the output of channel 0 (ISA interrupt 0) follow the time.
    pub fn expire(&mut self, now: VirtTime, effects: &mut Vec<Effect>) {
        todo!()
    }
}
