//! FNSTENV, FLDENV, FNSAVE and FRSTOR (Intel SDM vol. 1, 8.1.10).

use super::convert::{from_m80, to_m80};
use super::exec::initialize;
use crate::state::X87;

/// The layout of an environment, which follows from operand size and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EnvFormat {
    /// Four-byte fields (the 28- and 108-byte forms) instead of two-byte ones.
    pub wide: bool,
    /// Real-address or virtual-8086 mode, where pointers are linear and the opcode is always there.
    pub real: bool,
}

impl EnvFormat {
    /// The size of the environment in bytes.
    pub(crate) fn size(self) -> usize {
        if self.wide { 28 } else { 14 }
    }

    /// The size of the environment and the registers in bytes.
    pub(crate) fn save_size(self) -> usize {
        self.size() + 80
    }
}

/// FNSTENV: stores the environment into the first [`EnvFormat::size`] bytes of `image` and masks all
/// exceptions. The buffer must be long enough.
pub(crate) fn store_environment(fpu: &mut X87, format: EnvFormat, image: &mut [u8]) {
    let opcode = u64::from(fpu.opcode & 0x7ff);
    let fields = if format.real {
        let high = |pointer: u64| {
            if format.wide {
                (pointer >> 16 & 0xffff) << 12
            } else {
                (pointer >> 16 & 15) << 12
            }
        };
        [
            fpu.ip & 0xffff,
            high(fpu.ip) | opcode,
            fpu.dp & 0xffff,
            high(fpu.dp),
        ]
    } else if format.wide {
        [fpu.ip, opcode << 16, fpu.dp, 0xffff << 16]
    } else {
        [fpu.ip, 0, fpu.dp, 0]
    };
    let width = if format.wide { 4 } else { 2 };
    // The reserved upper halves of the three control fields read as ones.
    let words = [fpu.control, fpu.status, fpu.tag].map(|word| u64::from(word) | 0xffff << 16);
    for (slot, value) in image
        .chunks_exact_mut(width)
        .zip(words.into_iter().chain(fields))
    {
        slot.copy_from_slice(&value.to_le_bytes()[..width]);
    }
    fpu.control |= 0x3f;
    fpu.update_summary();
}

/// FLDENV: loads the first [`EnvFormat::size`] bytes of `image`. Of the tags only the emptiness of
/// a register counts. An exception that is pending and unmasked then is reported later.
pub(crate) fn load_environment(fpu: &mut X87, format: EnvFormat, image: &[u8]) {
    let width = if format.wide { 4 } else { 2 };
    let field = |i: usize| {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(&image[i * width..][..width]);
        u64::from_le_bytes(bytes)
    };
    fpu.load_control(field(0) as u16);
    fpu.load_status(field(1) as u16);
    let tags = field(2) as u16;
    fpu.load_tags((0..8).fold(0, |full, i| full | u8::from(tags >> (2 * i) & 3 != 3) << i));
    if format.real {
        let high = |field: u64| (field >> 12 & 0xffff) << 16;
        fpu.ip = field(3) & 0xffff | high(field(4));
        fpu.dp = field(5) & 0xffff | high(field(6));
        fpu.opcode = (field(4) & 0x7ff) as u16;
    } else {
        fpu.ip = field(3);
        fpu.dp = field(5);
        fpu.opcode = if format.wide {
            (field(4) >> 16 & 0x7ff) as u16
        } else {
            0
        };
    }
}

/// FNSAVE: stores the environment and ST(0) to ST(7) into the first [`EnvFormat::save_size`] bytes
/// of `image` and initialises the unit.
pub(crate) fn save(fpu: &mut X87, format: EnvFormat, image: &mut [u8]) {
    let registers: [_; 8] = std::array::from_fn(|i| fpu.st(i as u8));
    let (environment, stack) = image.split_at_mut(format.size());
    store_environment(fpu, format, environment);
    for (slot, value) in stack.chunks_exact_mut(10).zip(registers) {
        let mut bytes = [0; 16];
        to_m80(value, &mut bytes);
        slot.copy_from_slice(&bytes[..10]);
    }
    initialize(fpu);
}

/// FRSTOR: loads what [`save`] stored.
pub(crate) fn restore(fpu: &mut X87, format: EnvFormat, image: &[u8]) {
    let (environment, stack) = image.split_at(format.size());
    let top = environment[if format.wide { 4 } else { 2 } + 1] >> 3 & 7;
    for (i, slot) in stack.chunks_exact(10).take(8).enumerate() {
        let mut bytes = [0; 16];
        bytes[..10].copy_from_slice(slot);
        fpu.regs[(usize::from(top) + i) & 7] = from_m80(&bytes);
    }
    load_environment(fpu, format, environment);
}
