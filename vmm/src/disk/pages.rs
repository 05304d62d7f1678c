//! Pages that were written, with a digest that costs only what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{PAGE, SECTORS_PER_PAGE};

/// The bytes of a page.
pub(super) type Bytes = [u8; PAGE as usize];

/// All sectors of a page.
pub(super) const ALL_SECTORS: u8 = u8::MAX;
const _: () = assert!(SECTORS_PER_PAGE == u8::BITS as u64);

/// A page and which of its sectors count.
#[derive(Debug, Clone)]
struct Slot {
    bytes: Arc<Bytes>,
    sectors: u8,
    /// Its part of the digest, unless the page is stale.
    hash: u128,
}

/// Pages by their index. Copies share the pages that are the same in both.
#[derive(Debug, Clone, Default)]
pub(super) struct Pages {
    slots: BTreeMap<u64, Slot>,
    stale: BTreeSet<u64>,
    sum: u128,
}

impl Pages {
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn contains(&self, index: u64) -> bool {
        self.slots.contains_key(&index)
    }

    pub fn get(&self, index: u64) -> Option<&Bytes> {
        self.slots.get(&index).map(|slot| &*slot.bytes)
    }

    /// The page for writing to the sectors whose bits are set; `fill` makes its content if there
    /// is no such page yet.
    pub fn write(&mut self, index: u64, sectors: u8, fill: impl FnOnce() -> Bytes) -> &mut Bytes {
        self.stale.insert(index);
        let slot = self.slots.entry(index).or_insert_with(|| Slot {
            bytes: Arc::new(fill()),
            sectors: 0,
            hash: 0,
        });
        slot.sectors |= sectors;
        Arc::make_mut(&mut slot.bytes)
    }

    /// The pages in ascending order with the sectors that count.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u8, &Bytes)> {
        self.slots
            .iter()
            .map(|(index, slot)| (*index, slot.sectors, &*slot.bytes))
    }

    /// Makes page `index` a shared one, all of whose sectors count.
    pub fn put(&mut self, index: u64, bytes: Arc<Bytes>) {
        self.stale.insert(index);
        match self.slots.get_mut(&index) {
            Some(slot) => (slot.bytes, slot.sectors) = (bytes, ALL_SECTORS),
            None => {
                let slot = Slot {
                    bytes,
                    sectors: ALL_SECTORS,
                    hash: 0,
                };
                self.slots.insert(index, slot);
            }
        }
    }

    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// The digest of all pages, of which those written since the last call are hashed.
    pub fn digest(&mut self) -> u128 {
        for index in std::mem::take(&mut self.stale) {
            let Some(slot) = self.slots.get_mut(&index) else {
                continue;
            };
            let seed = index << u8::BITS | u64::from(slot.sectors);
            let hash = xxh3_128_with_seed(&slot.bytes[..], seed);
            self.sum = self.sum.wrapping_sub(slot.hash).wrapping_add(hash);
            slot.hash = hash;
        }
        self.sum
    }
}
