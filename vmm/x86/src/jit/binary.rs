//! Arithmetic and logic of two operands, with their lazy flags (see [`crate::flags`]).
//!
//! These are the most frequent operations of all, and what a cluster executes has to come from the host's
//! second cache, so that their code is as short as it can be. The assembler does not know short forms of
//! registers that are chosen at run time, so that they are put together here.

use dynasmrt::DynasmApi;

use super::emit::{AT_CPU, AT_RAX, Access, DIRECT, Emitter, RCX, RDX, asm};
use super::{field, flagging};
use crate::flags::{NO_CARRIES, OF_ADD, OF_SUB};
use crate::lower::Form;

/// An operation on two operands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Sub,
    Cmp,
    And,
    Test,
    Or,
    Xor,
}

impl Binary {
    /// Whether the result replaces the first operand.
    pub(super) fn writes(self) -> bool {
        !matches!(self, Self::Cmp | Self::Test)
    }

    /// Whether it works bit by bit, so that there are no carries.
    fn is_logic(self) -> bool {
        !matches!(self, Self::Add | Self::Sub | Self::Cmp)
    }

    /// The number of the host's instruction among the eight of its kind (Intel SDM vol. 2, table A-6,
    /// group 1).
    fn number(self) -> u8 {
        match self {
            Self::Add => 0,
            Self::Or => 1,
            Self::And | Self::Test => 4,
            Self::Sub | Self::Cmp => 5,
            Self::Xor => 6,
        }
    }

    /// What describes its flags.
    fn meta(self, size: u64) -> u8 {
        let kind = match self {
            Self::Add => OF_ADD,
            Self::Sub | Self::Cmp => OF_SUB,
            _ => NO_CARRIES,
        };
        top(size) | kind
    }
}

/// The second operand of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Second {
    /// In RCX.
    Rcx,
    /// The guest's register at this offset.
    Register(u8),
    /// Memory at RAX.
    Memory,
    /// A constant that is sign-extended from 32 bits or from the operand's size.
    Constant(i32),
}

/// The index of the top bit.
pub(super) fn top(size: u64) -> u8 {
    size as u8 * 8 - 1
}

impl Emitter<'_> {
    /// Emits the code of an operation on two operands.
    pub(super) fn two_operands(
        &mut self,
        index: usize,
        kind: Binary,
        form: Form,
        size: u64,
        flags: bool,
    ) {
        let op = self.ops[index];
        let second = match form {
            Form::RR | Form::MR => Second::Register(op.src),
            Form::RM => Second::Memory,
            _ => Second::Constant(op.imm as i32),
        };
        match form {
            Form::RR | Form::RI => self.with_register(kind, op.dst, second, size, flags),
            Form::RM => {
                self.locate(index, Access::Read, size);
                self.with_register(kind, op.dst, second, size, flags);
            }
            _ => self.with_memory(index, kind, second, size, flags),
        }
    }

    /// The first operand is a register. If the second one is memory, it is at RAX.
    pub(super) fn with_register(
        &mut self,
        kind: Binary,
        dst: u8,
        second: Second,
        size: u64,
        flags: bool,
    ) {
        let writes = kind.writes();
        match second {
            _ if !writes && !flags => {}
            Second::Register(src) if kind == Binary::Test && src == dst => {
                self.test_itself(dst, size);
            }
            Second::Constant(_) | Second::Register(_) if !flags && size == 8 => {
                self.change(kind, size, second, AT_CPU, &[field::register(dst) as u8]);
            }
            _ => {
                self.get(RDX, dst, size);
                self.combine(kind, size, second, flags);
                if writes {
                    self.put(dst, RDX, size);
                }
            }
        }
    }

    /// The first operand is in memory.
    fn with_memory(&mut self, index: usize, kind: Binary, second: Second, size: u64, flags: bool) {
        let writes = kind.writes();
        let access = if writes { Access::Write } else { Access::Read };
        self.locate(index, access, size);
        if flags {
            self.read(RDX, size);
            self.combine(kind, size, second, true);
            if writes {
                self.write(RDX, size);
            }
        } else if writes {
            self.change(kind, size, second, AT_RAX, &[]);
        }
    }

    /// RDX, zero-extended, becomes RDX op `second`, with the flags if `flags` is set. The host's flags are
    /// then the guest's. Changes RCX and R8.
    pub(super) fn combine(&mut self, op: Binary, size: u64, second: Second, flags: bool) {
        let mut second = second;
        if flags && !op.is_logic() && !matches!(second, Second::Constant(_)) {
            // It is needed twice.
            match second {
                Second::Register(from) => self.get(RCX, from, size),
                Second::Memory => self.read(RCX, size),
                _ => {}
            }
            second = Second::Rcx;
        }
        self.host(op, size, second);
        if !flags {
            return;
        }
        // A mask without the sign leaves no sign.
        let plain =
            size == 8 || matches!(second, Second::Constant(mask) if positive(op, mask, size));
        self.result(if plain { 8 } else { size });
        match second {
            _ if op.is_logic() => {}
            Second::Constant(value) => self.carry_constant(value, size),
            _ => asm!(self, mov QWORD [BYTE rdi + field::CARRY], rcx),
        }
        self.meta(op.meta(size));
        self.flags_at_hand = true;
    }

    /// The carries are those of a constant, of which no more counts than the operand is long.
    fn carry_constant(&mut self, value: i32, size: u64) {
        match size {
            1 => asm!(self, mov BYTE [BYTE rdi + field::CARRY], value as i8),
            8 => asm!(self, mov QWORD [BYTE rdi + field::CARRY], value),
            _ => asm!(self, mov DWORD [BYTE rdi + field::CARRY], value),
        }
    }

    /// What describes the flags.
    fn meta(&mut self, meta: u8) {
        asm!(self, mov BYTE [BYTE rdi + field::META], meta as i8);
    }

    /// The host's instruction on RDX.
    fn host(&mut self, op: Binary, size: u64, second: Second) {
        if matches!(second, Second::Constant(_)) {
            return self.change(op, size, second, DIRECT | RDX, &[]);
        }
        let register;
        let (mode, rest): (u8, &[u8]) = match second {
            Second::Register(from) => {
                register = [field::register(from) as u8];
                (AT_CPU, &register)
            }
            Second::Memory => (AT_RAX, &[]),
            _ => (DIRECT | RCX, &[]),
        };
        let opcode = op.number() << 3 | 2 | u8::from(size > 1);
        self.instruction(size, &[opcode], RDX, mode, rest);
    }

    /// What the addressing bits and the rest of them say becomes that op `second`, which is not in memory,
    /// without flags. Changes RCX.
    fn change(&mut self, op: Binary, size: u64, second: Second, mode: u8, rest: &[u8]) {
        if let Second::Register(from) = second {
            self.get(RCX, from, size);
        }
        let Second::Constant(value) = second else {
            let opcode = op.number() << 3 | u8::from(size > 1);
            return self.instruction(size, &[opcode], RCX, mode, rest);
        };
        let short = i8::try_from(value).ok();
        let opcode = match (size, short) {
            (1, _) => 0x80,
            (_, Some(_)) => 0x83,
            _ => 0x81,
        };
        self.instruction(size, &[opcode], op.number(), mode, rest);
        match (size, short) {
            (1, _) => self.asm.push(value as u8),
            (_, Some(short)) => self.asm.push(short as u8),
            (2, _) => self.asm.extend(&(value as u16).to_le_bytes()),
            _ => self.asm.push_i32(value),
        }
    }

    /// A register of the guest is tested against itself.
    fn test_itself(&mut self, from: u8, size: u64) {
        self.get(RDX, from, size);
        match size {
            1 => asm!(self, test dl, dl),
            2 => asm!(self, test dx, dx),
            4 => asm!(self, test edx, edx),
            _ => asm!(self, test rdx, rdx),
        }
        self.result(size);
        self.meta(Binary::Test.meta(size));
        self.flags_at_hand = true;
    }

    /// The flags of a result of zero, which is in RDX.
    pub(super) fn zero_flags(&mut self) {
        asm!(self, mov QWORD [BYTE rdi + field::RESULT], rdx);
        self.meta(Binary::Xor.meta(8));
    }

    /// The result in RDX. Changes R8.
    fn result(&mut self, size: u64) {
        flagging::result(&mut self.asm, size);
    }
}

/// Whether the result of an operation by a constant has no sign.
fn positive(op: Binary, mask: i32, size: u64) -> bool {
    let negative = mask as u64 >> top(size) & 1 != 0;
    matches!(op, Binary::And | Binary::Test) && !negative
}
