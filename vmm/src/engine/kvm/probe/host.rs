//! The device itself, and the host's performance counters.

use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;

use kvm_bindings::KVM_CAP_PMU_CAPABILITY;

use super::{answer, good, limited};
use crate::engine::kvm::cpuid;
use crate::engine::kvm::host::{self, HostError};
use crate::engine::probe::{Answer, Blocks, Grade};

/// Whether there is a KVM that will do.
pub(super) fn device() -> Answer {
    let checked = host::open(Path::new(host::DEVICE)).and_then(|kvm| {
        cpuid::check_host(&kvm)?;
        host::create_vm(&kvm)?;
        Ok(kvm)
    });
    match checked {
        Ok(kvm) => good(
            format!(
                "{} opens, interface {}, up to {} vCPUs",
                host::DEVICE,
                kvm.get_api_version(),
                kvm.get_max_vcpus()
            ),
            "machines can be made",
        ),
        Err(error) => answer(
            Grade::Bad,
            error.to_string(),
            "the kvm engine can't be used; the exact engine needs nothing from the host",
            &[Blocks::Everything],
        ),
    }
}

/// `PERF_TYPE_HARDWARE` and `PERF_COUNT_HW_BRANCH_INSTRUCTIONS`.
const HARDWARE: u64 = 0;
const BRANCHES: u64 = 4;
/// `disabled`, `exclude_kernel` left out since kernels of guests count, `exclude_hv`, `exclude_host`.
const FLAGS: u64 = 1 | 1 << 6 | 1 << 19;
/// The size of `struct perf_event_attr` as of its third version.
const ATTRIBUTES: usize = 96;

/// Opens a counter of the branches that guests of this thread retire.
fn open_counter() -> std::io::Result<()> {
    let mut attributes = [0u64; ATTRIBUTES / 8];
    attributes[0] = HARDWARE | (ATTRIBUTES as u64) << 32;
    attributes[1] = BRANCHES;
    attributes[5] = FLAGS;
    // SAFETY: the structure has the size that it tells and lives through the call.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened the descriptor for us, and nobody else knows it.
    drop(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) });
    Ok(())
}

/// Whether retired branches of a guest can be counted, which exact preemption needs.
pub(super) fn counters() -> Answer {
    let cap = host::open(Path::new(host::DEVICE))
        .map(|kvm| kvm.check_extension_raw(KVM_CAP_PMU_CAPABILITY.into()) > 0)
        .map_err(|error: HostError| error.to_string());
    let guests = match cap {
        Ok(true) => "KVM has a PMU for guests",
        Ok(false) => "KVM has no PMU for guests",
        Err(_) => "KVM can't be opened to ask it",
    };
    let means_without = "a guest that does not exit can only be stopped by a timer, which ends the run \
                         as not deterministic";
    match open_counter() {
        Ok(()) => {
            let countable = limited(
                format!("retired branches of a guest can be counted; {guests}"),
                "exact preemption would be possible on this host; the engine does not use it yet",
            );
            Answer {
                blocks: vec![Blocks::Preemption],
                ..countable
            }
        }
        Err(error) => answer(
            Grade::Bad,
            format!("retired branches of a guest can't be counted: {error}; {guests}"),
            means_without,
            &[Blocks::Preemption],
        ),
    }
}
