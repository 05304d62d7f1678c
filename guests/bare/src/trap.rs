//! Descriptor tables, and what happens at interrupts and exceptions.

use core::arch::{asm, global_asm};
use core::ptr::{addr_of, addr_of_mut};

use crate::{apic, console};

/// The selectors of the descriptor table below.
pub const CODE: u16 = 0x08;
pub const DATA: u16 = 0x10;
/// With privilege level 3; SYSRET wants the data segment before the code segment.
pub const USER_DATA: u16 = 0x1b;
pub const USER_CODE: u16 = 0x23;
const TASK: u16 = 0x28;

/// What the processor and the stubs leave on the stack.
#[repr(C)]
pub struct Frame {
    registers: [u64; 15],
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// The task state segment: only stack 0 is used, and no port is allowed to user mode.
#[repr(C, packed)]
struct Task {
    _reserved: u32,
    stacks: [u64; 3],
    _rest: [u8; 74],
    ports: u16,
}

#[repr(C)]
struct Pointer {
    _padding: [u16; 3],
    limit: u16,
    base: u64,
}

static mut GDT: [u64; 7] = [
    0,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00cf_f300_0000_ffff,
    0x00af_fb00_0000_ffff,
    0,
    0,
];
static mut TASK_STATE: Task = Task {
    _reserved: 0,
    stacks: [0; 3],
    _rest: [0; 74],
    ports: size_of::<Task>() as u16,
};
static mut IDT: [[u64; 2]; 256] = [[0; 2]; 256];
static mut INTERRUPT_STACK: [u64; 2048] = [0; 2048];

/// How often each vector came.
static mut COUNTS: [u32; 256] = [0; 256];
/// Where an expected exception goes on, or zero.
#[unsafe(no_mangle)]
static mut RECOVER: u64 = 0;
/// The last expected exception.
static mut CAUGHT: Caught = Caught {
    vector: 0,
    error: 0,
    address: 0,
};

/// An exception that was expected.
#[derive(Clone, Copy)]
pub struct Caught {
    pub vector: u64,
    pub error: u64,
    /// CR2, for page faults.
    pub address: u64,
}

// 256 stubs of 16 bytes, which bring the stack into the same form whether there is an error code or not.
global_asm!(
    ".globl stubs",
    ".balign 16",
    "stubs:",
    ".set vector, 0",
    ".rept 256",
    ".balign 16",
    ".if (vector != 8) && (vector != 17) && ((vector < 10) || (vector > 14))",
    "push 0",
    ".endif",
    "push vector",
    "jmp common",
    ".set vector, vector + 1",
    ".endr",
    "common:",
    "push rax",
    "push rcx",
    "push rdx",
    "push rbx",
    "push rbp",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    "mov rdi, rsp",
    "mov rbp, rsp",
    "and rsp, -16",
    "call {handler}",
    "mov rsp, rbp",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rbp",
    "pop rbx",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "add rsp, 16",
    "iretq",
    handler = sym on_trap,
);

unsafe extern "C" {
    static stubs: [u8; 256 * 16];
}

/// Loads the tables.
pub fn install() {
    // SAFETY: the tables are static, one processor runs, and interrupts are off.
    unsafe {
        let task = addr_of!(TASK_STATE) as u64;
        let limit = size_of::<Task>() as u64 - 1;
        GDT[5] = limit | (task & 0xff_ffff) << 16 | 0x89 << 40 | (task >> 24 & 0xff) << 56;
        GDT[6] = task >> 32;
        let stack =
            addr_of!(INTERRUPT_STACK) as u64 + size_of_val(&*addr_of!(INTERRUPT_STACK)) as u64;
        (*addr_of_mut!(TASK_STATE)).stacks[0] = stack;
        let gates = &mut *addr_of_mut!(IDT);
        for (vector, gate) in (0..).zip(gates) {
            let at = addr_of!(stubs) as u64 + 16 * vector;
            *gate = [
                at & 0xffff | u64::from(CODE) << 16 | 0x8e << 40 | (at >> 16 & 0xffff) << 48,
                at >> 32,
            ];
        }
        load();
        asm!("ltr {0:x}", in(reg) TASK);
    }
}

/// Loads the tables that [`install`] made, also on the other processors; those have no task state.
pub fn load() {
    let pointer = |base: u64, limit: usize| Pointer {
        _padding: [0; 3],
        limit: limit as u16,
        base,
    };
    let gdt = pointer(addr_of!(GDT) as u64, size_of::<[u64; 7]>() - 1);
    let idt = pointer(addr_of!(IDT) as u64, size_of::<[[u64; 2]; 256]>() - 1);
    // SAFETY: the tables are static and describe flat segments.
    unsafe {
        asm!(
            "lgdt [{gdt}]",
            "lidt [{idt}]",
            "push {code}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2: mov ds, {data:e}",
            "mov es, {data:e}",
            "mov ss, {data:e}",
            gdt = in(reg) &raw const gdt.limit,
            idt = in(reg) &raw const idt.limit,
            code = const CODE,
            data = in(reg) u32::from(DATA),
            scratch = out(reg) _,
        );
    }
}

/// How often `vector` came.
pub fn count(vector: u8) -> u32 {
    // SAFETY: the array has 256 entries; a handler may change them at any time.
    unsafe {
        addr_of!(COUNTS)
            .cast::<u32>()
            .add(vector.into())
            .read_volatile()
    }
}

/// Has the next exception go on at `rip`, or none if it is zero.
pub fn expect(rip: u64) {
    // SAFETY: only exceptions read it, and they come only where they are expected.
    unsafe { addr_of_mut!(RECOVER).write_volatile(rip) };
}

/// The exception that was expected, if it came.
pub fn caught() -> Option<Caught> {
    // SAFETY: as for `expect`.
    unsafe {
        let came = addr_of!(RECOVER).read_volatile() == 0;
        expect(0);
        came.then(|| addr_of!(CAUGHT).read_volatile())
    }
}

/// Prints what came of an instruction that should fault.
pub fn report(name: &str) {
    console::text(name);
    match caught() {
        None => console::line(": no exception"),
        Some(caught) => {
            console::text(": exception ");
            console::hex(caught.vector);
            console::text(" error ");
            console::hex(caught.error);
            if caught.vector == 14 {
                console::text(" address ");
                console::hex(caught.address);
            }
            console::line("");
        }
    }
}

/// Executes instructions of which one is expected to fault, and prints what came of it.
#[macro_export]
macro_rules! faults {
    ($name:literal, $($code:literal),+ $(, $operand:ident = $value:expr)* $(,)?) => {{
        $(let $operand = $value;)*
        // SAFETY: an exception goes on behind the instructions, whose effects are this program's.
        unsafe {
            core::arch::asm!(
                "lea {recover}, [rip + 99f]",
                "mov [RECOVER], {recover}",
                $($code,)+
                "99:",
                recover = out(reg) _,
                $($operand = in(reg) $operand,)*
                out("rax") _, out("rcx") _, out("rdx") _,
            );
        }
        $crate::trap::report($name);
    }};
}

extern "C" fn on_trap(frame: &mut Frame) {
    let vector = frame.vector as u8;
    // SAFETY: handlers do not nest, and processors run them one at a time between exits.
    unsafe {
        let count = addr_of_mut!(COUNTS).cast::<u32>().add(vector.into());
        count.write_volatile(count.read_volatile() + 1);
    }
    match vector {
        2 => {}
        0..32 => on_exception(frame),
        apic::SPURIOUS_VECTOR => {}
        _ => apic::end_of_interrupt(),
    }
}

fn on_exception(frame: &mut Frame) {
    let address: u64;
    // SAFETY: reading CR2 has no effect; the statics are as in `caught`.
    let recover = unsafe {
        asm!("mov {}, cr2", out(reg) address);
        addr_of!(RECOVER).read_volatile()
    };
    if recover == 0 {
        console::value("UNEXPECTED exception", frame.vector);
        console::value("at", frame.rip);
        console::value("error", frame.error);
        console::value("address", address);
        crate::power_off();
    }
    expect(0);
    // SAFETY: as in `caught`.
    unsafe {
        addr_of_mut!(CAUGHT).write_volatile(Caught {
            vector: frame.vector,
            error: frame.error,
            address,
        });
    }
    frame.rip = recover;
    if frame.cs & 3 != 0 {
        crate::user::back_to_kernel(&mut frame.cs, &mut frame.ss, &mut frame.rsp);
    }
}
