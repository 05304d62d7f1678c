//! What will happen, in the order of its moments.

use std::collections::BTreeMap;

/// Something that will happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// The quiet period begins.
    Quiet,
    /// The faults of a trigger happen.
    Trigger(usize),
    /// An occasion of a trigger that comes again and again, counted from zero.
    Every { trigger: usize, occurrence: u64 },
    /// A generator draws a fault.
    Generator(usize),
    /// An active fault ends.
    End(u64),
    /// A node starts again, unless it has been started since the boot of this number.
    Start { node: usize, boot: u64 },
    /// A killed process comes back, which ends its part of a fault.
    ProcessBack { id: u64, node: usize },
    /// A stray timer interrupt, and the next one.
    Tick {
        id: u64,
        node: usize,
        period_ns: u64,
    },
    /// The budget's gap is over: faults that wait are tried again.
    Retry,
}

/// Items by moment; items of the same moment keep the order in which they were added.
#[derive(Debug, Clone, Default)]
pub(super) struct Agenda {
    items: BTreeMap<(u64, u64), Item>,
    added: u64,
}

impl Agenda {
    pub fn add(&mut self, at: u64, item: Item) {
        // The quiet period comes before whatever else happens at its moment.
        let rank = if item == Item::Quiet {
            0
        } else {
            self.added + 1
        };
        self.added += 1;
        self.items.insert((at, rank), item);
    }

    pub fn next(&self) -> Option<u64> {
        self.items.keys().next().map(|(at, _)| *at)
    }

    /// Takes the first item that is due.
    pub fn pop_due(&mut self, now: u64) -> Option<(u64, Item)> {
        let entry = self.items.first_entry()?;
        let at = entry.key().0;
        (at <= now).then(|| (at, entry.remove()))
    }
}
