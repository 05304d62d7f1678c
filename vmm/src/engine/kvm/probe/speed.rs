//! How long things take. The host's clock is read for that, and nothing of it reaches a guest.

use std::time::{Duration, Instant};

use super::lab::{Did, Lab, USER_CODE, guest, to_user};
use super::{answer, good, limited};
use crate::engine::kvm::host::HostError;
use crate::engine::probe::{Answer, Blocks, Grade};

guest!(ports, "2: out 0x80, al", "jmp 2b");
guest!(memory, "mov ebx, 0x3f000000", "2: mov [rbx], eax", "jmp 2b");
guest!(halt_loop, "2: hlt", "jmp 2b");
guest!(
    registers,
    "mov ecx, 0x10",
    "2: rdmsr",
    "mov ecx, 0x10",
    "jmp 2b"
);
guest!(
    kernel_loop,
    "mov ecx, 100000",
    "2: dec ecx",
    "jnz 2b",
    "out 0x10, al"
);
guest!(
    user_loop,
    "mov ecx, 50000000",
    "2: dec ecx",
    "jnz 2b",
    "ud2"
);

/// Loop passes of the two guests.
const KERNEL_PASSES: u64 = 100_000;
const USER_PASSES: u64 = 50_000_000;
const EXITS: u32 = 2_000;
/// Passes of a loop in a second below which kernel mode is emulated and not executed.
const EMULATED: u64 = 50_000_000;

#[allow(
    clippy::disallowed_methods,
    reason = "a probe measures the host and decides nothing"
)]
fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn latency(code: &[u8]) -> Result<Duration, HostError> {
    let mut lab = Lab::new(code)?;
    lab.run();
    let time = timed(|| {
        for _ in 0..EXITS {
            lab.run_unwatched();
        }
    });
    Ok(time / EXITS)
}

/// Exits of each kind.
pub(super) fn exits() -> Answer {
    let kinds = [
        ("port", ports()),
        ("memory", memory()),
        ("register", registers()),
        ("HLT", halt_loop()),
    ];
    let mut slowest = Duration::ZERO;
    let mut parts = Vec::new();
    for (name, code) in kinds {
        match latency(code) {
            Ok(time) => {
                slowest = slowest.max(time);
                parts.push(format!("{name} {:.1} us", time.as_secs_f64() * 1e6));
            }
            Err(error) => return error.into(),
        }
    }
    let measured = parts.join(", ");
    if slowest < Duration::from_micros(5) {
        good(measured, "device accesses cost what they should")
    } else {
        limited(
            measured,
            "device accesses are slow: this is probably a nested host",
        )
    }
}

/// Passes of a loop in a second.
fn rate(passes: u64, time: Duration) -> u64 {
    (passes as f64 / time.as_secs_f64().max(1e-9)) as u64
}

fn kernel_rate() -> Result<Option<u64>, HostError> {
    let mut lab = Lab::new(kernel_loop())?;
    let mut did = Did::Stuck;
    let time = timed(|| did = lab.run());
    Ok((did == Did::Done).then(|| rate(KERNEL_PASSES, time)))
}

fn user_rate() -> Result<Option<u64>, HostError> {
    let mut lab = Lab::new(to_user())?;
    lab.ram.write(USER_CODE, user_loop());
    let mut did = Did::Stuck;
    let time = timed(|| did = lab.run());
    Ok((did == Did::Trapped(6)).then(|| rate(USER_PASSES, time)))
}

fn pace(rate: u64) -> String {
    format!(
        "{:.1} million passes of a loop in a second",
        rate as f64 / 1e6
    )
}

/// Kernel mode.
pub(super) fn kernel() -> Answer {
    match kernel_rate() {
        Err(error) => error.into(),
        Ok(Some(rate)) if rate >= EMULATED => good(pace(rate), "kernel code runs on the processor"),
        Ok(Some(rate)) => answer(
            Grade::Bad,
            pace(rate),
            "kernel code is emulated: a kernel takes minutes to boot, if it boots at all",
            &[Blocks::Linux],
        ),
        Ok(None) => answer(
            Grade::Bad,
            "a loop in kernel mode does not end".to_owned(),
            "kernel code does not run",
            &[Blocks::Everything],
        ),
    }
}

/// User mode.
pub(super) fn user() -> Answer {
    match user_rate() {
        Err(error) => error.into(),
        Ok(Some(rate)) if rate >= EMULATED => good(pace(rate), "programs run on the processor"),
        Ok(Some(rate)) => limited(pace(rate), "programs are emulated as well"),
        Ok(None) => answer(
            Grade::Bad,
            "a loop in user mode does not end".to_owned(),
            "programs do not run",
            &[Blocks::Linux],
        ),
    }
}
