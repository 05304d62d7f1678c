//! Who may use whom, between packages and between the folders of one. docs/ARCHITECTURE.md says why.

/// Packages, and the packages of the workspace that they may stand on. What is not listed is a guest's
/// program and may stand on the last.
pub const PACKAGES: &[(&str, &[&str])] = &[
    ("chaosrun-chance", &[]),
    ("chaosrun-x86", &[]),
    ("chaosrun-protocol", &[]),
    (
        "chaosrun-vmm",
        &["chaosrun-chance", "chaosrun-x86", "chaosrun-protocol"],
    ),
    (
        "chaosrun-language",
        &["chaosrun-chance", "chaosrun-protocol"],
    ),
    (
        "chaosrun-judge",
        &["chaosrun-language", "chaosrun-chance", "chaosrun-protocol"],
    ),
    (
        "chaosrun",
        &[
            "chaosrun-judge",
            "chaosrun-language",
            "chaosrun-vmm",
            "chaosrun-chance",
            "chaosrun-protocol",
        ],
    ),
    ("chaosrun-fuzz", &["chaosrun", "chaosrun-language"]),
    ("chaosrun-sdk", &["chaosrun-protocol"]),
    (OTHERS, &["chaosrun-sdk", "chaosrun-protocol"]),
];

/// Stands for the packages that are not listed.
pub const OTHERS: &str = "others";

/// A crate's folder, and its modules from low to high: one may use those that stand before it. A folder that
/// is not there does not matter; one that is there has to be here. With a `+` between them they may use each
/// other. Files that have no place are not judged.
pub const FOLDERS: &[(&str, &str)] = &[
    (
        "vmm/x86/src",
        "word+flags+state+model+cpuid+bus+exit fpu simd memory+tlb cpu+mode+reset \
         mmu+interrupt+msr+debug op block exec lower code jit run",
    ),
    (
        "vmm/src",
        "affinity last_words sealed time tape dlog ram disk devices engine machine world",
    ),
    ("runner/language/src", "scenario plan schema"),
    ("runner/judge/src", "outcome property report schema"),
    (
        "runner/src",
        "scenario plan schema outcome property report defect artifact filter run recording cli",
    ),
];
