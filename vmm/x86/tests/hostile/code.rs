//! The bytes of cases: pure noise, and instructions that are valid or nearly so.

use iced_x86::{Code, EncodingKind, MandatoryPrefix, OpCodeInfo, OpCodeTableKind};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::values::Values;

/// The bytes in front of the code: the mode and the seed of the machine.
pub const HEADER: usize = 9;

/// How many modes the first byte chooses from.
pub const MODES: u8 = 9;

/// The bytes of case `index`.
pub fn case(seed: u64, stream: u64, index: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng.set_word_pos(u128::from(index) << 12);
    let mut data = vec![rng.next_u64() as u8 % MODES];
    data.extend(rng.next_u64().to_le_bytes());
    let mut values = Values::new(rng.next_u64());
    let noise = values.below(4) == 0;
    let length = HEADER + 64 + values.below(700) as usize;
    while data.len() < length {
        if noise {
            data.push(values.bits() as u8);
        } else {
            data.extend(instruction(&mut values));
        }
    }
    data
}

/// An instruction, sometimes with a bit flipped or its end missing.
fn instruction(values: &mut Values) -> Vec<u8> {
    let op = loop {
        let code = Code::try_from(values.below(Code::values().len() as u64) as usize)
            .expect("codes are numbered from zero");
        if code.op_code().is_instruction() && code.op_code().encoding() == EncodingKind::Legacy {
            break code.op_code();
        }
    };
    let mut bytes = prefixes(op, values);
    bytes.extend(opcode(op));
    bytes.extend(operands(op, values));
    if values.chance(10) {
        let at = values.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << values.below(8);
    }
    if values.chance(2) {
        bytes.truncate(1 + values.below(bytes.len() as u64) as usize);
    }
    bytes
}

fn prefixes(op: &OpCodeInfo, values: &mut Values) -> Vec<u8> {
    let mut bytes = Vec::new();
    while values.chance(12) {
        let all = [
            0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3,
        ];
        bytes.push(values.pick(&all));
    }
    bytes.extend(match op.mandatory_prefix() {
        MandatoryPrefix::P66 => Some(0x66),
        MandatoryPrefix::PF3 => Some(0xf3),
        MandatoryPrefix::PF2 => Some(0xf2),
        _ => None,
    });
    if op.operand_size() == 64 || values.chance(10) {
        bytes.push(0x48 | values.bits() as u8 & 7);
    }
    bytes
}

fn opcode(op: &OpCodeInfo) -> Vec<u8> {
    let mut bytes = match op.table() {
        OpCodeTableKind::T0F => vec![0x0f],
        OpCodeTableKind::T0F38 => vec![0x0f, 0x38],
        OpCodeTableKind::T0F3A => vec![0x0f, 0x3a],
        _ => vec![],
    };
    let value = op.op_code();
    if op.op_code_len() == 2 {
        bytes.push((value >> 8) as u8);
    }
    bytes.push(value as u8);
    bytes
}

/// A ModRM byte, an address and immediates, whether the instruction has them or not: what is too
/// much becomes the next instruction.
fn operands(op: &OpCodeInfo, values: &mut Values) -> Vec<u8> {
    let mut bytes = Vec::new();
    if op.is_group() || op.op_count() > 0 && values.chance(90) {
        let mut modrm = values.pick(&[0, 0, 0x40, 0xc0, 0xc0, 0x80]) | values.bits() as u8 & 0x3f;
        if op.is_group() {
            modrm = modrm & !0x38 | (op.group_index() as u8) << 3;
        }
        bytes.push(modrm);
        if modrm & 7 == 4 && modrm < 0xc0 {
            bytes.push(values.bits() as u8);
        }
        if modrm & 0xc0 == 0x40 {
            bytes.push(values.bits() as u8);
        }
    }
    let immediate = values.pick(&[0_usize, 0, 1, 4, 8]);
    let value = if values.chance(60) {
        values.below(256)
    } else {
        values.bits()
    };
    bytes.extend(&value.to_le_bytes()[..immediate]);
    bytes
}
