//! Arithmetic, logic and shifts with their lazy flags (see [`crate::flags`]).

use dynasmrt::{DynasmApi, DynasmLabelApi};

use super::emit::{Emitter, RAX, RCX, RDX, asm};
use super::field;
use crate::flags::{CORRECTIONS as FLIPS, OF_ADD, OF_SUB};

/// Corrections to flags in their description.
const CORRECTIONS: i32 = FLIPS as i32;

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
}

/// A shift by a constant.
#[derive(Clone, Copy)]
pub(super) enum Shift {
    Left,
    Right,
    Arithmetic,
}

/// What is done to a bit that is tested.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bit {
    Test,
    Set,
    Reset,
    Complement,
}

fn top(size: u64) -> i32 {
    size as i32 * 8 - 1
}

impl Emitter<'_> {
    /// RDX = RAX op RCX, both zero-extended; with the flags if `flags` is set. Keeps RAX and RCX.
    pub(super) fn binary(&mut self, op: Binary, size: u64, flags: bool) {
        if !op.writes() && !flags {
            return;
        }
        asm!(self, mov rdx, rax);
        match op {
            Binary::Add => asm!(self, add rdx, rcx),
            Binary::Sub | Binary::Cmp => asm!(self, sub rdx, rcx),
            Binary::And | Binary::Test => asm!(self, and rdx, rcx),
            Binary::Or => asm!(self, or rdx, rcx),
            Binary::Xor => asm!(self, xor rdx, rcx),
        }
        if size == 4 {
            asm!(self, mov edx, edx);
        }
        if !flags {
            return;
        }
        self.result(size);
        let kind = match op {
            Binary::Add => OF_ADD,
            Binary::Sub | Binary::Cmp => OF_SUB,
            _ => {
                asm!(self, mov QWORD [BYTE rdi + field::CARRY], 0);
                0
            }
        };
        if kind != 0 {
            asm!(self, mov QWORD [BYTE rdi + field::CARRY], rcx);
        }
        asm!(self, mov DWORD [BYTE rdi + field::META], top(size) | kind as i32);
    }

    /// The result in RDX. Changes R8.
    fn result(&mut self, size: u64) {
        match size {
            1 => asm!(self, movsx r8, dl),
            2 => asm!(self, movsx r8, dx),
            4 => asm!(self, movsxd r8, edx),
            _ => return asm!(self, mov QWORD [BYTE rdi + field::RESULT], rdx),
        }
        asm!(self, mov QWORD [BYTE rdi + field::RESULT], r8);
    }

    /// Compares RAX and RCX as the host does.
    pub(super) fn compare(&mut self, size: u64) {
        match size {
            1 => asm!(self, cmp al, cl),
            2 => asm!(self, cmp ax, cx),
            4 => asm!(self, cmp eax, ecx),
            _ => asm!(self, cmp rax, rcx),
        }
    }

    /// Tests RAX and RCX as the host does.
    pub(super) fn test(&mut self, size: u64) {
        match size {
            1 => asm!(self, test al, cl),
            2 => asm!(self, test ax, cx),
            4 => asm!(self, test eax, ecx),
            _ => asm!(self, test rax, rcx),
        }
    }

    /// RDX = RAX + 1 or RAX - 1; CF stays. Changes everything but RAX.
    pub(super) fn step(&mut self, up: bool, size: u64, flags: bool) {
        if flags {
            self.carry();
            asm!(self, setc r10b);
        }
        asm!(self, mov rdx, rax);
        match (up, size) {
            (true, 1) => asm!(self, inc dl),
            (true, 2) => asm!(self, inc dx),
            (true, 4) => asm!(self, inc edx),
            (true, _) => asm!(self, inc rdx),
            (false, 1) => asm!(self, dec dl),
            (false, 2) => asm!(self, dec dx),
            (false, 4) => asm!(self, dec edx),
            (false, _) => asm!(self, dec rdx),
        }
        if !flags {
            return;
        }
        asm!(self, seto r9b);
        self.result(size);
        // AF is the carry into bit 4; it is kept as the carry out of bit 3.
        asm!(self, mov rcx, rax; xor rcx, rdx; shr ecx, 1; and ecx, 8);
        asm!(self, xor r9b, r10b);
        self.carries();
        asm!(self, or r10, rcx; mov QWORD [BYTE rdi + field::CARRY], r10);
        asm!(self, mov DWORD [BYTE rdi + field::META], 63);
    }

    /// R10 becomes the carries of CF in R10B and CF xor OF in R9B.
    fn carries(&mut self) {
        asm!(self, movzx r9d, r9b; movzx r10d, r10b; shl r9, 62; shl r10, 63; or r10, r9);
    }

    /// RDX = RAX shifted by `count`, which is not zero and less than the operand is wide.
    pub(super) fn shift(&mut self, shift: Shift, count: u8, size: u64, flags: bool) {
        let count = count as i8;
        asm!(self, mov rdx, rax);
        match (shift, size) {
            (Shift::Left, 1) => asm!(self, shl dl, BYTE count),
            (Shift::Left, 2) => asm!(self, shl dx, BYTE count),
            (Shift::Left, 4) => asm!(self, shl edx, BYTE count),
            (Shift::Left, _) => asm!(self, shl rdx, BYTE count),
            (Shift::Right, 1) => asm!(self, shr dl, BYTE count),
            (Shift::Right, 2) => asm!(self, shr dx, BYTE count),
            (Shift::Right, 4) => asm!(self, shr edx, BYTE count),
            (Shift::Right, _) => asm!(self, shr rdx, BYTE count),
            (Shift::Arithmetic, 1) => asm!(self, sar dl, BYTE count),
            (Shift::Arithmetic, 2) => asm!(self, sar dx, BYTE count),
            (Shift::Arithmetic, 4) => asm!(self, sar edx, BYTE count),
            (Shift::Arithmetic, _) => asm!(self, sar rdx, BYTE count),
        }
        if flags {
            self.shift_flags(shift, size);
        }
    }

    /// RDX = RAX shifted by the low bits of CL; 4 or 8 bytes. A count of zero leaves the flags alone.
    pub(super) fn shift_by_cl(&mut self, shift: Shift, size: u64) {
        let done = self.asm.new_dynamic_label();
        asm!(self, mov rdx, rax; test cl, BYTE top(size) as i8; jz =>done);
        match (shift, size) {
            (Shift::Left, 4) => asm!(self, shl edx, cl),
            (Shift::Left, _) => asm!(self, shl rdx, cl),
            (Shift::Right, 4) => asm!(self, shr edx, cl),
            (Shift::Right, _) => asm!(self, shr rdx, cl),
            (Shift::Arithmetic, 4) => asm!(self, sar edx, cl),
            (Shift::Arithmetic, _) => asm!(self, sar rdx, cl),
        }
        self.shift_flags(shift, size);
        asm!(self, =>done);
    }

    /// The flags of a shift from RAX to RDX; the host's CF is CF.
    fn shift_flags(&mut self, shift: Shift, size: u64) {
        let top = top(size) as i8;
        asm!(self, setc r10b);
        self.result(size);
        match shift {
            // OF is CF xor the result's sign.
            Shift::Left => asm!(self, mov r9, rdx; shr r9, BYTE top; and r9d, 1),
            // OF is the operand's sign.
            Shift::Right => asm!(self, mov r9, rax; shr r9, BYTE top; xor r9b, r10b),
            // OF is clear.
            Shift::Arithmetic => asm!(self, mov r9d, r10d),
        }
        self.carries();
        asm!(self, mov QWORD [BYTE rdi + field::CARRY], r10);
        asm!(self, mov DWORD [BYTE rdi + field::META], 63);
    }

    /// R11 = R11 rotated by a constant; only CF and OF change.
    pub(super) fn rotate(&mut self, left: bool, count: u8, size: u64) {
        let (count, top) = (count as i8, top(size) as i8);
        match (left, size) {
            (true, 2) => asm!(self, rol r11w, BYTE count),
            (true, 4) => asm!(self, rol r11d, BYTE count),
            (true, _) => asm!(self, rol r11, BYTE count),
            (false, 2) => asm!(self, ror r11w, BYTE count),
            (false, 4) => asm!(self, ror r11d, BYTE count),
            (false, _) => asm!(self, ror r11, BYTE count),
        }
        self.carry_vector();
        asm!(self, and edx, 8; mov r9, r11; mov r10, r11);
        if left {
            // CF is the lowest bit, OF is that xor the highest.
            asm!(self, shr r9, BYTE top);
        } else {
            // CF is the highest bit, OF is that xor the one below it.
            asm!(self, shr r10, BYTE top; shr r9, BYTE top - 1);
        }
        asm!(self, and r9d, 1; and r10d, 1);
        self.carries();
        self.replace_carry();
    }

    /// The flags stay but for CF and OF, which R10 holds, and AF, which RDX holds. Changes RCX.
    fn replace_carry(&mut self) {
        asm!(self, or r10, rdx; mov QWORD [BYTE rdi + field::CARRY], r10);
        // The corrections to other flags stay.
        asm!(self, mov ecx, DWORD [BYTE rdi + field::META]; and ecx, CORRECTIONS; or ecx, 63);
        asm!(self, mov DWORD [BYTE rdi + field::META], ecx);
    }

    /// R8 becomes CF. Leaves RAX and R11 as they are.
    pub(super) fn carry_in(&mut self) {
        self.carry();
        asm!(self, setc r8b; movzx r8d, r8b);
    }

    /// RDX = RAX + RCX + R8, or RAX - RCX - R8.
    pub(super) fn with_carry(&mut self, add: bool, size: u64) {
        asm!(self, mov rdx, rax);
        if add {
            asm!(self, add rdx, rcx; add rdx, r8);
        } else {
            asm!(self, sub rdx, rcx; sub rdx, r8);
        }
        if size == 4 {
            asm!(self, mov edx, edx);
        }
        self.result(size);
        if add {
            asm!(self, mov r8, rax; and r8, rcx; mov r9, rax; or r9, rcx; mov r10, rdx);
            asm!(self, not r10; and r9, r10; or r8, r9);
        } else {
            asm!(self, mov r8, rax; not r8; mov r9, r8; and r9, rcx; or r8, rcx);
            asm!(self, and r8, rdx; or r8, r9);
        }
        asm!(self, mov QWORD [BYTE rdi + field::CARRY], r8);
        asm!(self, mov DWORD [BYTE rdi + field::META], top(size));
    }

    /// RDX:RAX = RAX * RCX; 4 or 8 bytes.
    pub(super) fn multiply_wide(&mut self, signed: bool, size: u64, flags: bool) {
        match (signed, size) {
            (false, 4) => asm!(self, mul ecx),
            (false, _) => asm!(self, mul rcx),
            (true, 4) => asm!(self, imul ecx),
            (true, _) => asm!(self, imul rcx),
        }
        if !flags {
            return;
        }
        asm!(self, setc r10b; mov r11, rdx; mov rdx, rax);
        self.result(size);
        asm!(self, mov rdx, r11; movzx r10d, r10b; shl r10, 63);
        asm!(self, mov QWORD [BYTE rdi + field::CARRY], r10);
        asm!(self, mov DWORD [BYTE rdi + field::META], 63);
    }

    /// RDX = RAX * RCX, signed; 4 or 8 bytes.
    pub(super) fn multiply(&mut self, size: u64, flags: bool) {
        asm!(self, mov rdx, rax);
        match size {
            4 => asm!(self, imul edx, ecx),
            _ => asm!(self, imul rdx, rcx),
        }
        if flags {
            asm!(self, setc r10b);
            self.result(size);
            asm!(self, movzx r10d, r10b; shl r10, 63; mov QWORD [BYTE rdi + field::CARRY], r10);
            asm!(self, mov DWORD [BYTE rdi + field::META], 63);
        }
    }

    /// CF becomes the bit of RAX that the low bits of RCX say; the other flags stay.
    pub(super) fn bit_test(&mut self, size: u64) {
        match size {
            2 => asm!(self, bt ax, cx),
            4 => asm!(self, bt eax, ecx),
            _ => asm!(self, bt rax, rcx),
        }
        asm!(self, setc r11b);
        self.overflow();
        asm!(self, setc r9b; xor r9b, r11b; mov r10d, r11d; and edx, 8);
        self.carries();
        self.replace_carry();
    }

    /// RDX = RAX with the bit changed that the low bits of RCX say. Keeps RAX and RCX.
    pub(super) fn change_bit(&mut self, change: Bit, size: u64) {
        asm!(self, mov rdx, rax);
        match (change, size) {
            (Bit::Test, _) => {}
            (Bit::Set, 2) => asm!(self, bts dx, cx),
            (Bit::Set, 4) => asm!(self, bts edx, ecx),
            (Bit::Set, _) => asm!(self, bts rdx, rcx),
            (Bit::Reset, 2) => asm!(self, btr dx, cx),
            (Bit::Reset, 4) => asm!(self, btr edx, ecx),
            (Bit::Reset, _) => asm!(self, btr rdx, rcx),
            (Bit::Complement, 2) => asm!(self, btc dx, cx),
            (Bit::Complement, 4) => asm!(self, btc edx, ecx),
            (Bit::Complement, _) => asm!(self, btc rdx, rcx),
        }
    }

    /// RDX = RAX shifted by `count`, with bits of R11 shifted in; 4 or 8 bytes.
    pub(super) fn shift_double(&mut self, left: bool, count: u8, size: u64, flags: bool) {
        let count = count as i8;
        asm!(self, mov rdx, rax);
        match (left, size) {
            (true, 4) => asm!(self, shld edx, r11d, BYTE count),
            (true, _) => asm!(self, shld rdx, r11, BYTE count),
            (false, 4) => asm!(self, shrd edx, r11d, BYTE count),
            (false, _) => asm!(self, shrd rdx, r11, BYTE count),
        }
        if flags {
            self.shift_double_flags(size);
        }
    }

    /// The same by the low bits of CL. A count of zero leaves the flags alone.
    pub(super) fn shift_double_by_cl(&mut self, left: bool, size: u64) {
        let done = self.asm.new_dynamic_label();
        asm!(self, mov rdx, rax; test cl, BYTE top(size) as i8; jz =>done);
        match (left, size) {
            (true, 4) => asm!(self, shld edx, r11d, cl),
            (true, _) => asm!(self, shld rdx, r11, cl),
            (false, 4) => asm!(self, shrd edx, r11d, cl),
            (false, _) => asm!(self, shrd rdx, r11, cl),
        }
        self.shift_double_flags(size);
        asm!(self, =>done);
    }

    /// The flags of a shift from RAX to RDX with bits shifted in; the host's CF is CF.
    fn shift_double_flags(&mut self, size: u64) {
        let top = top(size) as i8;
        asm!(self, setc r10b);
        self.result(size);
        // OF is whether the sign changed.
        asm!(self, mov r9, rax; xor r9, rdx; shr r9, BYTE top; and r9d, 1; xor r9b, r10b);
        self.carries();
        asm!(self, mov QWORD [BYTE rdi + field::CARRY], r10);
        asm!(self, mov DWORD [BYTE rdi + field::META], 63);
    }

    /// RDX becomes the vector of carries, and ECX what describes the flags. Changes R8, R9 and R10.
    fn carry_vector(&mut self) {
        let stub = self.stubs.carries;
        asm!(self, call extern stub);
    }

    /// The host's CF becomes OF; RDX the vector of carries. Changes RCX and R8 to R10.
    fn overflow(&mut self) {
        self.carry_vector();
        asm!(self, lea r8, [rdx + rdx]; xor r8, rdx; bt r8, rcx);
    }

    /// R8 becomes SF in its lowest bit. Changes RCX.
    fn sign(&mut self) {
        asm!(self, mov r8, QWORD [BYTE rdi + field::RESULT]; shr r8, 63);
        asm!(self, mov ecx, DWORD [BYTE rdi + field::META]; shr ecx, 8; xor r8d, ecx; and r8d, 1);
    }

    /// Evaluates condition `code`, as in the opcodes of Jcc; the condition of the host to go by. `None` if
    /// that is not worth it. Leaves RAX and R11 as they are.
    pub(super) fn condition(&mut self, code: u8) -> Option<u8> {
        const CARRY: u8 = 2;
        const ZERO: u8 = 4;
        const NOT_ZERO: u8 = 5;
        let base = match code >> 1 {
            0 => {
                self.overflow();
                CARRY
            }
            1 => {
                self.carry();
                CARRY
            }
            2 => {
                asm!(self, cmp QWORD [BYTE rdi + field::RESULT], 0);
                ZERO
            }
            3 => {
                self.carry();
                asm!(self, setc r9b; cmp QWORD [BYTE rdi + field::RESULT], 0; sete r8b; or r8b, r9b);
                NOT_ZERO
            }
            4 => {
                self.sign();
                asm!(self, test r8d, r8d);
                NOT_ZERO
            }
            5 => return None,
            _ => {
                self.overflow();
                asm!(self, setc r9b);
                self.sign();
                asm!(self, xor r8b, r9b);
                if code >> 1 == 7 {
                    asm!(self, cmp QWORD [BYTE rdi + field::RESULT], 0; sete r9b; or r8b, r9b);
                }
                NOT_ZERO
            }
        };
        Some(base ^ (code & 1))
    }

    /// The host's CF becomes CF. Changes RCX, RDX and R8 to R10.
    fn carry(&mut self) {
        self.carry_vector();
        asm!(self, bt rdx, rcx);
    }

    /// Reads the operands of a register form.
    pub(super) fn operands(&mut self, dst: u8, src: u8, size: u64) {
        self.get(RAX, dst, size);
        self.get(RCX, src, size);
    }

    /// Puts the result away.
    pub(super) fn finish(&mut self, dst: u8, size: u64) {
        self.put(dst, RDX, size);
    }
}
