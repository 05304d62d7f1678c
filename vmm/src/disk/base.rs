//! The content that a disk starts with, shared by all disks that were made from it.

use std::fmt;
use std::sync::Arc;

/// Bytes in memory.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Bytes that are not in memory, such as those of a large file, of which only what is read is fetched.
/// The same offset always gives the same bytes: they are part of what a run is a function of.
pub trait Content: Send + Sync {
    /// How many there are.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies what is at `offset` into `into`, and zeros for what is beyond the end. This cannot fail
    /// for the guest, whose disk has no such error; an implementation that cannot read remembers that,
    /// and its maker must ask before believing what came of the run.
    fn read(&self, offset: u64, into: &mut [u8]);

    /// An offset, at least `offset`, before which there are only zeros from there on. It saves time and
    /// makes no other difference, so `offset` itself is always right.
    fn zeros_until(&self, offset: u64) -> u64 {
        offset
    }
}

/// The content that a disk starts with. It never changes; what is written lies over it.
#[derive(Clone, Default)]
pub enum Base {
    /// Zeros only.
    #[default]
    Blank,
    /// These bytes, then zeros up to the size of the disk.
    Bytes(SharedBytes),
    /// The same, fetched when it is read.
    Content(Arc<dyn Content>),
}

impl Base {
    /// A base of these bytes.
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::Bytes(Arc::new(bytes))
    }

    /// The number of bytes that are not zeros by definition.
    pub fn len(&self) -> u64 {
        match self {
            Self::Blank => 0,
            Self::Bytes(bytes) => (**bytes).as_ref().len() as u64,
            Self::Content(content) => content.len(),
        }
    }

    /// Whether all of it is zeros by definition.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies what is at `offset` into `into`.
    pub fn read(&self, offset: u64, into: &mut [u8]) {
        let bytes = match self {
            Self::Blank => &[],
            Self::Bytes(bytes) => (**bytes).as_ref(),
            Self::Content(content) => return content.read(offset, into),
        };
        let start = usize::try_from(offset).map_or(bytes.len(), |start| start.min(bytes.len()));
        let known = (bytes.len() - start).min(into.len());
        into[..known].copy_from_slice(&bytes[start..start + known]);
        into[known..].fill(0);
    }

    /// An offset, at least `offset`, before which there are only zeros from there on; the end of the
    /// world if there is nothing else any more.
    pub fn zeros_until(&self, offset: u64) -> u64 {
        match self {
            _ if offset >= self.len() => u64::MAX,
            Self::Blank | Self::Bytes(_) => offset,
            Self::Content(content) => content.zeros_until(offset),
        }
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("Blank"),
            Self::Bytes(_) => write!(f, "Bytes({})", self.len()),
            Self::Content(_) => write!(f, "Content({})", self.len()),
        }
    }
}
