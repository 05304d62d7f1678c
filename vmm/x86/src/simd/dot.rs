//! Dot products, in the steps and the order of the SDM's pseudocode: the products of the lanes that
//! the immediate's high half selects, then their sums in pairs, then the lanes that its low half
//! selects. Each step rounds, and raises its exceptions before the next one starts.

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
    // Lanes that do not take part are zeros: their products are +0 and raise nothing.
    let product = apply::<Mulps>(
        lanes(f.imm >> 4, f.dst),
        lanes(f.imm >> 4, f.src),
        &mut f.mxcsr,
    )?;
    let p = doubles(product);
    let pairs = doubles(apply::<Addps>(
        from_doubles([p[0], p[2], 0, 0]),
        from_doubles([p[1], p[3], 0, 0]),
        &mut f.mxcsr,
    )?);
    let sum = apply::<Addps>(
        [u64::from(pairs[0]), 0],
        [u64::from(pairs[1]), 0],
        &mut f.mxcsr,
    )?;
    f.dst = lanes(f.imm, from_doubles([doubles(sum)[0]; 4]));
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
    let sum = apply::<Addpd>([product[0], 0], [product[1], 0], &mut f.mxcsr)?;
    f.dst = lanes(f.imm, [sum[0]; 2]);
    Ok(())
}
