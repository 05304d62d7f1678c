//! The instruction forms of the modelled processor, as far as user mode can execute them.

use iced_x86::{Code, CpuidFeature as F, EncodingKind};

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
    F::MOVBE,
    F::MULTIBYTENOP,
    F::PAUSE,
    F::CLFSH,
    F::XSAVE,
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
        && code.cpuid_features().iter().all(|feature| FEATURES.contains(feature))
}
