//! Guest programs, assembled by iced-x86.

use iced_x86::code_asm::CodeAssembler;
use iced_x86::{BlockEncoderOptions, IcedError};

/// Something that emits instructions.
pub type Emit = fn(&mut CodeAssembler) -> Result<(), IcedError>;

/// An assembled program.
#[derive(Debug, Clone)]
pub struct Program {
    /// The address of its first byte.
    pub base: u64,
    /// Its machine code.
    pub bytes: Vec<u8>,
    starts: Vec<u64>,
}

impl Program {
    /// Assembles what `write` emits for `bits` (16, 32 or 64) at `base`.
    pub fn new(
        base: u64,
        bits: u32,
        write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
    ) -> Self {
        let mut assembler = CodeAssembler::new(bits).expect("the width is one that exists");
        write(&mut assembler).expect("the program uses instructions that exist");
        let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
        let result = assembler
            .assemble_options(base, options)
            .expect("the program can be encoded")
            .inner;
        let starts = result
            .new_instruction_offsets
            .iter()
            .map(|&offset| base + u64::from(offset))
            .collect();
        Self {
            base,
            bytes: result.code_buffer,
            starts,
        }
    }

    /// The address of instruction `n`, counted from zero.
    pub fn at(&self, n: usize) -> u64 {
        self.starts[n]
    }

    /// The address behind the last instruction.
    pub fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }
}
