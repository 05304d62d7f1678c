//! How fast the exact engine is, in medians, next to QEMU's deterministic mode on the same kernel and
//! initial RAM disk: `cargo bench -p chaosrun --bench engine [-- NAME...]`.
//!
//! Instructions are those that the guest retired. QEMU's whole run includes its firmware and the
//! kernel's own decompression, which chaosrun does on the host; so it is also told how long QEMU takes
//! from the kernel's first words on.

use std::time::Duration;

use chaosrun_vmm::machine::{Machine, MachineConfig, Stop};
use chaosrun_vmm::time::VirtTime;

mod cluster;
#[path = "../../tests/machines/elf.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod elf;
#[path = "../../tests/machines/guest.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod guest;
mod memory;
#[path = "../../tests/machines/packages.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod packages;
mod qemu;
mod threads;

use guest::{MILLI, SECOND};

/// How often each thing is measured.
const RUNS: usize = 5;

/// The kernel prints its log from the start, here and in QEMU.
pub const CMDLINE: &str = "console=ttyS0 earlyprintk=ttyS0 panic=-1";

fn main() {
    // Cargo passes `--bench`.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let cases: [(&str, fn()); 7] = [
        ("loop", integer_loop),
        ("sleep", sleep),
        ("tiny", || boot("tiny")),
        ("debian", || boot("debian")),
        ("memory", memory::report),
        ("cluster", cluster::report),
        ("threads", threads::report),
    ];
    for (name, case) in cases {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            case();
        }
    }
}

/// An initial RAM disk whose `/init` prints and restarts the machine, on which QEMU ends as well.
pub fn initrd() -> Vec<u8> {
    guest::pack(&guest::busybox_root("echo ready; reboot -f"))
}

/// A machine that has not started.
fn machine(kernel: &[u8], initrd: Option<&[u8]>, vcpus: u32) -> Machine {
    let config = MachineConfig {
        vcpus,
        initrd,
        cmdline: CMDLINE.to_owned(),
        ..MachineConfig::new(kernel)
    };
    Machine::new(&config).expect("the machine can be made")
}

/// Boots from loading the kernel to the reset, hashing the state as `chaosrun boot` does.
fn boot(name: &str) {
    let (kernel, initrd) = (guest::kernel(name), initrd());
    let mut ours = Duration::ZERO;
    for vcpus in [1, 4] {
        let mut retired = 0;
        let wall = median(|| {
            timed(|| {
                let mut machine = machine(&kernel, Some(&initrd), vcpus);
                run_hashed(&mut machine);
                retired = machine.retired();
            })
        });
        report(&format!("boot {name}, {vcpus} vCPU"), wall, retired);
        if vcpus == 1 {
            ours = wall;
        }
    }
    for machine in qemu::MACHINES {
        match qemu::boot(machine, &kernel, &initrd) {
            Ok(theirs) => {
                let ratio = |theirs: Duration| theirs.as_secs_f64() / ours.as_secs_f64();
                println!(
                    "boot {name}, QEMU {machine}: {:.3} s, {:.2} times chaosrun's; \
                     {:.3} s of it from the kernel's first words on, {:.2} times",
                    theirs.whole.as_secs_f64(),
                    ratio(theirs.whole),
                    theirs.kernel.as_secs_f64(),
                    ratio(theirs.kernel),
                );
            }
            Err(why) => println!("boot {name}, QEMU {machine}: not compared: {why}"),
        }
    }
}

fn run_hashed(machine: &mut Machine) {
    for tenth in 1.. {
        let stop = machine
            .run_until(VirtTime(tenth * 100 * MILLI))
            .expect("the engine works");
        machine.state_hash().expect("the engine works");
        machine.take_console();
        match stop {
            Stop::Reached => {}
            Stop::Reset => return,
            other => panic!("the guest ended badly: {other}"),
        }
        assert!(
            machine.now() < VirtTime(100 * SECOND),
            "the guest does not end"
        );
    }
}

/// A loop of register arithmetic, memory accesses and a branch.
fn integer_loop() {
    // mov edi, 0x200000; again: add eax, ecx; imul ecx, eax, 3; xor edx, eax; mov [rdi], edx;
    // add edx, [rdi + 8]; rol eax, 5; lea esi, [rax + rcx * 2]; inc ebx; jnz again; jmp again
    let kernel = elf::executable(&[
        0xbf, 0, 0, 0x20, 0, 0x01, 0xc8, 0x6b, 0xc8, 0x03, 0x31, 0xc2, 0x89, 0x17, 0x03, 0x57,
        0x08, 0xc1, 0xc0, 0x05, 0x8d, 0x34, 0x48, 0xff, 0xc3, 0x75, 0xea, 0xeb, 0xe8,
    ]);
    let until = VirtTime(300 * MILLI);
    let mut retired = 0;
    let wall = median(|| {
        let mut machine = machine(&kernel, None, 1);
        let wall = timed(|| {
            assert_eq!(
                machine.run_until(until).expect("the engine works"),
                Stop::Reached
            );
        });
        retired = machine.retired();
        wall
    });
    report("integer loop", wall, retired);
}

/// Sixty virtual seconds between two lines on the console of an idle Linux.
fn sleep() {
    let initrd = guest::pack(&guest::busybox_root("echo before; sleep 60; echo after"));
    let kernel = guest::kernel("debian");
    let mut retired = 0;
    let wall = median(|| {
        let mut machine = machine(&kernel, Some(&initrd), 1);
        show(&mut machine, "before\r\n");
        let before = machine.retired();
        let wall = timed(|| show(&mut machine, "after\r\n"));
        retired = machine.retired() - before;
        assert!(machine.now() > VirtTime(60 * SECOND));
        wall
    });
    report("60 s of sleep", wall, retired);
}

/// Runs until the console shows `text`.
fn show(machine: &mut Machine, text: &str) {
    let mut console = String::new();
    while !console.contains(text) {
        let until = machine.now().after(10 * MILLI);
        let stop = machine.run_until(until).expect("the engine works");
        console += &String::from_utf8_lossy(&machine.take_console());
        assert!(
            stop == Stop::Reached || console.contains(text),
            "{stop}: {console}"
        );
    }
}

fn report(what: &str, wall: Duration, retired: u64) {
    println!(
        "{what}: {:.1} ms, {retired} instructions, {:.1} MIPS",
        wall.as_secs_f64() * 1e3,
        retired as f64 / wall.as_secs_f64() / 1e6
    );
}

/// The median of what `measure` gives.
pub fn median(mut measure: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS).map(|_| measure()).collect();
    times.sort();
    times[RUNS / 2]
}

/// The wall time that `action` takes.
pub fn timed(action: impl FnOnce()) -> Duration {
    #[allow(
        clippy::disallowed_methods,
        reason = "wall time is what a benchmark measures"
    )]
    let start = std::time::Instant::now();
    action();
    start.elapsed()
}
