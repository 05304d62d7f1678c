//! Builds guests/bare, runs it on an engine, and notes the machine's state at every mark.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use chaosrun_vmm::engine::{EngineError, EngineKind, EngineOptions};
use chaosrun_vmm::machine::{Machine, MachineConfig, MachineError, StateHash, Stop};
use chaosrun_vmm::time::VirtTime;

/// The machine is looked at this often, in nanoseconds of virtual time.
pub const STEP: u64 = 10_000_000;
/// The suite takes a few seconds of virtual time, for it waits for the CMOS clock.
const END: u64 = 30_000_000_000;
/// What the suite counts on.
const VCPUS: u32 = 4;

/// The suite's executable.
pub fn program() -> &'static [u8] {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM.get_or_init(build)
}

fn build() -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/bare");
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bare");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--target-dir"])
        .arg(&target)
        .current_dir(&source)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "guests/bare does not build:\n{said}"
    );
    std::fs::read(target.join("x86_64-unknown-linux-gnu/release/conformance")).unwrap()
}

/// The state at a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub name: String,
    pub hash: StateHash,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub console: String,
    pub marks: Vec<Mark>,
    pub retired: u64,
    pub end: VirtTime,
}

/// A machine that is about to run the suite.
pub fn machine(engine: EngineKind) -> Result<Machine, MachineError> {
    Machine::new(&MachineConfig {
        engine,
        engine_options: EngineOptions::default(),
        memory: 32 << 20,
        vcpus: VCPUS,
        external_input: true,
        ..MachineConfig::new(program())
    })
}

/// Whether this host has the engine; if not, says why.
pub fn has(engine: EngineKind) -> bool {
    match machine(engine) {
        Err(MachineError::Engine(EngineError::Unavailable { why, .. })) => {
            not_checked(&why);
            false
        }
        other => {
            other.map(drop).unwrap();
            true
        }
    }
}

/// Says past the harness, which shows nothing of tests that pass, that a test checks nothing and why.
/// Where `CHAOSRUN_REQUIRE_KVM` is set, that is a failure.
fn not_checked(why: &str) {
    let required = std::env::var_os("CHAOSRUN_REQUIRE_KVM").is_some();
    assert!(!required, "KVM is required here: {why}");
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "NOT CHECKED: {name}: {why}");
}

/// Runs the suite to its end.
pub fn run(engine: EngineKind) -> Outcome {
    run_with(engine, |_, _| {})
}

/// Runs the suite to its end, and has `at_mark` do something to the machine at each mark, after its
/// state was noted. `at_mark` is told the number of the mark.
pub fn run_with(engine: EngineKind, mut at_mark: impl FnMut(&mut Machine, usize)) -> Outcome {
    let mut machine = machine(engine).unwrap();
    let mut console = String::new();
    let mut marks = Vec::new();
    loop {
        let until = VirtTime((machine.now().0 / STEP + 1) * STEP);
        let stop = machine
            .run_until(until)
            .unwrap_or_else(|error| panic!("{error}\n{console}"));
        console += &String::from_utf8_lossy(&machine.take_console());
        if stop != Stop::Reached {
            assert_eq!(stop, Stop::PowerOff, "{stop}\n{console}");
            break;
        }
        assert!(machine.now().0 < END, "the suite does not end:\n{console}");
        if let Some(name) = waiting(&console) {
            marks.push(Mark {
                name: name.to_owned(),
                hash: machine.state_hash().unwrap(),
            });
            console += &format!("({name})\n");
            at_mark(&mut machine, marks.len());
            assert_eq!(machine.type_console(b"\n"), 1);
        }
    }
    Outcome {
        console,
        marks,
        retired: machine.retired(),
        end: machine.now(),
    }
}

/// The mark that the suite waits at.
fn waiting(console: &str) -> Option<&str> {
    let last = console.strip_suffix('\n')?.lines().last()?;
    last.strip_prefix("# ")
}
