//! The time stamp counter.

use kvm_bindings::{KVM_CAP_TSC_CONTROL, KVM_CAP_VCPU_ATTRIBUTES};

use super::lab::{Did, Lab, USER_CODE, guest, to_user};
use super::{answer, good, limited};
use crate::engine::kvm::exit::Left;
use crate::engine::kvm::host::HostError;
use crate::engine::kvm::ioctl;
use crate::engine::probe::{Answer, Blocks, Grade};

guest!(
    kernel_clock,
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "mov [0xa000], rax",
    "out 0x10, al"
);
guest!(
    user_clock,
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "mov [0xa000], rax",
    "ud2"
);
guest!(
    to_user_without_clock,
    "mov rax, cr4",
    "or rax, 4",
    "mov cr4, rax",
    "push 0x1b",
    "push 0x9000",
    "push 2",
    "push 0x23",
    "push 0x20000",
    "iretq"
);
guest!(clock_register, "mov ecx, 0x10", "rdmsr", "out 0x10, al");

fn host_clock() -> u64 {
    // SAFETY: every x86-64 processor has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// What the guest reads in kernel or in user mode, with the host's clock before and after. The offset of
/// the vCPU's clock is set to minus the host's.
fn read_with_offset(user: bool) -> Result<Option<(u64, u64, u64)>, HostError> {
    let mut lab = Lab::new(if user { to_user() } else { kernel_clock() })?;
    lab.ram.write(USER_CODE, user_clock());
    let before = host_clock();
    let offset = before.wrapping_neg();
    // Older kernels can't, and nothing is offset there.
    let _ = ioctl::set_clock_offset(&lab.fd, offset);
    let did = lab.run();
    let after = host_clock();
    let came = did == Did::Done || user && did == Did::Trapped(6);
    Ok(came.then(|| (before, lab.data(), after)))
}

/// Whether RDTSC can be kept from the guest.
pub(super) fn rdtsc() -> Answer {
    let in_mode = |user| {
        Ok::<_, HostError>(match read_with_offset(user)? {
            None => "fails",
            Some((before, read, after)) if (before..=after).contains(&read) => {
                "reads the host's counter, offset ignored"
            }
            Some((before, read, after)) if read <= after - before => {
                "reads the host's counter, offset applied"
            }
            Some(_) => "reads something else",
        })
    };
    let (kernel, user) = match (in_mode(false), in_mode(true)) {
        (Ok(kernel), Ok(user)) => (kernel, user),
        (Err(error), _) | (_, Err(error)) => return error.into(),
    };
    answer(
        Grade::Bad,
        format!("kernel mode: {kernel}; user mode: {user}"),
        "no stock KVM hands RDTSC over: a guest that executes it sees the host's time",
        &[Blocks::Determinism],
    )
}

/// Whether user mode can be made to fault at RDTSC.
pub(super) fn disabled() -> Answer {
    let run = || {
        let mut lab = Lab::new(to_user_without_clock())?;
        lab.ram.write(USER_CODE, user_clock());
        Ok::<_, HostError>(lab.run())
    };
    match run() {
        Err(error) => error.into(),
        Ok(Did::Trapped(13)) => good(
            "RDTSC faults in user mode when CR4.TSD is set",
            "a guest kernel can keep its programs from the host's time",
        ),
        Ok(did) => limited(
            format!("RDTSC in user mode with CR4.TSD set: {did}"),
            "a guest kernel can't keep its programs from the host's time",
        ),
    }
}

/// Whether the clock's model-specific register is ours.
pub(super) fn registers() -> Answer {
    let run = || Ok::<_, HostError>(Lab::new(clock_register())?.run());
    match run() {
        Err(error) => error.into(),
        Ok(Did::Left(Left::MsrRead { index: 0x10 })) => good(
            "RDMSR of the time stamp counter leaves the guest",
            "model-specific registers are ours; RDMSR of the clock gives virtual time",
        ),
        Ok(did) => answer(
            Grade::Bad,
            format!("RDMSR of the time stamp counter: {did}"),
            "model-specific registers are the host's",
            &[Blocks::Everything],
        ),
    }
}

/// Whether the clock's rate can be set.
pub(super) fn scaling() -> Answer {
    let run = || {
        let lab = Lab::new(kernel_clock())?;
        let cap = |cap: u32| lab.vm.check_extension_raw(cap.into()) > 0;
        let khz = lab.fd.get_tsc_khz().unwrap_or(0);
        let (scales, offsets) = (cap(KVM_CAP_TSC_CONTROL), cap(KVM_CAP_VCPU_ATTRIBUTES));
        Ok::<_, HostError>((khz, scales, offsets))
    };
    match run() {
        Err(error) => error.into(),
        Ok((khz, scales, offsets)) => {
            let can = |yes| if yes { "can" } else { "can't" };
            limited(
                format!(
                    "{khz} kHz; its rate {} be set, its offset {} be asked for",
                    can(scales),
                    can(offsets)
                ),
                "neither makes RDTSC virtual: between exits it runs in the host's time",
            )
        }
    }
}
