//! The log in memory: entries behind a snapshot, each with the digest of the log up to it.

use super::types::{Entry, Index, Term};

/// The log behind the place `base`, which a snapshot covers.
#[derive(Clone, Debug, Default)]
pub struct Log {
    base: Place,
    slots: Vec<Slot>,
}

/// A place in the log, and what is known about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub index: Index,
    /// The term of the entry there.
    pub term: Term,
    /// The digest of the log up to there.
    pub digest: u64,
}

#[derive(Clone, Debug)]
struct Slot {
    entry: Entry,
    digest: u64,
}

impl Log {
    /// An empty log behind `base`.
    pub fn new(base: Place) -> Log {
        Log {
            base,
            slots: Vec::new(),
        }
    }

    /// The place that the snapshot covers.
    pub fn base(&self) -> Place {
        self.base
    }

    /// The last entry's place, or the base's if there are no entries.
    pub fn last(&self) -> Place {
        self.slots.last().map_or(self.base, |slot| Place {
            index: self.base.index + self.slots.len() as u64,
            term: slot.entry.term,
            digest: slot.digest,
        })
    }

    /// The place at `index`, if the log reaches from there.
    pub fn place(&self, index: Index) -> Option<Place> {
        if index == self.base.index {
            return Some(self.base);
        }
        let slot = self.slot(index)?;
        Some(Place {
            index,
            term: slot.entry.term,
            digest: slot.digest,
        })
    }

    /// The entry at `index`.
    pub fn get(&self, index: Index) -> Option<&Entry> {
        self.slot(index).map(|slot| &slot.entry)
    }

    fn slot(&self, index: Index) -> Option<&Slot> {
        let offset = index.checked_sub(self.base.index + 1)?;
        self.slots.get(usize::try_from(offset).ok()?)
    }

    /// Adds an entry and returns its place.
    pub fn push(&mut self, entry: Entry) -> Place {
        let digest = entry.digest(self.last().digest);
        self.slots.push(Slot { entry, digest });
        self.last()
    }

    /// Removes the entries from `index` on.
    pub fn truncate_from(&mut self, index: Index) {
        let keep = index.saturating_sub(self.base.index + 1);
        self.slots
            .truncate(usize::try_from(keep).unwrap_or(usize::MAX));
    }

    /// Removes the entries up to and with `index`, which a snapshot now covers. If the log does not
    /// hold that place as the snapshot has it, everything goes.
    pub fn compact(&mut self, base: Place) {
        let agrees = self
            .place(base.index)
            .is_some_and(|place| place.term == base.term);
        if agrees {
            let covered = (base.index - self.base.index) as usize;
            self.slots.drain(..covered);
        } else {
            self.slots.clear();
        }
        self.base = base;
    }

    /// Copies of the entries from `index` on: at most `count`, and no more bytes than `bytes` unless
    /// the first alone has more.
    pub fn copy_from(&self, index: Index, count: usize, bytes: usize) -> Vec<Entry> {
        let Some(offset) = index.checked_sub(self.base.index + 1) else {
            return Vec::new();
        };
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.slots.len());
        let mut left = bytes;
        let mut entries = Vec::new();
        for slot in self.slots[start..].iter().take(count) {
            let size = slot.entry.size();
            if size > left && !entries.is_empty() {
                break;
            }
            left = left.saturating_sub(size);
            entries.push(slot.entry.clone());
        }
        entries
    }

    /// The first index of the run of entries that have the same term as the one at `index`.
    pub fn first_of_term(&self, index: Index) -> Index {
        let Some(term) = self.place(index).map(|place| place.term) else {
            return self.base.index + 1;
        };
        let mut first = index;
        while first > self.base.index + 1
            && self
                .place(first - 1)
                .is_some_and(|place| place.term == term)
        {
            first -= 1;
        }
        first
    }

    /// How many entries there are behind the snapshot.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::Command;
    use super::*;

    fn log(terms: &[Term]) -> Log {
        let mut log = Log::default();
        for &term in terms {
            log.push(Entry {
                term,
                command: Command::Noop,
            });
        }
        log
    }

    #[test]
    fn equal_logs_have_equal_digests_and_different_ones_do_not() {
        assert_eq!(log(&[1, 1, 2]).last(), log(&[1, 1, 2]).last());
        assert_ne!(log(&[1, 1, 2]).last().digest, log(&[1, 2, 2]).last().digest);
    }

    #[test]
    fn compaction_keeps_what_is_behind_it() {
        let mut log = log(&[1, 1, 2, 2]);
        let last = log.last();
        let base = log.place(2).unwrap();
        log.compact(base);
        assert_eq!((log.len(), log.base(), log.last()), (2, base, last));
        assert_eq!(log.get(2), None);
        assert_eq!(log.place(1), None);
        assert_eq!(log.get(3).unwrap().term, 2);
    }

    #[test]
    fn compaction_to_a_place_that_the_log_has_otherwise_drops_everything() {
        let mut short = log(&[1, 1]);
        short.compact(Place {
            index: 7,
            term: 3,
            digest: 9,
        });
        assert_eq!((short.len(), short.last().index), (0, 7));
        let mut other = log(&[1, 1, 1]);
        other.compact(Place {
            index: 2,
            term: 2,
            digest: 9,
        });
        assert!(other.is_empty());
    }

    #[test]
    fn copies_respect_their_bounds_and_always_make_progress() {
        let log = log(&[1, 1, 2, 2]);
        assert_eq!(log.copy_from(2, 2, 1000).len(), 2);
        assert_eq!(log.copy_from(2, 9, 1).len(), 1);
        assert_eq!(log.copy_from(5, 9, 1000).len(), 0);
        assert_eq!(log.copy_from(0, 9, 1000).len(), 0);
        assert_eq!(log.copy_from(u64::MAX, 9, 1000).len(), 0);
    }

    #[test]
    fn the_first_index_of_a_term_is_found() {
        let log = log(&[1, 2, 2, 2, 3]);
        assert_eq!(log.first_of_term(4), 2);
        assert_eq!(log.first_of_term(1), 1);
        assert_eq!(log.first_of_term(9), 1);
    }
}
