//! The content that a disk starts with, shared by all disks that were made from it.

use std::fmt;
use std::sync::Arc;

/// Bytes that somebody keeps in memory or maps from a file.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// The content that a disk starts with. It never changes; what is written lies over it.
#[derive(Clone, Default)]
pub enum Base {
    /// Zeros only.
    #[default]
    Blank,
    /// These bytes, then zeros up to the size of the disk.
    Bytes(SharedBytes),
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
        };
        let start = usize::try_from(offset).map_or(bytes.len(), |start| start.min(bytes.len()));
        let known = (bytes.len() - start).min(into.len());
        into[..known].copy_from_slice(&bytes[start..start + known]);
        into[known..].fill(0);
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("Blank"),
            Self::Bytes(_) => write!(f, "Bytes({})", self.len()),
        }
    }
}
