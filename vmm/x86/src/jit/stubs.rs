//! What compiled blocks call: parts that are too long to be in every block.
//!
//! They are no functions in the sense of any calling convention: each says what it takes and what it
//! leaves in which register. RDI is the CPU (see [`field::BIAS`]) everywhere. One that may fail does not come
//! back if it does, having changed nothing of the guest's: the handler of the operation takes over.

use std::mem::offset_of;
use std::sync::OnceLock;

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, DynasmLabelApi, VecAssembler, dynasm};

use super::flagging::{self, Flagging};
use super::memory::Piece;
use super::row::MOST;
use super::{Landings, Target, field, give_up, link_far, link_near, reach, resolve_slowly};
use crate::cpu::Cpu;
use crate::flags;
use crate::memory::PAGE_SIZE;
use crate::mode::{cr0, cr4};
use crate::tlb;

/// The addresses of the stubs.
pub(super) struct Stubs {
    /// RAX linear address; RAX host address. By the binary logarithm of the access's size. Changes RCX and
    /// RDX. May fail.
    pub read: [usize; 4],
    /// The same for writes.
    pub write: [usize; 4],
    /// The same for 16 bytes that an SSE instruction moves, and for such as have to be aligned. Fails if SSE
    /// is off, too.
    pub read_xmm: [usize; 2],
    /// The same for writes.
    pub write_xmm: [usize; 2],
    /// Fails if SSE is off.
    pub sse: usize,
    /// RAX linear address; RAX host address of the 16 bytes that CMPXCHG16B changes, which have to be
    /// aligned. Changes RCX and RDX. May fail.
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
    /// RAX the host address of the lowest of so many values to push, from two on, which RSP leads to
    /// then. Changes RCX and RDX. May fail.
    pub push_row: [usize; MOST - 1],
    /// RAX the host address of so many values to pop, from two on, which RSP leads behind then. Changes RCX
    /// and RDX. May fail.
    pub pop_row: [usize; MOST - 1],
    /// ECX the place of the address to push, RDX where a return jumps to. Changes
    /// RAX, RCX, RDX, R8 and R9. May fail.
    pub call: usize,
    /// Pops where code goes on, and goes on there. May fail.
    pub ret: usize,
    /// RAX a distance from where the page is in the store; RAX where code goes on, RCX its place there. Does
    /// not come back if the TLB does not have it. Changes RDX.
    pub transfer: usize,
    /// The same for an address in RAX.
    pub transfer_to: usize,
    /// What has to do with flags.
    pub flagging: Flagging,
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
    let reach = stub(&reach_slowly);
    let reading = Access {
        table: field::TLB_READ,
        write: false,
        reach,
    };
    let writing = Access {
        table: field::TLB_WRITE,
        write: true,
        reach,
    };
    let mut access = |access| [1, 2, 4, 8].map(|size| stub(&|asm| plain(asm, access, size)));
    let stubs = Stubs {
        read: access(reading),
        write: access(writing),
        read_xmm: [false, true].map(|aligned| stub(&|asm| xmm_operand(asm, reading, aligned))),
        write_xmm: [false, true].map(|aligned| stub(&|asm| xmm_operand(asm, writing, aligned))),
        sse: stub(&|asm| {
            sse(asm);
            finish(asm);
        }),
        write_pair: stub(&|asm| pair(asm, writing)),
        swapgs: stub(&swapgs),
        cli: stub(&cli),
        sti: stub(&sti),
        flags: stub(&flags),
        push: stub(&|asm| push(asm, writing)),
        pop: stub(&|asm| pop(asm, reading)),
        push_row: LENGTHS.map(|len| stub(&|asm| push_row(asm, writing, len))),
        pop_row: LENGTHS.map(|len| stub(&|asm| pop_row(asm, reading, len))),
        call: stub(&|asm| call(asm, writing)),
        ret: stub(&|asm| ret(asm, reading)),
        transfer: stub(&|asm| transfer(asm, true)),
        transfer_to: stub(&|asm| transfer(asm, false)),
        flagging: flagging::build(&mut stub),
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

/// How memory is accessed.
#[derive(Clone, Copy)]
struct Access {
    /// The part of the TLB that is for that.
    table: i32,
    write: bool,
    /// The stub that is called if the TLB does not know.
    reach: usize,
}

/// `Cpu::hit`: RAX linear address; RAX host address, or a jump to `miss`, from where it comes back to `hit`.
/// Changes RCX and RDX. An access that reaches into the next page has another page number at its end, so
/// that the comparison fails.
fn lookup(asm: &mut Asm, access: Access, size: i8) {
    dynasm!(asm
        ; .arch x64
        ; lea rcx, [BYTE rax + size - 1]
        ; mov rdx, rax
        ; shr rdx, 8
        // Before the entry is known, so that nobody waits for both.
        ; add rax, QWORD [rdi + field::RAM]
        ; and edx, TLB_MASK
        ; add rdx, QWORD [rdi + access.table]
        ; and rcx, -4096
        ; cmp rcx, QWORD [rdx]
        ; jne >miss
        ; add rax, QWORD [rdx + 8]
        ; hit:
    );
}

/// The end of a stub with a lookup.
fn finish_access(asm: &mut Asm, access: Access, size: i8) {
    dynasm!(asm ; .arch x64 ; ret);
    missed(asm, access, size);
}

/// What a lookup jumps to.
fn missed(asm: &mut Asm, access: Access, size: i8) {
    dynasm!(asm
        ; .arch x64
        ; miss:
        ; sub rax, QWORD [rdi + field::RAM]
        ; mov ecx, i32::from(size) | i32::from(access.write) << 8
        ; call extern access.reach
        ; jnz <hit
    );
    failed(asm);
}

/// The end of a stub without a lookup.
fn finish(asm: &mut Asm) {
    dynasm!(asm ; .arch x64 ; ret);
    failed(asm);
}

/// `fail`: does not come back.
fn failed(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; fail:
        ; pop rsi
        ; add rdi, DWORD -field::BIAS
        ; jmp extern give_up as *const () as usize
    );
}

/// RAX linear address, ECX the size of the access, and 256 if it is a write; RAX host address, or ZF is set.
/// Changes RCX and RDX. Stubs have the stack aligned, and call this.
fn reach_slowly(asm: &mut Asm) {
    dynasm!(asm
        ; .arch x64
        ; push rdi
        ; push r8
        ; push r9
        ; push r10
        ; push r11
        ; add rdi, DWORD -field::BIAS
        ; mov rsi, rax
        ; mov edx, ecx
        ; mov rax, QWORD reach as *const () as i64
        ; call rax
        ; pop r11
        ; pop r10
        ; pop r9
        ; pop r8
        ; pop rdi
        ; test rax, rax
        ; ret
    );
}

fn plain(asm: &mut Asm, access: Access, size: i8) {
    lookup(asm, access, size);
    finish_access(asm, access, size);
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

fn xmm_operand(asm: &mut Asm, access: Access, aligned: bool) {
    sse(asm);
    if aligned {
        dynasm!(asm ; .arch x64 ; test al, 15 ; jne >fail);
    }
    plain(asm, access, 16);
}

fn pair(asm: &mut Asm, access: Access) {
    dynasm!(asm ; .arch x64 ; test al, 15 ; jne >fail);
    plain(asm, access, 16);
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

/// RAX becomes the host address of what is pushed next. Changes RCX and RDX.
fn push_place(asm: &mut Asm, access: Access) {
    dynasm!(asm ; .arch x64 ; mov rax, QWORD [BYTE rdi + field::RSP] ; sub rax, 8);
    lookup(asm, access, 8);
}

fn push(asm: &mut Asm, access: Access) {
    dynasm!(asm
        ; .arch x64
        ; mov r8, rcx
    );
    push_place(asm, access);
    dynasm!(asm
        ; .arch x64
        ; mov QWORD [rax], r8
        ; sub QWORD [BYTE rdi + field::RSP], 8
    );
    finish_access(asm, access, 8);
}

fn pop(asm: &mut Asm, access: Access) {
    dynasm!(asm ; .arch x64 ; mov rax, QWORD [BYTE rdi + field::RSP]);
    lookup(asm, access, 8);
    dynasm!(asm
        ; .arch x64
        ; mov rcx, QWORD [rax]
        ; add QWORD [BYTE rdi + field::RSP], 8
    );
    finish_access(asm, access, 8);
}

/// The lengths of rows.
const LENGTHS: [i8; MOST - 1] = [2, 3, 4, 5, 6, 7, 8];

fn push_row(asm: &mut Asm, access: Access, len: i8) {
    let size = 8 * len;
    dynasm!(asm
        ; .arch x64
        ; mov rax, QWORD [BYTE rdi + field::RSP]
        ; sub rax, BYTE size
    );
    lookup(asm, access, size);
    dynasm!(asm ; .arch x64 ; sub QWORD [BYTE rdi + field::RSP], size.into());
    finish_access(asm, access, size);
}

fn pop_row(asm: &mut Asm, access: Access, len: i8) {
    let size = 8 * len;
    dynasm!(asm ; .arch x64 ; mov rax, QWORD [BYTE rdi + field::RSP]);
    lookup(asm, access, size);
    dynasm!(asm ; .arch x64 ; add QWORD [BYTE rdi + field::RSP], size.into());
    finish_access(asm, access, size);
}

fn call(asm: &mut Asm, access: Access) {
    dynasm!(asm
        ; .arch x64
        ; mov r8d, ecx
        ; mov r9, rdx
    );
    push_place(asm, access);
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
    finish_access(asm, access, 8);
}

/// RAX linear address: RCX place; jumps to `fail` if the TLB does not know. Changes RDX. `elsewhere`
/// says that it is another page than the one being executed.
fn code_place(asm: &mut Asm, elsewhere: bool) {
    dynasm!(asm ; .arch x64 ; mov rcx, rax ; and rcx, -4096);
    if !elsewhere {
        dynasm!(asm ; .arch x64 ; cmp rcx, QWORD [rdi + field::CODE_PAGE] ; je >same);
    }
    dynasm!(asm
        ; .arch x64
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

fn ret(asm: &mut Asm, access: Access) {
    dynasm!(asm ; .arch x64 ; mov rax, QWORD [BYTE rdi + field::RSP]);
    lookup(asm, access, 8);
    dynasm!(asm ; .arch x64 ; mov rax, QWORD [rax]);
    // What is not canonical is not in the TLB either.
    code_place(asm, false);
    dynasm!(asm
        ; .arch x64
        ; add QWORD [BYTE rdi + field::RSP], 8
        ; mov r8d, eax
        ; mov edx, eax
        ; shr edx, 9
        ; xor r8d, edx
        ; and r8d, Landings::COUNT as i32 - 1
        ; mov rdx, QWORD [rdi + r8 * 8 + field::LANDINGS]
        // It does not come back.
        ; add rsp, 8
        ; test rdx, rdx
        ; jz >search
        ; jmp rdx
        ; search:
    );
    seek(asm);
    dynasm!(asm
        ; .arch x64
        ; add rdi, DWORD -field::BIAS
        ; mov rsi, rax
        ; jmp extern super::link::search as *const () as usize
    );
    missed(asm, access, 8);
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
    // A jump to another page has a fixed distance.
    code_place(asm, relative);
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
