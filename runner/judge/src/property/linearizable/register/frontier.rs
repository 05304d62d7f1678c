//! The configurations at a moment, of which only those are kept that no other one makes useless.

use std::collections::BTreeMap;

use super::names::{Instance, Moment};

/// How many operations with a known outcome may be open at once.
pub const MAX_OPEN: usize = 256;

const WORDS: usize = MAX_OPEN / 64;

/// A set of slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slots([u64; WORDS]);

impl Slots {
    /// Whether a slot is in it.
    #[must_use]
    pub const fn has(&self, slot: usize) -> bool {
        self.0[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// The set with a slot.
    #[must_use]
    pub const fn with(mut self, slot: usize) -> Self {
        self.0[slot / 64] |= 1 << (slot % 64);
        self
    }

    /// The set without a slot.
    #[must_use]
    pub const fn without(mut self, slot: usize) -> Self {
        self.0[slot / 64] &= !(1 << (slot % 64));
        self
    }

    /// What is in this set and not in another one.
    #[must_use]
    pub fn minus(mut self, other: &Self) -> Self {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word &= !other;
        }
        self
    }

    /// What is in this set or in another one.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word |= other;
        }
        self
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// How many slots are in it.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The slots, from the first to the last.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

/// How often each class of optional operations was used; those not used at all are left out.
pub type Used = Vec<(u32, u32)>;

/// What may be the case at a moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Config {
    /// The value.
    pub value: Instance,
    /// When the last operation took effect that needed no value and wrote one; 0 if none did.
    /// What was open then and is undone can still be put before it.
    pub since: Moment,
    /// Which of the open operations have taken effect.
    pub done: Slots,
    /// The optional operations that have.
    pub used: Used,
}

/// Says which of two configurations with the same value is enough, as far as that depends on the
/// open operations.
pub trait Order {
    /// Whether operations that have not taken effect can do so before a moment, for nothing.
    fn are_free(&self, slots: Slots, since: Moment) -> bool;
    /// Whether operations that have taken effect would be of no use if they had not, given all
    /// that have.
    fn are_useless(&self, slots: Slots, done: &Slots) -> bool;
}

/// Configurations by value.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    by_value: BTreeMap<Instance, Vec<Config>>,
    count: usize,
}

impl Frontier {
    /// Adds a configuration unless one is there that is at least as good. True if it was added.
    pub fn insert(&mut self, new: Config, order: &impl Order, work: &mut u64) -> bool {
        let same = self.by_value.entry(new.value).or_default();
        *work += same.len() as u64 / 8 + 1;
        if same.iter().any(|old| is_enough(old, &new, order)) {
            return false;
        }
        let before = same.len();
        same.retain(|old| !is_enough(&new, old, order));
        self.count = self.count + 1 + same.len() - before;
        same.push(new);
        true
    }

    /// How many configurations there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values, in order.
    pub fn values(&self) -> impl Iterator<Item = Instance> {
        self.by_value.keys().copied()
    }

    /// All configurations, in an order that depends on nothing but the history.
    pub fn into_configs(self) -> impl Iterator<Item = Config> {
        self.by_value.into_values().flatten()
    }

    /// Keeps the most promising configurations: of each value as many, those first that used and
    /// did the least.
    pub fn cut(&mut self, keep: usize) {
        let each = (keep / self.by_value.len().max(1)).max(1);
        self.count = 0;
        for configs in self.by_value.values_mut() {
            configs.sort_by_cached_key(|config| {
                let used: u32 = config.used.iter().map(|(_, count)| count).sum();
                (used, config.done.count(), std::cmp::Reverse(config.since))
            });
            configs.truncate(each);
            self.count += configs.len();
        }
    }
}

/// Whether whatever can follow the second configuration can follow the first one.
fn is_enough(first: &Config, second: &Config, order: &impl Order) -> bool {
    first.since >= second.since
        && is_at_most(&first.used, &second.used)
        && order.are_free(second.done.minus(&first.done), first.since)
        && order.are_useless(first.done.minus(&second.done), &first.done)
}

/// Whether the first used no more of each class than the second.
fn is_at_most(first: &Used, second: &Used) -> bool {
    first.iter().all(|(class, count)| {
        let at = second.binary_search_by_key(class, |(class, _)| *class);
        at.is_ok_and(|at| *count <= second[at].1)
    })
}
