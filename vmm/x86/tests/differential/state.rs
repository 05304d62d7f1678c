//! What goes into a case and what comes out of it, on either side.

use iced_x86::{Code, Mnemonic};

/// The floating-point and vector registers, in the order of an FXSAVE image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fp {
    /// The x87 control word.
    pub control: u16,
    /// The x87 status word.
    pub status: u16,
    /// The abridged tag word: a set bit for each physical register that is not empty.
    pub tags: u8,
    /// ST(0) to ST(7): significand, and sign with exponent.
    pub st: [(u64, u16); 8],
    /// The SSE control and status register.
    pub mxcsr: u32,
    /// XMM0-XMM15, low quadword first.
    pub xmm: [[u64; 2]; 16],
}

impl Fp {
    /// The image that FXRSTOR64 loads (Intel SDM vol. 1, table 10-2).
    pub fn to_image(&self) -> [u8; 512] {
        let mut image = [0; 512];
        image[0..2].copy_from_slice(&self.control.to_le_bytes());
        image[2..4].copy_from_slice(&self.status.to_le_bytes());
        image[4] = self.tags;
        image[24..28].copy_from_slice(&self.mxcsr.to_le_bytes());
        for (slot, (mantissa, top)) in image[32..160].chunks_exact_mut(16).zip(self.st) {
            slot[..8].copy_from_slice(&mantissa.to_le_bytes());
            slot[8..10].copy_from_slice(&top.to_le_bytes());
        }
        for (slot, [low, high]) in image[160..416].chunks_exact_mut(16).zip(self.xmm) {
            slot[..8].copy_from_slice(&low.to_le_bytes());
            slot[8..].copy_from_slice(&high.to_le_bytes());
        }
        image
    }

    /// Reads an image as FXSAVE64 writes it.
    pub fn from_image(image: &[u8; 512]) -> Self {
        let u16_at = |at: usize| u16::from_le_bytes([image[at], image[at + 1]]);
        let u64_at =
            |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().expect("eight bytes"));
        Self {
            control: u16_at(0),
            status: u16_at(2),
            tags: image[4],
            st: std::array::from_fn(|i| (u64_at(32 + 16 * i), u16_at(40 + 16 * i))),
            mxcsr: u32::from(u16_at(24)) | u32::from(u16_at(26)) << 16,
            xmm: std::array::from_fn(|i| [u64_at(160 + 16 * i), u64_at(168 + 16 * i)]),
        }
    }
}

/// The visible segment selectors that a case can change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Selectors {
    /// ES.
    pub es: u16,
    /// DS.
    pub ds: u16,
    /// FS.
    pub fs: u16,
    /// GS.
    pub gs: u16,
    /// CS.
    pub cs: u16,
    /// SS.
    pub ss: u16,
}

/// The registers before or after a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regs {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8-R15.
    pub gpr: [u64; 16],
    /// The instruction pointer.
    pub rip: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// The base of FS.
    pub fs_base: u64,
    /// The base of GS.
    pub gs_base: u64,
    /// The segment selectors.
    pub selectors: Selectors,
    /// x87 and SSE.
    pub fp: Fp,
}

/// One experiment: an instruction, or a short sequence, and the state that it starts from.
#[derive(Debug, Clone)]
pub struct Case {
    /// The form under test.
    pub form: Code,
    /// 64, or 32 for compatibility mode.
    pub bits: u32,
    /// The bytes at `regs.rip`.
    pub bytes: Vec<u8>,
    /// The registers at the start.
    pub regs: Regs,
    /// What the data window holds where it differs from the background.
    pub patches: Vec<(u64, Vec<u8>)>,
}

impl Case {
    /// The bytes for the processor. It may have LZCNT and TZCNT; one that does not have them
    /// executes BSR and BSF, which is what the prefix that changes nothing makes of them.
    pub fn native_bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if matches!(self.form.mnemonic(), Mnemonic::Lzcnt | Mnemonic::Tzcnt)
            && let Some(prefix) = bytes.iter_mut().find(|byte| **byte == 0xf3)
        {
            *prefix = 0x2e;
        }
        bytes
    }
}

/// How a case ended: every case ends with an exception, INT3 if nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The vector of the exception.
    pub vector: u8,
    /// Its error code, zero for a vector that has none.
    pub error: u64,
    /// The faulting address of a page fault, otherwise zero.
    pub cr2: u64,
    /// The registers as the exception saved them.
    pub regs: Regs,
    /// The data window.
    pub window: Vec<u8>,
}

/// Writes the patches of a case over the background of the window.
pub fn apply_patches(case: &Case, window: &mut [u8]) {
    for (address, bytes) in &case.patches {
        for (i, byte) in bytes.iter().enumerate() {
            let at = address
                .wrapping_add(i as u64)
                .wrapping_sub(crate::layout::WINDOW);
            if let Some(slot) = usize::try_from(at).ok().and_then(|at| window.get_mut(at)) {
                *slot = *byte;
            }
        }
    }
}
