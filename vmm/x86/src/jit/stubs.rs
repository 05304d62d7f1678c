//! What compiled blocks call: parts that are too long to be in every block.
//!
//! They are no functions in the sense of any calling convention: each says what it takes and what it
//! leaves in which register. RDI is the CPU (see [`field::BIAS`]) everywhere.

use std::mem::offset_of;
use std::sync::OnceLock;

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, DynasmLabelApi, VecAssembler, dynasm};

use super::memory::Piece;
use super::{Landings, Target, field, link_far, link_near, resolve_slowly};
use crate::cpu::Cpu;
use crate::exec::control;
use crate::flags::{self, FLIP_PARITY, FLIP_SIGN, OF_ADD, OF_SUB};
use crate::memory::PAGE_SIZE;
use crate::mode::{cr0, cr4};
use crate::tlb;

/// The addresses of the stubs. Those that may fail leave ZF clear if they do, having changed nothing of the
/// guest's.
pub(super) struct Stubs {
    /// RAX linear address; RAX host address. By the binary logarithm of the access's size. Changes RCX and
    /// RDX. May fail.
    pub read: [usize; 4],
    /// The same for writes.
    pub write: [usize; 4],
    /// The same for 16 bytes that an SSE instruction moves, and for such as have to be aligned. Fails if SSE
    /// is off, too.
    pub read_wide: [usize; 2],
    /// The same for writes.
    pub write_wide: [usize; 2],
    /// Fails if SSE is off.
    pub sse: usize,
    /// RAX linear address; RAX host address of the 16 bytes that CMPXCHG16B changes, which have to be aligned.
    /// Changes RCX and RDX. May fail.
    pub write_pair: usize,
    /// Swaps the base of GS with the kernel's. Changes RAX and RCX. May fail.
    pub swapgs: usize,
    /// Clears IF. May fail.
    pub cli: usize,
    /// Sets IF if nobody waits for that. May fail.
    pub sti: usize,
    /// RCX RFLAGS as PUSHF pushes it. Changes what functions may change but RDI.
    pub flags: usize,
    /// RCX a value to push. Changes RAX, RDX and R8. May fail.
    pub push: usize,
    /// RCX the value that was popped. Changes RAX and RDX. May fail.
    pub pop: usize,
    /// ECX the place of the address to push, RDX where a return jumps to. Changes
    /// RAX, RCX, RDX, R8 and R9. May fail.
    pub call: usize,
    /// Pops where code goes on: RAX where, RCX its place in the store, RDX where to jump. Changes R8. May
    /// fail.
    pub ret: usize,
    /// RAX a distance from where the page is in the store; RAX where code goes on, RCX its place there. Does
    /// not come back if the TLB does not have it. Changes RDX.
    pub transfer: usize,
    /// The same for an address in RAX.
    pub transfer_to: usize,
    /// RDX the vector of carries, ECX the description of the flags. Changes R8, R9 and R10.
    pub carries: usize,
    /// EAX 0 or 1; ZF becomes set if it is 0 and clear if it is 1. Changes RCX, RDX and R8 to R10.
    pub zero: usize,
    /// EAX a block's number in the store, EDX its place; RAX the machine's block. Sets the slot RIP. Changes
    /// what functions may change but RDI.
    pub resolve: usize,
    /// RSI a site of a jump within the page. Goes on where that leads.
    pub near: usize,
    /// RSI a site of a jump that leads to RAX, which is at place RCX. Goes on there.
    pub far: usize,
    /// A function: enters the second argument, a block's entry, with the first, the CPU.
    pub start: usize,
    /// EAX the place of the next block. Returns to the run loop.
    pub exit: usize,
    _piece: Piece,
}

/// The stubs, unless the host lets nobody execute what was just written.
pub(super) fn stubs() -> Option<&'static Stubs> {
    static STUBS: OnceLock<Option<Stubs>> = OnceLock::new();
    STUBS.get_or_init(build).as_ref()
}

type Asm = VecAssembler<X64Relocation>;

const PAGE_BITS: i8 = PAGE_SIZE.trailing_zeros() as i8;
const TARGET: usize = size_of::<Target>();
const ENTRY: i32 = offset_of!(Target, entry) as i32;
const _: () = assert!(TARGET.is_power_of_two() && offset_of!(Target, place) == 0);
const TLB_MASK: i32 = ((tlb::ENTRIES - 1) * size_of::<tlb::Entry>()) as i32;

fn build() -> Option<Stubs> {
    let piece = Piece::take()?;
    let base = piece.start() as usize;
    let mut asm = Asm::new(base);
    let mut stub = |emit: &dyn Fn(&mut Asm)| {
        asm.align(16, 0xcc);
        let start = base + asm.offset().0;
        emit(&mut asm);
        start
    };
    let carries = stub(&carries);
    let mut access = |table: i32| [1, 2, 4, 8].map(|size| stub(&|asm| access(asm, table, size)));
    let stubs = Stubs {
        read: access(field::TLB_READ),
        write: access(field::TLB_WRITE),
        read_wide: [false, true].map(|aligned| stub(&|asm| wide(asm, field::TLB_READ, aligned))),
        write_wide: [false, true].map(|aligned| stub(&|asm| wide(asm, field::TLB_WRITE, aligned))),
        sse: stub(&|asm| {
            sse(asm);
            finish(asm);
        }),
        write_pair: stub(&pair),
        swapgs: stub(&swapgs),
        cli: stub(&cli),
        sti: stub(&sti),
        flags: stub(&flags),
        push: stub(&push),
        pop: stub(&pop),
        call: stub(&call),
        ret: stub(&ret),
        transfer: stub(&|asm| transfer(asm, true)),
        transfer_to: stub(&|asm| transfer(asm, false)),
        carries,
        zero: stub(&|asm| zero(asm, carries)),
        resolve: stub(&resolve),
        near: stub(&near),
        far: stub(&far),
        start: stub(&start),
        exit: stub(&exit),
        _piece: piece,
    };
    let code = asm.finalize().ok()?;
    // SAFETY: the piece is larger than the stubs and nobody executes it yet.
    unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), stubs._piece.start(), code.len()) };
    Some(stubs)
}

/// `Cpu::hit`: RAX linear address; RAX host address, or a jump to `fail`. Changes RCX and RDX. An access
/// that reaches into the next page has another page number at its end, so that the comparison fails.
fn lookup(asm: &mut Asm, table: i32, size: i8) {
    dynasm!(asm
        ; .arch x64
        ; lea rcx, [BYTE rax + size - 1]
        ; mov rdx, rax
        ; shr rdx, 8
        // Before the entry is known, so that nobody waits for both.
        ; add rax, QWORD [rdi + field::RAM]
        ; and edx, TLB_MASK
        ; add rdx, QWORD [rdi + table]
        ; and rcx, -4096
        ; cmp rcx, QWORD [rdx]
        ; jne >fail
        ; add rax, QWORD [rdx + 8]
    );
}

/// Comes back with ZF set, or clear from `fail`.
fn finish(asm: &mut Asm) {
    dynasm!(asm ; .arch x64 ; cmp eax, eax ; fail: ; ret);
}

fn access(asm: &mut Asm, table: i32, size: i8) {
    lookup(asm, table, size);
    finish(asm);
}

/// Jumps to `fail` if SSE instructions fault.
fn sse(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; test DWORD [rdi + field::CR0], (cr0::EM | cr0::TS) as i32
        ; jne >fail
        ; mov edx, DWORD [rdi + field::CR4]
        ; not edx
        ; test edx, cr4::OSFXSR as i32
        ; jne >fail
    );
}

fn wide(asm: &mut Asm, table: i32, aligned: bool) {
    sse(asm);
    if aligned {
        dynasm!(asm ; .arch x64 ; test al, 15 ; jne >fail);
    }
    access(asm, table, 16);
}

fn pair(asm: &mut Asm) {
    dynasm!(asm ; .arch x64 ; test al, 15 ; jne >fail);
    access(asm, field::TLB_WRITE, 16);
}

/// Jumps to `fail` in any program but the kernel, which IOPL may forbid to change IF.
fn kernel(asm: &mut Asm) {
    dynasm!(asm ; .arch x64 ; cmp BYTE [rdi + field::CPL], 0 ; jne >fail);
}

fn cli(asm: &mut Asm) {
    kernel(asm);
    dynasm!(asm ; .arch x64 ; and DWORD [rdi + field::RFLAGS], !flags::IF as i32);
    finish(asm);
}

fn swapgs(asm: &mut Asm) {
    kernel(asm);
    dynasm!(asm
        ; .arch x64
        ; mov rax, QWORD [rdi + field::GS_BASE]
        ; mov rcx, QWORD [rdi + field::KERNEL_GS_BASE]
        ; mov QWORD [rdi + field::KERNEL_GS_BASE], rax
        ; mov QWORD [rdi + field::GS_BASE], rcx
        ; mov QWORD [BYTE rdi + field::GS], rcx
    );
    finish(asm);
}

fn sti(asm: &mut Asm) {
    kernel(asm);
    dynasm!(asm
        ; .arch x64
        ; cmp BYTE [rdi + field::WINDOW_WANTED], 0
        ; jne >fail
        ; or DWORD [rdi + field::RFLAGS], flags::IF as i32
    );
    finish(asm);
}

/// Compiled code has the stack as it is at the start of a function, so that it is aligned here.
fn flags(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; push rdi
        ; push rdi
        ; add rdi, DWORD -field::BIAS
        ; mov rax, QWORD pushed_flags as *const () as i64
        ; call rax
        ; pop rdi
        ; pop rdi
        ; mov rcx, rax
        ; ret
    );
}

extern "sysv64" fn pushed_flags(cpu: &Cpu) -> u64 {
    cpu.rflags() & !(flags::RF | flags::VM)
}

/// RAX becomes the host address of what is pushed next, or a jump to `fail`. Changes RCX and RDX.
fn push_place(asm: &mut Asm) {
    dynasm!(asm ; .arch x64 ; mov rax, QWORD [BYTE rdi + field::RSP] ; sub rax, 8);
    lookup(asm, field::TLB_WRITE, 8);
}

fn push(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; mov r8, rcx
    );
    push_place(asm);
    dynasm!(asm
        ; .arch x64
        ; mov QWORD [rax], r8
        ; sub QWORD [BYTE rdi + field::RSP], 8
    );
    finish(asm);
}

fn pop(asm: &mut Asm) {
    dynasm!(asm ; .arch x64 ; mov rax, QWORD [BYTE rdi + field::RSP]);
    lookup(asm, field::TLB_READ, 8);
    dynasm!(asm
        ; .arch x64
        ; mov rcx, QWORD [rax]
        ; add QWORD [BYTE rdi + field::RSP], 8
    );
    finish(asm);
}

fn call(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; mov r8d, ecx
        ; mov r9, rdx
    );
    push_place(asm);
    dynasm!(asm
        ; .arch x64
        ; sub r8, QWORD [BYTE rdi + field::CODE_PLACE]
        ; mov QWORD [rax], r8
        ; sub QWORD [BYTE rdi + field::RSP], 8
        ; mov edx, r8d
        ; shr edx, 9
        ; xor r8d, edx
        ; and r8d, Landings::COUNT as i32 - 1
        ; mov QWORD [rdi + r8 * 8 + field::LANDINGS], r9
    );
    finish(asm);
}

/// RAX linear address: RCX place; jumps to `fail` if the TLB does not know. Changes RDX.
fn code_place(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; mov rcx, rax
        ; and rcx, -4096
        ; cmp rcx, QWORD [rdi + field::CODE_PAGE]
        ; je >same
        ; mov rdx, rax
        ; shr rdx, 8
        ; and edx, TLB_MASK
        ; add rdx, QWORD [rdi + field::TLB_EXECUTE]
        ; cmp rcx, QWORD [rdx]
        ; jne >fail
        ; mov QWORD [rdi + field::CODE_PAGE], rcx
        ; mov rdx, QWORD [rdx + 8]
        ; mov QWORD [rdi + field::CODE_ADD], rdx
        // The page's offset, and by its index what it is bound to.
        ; add rdx, rcx
        ; shr rdx, BYTE PAGE_BITS - 2
        ; add rdx, QWORD [rdi + field::BOUND]
        ; mov edx, DWORD [rdx]
        ; shl rdx, BYTE PAGE_BITS
        ; sub rdx, rcx
        ; mov QWORD [BYTE rdi + field::CODE_PLACE], rdx
        ; same:
        ; mov rcx, rax
        ; add rcx, QWORD [BYTE rdi + field::CODE_PLACE]
    );
}

fn ret(asm: &mut Asm) {
    dynasm!(asm ; .arch x64 ; mov rax, QWORD [BYTE rdi + field::RSP]);
    lookup(asm, field::TLB_READ, 8);
    dynasm!(asm ; .arch x64 ; mov rax, QWORD [rax]);
    // What is not canonical is not in the TLB either.
    code_place(asm);
    dynasm!(asm
        ; .arch x64
        ; add QWORD [BYTE rdi + field::RSP], 8
        ; mov r8d, eax
        ; mov edx, eax
        ; shr edx, 9
        ; xor r8d, edx
        ; and r8d, Landings::COUNT as i32 - 1
        ; mov rdx, QWORD [rdi + r8 * 8 + field::LANDINGS]
        ; test rdx, rdx
        ; jnz >known
        ; lea rdx, [>search]
        ; known:
        ; cmp eax, eax
        ; fail:
        ; ret
        ; search:
    );
    seek(asm);
    dynasm!(asm
        ; .arch x64
        ; add rdi, DWORD -field::BIAS
        ; mov rsi, rax
        ; jmp extern control::search as *const () as usize
    );
}

/// RCX a place: goes on there if the CPU remembers the block, see `Landings::slot`. Changes RDX.
fn seek(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; mov edx, ecx
        ; shr edx, 9
        ; xor edx, ecx
        ; and edx, Landings::COUNT as i32 - 1
        ; shl edx, TARGET.trailing_zeros() as i8
        ; cmp ecx, DWORD [rdi + rdx + field::TARGETS]
        ; jne >unknown
        ; jmp QWORD [rdi + rdx + field::TARGETS + ENTRY]
        ; unknown:
    );
}

fn near(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; add rdi, DWORD -field::BIAS
        ; jmp extern link_near as *const () as usize
    );
}

fn far(asm: &mut Asm) {
    seek(asm);
    dynasm!(asm
        ; .arch x64
        ; add rdi, DWORD -field::BIAS
        ; mov rdx, rax
        ; jmp extern link_far as *const () as usize
    );
}

fn start(asm: &mut Asm) {
    dynasm!(asm ; .arch x64 ; sub rdi, DWORD -field::BIAS ; jmp rsi);
}

fn transfer(asm: &mut Asm, relative: bool) {
    if relative {
        dynasm!(asm ; .arch x64 ; sub rax, QWORD [BYTE rdi + field::CODE_PLACE]);
    }
    code_place(asm);
    dynasm!(asm
        ; .arch x64
        ; ret
        ; fail:
        ; add rsp, 8
        ; mov QWORD [rdi + field::NEXT_RIP], rax
        ; xor eax, eax
        ; ret
    );
}

/// `Lazy::carries`.
fn carries(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; mov ecx, DWORD [BYTE rdi + field::META]
        ; mov rdx, QWORD [BYTE rdi + field::CARRY]
        ; test ecx, (OF_ADD | OF_SUB) as i32
        ; jz >done
        ; mov r8, QWORD [BYTE rdi + field::RESULT]
        ; test ecx, OF_ADD as i32
        ; jz >subtraction
        // With a = r - b: a & b | (a | b) & !r.
        ; mov r9, r8
        ; sub r9, rdx
        ; not r8
        ; mov r10, r9
        ; and r10, rdx
        ; or rdx, r9
        ; and rdx, r8
        ; or rdx, r10
        ; ret
        ; subtraction:
        // With a = r + b: !a & b | (!a | b) & r.
        ; lea r9, [r8 + rdx]
        ; not r9
        ; mov r10, r9
        ; and r10, rdx
        ; or rdx, r9
        ; and rdx, r8
        ; or rdx, r10
        ; done:
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
        // The corrections change if the results differ in what they correct.
        ; test r8b, r8b
        ; setpo r9b
        ; xor r9b, al
        ; movzx r9d, r9b
        ; shr r8, 63
        ; shl r8d, FLIP_SIGN.trailing_zeros() as i8
        ; shl r9d, FLIP_PARITY.trailing_zeros() as i8
        ; xor r8d, r9d
        ; xor r8d, ecx
        ; and r8d, (FLIP_SIGN | FLIP_PARITY | 63) as i32
        ; mov DWORD [BYTE rdi + field::META], r8d
        ; ret
    );
}

/// Compiled code has the stack as it is at the start of a function, so that it is aligned here.
fn resolve(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; sub rdx, QWORD [BYTE rdi + field::CODE_PLACE]
        ; mov QWORD [BYTE rdi + field::RIP], rdx
        ; mov rcx, QWORD [rdi + field::BLOCKS]
        ; mov rcx, QWORD [rcx + rax * 8]
        ; test rcx, rcx
        ; jz >slow
        ; mov rax, rcx
        ; ret
        ; slow:
        ; push rdi
        ; push rdi
        ; mov esi, eax
        ; add rdi, DWORD -field::BIAS
        ; mov rax, QWORD resolve_slowly as *const () as i64
        ; call rax
        ; pop rdi
        ; pop rdi
        ; ret
    );
}

fn exit(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; sub rax, QWORD [BYTE rdi + field::CODE_PLACE]
        ; mov QWORD [rdi + field::NEXT_RIP], rax
        ; xor eax, eax
        ; ret
    );
}
