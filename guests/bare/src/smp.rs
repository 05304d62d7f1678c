//! The other processors: start-up, interrupts between processors, and a counter that all of them share.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::console::{check, value};
use crate::{apic, cpu, trap};

/// Where the other processors start: page 8.
const TRAMPOLINE: u64 = 0x8000;
const PROCESSORS: u32 = 4;
const ALL_OTHERS: u32 = 3 << 18;
const INIT: u32 = 5 << 8;
const START: u32 = 6 << 8;
const VECTOR: u8 = 0x60;
const ROUNDS: u32 = 100;

static STARTED: AtomicU32 = AtomicU32::new(0);
static GO: AtomicU32 = AtomicU32::new(0);
static COUNTER: AtomicU32 = AtomicU32::new(0);
static FINISHED: AtomicU32 = AtomicU32::new(0);
static mut STACKS: [[u64; 1024]; PROCESSORS as usize] = [[0; 1024]; PROCESSORS as usize];

// From real mode straight to 64-bit mode with the tables of the first processor (Intel SDM vol. 3,
// 10.8.5 by way of 9.8.5). The data comes first, at fixed offsets: 8 the descriptors, 20h their
// pointer, 28h the root of the page tables, 30h the stacks, 38h where to go on.
global_asm!(
    ".globl trampoline, trampoline_root, trampoline_stacks, trampoline_target, trampoline_end",
    ".balign 16",
    ".code16",
    "trampoline:",
    "jmp short trampoline_real",
    ".balign 8, 0x90",
    ".quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff",
    ".word 23",
    ".long 0x8008",
    ".word 0",
    "trampoline_root: .quad 0",
    "trampoline_stacks: .quad 0",
    "trampoline_target: .quad 0",
    "trampoline_real:",
    "cli",
    "xor ax, ax",
    "mov ds, ax",
    "lgdt [0x8020]",
    "mov eax, 0x620",
    "mov cr4, eax",
    "mov eax, [0x8028]",
    "mov cr3, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x901",
    "wrmsr",
    "mov eax, 0x80010033",
    "mov cr0, eax",
    ".byte 0x66, 0xea",
    ".long 0x8000 + (trampoline_long - trampoline)",
    ".word 8",
    ".code64",
    "trampoline_long:",
    "mov eax, 16",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    // The index of this processor, by its local APIC.
    "mov eax, 0xfee00020",
    "mov edi, [rax]",
    "shr edi, 24",
    "mov eax, edi",
    "inc eax",
    "shl eax, 13",
    "mov esi, 0x8000",
    "mov rsp, [rsi + 0x30]",
    "add rsp, rax",
    "mov rax, [rsi + 0x38]",
    "call rax",
    "2: hlt",
    "jmp 2b",
    "trampoline_end:",
);

unsafe extern "C" {
    static trampoline: u8;
    static trampoline_root: u8;
    static trampoline_stacks: u8;
    static trampoline_target: u8;
    static trampoline_end: u8;
}

/// Copies the trampoline to its page and fills in what it needs.
fn install() {
    // SAFETY: the page belongs to nobody, and the symbols are those of the assembly above.
    unsafe {
        let start = &raw const trampoline;
        let length = &raw const trampoline_end as usize - start as usize;
        core::ptr::copy_nonoverlapping(start, TRAMPOLINE as *mut u8, length);
        let put = |symbol: *const u8, value: u64| {
            let at = TRAMPOLINE + (symbol as u64 - start as u64);
            (at as *mut u64).write_unaligned(value);
        };
        let root: u64;
        core::arch::asm!("mov {}, cr3", out(reg) root);
        put(&raw const trampoline_root, root);
        put(&raw const trampoline_stacks, &raw const STACKS as u64);
        put(
            &raw const trampoline_target,
            other_processor as *const () as u64,
        );
    }
}

/// What the other processors do.
extern "C" fn other_processor(index: u32) -> ! {
    trap::load();
    apic::write(apic::SPURIOUS, 0x100 | u32::from(apic::SPURIOUS_VECTOR));
    STARTED.fetch_or(1 << index, Ordering::SeqCst);
    // The interrupt that starts the work.
    while GO.load(Ordering::SeqCst) == 0 {
        cpu::wait();
    }
    for _ in 0..ROUNDS {
        COUNTER.fetch_add(1, Ordering::SeqCst);
        cpu::relax();
    }
    FINISHED.fetch_or(1 << index, Ordering::SeqCst);
    loop {
        cpu::halt_forever();
    }
}

fn wait_until(word: &AtomicU32, wanted: u32) -> bool {
    (0..100_000).any(|_| {
        cpu::relax();
        word.load(Ordering::SeqCst) == wanted
    })
}

/// Starts the other processors and has them work.
pub fn run() {
    install();
    let others = (1 << PROCESSORS) - 2;
    cpu::relax();
    apic::command(0, ALL_OTHERS | INIT | 1 << 14);
    apic::command(0, ALL_OTHERS | START | (TRAMPOLINE >> 12) as u32);
    // A second one is ignored by a processor that runs.
    apic::command(0, ALL_OTHERS | START | (TRAMPOLINE >> 12) as u32);
    check("all started", wait_until(&STARTED, others));
    GO.store(1, Ordering::SeqCst);
    // One by one by number, the last one by its logical destination of none.
    for index in 1..PROCESSORS {
        apic::command(index, VECTOR.into());
    }
    check("all finished", wait_until(&FINISHED, others));
    value("counter", COUNTER.load(Ordering::SeqCst).into());
    value("interrupts between processors", trap::count(VECTOR).into());
}
