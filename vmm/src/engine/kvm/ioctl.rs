//! The calls that kvm-ioctls lacks.

use std::io;
use std::os::fd::AsRawFd;

use kvm_bindings::{kvm_device_attr, kvm_interrupt};
use kvm_ioctls::VcpuFd;

/// `_IOW(KVMIO, 0x86, struct kvm_interrupt)`.
const KVM_INTERRUPT: libc::c_ulong = 0x4004_ae86;

/// `_IOW(KVMIO, 0xe1, struct kvm_device_attr)`.
const KVM_SET_DEVICE_ATTR: libc::c_ulong = 0x4018_aee1;

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

/// Sets what KVM adds to the host's time stamp counter for a vCPU (`KVM_VCPU_TSC_OFFSET`).
///
/// # Errors
/// If KVM refuses or does not know how.
pub(super) fn set_clock_offset(fd: &VcpuFd, offset: u64) -> io::Result<()> {
    // Group 0 and attribute 0 are KVM_VCPU_TSC_CTRL and KVM_VCPU_TSC_OFFSET.
    let attribute = kvm_device_attr {
        addr: &raw const offset as u64,
        ..Default::default()
    };
    // SAFETY: the descriptor is a vCPU's; the structure and the number that it points to live through
    // the call.
    let result = unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            KVM_SET_DEVICE_ATTR as _,
            &raw const attribute,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
