//! Exceptions, the processor's identity, and its model-specific registers.

use crate::console::{check, hex, line, text, value};
use crate::{cpu, faults};

/// Exceptions of single instructions.
pub fn exceptions() {
    faults!("undefined instruction", "ud2");
    faults!(
        "division by zero",
        "xor eax, eax",
        "xor edx, edx",
        "div eax"
    );
    faults!(
        "division overflow",
        "mov edx, 1",
        "xor eax, eax",
        "mov ecx, 1",
        "div ecx"
    );
    faults!(
        "address that is not canonical",
        "mov rax, [{a}]",
        a = 1u64 << 48
    );
    faults!("unmapped read", "mov rax, [{a}]", a = 0x12_3456_7000u64);
    faults!("unmapped write", "mov [{a}], rax", a = 0x12_3456_7008u64);
    faults!("unmapped call", "jmp {a}", a = 0x12_3456_7010u64);
    faults!(
        "null selector for the stack",
        "xor eax, eax",
        "mov ss, eax",
        "push rax",
        "pop rax"
    );
    faults!(
        "selector beyond the table",
        "mov eax, 0x1230",
        "mov es, eax"
    );
    faults!("unknown register read", "mov ecx, 0xc0de", "rdmsr");
    faults!("unknown register written", "mov ecx, 0xc0de", "wrmsr");
    faults!(
        "address register that is not canonical",
        "mov ecx, 0xc0000082",
        "xor eax, eax",
        "mov edx, 0x8000",
        "wrmsr",
    );
    faults!(
        "paging off in 64-bit mode",
        "mov rax, cr0",
        "btr rax, 31",
        "mov cr0, rax"
    );
}

fn leaf(number: u32, subleaf: u32, masks: [u32; 4]) {
    text("cpuid ");
    hex(number.into());
    text(".");
    hex(subleaf.into());
    text(":");
    for (register, mask) in cpu::cpuid(number, subleaf).into_iter().zip(masks) {
        text(" ");
        hex((register & mask).into());
    }
    line("");
}

/// What CPUID says, but for the timer and the clock that an engine may have to leave out. Of the leaves
/// of features only that they have what is promised: some nested hosts show their own.
pub fn identity() {
    const ALL: [u32; 4] = [u32::MAX; 4];
    leaf(0, 0, ALL);
    leaf(1, 0, [u32::MAX, u32::MAX, 0, 0]);
    // SSE3 SSSE3 CX16 SSE4.1 SSE4.2 x2APIC POPCNT XSAVE; FPU TSC MSR PAE APIC SEP CMOV FXSR SSE SSE2.
    let [_, _, ecx, edx] = cpu::cpuid(1, 0);
    check(
        "features",
        ecx & 0x0498_2201 == 0x0498_2201 && edx & 0x0700_8a71 == 0x0700_8a71,
    );
    for subleaf in 0..4 {
        leaf(4, subleaf, ALL);
    }
    leaf(0xb, 0, ALL);
    leaf(0xb, 1, ALL);
    leaf(0x15, 0, ALL);
    leaf(0x16, 0, ALL);
    leaf(0x4000_0000, 0, ALL);
    leaf(0x8000_0000, 0, ALL);
    // Without RDTSCP.
    leaf(0x8000_0001, 0, [u32::MAX, u32::MAX, u32::MAX, !(1 << 27)]);
    for number in 0x8000_0002..=0x8000_0004 {
        leaf(number, 0, ALL);
    }
    leaf(0x8000_0008, 0, ALL);
}

/// Model-specific registers.
pub fn registers() {
    for (name, index) in [
        ("platform info", 0xce),
        ("memory type capabilities", 0xfe),
        ("architectural capabilities", 0x10a),
        ("miscellaneous", 0x1a0),
        ("page attributes", 0x277),
        ("default memory type", 0x2ff),
        ("apic base", 0x1b),
        ("efer", 0xc000_0080),
        ("fixed memory type", 0x250),
        ("microcode", 0x8b),
    ] {
        value(name, cpu::rdmsr(index));
    }
    for (name, index, wanted) in [
        ("system call target", 0xc000_0082, 0xffff_8000_1234_5678),
        ("system call mask", 0xc000_0084, 0x4_7700),
        ("kernel gs", 0xc000_0102, 0x1_2345_6789),
        ("sysenter target", 0x176, 0xffff_ffff_8000_0000),
        ("variable memory type", 0x200, 0x8000_0006),
        ("clock adjustment", 0x3b, 0x1000),
    ] {
        // SAFETY: nothing of this is in use yet.
        unsafe { cpu::wrmsr(index, wanted) };
        value(name, cpu::rdmsr(index));
    }
    // SAFETY: back to what it was.
    unsafe { cpu::wrmsr(0x3b, 0) };
    // The counter itself, by its register, which is ours on every engine.
    let (first, second) = (cpu::rdmsr(0x10), cpu::rdmsr(0x10));
    check("clock goes on", second > first);
}
