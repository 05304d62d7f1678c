//! The smallest kernels: a few bytes of machine code in an ELF executable.

/// Where the code is loaded, and entered in 64-bit mode with the first 4 GiB mapped as they are,
/// interrupts off and no interrupt table.
pub const CODE_AT: u64 = 0x10_0000;

/// The bytes of headers in front of the code.
pub const HEADERS: usize = 64 + 56;

/// An executable with one segment, writable as well, that holds `code` (ELF-64 object file format,
/// version 1.5).
pub fn executable(code: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |value: u64, bytes: usize| file.extend(&value.to_le_bytes()[..bytes]);
    // The header: type EXEC, machine x86-64, version, entry, program headers, section headers,
    // flags, and the sizes and counts of the headers.
    for (value, bytes) in [
        (2, 2),
        (62, 2),
        (1, 4),
        (CODE_AT, 8),
        (64, 8),
        (0, 8),
        (0, 4),
    ] {
        put(value, bytes);
    }
    for value in [64, 56, 1, 64, 0, 0] {
        put(value, 2);
    }
    // The program header: type LOAD, flags RWX, offset, addresses, sizes, alignment.
    let size = code.len() as u64;
    put(1, 4);
    put(7, 4);
    for value in [HEADERS as u64, CODE_AT, CODE_AT, size, size, 1] {
        put(value, 8);
    }
    file.extend(code);
    file
}

/// `mov edx, port; mov al, value; out dx, al`
pub fn out(port: u16, value: u8) -> Vec<u8> {
    let [low, high] = port.to_le_bytes();
    vec![0xba, low, high, 0, 0, 0xb0, value, 0xee]
}
