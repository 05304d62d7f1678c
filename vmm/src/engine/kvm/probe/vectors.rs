//! AVX2, which guests get on request.

use std::sync::OnceLock;

use super::lab::{Did, Lab, USER_CODE, guest};
use super::{good, limited};
use crate::engine::kvm::host::HostError;
use crate::engine::probe::Answer;

guest!(
    enable_ymm,
    "mov rax, cr4",
    "bts rax, 18",
    "mov cr4, rax",
    "xor ecx, ecx",
    "xor edx, edx",
    "mov eax, 7",
    "xsetbv",
    "push 0x1b",
    "push 0x9000",
    "push 2",
    "push 0x23",
    "push 0x20000",
    "iretq",
);
// Leaves 16 in the upper half of YMM0, and tells it.
guest!(
    add_ymm,
    "mov eax, 8",
    "vmovd xmm1, eax",
    "vpbroadcastd ymm1, xmm1",
    "vpaddd ymm0, ymm1, ymm1",
    "vextracti128 xmm2, ymm0, 1",
    "vmovd r8d, xmm2",
    "ud2",
);

/// What came of trying, once in a process.
static TRIED: OnceLock<Result<(), HostError>> = OnceLock::new();

/// Checks by trying that a kernel can enable AVX, that user mode can use AVX2, and that KVM tells the
/// upper halves of the registers. What KVM says of itself is no help: some execute what they do not
/// vouch for.
pub(in crate::engine::kvm) fn check() -> Result<(), HostError> {
    TRIED.get_or_init(attempt).clone()
}

fn attempt() -> Result<(), HostError> {
    let mut lab = Lab::with_cpuid(enable_ymm(), |entry| match entry.function {
        // XSAVE, AVX; AVX2.
        1 => entry.ecx |= 1 << 26 | 1 << 28,
        7 if entry.index == 0 => entry.ebx |= 1 << 5,
        _ => {}
    })?;
    lab.ram.write(USER_CODE, add_ymm());
    let did = lab.run();
    let sum = lab.register(|regs| regs.r8);
    let kept = lab.upper_half(0);
    let expected = [16 | 16 << 32; 2];
    if did == Did::Trapped(6) && sum == 16 && kept == Some(expected) {
        return Ok(());
    }
    Err(HostError::Processor {
        what: format!("AVX2 (it was tried: {did}, sum {sum}, register {kept:x?})"),
    })
}

/// Whether guests can have AVX2.
pub(super) fn avx2() -> Answer {
    match check() {
        Ok(()) => good(
            "a kernel enables it, user mode uses it, and its registers can be saved",
            "`boot --avx2` gives it to guests",
        ),
        Err(HostError::Processor { what }) => limited(
            format!("lacks {what}"),
            "`boot --avx2` is refused; guests get SSE4.2",
        ),
        Err(error) => error.into(),
    }
}
