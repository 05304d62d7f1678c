//! What this host's KVM really does: tiny guests that try it.

mod addresses;
mod clock;
mod host;
mod identity;
mod instructions;
mod interrupts;
mod lab;
mod memory;
mod speed;
mod vectors;

use std::sync::OnceLock;

use crate::engine::probe::{Answer, Blocks, Grade, Probe};

/// What a guest on this engine gets from the host's processor without anybody in between, on every host.
pub(super) const NATIVE: [&str; 1] =
    ["RDTSC reads the host's time stamp counter: no stock KVM lets a program trap it"];

fn answer(grade: Grade, measured: String, means: &str, blocks: &[Blocks]) -> Answer {
    Answer {
        grade,
        measured,
        means: means.to_owned(),
        blocks: blocks.to_vec(),
    }
}

fn good(measured: impl Into<String>, means: &str) -> Answer {
    answer(Grade::Good, measured.into(), means, &[])
}

fn limited(measured: impl Into<String>, means: &str) -> Answer {
    answer(Grade::Limited, measured.into(), means, &[])
}

const fn probe(
    name: &'static str,
    subject: &'static str,
    if_lost: (&'static str, &'static [Blocks]),
    run: fn() -> Answer,
) -> Probe {
    Probe {
        name,
        subject,
        if_lost,
        run,
    }
}

const UNUSABLE: (&str, &[Blocks]) = ("the kvm engine can't be used", &[Blocks::Everything]);
const NO_LINUX: (&str, &[Blocks]) = ("kernels hang", &[Blocks::Linux]);
const NOT_OURS: (&str, &[Blocks]) = ("this could not be determined", &[Blocks::Determinism]);
const NO_MATTER: (&str, &[Blocks]) = ("guests that do this hang", &[]);
const NO_STOP: (&str, &[Blocks]) = ("no guest can be stopped exactly", &[Blocks::Preemption]);

/// All probes, the most basic one first.
pub(in crate::engine) const ALL: &[Probe] = &[
    probe("device", "KVM", UNUSABLE, host::device),
    probe("rdtsc", "RDTSC", NOT_OURS, clock::rdtsc),
    probe(
        "tsc-disable",
        "RDTSC in user mode with CR4.TSD",
        NO_MATTER,
        clock::disabled,
    ),
    probe(
        "tsc-scaling",
        "time stamp counter's rate",
        NO_MATTER,
        clock::scaling,
    ),
    probe(
        "msr-exits",
        "model-specific registers",
        UNUSABLE,
        clock::registers,
    ),
    probe(
        "addresses",
        "registers that hold addresses",
        NO_MATTER,
        addresses::canonical,
    ),
    probe("cpuid", "CPUID", NOT_OURS, identity::identity),
    probe(
        "features",
        "features of the processor",
        NO_MATTER,
        identity::features,
    ),
    probe("avx2", "AVX2 on request", NO_MATTER, vectors::avx2),
    probe("halt", "HLT", UNUSABLE, interrupts::halt),
    probe(
        "interrupts",
        "interrupts and NMIs",
        UNUSABLE,
        interrupts::delivery,
    ),
    probe("window", "interrupt window", NO_MATTER, interrupts::window),
    probe(
        "instructions",
        "instructions in kernel mode",
        NO_LINUX,
        instructions::kernel,
    ),
    probe(
        "syscall",
        "SYSCALL from user mode",
        NO_LINUX,
        instructions::system_call,
    ),
    probe("vmcall", "VMCALL", NO_MATTER, instructions::intel_hypercall),
    probe("vmmcall", "VMMCALL", NO_MATTER, instructions::amd_hypercall),
    probe(
        "single-step",
        "single steps",
        NO_MATTER,
        instructions::single_step,
    ),
    probe("dirty-log", "log of written pages", UNUSABLE, memory::dirty),
    probe("exits", "time of an exit", NO_MATTER, speed::exits),
    probe(
        "kernel-speed",
        "speed of kernel mode",
        NO_LINUX,
        speed::kernel,
    ),
    probe("user-speed", "speed of user mode", NO_LINUX, speed::user),
    probe("pmu", "performance counters", NO_STOP, host::counters),
];

pub(super) use vectors::check as check_avx2;

/// Whether KVM leaves the guest at the very instruction at which interrupts become acceptable. It is
/// tried once in a process and takes less than a millisecond; where it is not so, interrupts wait for
/// the guest's own exits.
pub(super) fn windows_are_exact() -> bool {
    static EXACT: OnceLock<bool> = OnceLock::new();
    *EXACT.get_or_init(interrupts::windows_are_exact)
}
