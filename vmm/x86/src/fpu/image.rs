//! FXSAVE and FXRSTOR (Intel SDM vol. 1, 10.5): the legacy region that XSAVE shares.

use super::convert::{from_m80, to_m80};
use crate::state::X87;

/// The size of the region in bytes. The last 96 bytes are never written.
pub(crate) const FXSAVE_SIZE: usize = 512;

/// The writable bits of MXCSR: all exceptions, masks, rounding, DAZ and FTZ.
pub(crate) const MXCSR_MASK: u32 = 0xffff;

/// MXCSR after reset.
pub(super) const MXCSR_INITIAL: u32 = 0x1f80;

const MXCSR_AT: usize = 24;
const REGISTERS_AT: usize = 32;
const XMM_AT: usize = 160;

/// The layout of an image, which follows from the mode and a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageFormat {
    /// REX.W: 64-bit pointers instead of 32-bit ones with selectors.
    pub wide_pointers: bool,
    /// 64-bit mode, where XMM8 to XMM15 exist.
    pub long_mode: bool,
}

impl ImageFormat {
    fn xmm_count(self) -> usize {
        if self.long_mode { 16 } else { 8 }
    }
}

/// The parts of a processor that the images hold.
#[derive(Debug)]
pub(crate) struct Legacy<'a> {
    /// The x87 and MMX state.
    pub x87: &'a mut X87,
    /// XMM0 to XMM15 as low and high quadwords.
    pub xmm: &'a mut [[u64; 2]; 16],
    /// The SSE control and status register.
    pub mxcsr: &'a mut u32,
}

/// Why an image is refused. Every cause is a #GP(0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImageError {
    /// A reserved bit of MXCSR is set.
    #[error("the image sets reserved bits of MXCSR: {0:#x}")]
    Mxcsr(u32),
    /// The XSAVE header names components that are not enabled, or has reserved bits set.
    #[error("the XSAVE header is invalid")]
    Header,
}

fn get<const N: usize>(area: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| area[at + i])
}

fn put(area: &mut [u8], at: usize, bytes: &[u8]) {
    area[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Bytes 0 to 23 and the eight registers.
pub(super) fn store_x87(fpu: &X87, format: ImageFormat, area: &mut [u8]) {
    put(area, 0, &fpu.control.to_le_bytes());
    put(area, 2, &fpu.status.to_le_bytes());
    put(area, 4, &[fpu.full_registers(), 0]);
    put(area, 6, &(fpu.opcode & 0x7ff).to_le_bytes());
    let (ip, dp) = if format.wide_pointers {
        (fpu.ip, fpu.dp)
    } else {
        (fpu.ip & 0xffff_ffff, fpu.dp & 0xffff_ffff)
    };
    put(area, 8, &ip.to_le_bytes());
    put(area, 16, &dp.to_le_bytes());
    for i in 0..8 {
        let mut bytes = [0; 16];
        to_m80(fpu.st(i), &mut bytes);
        put(area, REGISTERS_AT + 16 * usize::from(i), &bytes);
    }
}

/// The inverse of [`store_x87`].
pub(super) fn load_x87(fpu: &mut X87, format: ImageFormat, area: &[u8]) {
    fpu.control = u16::from_le_bytes(get(area, 0));
    fpu.status = u16::from_le_bytes(get(area, 2));
    fpu.opcode = u16::from_le_bytes(get(area, 6)) & 0x7ff;
    let mask = if format.wide_pointers {
        u64::MAX
    } else {
        0xffff_ffff
    };
    fpu.ip = u64::from_le_bytes(get(area, 8)) & mask;
    fpu.dp = u64::from_le_bytes(get(area, 16)) & mask;
    for i in 0..8 {
        fpu.set_st(i, from_m80(&get(area, REGISTERS_AT + 16 * usize::from(i))));
    }
    fpu.load_tags(area[4]);
    fpu.load_control(fpu.control);
}

/// MXCSR and its mask.
pub(super) fn store_mxcsr(mxcsr: u32, area: &mut [u8]) {
    put(area, MXCSR_AT, &mxcsr.to_le_bytes());
    put(area, MXCSR_AT + 4, &MXCSR_MASK.to_le_bytes());
}

/// The MXCSR of an image, if it is a valid one.
pub(super) fn checked_mxcsr(area: &[u8]) -> Result<u32, ImageError> {
    let mxcsr = u32::from_le_bytes(get(area, MXCSR_AT));
    if mxcsr & !MXCSR_MASK == 0 {
        Ok(mxcsr)
    } else {
        Err(ImageError::Mxcsr(mxcsr))
    }
}

/// The XMM registers that the mode has.
pub(super) fn store_xmm(xmm: &[[u64; 2]; 16], format: ImageFormat, area: &mut [u8]) {
    for (i, [low, high]) in xmm.iter().take(format.xmm_count()).enumerate() {
        put(area, XMM_AT + 16 * i, &low.to_le_bytes());
        put(area, XMM_AT + 16 * i + 8, &high.to_le_bytes());
    }
}

/// The inverse of [`store_xmm`]; `None` resets the registers.
pub(super) fn load_xmm(xmm: &mut [[u64; 2]; 16], format: ImageFormat, area: Option<&[u8]>) {
    for (i, register) in xmm.iter_mut().take(format.xmm_count()).enumerate() {
        *register = area.map_or([0; 2], |area| {
            let at = XMM_AT + 16 * i;
            [
                u64::from_le_bytes(get(area, at)),
                u64::from_le_bytes(get(area, at + 8)),
            ]
        });
    }
}

/// FXSAVE into the first [`FXSAVE_SIZE`] bytes of `area`, which must hold what memory held before,
/// because reserved bytes keep their values. `sse` is CR4.OSFXSR: without it XMM and MXCSR are left
/// out.
pub(crate) fn fxsave(state: &Legacy<'_>, format: ImageFormat, sse: bool, area: &mut [u8]) {
    store_x87(state.x87, format, area);
    if sse {
        store_mxcsr(*state.mxcsr, area);
        store_xmm(state.xmm, format, area);
    }
}

/// FXRSTOR from the first [`FXSAVE_SIZE`] bytes of `area`.
///
/// # Errors
/// A reserved bit of MXCSR, which is a #GP(0) and changes nothing.
pub(crate) fn fxrstor(
    state: &mut Legacy<'_>,
    format: ImageFormat,
    sse: bool,
    area: &[u8],
) -> Result<(), ImageError> {
    let mxcsr = checked_mxcsr(area)?;
    load_x87(state.x87, format, area);
    if sse {
        *state.mxcsr = mxcsr;
        load_xmm(state.xmm, format, Some(area));
    }
    Ok(())
}
