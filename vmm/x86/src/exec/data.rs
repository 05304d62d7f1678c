//! Moves, extensions, addresses, the stack.

use super::addr::{Addr, General};
use crate::cpu::{Cpu, gpr};
use crate::op::{At, Flow, Path, Slow, access, next, next_after};
use crate::word::Word;

const RSP: u8 = gpr::RSP as u8 * 8;
const RBP: u8 = gpr::RBP as u8 * 8;

/// `mov reg, reg`.
pub(crate) extern "sysv64-unwind" fn mov_rr<T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let value = cpu.reg::<T>(at.src);
    cpu.set_reg(at.dst, value);
    next(cpu, at)
}

/// `mov reg, imm`.
pub(crate) extern "sysv64-unwind" fn mov_ri<T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    cpu.set_reg(at.dst, T::low(at.imm));
    next(cpu, at)
}

/// `mov reg, mem`.
pub(crate) extern "sysv64-unwind" fn mov_rm<T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let value: T = access!(
        cpu,
        at,
        P,
        mov_rm::<T, General, Slow>,
        cpu.load::<T, P>(linear)
    );
    cpu.set_reg(at.dst, value);
    next_after::<P>(cpu, at)
}

/// `mov mem, reg`.
pub(crate) extern "sysv64-unwind" fn mov_mr<T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let value = cpu.reg::<T>(at.src);
    access!(
        cpu,
        at,
        P,
        mov_mr::<T, General, Slow>,
        cpu.store::<T, P>(linear, value)
    );
    next_after::<P>(cpu, at)
}

/// `mov mem, imm`.
pub(crate) extern "sysv64-unwind" fn mov_mi<T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    access!(
        cpu,
        at,
        P,
        mov_mi::<T, General, Slow>,
        cpu.store::<T, P>(linear, T::low(at.imm))
    );
    next_after::<P>(cpu, at)
}

/// `movzx reg, reg`: `T` from `S`.
pub(crate) extern "sysv64-unwind" fn movzx_rr<T: Word, S: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let value = cpu.reg::<S>(at.src);
    cpu.set_reg(at.dst, T::low(value.wide()));
    next(cpu, at)
}

/// `movzx reg, mem`: `T` from `S`.
pub(crate) extern "sysv64-unwind" fn movzx_rm<T: Word, S: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let value: S = access!(
        cpu,
        at,
        P,
        movzx_rm::<T, S, General, Slow>,
        cpu.load::<S, P>(linear)
    );
    cpu.set_reg(at.dst, T::low(value.wide()));
    next_after::<P>(cpu, at)
}

/// `movsx`/`movsxd reg, reg`: `T` from `S`.
pub(crate) extern "sysv64-unwind" fn movsx_rr<T: Word, S: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let value = cpu.reg::<S>(at.src);
    cpu.set_reg(at.dst, T::low(value.sign() as u64));
    next(cpu, at)
}

/// `movsx`/`movsxd reg, mem`: `T` from `S`.
pub(crate) extern "sysv64-unwind" fn movsx_rm<T: Word, S: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let value: S = access!(
        cpu,
        at,
        P,
        movsx_rm::<T, S, General, Slow>,
        cpu.load::<S, P>(linear)
    );
    cpu.set_reg(at.dst, T::low(value.sign() as u64));
    next_after::<P>(cpu, at)
}

/// `lea reg, mem`.
pub(crate) extern "sysv64-unwind" fn lea<T: Word, A: Addr>(cpu: &mut Cpu, at: At) -> Flow {
    let value = A::effective(cpu, at);
    cpu.set_reg(at.dst, T::low(value));
    next(cpu, at)
}

/// `xchg reg, reg`.
pub(crate) extern "sysv64-unwind" fn xchg_rr<T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let (a, b) = (cpu.reg::<T>(at.dst), cpu.reg::<T>(at.src));
    cpu.set_reg(at.dst, b);
    cpu.set_reg(at.src, a);
    next(cpu, at)
}

/// `xchg mem, reg`.
pub(crate) extern "sysv64-unwind" fn xchg_mr<T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let new = cpu.reg::<T>(at.src);
    let mut old = new;
    access!(
        cpu,
        at,
        P,
        xchg_mr::<T, General, Slow>,
        cpu.modify::<T, P>(linear, |_, value| {
            old = value;
            new
        })
    );
    cpu.set_reg(at.src, old);
    next_after::<P>(cpu, at)
}

/// `push reg` in 64-bit mode.
pub(crate) extern "sysv64-unwind" fn push_r<P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    let value = cpu.reg::<u64>(at.src);
    let rsp = cpu.reg::<u64>(RSP).wrapping_sub(8);
    access!(cpu, at, P, push_r::<Slow>, cpu.store_stack::<P>(rsp, value));
    cpu.set_reg(RSP, rsp);
    next_after::<P>(cpu, at)
}

/// `push imm` in 64-bit mode.
pub(crate) extern "sysv64-unwind" fn push_i<P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    let rsp = cpu.reg::<u64>(RSP).wrapping_sub(8);
    access!(
        cpu,
        at,
        P,
        push_i::<Slow>,
        cpu.store_stack::<P>(rsp, at.imm)
    );
    cpu.set_reg(RSP, rsp);
    next_after::<P>(cpu, at)
}

/// `push mem` in 64-bit mode. Both accesses must succeed before anything changes.
pub(crate) extern "sysv64-unwind" fn push_m<A: Addr, P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    let linear = A::linear(cpu, at);
    let value: u64 = access!(
        cpu,
        at,
        P,
        push_m::<General, Slow>,
        cpu.load::<u64, P>(linear)
    );
    let rsp = cpu.reg::<u64>(RSP).wrapping_sub(8);
    access!(
        cpu,
        at,
        P,
        push_m::<General, Slow>,
        cpu.store_stack::<P>(rsp, value)
    );
    cpu.set_reg(RSP, rsp);
    next_after::<P>(cpu, at)
}

/// `pop reg` in 64-bit mode.
pub(crate) extern "sysv64-unwind" fn pop_r<P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    let rsp = cpu.reg::<u64>(RSP);
    let value: u64 = access!(cpu, at, P, pop_r::<Slow>, cpu.load_stack::<P>(rsp));
    cpu.set_reg(RSP, rsp.wrapping_add(8));
    cpu.set_reg(at.dst, value);
    next_after::<P>(cpu, at)
}

/// `leave` in 64-bit mode.
pub(crate) extern "sysv64-unwind" fn leave<P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    let frame = cpu.reg::<u64>(RBP);
    let value: u64 = access!(cpu, at, P, leave::<Slow>, cpu.load_stack::<P>(frame));
    cpu.set_reg(RSP, frame.wrapping_add(8));
    cpu.set_reg(RBP, value);
    next_after::<P>(cpu, at)
}

/// `setcc reg`.
pub(crate) extern "sysv64-unwind" fn setcc_r(cpu: &mut Cpu, at: At) -> Flow {
    let value = u8::from(cpu.lazy.condition(at.aux));
    cpu.set_reg(at.dst, value);
    next(cpu, at)
}

/// `setcc mem`.
pub(crate) extern "sysv64-unwind" fn setcc_m<A: Addr, P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    let linear = A::linear(cpu, at);
    let value = u8::from(cpu.lazy.condition(at.aux));
    access!(
        cpu,
        at,
        P,
        setcc_m::<General, Slow>,
        cpu.store::<u8, P>(linear, value)
    );
    next_after::<P>(cpu, at)
}

/// `cmovcc reg, reg`. A 32-bit move clears the upper half even if the condition is false.
pub(crate) extern "sysv64-unwind" fn cmov_rr<T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let value = if cpu.lazy.condition(at.aux) {
        cpu.reg::<T>(at.src)
    } else {
        cpu.reg::<T>(at.dst)
    };
    cpu.set_reg(at.dst, value);
    next(cpu, at)
}

/// `cmovcc reg, mem`. The memory is read even if the condition is false.
pub(crate) extern "sysv64-unwind" fn cmov_rm<T: Word, A: Addr, P: Path>(
    cpu: &mut Cpu,
    at: At,
) -> Flow {
    let linear = A::linear(cpu, at);
    let value: T = access!(
        cpu,
        at,
        P,
        cmov_rm::<T, General, Slow>,
        cpu.load::<T, P>(linear)
    );
    let value = if cpu.lazy.condition(at.aux) {
        value
    } else {
        cpu.reg::<T>(at.dst)
    };
    cpu.set_reg(at.dst, value);
    next_after::<P>(cpu, at)
}

/// NOP, PAUSE, ENDBR, prefetches, fences: nothing to do on a machine that runs one CPU at a time.
pub(crate) extern "sysv64-unwind" fn nop(cpu: &mut Cpu, at: At) -> Flow {
    next(cpu, at)
}

/// CWDE and CDQE: sign-extends the lower half of the accumulator, `S`, to `T`.
pub(crate) extern "sysv64-unwind" fn extend_a<T: Word, S: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let value = cpu.reg::<S>(0);
    cpu.set_reg(0, T::low(value.sign() as u64));
    next(cpu, at)
}

/// CWD, CDQ and CQO: fills RDX with the accumulator's sign.
pub(crate) extern "sysv64-unwind" fn extend_d<T: Word>(cpu: &mut Cpu, at: At) -> Flow {
    let value = cpu.reg::<T>(0);
    cpu.set_reg(gpr::RDX as u8 * 8, T::low((value.sign() >> 63) as u64));
    next(cpu, at)
}
