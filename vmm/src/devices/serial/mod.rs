//! The first serial port (COM1): a 16550A.
//!
//! The registers are those of [`vm_superio::Serial`], which lives only for the time of an access:
//! what stays is [`SerialState`]. That model triggers an interrupt as an event; here it is a level,
//! which stays up while an enabled condition holds, and a condition that a read of the
//! identification register did not report is not lost.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use vm_superio::serial::{NoEvents, Serial};
use vm_superio::{SerialState as Uart, Trigger};

use super::Effect;

#[cfg(test)]
mod tests;

/// The first of the eight ports.
pub const PORT: u16 = 0x3f8;

/// The ISA interrupt.
pub const IRQ: u32 = 4;

/// The size of the receive FIFO in bytes.
pub const FIFO_SIZE: usize = 64;

/// Offsets of registers.
const FIFO_CONTROL: u8 = 2;
const IDENTIFICATION: u8 = 2;

/// Conditions in the interrupt enable register.
const ENABLE_RECEIVED: u8 = 1 << 0;
const ENABLE_TRANSMITTED: u8 = 1 << 1;

/// Values of the interrupt identification register.
const NO_INTERRUPT: u8 = 1 << 0;
const TRANSMITTED: u8 = 1 << 1;
const RECEIVED: u8 = 1 << 2;

const FIFO_CLEAR_RECEIVED: u8 = 1 << 1;
const LINE_STATUS_RECEIVED: u8 = 1 << 0;
const MODEM_OUT2: u8 = 1 << 3;
const MODEM_LOOPBACK: u8 = 1 << 4;

/// The state of the serial port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialState {
    baud_divisor: [u8; 2],
    interrupt_enable: u8,
    interrupt_identification: u8,
    line_control: u8,
    line_status: u8,
    modem_control: u8,
    modem_status: u8,
    scratch: u8,
    received: Vec<u8>,
    /// The level of the interrupt line.
    line: bool,
}

impl Default for SerialState {
    fn default() -> Self {
        Self::new()
    }
}

impl SerialState {
    /// A port after reset.
    pub fn new() -> Self {
        Self::from_uart(Uart::default(), false)
    }

    /// Whether `port` belongs to COM1: 0x3f8 to 0x3ff.
    pub const fn owns(port: u16) -> bool {
        port & !7 == PORT
    }

    /// Reads a port.
    pub fn read(&mut self, port: u16, effects: &mut Vec<Effect>) -> u8 {
        let offset = (port & 7) as u8;
        let both = self.interrupt_identification & (RECEIVED | TRANSMITTED);
        let mut value = 0;
        self.step(|uart| value = uart.read(offset), effects);
        if offset == IDENTIFICATION && both == RECEIVED | TRANSMITTED {
            // Only the first of two conditions is reported, and only what is reported is cleared.
            value &= !TRANSMITTED;
            self.interrupt_identification |= TRANSMITTED;
            self.update(effects);
        }
        value
    }

    /// Writes a port. A byte that goes out is an [`Effect::Console`].
    pub fn write(&mut self, port: u16, value: u8, effects: &mut Vec<Effect>) {
        let offset = (port & 7) as u8;
        if offset == FIFO_CONTROL && value & FIFO_CLEAR_RECEIVED != 0 {
            self.received.clear();
        }
        self.step(
            |uart| {
                // Neither the trigger nor the writer can fail, so there is no error to report.
                let _ = uart.write(offset, value);
            },
            effects,
        );
    }

    /// Puts `bytes` into the receive FIFO and returns how many of them fit. In loopback mode the
    /// port is cut off from the line, and none does.
    pub fn enqueue(&mut self, bytes: &[u8], effects: &mut Vec<Effect>) -> usize {
        let mut count = 0;
        self.step(
            |uart| count = uart.enqueue_raw_bytes(bytes).unwrap_or(0),
            effects,
        );
        count
    }

    /// Lets `access` happen to the registers, and brings the interrupt line and the console up to
    /// date.
    fn step(
        &mut self,
        access: impl FnOnce(&mut Serial<Untriggered, NoEvents, Vec<u8>>),
        effects: &mut Vec<Effect>,
    ) {
        // A FIFO of more than its size can only come from a snapshot that was tampered with.
        self.received.truncate(FIFO_SIZE);
        let Ok(mut uart) = Serial::from_state(&self.to_uart(), Untriggered, NoEvents, Vec::new())
        else {
            return;
        };
        access(&mut uart);
        *self = Self::from_uart(uart.state(), self.line);
        let sent = uart.into_writer();
        if !sent.is_empty() {
            effects.push(Effect::Console(sent));
        }
        self.update(effects);
    }

    /// Makes the identification register and the interrupt line agree with the conditions.
    fn update(&mut self, effects: &mut Vec<Effect>) {
        let mut conditions = self.interrupt_identification & TRANSMITTED;
        if self.interrupt_enable & ENABLE_TRANSMITTED == 0 {
            conditions = 0;
        }
        self.line_status &= !LINE_STATUS_RECEIVED;
        if !self.received.is_empty() {
            self.line_status |= LINE_STATUS_RECEIVED;
            if self.interrupt_enable & ENABLE_RECEIVED != 0 {
                conditions |= RECEIVED;
            }
        }
        self.interrupt_identification = if conditions == 0 {
            NO_INTERRUPT
        } else {
            conditions
        };
        // A PC connects the interrupt through OUT2, which loopback switches off.
        let connected = self.modem_control & (MODEM_OUT2 | MODEM_LOOPBACK) == MODEM_OUT2;
        let line = connected && conditions != 0;
        if line != self.line {
            self.line = line;
            effects.push(Effect::Irq {
                line: IRQ,
                asserted: line,
            });
        }
    }

    fn from_uart(uart: Uart, line: bool) -> Self {
        Self {
            baud_divisor: [uart.baud_divisor_low, uart.baud_divisor_high],
            interrupt_enable: uart.interrupt_enable,
            interrupt_identification: uart.interrupt_identification,
            line_control: uart.line_control,
            line_status: uart.line_status,
            modem_control: uart.modem_control,
            modem_status: uart.modem_status,
            scratch: uart.scratch,
            received: uart.in_buffer,
            line,
        }
    }

    fn to_uart(&self) -> Uart {
        Uart {
            baud_divisor_low: self.baud_divisor[0],
            baud_divisor_high: self.baud_divisor[1],
            interrupt_enable: self.interrupt_enable,
            interrupt_identification: self.interrupt_identification,
            line_control: self.line_control,
            line_status: self.line_status,
            modem_control: self.modem_control,
            modem_status: self.modem_status,
            scratch: self.scratch,
            in_buffer: self.received.clone(),
        }
    }
}

/// A trigger that does nothing, because the level of the line is derived from the state.
struct Untriggered;

impl Trigger for Untriggered {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        Ok(())
    }
}
