//! The KVM engine and the exact engine side by side: `cargo bench -p chaosrun-vmm --bench engines`.
//!
//! Numbers of the host's time, for people; nothing is asserted.

use std::time::{Duration, Instant};

use chaosrun_vmm::engine::{EngineKind, EngineOptions};
use chaosrun_vmm::machine::{Machine, MachineConfig, MachineError, Stop};
use chaosrun_vmm::time::VirtTime;

const ENTRY: u64 = 0x10_0000;
const ACCESSES: u32 = 20_000;
const KERNEL_PASSES: u32 = 200_000;
const USER_PASSES: u32 = 20_000_000;

/// Defines a function that returns the code of some assembly, followed by power-off.
macro_rules! guest {
    ($name:ident, $($line:literal),+ $(,)?) => {
        core::arch::global_asm!(
            ".pushsection .rodata.bench, \"a\", @progbits",
            concat!("bench_", stringify!($name), ":"),
            $($line,)+
            "mov edx, 0x600",
            "mov al, 0x34",
            "out dx, al",
            concat!("bench_", stringify!($name), "_end:"),
            ".popsection",
        );

        fn $name() -> &'static [u8] {
            unsafe extern "C" {
                #[link_name = concat!("bench_", stringify!($name))]
                static START: u8;
                #[link_name = concat!("bench_", stringify!($name), "_end")]
                static END: u8;
            }
            // SAFETY: both symbols lie in one read-only section, the first before the second.
            unsafe {
                let start = &raw const START;
                std::slice::from_raw_parts(start, (&raw const END).offset_from(start) as usize)
            }
        }
    };
}

guest!(
    ports,
    "mov ecx, 20000",
    "2: in al, 0x21",
    "dec ecx",
    "jnz 2b"
);
guest!(
    memory,
    "mov ecx, 20000",
    "mov ebx, 0xfee00080",
    "2: mov eax, [rbx]",
    "dec ecx",
    "jnz 2b"
);
guest!(
    registers,
    "mov esi, 20000",
    "2: mov ecx, 0x1b",
    "rdmsr",
    "dec esi",
    "jnz 2b"
);
guest!(
    priorities,
    "mov ecx, 20000",
    "2: mov eax, 1",
    "mov cr8, rax",
    "xor eax, eax",
    "mov cr8, rax",
    "dec ecx",
    "jnz 2b"
);
guest!(kernel_loop, "mov ecx, 200000", "2: dec ecx", "jnz 2b");
/// Defines a guest that has a handler for interrupt 0x40, which counts in ESI, and the local APIC on.
/// RBX is the local APIC's address.
macro_rules! interrupted {
    ($name:ident, $($line:literal),+ $(,)?) => {
        guest!(
            $name,
            "jmp 3f",
            "4: inc esi",
            "mov dword ptr [rbx + 0xb0], 0",
            "iretq",
            "3: lea rax, [rip + 4b]",
            "mov edi, 0x200400",
            "mov [rdi], ax",
            "mov word ptr [rdi + 2], cs",
            "mov word ptr [rdi + 4], 0x8e00",
            "shr eax, 16",
            "mov [rdi + 6], ax",
            "sub rsp, 16",
            "mov word ptr [rsp], 0xfff",
            "mov qword ptr [rsp + 2], 0x200000",
            "lidt [rsp]",
            "xor esi, esi",
            "mov ebx, 0xfee00000",
            "mov dword ptr [rbx + 0xf0], 0x1ff",
            $($line),+
        );
    };
}
// The timer wakes it every 10 us of its time.
interrupted!(
    wake_ups,
    "mov dword ptr [rbx + 0x3e0], 0xb",
    "mov dword ptr [rbx + 0x320], 0x20040",
    "mov dword ptr [rbx + 0x380], 250",
    "2: sti",
    "hlt",
    "cmp esi, 20000",
    "jb 2b",
    "cli",
);
// Sends itself interrupts that it does not take yet, and then lets them in. Where the host does not
// leave the guest just then, the port is what it leaves for.
interrupted!(
    windows,
    "mov ecx, 20000",
    "2: cli",
    "mov dword ptr [rbx + 0x300], 0x44040",
    "sti",
    "nop",
    "in al, 0x21",
    "dec ecx",
    "jnz 2b",
    // For ever, if one of them was lost.
    "cli",
    "cmp esi, 20000",
    "je 5f",
    "hlt",
    "5:",
);
// Makes all memory the user's, enters user mode, counts, and ends in a triple fault.
guest!(
    user_loop,
    "mov edi, 0x9000",
    "2: or qword ptr [rdi], 4",
    "add edi, 8",
    "cmp edi, 0xf000",
    "jne 2b",
    "mov rax, cr3",
    "mov cr3, rax",
    "lea rax, [rip + 5f]",
    "mov [rip + 4f + 2], rax",
    "lgdt [rip + 4f]",
    "push 0x1b",
    "push 0x8000",
    "push 2",
    "push 0x23",
    "lea rax, [rip + 6f]",
    "push rax",
    "iretq",
    "4: .word 39",
    ".quad 0",
    "5: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff",
    "6: mov ecx, 20000000",
    "2: dec ecx",
    "jnz 2b",
    "ud2",
);

/// An ELF executable with one segment of code.
fn elf(code: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(2u16.to_le_bytes());
    file.extend(62u16.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    let words = |file: &mut Vec<u8>, words: &[u64]| {
        file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    };
    words(&mut file, &[ENTRY, 64, 0]);
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // A segment to load, with all permissions.
    words(&mut file, &[1 | 7 << 32]);
    let size = code.len() as u64;
    words(&mut file, &[120, ENTRY, ENTRY, size, size, 0x1000]);
    file.extend(code);
    file
}

fn machine(engine: EngineKind, code: &[u8]) -> Result<Machine, MachineError> {
    Machine::new(&MachineConfig {
        engine,
        memory: 64 << 20,
        ..MachineConfig::new(&elf(code))
    })
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures the host")]
fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// How long a guest takes, at best of three.
fn run(engine: EngineKind, code: &[u8]) -> Duration {
    let once = || {
        let mut machine = machine(engine, code).unwrap();
        timed(|| {
            let stop = machine.run_until(VirtTime(60_000_000_000)).unwrap();
            assert!(
                matches!(stop, Stop::PowerOff | Stop::TripleFault { .. }),
                "{stop}"
            );
        })
    };
    (0..3).map(|_| once()).min().expect("three runs")
}

/// A state hash right after another one, and carrying the vCPU over to a fresh engine.
fn states(engine: EngineKind) -> (Duration, Duration) {
    let mut machine = machine(engine, ports()).unwrap();
    machine.run_until(VirtTime(1000)).unwrap();
    machine.state_hash().unwrap();
    let options = EngineOptions::default();
    let rounds = 20;
    let hash = timed(|| {
        for _ in 0..rounds {
            machine.state_hash().unwrap();
        }
    });
    let restore = timed(|| {
        for _ in 0..rounds {
            machine.change_engine(engine, &options).unwrap();
        }
    });
    (hash / rounds, restore / rounds)
}

fn per_second(count: u32, time: Duration) -> String {
    format!("{:.0}", f64::from(count) / time.as_secs_f64())
}

fn main() {
    let mut engines = vec![("exact", EngineKind::Exact)];
    match machine(EngineKind::Kvm, ports()) {
        Ok(_) => engines.push(("kvm", EngineKind::Kvm)),
        Err(error) => println!("kvm is left out: {error}"),
    }
    println!(
        "{:<42}{:>16}{:>16}",
        "",
        engines[0].0,
        engines.get(1).map_or("", |e| e.0)
    );
    let row = |name: &str, cell: &dyn Fn(EngineKind) -> String| {
        let cells: String = engines
            .iter()
            .map(|(_, kind)| format!("{:>16}", cell(*kind)))
            .collect();
        println!("{name:<42}{cells}");
    };
    let rate = |count, code: &'static [u8]| move |kind| per_second(count, run(kind, code));
    row("port accesses per second", &rate(ACCESSES, ports()));
    row(
        "accesses to the local APIC per second",
        &rate(ACCESSES, memory()),
    );
    row(
        "RDMSR of the APIC base per second",
        &rate(ACCESSES, registers()),
    );
    row(
        "lowerings of the task priority per second",
        &rate(ACCESSES, priorities()),
    );
    row("wake-ups from HLT per second", &rate(ACCESSES, wake_ups()));
    row("interrupts let in per second", &rate(ACCESSES, windows()));
    row(
        "passes of a kernel loop per second",
        &rate(KERNEL_PASSES, kernel_loop()),
    );
    row(
        "passes of a user loop per second",
        &rate(USER_PASSES, user_loop()),
    );
    row("state hash, nothing changed", &|kind| {
        format!("{:.1?}", states(kind).0)
    });
    row("restoring a vCPU on a fresh engine", &|kind| {
        format!("{:.1?}", states(kind).1)
    });
}
