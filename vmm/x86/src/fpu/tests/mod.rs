//! Tests of the x87 unit. The heart is the comparison of whole instructions with the host's x87.

mod coverage;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod differential;
mod golden;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod host;
mod images;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod images_on_host;
mod operands;
mod rules;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod transcendental;

use super::{Effect, FpuOp, Operand, execute, lower};
use crate::state::X87;
use iced_x86::{Code, Decoder, DecoderOptions};

/// Decodes 64-bit code.
fn decode(bytes: &[u8]) -> (Code, Option<FpuOp>) {
    let instruction = Decoder::new(64, bytes, DecoderOptions::NONE).decode();
    (instruction.code(), lower(&instruction, bytes))
}

/// Executes one instruction without a memory operand.
fn run(fpu: &mut X87, bytes: &[u8]) -> Effect {
    run_with(fpu, bytes, [0; 16]).0
}

/// Executes one instruction with a memory operand; gives the operand after it.
fn run_with(fpu: &mut X87, bytes: &[u8], operand: [u8; 16]) -> (Effect, [u8; 16]) {
    let op = decode(bytes).1.expect("an x87 instruction");
    let mut mem = Operand {
        bytes: operand,
        address: 0x1000,
    };
    let effect = execute(fpu, &op, &mut mem, 0, 0x400);
    (effect, mem.bytes)
}

/// The encodings of all x87 instructions with `[rsi]` as their memory operand, as far as `lower`
/// takes them.
fn encodings() -> impl Iterator<Item = [u8; 2]> {
    (0xd8..=0xdf)
        .flat_map(|first: u8| {
            let memory = (0..8).map(move |reg: u8| [first, reg << 3 | 6]);
            memory.chain((0xc0..=0xff).map(move |modrm: u8| [first, modrm]))
        })
        .filter(|bytes| decode(bytes).1.is_some())
}
