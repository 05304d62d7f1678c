//! MMX and SSE instructions: access checks and operands; `crate::simd` has the arithmetic.

use iced_x86::{Instruction, OpKind};

use super::addr::{Addr, General};
use super::{Decoded, Done, Extra as FormExtra};
use crate::cpu::{Cpu, gpr};
use crate::flags::Lazy;
use crate::mmu::{Res, vector};
use crate::mode::{cr0, cr4};
use crate::op::{At, Flow, Path, Slow, access, next, next_after};
use crate::simd::{Extra, Frame, Output, Place, Shape, SimdFault};

/// The check that precedes every SSE instruction, as a cheap test.
macro_rules! sse_on {
    ($cpu:ident, $at:ident) => {
        if $cpu.system.cr0 & (cr0::EM | cr0::TS) != 0 || $cpu.system.cr4 & cr4::OSFXSR == 0 {
            $cpu.rest = $at.rest;
            let _ = $cpu.check_sse();
            return crate::op::fault($cpu, $at);
        }
    };
}

/// A misaligned operand of an aligned move is a #GP(0).
macro_rules! aligned {
    ($cpu:ident, $at:ident, $linear:ident) => {
        if $at.aux != 0 && $linear & 15 != 0 {
            $cpu.rest = $at.rest;
            $cpu.raise_gp();
            return crate::op::fault($cpu, $at);
        }
    };
}

/// MOVAPS and its kind between registers.
pub(crate) extern "sysv64-unwind" fn mov_xx(cpu: &mut Cpu, at: At) -> Flow {
    sse_on!(cpu, at);
    cpu.xmm[usize::from(at.dst & 15)] = cpu.xmm[usize::from(at.src & 15)];
    next(cpu, at)
}

/// MOVAPS, MOVUPS and their kind from memory.
pub(crate) extern "sysv64-unwind" fn load_x<A: Addr, P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    sse_on!(cpu, at);
    let linear = A::linear(cpu, at);
    aligned!(cpu, at, linear);
    if P::SLOW {
        access!(
            cpu,
            at,
            P,
            load_x::<General, Slow>,
            cpu.check_wide_alignment(linear)
        );
    }
    let upper = cpu.wrap_linear(linear.wrapping_add(8));
    let low: u64 = access!(
        cpu,
        at,
        P,
        load_x::<General, Slow>,
        cpu.load::<u64, P>(linear)
    );
    let high: u64 = access!(
        cpu,
        at,
        P,
        load_x::<General, Slow>,
        cpu.load::<u64, P>(upper)
    );
    cpu.xmm[usize::from(at.dst & 15)] = [low, high];
    next_after::<P>(cpu, at)
}

/// MOVAPS, MOVUPS and their kind to memory.
pub(crate) extern "sysv64-unwind" fn store_x<A: Addr, P: Path>(cpu: &mut Cpu, at: At) -> Flow {
    sse_on!(cpu, at);
    let linear = A::linear(cpu, at);
    aligned!(cpu, at, linear);
    let upper = cpu.wrap_linear(linear.wrapping_add(8));
    let [low, high] = cpu.xmm[usize::from(at.dst & 15)];
    if P::SLOW {
        access!(
            cpu,
            at,
            P,
            store_x::<General, Slow>,
            cpu.check_wide_alignment(linear)
        );
        // Both halves must be writable before either is written.
        access!(
            cpu,
            at,
            P,
            store_x::<General, Slow>,
            cpu.probe_data(linear, 16)
        );
        access!(
            cpu,
            at,
            P,
            store_x::<General, Slow>,
            cpu.store::<u64, P>(linear, low)
        );
    }
    // The fast body writes the upper half first: if that succeeds and the lower half does not, the
    // slow body either writes both or finds that the lower one faults, in which case the upper half
    // must not have been written; so the lower half is tried first there.
    if !P::SLOW && linear & 0xfff > 0xff0 {
        return crate::op::slow(cpu, at, store_x::<General, Slow>);
    }
    if !P::SLOW {
        access!(
            cpu,
            at,
            P,
            store_x::<General, Slow>,
            cpu.store::<u64, P>(linear, low)
        );
    }
    access!(
        cpu,
        at,
        P,
        store_x::<General, Slow>,
        cpu.store::<u64, P>(upper, high)
    );
    next_after::<P>(cpu, at)
}

impl Cpu {
    fn read_place_simd(&mut self, place: Place, shape: &Shape, linear: u64) -> Res<[u64; 2]> {
        Ok(match place {
            Place::None => [0; 2],
            Place::Xmm(n) => self.xmm[usize::from(n)],
            Place::Mm(n) => [crate::fpu::mmx_read(&self.x87, usize::from(n)), 0],
            Place::Gpr32(n) => [u64::from(self.reg::<u32>(n * 8)), 0],
            Place::Gpr64(n) => [self.reg::<u64>(n * 8), 0],
            Place::Memory => {
                let bytes = u64::from(shape.memory.map_or(0, |memory| memory.bytes));
                let low = self.load_slow(linear, bytes.min(8))?;
                let high = if bytes > 8 {
                    self.load_slow(self.wrap_linear(linear.wrapping_add(8)), bytes - 8)?
                } else {
                    0
                };
                [low, high]
            }
        })
    }

    fn write_place_simd(
        &mut self,
        place: Place,
        shape: &Shape,
        linear: u64,
        value: [u64; 2],
    ) -> Res<()> {
        match place {
            Place::None => {}
            Place::Xmm(n) => self.xmm[usize::from(n)] = value,
            Place::Mm(n) => crate::fpu::mmx_write(&mut self.x87, usize::from(n), value[0]),
            Place::Gpr32(n) => self.set_reg(n * 8, value[0] as u32),
            Place::Gpr64(n) => self.set_reg(n * 8, value[0]),
            Place::Memory => {
                let bytes = u64::from(shape.memory.map_or(0, |memory| memory.bytes));
                if bytes > 8 {
                    self.probe_data(linear, bytes)?;
                }
                self.store_slow(linear, bytes.min(8), value[0])?;
                if bytes > 8 {
                    self.store_slow(
                        self.wrap_linear(linear.wrapping_add(8)),
                        bytes - 8,
                        value[1],
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Raises #AC for a misaligned 16-byte operand while alignment is checked.
    fn check_wide_alignment(&mut self, linear: u64) -> Res<()> {
        if self.checks_alignment() && linear & 15 != 0 {
            return Err(self.raise_error(vector::AC, 0));
        }
        Ok(())
    }

    /// Checks that up to 16 bytes can be written.
    fn probe_data(&mut self, linear: u64, size: u64) -> Res<()> {
        self.probe_write(linear, size)
    }

    fn check_simd(&mut self, shape: &Shape) -> Res<()> {
        if shape.sse {
            self.check_sse()?;
        }
        if shape.mmx {
            if self.system.cr0 & cr0::EM != 0 {
                return Err(self.raise(vector::UD));
            }
            self.check_fpu()?;
            if crate::fpu::pending_exception(&self.x87) {
                return Err(self.raise(vector::MF));
            }
        }
        Ok(())
    }
}

/// Any MMX or SSE instruction.
pub(crate) fn execute(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let FormExtra::Simd(prim, shape) = &ins.extra else {
        unreachable!("lowering pairs them")
    };
    cpu.check_simd(shape)?;
    let masked = shape.output == Output::Masked;
    let linear = match shape.memory {
        Some(_) if masked => cpu.masked_destination(ins),
        Some(memory) => {
            let linear = cpu.linear(ins);
            if memory.aligned && linear & 15 != 0 {
                return Err(cpu.raise_gp());
            }
            linear
        }
        None => 0,
    };
    let mut frame = Frame {
        mxcsr: cpu.mxcsr,
        ..Frame::default()
    };
    frame.imm = immediate(ins);
    if matches!(shape.dst, Place::Xmm(_) | Place::Mm(_)) {
        frame.dst = cpu.read_place_simd(shape.dst, shape, linear)?;
    }
    frame.src = cpu.read_place_simd(shape.src, shape, linear)?;
    match shape.extra {
        Extra::None => {}
        Extra::Xmm0 => frame.xmm0 = cpu.xmm[0],
        Extra::Lengths => frame.gpr = [cpu.regs[gpr::RAX], cpu.regs[gpr::RDX]],
    }
    let result = prim(&mut frame);
    if shape.mxcsr {
        cpu.mxcsr = frame.mxcsr;
    }
    match result {
        Ok(()) => {}
        Err(SimdFault::GeneralProtection) => return Err(cpu.raise_gp()),
        Err(SimdFault::FloatingPoint) => {
            let vector = if cpu.system.cr4 & cr4::OSXMMEXCPT != 0 {
                vector::XM
            } else {
                vector::UD
            };
            return Err(cpu.raise(vector));
        }
    }
    match shape.output {
        Output::Dst => cpu.write_place_simd(shape.dst, shape, linear, frame.dst)?,
        Output::Xmm0 => cpu.xmm[0] = frame.xmm0,
        Output::Rcx => cpu.regs[gpr::RCX] = frame.rcx,
        Output::Masked => cpu.store_masked(linear, &frame)?,
        Output::Nothing => {}
    }
    if shape.mmx {
        crate::fpu::mmx_enter(&mut cpu.x87);
    }
    if let Some(flags) = frame.flags {
        cpu.lazy = Lazy::from_bits(u64::from(flags));
    }
    Ok(Done::Next)
}

fn immediate(ins: &Instruction) -> u8 {
    let last = ins.op_count().saturating_sub(1);
    if ins.op_kind(last) == OpKind::Immediate8 {
        ins.immediate8()
    } else {
        0
    }
}

impl Cpu {
    /// DS:rDI, or the overriding segment, for MASKMOVQ and MASKMOVDQU.
    fn masked_destination(&self, ins: &Instruction) -> u64 {
        let bytes = match ins.op0_kind() {
            OpKind::MemorySegDI => 2,
            OpKind::MemorySegEDI => 4,
            _ => 8,
        };
        let base = self.regs[crate::cpu::slot::SEGMENTS + ins.memory_segment().number()];
        let offset = self.regs[gpr::RDI] & super::operand::mask(bytes);
        self.wrap_linear(offset.wrapping_add(base))
    }

    fn store_masked(&mut self, linear: u64, frame: &Frame) -> Res<()> {
        if frame.rcx >> 8 != 0 || frame.rcx != 0 && frame.dst[1] != 0 {
            self.check_wide_alignment(linear)?;
        }
        let selected = (0..16u64).filter(|n| frame.rcx >> n & 1 != 0);
        for n in selected.clone() {
            self.probe_data(self.wrap_linear(linear.wrapping_add(n)), 1)?;
        }
        for n in selected {
            let byte = frame.dst[(n / 8) as usize] >> (8 * (n % 8)) & 0xff;
            self.store_slow(self.wrap_linear(linear.wrapping_add(n)), 1, byte)?;
        }
        Ok(())
    }
}
