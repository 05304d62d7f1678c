//! The host's KVM: opening it, and what it must have at least.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use kvm_bindings::{
    KVM_API_VERSION, KVM_CAP_X86_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR, kvm_enable_cap,
};
use kvm_ioctls::{Cap, Kvm, MsrExitReason, VmFd};

use super::msr;

/// Where the kernel offers KVM.
pub(crate) const DEVICE: &str = "/dev/kvm";

/// Why this host's KVM can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is no device.
    #[error("there is no {path}: the processor or the kernel offers no virtualisation here")]
    Missing {
        /// The device's path.
        path: String,
    },
    /// The device may not be opened.
    #[error("{path} may not be opened: {why}; being a member of the group `kvm` usually helps")]
    Permission {
        /// The device's path.
        path: String,
        /// What the operating system says.
        why: String,
    },
    /// The device can't be opened for another reason.
    #[error("{path} can't be opened: {why}")]
    Open {
        /// The device's path.
        path: String,
        /// What the operating system says.
        why: String,
    },
    /// What is there is not KVM, or not the KVM of the last twenty years.
    #[error("{path} does not speak KVM's interface {KVM_API_VERSION} but {version}")]
    Version {
        /// The device's path.
        path: String,
        /// What it says.
        version: i32,
    },
    /// The host's kernel is too old.
    #[error("this host's KVM lacks {what}; a newer kernel is needed")]
    Lacks {
        /// The names of the missing capabilities.
        what: String,
    },
    /// The host's processor lacks what the fixed identity of the guest's processor promises.
    #[error("this host's processor or KVM lacks {what}, which the guest's processor has")]
    Processor {
        /// The names of the missing features.
        what: String,
    },
    /// A call failed that should not.
    #[error("KVM refuses to {what}: {why}")]
    Call {
        /// What was to be done.
        what: &'static str,
        /// What the operating system says.
        why: String,
    },
}

impl HostError {
    /// A call that failed.
    pub(super) fn call(what: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> Self {
        move |error| Self::Call {
            what,
            why: in_words(error),
        }
    }
}

/// An error of the operating system in words.
pub(super) fn in_words(error: kvm_ioctls::Error) -> String {
    std::io::Error::from_raw_os_error(error.errno()).to_string()
}

/// The capabilities without which a machine can't run, with their names in the kernel's documentation.
const NEEDED: [(Cap, &str); 7] = [
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
    (Cap::VcpuEvents, "KVM_CAP_VCPU_EVENTS"),
    (Cap::Xsave, "KVM_CAP_XSAVE"),
    (Cap::Xcrs, "KVM_CAP_XCRS"),
    (Cap::Debugregs, "KVM_CAP_DEBUGREGS"),
    (Cap::MpState, "KVM_CAP_MP_STATE"),
];

/// The same, for capabilities that have no name in kvm-ioctls.
const NEEDED_RAW: [(u32, &str); 2] = [
    (KVM_CAP_X86_USER_SPACE_MSR, "KVM_CAP_X86_USER_SPACE_MSR"),
    (KVM_CAP_X86_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER"),
];

/// Opens the device at `path` and checks that it is a KVM that will do.
///
/// # Errors
/// If it is not.
pub(crate) fn open(path: &Path) -> Result<Kvm, HostError> {
    let named = || path.display().to_string();
    let c_path = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| HostError::Missing { path: named() })?;
    let kvm = Kvm::new_with_path(c_path).map_err(|error| unopened(named(), error))?;
    let version = kvm.get_api_version();
    if version != KVM_API_VERSION as i32 {
        return Err(HostError::Version {
            path: named(),
            version,
        });
    }
    complete(|capability| kvm.check_extension_raw(capability.into()) > 0)?;
    Ok(kvm)
}

/// Why the device at `path` could not be opened.
fn unopened(path: String, error: kvm_ioctls::Error) -> HostError {
    let why = in_words(error);
    match error.errno() {
        libc::ENOENT | libc::ENODEV | libc::ENXIO => HostError::Missing { path },
        libc::EACCES | libc::EPERM => HostError::Permission { path, why },
        _ => HostError::Open { path, why },
    }
}

/// Checks that a KVM has all that is needed; `has` is asked for one capability after the other.
fn complete(has: impl Fn(u32) -> bool) -> Result<(), HostError> {
    let needed = NEEDED
        .iter()
        .map(|(capability, name)| (*capability as u32, *name));
    let missing: Vec<&str> = needed
        .chain(NEEDED_RAW)
        .filter(|(capability, _)| !has(*capability))
        .map(|(_, name)| name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = missing.join(", ");
    Err(HostError::Lacks { what })
}

/// A virtual machine without vCPUs and RAM. There is no interrupt controller and no timer of the
/// kernel's in it, and only the model-specific registers in [`msr::NATIVE`] are left to the processor.
///
/// # Errors
/// If KVM refuses.
pub(crate) fn create_vm(kvm: &Kvm) -> Result<VmFd, HostError> {
    let vm = kvm
        .create_vm()
        .map_err(HostError::call("create a virtual machine"))?;
    // Needed by Intel's processors without unrestricted guests, harmless elsewhere: three pages that
    // no guest's RAM reaches.
    let _ = vm.set_tss_address(0xfffb_d000);
    let _ = vm.set_identity_map_address(0xfffb_c000);
    let reasons = MsrExitReason::Inval | MsrExitReason::Unknown | MsrExitReason::Filter;
    let mut exits = kvm_enable_cap {
        cap: KVM_CAP_X86_USER_SPACE_MSR,
        ..Default::default()
    };
    exits.args[0] = reasons.bits().into();
    vm.enable_cap(&exits).map_err(HostError::call(
        "hand over accesses to model-specific registers",
    ))?;
    msr::install_filter(&vm)?;
    Ok(vm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_named() {
        let error = open(Path::new("/nonexistent/kvm")).unwrap_err();
        assert!(matches!(error, HostError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("/nonexistent/kvm"));
    }

    #[test]
    fn a_device_that_may_not_be_opened_is_told_with_what_helps() {
        for errno in [libc::EACCES, libc::EPERM] {
            let error = unopened("/dev/kvm".to_owned(), kvm_ioctls::Error::new(errno));
            assert!(matches!(error, HostError::Permission { .. }), "{error}");
            assert!(error.to_string().contains("group `kvm`"), "{error}");
        }
    }

    #[test]
    fn a_kernel_that_is_too_old_is_told_by_all_that_it_lacks() {
        assert_eq!(complete(|_| true), Ok(()));
        let error = complete(|capability| capability == Cap::Xsave as u32).unwrap_err();
        let told = error.to_string();
        for lacking in ["KVM_CAP_X86_MSR_FILTER", "KVM_CAP_IMMEDIATE_EXIT"] {
            assert!(told.contains(lacking), "{told}");
        }
        assert!(!told.contains("KVM_CAP_XSAVE"), "{told}");
    }

    #[test]
    fn what_is_not_kvm_is_refused_by_its_version() {
        let error = open(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(error, HostError::Version { .. }), "{error}");
    }

    #[test]
    fn a_directory_can_not_be_opened() {
        let error = open(Path::new("/")).unwrap_err();
        assert!(matches!(error, HostError::Open { .. }), "{error}");
    }
}
