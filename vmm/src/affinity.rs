//! Binds threads to processors of the host, which changes how fast things go and nothing else.

use std::io;

/// A processor of the host that a thread can't be bound to.
#[derive(Debug, thiserror::Error)]
#[error("cannot bind to processor {cpu} of this host")]
pub struct NoProcessor {
    /// Its number.
    pub cpu: u32,
    /// What the operating system says.
    pub source: io::Error,
}

/// Binds the calling thread to one of the host's processors for good.
///
/// # Errors
/// If there is no such processor, or it is not ours to use.
pub fn pin_thread(cpu: u32) -> Result<(), NoProcessor> {
    system::set(&[cpu]).map_err(|source| NoProcessor { cpu, source })
}

/// Tries whether a thread of this process can be bound to each of `cpus`. The calling thread is bound
/// afterwards to what it was before.
///
/// # Errors
/// If one of the processors does not exist, or is not ours to use.
pub fn check(cpus: &[u32]) -> Result<(), NoProcessor> {
    for &cpu in cpus {
        // One by one, since the host ignores what it does not have of several.
        let bound = Bound::new(&[cpu]).map_err(|source| NoProcessor { cpu, source })?;
        drop(bound);
    }
    Ok(())
}

/// Holds the calling thread on some of the host's processors for as long as it lives.
#[must_use = "the thread is bound only as long as this lives"]
pub(crate) struct Bound {
    /// Where the thread may run otherwise; none if it was not bound at all.
    before: Option<system::Set>,
}

impl Bound {
    /// Binds the calling thread to `cpus`. For none nothing is done, and no system call made.
    pub(crate) fn new(cpus: &[u32]) -> io::Result<Self> {
        if cpus.is_empty() {
            return Ok(Self { before: None });
        }
        let before = system::get()?;
        system::set(cpus)?;
        Ok(Self {
            before: Some(before),
        })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // It was allowed before. Where the host has changed its mind meanwhile, the thread stays
            // where it is, which only costs speed.
            let _ = system::restore(before);
        }
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod system {
    use std::io;

    use rustix::io::Errno;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    pub(super) type Set = CpuSet;

    /// The processors on which the calling thread may run.
    pub(super) fn get() -> io::Result<Set> {
        Ok(sched_getaffinity(None)?)
    }

    /// Lets the calling thread run on `cpus` only.
    pub(super) fn set(cpus: &[u32]) -> io::Result<()> {
        let mut set = CpuSet::new();
        for &cpu in cpus {
            let cpu = cpu as usize;
            // A set has no room for it, and putting it there would be a panic.
            if cpu >= CpuSet::MAX_CPU {
                return Err(Errno::INVAL.into());
            }
            set.set(cpu);
        }
        restore(&set)
    }

    pub(super) fn restore(set: &Set) -> io::Result<()> {
        Ok(sched_setaffinity(None, set)?)
    }

    /// The numbers in a set.
    #[cfg(test)]
    pub(super) fn numbers(set: &Set) -> Vec<u32> {
        let numbers = 0..CpuSet::MAX_CPU;
        numbers
            .filter(|&cpu| set.is_set(cpu))
            .map(|cpu| cpu as u32)
            .collect()
    }
}

/// Other systems can't be asked.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod system {
    use std::io;

    pub(super) type Set = ();

    pub(super) fn get() -> io::Result<Set> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn set(_: &[u32]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn restore(_: &Set) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The processors on which the calling thread may run.
#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn allowed() -> Vec<u32> {
    system::numbers(&system::get().expect("a thread may ask that"))
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_bound_for_as_long_as_the_guard_lives() {
        let before = allowed();
        let last = *before.last().unwrap();
        let bound = Bound::new(&[last]).unwrap();
        assert_eq!(allowed(), [last]);
        drop(bound);
        assert_eq!(allowed(), before);
    }

    #[test]
    fn a_thread_that_is_bound_to_nothing_stays_as_it_is() {
        let before = allowed();
        let bound = Bound::new(&[]).unwrap();
        assert_eq!(allowed(), before);
        drop(bound);
        assert_eq!(allowed(), before);
    }

    #[test]
    fn a_processor_that_the_host_lacks_is_found_among_others_and_binds_nothing() {
        let before = allowed();
        // The last number of a set, and one behind it.
        for missing in [1023, 4095] {
            if before.contains(&missing) {
                continue;
            }
            let error = check(&[before[0], missing]).unwrap_err();
            assert_eq!(error.cpu, missing);
            assert_eq!(error.source.raw_os_error(), Some(libc::EINVAL));
            assert_eq!(allowed(), before);
        }
        assert!(check(&before).is_ok());
        assert_eq!(allowed(), before);
    }
}
