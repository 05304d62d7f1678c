//! The beginnings of lives that are known, so that each image is booted once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use crate::machine::{Beginning, ImageId, MachineConfig, MachineError};

/// The most images whose beginnings are kept in memory.
const IMAGES_MAX: usize = 16;

/// Where beginnings are kept between processes. What is found there only saves time: a beginning that can't
/// be read is executed again.
pub trait BootFiles: Send + Sync {
    /// What was stored for a name, if it is there.
    fn load(&self, name: &str) -> Option<Vec<u8>>;

    /// There is nothing usable for a name, and what is to be stored is being made, which takes seconds.
    fn begin(&self, name: &str);

    /// Stores something. What can't be stored is not.
    fn store(&self, name: &str, bytes: &[u8]);

    /// What was stored for a name is not usable, and why.
    fn refuse(&self, name: &str, why: &str);
}

/// The beginnings of lives. Copies are the same one. By default there are none, and each machine executes its
/// boot; that has no effect on results.
#[derive(Clone, Default)]
pub struct Boots(Option<Arc<Known>>);

impl fmt::Debug for Boots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Boots(once)"
        } else {
            "Boots(fresh)"
        })
    }
}

#[derive(Default)]
struct Known {
    files: Option<Box<dyn BootFiles>>,
    images: Mutex<Images>,
    executed: AtomicU64,
    loaded: AtomicU64,
    begun: AtomicU64,
}

/// What [`Boots`] were good for so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BootsCounters {
    /// Images whose beginning was executed.
    pub executed: u64,
    /// Images whose beginning was found in a file.
    pub loaded: u64,
    /// Lives that began as others had.
    pub begun: u64,
}

#[derive(Default)]
struct Images {
    /// By image, with when it was used last.
    known: BTreeMap<ImageId, (u64, Slot)>,
    uses: u64,
}

/// A beginning, once somebody has recorded it; `None` inside if the image has none.
type Slot = Arc<OnceLock<Option<Arc<Beginning>>>>;

impl Boots {
    /// Each machine executes its boot.
    pub fn fresh() -> Self {
        Self::default()
    }

    /// Each image is booted once; what that gives is kept in memory, and in `files`.
    pub fn once(files: Option<Box<dyn BootFiles>>) -> Self {
        Self(Some(Arc::new(Known {
            files,
            ..Known::default()
        })))
    }

    /// The beginning of a machine's life, which is executed now if nobody has yet. `None` if all machines
    /// with this image have to execute their boots.
    pub(super) fn beginning(
        &self,
        config: &MachineConfig<'_>,
        image: ImageId,
    ) -> Option<Arc<Beginning>> {
        let known = self.0.as_ref()?;
        let slot = known.slot(image);
        // Whoever comes second waits for the first. An error is found again by whoever makes the machine.
        let make = || known.make(config, image).unwrap_or_default().map(Arc::new);
        let beginning = slot.get_or_init(make).clone();
        known.begun.fetch_add(beginning.is_some().into(), Relaxed);
        beginning
    }

    /// What they were good for so far; nothing if each machine executes its boot.
    pub fn counters(&self) -> BootsCounters {
        let counters = |known: &Arc<Known>| BootsCounters {
            executed: known.executed.load(Relaxed),
            loaded: known.loaded.load(Relaxed),
            begun: known.begun.load(Relaxed),
        };
        self.0.as_ref().map(counters).unwrap_or_default()
    }
}

impl Known {
    fn slot(&self, image: ImageId) -> Slot {
        let mut images = self.images.lock().unwrap_or_else(|lock| lock.into_inner());
        images.uses += 1;
        let now = images.uses;
        if images.known.len() >= IMAGES_MAX && !images.known.contains_key(&image) {
            let oldest = images.known.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(image, _)| *image) {
                images.known.remove(&oldest);
            }
        }
        let (used, slot) = images.known.entry(image).or_default();
        *used = now;
        Arc::clone(slot)
    }

    fn make(
        &self,
        config: &MachineConfig<'_>,
        image: ImageId,
    ) -> Result<Option<Beginning>, MachineError> {
        let name = Beginning::file_name(&image);
        if let Some(files) = &self.files
            && let Some(bytes) = files.load(&name)
        {
            match Beginning::from_bytes(&bytes, config, image) {
                Ok(beginning) => {
                    self.loaded.fetch_add(1, Relaxed);
                    return Ok(Some(beginning));
                }
                Err(error) => files.refuse(&name, &error.to_string()),
            }
        }
        if let Some(files) = &self.files {
            files.begin(&name);
        }
        let beginning = Beginning::record(config)?;
        if let Some(beginning) = &beginning {
            self.executed.fetch_add(1, Relaxed);
            if let Some(files) = &self.files {
                files.store(&name, &beginning.to_bytes(image));
            }
        }
        Ok(beginning)
    }
}
