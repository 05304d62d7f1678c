//! What a node remembers, on a raw disk.
//!
//! The disk holds two slots for superblocks, which take turns, and two areas for generations, which
//! take turns, too. A generation begins with everything that the node remembers, followed by blocks of
//! changes. When it has grown long, the next one is begun in the other area, and only then does the
//! superblock name it. Everything is there twice, in places that are far apart.
//!
//! ```text
//! | slot 0, twice | slot 1, twice | area 0 | area 1 | copy of area 0 | copy of area 1 |
//! ```
//!
//! Disks lie, and this is what is believed of them. A block is acknowledged when both copies have been
//! written, read back and flushed. A block at the end of a generation of which no copy is intact was
//! under way when the machine stopped; it was not acknowledged, and it is dropped. If such a block is
//! followed by others it was acknowledged; then the disk is damaged, and a node that went on might vote
//! twice or lose what it had promised to keep. So it stops. A single copy that is damaged is repaired
//! from the other.

mod block;
mod device;
mod recovery;
#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
mod tests;

pub use device::{Device, FileDevice, SECTOR};
pub use recovery::Recovered;

use std::io;

use self::block::{Kind, Label};
use crate::bugs::{Bug, Bugs};
use crate::protocol::{Durable, Record};

/// Where the areas begin: behind two slots of two superblocks.
const AREAS_AT: u64 = 16 * 1024;
/// How far apart superblocks are.
const SLOT: u64 = 4 * 1024;
/// The largest area that is used.
const MAX_AREA: u64 = 1024 * 1024;
/// The smallest that is enough for the largest state.
const MIN_AREA: u64 = 256 * 1024;
/// From which length on a generation is replaced.
const LONG: u64 = 192 * 1024;
/// How often an operation is tried.
const ATTEMPTS: u32 = 60;

/// Why a node can't go on with its disk.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk has no room for what a node must remember.
    #[error("the disk has {0} bytes; {needed} are needed", needed = AREAS_AT + 4 * MIN_AREA)]
    TooSmall(u64),
    /// What was acknowledged is no longer there.
    #[error("storage damaged: {0}")]
    Damaged(String),
    /// The disk keeps failing.
    #[error("storage failed: {what} at {offset}, tried {ATTEMPTS} times")]
    Failed {
        /// What did not work.
        what: &'static str,
        /// Where.
        offset: u64,
        /// What the disk said last.
        #[source]
        source: io::Error,
    },
    /// The disk does not keep what is written to it.
    #[error("storage failed: what is written at {0} does not read back")]
    Forgetful(u64),
    /// There is more to remember than an area holds.
    #[error("storage full: {0} bytes do not fit")]
    Full(usize),
    /// The node wants to remember something that does not follow from what was before.
    #[error("the record does not fit what is remembered: {0}")]
    Misfit(String),
}

/// Where things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    area: u64,
}

impl Layout {
    fn new(size: u64) -> Result<Layout, StorageError> {
        let quarter = size.saturating_sub(AREAS_AT) / 4 / SECTOR as u64 * SECTOR as u64;
        if quarter < MIN_AREA {
            return Err(StorageError::TooSmall(size));
        }
        Ok(Layout {
            area: quarter.min(MAX_AREA),
        })
    }

    /// Where the two copies of a generation's area begin.
    fn areas(self, generation: u64) -> [u64; 2] {
        let first = AREAS_AT + generation % 2 * self.area;
        [first, first + 2 * self.area]
    }

    /// Where the two copies of a generation's superblock are.
    fn superblocks(generation: u64) -> [u64; 2] {
        let first = generation % 2 * 2 * SLOT;
        [first, first + SLOT]
    }
}

/// How often the disk did not do what it should have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// An operation failed and was repeated.
    pub errors: u64,
    /// What was written did not read back and was written again.
    pub rewrites: u64,
}

/// What a node remembers, in memory and on its disk.
#[derive(Debug)]
pub struct Storage<D> {
    device: D,
    layout: Layout,
    bugs: Bugs,
    durable: Durable,
    generation: u64,
    /// The number of the next block.
    sequence: u64,
    /// Where the next block begins, counted from the beginning of its area.
    position: u64,
    /// Whether there may be something that is not flushed, which only a planted bug leaves.
    dirty: bool,
    troubles: Troubles,
}

impl<D: Device> Storage<D> {
    /// What is remembered.
    pub fn durable(&self) -> &Durable {
        &self.durable
    }

    /// How often the disk did not do what it should have.
    pub fn troubles(&self) -> Troubles {
        self.troubles
    }

    /// How many times everything was written anew.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The disk, to be made worse.
    #[cfg(test)]
    pub(crate) fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// The disk, given back.
    pub fn into_device(self) -> D {
        self.device
    }

    /// Remembers the records. When this returns they are on the disk for good.
    ///
    /// # Errors
    /// If the disk does not take them, or they don't fit what is remembered. The node must then stop:
    /// nobody knows what the disk holds.
    pub fn persist(&mut self, records: &[Record]) -> Result<(), StorageError> {
        if records.is_empty() {
            return Ok(());
        }
        for record in records {
            if !self.durable.apply(record) {
                return Err(StorageError::Misfit(format!("{record:?}")));
            }
        }
        let room = Vec::with_capacity(SECTOR);
        let payload = postcard::to_extend(records, room).expect("writing to memory cannot fail");
        let end = self.position + block::padded_size(payload.len()) as u64;
        if end > LONG {
            return self.start_generation();
        }
        self.append(Kind::Records, &payload)
    }

    /// Flushes what a planted bug left unflushed.
    ///
    /// # Errors
    /// If the disk does not do it.
    pub fn flush_leftovers(&mut self) -> Result<(), StorageError> {
        if std::mem::take(&mut self.dirty) {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes everything anew, into the area that is not in use.
    fn start_generation(&mut self) -> Result<(), StorageError> {
        let payload = postcard::to_stdvec(&self.durable).expect("writing to memory cannot fail");
        if block::padded_size(payload.len()) as u64 > self.layout.area {
            return Err(StorageError::Full(payload.len()));
        }
        self.generation += 1;
        self.sequence = 0;
        self.position = 0;
        self.append(Kind::State, &payload)?;
        self.write_superblock()
    }

    fn write_superblock(&mut self) -> Result<(), StorageError> {
        let label = Label {
            kind: Kind::Superblock,
            generation: self.generation,
            sequence: 0,
            position: 0,
        };
        self.write_twice(
            Layout::superblocks(self.generation),
            &block::encode(label, &[]),
        )?;
        self.settle()
    }

    /// Writes the next block of the generation.
    fn append(&mut self, kind: Kind, payload: &[u8]) -> Result<(), StorageError> {
        let label = Label {
            kind,
            generation: self.generation,
            sequence: self.sequence,
            position: self.position,
        };
        let bytes = block::encode(label, payload);
        let places = self
            .layout
            .areas(self.generation)
            .map(|area| area + self.position);
        self.write_twice(places, &bytes)?;
        self.settle()?;
        self.sequence += 1;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn write_twice(&mut self, places: [u64; 2], bytes: &[u8]) -> Result<(), StorageError> {
        for place in places {
            self.write_checked(place, bytes)?;
        }
        Ok(())
    }

    /// Makes durable what was written before anything that follows from it leaves the node.
    fn settle(&mut self) -> Result<(), StorageError> {
        if self.bugs.has(Bug::AckBeforeFsync) {
            self.dirty = true;
            return Ok(());
        }
        self.flush()
    }

    /// Writes, and reads back what was written: a write that went elsewhere is not noticed otherwise.
    fn write_checked(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let mut back = vec![0; bytes.len()];
        for attempt in 0..ATTEMPTS {
            self.retry("writing", offset, |device| device.write(offset, bytes))?;
            self.retry("reading", offset, |device| device.read(offset, &mut back))?;
            if back == bytes {
                return Ok(());
            }
            self.troubles.rewrites += 1;
            self.device.pause(attempt);
        }
        Err(StorageError::Forgetful(offset))
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        self.retry("flushing", 0, Device::flush)
    }

    fn retry(
        &mut self,
        what: &'static str,
        offset: u64,
        mut operation: impl FnMut(&mut D) -> io::Result<()>,
    ) -> Result<(), StorageError> {
        for attempt in 1.. {
            match operation(&mut self.device) {
                Ok(()) => return Ok(()),
                Err(source) if attempt >= ATTEMPTS => {
                    return Err(StorageError::Failed {
                        what,
                        offset,
                        source,
                    });
                }
                Err(_) => {
                    self.troubles.errors += 1;
                    self.device.pause(attempt);
                }
            }
        }
        unreachable!("the last attempt returns")
    }
}
