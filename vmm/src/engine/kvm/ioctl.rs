//! The one call that kvm-ioctls lacks.

use std::io;
use std::os::fd::AsRawFd;

use kvm_bindings::kvm_interrupt;
use kvm_ioctls::VcpuFd;

/// `_IOW(KVMIO, 0x86, struct kvm_interrupt)`.
const KVM_INTERRUPT: libc::c_ulong = 0x4004_ae86;

/// Queues an interrupt on a vCPU whose interrupt controller is not in the kernel. The caller has seen
/// that the vCPU can take it.
///
/// # Errors
/// If KVM refuses.
pub(super) fn interrupt(fd: &VcpuFd, vector: u8) -> io::Result<()> {
    let interrupt = kvm_interrupt { irq: vector.into() };
    // SAFETY: the descriptor is a vCPU's, and the structure is the one that this call takes and lives
    // through it.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), KVM_INTERRUPT as _, &raw const interrupt) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
