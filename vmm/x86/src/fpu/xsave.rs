//! XSAVE, XSAVEOPT, XSAVEC and XRSTOR for the two components x87 and SSE, both of which live in the
//! legacy region (Intel SDM vol. 1, 13.4 to 13.10).

use super::image::{
    FXSAVE_SIZE, ImageError, ImageFormat, Legacy, MXCSR_INITIAL, checked_mxcsr, load_x87, load_xmm,
    store_mxcsr, store_x87, store_xmm,
};
use crate::state::X87;

/// The size of the area in bytes: the legacy region and the header. The standard and the compacted
/// format have the same size, since there are no extended components.
pub(crate) const XSAVE_SIZE: usize = FXSAVE_SIZE + 64;

const X87_COMPONENT: u64 = 1;
const SSE_COMPONENT: u64 = 2;
/// Bit 2, AVX, is not supported, but asking for it makes XSAVE store MXCSR.
const AVX_COMPONENT: u64 = 4;
const COMPACTED: u64 = 1 << 63;
const XSTATE_BV_AT: usize = FXSAVE_SIZE;
const XCOMP_BV_AT: usize = FXSAVE_SIZE + 8;

/// The three ways to save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum XsaveKind {
    /// XSAVE: every requested component.
    Standard,
    /// XSAVEOPT: components in their initial state are not written. The modified optimisation is
    /// not used, so that what is written depends on nothing hidden.
    Optimized,
    /// XSAVEC: as XSAVEOPT, with a compacted header.
    Compacted,
}

fn header(area: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| area[at + i]))
}

fn set_header(area: &mut [u8], at: usize, value: u64) {
    area[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// XINUSE: which components are not in their initial state.
fn in_use(state: &Legacy<'_>) -> u64 {
    let sse = state.xmm.iter().any(|register| *register != [0; 2]);
    u64::from(*state.x87 != X87::default()) | if sse { SSE_COMPONENT } else { 0 }
}

/// Saves the components in `request` (EDX:EAX and XCR0) into `area`, [`XSAVE_SIZE`] bytes that must
/// hold what memory held before. The caller has checked the alignment of 64.
pub(crate) fn xsave(
    state: &Legacy<'_>,
    kind: XsaveKind,
    format: ImageFormat,
    request: u64,
    area: &mut [u8],
) {
    let mut used = in_use(state) & request;
    let old = header(area, XSTATE_BV_AT);
    if kind == XsaveKind::Compacted && *state.mxcsr != MXCSR_INITIAL {
        used |= request & SSE_COMPONENT;
    }
    let written = if kind == XsaveKind::Standard {
        request
    } else {
        used
    };
    if written & X87_COMPONENT != 0 {
        store_x87(state.x87, format, area);
    }
    if written & SSE_COMPONENT != 0 {
        store_xmm(state.xmm, format, area);
    }
    let with_mxcsr = match kind {
        XsaveKind::Compacted => used & SSE_COMPONENT != 0,
        _ => request & (SSE_COMPONENT | AVX_COMPONENT) != 0,
    };
    if with_mxcsr {
        store_mxcsr(*state.mxcsr, area);
    }
    if kind == XsaveKind::Compacted {
        set_header(area, XSTATE_BV_AT, used);
        set_header(area, XCOMP_BV_AT, request | COMPACTED);
    } else {
        set_header(area, XSTATE_BV_AT, old & !request | used);
    }
}

/// Checks the header; gives XSTATE_BV and whether the format is the compacted one.
fn checked_header(area: &[u8], xcr0: u64) -> Result<(u64, bool), ImageError> {
    let (present, layout) = (header(area, XSTATE_BV_AT), header(area, XCOMP_BV_AT));
    let compacted = layout & COMPACTED != 0;
    let reserved = if compacted {
        XCOMP_BV_AT + 8..XSAVE_SIZE
    } else {
        XCOMP_BV_AT..XCOMP_BV_AT + 16
    };
    let listed = if compacted { layout & !COMPACTED } else { xcr0 };
    let invalid = area[reserved].iter().any(|byte| *byte != 0)
        || listed & !xcr0 != 0
        || present & !listed != 0;
    if invalid {
        Err(ImageError::Header)
    } else {
        Ok((present, compacted))
    }
}

/// Restores the components in `requested` (EDX:EAX) that `xcr0` enables from `area`, [`XSAVE_SIZE`]
/// bytes; those that the header does not have get their initial state. The caller has checked the
/// alignment of 64.
///
/// # Errors
/// An invalid header, or an MXCSR with a reserved bit where MXCSR is loaded. Both are #GP(0) and
/// change nothing.
pub(crate) fn xrstor(
    state: &mut Legacy<'_>,
    format: ImageFormat,
    xcr0: u64,
    requested: u64,
    area: &[u8],
) -> Result<(), ImageError> {
    let (present, compacted) = checked_header(area, xcr0)?;
    let request = requested & xcr0;
    // The standard format carries MXCSR even for a component that it does not have.
    let mxcsr = match (compacted, request & SSE_COMPONENT, present & SSE_COMPONENT) {
        (true, 0, _) => None,
        (true, _, 0) => Some(MXCSR_INITIAL),
        (false, ..) if request & (SSE_COMPONENT | AVX_COMPONENT) == 0 => None,
        _ => Some(checked_mxcsr(area)?),
    };
    if let Some(mxcsr) = mxcsr {
        *state.mxcsr = mxcsr;
    }
    if request & SSE_COMPONENT != 0 {
        load_xmm(
            state.xmm,
            format,
            (present & SSE_COMPONENT != 0).then_some(area),
        );
    }
    if request & X87_COMPONENT != 0 {
        if present & X87_COMPONENT != 0 {
            load_x87(state.x87, format, area);
        } else {
            *state.x87 = X87::default();
        }
    }
    Ok(())
}
