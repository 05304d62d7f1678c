//! Gives instructions inputs with which something happens: a divisor that fits, a string that
//! compares equal, a return address that leads to code.

use iced_x86::{MemorySize, Mnemonic as M, OpCodeOperandKind as Kind, OpKind, Register};

use crate::builder::{
    Builder, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, control_word, is_string, mxcsr, status_word,
};
use crate::layout::{WINDOW, WINDOW_SIZE};
use crate::operands::{access_size, far_selector};
use crate::values::Lanes;

/// Selectors for data segments: null, the user's, and such as must be refused.
const DATA_SELECTORS: [u16; 12] = [
    0, 1, 3, 0x2b, 0x2b, 0x2b, 0x28, 0x33, 0x10, 0x18, 0xfff8, 0x2f,
];

/// Selectors that LAR, LSL, VERR and VERW look up. Those of the host's per-CPU segment are absent,
/// because its limit holds the number of the processor.
const LOOKED_UP: [u16; 14] = [
    0, 3, 0x08, 0x10, 0x18, 0x20, 0x23, 0x28, 0x2b, 0x30, 0x33, 0x40, 0x4b, 0xfff8,
];

/// Prepares registers, before an explicit memory operand picks its address.
pub fn before_memory(b: &mut Builder, in_memory: bool) {
    let mnemonic = b.op.mnemonic();
    if is_string(b.op) {
        prepare_string(b);
    }
    match mnemonic {
        M::Div | M::Idiv => prepare_division(b),
        M::Bt | M::Bts | M::Btr | M::Btc if in_memory => limit_bit_offset(b),
        M::Loop | M::Loope | M::Loopne | M::Jcxz | M::Jecxz | M::Jrcxz => prepare_count(b),
        M::Enter => {
            b.regs.gpr[RBP] = inside(b);
            let nesting = b.random.below(32) as u8 * u8::from(b.random.chance(50));
            b.instruction.set_immediate8_2nd(nesting);
        }
        M::Leave => b.regs.gpr[RBP] = inside(b),
        M::Maskmovq | M::Maskmovdqu => b.regs.gpr[RDI] = b.target(16, false),
        M::Xsave
        | M::Xsave64
        | M::Xrstor
        | M::Xrstor64
        | M::Xsaveopt
        | M::Xsaveopt64
        | M::Xsavec
        | M::Xsavec64 => {
            // The host has more components than x87 and SSE; they are not asked for.
            b.regs.gpr[RAX] &= 3;
            b.regs.gpr[RDX] &= if b.random.chance(50) { 0 } else { !0xffff_ffff };
            b.pinned |= 1 << RAX | 1 << RDX;
        }
        M::Xlatb => prepare_table(b),
        M::Shld | M::Shrd if b.op.operand_size() == 16 => {
            // A count above the operand size leaves everything undefined.
            b.instruction
                .set_immediate8(b.instruction.immediate8() % 17);
            b.regs.gpr[RCX] = b.regs.gpr[RCX] & !0x1f | b.random.below(17);
            b.pinned |= 1 << RCX;
        }
        // RET FAR looks at the stack on both sides of its immediate in an order of its own.
        M::Retf => {
            b.regs.gpr[RSP] = inside(b);
            if b.op.op_count() > 0 {
                b.instruction
                    .set_immediate16((b.random.below(64) * 4) as u16);
            }
        }
        // Outside of this range the manual leaves the result undefined.
        M::Fyl2xp1 => {
            let (mantissa, top) = b.regs.fp.st[0];
            b.regs.fp.st[0] = (mantissa | 1 << 63, top & 0x8000 | (0x3ffc - (top & 0x1f)));
        }
        M::Int => {
            let vector = b
                .random
                .pick(&[0, 1, 2, 3, 4, 5, 6, 13, 14, 0x20, 0x7f, 0x81, 0xff]);
            b.instruction.set_immediate8(vector);
        }
        M::Lar | M::Lsl | M::Verr | M::Verw if !in_memory => {
            let last = b.op.op_count() - 1;
            let selector = b.random.pick(&LOOKED_UP);
            set_register(b, last, selector.into());
        }
        M::Mov if b.op.op_kinds()[0] == Kind::seg_reg && !in_memory => {
            let selector = data_selector(b);
            set_register(b, 1, selector.into());
        }
        M::Jmp | M::Call if !in_memory && b.instruction.op_kind(0) == OpKind::Register => {
            let target = b.code_target();
            set_register(b, 0, target);
        }
        M::Cmpxchg if !in_memory && b.random.chance(50) => {
            let number = b.instruction.op0_register().full_register().number();
            b.regs.gpr[number] = b.regs.gpr[RAX];
        }
        M::Wrfsbase | M::Wrgsbase if b.random.chance(60) => {
            let base = b.random.bits() & 0x7fff_ffff_ffff;
            set_register(b, 0, base);
        }
        _ => {}
    }
}

/// Has XLAT look up a byte of the window.
fn prepare_table(b: &mut Builder) {
    let target = b.target(1, false);
    let segment = match b.instruction.segment_prefix() {
        Register::FS => b.regs.fs_base,
        Register::GS => b.regs.gs_base,
        _ => 0,
    };
    let table = target
        .wrapping_sub(segment)
        .wrapping_sub(b.regs.gpr[RAX] & 0xff);
    let narrow = b.instruction.memory_base() == Register::EBX;
    b.regs.gpr[RBX] = if narrow { table & 0xffff_ffff } else { table };
}

/// A random address inside the window, far enough from its ends for a stack frame.
fn inside(b: &mut Builder) -> u64 {
    WINDOW + 0x400 + (b.random.below(WINDOW_SIZE - 0x800) & !7)
}

/// Gives the register operand `i` the low bits of `value`.
fn set_register(b: &mut Builder, i: u32, value: u64) {
    let register = b.instruction.op_register(i);
    let slot = &mut b.regs.gpr[register.full_register().number()];
    let mask = u64::MAX >> (64 - 8 * register.size());
    *slot = *slot & !mask | value & mask;
}

fn data_selector(b: &mut Builder) -> u16 {
    if b.instruction.op0_register() == Register::SS && b.random.chance(60) {
        return 0x2b;
    }
    b.random.pick(&DATA_SELECTORS)
}

fn prepare_string(b: &mut Builder) {
    let size = access_size(b);
    let narrow = (0..b.op.op_count()).any(|i| {
        matches!(
            b.instruction.op_kind(i),
            OpKind::MemorySegESI | OpKind::MemoryESEDI | OpKind::MemorySegEDI
        )
    });
    let segment = match b.instruction.segment_prefix() {
        Register::FS => b.regs.fs_base,
        Register::GS => b.regs.gs_base,
        _ => 0,
    };
    let mut source = b.target(size, false);
    let mut destination = b.target(size, false);
    if narrow {
        // A 32-bit address cannot be non-canonical, so those two are replaced.
        source = WINDOW + source % WINDOW_SIZE;
        destination = WINDOW + destination % WINDOW_SIZE;
    }
    if b.random.chance(25) {
        // Overlap decides whether a copy in blocks equals the copy that the manual describes.
        destination = source.wrapping_add_signed(b.random.between(-24, 24));
    }
    let high = if narrow && b.bits == 64 {
        b.random.bits() << 32
    } else {
        0
    };
    b.regs.gpr[RSI] = low_half(source.wrapping_sub(segment), narrow) | high;
    b.regs.gpr[RDI] = low_half(destination, narrow) | high;
    let count = if b.random.chance(80) {
        b.random.below(24)
    } else {
        b.random.below(300)
    };
    b.regs.gpr[RCX] = count | high;
    let length = 24 * size;
    match b.op.mnemonic() {
        M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq => {
            let byte = b.random.bits() as u8;
            let mut run = vec![byte; 2 * length as usize];
            b.patch(source.wrapping_sub(length), &run);
            let odd = b.random.below(run.len() as u64) as usize;
            run[odd] ^= 1 << b.random.below(8);
            b.patch(destination.wrapping_sub(length), &run);
        }
        M::Scasb | M::Scasw | M::Scasd | M::Scasq => {
            let mut run = b.regs.gpr[RAX].to_le_bytes()[..size as usize].repeat(48);
            if b.random.chance(50) {
                let odd = b.random.below(run.len() as u64) as usize;
                run[odd] ^= 1 << b.random.below(8);
            }
            b.patch(destination.wrapping_sub(length), &run);
        }
        _ => {}
    }
}

fn low_half(value: u64, narrow: bool) -> u64 {
    if narrow { value & 0xffff_ffff } else { value }
}

/// Makes most quotients fit: a random dividend hardly ever does.
fn prepare_division(b: &mut Builder) {
    if b.random.chance(20) {
        return;
    }
    let size = b.op.memory_size().size() as u32 * 8;
    let random = b.random.bits();
    if size == 8 {
        let high = match b.random.below(3) {
            0 => 0,
            1 => b.random.below(0x40) << 8,
            _ => 0xff00,
        };
        b.regs.gpr[RAX] = random & !0xff00 | high;
        return;
    }
    let mask = u64::MAX >> (64 - size);
    let high = match b.random.below(4) {
        0 => 0,
        1 => b.random.bits() & (mask >> (size / 2)),
        2 => b.random.below(16),
        _ => ((b.regs.gpr[RAX] << (64 - size)) as i64 >> 63) as u64,
    };
    b.regs.gpr[RDX] = b.regs.gpr[RDX] & !mask | high & mask;
    if b.bits == 32 {
        b.regs.gpr[RDX] &= 0xffff_ffff;
    }
}

/// BT with a register offset addresses memory far from its operand; keep it in the reserve.
fn limit_bit_offset(b: &mut Builder) {
    if b.instruction.op1_kind() != OpKind::Register {
        return;
    }
    let register = b.instruction.op1_register();
    let number = register.full_register().number();
    let offset = b.random.between(-3000, 3000) as u64;
    let mask = u64::MAX >> (64 - 8 * register.size());
    b.regs.gpr[number] = b.regs.gpr[number] & !mask | offset & mask;
    b.pinned |= 1 << number;
}

fn prepare_count(b: &mut Builder) {
    let high = if b.bits == 64 {
        b.random
            .pick(&[0, 1_u64 << 32, 0xffff << 16, 0xffff_ffff << 32])
    } else {
        0
    };
    b.regs.gpr[RCX] = b.random.below(3) | high;
}

/// Prepares memory, when the addresses of the operands are known. `None` gives the attempt up.
pub fn after_encoding(b: &mut Builder) -> Option<()> {
    prepare_stack(b);
    let Some(i) =
        (0..b.instruction.op_count()).find(|i| b.instruction.op_kind(*i) == OpKind::Memory)
    else {
        return Some(());
    };
    let Some(address) = b.address(i) else {
        return Some(());
    };
    let bytes = operand_bytes(b);
    // Targets of branches must not be left to chance, and neither must MXCSR, of which processors have bits
    // that others do not have.
    let needed = matches!(
        b.op.mnemonic(),
        M::Jmp | M::Call | M::Fxrstor | M::Fxrstor64 | M::Xrstor | M::Xrstor64 | M::Ldmxcsr
    );
    if needed || b.random.chance(90) {
        b.patch(address, &bytes);
    }
    Some(())
}

/// What a memory operand holds.
fn operand_bytes(b: &mut Builder) -> Vec<u8> {
    let size = access_size(b) as usize;
    let last = b.op.op_count() - 1;
    match b.op.mnemonic() {
        M::Jmp | M::Call if is_far(b) => far_pointer(b, size),
        M::Jmp | M::Call => b.code_target().to_le_bytes().to_vec(),
        M::Lss | M::Lds | M::Les | M::Lfs | M::Lgs => {
            let selector = data_selector(b);
            let mut bytes = b.random.gpr().to_le_bytes().to_vec();
            bytes.resize(size.max(4), 0);
            bytes[size - 2..size].copy_from_slice(&selector.to_le_bytes());
            bytes
        }
        M::Mov | M::Pop if b.op.op_kinds()[0] == Kind::seg_reg => {
            data_selector(b).to_le_bytes().to_vec()
        }
        M::Lar | M::Lsl | M::Verr | M::Verw => b.random.pick(&LOOKED_UP).to_le_bytes().to_vec(),
        M::Cmpxchg if b.random.chance(50) => b.regs.gpr[RAX].to_le_bytes().to_vec(),
        M::Cmpxchg8b if b.random.chance(60) => (b.regs.gpr[RAX] & 0xffff_ffff
            | b.regs.gpr[RDX] << 32)
            .to_le_bytes()
            .to_vec(),
        M::Cmpxchg16b if b.random.chance(60) => {
            [b.regs.gpr[RAX].to_le_bytes(), b.regs.gpr[RDX].to_le_bytes()].concat()
        }
        M::Fldcw => control_word(&mut b.random).to_le_bytes().to_vec(),
        M::Ldmxcsr if b.random.chance(90) => mxcsr(&mut b.random).to_le_bytes().to_vec(),
        M::Ldmxcsr => (b.random.bits() as u32 & !0x2_0000).to_le_bytes().to_vec(),
        M::Fldenv | M::Frstor => x87_environment(b, size),
        M::Fxrstor | M::Fxrstor64 | M::Xrstor | M::Xrstor64 => extended_image(b),
        M::Fbld => packed_decimal(b),
        _ if (0..=last).any(|i| b.instruction.op_kind(i) == OpKind::Register)
            && b.random.chance(15) =>
        {
            equal_to_register(b)
        }
        _ => typed_bytes(b, size),
    }
}

fn is_far(b: &Builder) -> bool {
    use MemorySize as S;
    matches!(b.op.memory_size(), S::SegPtr16 | S::SegPtr32 | S::SegPtr64)
}

fn far_pointer(b: &mut Builder, size: usize) -> Vec<u8> {
    let target = b.code_target().to_le_bytes();
    let selector = far_selector(b);
    [&target[..size - 2], &selector.to_le_bytes()].concat()
}

/// The bytes of one of the register operands, so that comparisons find equal values.
fn equal_to_register(b: &mut Builder) -> Vec<u8> {
    let register = (0..b.instruction.op_count())
        .filter(|i| b.instruction.op_kind(*i) == OpKind::Register)
        .map(|i| b.instruction.op_register(i))
        .next()
        .unwrap_or(Register::AL);
    if register.is_xmm() {
        let [low, high] = b.regs.fp.xmm[register.number()];
        return [low.to_le_bytes(), high.to_le_bytes()].concat();
    }
    if register.is_gpr() {
        return b.regs.gpr[register.full_register().number()]
            .to_le_bytes()
            .to_vec();
    }
    b.random.gpr().to_le_bytes().to_vec()
}

fn typed_bytes(b: &mut Builder, size: usize) -> Vec<u8> {
    use MemorySize as S;
    let element = b.op.memory_size().element_type();
    let lanes = match element {
        S::Float80 => {
            let (mantissa, top) = b.random.f80();
            return [&mantissa.to_le_bytes()[..], &top.to_le_bytes()].concat();
        }
        S::Float32 => Lanes::F32,
        S::Float64 => Lanes::F64,
        S::UInt8 | S::Int8 => Lanes::Int(8),
        S::UInt16 | S::Int16 => Lanes::Int(16),
        S::UInt32 | S::Int32 => Lanes::Int(32),
        _ => Lanes::Int(64),
    };
    let mut bytes = Vec::new();
    while bytes.len() < size {
        bytes.extend_from_slice(&b.random.quadword(lanes).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// The 14 or 28 bytes of FLDENV, followed by the registers of FRSTOR.
fn x87_environment(b: &mut Builder, size: usize) -> Vec<u8> {
    let control = control_word(&mut b.random);
    let status = status_word(&mut b.random, control);
    let tag = if b.random.chance(40) {
        0
    } else {
        b.random.bits() as u16
    };
    let field = if matches!(size, 14 | 94) { 2 } else { 4 };
    let mut bytes = vec![0; 7 * field];
    for (i, word) in [control, status, tag].into_iter().enumerate() {
        bytes[i * field..i * field + 2].copy_from_slice(&word.to_le_bytes());
    }
    while bytes.len() + 10 <= size {
        let (mantissa, top) = b.random.f80();
        bytes.extend_from_slice(&mantissa.to_le_bytes());
        bytes.extend_from_slice(&top.to_le_bytes());
    }
    bytes
}

/// An FXRSTOR or XRSTOR image that mostly loads.
fn extended_image(b: &mut Builder) -> Vec<u8> {
    let mut fp = b.regs.fp.clone();
    fp.control = control_word(&mut b.random);
    fp.status = status_word(&mut b.random, fp.control);
    fp.tags = b.random.bits() as u8;
    fp.st = std::array::from_fn(|_| b.random.f80());
    fp.xmm = std::array::from_fn(|_| b.random.vector(Lanes::Int(64)));
    fp.mxcsr = if b.random.chance(90) {
        mxcsr(&mut b.random)
    } else {
        b.random.bits() as u32 & !0x2_0000
    };
    let mut bytes = fp.to_image().to_vec();
    let mut header = [0; 64];
    header[0] = b.random.below(4) as u8;
    if b.random.chance(10) {
        // A reserved bit somewhere in the header must be refused.
        header[8 + b.random.below(16) as usize] = 1 << b.random.below(7);
    }
    bytes.extend_from_slice(&header);
    bytes
}

fn packed_decimal(b: &mut Builder) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..9)
        .map(|_| (b.random.below(10) << 4 | b.random.below(10)) as u8)
        .collect();
    bytes.push((b.random.bits() & 0x80) as u8);
    bytes
}

/// What RET, POP and their relatives find on the stack.
fn prepare_stack(b: &mut Builder) {
    let word = match b.op.operand_size() {
        16 => 2,
        32 => 4,
        64 => 8,
        _ => b.bits as usize / 8,
    };
    let target = b.code_target();
    let selector = far_selector(b);
    let flags = stack_flags(b);
    let data = b.random.pick(&DATA_SELECTORS);
    let values = match b.op.mnemonic() {
        M::Ret => vec![target],
        M::Retf => vec![target, selector.into()],
        M::Iret | M::Iretd | M::Iretq => {
            let stack = if b.random.chance(90) {
                0x2b
            } else {
                u64::from(data)
            };
            vec![target, selector.into(), flags, inside(b), stack]
        }
        M::Popf | M::Popfd | M::Popfq => vec![flags],
        M::Pop if is_segment(b) => vec![data.into()],
        _ => return,
    };
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes()[..word].to_vec())
        .collect();
    b.patch(b.regs.gpr[RSP], &bytes);
}

fn is_segment(b: &Builder) -> bool {
    b.instruction.op0_kind() == OpKind::Register
        && b.instruction.op0_register().is_segment_register()
}

/// Flags for POPF and IRET: single-stepping and alignment checks only now and then.
fn stack_flags(b: &mut Builder) -> u64 {
    let random = b.random.bits();
    let rare = if b.random.chance(10) {
        0
    } else {
        1 << 8 | 1 << 18
    };
    // Bits that the host's privileges protect may be anything; they must not get through.
    random & 0xffff_ffff & !rare
}
