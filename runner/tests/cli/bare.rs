//! Programs without an operating system, small enough to be written as bytes.

/// Where the program is loaded and starts.
const ENTRY: u64 = 0x100_0000;

/// An ELF executable (64-bit, one segment) with this code, which runs in 64-bit mode.
pub fn elf(code: &[u8]) -> Vec<u8> {
    const HEADERS: u64 = 64 + 56;
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01");
    file.resize(16, 0);
    file.extend(2u16.to_le_bytes()); // An executable
    file.extend(62u16.to_le_bytes()); // for x86-64.
    file.extend(1u32.to_le_bytes());
    file.extend(ENTRY.to_le_bytes());
    file.extend(64u64.to_le_bytes()); // Program headers.
    file.extend(0u64.to_le_bytes()); // No section headers.
    file.extend(0u32.to_le_bytes());
    for field in [64u16, 56, 1, 0, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes()); // A segment to load,
    file.extend(7u32.to_le_bytes()); // with all permissions.
    for field in [
        HEADERS,
        ENTRY,
        ENTRY,
        code.len() as u64,
        code.len() as u64,
        0x1000,
    ] {
        file.extend(field.to_le_bytes());
    }
    file.extend(code);
    file
}

/// Code that prints a text on the serial port.
pub fn print(text: &str) -> Vec<u8> {
    let mut code = vec![0x66, 0xba, 0xf8, 0x03]; // mov dx, 0x3f8
    for byte in text.bytes() {
        code.extend([0xb0, byte, 0xee]); // mov al, byte; out dx, al
    }
    code
}

/// Code that switches the machine off: sleep type 5 into the ACPI sleep control register.
pub fn power_off() -> Vec<u8> {
    let mut code = vec![0x66, 0xba, 0x00, 0x06]; // mov dx, 0x600
    code.extend([0xb0, 0x34, 0xee]); // mov al, 0x34; out dx, al
    code.extend(spin());
    code
}

/// Code that loops for ever; the boot protocol starts with interrupts off.
pub fn spin() -> Vec<u8> {
    vec![0xeb, 0xfe] // jmp $
}

/// Code that halts for good.
pub fn halt() -> Vec<u8> {
    vec![0xfa, 0xf4] // cli; hlt
}

/// Code that jumps to an address that is not mapped, without any exception handler.
pub fn jump_into_nowhere() -> Vec<u8> {
    let mut code = vec![0x48, 0xb8]; // mov rax, imm64
    code.extend(0x7fff_0000_0000u64.to_le_bytes());
    code.extend([0xff, 0xe0]); // jmp rax
    code
}

/// Code that writes 4096 bytes at each page from 4 GiB downwards until it destroys itself.
pub fn write_everywhere() -> Vec<u8> {
    vec![
        0x31, 0xff, // xor edi, edi
        0x83, 0xc8, 0xff, // or eax, -1
        0x83, 0xc9, 0xff, // or ecx, -1
        0xfc, // cld
        0xf3, 0xaa, // rep stosb
    ]
}
