//! Two-operand arithmetic and logic, and the unary forms of it.

use super::addr::{Addr, General};
use crate::cpu::Cpu;
use crate::flags::{Lazy, borrows, carries};
use crate::op::{At, Flow, Path, Slow, access, next, next_after};
use crate::word::Word;

/// An operation on two operands that sets the flags.
pub(crate) trait Binary {
    /// Whether the result replaces the first operand.
    const WRITES: bool = true;
    /// The result; sets the flags.
    fn apply<T: Word>(cpu: &mut Cpu, a: T, b: T) -> T;
}

/// An operation on one operand.
pub(crate) trait Unary {
    /// The result; sets the flags.
    fn apply<T: Word>(cpu: &mut Cpu, a: T) -> T;
}

macro_rules! operation {
    ($(#[$doc:meta])* $name:ident, $cpu:ident, $a:ident, $b:ident, $body:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;
        impl Binary for $name {
            #[inline(always)]
            fn apply<T: Word>($cpu: &mut Cpu, $a: T, $b: T) -> T {
                $body
            }
        }
    };
    ($(#[$doc:meta])* test $name:ident, $cpu:ident, $a:ident, $b:ident, $body:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;
        impl Binary for $name {
            const WRITES: bool = false;
            #[inline(always)]
            fn apply<T: Word>($cpu: &mut Cpu, $a: T, $b: T) -> T {
                $body
            }
        }
    };
    ($(#[$doc:meta])* unary $name:ident, $cpu:ident, $a:ident, $body:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;
        impl Unary for $name {
            #[inline(always)]
            fn apply<T: Word>($cpu: &mut Cpu, $a: T) -> T {
                $body
            }
        }
    };
}

#[inline(always)]
fn sum<T: Word>(a: T, b: T, carry: bool) -> T {
    T::low(
        a.wide()
            .wrapping_add(b.wide())
            .wrapping_add(u64::from(carry)),
    )
}

#[inline(always)]
fn difference<T: Word>(a: T, b: T, borrow: bool) -> T {
    T::low(
        a.wide()
            .wrapping_sub(b.wide())
            .wrapping_sub(u64::from(borrow)),
    )
}

#[inline(always)]
fn subtract<T: Word>(cpu: &mut Cpu, a: T, b: T, borrow: bool) -> T {
    let r = difference(a, b, borrow);
    cpu.lazy = if borrow {
        Lazy::arith(r, borrows(a, b, r))
    } else {
        Lazy::subtracted(r, b)
    };
    r
}

#[inline(always)]
fn logic<T: Word>(cpu: &mut Cpu, r: T) -> T {
    cpu.lazy = Lazy::logic(r);
    r
}

operation!(
    /// ADD.
    Add, cpu, a, b, {
        let r = sum(a, b, false);
        cpu.lazy = Lazy::added(r, b);
        r
    }
);
operation!(
    /// ADC.
    Adc, cpu, a, b, {
        let r = sum(a, b, cpu.lazy.cf());
        cpu.lazy = Lazy::arith(r, carries(a, b, r));
        r
    }
);
operation!(
    /// SUB.
    Sub, cpu, a, b, subtract(cpu, a, b, false)
);
operation!(
    /// SBB.
    Sbb, cpu, a, b, {
        let borrow = cpu.lazy.cf();
        subtract(cpu, a, b, borrow)
    }
);
operation!(
    /// AND.
    And, cpu, a, b, logic(cpu, a & b)
);
operation!(
    /// OR.
    Or, cpu, a, b, logic(cpu, a | b)
);
operation!(
    /// XOR.
    Xor, cpu, a, b, logic(cpu, a ^ b)
);
operation!(
    /// CMP.
    test Cmp, cpu, a, b, subtract(cpu, a, b, false)
);
operation!(
    /// TEST.
    test Test, cpu, a, b, logic(cpu, a & b)
);
operation!(
    /// INC: CF stays.
    unary Inc, cpu, a, {
        let r = sum(a, T::low(1), false);
        let of = (!a & r).wide() >> T::TOP & 1 != 0;
        let cf = cpu.lazy.cf();
        cpu.lazy = Lazy::arith(r, carries(a, T::low(1), r)).replace_carry(cf, of);
        r
    }
);
operation!(
    /// DEC: CF stays.
    unary Dec, cpu, a, {
        let r = difference(a, T::low(1), false);
        let of = (a & !r).wide() >> T::TOP & 1 != 0;
        let cf = cpu.lazy.cf();
        cpu.lazy = Lazy::arith(r, borrows(a, T::low(1), r)).replace_carry(cf, of);
        r
    }
);
operation!(
    /// NEG.
    unary Neg, cpu, a, subtract(cpu, T::low(0), a, false)
);
operation!(
    /// NOT: no flags.
    unary Not, cpu, a, {
        let _ = cpu;
        !a
    }
);

/// `op reg, reg`.
pub(crate) extern "sysv64-unwind" fn rr<O: Binary, T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let (a, b) = (cpu.reg::<T>(at.dst), cpu.reg::<T>(at.src));
    let r = O::apply(cpu, a, b);
    if O::WRITES {
        cpu.set_reg(at.dst, r);
    }
    next(cpu, at)
}

/// `op reg, imm`.
pub(crate) extern "sysv64-unwind" fn ri<O: Binary, T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let a = cpu.reg::<T>(at.dst);
    let r = O::apply(cpu, a, T::low(at.imm));
    if O::WRITES {
        cpu.set_reg(at.dst, r);
    }
    next(cpu, at)
}

/// `op reg, mem`.
pub(crate) extern "sysv64-unwind" fn rm<O: Binary, T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let b: T = access!(
        cpu,
        at,
        P,
        rm::<O, T, General, Slow>,
        cpu.load::<T, P>(linear)
    );
    let a = cpu.reg::<T>(at.dst);
    let r = O::apply(cpu, a, b);
    if O::WRITES {
        cpu.set_reg(at.dst, r);
    }
    next_after::<P>(cpu, at)
}

/// `op mem, reg`.
pub(crate) extern "sysv64-unwind" fn mr<O: Binary, T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let b = cpu.reg::<T>(at.src);
    if O::WRITES {
        access!(
            cpu,
            at,
            P,
            mr::<O, T, General, Slow>,
            cpu.modify::<T, P>(linear, |cpu, a| O::apply(cpu, a, b))
        );
    } else {
        let a: T = access!(
            cpu,
            at,
            P,
            mr::<O, T, General, Slow>,
            cpu.load::<T, P>(linear)
        );
        O::apply(cpu, a, b);
    }
    next_after::<P>(cpu, at)
}

/// `op mem, imm`.
pub(crate) extern "sysv64-unwind" fn mi<O: Binary, T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let b = T::low(at.imm);
    if O::WRITES {
        access!(
            cpu,
            at,
            P,
            mi::<O, T, General, Slow>,
            cpu.modify::<T, P>(linear, |cpu, a| O::apply(cpu, a, b))
        );
    } else {
        let a: T = access!(
            cpu,
            at,
            P,
            mi::<O, T, General, Slow>,
            cpu.load::<T, P>(linear)
        );
        O::apply(cpu, a, b);
    }
    next_after::<P>(cpu, at)
}

/// `op reg`.
pub(crate) extern "sysv64-unwind" fn r<O: Unary, T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let a = cpu.reg::<T>(at.dst);
    let r = O::apply(cpu, a);
    cpu.set_reg(at.dst, r);
    next(cpu, at)
}

/// `op mem`.
pub(crate) extern "sysv64-unwind" fn m<O: Unary, T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    access!(
        cpu,
        at,
        P,
        m::<O, T, General, Slow>,
        cpu.modify::<T, P>(linear, |cpu, a| O::apply(cpu, a))
    );
    next_after::<P>(cpu, at)
}

/// `xor reg, reg` with one register: the usual way to make a zero.
pub(crate) extern "sysv64-unwind" fn zero(cpu: &mut Cpu, at: At) -> Flow {
    cpu.lazy = Lazy::logic(0u64);
    cpu.set_reg(at.dst, 0u64);
    next(cpu, at)
}
