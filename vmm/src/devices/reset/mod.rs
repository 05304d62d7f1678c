//! The ways to reset and to switch off the machine, and the ports that only debuggers look at.

use serde::{Deserialize, Serialize};

use super::Effect;

#[cfg(test)]
mod tests;

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

/// The keyboard controller's data and command ports.
const KEYBOARD_DATA: u16 = 0x60;
const KEYBOARD_COMMAND: u16 = 0x64;

/// The keyboard controller's command that pulses the processor's reset pin.
const PULSE_RESET: u8 = 0xfe;

/// What the keyboard controller's status reads as. There is no controller behind the reset line:
/// its output buffer seems full for ever, so that a driver that empties it soon gives up, but the
/// input buffer is always free, so that no guest waits before a reset.
const KEYBOARD_STATUS: u8 = 0xfd;

/// The reset control register of PC chip sets.
const RESET_CONTROL: u16 = 0xcf9;
const RESET_CONTROL_PULSE: u8 = 1 << 2;

/// SLP_TYPx and SLP_EN in SLEEP_CONTROL_REG.
const SLEEP_TYPE_SHIFT: u8 = 2;
const SLEEP_ENABLE: u8 = 1 << 5;

/// What an unconnected port reads as.
const FLOATING: u8 = 0xff;

/// The state of the reset and power-off logic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetState {
    /// The reset control register.
    control: u8,
    /// SLEEP_CONTROL_REG without SLP_EN, which is write-only.
    sleep_control: u8,
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
            KEYBOARD_DATA
                | KEYBOARD_COMMAND
                | 0x80
                | 0xe9
                | 0xed
                | 0x402
                | RESET_CONTROL
                | SLEEP_CONTROL_PORT..=RESET_PORT
        )
    }

    /// Reads a port.
    pub fn read(&self, port: u16) -> u8 {
        match port {
            KEYBOARD_COMMAND => KEYBOARD_STATUS,
            RESET_CONTROL => self.control,
            SLEEP_CONTROL_PORT => self.sleep_control,
            // The machine never wakes up from a sleep, so that WAK_STS is never set.
            SLEEP_STATUS_PORT => 0,
            RESET_PORT => 0,
            _ => FLOATING,
        }
    }

    /// Writes a port.
    pub fn write(&mut self, port: u16, value: u8, effects: &mut Vec<Effect>) {
        match port {
            KEYBOARD_COMMAND if value == PULSE_RESET => effects.push(Effect::Reset),
            RESET_PORT if value == RESET_VALUE => effects.push(Effect::Reset),
            RESET_CONTROL => {
                let pulse = value & !self.control & RESET_CONTROL_PULSE != 0;
                self.control = value & 0x0e;
                if pulse {
                    effects.push(Effect::Reset);
                }
            }
            SLEEP_CONTROL_PORT => {
                self.sleep_control = value & !SLEEP_ENABLE;
                let off = SLEEP_ENABLE | SLEEP_TYPE_S5 << SLEEP_TYPE_SHIFT;
                if value & (SLEEP_ENABLE | 7 << SLEEP_TYPE_SHIFT) == off {
                    effects.push(Effect::PowerOff);
                }
            }
            _ => {}
        }
    }
}
