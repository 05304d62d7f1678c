//! Dot products: the products of the lanes that the immediate's high half selects, then their sums in
//! pairs, then the lanes that its low half selects. Each step rounds, and raises its exceptions before the
//! next one starts.
//!
//! The SDM's pseudocode says which values are added, not which of two NaNs survives an addition; that is
//! the first operand's. Intel's processors add whole vectors. DPPS adds to each lane's neighbour in its
//! half that lane, and to that the sum of the other half; DPPD adds to each lane the other one. So the
//! lanes of a result may hold different NaNs.

use super::float::{Addpd, Addps, Mulpd, Mulps};
use super::host::apply;
use super::shuffles::{doubles, from_doubles};
use super::{Frame, Prim, Quads, SimdFault};
use iced_x86::Code;

/// The primitive of a dot product.
pub(super) fn prim(code: Code) -> Option<Prim> {
    match code {
        Code::Dpps_xmm_xmmm128_imm8 => Some(dpps),
        Code::Dppd_xmm_xmmm128_imm8 => Some(dppd),
        _ => None,
    }
}

fn dpps(f: &mut Frame) -> Result<(), SimdFault> {
    let lanes = |bits: u8, value: Quads| {
        let value = doubles(value);
        from_doubles(core::array::from_fn(|i| {
            if bits >> i & 1 != 0 { value[i] } else { 0 }
        }))
    };
    let exchanged = |value: Quads, by: usize| {
        let value = doubles(value);
        from_doubles(core::array::from_fn(|i| value[i ^ by]))
    };
    // Lanes that do not take part are zeros: their products are +0 and raise nothing.
    let product = apply::<Mulps>(
        lanes(f.imm >> 4, f.dst),
        lanes(f.imm >> 4, f.src),
        &mut f.mxcsr,
    )?;
    let pairs = apply::<Addps>(exchanged(product, 1), product, &mut f.mxcsr)?;
    let sum = apply::<Addps>(pairs, exchanged(pairs, 2), &mut f.mxcsr)?;
    f.dst = lanes(f.imm, sum);
    Ok(())
}

fn dppd(f: &mut Frame) -> Result<(), SimdFault> {
    let lanes = |bits: u8, value: Quads| -> Quads {
        core::array::from_fn(|i| if bits >> i & 1 != 0 { value[i] } else { 0 })
    };
    let product = apply::<Mulpd>(
        lanes(f.imm >> 4, f.dst),
        lanes(f.imm >> 4, f.src),
        &mut f.mxcsr,
    )?;
    let sum = apply::<Addpd>(product, [product[1], product[0]], &mut f.mxcsr)?;
    f.dst = lanes(f.imm, sum);
    Ok(())
}
