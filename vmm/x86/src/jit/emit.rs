//! The pieces that the code of an operation is put together from.
//!
//! Between two operations nothing is in the host's registers but RDI, the CPU, so that handlers can take
//! over and give back. The host's flags may be the guest's: what goes by them has no entry for handlers, and
//! is left to its own by those who come from one.

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, DynasmLabelApi, VecAssembler};

use super::compile::Subject;
use super::stubs::Stubs;
use super::{Site, field};
use crate::block::Block;
use crate::cpu::{seg, slot};
use crate::op::Op;

/// An assembler.
pub(super) type Asm = VecAssembler<X64Relocation>;

/// Appends instructions.
macro_rules! asm {
    ($emitter:expr, $($code:tt)*) => {
        dynasmrt::dynasm!($emitter.asm ; .arch x64 ; $($code)*)
    };
}
pub(super) use asm;

/// Appends instructions to the cold code.
macro_rules! aside {
    ($emitter:expr, $($code:tt)*) => {
        dynasmrt::dynasm!($emitter.cold ; .arch x64 ; $($code)*)
    };
}
pub(super) use aside;

/// The host's registers that operations are made of, by their encoding.
pub(super) const RAX: u8 = 0;
pub(super) const RCX: u8 = 1;
pub(super) const RDX: u8 = 2;
pub(super) const R11: u8 = 11;

/// JAE, JE, JNE, JBE, JA, JS and JMP with an operand of 32 bits.
pub(super) const JAE: &[u8] = &[0x0f, 0x83];
pub(super) const JE: &[u8] = &[0x0f, 0x84];
pub(super) const JNE: &[u8] = &[0x0f, 0x85];
pub(super) const JBE: &[u8] = &[0x0f, 0x86];
pub(super) const JA: &[u8] = &[0x0f, 0x87];
pub(super) const JS: &[u8] = &[0x0f, 0x88];
pub(super) const JMP: &[u8] = &[0xe9];

/// Addressing bits (Intel SDM vol. 2, table 2-2) of a field of the CPU, with a displacement of one byte.
pub(super) const AT_CPU: u8 = 0x47;
/// The same of memory at RAX.
pub(super) const AT_RAX: u8 = 0;
/// The same of memory at RAX, with a displacement of one byte.
pub(super) const NEAR_RAX: u8 = 0x40;
/// The same of a register of the host, whose encoding is added.
pub(super) const DIRECT: u8 = 0xc0;

const ZERO: u8 = slot::ZERO as u8 * 8;
const RIP: u8 = slot::RIP as u8 * 8;
const SEGMENT_FS: u8 = (slot::SEGMENTS + seg::FS) as u8 * 8;

/// What is done to memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Where a jump leads that is not taken usually, or not for long.
#[derive(Clone, Copy)]
pub(super) enum Tail {
    /// To the handler of the operation with this index.
    Handler(usize),
    /// To the run loop, because the budget does not cover the block.
    Over,
    /// To what finds the block that the exit with this index leads to.
    Link(usize),
}

/// How code goes on behind an exit, and what finds the way the first time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// In the same page, at the site's place.
    Near,
    /// Anywhere; RAX says where.
    Far,
}

/// A jump out of the block that is to lead straight into another one once that is compiled.
pub(super) struct Exit {
    /// What is known of it once the code has its place.
    pub site: Box<Site>,
    pub way: Way,
    /// Behind the jump's 32-bit operand.
    pub jump: usize,
    /// Behind the 32-bit operand that says which offset the jump is for, if it leaves the page.
    pub offset: Option<usize>,
}

/// Code for one block, as it is being made: what is usually executed, and the rest, which lies elsewhere so
/// that the usual lies close together.
pub(super) struct Emitter<'a> {
    pub asm: Asm,
    pub cold: Asm,
    pub stubs: &'a Stubs,
    pub subject: &'a Subject<'a>,
    /// The block's operations.
    pub ops: &'a [Op],
    /// Jumps to the cold code, by the positions behind them.
    pub jumps: Vec<(usize, Tail)>,
    /// Jumps within the code that have no target yet, and their targets.
    pub patches: Vec<(usize, usize)>,
    /// Jumps to other blocks.
    pub exits: Vec<Exit>,
    /// Where handlers may enter: operations and the positions of their code.
    pub entries: Vec<(usize, usize)>,
    /// Where stubs come back to that may fail, and whose handlers take over then.
    pub returns: Vec<(usize, usize)>,
    /// Whether the host's flags are the guest's.
    pub flags_at_hand: bool,
}

impl Emitter<'_> {
    /// The current position.
    pub(super) fn here(&self) -> usize {
        self.asm.offset().0
    }

    /// Reads the guest's register at a byte offset, zero-extended from `size` bytes.
    pub(super) fn get(&mut self, host: u8, from: u8, size: u64) {
        self.load(host, size, AT_CPU, &[field::register(from) as u8]);
    }

    /// The same, sign-extended to 64 bits.
    pub(super) fn get_signed(&mut self, host: u8, from: u8, size: u64) {
        self.load_signed(host, size, AT_CPU, &[field::register(from) as u8]);
    }

    /// Writes the guest's register. With 4 bytes the host's upper half is zero.
    pub(super) fn put(&mut self, to: u8, host: u8, size: u64) {
        let size = if size == 4 { 8 } else { size };
        self.save(host, size, AT_CPU, &[field::register(to) as u8]);
    }

    /// MOV or MOVZX to a register of the host from what the addressing bits and the rest of them say.
    pub(super) fn load(&mut self, host: u8, size: u64, mode: u8, rest: &[u8]) {
        let opcode: &[u8] = match size {
            1 => &[0x0f, 0xb6],
            2 => &[0x0f, 0xb7],
            _ => &[0x8b],
        };
        self.instruction(size.max(4), opcode, host, mode, rest);
    }

    /// MOV, MOVSX or MOVSXD.
    fn load_signed(&mut self, host: u8, size: u64, mode: u8, rest: &[u8]) {
        let opcode: &[u8] = match size {
            1 => &[0x0f, 0xbe],
            2 => &[0x0f, 0xbf],
            4 => &[0x63],
            _ => &[0x8b],
        };
        self.instruction(8, opcode, host, mode, rest);
    }

    /// MOV from a register of the host.
    pub(super) fn save(&mut self, host: u8, size: u64, mode: u8, rest: &[u8]) {
        let opcode = if size == 1 { 0x88 } else { 0x89 };
        self.instruction(size, &[opcode], host, mode, rest);
    }

    /// An instruction on a register and what the addressing bits and the rest of them say, of a size that
    /// its prefixes tell. It has no more of these than it needs: the assembler does not know which registers
    /// need none.
    pub(super) fn instruction(
        &mut self,
        size: u64,
        opcode: &[u8],
        host: u8,
        mode: u8,
        rest: &[u8],
    ) {
        if size == 2 {
            self.asm.push(0x66);
        }
        let prefix = u8::from(size == 8) << 3 | (host >> 3) << 2;
        if prefix != 0 {
            self.asm.push(0x40 | prefix);
        }
        self.asm.extend(opcode);
        self.asm.push(mode | (host & 7) << 3);
        self.asm.extend(rest);
    }

    /// Puts a constant into a register of the host.
    pub(super) fn constant(&mut self, host: u8, value: u64) {
        assert!(host < 8, "this register needs a prefix");
        if value == 0 {
            self.instruction(4, &[0x31], host, DIRECT | host, &[]);
        } else if let Ok(value) = u32::try_from(value) {
            self.asm.push(0xb8 | host);
            self.asm.push_i32(value as i32);
        } else if let Ok(value) = i32::try_from(value as i64) {
            asm!(self, mov Rq(host), DWORD value);
        } else {
            asm!(self, mov Rq(host), QWORD value as i64);
        }
    }

    /// RAX becomes the effective address of the operation's memory operand, with the segment's base if
    /// that is asked for. Changes RCX.
    pub(super) fn address(&mut self, op: &Op, with_segment: bool) {
        let disp = op.disp;
        if op.base == RIP {
            // The slot is not kept up by compiled code.
            let place = i64::from(self.subject.place).wrapping_add(disp.into());
            self.constant(RAX, place as u64);
            asm!(self, sub rax, QWORD [BYTE rdi + field::CODE_PLACE]);
        } else if op.base == ZERO {
            if op.index == ZERO {
                self.constant(RAX, disp as i64 as u64);
            } else {
                self.get(RAX, op.index, 8);
                self.scale(op.scale);
                self.displace(disp);
            }
        } else {
            self.get(RAX, op.base, 8);
            if op.index == ZERO {
                self.displace(disp);
            } else {
                self.get(RCX, op.index, 8);
                match op.scale {
                    0 => asm!(self, lea rax, [rax + rcx + disp]),
                    1 => asm!(self, lea rax, [rax + rcx * 2 + disp]),
                    2 => asm!(self, lea rax, [rax + rcx * 4 + disp]),
                    _ => asm!(self, lea rax, [rax + rcx * 8 + disp]),
                }
            }
        }
        if op.asize & 3 == 1 {
            asm!(self, mov eax, eax);
        }
        if with_segment && op.seg >= SEGMENT_FS {
            let base = field::register(op.seg);
            asm!(self, add rax, QWORD [BYTE rdi + base]);
        }
    }

    fn scale(&mut self, scale: u8) {
        if scale > 0 {
            asm!(self, shl rax, BYTE scale as i8);
        }
    }

    /// Adds a constant to RAX.
    pub(super) fn displace(&mut self, disp: i32) {
        if let Ok(short) = i8::try_from(disp) {
            if short != 0 {
                asm!(self, add rax, BYTE short);
            }
        } else {
            asm!(self, add rax, DWORD disp);
        }
    }

    /// RAX, a linear address, becomes the host's; if the TLB does not have it, the handler of operation
    /// `index` takes over. Changes RCX and RDX.
    pub(super) fn translate(&mut self, index: usize, access: Access, size: u64) {
        let table = match access {
            Access::Read => &self.stubs.read,
            Access::Write => &self.stubs.write,
        };
        let stub = table[size.trailing_zeros() as usize];
        self.call_or_hand_over(index, stub);
    }

    /// Calls a stub; if that fails, the handler of operation `index` takes over.
    pub(super) fn call_or_hand_over(&mut self, index: usize, stub: usize) {
        asm!(self, call extern stub);
        self.returns.push((self.here(), index));
    }

    /// Jumps to cold code.
    pub(super) fn jump(&mut self, opcode: &[u8], tail: Tail) {
        self.asm.extend(opcode);
        self.asm.push_i32(0);
        self.jumps.push((self.here(), tail));
    }

    /// Takes the block's instructions from the budget, which a chain of blocks leaves at less than 32 bits.
    pub(super) fn pay(&mut self) {
        // SUB of a short constant from memory, which the assembler has no form of.
        let len = self.subject.len;
        assert!(len <= i8::MAX as u8);
        self.asm.extend(&[0x83, 0x6f, field::BUDGET as u8, len]);
    }

    /// RAX becomes the host address of the operation's memory operand.
    pub(super) fn locate(&mut self, index: usize, access: Access, size: u64) {
        let op = self.ops[index];
        self.address(&op, true);
        self.translate(index, access, size);
    }

    /// Reads memory at RAX, zero-extended.
    pub(super) fn read(&mut self, host: u8, size: u64) {
        self.load(host, size, AT_RAX, &[]);
    }

    /// Reads memory at RAX, sign-extended.
    pub(super) fn read_signed(&mut self, host: u8, size: u64) {
        self.load_signed(host, size, AT_RAX, &[]);
    }

    /// Writes memory at RAX.
    pub(super) fn write(&mut self, host: u8, size: u64) {
        self.save(host, size, AT_RAX, &[]);
    }

    /// Leaves operation `index` to its handler, which goes on behind it. Cold code.
    pub(super) fn hand_over(&mut self, index: usize) {
        let resolve = self.stubs.resolve;
        let (number, place) = (self.subject.number as i32, self.subject.place as i32);
        aside!(self, mov eax, DWORD number; mov edx, DWORD place; call extern resolve);
        // What ends a block looks at it.
        aside!(self, mov QWORD [rdi + field::BLOCK], rax);
        let op = (size_of::<Block>() + index * size_of::<Op>()) as i32;
        let handler = self.ops[index].func as *const () as usize;
        aside!(self, lea rsi, [rax + op]; add rdi, DWORD -field::BIAS; jmp extern handler);
    }
}
