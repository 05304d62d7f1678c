//! The instruction forms of the modelled processor, as far as user mode can execute them.

use iced_x86::{Code, CpuidFeature as F, EncodingKind, Mnemonic as M};

/// The extensions of the modelled processor, x86-64-v2 with XSAVE (Intel SDM vol. 1, chapter 5).
const FEATURES: &[F] = &[
    F::INTEL8086,
    F::INTEL186,
    F::INTEL286,
    F::INTEL386,
    F::INTEL486,
    F::X64,
    F::CMOV,
    F::CX8,
    F::CMPXCHG16B,
    F::FPU,
    F::FPU287,
    F::FPU387,
    F::FXSR,
    F::MMX,
    F::SSE,
    F::SSE2,
    F::SSE3,
    F::SSSE3,
    F::SSE4_1,
    F::SSE4_2,
    F::POPCNT,
    F::MULTIBYTENOP,
    F::PAUSE,
    F::CLFSH,
    F::XSAVE,
    F::XSAVEOPT,
    F::XSAVEC,
    F::SEP,
    F::SYSCALL,
    F::MSR,
    F::TSC,
    F::RDTSCP,
    F::RDRAND,
    F::RDSEED,
    F::RDPMC,
    F::CPUID,
    F::MONITOR,
];

/// Extensions whose encodings an older processor executes as no-operations or as the instruction
/// without their prefix.
const HINTS: &[F] = &[
    F::CET_IBT,
    F::CET_SS,
    F::CLDEMOTE,
    F::PREFETCHW,
    F::PREFETCHWT1,
    F::PREFETCHITI,
    F::WBNOINVD,
    F::LZCNT,
    F::BMI1,
];

/// Every form that the modelled processor is expected to have and that 64-bit mode, or failing
/// that compatibility mode, can encode.
pub fn expected() -> Vec<Code> {
    Code::values().filter(|code| is_expected(*code)).collect()
}

fn is_expected(code: Code) -> bool {
    let op = code.op_code();
    op.is_instruction()
        && op.encoding() == EncodingKind::Legacy
        && (op.mode64() && op.intel_decoder64() || op.mode32() && op.intel_decoder32())
        && !op.fwait()
        && has_features(code, FEATURES)
}

/// Whether the modelled processor does something with the form other than raising #UD.
pub fn is_modelled(code: Code) -> bool {
    let hint = code.op_code().encoding() == EncodingKind::Legacy && has_features(code, HINTS);
    has_features(code, FEATURES)
        || hint
            && !matches!(
                code.mnemonic(),
                M::Setssbsy
                    | M::Rstorssp
                    | M::Saveprevssp
                    | M::Clrssbsy
                    | M::Incsspd
                    | M::Incsspq
                    | M::Wrssd
                    | M::Wrssq
                    | M::Wrussd
                    | M::Wrussq
            )
}

fn has_features(code: Code, features: &[F]) -> bool {
    code.cpuid_features()
        .iter()
        .all(|feature| features.contains(feature))
}
