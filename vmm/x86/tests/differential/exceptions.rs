//! The forms that are not compared with the processor, each with the reason.

use iced_x86::{Code, Mnemonic as M};

use crate::forms;
use crate::make::{Departure, Make, host};

/// What this test does with an instruction form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// The results are compared.
    Compare,
    /// Only the refusal in user mode is compared; what the form does in the kernel is for
    /// bare-metal guests.
    Refusal,
    /// The modelled processor doesn't have the form, whatever the host has: it must raise #UD.
    Absent,
    /// The form can't be run here, for this reason.
    Excluded(&'static str),
}

const KERNEL_ENTRY: &str = "enters or leaves the kernel; bare-metal guests test it";
const OWN_ANSWER: &str = "answers with the identity, the clock or the randomness of the machine, which are \
    not the host's";
const HOST_EMULATES: &str =
    "the host's kernel emulates it for user mode (UMIP); bare-metal guests test it";

/// Mnemonics that are excluded, with the reason.
const EXCLUDED: &[(M, &str)] = &[
    (M::Syscall, KERNEL_ENTRY),
    (M::Sysenter, KERNEL_ENTRY),
    (M::Sysexit, KERNEL_ENTRY),
    (M::Sysexitq, KERNEL_ENTRY),
    (M::Sysret, KERNEL_ENTRY),
    (M::Sysretq, KERNEL_ENTRY),
    (M::Cpuid, OWN_ANSWER),
    (M::Rdtsc, OWN_ANSWER),
    (M::Rdtscp, OWN_ANSWER),
    (M::Rdrand, OWN_ANSWER),
    (M::Rdseed, OWN_ANSWER),
    (M::Rdpid, OWN_ANSWER),
    (M::Rdpmc, OWN_ANSWER),
    (M::Xgetbv, OWN_ANSWER),
    (M::Sgdt, HOST_EMULATES),
    (M::Sidt, HOST_EMULATES),
    (M::Sldt, HOST_EMULATES),
    (M::Str, HOST_EMULATES),
    (M::Smsw, HOST_EMULATES),
    (
        M::Int1,
        "a hypervisor that intercepts it reports another instruction pointer",
    ),
];

/// Mnemonics that user mode may not execute, though the encoding tables don't say so for all.
const REFUSED: &[M] = &[
    M::In,
    M::Out,
    M::Insb,
    M::Insw,
    M::Insd,
    M::Outsb,
    M::Outsw,
    M::Outsd,
    M::Cli,
    M::Sti,
];

/// Far pointers of 80 bits and the reserved no-operations are not AMD's.
const AMD_DIFFERS: &[Code] = &[
    Code::Call_m1664,
    Code::Jmp_m1664,
    Code::Lss_r64_m1664,
    Code::Lfs_r64_m1664,
    Code::Lgs_r64_m1664,
];

/// Decides what to do with a form.
pub fn plan(form: Code) -> Plan {
    let op = form.op_code();
    if let Some((_, reason)) = EXCLUDED
        .iter()
        .find(|(mnemonic, _)| *mnemonic == form.mnemonic())
    {
        return Plan::Excluded(reason);
    }
    if !forms::is_modelled(form) {
        return Plan::Absent;
    }
    if host() == Make::Amd {
        if AMD_DIFFERS.contains(&form) {
            return Plan::Excluded(Departure::FarPointer.reason());
        }
        if format!("{form:?}").starts_with("Reservednop") {
            return Plan::Excluded(Departure::ReservedHints.reason());
        }
    }
    if !op.mode64() && !op.mode32() {
        return Plan::Excluded("exists in 16-bit mode only");
    }
    if REFUSED.contains(&form.mnemonic()) || op.is_privileged() || !op.cpl3() || op.must_be_cpl0() {
        return Plan::Refusal;
    }
    Plan::Compare
}
