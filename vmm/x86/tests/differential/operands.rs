//! Chooses the operands of an instruction by the kinds that its encoding allows.

use iced_x86::{Mnemonic, OpCodeOperandKind as Kind, OpKind, Register};

use crate::builder::{Builder, RSP};
use crate::layout::{CODE, CODE_SIZE};

/// Sets operand `i`, which is not an explicit memory operand. `None` means that this attempt can't
/// go on.
pub fn set(b: &mut Builder, i: u32, kind: Kind) -> Option<()> {
    use Kind as K;
    let general = if b.bits == 64 { 16 } else { 8 };
    let register = match kind {
        K::r8_or_mem | K::r8_reg | K::r8_opcode => {
            let count = if b.bits == 64 { 20 } else { 8 };
            Register::AL + b.random.below(count) as u32
        }
        K::r16_or_mem | K::r16_reg | K::r16_reg_mem | K::r16_rm | K::r16_opcode => {
            Register::AX + number(b, general)
        }
        K::r32_or_mem | K::r32_reg | K::r32_reg_mem | K::r32_rm | K::r32_opcode => {
            Register::EAX + number(b, general)
        }
        K::r64_or_mem | K::r64_reg | K::r64_reg_mem | K::r64_rm | K::r64_opcode => {
            Register::RAX + number(b, general)
        }
        K::mm_or_mem | K::mm_reg | K::mm_rm => Register::MM0 + number(b, 8),
        K::xmm_or_mem | K::xmm_reg | K::xmm_rm => Register::XMM0 + number(b, general),
        K::sti_opcode => Register::ST0 + number(b, 8),
        K::seg_reg => Register::ES + number(b, 6),
        K::cr_reg => b
            .random
            .pick(&[Register::CR0, Register::CR2, Register::CR3, Register::CR4]),
        K::dr_reg => Register::DR0 + number(b, 8),
        _ => match fixed(kind) {
            Some(register) => register,
            None => return set_other(b, i, kind),
        },
    };
    b.instruction.set_op_kind(i, OpKind::Register);
    b.instruction.set_op_register(i, register);
    Some(())
}

fn number(b: &mut Builder, count: u64) -> u32 {
    b.random.below(count) as u32
}

fn fixed(kind: Kind) -> Option<Register> {
    use Kind as K;
    Some(match kind {
        K::es => Register::ES,
        K::cs => Register::CS,
        K::ss => Register::SS,
        K::ds => Register::DS,
        K::fs => Register::FS,
        K::gs => Register::GS,
        K::al => Register::AL,
        K::cl => Register::CL,
        K::ax => Register::AX,
        K::dx => Register::DX,
        K::eax => Register::EAX,
        K::rax => Register::RAX,
        K::st0 => Register::ST0,
        _ => return None,
    })
}

fn set_other(b: &mut Builder, i: u32, kind: Kind) -> Option<()> {
    use Kind as K;
    match kind {
        K::imm8
        | K::imm8_const_1
        | K::imm8sex16
        | K::imm8sex32
        | K::imm8sex64
        | K::imm16
        | K::imm32
        | K::imm32sex64
        | K::imm64 => {
            set_immediate(b, i, kind);
        }
        K::seg_rSI | K::es_rDI | K::seg_rDI | K::seg_rBX_al => set_implicit_memory(b, i, kind),
        K::br16_1 | K::br16_2 | K::br32_1 | K::br32_4 | K::br64_1 | K::br64_4 => {
            set_branch(b, i, kind)
        }
        K::farbr2_2 | K::farbr4_2 => {
            let selector = far_selector(b);
            let target = b.code_target();
            if kind == K::farbr2_2 {
                b.instruction.set_op_kind(i, OpKind::FarBranch16);
                b.instruction.set_far_branch16(target as u16);
            } else {
                b.instruction.set_op_kind(i, OpKind::FarBranch32);
                b.instruction.set_far_branch32(target as u32);
            }
            b.instruction.set_far_branch_selector(selector);
        }
        _ => return None,
    }
    Some(())
}

/// A selector for CS: the two code segments of Linux user mode, or one that must be refused.
pub fn far_selector(b: &mut Builder) -> u16 {
    let same = if b.bits == 64 { 0x33 } else { 0x23 };
    if b.random.chance(70) {
        same
    } else {
        b.random
            .pick(&[0x33, 0x23, 0x30, 0, 3, 0x10, 0x2b, 0x18, 0xfff8, 0x37])
    }
}

fn set_immediate(b: &mut Builder, i: u32, kind: Kind) {
    use Kind as K;
    let (op_kind, bits) = match kind {
        K::imm8sex16 => (OpKind::Immediate8to16, 8),
        K::imm8sex32 => (OpKind::Immediate8to32, 8),
        K::imm8sex64 => (OpKind::Immediate8to64, 8),
        K::imm16 => (OpKind::Immediate16, 16),
        K::imm32 => (OpKind::Immediate32, 32),
        K::imm32sex64 => (OpKind::Immediate32to64, 32),
        K::imm64 => (OpKind::Immediate64, 64),
        _ if i > 0 && is_immediate8(b.instruction.op_kind(i - 1)) => (OpKind::Immediate8_2nd, 8),
        _ => (OpKind::Immediate8, 8),
    };
    let value = if kind == K::imm8_const_1 {
        1
    } else {
        b.random.int(bits)
    };
    let extended = ((value << (64 - bits)) as i64) >> (64 - bits);
    b.instruction.set_op_kind(i, op_kind);
    match op_kind {
        OpKind::Immediate8 => b.instruction.set_immediate8(value as u8),
        OpKind::Immediate8_2nd => b.instruction.set_immediate8_2nd(value as u8),
        OpKind::Immediate8to16 => b.instruction.set_immediate8to16(extended as i16),
        OpKind::Immediate8to32 => b.instruction.set_immediate8to32(extended as i32),
        OpKind::Immediate8to64 => b.instruction.set_immediate8to64(extended),
        OpKind::Immediate16 => b.instruction.set_immediate16(value as u16),
        OpKind::Immediate32 => b.instruction.set_immediate32(value as u32),
        OpKind::Immediate32to64 => b.instruction.set_immediate32to64(extended),
        _ => b.instruction.set_immediate64(value),
    }
}

fn is_immediate8(kind: OpKind) -> bool {
    matches!(kind, OpKind::Immediate8 | OpKind::Immediate16)
}

/// String operands and XLAT's table: the registers are set by the fix-ups; what is chosen here is
/// the address size and, where one counts, the segment.
fn set_implicit_memory(b: &mut Builder, i: u32, kind: Kind) {
    use Kind as K;
    // A second operand has to agree with the first about the address size.
    let narrow = match (0..i)
        .map(|j| b.instruction.op_kind(j))
        .find(|kind| is_string_operand(*kind))
    {
        Some(first) => matches!(
            first,
            OpKind::MemorySegESI | OpKind::MemoryESEDI | OpKind::MemorySegEDI
        ),
        None => b.bits == 32 || b.random.chance(15),
    };
    let op_kind = match (kind, narrow) {
        (K::seg_rSI, true) => OpKind::MemorySegESI,
        (K::seg_rSI, false) => OpKind::MemorySegRSI,
        (K::es_rDI, true) => OpKind::MemoryESEDI,
        (K::es_rDI, false) => OpKind::MemoryESRDI,
        (K::seg_rDI, true) => OpKind::MemorySegEDI,
        (K::seg_rDI, false) => OpKind::MemorySegRDI,
        _ => OpKind::Memory,
    };
    b.instruction.set_op_kind(i, op_kind);
    if op_kind == OpKind::Memory {
        b.instruction
            .set_memory_base(if narrow { Register::EBX } else { Register::RBX });
        b.instruction.set_memory_index(Register::AL);
    }
    if kind != K::es_rDI {
        let segment = choose_segment(b);
        b.instruction.set_segment_prefix(segment);
    }
}

fn is_string_operand(kind: OpKind) -> bool {
    use OpKind as K;
    matches!(
        kind,
        K::MemorySegESI
            | K::MemorySegRSI
            | K::MemoryESEDI
            | K::MemoryESRDI
            | K::MemorySegEDI
            | K::MemorySegRDI
    )
}

fn choose_segment(b: &mut Builder) -> Register {
    if b.bits == 64 && b.random.chance(12) {
        b.random.pick(&[Register::FS, Register::GS])
    } else {
        Register::None
    }
}

fn set_branch(b: &mut Builder, i: u32, kind: Kind) {
    use Kind as K;
    let short = matches!(kind, K::br16_1 | K::br32_1 | K::br64_1);
    let target = if short {
        let near = b.regs.rip.wrapping_add_signed(b.random.between(-110, 120));
        b.outside_instruction(near.clamp(CODE, CODE + CODE_SIZE + 100))
    } else {
        b.code_target()
    };
    match kind {
        K::br64_1 | K::br64_4 => {
            b.instruction.set_op_kind(i, OpKind::NearBranch64);
            b.instruction.set_near_branch64(target);
        }
        K::br32_1 | K::br32_4 => {
            b.instruction.set_op_kind(i, OpKind::NearBranch32);
            b.instruction.set_near_branch32(target as u32);
        }
        _ => {
            b.instruction.set_op_kind(i, OpKind::NearBranch16);
            b.instruction.set_near_branch16(target as u16);
        }
    }
}

/// The shape of an explicit memory operand.
struct Shape {
    base: Option<usize>,
    index: Option<usize>,
    scale: u32,
    displacement: i64,
    narrow: bool,
}

/// Sets operand `i` to memory at a chosen address and gives the base register the value that makes
/// it so.
pub fn set_memory(b: &mut Builder, i: u32, offset_only: bool) -> Option<()> {
    let size = access_size(b);
    // LEA and the multi-byte NOP access nothing, so they may compute any address at all.
    let target = if b.op.mnemonic() == Mnemonic::Lea {
        b.random.gpr()
    } else {
        b.target(size, size >= 16)
    };
    let target = if b.bits == 32 {
        target & 0xffff_ffff
    } else {
        target
    };
    let segment = choose_segment(b);
    let offset = match segment {
        Register::FS => target.wrapping_sub(b.regs.fs_base),
        Register::GS => target.wrapping_sub(b.regs.gs_base),
        _ => target,
    };
    b.instruction.set_segment_prefix(segment);
    b.instruction.set_op_kind(i, OpKind::Memory);
    let narrow = b.bits == 32 || offset >> 32 == 0 && b.random.chance(10);
    if offset_only {
        b.instruction
            .set_memory_displ_size(if narrow { 4 } else { 8 });
        b.instruction.set_memory_displacement64(offset);
        return Some(());
    }
    if b.bits == 64 && b.random.chance(15) {
        b.instruction
            .set_memory_base(if narrow { Register::EIP } else { Register::RIP });
        b.instruction
            .set_memory_displ_size(if narrow { 4 } else { 8 });
        b.instruction.set_memory_displacement64(offset);
        return Some(());
    }
    let shape = choose_shape(b, offset, narrow)?;
    apply_shape(b, &shape);
    Some(())
}

/// The number of bytes that an explicit memory operand covers.
pub fn access_size(b: &Builder) -> u64 {
    match b.op.memory_size().size() as u64 {
        0 if matches!(
            b.op.mnemonic(),
            Mnemonic::Xsave | Mnemonic::Xsave64 | Mnemonic::Xrstor | Mnemonic::Xrstor64
        ) =>
        {
            576
        }
        0 => 8,
        size => size,
    }
}

fn choose_shape(b: &mut Builder, offset: u64, narrow: bool) -> Option<Shape> {
    let count = if b.bits == 64 { 16 } else { 8 };
    let kind = b.random.below(20);
    let base = (kind != 0).then(|| b.random.below(count) as usize);
    let index = (kind < 10)
        .then(|| b.random.below(count) as usize)
        .filter(|index| *index != RSP);
    let scale = b.random.pick(&[1, 2, 4, 8]);
    let free = |register: usize, pinned: u32| register != RSP && pinned >> register & 1 == 0;
    // With a free base any index value and displacement will do; otherwise the displacement has to
    // make up the difference, which takes an index that is not large.
    let solved_by_base = base.is_some_and(|base| free(base, b.pinned) && Some(base) != index);
    if !solved_by_base && let Some(index) = index {
        if b.pinned >> index & 1 != 0 {
            return None;
        }
        b.regs.gpr[index] = b.random.below(0x10_0000);
    }
    let displacement = match b.random.below(4) {
        0 => 0,
        1 | 2 => b.random.between(-128, 127),
        _ => b.random.bits() as i32 as i64,
    };
    let mut shape = Shape {
        base,
        index,
        scale,
        displacement,
        narrow,
    };
    let index_part = index.map_or(0, |index| b.regs.gpr[index].wrapping_mul(scale.into()));
    if let Some(base) = base.filter(|_| solved_by_base) {
        let value = offset
            .wrapping_sub(index_part)
            .wrapping_sub(displacement as u64);
        // Only the low half counts with 32-bit addresses.
        b.regs.gpr[base] = if !narrow {
            value
        } else if b.bits == 32 {
            value & 0xffff_ffff
        } else {
            value & 0xffff_ffff | b.random.bits() << 32
        };
    } else {
        let base_part = base.map_or(0, |base| b.regs.gpr[base]);
        let rest = offset.wrapping_sub(index_part).wrapping_sub(base_part);
        shape.displacement = if narrow {
            rest as i32 as i64
        } else {
            i64::from(i32::try_from(rest as i64).ok()?)
        };
    }
    Some(shape)
}

fn apply_shape(b: &mut Builder, shape: &Shape) {
    let first = if shape.narrow {
        Register::EAX
    } else {
        Register::RAX
    };
    if let Some(base) = shape.base {
        b.instruction.set_memory_base(first + base as u32);
    }
    if let Some(index) = shape.index {
        b.instruction.set_memory_index(first + index as u32);
        b.instruction.set_memory_index_scale(shape.scale);
    }
    let short = i8::try_from(shape.displacement).is_ok();
    let size = match (shape.displacement, shape.base) {
        (0, Some(_)) => 0,
        (_, Some(_)) if short => 1,
        _ if shape.narrow => 4,
        _ => 8,
    };
    b.instruction.set_memory_displ_size(size);
    b.instruction
        .set_memory_displacement64(shape.displacement as u64);
}
