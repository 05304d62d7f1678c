//! Shifts and rotates.

use super::addr::{Addr, General};
use crate::cpu::{Cpu, gpr};
use crate::flags::Lazy;
use crate::op::{At, Flow, Path, Slow, access, next, next_after};
use crate::word::Word;

/// A shift or rotate by a count that is already masked to 5 or 6 bits and not zero.
pub(crate) trait Shift {
    /// The result; sets the flags.
    fn apply<T: Word>(cpu: &mut Cpu, a: T, count: u32) -> T;
}

/// SHL.
pub(crate) struct Shl;
/// SHR.
pub(crate) struct Shr;
/// SAR.
pub(crate) struct Sar;
/// ROL.
pub(crate) struct Rol;
/// ROR.
pub(crate) struct Ror;
/// RCL.
pub(crate) struct Rcl;
/// RCR.
pub(crate) struct Rcr;

impl Shift for Shl {
    #[inline(always)]
    fn apply<T: Word>(cpu: &mut Cpu, a: T, count: u32) -> T {
        let wide = u128::from(a.wide()) << count;
        let r = T::low(wide as u64);
        let cf = wide >> (T::TOP + 1) & 1 != 0;
        cpu.lazy = Lazy::with_carry(r, cf, cf != (r.sign() < 0));
        r
    }
}

impl Shift for Shr {
    #[inline(always)]
    fn apply<T: Word>(cpu: &mut Cpu, a: T, count: u32) -> T {
        let before = a.wide() >> (count - 1);
        let r = T::low(before >> 1);
        cpu.lazy = Lazy::with_carry(r, before & 1 != 0, a.sign() < 0);
        r
    }
}

impl Shift for Sar {
    #[inline(always)]
    fn apply<T: Word>(cpu: &mut Cpu, a: T, count: u32) -> T {
        let before = a.sign() >> (count - 1);
        let r = T::low((before >> 1) as u64);
        cpu.lazy = Lazy::with_carry(r, before & 1 != 0, false);
        r
    }
}

impl Shift for Rol {
    #[inline(always)]
    fn apply<T: Word>(cpu: &mut Cpu, a: T, count: u32) -> T {
        let bits = T::TOP + 1;
        let count = count % bits;
        let wide = a.wide();
        let r = if count == 0 {
            a
        } else {
            T::low(wide << count | wide >> (bits - count))
        };
        let cf = r.wide() & 1 != 0;
        cpu.lazy = cpu.lazy.replace_carry(cf, cf != (r.sign() < 0));
        r
    }
}

impl Shift for Ror {
    #[inline(always)]
    fn apply<T: Word>(cpu: &mut Cpu, a: T, count: u32) -> T {
        let bits = T::TOP + 1;
        let count = count % bits;
        let wide = a.wide();
        let r = if count == 0 {
            a
        } else {
            T::low(wide >> count | wide << (bits - count))
        };
        let cf = r.sign() < 0;
        cpu.lazy = cpu
            .lazy
            .replace_carry(cf, cf != (r.wide() >> (T::TOP - 1) & 1 != 0));
        r
    }
}

impl Shift for Rcl {
    #[inline(always)]
    fn apply<T: Word>(cpu: &mut Cpu, a: T, count: u32) -> T {
        let bits = T::TOP + 2;
        let count = count % bits;
        let cf = cpu.lazy.cf();
        if count == 0 {
            cpu.lazy = cpu.lazy.replace_carry(cf, cf != (a.sign() < 0));
            return a;
        }
        let wide = u128::from(a.wide()) | u128::from(cf) << (T::TOP + 1);
        let rotated = wide << count | wide >> (bits - count);
        let r = T::low(rotated as u64);
        let cf = rotated >> (T::TOP + 1) & 1 != 0;
        cpu.lazy = cpu.lazy.replace_carry(cf, cf != (r.sign() < 0));
        r
    }
}

impl Shift for Rcr {
    #[inline(always)]
    fn apply<T: Word>(cpu: &mut Cpu, a: T, count: u32) -> T {
        let bits = T::TOP + 2;
        let count = count % bits;
        let cf = cpu.lazy.cf();
        let top = |value: T| value.sign() < 0;
        if count == 0 {
            let of = top(a) != (a.wide() >> (T::TOP - 1) & 1 != 0);
            cpu.lazy = cpu.lazy.replace_carry(cf, of);
            return a;
        }
        let wide = u128::from(a.wide()) | u128::from(cf) << (T::TOP + 1);
        let rotated = wide >> count | wide << (bits - count);
        let r = T::low(rotated as u64);
        let cf = rotated >> (T::TOP + 1) & 1 != 0;
        cpu.lazy = cpu
            .lazy
            .replace_carry(cf, top(r) != (r.wide() >> (T::TOP - 1) & 1 != 0));
        r
    }
}

#[inline(always)]
fn mask<T: Word>(count: u64) -> u32 {
    count as u32 & if T::SIZE == 8 { 63 } else { 31 }
}

/// `shift reg, imm` with a count that is not zero after masking.
pub(crate) extern "sysv64-unwind" fn ri<O: Shift, T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let a = cpu.reg::<T>(at.dst);
    let r = O::apply(cpu, a, u32::from(at.aux));
    cpu.set_reg(at.dst, r);
    next(cpu, at)
}

/// `shift reg, cl`. A count of zero changes nothing but clears the upper half of a 32-bit register.
pub(crate) extern "sysv64-unwind" fn rc<O: Shift, T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let count = mask::<T>(cpu.regs[gpr::RCX]);
    let a = cpu.reg::<T>(at.dst);
    let r = if count == 0 {
        a
    } else {
        O::apply(cpu, a, count)
    };
    cpu.set_reg(at.dst, r);
    next(cpu, at)
}

/// `shift mem, imm` and `shift mem, cl` (if `at.aux` is 255). With a count of zero the memory is
/// read and written all the same.
pub(crate) extern "sysv64-unwind" fn m<O: Shift, T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let count = if at.aux == 255 {
        mask::<T>(cpu.regs[gpr::RCX])
    } else {
        u32::from(at.aux)
    };
    access!(
        cpu,
        at,
        P,
        m::<O, T, General, Slow>,
        cpu.modify::<T, P>(linear, |cpu, a| if count == 0 {
            a
        } else {
            O::apply(cpu, a, count)
        })
    );
    next_after::<P>(cpu, at)
}
