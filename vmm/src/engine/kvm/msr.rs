//! Model-specific registers: which ones the host's processor has, and which ones are ours.
//!
//! Everything that is not in [`NATIVE`] leaves the guest: the time stamp counter and its adjustment,
//! the local APIC, memory types, microcode, identification. There is no way to have the x2APIC's
//! registers filtered, but without a local APIC in the kernel their accesses fail, and failed ones
//! leave the guest as well.

use chaosrun_x86::Msrs;
use kvm_bindings::{Msrs as MsrList, kvm_msr_entry};
use kvm_ioctls::{MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags, VcpuFd, VmFd};

use super::host::HostError;

const SYSENTER_CS: u32 = 0x174;
const SYSENTER_ESP: u32 = 0x175;
const SYSENTER_EIP: u32 = 0x176;
const PAT: u32 = 0x277;
const EFER: u32 = 0xc000_0080;
const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;
const CSTAR: u32 = 0xc000_0083;
const FMASK: u32 = 0xc000_0084;
const KERNEL_GS_BASE: u32 = 0xc000_0102;

/// The registers that KVM keeps and that a snapshot reads from it. EFER, FS.base and GS.base are
/// KVM's, too, but come with the special registers.
pub(super) const NATIVE: [u32; 9] = [
    SYSENTER_CS,
    SYSENTER_ESP,
    SYSENTER_EIP,
    PAT,
    STAR,
    LSTAR,
    CSTAR,
    FMASK,
    KERNEL_GS_BASE,
];

/// The IA32_TSC_DEADLINE register, which a processor without that timer mode does not have.
pub(super) const TSC_DEADLINE: u32 = 0x6e0;

/// Has every access to a register that is not KVM's leave the guest.
pub(super) fn install_filter(vm: &VmFd) -> Result<(), HostError> {
    let both = MsrFilterRangeFlags::READ | MsrFilterRangeFlags::WRITE;
    let range = |base, msr_count, bitmap| MsrFilterRange {
        flags: both,
        base,
        msr_count,
        bitmap,
    };
    let allowed = [
        range(SYSENTER_CS, 3, &[0b111][..]),
        range(PAT, 1, &[1]),
        // EFER to FMASK, and from FS.base to the kernel's GS.base.
        range(EFER, 5, &[0b1_1111]),
        range(0xc000_0100, 3, &[0b111]),
    ];
    vm.set_msr_filter(MsrFilterDefaultAction::DENY, &allowed)
        .map_err(HostError::call("filter model-specific registers"))
}

/// Whether a register is KVM's, so that an access leaves the guest only if KVM refuses it.
pub(super) fn is_native(index: u32) -> bool {
    matches!(
        index,
        SYSENTER_CS..=SYSENTER_EIP | PAT | EFER..=FMASK | 0xc000_0100..=KERNEL_GS_BASE
    )
}

/// The place of a register of [`NATIVE`].
fn field(msrs: &mut Msrs, index: u32) -> Option<&mut u64> {
    Some(match index {
        SYSENTER_CS => &mut msrs.sysenter_cs,
        SYSENTER_ESP => &mut msrs.sysenter_esp,
        SYSENTER_EIP => &mut msrs.sysenter_eip,
        PAT => &mut msrs.pat,
        STAR => &mut msrs.star,
        LSTAR => &mut msrs.lstar,
        CSTAR => &mut msrs.cstar,
        FMASK => &mut msrs.sfmask,
        KERNEL_GS_BASE => &mut msrs.kernel_gs_base,
        _ => return None,
    })
}

fn list(entries: &[kvm_msr_entry]) -> MsrList {
    MsrList::from_entries(entries).expect("ten registers fit in a list")
}

/// Reads KVM's registers into `msrs` and leaves the others as they are.
pub(super) fn load(fd: &VcpuFd, msrs: &mut Msrs) -> Result<(), String> {
    let mut list = list(&NATIVE.map(|index| kvm_msr_entry {
        index,
        ..Default::default()
    }));
    let count = fd.get_msrs(&mut list).map_err(super::host::in_words)?;
    if count != NATIVE.len() {
        return Err(format!("KVM can't read register {:#x}", NATIVE[count]));
    }
    for entry in list.as_slice() {
        if let Some(place) = field(msrs, entry.index) {
            *place = entry.data;
        }
    }
    Ok(())
}

/// Gives KVM's registers the values in `msrs`.
pub(super) fn store(fd: &VcpuFd, msrs: &Msrs) -> Result<(), String> {
    let mut msrs = msrs.clone();
    let list = list(&NATIVE.map(|index| kvm_msr_entry {
        index,
        data: field(&mut msrs, index).map_or(0, |place| *place),
        ..Default::default()
    }));
    let count = fd.set_msrs(&list).map_err(super::host::in_words)?;
    if count != NATIVE.len() {
        return Err(format!("KVM can't write register {:#x}", NATIVE[count]));
    }
    Ok(())
}
