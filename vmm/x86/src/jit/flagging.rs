//! Stubs for flags that take more than to store an operand, and for what depends on flags.
//!
//! They are called behind an instruction of the host that did what the guest's does, with the flags that it
//! left. Like all stubs they say what they take and leave in which register; those that set flags change
//! RCX and R8 to R10, and leave RAX, RDX and R11 as they are if nothing else is said.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

use super::arith::Shift;
use super::binary::top;
use super::emit::Asm;
use super::field;
use crate::flags::{IN_TOPS, NO_CARRIES, OF_ADD, PARITY, SIGN, TOP};

/// The operand sizes by their binary logarithms.
const SIZES: [u64; 4] = [1, 2, 4, 8];

/// The addresses of these stubs.
pub(super) struct Flagging {
    /// EAX 0 or 1; ZF becomes set if it is 0 and clear if it is 1. Changes RDX, too.
    pub zero: usize,
    /// A shift from RAX to RDX, by kind and size; the host's CF is CF.
    pub shift: [[usize; 4]; 3],
    /// A shift from RAX to RDX with bits shifted in; the host's CF is CF.
    pub shift_double: [usize; 4],
    /// RDX = RAX + 1 or RAX - 1; the host's OF is OF, and CF stays.
    pub step: [usize; 4],
    /// R11 was rotated, to the right or the left; only CF and OF change. Changes RDX.
    pub rotate: [[usize; 4]; 2],
    /// CF becomes the host's; the other flags stay. Changes RDX and R11.
    pub bit_test: usize,
    /// RAX is a product, and the host's CF is CF and OF.
    pub product: [usize; 4],
    /// RDX = RAX + RCX + CF or RAX - RCX - CF.
    pub with_carry: [[usize; 4]; 2],
    /// The host's CF becomes OF. Changes RDX.
    pub overflow: usize,
    /// The host's CF becomes CF. Changes RDX.
    pub carry: usize,
    /// The host's ZF becomes clear if CF or ZF is set. Changes RDX.
    pub below_or_equal: usize,
    /// The host's ZF becomes clear if SF is set.
    pub sign: usize,
    /// The host's ZF becomes clear if SF is not OF. Changes RDX.
    pub less: usize,
    /// The host's ZF becomes clear if ZF is set or SF is not OF. Changes RDX.
    pub less_or_equal: usize,
}

/// Makes a stub, and returns its address.
type Maker<'a> = dyn FnMut(&dyn Fn(&mut Asm)) -> usize + 'a;

/// Makes them.
pub(super) fn build(stub: &mut Maker) -> Flagging {
    let carries = stub(&carries);
    let shift = [Shift::Left, Shift::Right, Shift::Arithmetic];
    Flagging {
        zero: stub(&|asm| zero(asm, carries)),
        shift: shift.map(|kind| SIZES.map(|size| stub(&|asm| shift_flags(asm, kind, size)))),
        shift_double: SIZES.map(|size| stub(&|asm| shift_double(asm, size))),
        step: SIZES.map(|size| stub(&|asm| step(asm, size, carries))),
        rotate: [false, true]
            .map(|left| SIZES.map(|size| stub(&|asm| rotate(asm, left, size, carries)))),
        bit_test: stub(&|asm| bit_test(asm, carries)),
        product: SIZES.map(|size| stub(&|asm| product(asm, size))),
        with_carry: [false, true]
            .map(|add| SIZES.map(|size| stub(&|asm| with_carry(asm, add, size, carries)))),
        overflow: stub(&|asm| {
            overflow(asm, carries);
            dynasm!(asm ; .arch x64 ; ret);
        }),
        carry: stub(&|asm| {
            carry(asm, carries);
            dynasm!(asm ; .arch x64 ; ret);
        }),
        below_or_equal: stub(&|asm| {
            carry(asm, carries);
            dynasm!(asm ; .arch x64 ; setc r8b);
            or_zero(asm);
        }),
        sign: stub(&|asm| {
            sign(asm);
            dynasm!(asm ; .arch x64 ; test r8b, r8b ; ret);
        }),
        less: stub(&|asm| {
            less(asm, carries);
            dynasm!(asm ; .arch x64 ; test r8b, r8b ; ret);
        }),
        less_or_equal: stub(&|asm| {
            less(asm, carries);
            or_zero(asm);
        }),
    }
}

/// `Lazy::carries`: RDX the vector of carries, RCX the index of the top bit. Changes R8, R9 and R10.
fn carries(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; movzx ecx, BYTE [BYTE rdi + field::META]
        ; mov rdx, QWORD [BYTE rdi + field::CARRY]
        ; test cl, NO_CARRIES as i8
        ; jz >done
        ; mov r8, QWORD [BYTE rdi + field::RESULT]
        // The upper bit says that it is no addition.
        ; js >others
        // With a = r - b: a & b | (a | b) & !r.
        ; mov r9, r8
        ; sub r9, rdx
        ; not r8
        ; jmp >merge
        ; others:
        ; test cl, OF_ADD as i8
        ; jnz >none
        // With a = r + b: !a & b | (!a | b) & r.
        ; lea r9, [r8 + rdx]
        ; not r9
        ; merge:
        ; mov r10, r9
        ; and r10, rdx
        ; or rdx, r9
        ; and rdx, r8
        ; or rdx, r10
        ; done:
        ; or ecx, IN_TOPS as i32
        ; ret
        ; none:
        ; xor edx, edx
        ; jmp <done
    );
}

/// The host's CF becomes CF.
fn carry(asm: &mut Asm, carries: usize) {
    dynasm!(asm ; .arch x64 ; call extern carries ; bt rdx, rcx);
}

/// The host's CF becomes OF, and RDX the vector of carries.
fn overflow(asm: &mut Asm, carries: usize) {
    dynasm!(asm
        ; .arch x64
        ; call extern carries
        ; lea r8, [rdx + rdx]
        ; xor r8, rdx
        ; bt r8, rcx
    );
}

/// R8 becomes SF in its lowest bit, and otherwise 0. Changes RCX.
fn sign(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; mov r8, QWORD [BYTE rdi + field::RESULT]
        ; shr r8, 63
        ; movzx ecx, BYTE [BYTE rdi + field::META]
        ; not ecx
        ; xor r8d, ecx
        ; and r8d, SIGN as i32
    );
}

/// R8B becomes whether SF is not OF.
fn less(asm: &mut Asm, carries: usize) {
    overflow(asm, carries);
    dynasm!(asm ; .arch x64 ; setc r9b);
    sign(asm);
    dynasm!(asm ; .arch x64 ; xor r8b, r9b);
}

/// The host's ZF becomes clear if R8B or ZF is set.
fn or_zero(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; cmp QWORD [BYTE rdi + field::RESULT], 0
        ; sete r9b
        ; or r8b, r9b
        ; ret
    );
}

/// `Lazy::replace_zero`.
fn zero(asm: &mut Asm, carries: usize) {
    dynasm!(asm
        ; .arch x64
        ; call extern carries
        ; mov QWORD [BYTE rdi + field::CARRY], rdx
        ; mov r8, QWORD [BYTE rdi + field::RESULT]
        ; mov QWORD [BYTE rdi + field::RESULT], rax
        ; movzx ecx, BYTE [BYTE rdi + field::META]
        // The results differ in what is corrected.
        ; test r8b, r8b
        ; setpo r9b
        ; xor r9b, al
        ; movzx r9d, r9b
        ; shr r8, 63
        ; shl r9d, PARITY.trailing_zeros() as i8
        ; xor ecx, r8d
        ; xor ecx, r9d
        ; and ecx, TOP as i32
        ; mov BYTE [BYTE rdi + field::META], cl
        ; ret
    );
}

/// The result in RDX. Changes R8.
pub(super) fn result(asm: &mut Asm, size: u64) {
    match size {
        1 => dynasm!(asm ; .arch x64 ; movsx r8, dl),
        2 => dynasm!(asm ; .arch x64 ; movsx r8, dx),
        4 => dynasm!(asm ; .arch x64 ; movsxd r8, edx),
        _ => {
            dynasm!(asm ; .arch x64 ; mov QWORD [BYTE rdi + field::RESULT], rdx);
            return;
        }
    }
    dynasm!(asm ; .arch x64 ; mov QWORD [BYTE rdi + field::RESULT], r8);
}

/// R10 becomes the carries of CF in R10B and CF xor OF in R9B.
fn pair(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; movzx r9d, r9b
        ; movzx r10d, r10b
        ; shl r9, 62
        ; shl r10, 63
        ; or r10, r9
    );
}

/// The carries in R10, and nothing else that is special.
fn finish(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; mov QWORD [BYTE rdi + field::CARRY], r10
        ; mov BYTE [BYTE rdi + field::META], TOP as i8
        ; ret
    );
}

/// The flags stay but for CF and OF, which R10 holds, and AF, which RDX holds.
fn replace_carry(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; or r10, rdx
        ; mov QWORD [BYTE rdi + field::CARRY], r10
        ; movzx ecx, BYTE [BYTE rdi + field::META]
        ; and ecx, (SIGN | PARITY) as i32
        ; or ecx, (TOP & !(SIGN | PARITY)) as i32
        ; mov BYTE [BYTE rdi + field::META], cl
        ; ret
    );
}

fn shift_flags(asm: &mut Asm, kind: Shift, size: u64) {
    let top = top(size) as i8;
    dynasm!(asm ; .arch x64 ; setc r10b);
    result(asm, size);
    match kind {
        // OF is CF xor the result's sign.
        Shift::Left => dynasm!(asm ; .arch x64 ; mov r9, rdx ; shr r9, BYTE top ; and r9d, 1),
        // OF is the operand's sign.
        Shift::Right => dynasm!(asm ; .arch x64 ; mov r9, rax ; shr r9, BYTE top ; xor r9b, r10b),
        // OF is clear.
        Shift::Arithmetic => dynasm!(asm ; .arch x64 ; mov r9d, r10d),
    }
    pair(asm);
    finish(asm);
}

fn shift_double(asm: &mut Asm, size: u64) {
    let top = top(size) as i8;
    dynasm!(asm ; .arch x64 ; setc r10b);
    result(asm, size);
    // OF is whether the sign changed.
    dynasm!(asm
        ; .arch x64
        ; mov r9, rax
        ; xor r9, rdx
        ; shr r9, BYTE top
        ; and r9d, 1
        ; xor r9b, r10b
    );
    pair(asm);
    finish(asm);
}

fn step(asm: &mut Asm, size: u64, carries: usize) {
    dynasm!(asm ; .arch x64 ; seto r9b ; push r9 ; push rdx);
    carry(asm, carries);
    dynasm!(asm ; .arch x64 ; setc r10b ; pop rdx ; pop r9);
    result(asm, size);
    // AF is the carry into bit 4; it is kept as the carry out of bit 3.
    dynasm!(asm
        ; .arch x64
        ; mov rcx, rax
        ; xor rcx, rdx
        ; shr ecx, 1
        ; and ecx, 8
        ; xor r9b, r10b
    );
    pair(asm);
    dynasm!(asm ; .arch x64 ; or r10, rcx);
    finish(asm);
}

fn rotate(asm: &mut Asm, left: bool, size: u64, carries: usize) {
    let top = top(size) as i8;
    dynasm!(asm ; .arch x64 ; call extern carries ; and edx, 8 ; mov r9, r11 ; mov r10, r11);
    if left {
        // CF is the lowest bit, OF is that xor the highest.
        dynasm!(asm ; .arch x64 ; shr r9, BYTE top);
    } else {
        // CF is the highest bit, OF is that xor the one below it.
        dynasm!(asm ; .arch x64 ; shr r10, BYTE top ; shr r9, BYTE top - 1);
    }
    dynasm!(asm ; .arch x64 ; and r9d, 1 ; and r10d, 1);
    pair(asm);
    replace_carry(asm);
}

fn bit_test(asm: &mut Asm, carries: usize) {
    dynasm!(asm ; .arch x64 ; setc r11b);
    overflow(asm, carries);
    dynasm!(asm ; .arch x64 ; setc r9b ; xor r9b, r11b ; mov r10d, r11d ; and edx, 8);
    pair(asm);
    replace_carry(asm);
}

fn product(asm: &mut Asm, size: u64) {
    dynasm!(asm ; .arch x64 ; setc r10b ; mov r9, rdx ; mov rdx, rax);
    result(asm, size);
    dynasm!(asm ; .arch x64 ; mov rdx, r9 ; movzx r10d, r10b ; shl r10, 63);
    finish(asm);
}

fn with_carry(asm: &mut Asm, add: bool, size: u64, carries: usize) {
    dynasm!(asm ; .arch x64 ; push rcx);
    carry(asm, carries);
    dynasm!(asm ; .arch x64 ; setc r8b ; movzx r8d, r8b ; pop rcx ; mov rdx, rax);
    if add {
        dynasm!(asm ; .arch x64 ; add rdx, rcx ; add rdx, r8);
    } else {
        dynasm!(asm ; .arch x64 ; sub rdx, rcx ; sub rdx, r8);
    }
    if size == 4 {
        dynasm!(asm ; .arch x64 ; mov edx, edx);
    }
    result(asm, size);
    if add {
        dynasm!(asm
            ; .arch x64
            ; mov r8, rax
            ; and r8, rcx
            ; mov r9, rax
            ; or r9, rcx
            ; mov r10, rdx
            ; not r10
            ; and r9, r10
            ; or r8, r9
        );
    } else {
        dynasm!(asm
            ; .arch x64
            ; mov r8, rax
            ; not r8
            ; mov r9, r8
            ; and r9, rcx
            ; or r8, rcx
            ; and r8, rdx
            ; or r8, r9
        );
    }
    dynasm!(asm
        ; .arch x64
        ; mov QWORD [BYTE rdi + field::CARRY], r8
        ; mov BYTE [BYTE rdi + field::META], top(size) as i8
        ; ret
    );
}
