//! Reading back what a node remembers, and telling a write that was under way from damage.

use super::block::{self, Kind};
use super::{Device, Layout, SECTOR, Storage, StorageError, Troubles};
use crate::bugs::{Bug, Bugs};
use crate::protocol::{Durable, Record};

/// What was found on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Nothing: the node starts for the first time.
    pub blank: bool,
    /// How many blocks were read.
    pub blocks: u64,
    /// How many of them had a damaged copy, which was repaired.
    pub repaired: u64,
    /// Whether a block that was under way was dropped.
    pub dropped: bool,
}

/// One generation, with both copies of its area in memory.
struct Area {
    generation: u64,
    copies: [Vec<u8>; 2],
}

impl Area {
    /// The payload of the block at `position` and, if a copy of it is damaged, which one.
    fn block(
        &self,
        kind: Kind,
        sequence: u64,
        position: usize,
        bugs: Bugs,
    ) -> Option<(&[u8], Option<usize>)> {
        let intact = |copy: usize| {
            let found = block::decode(self.copies[copy].get(position..)?)?;
            let label = found.label;
            let right = label.kind == kind
                && label.generation == self.generation
                && label.sequence == sequence
                && label.position == position as u64;
            // The state is checked in any case; it was acknowledged before the superblock.
            let trusted = bugs.has(Bug::TornTailAccepted) && kind == Kind::Records;
            (right && (found.intact || trusted)).then_some(found.payload)
        };
        match (intact(0), intact(1)) {
            (Some(payload), Some(_)) => Some((payload, None)),
            (Some(payload), None) => Some((payload, Some(1))),
            (None, Some(payload)) => Some((payload, Some(0))),
            (None, None) => None,
        }
    }

    /// Whether there is a block of this generation behind `position`, with a higher number.
    fn goes_on(&self, sequence: u64, position: usize) -> bool {
        self.copies.iter().any(|copy| {
            (position..copy.len()).step_by(SECTOR).any(|at| {
                block::decode(&copy[at..]).is_some_and(|found| {
                    found.intact
                        && found.label.generation == self.generation
                        && found.label.sequence > sequence
                        && found.label.position == at as u64
                })
            })
        })
    }
}

impl<D: Device> Storage<D> {
    /// Reads what the disk remembers. A blank disk is prepared for being used.
    ///
    /// # Errors
    /// If the disk is damaged, fails, or is too small.
    pub fn open(device: D, bugs: Bugs) -> Result<(Storage<D>, Recovered), StorageError> {
        let layout = Layout::new(device.size())?;
        let mut storage = Storage {
            device,
            layout,
            bugs,
            durable: Durable::default(),
            generation: 0,
            sequence: 0,
            position: 0,
            dirty: false,
            troubles: Troubles::default(),
        };
        let recovered = storage.recover()?;
        Ok((storage, recovered))
    }

    fn recover(&mut self) -> Result<Recovered, StorageError> {
        let named = self.read_superblocks()?;
        let mut newest: Option<Area> = None;
        for parity in 0..2 {
            let area = self.read_area(parity)?;
            if let Some(area) = area
                && newest
                    .as_ref()
                    .is_none_or(|other| other.generation < area.generation)
            {
                newest = Some(area);
            }
        }
        match (newest, named) {
            (Some(area), named) if area.generation >= named.unwrap_or(0) => self.replay(&area),
            (_, Some(named)) => Err(StorageError::Damaged(format!(
                "generation {named} does not begin"
            ))),
            (_, None) => {
                self.start_generation()?;
                Ok(Recovered {
                    blank: true,
                    ..Recovered::default()
                })
            }
        }
    }

    /// The generation that the superblocks name.
    fn read_superblocks(&mut self) -> Result<Option<u64>, StorageError> {
        let mut named = None;
        for place in [0, 1].map(Layout::superblocks).as_flattened() {
            let mut bytes = [0; SECTOR];
            self.retry("reading", *place, |device| device.read(*place, &mut bytes))?;
            let found = block::decode(&bytes).filter(|found| {
                found.intact
                    && found.label.kind == Kind::Superblock
                    && Layout::superblocks(found.label.generation).contains(place)
            });
            named = named.max(found.map(|found| found.label.generation));
        }
        Ok(named)
    }

    /// The area of the even or odd generations, if one begins there.
    fn read_area(&mut self, parity: u64) -> Result<Option<Area>, StorageError> {
        let mut copies = [Vec::new(), Vec::new()];
        for (copy, at) in copies.iter_mut().zip(self.layout.areas(parity)) {
            copy.resize(self.layout.area as usize, 0);
            self.retry("reading", at, |device| device.read(at, copy))?;
        }
        let begins = |copy: &Vec<u8>| {
            block::decode(copy)
                .filter(|found| found.intact && found.label.kind == Kind::State)
                .map(|found| found.label.generation)
                .filter(|generation| generation % 2 == parity)
        };
        let generation = copies.iter().filter_map(begins).max();
        Ok(generation.map(|generation| Area { generation, copies }))
    }

    fn replay(&mut self, area: &Area) -> Result<Recovered, StorageError> {
        let damaged =
            |what: &str, sequence: u64| StorageError::Damaged(format!("block {sequence}: {what}"));
        let mut recovered = Recovered::default();
        let mut repairs = Vec::new();
        self.generation = area.generation;
        let (mut sequence, mut position) = (0, 0);
        let mut kind = Kind::State;
        while let Some((payload, bad)) = area.block(kind, sequence, position, self.bugs) {
            if !self
                .load(kind, payload)
                .ok_or_else(|| damaged("unreadable", sequence))?
            {
                return Err(damaged("does not follow from the one before", sequence));
            }
            let end = position + block::padded_size(payload.len());
            if let Some(copy) = bad {
                repairs.push((copy, position..end));
            }
            (sequence, position, kind) = (sequence + 1, end, Kind::Records);
        }
        if area.goes_on(sequence, position) {
            return Err(damaged("no copy is intact, and others follow it", sequence));
        }
        let under_way = |copy: &Vec<u8>| {
            copy.get(position..)
                .and_then(block::decode)
                .is_some_and(|found| {
                    found.label.generation == area.generation && found.label.sequence == sequence
                })
        };
        recovered.dropped = area.copies.iter().any(under_way);
        recovered.blocks = sequence;
        recovered.repaired = repairs.len() as u64;
        self.sequence = sequence;
        self.position = position as u64;
        for (copy, range) in repairs {
            let at = self.layout.areas(area.generation)[copy] + range.start as u64;
            self.write_checked(at, &area.copies[1 - copy][range])?;
        }
        // Also what was accepted without having been acknowledged is for good from now on.
        self.write_superblock()?;
        Ok(recovered)
    }

    /// Takes in a block's payload. `None` if it can't be read, false if it does not fit.
    fn load(&mut self, kind: Kind, payload: &[u8]) -> Option<bool> {
        if kind == Kind::State {
            self.durable = postcard::from_bytes(payload).ok()?;
            return Some(true);
        }
        let records: Vec<Record> = postcard::from_bytes(payload).ok()?;
        Some(records.iter().all(|record| self.durable.apply(record)))
    }
}
