//! `--boot`: whether boots that were executed before are executed again.

use chaosrun_vmm::world::Boots;

use super::artifact::open_store;
use super::progress::say;
use super::{Exit, Failure, OrExit};
use crate::artifact::StoredBoots;

/// What is done about boots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum BootMode {
    /// What a node boots is executed once, and kept in the cache.
    #[default]
    Once,
    /// Each node executes each boot.
    Fresh,
}

impl BootMode {
    /// The boots that are known.
    pub(super) fn boots(self) -> Result<Boots, Failure> {
        match self {
            Self::Fresh => Ok(Boots::fresh()),
            Self::Once => {
                let store = open_store()?;
                let stored = StoredBoots::of(&store, say).or_exit(Exit::HostCannot)?;
                Ok(Boots::once(Some(Box::new(stored))))
            }
        }
    }
}
