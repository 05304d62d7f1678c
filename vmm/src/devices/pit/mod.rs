//! The 8254 interval timer and the system control port 0x61.
//!
//! Channel 0 is wired to ISA interrupt 0, channel 2 to the speaker and to port 0x61; channel 1
//! refreshed the memory of the first PCs and is only there to be read. Counters are never
//! stepped: what they show and when they expire is computed from virtual time.

use serde::{Deserialize, Serialize};

use super::{Deadline, Effect};
use crate::time::VirtTime;
use channel::Channel;

mod channel;
#[cfg(test)]
mod tests;

/// The frequency of the counters in Hz.
pub const FREQUENCY: u64 = 1_193_182;

/// The ISA interrupt of channel 0.
pub const IRQ: u32 = 0;

const CONTROL: u16 = 0x43;
const SYSTEM_CONTROL: u16 = 0x61;

/// The channels by their use.
const TIMER: usize = 0;
const SPEAKER: usize = 2;

/// Half the period of the refresh bit of port 0x61 in ticks, about 15 µs.
const REFRESH_TICKS: u64 = 18;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The state of the timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PitState {
    channels: [Channel; 3],
    /// The writable bits of port 0x61: the gate of channel 2, the speaker and two check enables.
    system_control: u8,
    /// The level of the interrupt line.
    line: bool,
}

impl Default for PitState {
    fn default() -> Self {
        Self::new()
    }
}

impl PitState {
    /// A timer whose channels have not been programmed.
    pub fn new() -> Self {
        Self {
            channels: [Channel::new(true), Channel::new(true), Channel::new(false)],
            system_control: 0,
            line: false,
        }
    }

    /// Whether `port` belongs to the timer: 0x40 to 0x43 and 0x61.
    pub const fn owns(port: u16) -> bool {
        matches!(port, 0x40..=0x43 | 0x61)
    }

    /// Reads a port.
    pub fn read(&mut self, port: u16, now: VirtTime) -> u8 {
        let tick = tick_at(now);
        match port {
            0x40..=0x42 => self.channels[usize::from(port - 0x40)].read(tick),
            SYSTEM_CONTROL => {
                let refresh = u8::from(!(tick / REFRESH_TICKS).is_multiple_of(2));
                let output = u8::from(self.channels[SPEAKER].output(tick));
                self.system_control | refresh << 4 | output << 5
            }
            // The control register can't be read.
            _ => 0xff,
        }
    }

    /// Writes a port.
    pub fn write(&mut self, port: u16, value: u8, now: VirtTime, effects: &mut Vec<Effect>) {
        self.expire(now, effects);
        let tick = tick_at(now);
        match port {
            0x40..=0x42 => self.channels[usize::from(port - 0x40)].write(value, tick),
            CONTROL => self.write_control(value, tick, effects),
            SYSTEM_CONTROL => {
                self.system_control = value & 15;
                self.channels[SPEAKER].set_gate(value & 1 != 0, tick);
            }
            _ => {}
        }
    }

    fn write_control(&mut self, value: u8, tick: u64, effects: &mut Vec<Effect>) {
        let selected = usize::from(value >> 6);
        let Some(channel) = self.channels.get_mut(selected) else {
            self.read_back(value, tick);
            return;
        };
        if value & 0x30 == 0 {
            channel.latch_count(tick);
            return;
        }
        channel.set_control(value & 0x3f);
        if selected == TIMER {
            self.set_line(false, effects);
        }
    }

    /// The read-back command: its count and status bits are active low.
    fn read_back(&mut self, value: u8, tick: u64) {
        for (index, channel) in self.channels.iter_mut().enumerate() {
            if value & 2 << index == 0 {
                continue;
            }
            if value & 0x20 == 0 {
                channel.latch_count(tick);
            }
            if value & 0x10 == 0 {
                channel.latch_status(tick);
            }
        }
    }

    /// The moment at which [`Self::expire`] wants to be called.
    pub fn deadline(&self) -> Deadline {
        time_of(self.channels[TIMER].next_rise()?)
    }

    /// Lets the output of channel 0 (ISA interrupt 0) follow the time.
    ///
    /// The line rises when the output does at the end of a count, and falls just before the next
    /// rise or when the channel is programmed anew. That the output is also high at the start of
    /// some modes makes no interrupt.
    pub fn expire(&mut self, now: VirtTime, effects: &mut Vec<Effect>) {
        if self.channels[TIMER].advance(tick_at(now)) {
            self.set_line(false, effects);
            self.set_line(true, effects);
        }
    }

    fn set_line(&mut self, asserted: bool, effects: &mut Vec<Effect>) {
        if self.line != asserted {
            self.line = asserted;
            effects.push(Effect::Irq {
                line: IRQ,
                asserted,
            });
        }
    }
}

/// The number of whole ticks since power-on.
fn tick_at(now: VirtTime) -> u64 {
    // The quotient is smaller than `now`, because a tick is longer than a nanosecond.
    (u128::from(now.0) * u128::from(FREQUENCY) / NANOS_PER_SECOND) as u64
}

/// The first moment at which [`tick_at`] is `tick`.
fn time_of(tick: u64) -> Deadline {
    let nanos = (u128::from(tick) * NANOS_PER_SECOND).div_ceil(u128::from(FREQUENCY));
    u64::try_from(nanos).ok().map(VirtTime)
}
