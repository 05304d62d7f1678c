//! The pieces that the code of an operation is put together from.
//!
//! Between two operations nothing is in the host's registers but RDI, the CPU, so that handlers can take
//! over and give back at every operation.

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, DynasmLabelApi, VecAssembler};

use super::compile::Subject;
use super::stubs::Stubs;
use super::{Site, field};
use crate::code::Block;
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
}

impl Emitter<'_> {
    /// The current position.
    pub(super) fn here(&self) -> usize {
        self.asm.offset().0
    }

    /// Reads the guest's register at a byte offset, zero-extended from `size` bytes.
    pub(super) fn get(&mut self, host: u8, from: u8, size: u64) {
        let from = field::register(from);
        match size {
            1 => asm!(self, movzx Rd(host), BYTE [BYTE rdi + from]),
            2 => asm!(self, movzx Rd(host), WORD [BYTE rdi + from]),
            4 => asm!(self, mov Rd(host), DWORD [BYTE rdi + from]),
            _ => asm!(self, mov Rq(host), QWORD [BYTE rdi + from]),
        }
    }

    /// The same, sign-extended to 64 bits.
    pub(super) fn get_signed(&mut self, host: u8, from: u8, size: u64) {
        let from = field::register(from);
        match size {
            1 => asm!(self, movsx Rq(host), BYTE [BYTE rdi + from]),
            2 => asm!(self, movsx Rq(host), WORD [BYTE rdi + from]),
            4 => asm!(self, movsxd Rq(host), DWORD [BYTE rdi + from]),
            _ => asm!(self, mov Rq(host), QWORD [BYTE rdi + from]),
        }
    }

    /// Writes the guest's register. With 4 bytes the host's upper half is zero.
    pub(super) fn put(&mut self, to: u8, host: u8, size: u64) {
        let to = field::register(to);
        match size {
            1 => asm!(self, mov BYTE [BYTE rdi + to], Rb(host)),
            2 => asm!(self, mov WORD [BYTE rdi + to], Rw(host)),
            _ => asm!(self, mov QWORD [BYTE rdi + to], Rq(host)),
        }
    }

    /// Puts a constant into a register of the host.
    pub(super) fn constant(&mut self, host: u8, value: u64) {
        if value == 0 {
            asm!(self, xor Rd(host), Rd(host));
        } else if let Ok(value) = u32::try_from(value) {
            asm!(self, mov Rd(host), DWORD value as i32);
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
        asm!(self, call extern stub);
        self.jump(JNE, Tail::Handler(index));
    }

    /// Jumps to cold code.
    pub(super) fn jump(&mut self, opcode: &[u8], tail: Tail) {
        self.asm.extend(opcode);
        self.asm.push_i32(0);
        self.jumps.push((self.here(), tail));
    }

    /// Adds a constant to a field of the CPU.
    pub(super) fn add_to(&mut self, field: i8, value: i32) {
        // The assembler has no form of ADD with a short constant for memory.
        match i8::try_from(value) {
            Ok(short) => self
                .asm
                .extend(&[0x48, 0x83, 0x47, field as u8, short as u8]),
            Err(_) => asm!(self, add QWORD [BYTE rdi + field], DWORD value),
        }
    }

    /// RAX becomes the host address of the operation's memory operand.
    pub(super) fn locate(&mut self, index: usize, access: Access, size: u64) {
        let op = self.ops[index];
        self.address(&op, true);
        self.translate(index, access, size);
    }

    /// Reads memory at RAX, zero-extended.
    pub(super) fn read(&mut self, host: u8, size: u64) {
        match size {
            1 => asm!(self, movzx Rd(host), BYTE [rax]),
            2 => asm!(self, movzx Rd(host), WORD [rax]),
            4 => asm!(self, mov Rd(host), DWORD [rax]),
            _ => asm!(self, mov Rq(host), QWORD [rax]),
        }
    }

    /// Reads memory at RAX, sign-extended.
    pub(super) fn read_signed(&mut self, host: u8, size: u64) {
        match size {
            1 => asm!(self, movsx Rq(host), BYTE [rax]),
            2 => asm!(self, movsx Rq(host), WORD [rax]),
            4 => asm!(self, movsxd Rq(host), DWORD [rax]),
            _ => asm!(self, mov Rq(host), QWORD [rax]),
        }
    }

    /// Writes memory at RAX.
    pub(super) fn write(&mut self, host: u8, size: u64) {
        match size {
            1 => asm!(self, mov BYTE [rax], Rb(host)),
            2 => asm!(self, mov WORD [rax], Rw(host)),
            4 => asm!(self, mov DWORD [rax], Rd(host)),
            _ => asm!(self, mov QWORD [rax], Rq(host)),
        }
    }

    /// Has the handler of operation `index` execute it, and go on behind it. Cold code.
    pub(super) fn hand_over(&mut self, index: usize) {
        let resolve = self.stubs.resolve;
        let (number, place) = (self.subject.number as i32, self.subject.place as i32);
        aside!(self, mov eax, DWORD number; mov edx, DWORD place; call extern resolve);
        if index + 1 == self.ops.len() {
            // What ends a block looks at the block.
            aside!(self, mov QWORD [rdi + field::BLOCK], rax);
        }
        let op = (size_of::<Block>() + index * size_of::<Op>()) as i32;
        let handler = self.ops[index].func as *const () as usize;
        aside!(self, lea rsi, [rax + op]; add rdi, DWORD -field::BIAS; jmp extern handler);
    }
}
