//! CPUID.

use std::path::Path;

use super::lab::{Did, Lab, USER_CODE, guest, to_user};
use super::{answer, good, limited};
use crate::engine::kvm::cpuid;
use crate::engine::kvm::host::{self, HostError};
use crate::engine::probe::{Answer, Blocks, Grade};

/// What leaf 0, EBX, is set to.
const MARK: u32 = 0x6f61_6863;

guest!(
    ask,
    "xor eax, eax",
    "cpuid",
    "mov r8d, ebx",
    "mov eax, 1",
    "xor ecx, ecx",
    "cpuid",
    "mov r9d, ecx",
    "mov eax, 7",
    "xor ecx, ecx",
    "cpuid",
    "mov r10d, ebx",
    "ud2",
);

/// The leaves that are not what was set, as the guest reads them.
fn strange_leaves(user: bool) -> Result<Option<Vec<&'static str>>, HostError> {
    let mut lab = Lab::with_cpuid(if user { to_user() } else { ask() }, |entry| {
        match entry.function {
            0 => entry.ebx = MARK,
            // RDRAND, AVX; RDSEED, AVX2.
            1 => entry.ecx &= !(1 << 30 | 1 << 28),
            7 => entry.ebx &= !(1 << 18 | 1 << 5),
            _ => {}
        }
    })?;
    lab.ram.write(USER_CODE, ask());
    if lab.run() != Did::Trapped(6) {
        return Ok(None);
    }
    let mut strange = Vec::new();
    if lab.register(|regs| regs.r8) != u64::from(MARK) {
        strange.push("0");
    }
    if lab.register(|regs| regs.r9) & (1 << 30 | 1 << 28) != 0 {
        strange.push("1");
    }
    if lab.register(|regs| regs.r10) & (1 << 18 | 1 << 5) != 0 {
        strange.push("7");
    }
    Ok(Some(strange))
}

fn whose_leaves(mode: &str, leaves: Option<&[&str]>) -> String {
    match leaves {
        None => format!("{mode}: CPUID fails"),
        Some([]) => format!("{mode}: ours"),
        Some(leaves) => format!("{mode}: leaves {} are the host's", leaves.join(", ")),
    }
}

/// Whether CPUID is ours.
pub(super) fn identity() -> Answer {
    let (kernel, user) = match (strange_leaves(false), strange_leaves(true)) {
        (Ok(kernel), Ok(user)) => (kernel, user),
        (Err(error), _) | (_, Err(error)) => return error.into(),
    };
    let measured = format!(
        "{}; {}",
        whose_leaves("kernel mode", kernel.as_deref()),
        whose_leaves("user mode", user.as_deref())
    );
    let none = Some(Vec::new());
    if kernel == none && user == none {
        return good(measured, "guests see the same processor on every host");
    }
    answer(
        Grade::Bad,
        measured,
        "a guest that asks sees the host's processor and may use its RDRAND: runs are not the same \
         on another host",
        &[Blocks::Determinism],
    )
}

/// Whether the host vouches for what the guest's processor has.
pub(super) fn features() -> Answer {
    let missing = host::open(Path::new(host::DEVICE)).and_then(|kvm| cpuid::not_vouched_for(&kvm));
    match missing {
        Err(error) => error.into(),
        Ok(missing) if missing.is_empty() => good(
            "KVM vouches for all of them",
            "guests may use what CPUID reports",
        ),
        Ok(missing) => limited(
            format!("KVM does not vouch for {}", missing.join(", ")),
            "they may only work in user mode",
        ),
    }
}
