//! Virtual time, the only time in this crate.

use serde::{Deserialize, Serialize};

/// A moment in virtual time: nanoseconds since the machine's power-on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VirtTime(pub u64);

impl VirtTime {
    /// Nanoseconds since power-on.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `nanos` nanoseconds later, or the end of time.
    #[must_use]
    pub const fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}
