//! User mode, with SSE and all. It is left by exceptions only: some nested hosts do not switch the
//! privilege level at SYSCALL, which `chaosrun doctor` tells.

use core::arch::{asm, global_asm};
use core::ptr::addr_of_mut;

use crate::console::value;
use crate::{memory, trap};

const PRESENT_WRITABLE_USER: u64 = 7;

/// Where the kernel's stack was before it entered user mode.
#[unsafe(no_mangle)]
static mut KERNEL_STACK: u64 = 0;

#[repr(C, align(4096))]
struct Page([u8; 4096]);
static mut CODE: Page = Page([0; 4096]);
static mut STACK: Page = Page([0; 4096]);

global_asm!(
    ".globl user_sum, user_sum_end, user_port, user_port_end, user_halt, \
        user_halt_end, user_kernel, user_kernel_end, user_enter, user_back",
    // Works with numbers, floating-point ones too, and leaves the results in registers.
    "user_sum:",
    "mov ecx, 1000",
    "xor eax, eax",
    "2: add eax, ecx",
    "dec ecx",
    "jnz 2b",
    "cvtsi2sd xmm0, eax",
    "sqrtsd xmm1, xmm0",
    "movq rdx, xmm1",
    "popcnt rbx, rdx",
    "push rdx",
    "pop rdi",
    "ud2",
    "user_sum_end:",
    "user_port: in al, 0x21",
    "ud2",
    "user_port_end:",
    "user_halt: hlt",
    "ud2",
    "user_halt_end:",
    "user_kernel: mov rax, [0x100000]",
    "ud2",
    "user_kernel_end:",
    // Enters user mode at RDI with the stack RSI; comes back at `user_back`.
    "user_enter:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [KERNEL_STACK], rsp",
    "push {data}",
    "push rsi",
    "push 2",
    "push {code}",
    "push rdi",
    "iretq",
    "user_back:",
    "mov r8, rbx",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    data = const trap::USER_DATA,
    code = const trap::USER_CODE,
);

unsafe extern "C" {
    fn user_back();
    static user_sum: u8;
    static user_sum_end: u8;
    static user_port: u8;
    static user_port_end: u8;
    static user_halt: u8;
    static user_halt_end: u8;
    static user_kernel: u8;
    static user_kernel_end: u8;
}

/// An exception in user mode ends it: the frame that goes back to the kernel.
pub fn back_to_kernel(cs: &mut u64, ss: &mut u64, rsp: &mut u64) {
    *cs = trap::CODE.into();
    *ss = trap::DATA.into();
    // SAFETY: set when user mode was entered.
    *rsp = unsafe { addr_of_mut!(KERNEL_STACK).read_volatile() };
}

/// Copies code to the user's page and runs it; returns RAX, RDI and RBX at the exception that ends it.
fn run(start: &u8, end: &u8) -> [u64; 3] {
    let (start, end) = (&raw const *start, &raw const *end);
    let (rax, rdi, rbx): (u64, u64, u64);
    trap::expect(user_back as *const () as u64);
    // SAFETY: both symbols belong to the assembly above; the user's pages are mapped.
    unsafe {
        let length = end as usize - start as usize;
        core::ptr::copy_nonoverlapping(start, addr_of_mut!(CODE).cast(), length);
        asm!(
            "call user_enter",
            inout("rdi") memory::BASE => rdi,
            inout("rsi") memory::BASE + 8192 => _,
            out("rax") rax,
            out("r8") rbx,
            clobber_abi("C"),
        );
    }
    [rax, rdi, rbx]
}

/// Enters user mode and leaves it by exceptions.
pub fn user_mode() {
    // SAFETY: the selectors are those of the table, and the target is the code above.
    unsafe {
        // SSE: OSFXSR and OSXMMEXCPT; no emulation, and wait with the task switch.
        asm!("mov rax, cr4", "or rax, 0x600", "mov cr4, rax", out("rax") _);
        asm!("mov rax, cr0", "and rax, -13", "or rax, 2", "mov cr0, rax", out("rax") _);
    }
    memory::map(0, addr_of_mut!(CODE) as u64, PRESENT_WRITABLE_USER);
    memory::map(1, addr_of_mut!(STACK) as u64, PRESENT_WRITABLE_USER);
    // SAFETY: only their addresses are used.
    unsafe {
        let [sum, root, bits] = run(&user_sum, &user_sum_end);
        trap::report("user end");
        value("user sum", sum);
        value("user root", root);
        value("user bits", bits);
        for (name, start, end) in [
            ("user port", &user_port, &user_port_end),
            ("user halt", &user_halt, &user_halt_end),
            ("user kernel memory", &user_kernel, &user_kernel_end),
        ] {
            run(start, end);
            trap::report(name);
        }
    }
    memory::map(0, 0, 0);
    memory::map(1, 0, 0);
}
