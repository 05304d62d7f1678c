//! Kernels and guests that are damaged, hostile or stuck: each ends with an error that says so and
//! the documented exit code, and never with a panic or not at all.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use chaosrun_vmm::machine::{Machine, MachineConfig};
use chaosrun_vmm::tape::{Stream, Tape};
use chaosrun_vmm::time::VirtTime;

use super::binary::{self, Run, chaosrun};
use super::elf::{HEADERS, executable, out};
use super::guest::debian;

/// The exit codes of `chaosrun --help`.
const PASSED: i32 = 0;
const ENDED_BADLY: i32 = 1;
const USAGE: i32 = 2;
const UNIMPLEMENTED: i32 = 70;

/// Where the setup header of a bzImage has its magic number, the protocol's version, the offset and
/// the length of the payload (Linux, Documentation/arch/x86/boot.rst).
const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

/// Files for one run of the binary.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// `chaosrun boot` with `kernel` as a file.
fn boot(kernel: &[u8], args: &[&str]) -> Run {
    let files = Files::new();
    let path = files.put("kernel", kernel);
    let mut all = vec![OsString::from("boot"), path.into()];
    all.extend(args.iter().map(OsString::from));
    binary::run(&mut chaosrun(all))
}

/// `chaosrun boot` with a guest of a few bytes, for at most a virtual tenth of a second.
fn boot_code(code: &[u8]) -> Run {
    boot(&executable(code), &["--for", "100ms", "--memory", "64MiB"])
}

#[test]
fn truncated_elf_is_refused_wherever_it_ends() {
    let whole = executable(&[0xf4; 100]);
    for end in [5, 40, HEADERS - 1, HEADERS, whole.len() - 1] {
        boot(&whole[..end], &[]).ended(USAGE, "the ELF file is truncated");
    }
}

#[test]
fn elf_of_another_kind_is_refused() {
    let mut other = executable(&[0xf4]);
    other[18] = 183;
    boot(&other, &[]).ended(USAGE, "not a static 64-bit x86-64 executable");
}

#[test]
fn elf_outside_of_ram_is_refused() {
    let mut far = executable(&[0xf4]);
    for field in [64 + 16, 64 + 24, 24] {
        far[field..field + 8].copy_from_slice(&0x7000_0000u64.to_le_bytes());
    }
    boot(&far, &[]).ended(USAGE, "give the machine more memory");
}

#[test]
fn garbage_is_not_taken_for_a_kernel() {
    let words = "neither an ELF executable nor a bzImage";
    boot(&noise(1, 100_000), &[]).ended(USAGE, words);
    boot(b"#!/bin/sh\n", &[]).ended(USAGE, "cannot be booted");
    boot(&[], &[]).ended(USAGE, "it has 0 bytes");
}

#[test]
fn bzimage_with_a_damaged_header_is_refused() {
    let damaged = |at: usize, bytes: &[u8]| {
        let mut kernel = debian().to_vec();
        kernel[at..at + bytes.len()].copy_from_slice(bytes);
        boot(&kernel, &[])
    };
    damaged(MAGIC, b"HdrX").ended(USAGE, "neither an ELF executable nor a bzImage");
    damaged(VERSION, &[0, 1]).ended(USAGE, "setup header is not usable");
    for offset in [0x7fff_ffffu32, u32::MAX] {
        damaged(PAYLOAD_OFFSET, &offset.to_le_bytes()).ended(USAGE, "the bzImage is truncated");
    }
    damaged(PAYLOAD_LENGTH, &u32::MAX.to_le_bytes()).ended(USAGE, "the bzImage is truncated");
}

/// LZ4 has no checksum, so that not every single bit is noticed; nonsense is.
#[test]
fn bzimage_with_a_damaged_payload_is_refused() {
    let mut kernel = debian().to_vec();
    let number = |at: usize| u32::from_le_bytes(kernel[at..at + 4].try_into().unwrap()) as usize;
    let payload = (usize::from(kernel[SETUP_SECTORS]) + 1) * 512 + number(PAYLOAD_OFFSET);
    let middle = payload + number(PAYLOAD_LENGTH) / 2;
    kernel[middle..middle + 100_000].fill(0xff);
    boot(&kernel, &[]).ended(USAGE, "payload is damaged");
    kernel[payload] ^= 0xff;
    boot(&kernel, &[]).ended(USAGE, "the kernel is packed in an unknown format");
}

#[test]
fn truncated_bzimage_is_refused_wherever_it_ends() {
    for end in [0x1f0, 0x210, 0x1000, 1 << 20, debian().len() / 2] {
        let run = boot(&debian()[..end], &[]);
        assert_eq!(run.code, Some(USAGE), "{end}: {run:#?}");
    }
}

#[test]
fn initrd_larger_than_ram_is_refused() {
    let files = Files::new();
    let initrd = files.put("initrd", &vec![7; 80 << 20]);
    let mut command = chaosrun(["boot", "debian", "--memory", "64MiB"]);
    binary::run(command.arg(initrd)).ended(USAGE, "the initrd has 83886080 bytes");
}

#[test]
fn initrd_that_does_not_exist_is_refused() {
    let mut command = chaosrun(["boot", "debian", "no/such/file"]);
    binary::run(&mut command).ended(USAGE, "cannot read the initrd");
}

#[test]
fn impossible_machines_are_refused() {
    let kernel = executable(&[0xf4]);
    boot(&kernel, &["--vcpus", "0"]).ended(USAGE, "a machine has 1 to 8 vCPUs");
    boot(&kernel, &["--vcpus", "9"]).ended(USAGE, "a machine has 1 to 8 vCPUs");
    for memory in ["4KiB", "4097B", "8000000GiB"] {
        let run = boot(&kernel, &["--memory", memory]);
        run.ended(USAGE, "cannot be booted");
    }
    boot(&kernel, &["--memory", "64"]).ended(USAGE, "--memory");
    boot(&kernel, &["--cmdline", &"x".repeat(100_000)]).ended(USAGE, "the kernel command line has");
}

#[test]
fn unknown_kernel_is_refused_with_a_suggestion() {
    binary::run(&mut chaosrun(["boot", "debain"])).ended(USAGE, "did you mean `debian`?");
    binary::run(&mut chaosrun(["boot", "."])).ended(USAGE, "is not a regular file");
}

#[test]
fn triple_fault_is_told_with_its_place() {
    // nop; ud2
    boot_code(&[0x90, 0x0f, 0x0b]).ended(ENDED_BADLY, "triple fault of vCPU 0 at 0x100001");
}

#[test]
fn loop_with_interrupts_off_ends_with_the_time_it_was_given() {
    // cli; jmp .
    let forever = executable(&[0xfa, 0xeb, 0xfe]);
    let run = boot(&forever, &["--for", "100ms"]);
    run.ended(PASSED, "the time is up");
    assert_eq!(run.told("virtual time"), "0.100000000 s");
    assert_eq!(run.told("instructions"), "100000000");
    boot(&forever, &["--for", "1ms", "--until", "ready"]).ended(
        ENDED_BADLY,
        "the console did not show `ready`: the time is up",
    );
}

#[test]
fn halt_with_interrupts_off_is_told_with_its_place() {
    // cli; hlt; jmp to the hlt
    boot_code(&[0xfa, 0xf4, 0xeb, 0xfd]).ended(
        ENDED_BADLY,
        "all vCPUs are halted and nothing can wake one: vCPU 0 Halted at 0x100002",
    );
}

#[test]
fn jump_to_unmapped_memory_is_told_with_the_address() {
    // mov rax, 1 << 40; jmp rax
    boot_code(&[0x48, 0xb8, 0, 0, 0, 0, 0, 1, 0, 0, 0xff, 0xe0])
        .ended(ENDED_BADLY, "last page fault at 0x10000000000");
}

#[test]
fn jump_to_an_address_that_is_not_canonical_is_told() {
    // mov rax, 1 << 63; jmp rax
    boot_code(&[0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0xe0])
        .ended(ENDED_BADLY, "triple fault of vCPU 0");
}

#[test]
fn execution_of_device_memory_and_of_nothing_ends() {
    // mov eax, address; jmp rax: the local APIC, the I/O APIC, a virtio slot, behind RAM
    for address in [0xfee0_0000u32, 0xfec0_0000, 0xd000_0000, 0x0800_0000] {
        let mut code = vec![0xb8];
        code.extend(address.to_le_bytes());
        code.extend([0xff, 0xe0]);
        boot_code(&code).ended(UNIMPLEMENTED, "which is not RAM");
    }
}

#[test]
fn guest_that_writes_everywhere_ends() {
    // mov edi, start; mov rcx, -1; mov al, 0xcc; rep stosb: upwards from 0 through its own page
    // tables and code, or from behind its code through RAM, the device hole and the devices.
    for start in [0u32, 0x20_0000, 0xfec0_0000] {
        let mut code = vec![0xbf];
        code.extend(start.to_le_bytes());
        code.extend([
            0x48, 0xc7, 0xc1, 0xff, 0xff, 0xff, 0xff, 0xb0, 0xcc, 0xf3, 0xaa,
        ]);
        let run = boot_code(&code);
        assert!(
            matches!(run.code, Some(PASSED | ENDED_BADLY)),
            "{start:#x}: {run:#?}"
        );
        assert!(run.stderr.contains("state hash"), "{run:#?}");
    }
}

#[test]
fn guest_that_writes_to_every_port_ends() {
    // xor edx, edx; loop: mov eax, edx; out dx, al; out dx, ax; out dx, eax; in al, dx; in eax, dx;
    // inc dx; jnz loop; hlt
    let code = [
        0x31, 0xd2, 0x89, 0xd0, 0xee, 0x66, 0xef, 0xef, 0xec, 0xed, 0x66, 0xff, 0xc2, 0x75, 0xf3,
        0xf4,
    ];
    let run = boot_code(&code);
    assert!(matches!(run.code, Some(PASSED | ENDED_BADLY)), "{run:#?}");
}

#[test]
fn console_flood_reaches_stdout_and_ends_with_its_time() {
    // mov edx, 0x3f8; mov al, 'x'; out dx, al; jmp to the out
    let run = boot_code(&[0xba, 0xf8, 3, 0, 0, 0xb0, b'x', 0xee, 0xeb, 0xfd]);
    run.ended(PASSED, "the time is up");
    assert!(run.stdout.len() > 100_000 && run.stdout.bytes().all(|byte| byte == b'x'));
}

#[test]
fn reset_without_a_reason_is_an_orderly_end() {
    // The keyboard controller's pulse of the reset line.
    boot_code(&out(0x64, 0xfe)).ended(PASSED, "chaosrun: reset");
}

#[test]
fn kernel_without_a_root_panics_and_that_is_a_failure() {
    let files = Files::new();
    let initrd = files.put("initrd", &noise(2, 10_000));
    let mut command = chaosrun(["boot", "tiny", "--for", "20s"]);
    let run = binary::run(command.arg(initrd));
    run.ended(ENDED_BADLY, "the guest's kernel panicked");
    assert!(
        run.stdout.contains("Kernel panic - not syncing"),
        "{run:#?}"
    );
}

/// Random bytes rarely hold long programs, so the generator prefers what does something: prefixes,
/// system instructions and operands that point into RAM.
#[test]
fn random_code_never_panics() {
    let mut stream = Tape::new(3).stream("random code");
    let mut failed = Vec::new();
    for number in 0..3_000 {
        let code = random_code(&mut stream);
        let kernel = executable(&code);
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            let config = MachineConfig {
                memory: 4 << 20,
                vcpus: 2,
                ..MachineConfig::new(&kernel)
            };
            let mut machine = Machine::new(&config).expect("a good ELF file");
            machine
                .run_until(VirtTime(20_000))
                .expect("the engine works");
            machine.state_hash().expect("the engine works");
        }));
        if attempt.is_err() {
            failed.push(format!("{number}: {code:02x?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn random_code(stream: &mut Stream) -> Vec<u8> {
    /// Openings of instructions of all kinds; what follows is drawn.
    const OPENINGS: &[&[u8]] = &[
        &[0x0f],
        &[0x0f, 0x38],
        &[0x0f, 0x3a],
        &[0x66, 0x0f],
        &[0xf3, 0x0f],
        &[0xf2, 0x0f],
        &[0x48],
        &[0x48, 0x0f],
        &[0x41],
        &[0xf0],
        &[0x66],
        &[0x67],
        &[0xf3],
        &[0xf2],
        &[0x64],
        &[0x0f, 0x00],
        &[0x0f, 0x01],
        &[0x0f, 0x20],
        &[0x0f, 0x22],
        &[0x0f, 0x23],
        &[0x0f, 0x30],
        &[0x0f, 0x32],
        &[0x0f, 0xae],
        &[0x0f, 0xc7],
        &[0xd9],
        &[0xdb],
        &[0xdd],
        &[0xdf],
        &[0xcf],
        &[0xcb],
        &[0x8e],
        &[0x9d],
        &[0xff],
        &[0xf6],
        &[0xf7],
        &[0xc5],
        &[0xc4],
        &[0x62],
        &[0xcd],
        &[0x6c],
        &[0x6f],
    ];
    let mut code = Vec::new();
    // Registers that make memory operands and counts likely to be of use.
    for register in 0..8u8 {
        code.push(0xb8 + register);
        let value = match stream.below(4) {
            0 => stream.below(0x40_0000),
            1 => stream.below(64),
            2 => 0xfee0_0000 + stream.below(0x400),
            _ => stream.any() & 0xffff_ffff,
        };
        code.extend((value as u32).to_le_bytes());
    }
    while code.len() < 200 {
        if stream.below(3) > 0 {
            code.extend(OPENINGS[stream.below(OPENINGS.len() as u64) as usize]);
        }
        let tail = 1 + stream.below(6);
        code.extend((0..tail).map(|_| stream.any() as u8));
    }
    code
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut stream = Tape::new(seed).stream("noise");
    (0..length).map(|_| stream.any() as u8).collect()
}
