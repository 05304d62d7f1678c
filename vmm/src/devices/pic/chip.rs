//! One 8259A.

use serde::{Deserialize, Serialize};

use super::CASCADE;
use crate::invariant::invariant;

/// The initialisation command word that the controller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Waiting {
    Nothing,
    Icw2,
    Icw3,
    Icw4,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chip {
    levels: u8,
    requests: u8,
    mask: u8,
    in_service: u8,
    level_triggered: u8,
    /// The vector of input 0.
    base: u8,
    waiting: Waiting,
    /// The initialisation in progress has no ICW3, and has an ICW4.
    single: bool,
    wants_icw4: bool,
    auto_eoi: bool,
    rotate_on_auto_eoi: bool,
    special_fully_nested: bool,
    special_mask: bool,
    /// The input with the highest priority.
    top: u8,
    read_in_service: bool,
    poll: bool,
}

impl Chip {
    pub(super) fn new() -> Self {
        Self {
            levels: 0,
            requests: 0,
            mask: 0xff,
            in_service: 0,
            level_triggered: 0,
            base: 0,
            waiting: Waiting::Nothing,
            single: false,
            wants_icw4: false,
            auto_eoi: false,
            rotate_on_auto_eoi: false,
            special_fully_nested: false,
            special_mask: false,
            top: 0,
            read_in_service: false,
            poll: false,
        }
    }

    pub(super) fn level_triggered(&self) -> u8 {
        self.level_triggered
    }

    pub(super) fn set_level_triggered(&mut self, inputs: u8) {
        self.level_triggered = inputs;
        self.requests = self.requests & !inputs | self.levels & inputs;
    }

    pub(super) fn vector(&self, input: u8) -> u8 {
        self.base | input
    }

    /// A rising edge stays requested until it is acknowledged, even if the input falls meanwhile.
    pub(super) fn set_input(&mut self, input: u8, asserted: bool) {
        let bit = 1 << input;
        let level_triggered = self.level_triggered & bit != 0;
        if asserted && (level_triggered || self.levels & bit == 0) {
            self.requests |= bit;
        } else if !asserted && level_triggered {
            self.requests &= !bit;
        }
        self.levels = if asserted {
            self.levels | bit
        } else {
            self.levels & !bit
        };
    }

    /// The cascade input follows the other controller, whose output falls with each acknowledge.
    pub(super) fn set_cascade(&mut self, input: u8, asserted: bool) {
        let bit = 1 << input;
        self.requests = if asserted {
            self.requests | bit
        } else {
            self.requests & !bit
        };
    }

    /// The input to be served next, if its priority is above that of those in service.
    pub(super) fn requested(&self, has_cascade: bool) -> Option<u8> {
        let mut serving = self.in_service;
        if self.special_mask {
            serving &= !self.mask;
        }
        if self.special_fully_nested && has_cascade {
            serving &= !(1 << CASCADE);
        }
        let input = self.first(self.requests & !self.mask)?;
        let above = match self.first(serving) {
            Some(serving) => self.rank(input) < self.rank(serving),
            None => true,
        };
        above.then_some(input)
    }

    /// The input of `inputs` with the highest priority.
    fn first(&self, inputs: u8) -> Option<u8> {
        invariant!(self.top < 8, "no input has priority {}", self.top);
        let rank = inputs.rotate_right(self.top.into()).trailing_zeros() as u8;
        (rank < 8).then_some((rank + self.top) & 7)
    }

    fn rank(&self, input: u8) -> u8 {
        input.wrapping_sub(self.top) & 7
    }

    /// Acknowledges the input to be served next.
    pub(super) fn acknowledge(&mut self) -> Option<u8> {
        // The special fully nested mode is one of the first controller, the only one with that bit.
        let input = self.requested(true)?;
        let bit = 1 << input;
        if self.level_triggered & bit == 0 {
            self.requests &= !bit;
        }
        if !self.auto_eoi {
            self.in_service |= bit;
        } else if self.rotate_on_auto_eoi {
            self.top = (input + 1) & 7;
        }
        Some(input)
    }

    /// Reads the port with address line A0 low or high.
    pub(super) fn read(&mut self, high: bool) -> u8 {
        if std::mem::take(&mut self.poll) {
            return self.acknowledge().map_or(0, |input| 0x80 | input);
        }
        match (high, self.read_in_service) {
            (true, _) => self.mask,
            (false, true) => self.in_service,
            (false, false) => self.requests,
        }
    }

    /// Writes the port with address line A0 low or high.
    pub(super) fn write(&mut self, high: bool, value: u8) {
        match (high, self.waiting) {
            (false, _) if value & 0x10 != 0 => self.start_initialisation(value),
            (false, _) if value & 0x08 != 0 => self.operate(value),
            (false, _) => self.end_or_rotate(value),
            (true, Waiting::Nothing) => self.mask = value,
            (true, Waiting::Icw2) => {
                self.base = value & 0xf8;
                self.waiting = if self.single {
                    self.after_icw3()
                } else {
                    Waiting::Icw3
                };
            }
            // The wiring of the cascade is fixed.
            (true, Waiting::Icw3) => self.waiting = self.after_icw3(),
            (true, Waiting::Icw4) => {
                self.auto_eoi = value & 2 != 0;
                self.special_fully_nested = value & 0x10 != 0;
                self.waiting = Waiting::Nothing;
            }
        }
    }

    fn after_icw3(&self) -> Waiting {
        if self.wants_icw4 {
            Waiting::Icw4
        } else {
            Waiting::Nothing
        }
    }

    /// ICW1. The edge/level choice in it is replaced by the edge/level control registers.
    fn start_initialisation(&mut self, value: u8) {
        *self = Self {
            levels: self.levels,
            level_triggered: self.level_triggered,
            // The edge detectors are cleared; only a level can still request.
            requests: self.levels & self.level_triggered,
            mask: 0,
            base: self.base,
            waiting: Waiting::Icw2,
            single: value & 2 != 0,
            wants_icw4: value & 1 != 0,
            ..Self::new()
        };
    }

    /// OCW3.
    fn operate(&mut self, value: u8) {
        self.poll = value & 4 != 0;
        if value & 2 != 0 {
            self.read_in_service = value & 1 != 0;
        }
        if value & 0x40 != 0 {
            self.special_mask = value & 0x20 != 0;
        }
    }

    /// OCW2.
    fn end_or_rotate(&mut self, value: u8) {
        let input = value & 7;
        match value >> 5 {
            0 => self.rotate_on_auto_eoi = false,
            4 => self.rotate_on_auto_eoi = true,
            command @ (1 | 5) => {
                let visible = if self.special_mask { !self.mask } else { 0xff };
                if let Some(served) = self.first(self.in_service & visible) {
                    self.end(served, command == 5);
                }
            }
            command @ (3 | 7) => self.end(input, command == 7),
            6 => self.top = (input + 1) & 7,
            _ => {}
        }
    }

    fn end(&mut self, input: u8, rotate: bool) {
        self.in_service &= !(1 << input);
        if rotate {
            self.top = (input + 1) & 7;
        }
    }
}
