//! The MC146818 real-time clock and its 128 bytes of CMOS RAM.
#![allow(unused_variables)]

use serde::{Deserialize, Serialize};

use super::{Deadline, Effect};
use crate::time::VirtTime;

/// The moment of power-on unless configured otherwise, 2024-01-01T00:00:00Z, in Unix seconds.
pub const DEFAULT_EPOCH: i64 = 1_704_067_200;

/// The index of the century register, which the FADT has to tell.
pub const CENTURY: u8 = 0x32;

/// The state of the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcState {
    index: u8,
}

impl RtcState {
    /// A clock that shows `epoch` (Unix seconds, UTC) at power-on.
    pub fn new(epoch: i64) -> Self {
        todo!()
    }

    /// Whether `port` belongs to the clock: 0x70 and 0x71.
    pub const fn owns(port: u16) -> bool {
        matches!(port, 0x70 | 0x71)
    }

    /// Reads a port.
    pub fn read(&mut self, port: u16, now: VirtTime, effects: &mut Vec<Effect>) -> u8 {
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

    /// Lets alarms and periodic and update interrupts (ISA interrupt 8) happen up to `now`.
    pub fn expire(&mut self, now: VirtTime, effects: &mut Vec<Effect>) {
        todo!()
    }
}
