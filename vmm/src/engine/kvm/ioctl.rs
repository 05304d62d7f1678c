//! The calls that kvm-ioctls lacks.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use kvm_bindings::{KVMIO, kvm_device_attr, kvm_interrupt};
use kvm_ioctls::VcpuFd;
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

const KVM_INTERRUPT: Opcode = opcode::write::<kvm_interrupt>(KVMIO as u8, 0x86);
const KVM_SET_DEVICE_ATTR: Opcode = opcode::write::<kvm_device_attr>(KVMIO as u8, 0xe1);

/// Queues an interrupt on a vCPU whose interrupt controller is not in the kernel. The caller has seen
/// that the vCPU can take it.
///
/// # Errors
/// If KVM refuses.
pub(super) fn interrupt(fd: &VcpuFd, vector: u8) -> io::Result<()> {
    let interrupt = kvm_interrupt { irq: vector.into() };
    // SAFETY: the structure is the one that this call takes, and the call only reads it.
    let call = unsafe { Setter::<KVM_INTERRUPT, kvm_interrupt>::new(interrupt) };
    // SAFETY: the descriptor is a vCPU's.
    Ok(unsafe { ioctl(borrowed(fd), call) }?)
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
    // SAFETY: the structure is the one that this call takes, and the call only reads it.
    let call = unsafe { Setter::<KVM_SET_DEVICE_ATTR, kvm_device_attr>::new(attribute) };
    // SAFETY: the descriptor is a vCPU's; the number that the structure points to lives through the call.
    Ok(unsafe { ioctl(borrowed(fd), call) }?)
}

/// A vCPU's descriptor for one call.
fn borrowed(fd: &VcpuFd) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open for as long as the vCPU is borrowed.
    unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_have_the_numbers_of_the_kernel() {
        assert_eq!(KVM_INTERRUPT, 0x4004_ae86);
        assert_eq!(KVM_SET_DEVICE_ATTR, 0x4018_aee1);
    }
}
