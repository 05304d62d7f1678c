//! One counter of the 8254. Moments are counts of its ticks since power-on.

use serde::{Deserialize, Serialize};

use crate::invariant::invariant;

/// Whether a counter counts. A count that is written is loaded by the following tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// No count was written yet, or only half of it, or a trigger is missing.
    Idle,
    /// The gate stopped the count this many ticks after it was loaded.
    Stopped(u64),
    /// Counting; the count was, or will be, loaded at this tick.
    Counting(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Channel {
    /// The low six bits of the last control word: access, mode, BCD.
    control: u8,
    /// The count that was loaded, 1 to 65536.
    reload: u32,
    /// A count that takes the place of `reload` at the end of the period.
    pending: Option<u32>,
    phase: Phase,
    gate: bool,
    /// Whether the output rose at the end of a count that happens only once.
    done: bool,
    /// The low byte of a two-byte count, while its high byte is missing.
    low_byte: Option<u8>,
    /// Whether the next byte to be read is the high one.
    high_next: bool,
    latched_count: Option<u16>,
    latched_status: Option<u8>,
}

impl Channel {
    pub(super) fn new(gate: bool) -> Self {
        Self {
            // Both bytes, mode 3, binary: how firmware uses a channel.
            control: 0x36,
            reload: 0x1_0000,
            pending: None,
            phase: Phase::Idle,
            gate,
            done: false,
            low_byte: None,
            high_next: false,
            latched_count: None,
            latched_status: None,
        }
    }

    /// The mode, 0 to 5: of the three bits, the first is ignored for modes 2 and 3.
    fn mode(&self) -> u8 {
        match self.control >> 1 & 7 {
            6 => 2,
            7 => 3,
            mode => mode,
        }
    }

    fn access(&self) -> u8 {
        self.control >> 4 & 3
    }

    fn is_bcd(&self) -> bool {
        self.control & 1 != 0
    }

    fn is_periodic(&self) -> bool {
        matches!(self.mode(), 2 | 3)
    }

    /// Whether a rising gate, and not the written count, starts the counter.
    fn is_triggered(&self) -> bool {
        matches!(self.mode(), 1 | 5)
    }

    /// How much a counter counts before it wraps round.
    fn modulus(&self) -> u32 {
        if self.is_bcd() { 10_000 } else { 0x1_0000 }
    }

    /// A control word that is no latch command.
    pub(super) fn set_control(&mut self, control: u8) {
        *self = Self {
            control,
            gate: self.gate,
            reload: self.reload,
            ..Self::new(self.gate)
        };
    }

    /// Writes a byte of the count.
    pub(super) fn write(&mut self, value: u8, tick: u64) {
        let count = match (self.access(), self.low_byte.take()) {
            (1, _) => u16::from(value),
            (2, _) => u16::from(value) << 8,
            (_, Some(low)) => u16::from_le_bytes([low, value]),
            (_, None) => {
                self.low_byte = Some(value);
                if self.mode() == 0 {
                    self.phase = Phase::Idle;
                }
                return;
            }
        };
        self.load(self.decode(count), tick);
    }

    /// A new count is complete.
    fn load(&mut self, count: u32, tick: u64) {
        self.advance(tick);
        if matches!(self.phase, Phase::Counting(_)) && (self.is_periodic() || self.is_triggered()) {
            self.pending = Some(count);
            return;
        }
        self.reload = count;
        self.done = false;
        self.phase = match (self.is_triggered(), self.gate) {
            (true, _) => Phase::Idle,
            (false, true) => Phase::Counting(tick.saturating_add(1)),
            (false, false) => Phase::Stopped(0),
        };
    }

    /// Sets the gate input.
    pub(super) fn set_gate(&mut self, gate: bool, tick: u64) {
        self.advance(tick);
        if gate == std::mem::replace(&mut self.gate, gate) {
            return;
        }
        let next = tick.saturating_add(1);
        self.phase = match (self.mode(), self.phase, gate) {
            (1 | 5, _, true) => {
                self.reload = self.pending.take().unwrap_or(self.reload);
                self.done = false;
                Phase::Counting(next)
            }
            (0 | 4, Phase::Counting(origin), false) => Phase::Stopped(tick.saturating_sub(origin)),
            (0 | 4, Phase::Stopped(elapsed), true) => Phase::Counting(tick.saturating_sub(elapsed)),
            (2 | 3, Phase::Counting(_), false) => {
                self.reload = self.pending.take().unwrap_or(self.reload);
                Phase::Stopped(0)
            }
            (2 | 3, Phase::Stopped(_), true) => Phase::Counting(next),
            (_, phase, _) => phase,
        };
    }

    /// Takes the counter to `tick`. Returns whether the output rose at the end of a count on the
    /// way, once or more often.
    pub(super) fn advance(&mut self, tick: u64) -> bool {
        let Some(rise) = self.next_rise().filter(|rise| *rise <= tick) else {
            return false;
        };
        if self.is_periodic() {
            self.reload = self.pending.take().unwrap_or(self.reload);
            let late = tick - rise;
            self.phase = Phase::Counting(tick - late % self.period());
        } else {
            self.done = true;
        }
        // Else the machine would step it again and again and never come to execute anything.
        invariant!(
            self.next_rise().is_none_or(|rise| rise > tick),
            "the counter has expired and is still due"
        );
        true
    }

    /// The tick at which the output rises next at the end of a count.
    pub(super) fn next_rise(&self) -> Option<u64> {
        let Phase::Counting(origin) = self.phase else {
            return None;
        };
        match self.mode() {
            _ if self.done => None,
            2 | 3 => origin.checked_add(self.period()),
            0 | 1 => origin.checked_add(self.reload.into()),
            // The strobe is low for the tick of the terminal count.
            _ => origin.checked_add(u64::from(self.reload) + 1),
        }
    }

    /// The length of a period. A count of one is not allowed in the periodic modes.
    fn period(&self) -> u64 {
        u64::from(self.reload.max(2))
    }

    /// Ticks since the count was loaded, or `None` before that.
    fn elapsed(&self, tick: u64) -> Option<u64> {
        match self.phase {
            Phase::Idle => None,
            Phase::Stopped(elapsed) => Some(elapsed),
            Phase::Counting(origin) => tick.checked_sub(origin),
        }
    }

    /// Whether the output is high.
    pub(super) fn output(&mut self, tick: u64) -> bool {
        self.present(tick).output_now(tick)
    }

    /// This channel as it is at `tick`. Reading must not take the edge away from
    /// [`Self::advance`], which makes the interrupt.
    fn present(&self, tick: u64) -> Self {
        let mut present = self.clone();
        present.advance(tick);
        present
    }

    fn output_now(&self, tick: u64) -> bool {
        let elapsed = self.elapsed(tick);
        let reload = u64::from(self.reload);
        match self.mode() {
            0 => elapsed.is_some_and(|elapsed| elapsed >= reload),
            1 => elapsed.is_none_or(|elapsed| elapsed >= reload),
            // The gate makes the output high at once.
            2 | 3 if !self.gate => true,
            2 => elapsed.is_none_or(|elapsed| elapsed + 1 != self.period()),
            3 => elapsed.is_none_or(|elapsed| elapsed < self.period().div_ceil(2)),
            _ => elapsed != Some(reload),
        }
    }

    /// The counting element.
    fn count_now(&self, tick: u64) -> u16 {
        let elapsed = self.elapsed(tick).unwrap_or(0);
        let value = match self.mode() {
            2 => self.period() - elapsed.min(self.period() - 1),
            3 => {
                // It counts down by two, twice a period, from an even number.
                let half = self.period().div_ceil(2);
                let position = if elapsed < half {
                    elapsed
                } else {
                    elapsed - half
                };
                (self.period() & !1).saturating_sub(2 * position)
            }
            _ => {
                let modulus = u64::from(self.modulus());
                (u64::from(self.reload) + modulus - elapsed % modulus) % modulus
            }
        };
        self.encode(value as u32 % self.modulus())
    }

    pub(super) fn latch_count(&mut self, tick: u64) {
        if self.latched_count.is_none() {
            self.latched_count = Some(self.present(tick).count_now(tick));
        }
    }

    pub(super) fn latch_status(&mut self, tick: u64) {
        if self.latched_status.is_none() {
            let present = self.present(tick);
            // The null count flag: what was written is not yet what counts.
            let null = present.pending.is_some() || present.elapsed(tick).is_none();
            let output = present.output_now(tick);
            self.latched_status = Some(u8::from(output) << 7 | u8::from(null) << 6 | self.control);
        }
    }

    /// Reads the status if it is latched, then a byte of the count.
    pub(super) fn read(&mut self, tick: u64) -> u8 {
        if let Some(status) = self.latched_status.take() {
            return status;
        }
        let count = match self.latched_count {
            Some(count) => count,
            None => self.present(tick).count_now(tick),
        };
        let [low, high] = count.to_le_bytes();
        match self.access() {
            1 => {
                self.latched_count = None;
                low
            }
            2 => {
                self.latched_count = None;
                high
            }
            _ if self.high_next => {
                self.high_next = false;
                self.latched_count = None;
                high
            }
            _ => {
                self.high_next = true;
                low
            }
        }
    }

    /// The number that a written count means; zero stands for the largest.
    fn decode(&self, count: u16) -> u32 {
        let value = if self.is_bcd() {
            (0..4).rev().fold(0, |value, digit| {
                value * 10 + u32::from(count >> (4 * digit) & 15)
            })
        } else {
            count.into()
        };
        // Digits above nine are no BCD; they are taken modulo what the counter can hold.
        match value % self.modulus() {
            0 => self.modulus(),
            value => value,
        }
    }

    /// What the counter shows for a number below [`Self::modulus`].
    fn encode(&self, value: u32) -> u16 {
        if !self.is_bcd() {
            return value as u16;
        }
        let digits = [1, 10, 100, 1000].map(|weight| (value / weight % 10) as u16);
        digits[3] << 12 | digits[2] << 8 | digits[1] << 4 | digits[0]
    }
}
