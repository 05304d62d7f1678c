//! The ways to reset and to switch off the machine, and the ports that only debuggers look at.
#![allow(unused_variables)]

use serde::{Deserialize, Serialize};

use super::Effect;

/// SLEEP_CONTROL_REG of the hardware-reduced ACPI (ACPI 6.5, 4.8.3.7), one byte of I/O space.
pub const SLEEP_CONTROL_PORT: u16 = 0x600;

/// SLEEP_STATUS_REG of the hardware-reduced ACPI, one byte of I/O space.
pub const SLEEP_STATUS_PORT: u16 = 0x601;

/// RESET_REG of the FADT, one byte of I/O space.
pub const RESET_PORT: u16 = 0x602;

/// The RESET_VALUE of the FADT.
pub const RESET_VALUE: u8 = 0x01;

/// The sleep type that the DSDT's `\_S5` package has to name.
pub const SLEEP_TYPE_S5: u8 = 5;

/// The state of the reset and power-off logic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetState {
    control: u8,
}

impl ResetState {
    /// The logic after power-on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `port` is served here: the keyboard controller's 0x60 and 0x64, 0xcf9, the ACPI
    /// block and the debug ports 0x80, 0xe9, 0xed and 0x402.
    pub const fn owns(port: u16) -> bool {
        matches!(
            port,
            0x60 | 0x64 | 0x80 | 0xe9 | 0xed | 0x402 | 0xcf9 | SLEEP_CONTROL_PORT..=RESET_PORT
        )
    }

    /// Reads a port.
    pub fn read(&self, port: u16) -> u8 {
        todo!()
    }

    /// Writes a port.
    pub fn write(&mut self, port: u16, value: u8, effects: &mut Vec<Effect>) {
        todo!()
    }
}
