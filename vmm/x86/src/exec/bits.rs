//! Bit tests, bit scans, byte swaps and the multiplications that compilers emit.

use super::addr::{Addr, General};
use crate::cpu::Cpu;
use crate::flags::Lazy;
use crate::mmu::Res;
use crate::op::{At, Flow, Path, Slow, access, next, next_after};
use crate::word::Word;

/// `bt reg, imm` and `bt reg, reg` (if `at.aux` is 255). Only CF is defined to change.
pub(crate) extern "sysv64-unwind" fn bt_r<T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let index = if at.aux == 255 {
        cpu.reg::<T>(at.src).wide()
    } else {
        u64::from(at.aux)
    };
    let bit = cpu.reg::<T>(at.dst).wide() >> (index & u64::from(T::TOP)) & 1 != 0;
    set_carry(cpu, bit);
    next(cpu, at)
}

#[inline(always)]
fn set_carry(cpu: &mut Cpu, cf: bool) {
    let of = cpu.lazy.of();
    cpu.lazy = cpu.lazy.replace_carry(cf, of);
}

/// What BTS, BTR and BTC do to the bit.
#[inline(always)]
fn change<const K: u8>(value: u64, bit: u64) -> u64 {
    match K {
        0 => value,
        1 => value | bit,
        2 => value & !bit,
        _ => value ^ bit,
    }
}

/// `bts` (1), `btr` (2), `btc` (3) `reg, reg/imm`.
pub(crate) extern "sysv64-unwind" fn btx_r<const K: u8, T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let index = if at.aux == 255 {
        cpu.reg::<T>(at.src).wide()
    } else {
        u64::from(at.aux)
    };
    let bit = 1u64 << (index & u64::from(T::TOP));
    let value = cpu.reg::<T>(at.dst).wide();
    cpu.set_reg(at.dst, T::low(change::<K>(value, bit)));
    set_carry(cpu, value & bit != 0);
    next(cpu, at)
}

/// Tests and changes a bit in memory.
#[inline(always)]
fn bit_in_memory<const K: u8, T: Word, P: Path>(cpu: &mut Cpu, linear: u64, bit: u64) -> Res<()> {
    if K == 0 {
        let value = cpu.load::<T, P>(linear)?;
        set_carry(cpu, value.wide() & bit != 0);
        return Ok(());
    }
    cpu.modify::<T, P>(linear, |cpu, value| {
        set_carry(cpu, value.wide() & bit != 0);
        T::low(change::<K>(value.wide(), bit))
    })
}

/// `bt`/`bts`/`btr`/`btc mem, imm`.
pub(crate) extern "sysv64-unwind" fn btx_mi<const K: u8, T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let bit = 1u64 << (u32::from(at.aux) & T::TOP);
    access!(
        cpu,
        at,
        P,
        btx_mi::<K, T, General, Slow>,
        bit_in_memory::<K, T, P>(cpu, linear, bit)
    );
    next_after::<P>(cpu, at)
}

/// `bt`/`bts`/`btr`/`btc mem, reg`: the index reaches beyond the operand (Intel SDM vol. 2, BT). In
/// 64-bit addressing only.
pub(crate) extern "sysv64-unwind" fn btx_mr<const K: u8, T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let index = cpu.reg::<T>(at.src).sign();
    let reach = (index >> T::TOP.count_ones()).wrapping_mul(T::SIZE as i64);
    let linear = cpu.wrap_linear(A::linear(cpu, at).wrapping_add(reach as u64));
    let bit = 1u64 << (index as u64 & u64::from(T::TOP));
    access!(
        cpu,
        at,
        P,
        btx_mr::<K, T, General, Slow>,
        bit_in_memory::<K, T, P>(cpu, linear, bit)
    );
    next_after::<P>(cpu, at)
}

/// `bswap reg` of 4 or 8 bytes.
pub(crate) extern "sysv64-unwind" fn bswap<T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let swapped = cpu.reg::<T>(at.dst).wide().swap_bytes() >> (64 - 8 * T::SIZE);
    cpu.set_reg(at.dst, T::low(swapped));
    next(cpu, at)
}

/// The signed product; CF and OF say whether it was truncated.
#[inline(always)]
fn multiply<T: Word>(cpu: &mut Cpu, a: T, b: T) -> T {
    let wide = i128::from(a.sign()) * i128::from(b.sign());
    let r = T::low(wide as u64);
    let lost = i128::from(r.sign()) != wide;
    cpu.lazy = Lazy::with_carry(r, lost, lost);
    r
}

/// `imul reg, reg`.
pub(crate) extern "sysv64-unwind" fn imul_rr<T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let (a, b) = (cpu.reg::<T>(at.dst), cpu.reg::<T>(at.src));
    let r = multiply(cpu, a, b);
    cpu.set_reg(at.dst, r);
    next(cpu, at)
}

/// `imul reg, mem`.
pub(crate) extern "sysv64-unwind" fn imul_rm<T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let b: T = access!(
        cpu,
        at,
        P,
        imul_rm::<T, General, Slow>,
        cpu.load::<T, P>(linear)
    );
    let a = cpu.reg::<T>(at.dst);
    let r = multiply(cpu, a, b);
    cpu.set_reg(at.dst, r);
    next_after::<P>(cpu, at)
}

/// `imul reg, reg, imm`.
pub(crate) extern "sysv64-unwind" fn imul_rri<T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let a = cpu.reg::<T>(at.src);
    let r = multiply(cpu, a, T::low(at.imm));
    cpu.set_reg(at.dst, r);
    next(cpu, at)
}

/// `imul reg, mem, imm`.
pub(crate) extern "sysv64-unwind" fn imul_rmi<T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let a: T = access!(
        cpu,
        at,
        P,
        imul_rmi::<T, General, Slow>,
        cpu.load::<T, P>(linear)
    );
    let r = multiply(cpu, a, T::low(at.imm));
    cpu.set_reg(at.dst, r);
    next_after::<P>(cpu, at)
}

/// `cmpxchg mem, reg`. The memory is written in either case, as the architecture says.
pub(crate) extern "sysv64-unwind" fn cmpxchg_mr<T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let new = cpu.reg::<T>(at.src);
    let expected = cpu.reg::<T>(0);
    let mut found = expected;
    access!(
        cpu,
        at,
        P,
        cmpxchg_mr::<T, General, Slow>,
        cpu.modify::<T, P>(linear, |_, old| {
            found = old;
            if old == expected { new } else { old }
        })
    );
    let r = T::low(expected.wide().wrapping_sub(found.wide()));
    cpu.lazy = Lazy::subtracted(r, found);
    if found != expected {
        cpu.set_reg(0, found);
    }
    next_after::<P>(cpu, at)
}

/// `xadd mem, reg`.
pub(crate) extern "sysv64-unwind" fn xadd_mr<T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let b = cpu.reg::<T>(at.src);
    let mut old = b;
    access!(
        cpu,
        at,
        P,
        xadd_mr::<T, General, Slow>,
        cpu.modify::<T, P>(linear, |cpu, a| {
            old = a;
            let r = T::low(a.wide().wrapping_add(b.wide()));
            cpu.lazy = Lazy::added(r, b);
            r
        })
    );
    cpu.set_reg(at.src, old);
    next_after::<P>(cpu, at)
}
