//! x87 instructions: access checks and operands; `crate::fpu` has the arithmetic.

use iced_x86::{Code, Instruction};

use super::{Decoded, Done, Extra};
use crate::cpu::Cpu;
use crate::flags::Lazy;
use crate::fpu::{
    self, Effect, EnvFormat, FXSAVE_SIZE, ImageFormat, Legacy, Operand, XSAVE_SIZE, XsaveKind,
};
use crate::mmu::{Res, vector};
use crate::mode::{cr0, cr4};

impl Cpu {
    /// Raises #MF if an unmasked exception is pending. CR0.NE is taken as set: the external
    /// interrupt of the 8087 is not implemented.
    fn check_pending(&mut self) -> Res<()> {
        if fpu::pending_exception(&self.x87) {
            Err(self.raise(vector::MF))
        } else {
            Ok(())
        }
    }
}

/// An x87 instruction with or without a memory operand.
pub(crate) fn x87(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let Extra::Fpu(op) = ins.extra else {
        unreachable!("lowering pairs them")
    };
    cpu.check_fpu()?;
    if op.waits {
        cpu.check_pending()?;
    }
    let mut operand = Operand {
        bytes: [0; 16],
        address: 0,
    };
    let mut linear = 0;
    if op.mem_size != 0 {
        operand.address = cpu.effective(ins);
        linear = cpu.linear(ins);
        let size = usize::from(op.mem_size);
        if op.reads_mem {
            cpu.load_bytes(linear, &mut operand.bytes[..size])?;
        }
    }
    // An unmasked exception keeps a store from happening, and so from faulting.
    let before = (!op.reads_mem && op.mem_size != 0).then_some(cpu.x87);
    let (ip, flags) = (
        cpu.rip_behind(ins).wrapping_sub(ins.len() as u64),
        cpu.lazy.bits(),
    );
    match fpu::execute(&mut cpu.x87, &op, &mut operand, flags, ip) {
        Effect::None => {}
        Effect::StoreMem(size) => {
            let stored = cpu.store_bytes(linear, &operand.bytes[..usize::from(size)]);
            if let (Err(raised), Some(before)) = (stored, before) {
                cpu.x87 = before;
                return Err(raised);
            }
        }
        Effect::SetAx(value) => cpu.set_reg(0, value),
        Effect::SetFlags { mask, value } => {
            cpu.lazy = Lazy::from_bits(flags & !mask | value & mask)
        }
    }
    Ok(Done::Next)
}

/// FWAIT.
pub(crate) fn fwait(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    if cpu.system.cr0 & (cr0::MP | cr0::TS) == cr0::MP | cr0::TS {
        return Err(cpu.raise(vector::NM));
    }
    cpu.check_pending()?;
    Ok(Done::Next)
}

/// EMMS.
pub(crate) fn emms(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    if cpu.system.cr0 & cr0::EM != 0 {
        return Err(cpu.raise(vector::UD));
    }
    cpu.check_fpu()?;
    cpu.check_pending()?;
    fpu::emms(&mut cpu.x87);
    // Processors also reset the top of the stack, which the SDM leaves open.
    cpu.x87.status &= !(7 << 11);
    Ok(Done::Next)
}

fn format(cpu: &Cpu, wide: bool) -> ImageFormat {
    ImageFormat {
        long_mode: cpu.mode.bits == 64,
        wide_pointers: wide,
    }
}

impl Cpu {
    fn legacy(&mut self) -> Legacy<'_> {
        Legacy {
            x87: &mut self.x87,
            xmm: &mut self.xmm,
            mxcsr: &mut self.mxcsr,
        }
    }

    fn aligned_area(&mut self, ins: &Instruction, alignment: u64) -> Res<u64> {
        let linear = self.linear(ins);
        if linear.is_multiple_of(alignment) {
            Ok(linear)
        } else {
            Err(self.raise_gp())
        }
    }
}

/// FXSAVE.
pub(crate) fn fxsave(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.check_fpu()?;
    let linear = cpu.aligned_area(ins, 16)?;
    let mut area = [0; FXSAVE_SIZE];
    cpu.probe_range(linear, area.len() as u64)?;
    cpu.load_bytes(linear, &mut area)?;
    let format = format(cpu, ins.code() == Code::Fxsave64_m512byte);
    let sse = cpu.system.cr4 & cr4::OSFXSR != 0;
    fpu::fxsave(&cpu.legacy(), format, sse, &mut area);
    cpu.store_bytes(linear, &area)?;
    Ok(Done::Next)
}

/// FXRSTOR.
pub(crate) fn fxrstor(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.check_fpu()?;
    let linear = cpu.aligned_area(ins, 16)?;
    let mut area = [0; FXSAVE_SIZE];
    cpu.load_bytes(linear, &mut area)?;
    let format = format(cpu, ins.code() == Code::Fxrstor64_m512byte);
    let sse = cpu.system.cr4 & cr4::OSFXSR != 0;
    if fpu::fxrstor(&mut cpu.legacy(), format, sse, &area).is_err() {
        return Err(cpu.raise_gp());
    }
    Ok(Done::Next)
}

impl Cpu {
    fn check_xsave(&mut self) -> Res<()> {
        if self.system.cr4 & cr4::OSXSAVE == 0 {
            return Err(self.raise(vector::UD));
        }
        if self.system.cr0 & cr0::TS != 0 {
            return Err(self.raise(vector::NM));
        }
        Ok(())
    }
}

/// XSAVE, XSAVEOPT and XSAVEC.
pub(crate) fn xsave(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.check_xsave()?;
    let linear = cpu.aligned_area(ins, 64)?;
    let kind = match ins.code() {
        Code::Xsave_mem | Code::Xsave64_mem => XsaveKind::Standard,
        Code::Xsaveopt_mem | Code::Xsaveopt64_mem => XsaveKind::Optimized,
        _ => XsaveKind::Compacted,
    };
    let wide = matches!(
        ins.code(),
        Code::Xsave64_mem | Code::Xsaveopt64_mem | Code::Xsavec64_mem
    );
    let mut area = [0; XSAVE_SIZE];
    cpu.probe_range(linear, area.len() as u64)?;
    cpu.load_bytes(linear, &mut area)?;
    let request = cpu.read_edx_eax() & cpu.system.xcr0;
    let format = format(cpu, wide);
    fpu::xsave(&cpu.legacy(), kind, format, request, &mut area);
    cpu.store_bytes(linear, &area)?;
    Ok(Done::Next)
}

/// XRSTOR.
pub(crate) fn xrstor(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.check_xsave()?;
    let linear = cpu.aligned_area(ins, 64)?;
    let mut area = [0; XSAVE_SIZE];
    cpu.load_bytes(linear, &mut area)?;
    let format = format(cpu, ins.code() == Code::Xrstor64_mem);
    let (xcr0, requested) = (cpu.system.xcr0, cpu.read_edx_eax());
    if fpu::xrstor(&mut cpu.legacy(), format, xcr0, requested, &area).is_err() {
        return Err(cpu.raise_gp());
    }
    Ok(Done::Next)
}

fn environment(cpu: &Cpu, ins: &Instruction) -> EnvFormat {
    let wide = matches!(
        ins.code(),
        Code::Fldenv_m28byte
            | Code::Fnstenv_m28byte
            | Code::Frstor_m108byte
            | Code::Fnsave_m108byte
    );
    EnvFormat {
        wide,
        real: !cpu.mode.protected,
    }
}

/// The size of an environment's fields, which is also how it has to be aligned.
fn unit(format: EnvFormat) -> usize {
    if format.wide { 4 } else { 2 }
}

/// FNSTENV.
pub(crate) fn fnstenv(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.check_fpu()?;
    let format = environment(cpu, ins);
    let linear = cpu.linear(ins);
    let mut image = [0; 28];
    let image = &mut image[..format.size()];
    cpu.probe_units(linear, image.len() as u64, unit(format))?;
    fpu::store_environment(&mut cpu.x87, format, image);
    cpu.store_units(linear, image, unit(format))?;
    Ok(Done::Next)
}

/// FLDENV.
pub(crate) fn fldenv(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.check_fpu()?;
    cpu.check_pending()?;
    let format = environment(cpu, ins);
    let mut image = [0; 28];
    let image = &mut image[..format.size()];
    cpu.load_units(cpu.linear(ins), image, unit(format))?;
    fpu::load_environment(&mut cpu.x87, format, image);
    Ok(Done::Next)
}

/// FNSAVE.
pub(crate) fn fnsave(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.check_fpu()?;
    let format = environment(cpu, ins);
    let linear = cpu.linear(ins);
    let mut image = [0; 108];
    let image = &mut image[..format.save_size()];
    cpu.probe_units(linear, image.len() as u64, unit(format))?;
    fpu::save(&mut cpu.x87, format, image);
    cpu.store_units(linear, image, unit(format))?;
    Ok(Done::Next)
}

/// FRSTOR.
pub(crate) fn frstor(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.check_fpu()?;
    cpu.check_pending()?;
    let format = environment(cpu, ins);
    let mut image = [0; 108];
    let image = &mut image[..format.save_size()];
    cpu.load_units(cpu.linear(ins), image, unit(format))?;
    fpu::restore(&mut cpu.x87, format, image);
    Ok(Done::Next)
}
