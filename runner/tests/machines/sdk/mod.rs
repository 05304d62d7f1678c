//! What programs in a guest tell by the SDK, and what init does for the host.

mod channel;
mod init;
mod languages;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use chaosrun::artifact::guest::{self, Crate};
use chaosrun::artifact::initrd::Initrd;
use chaosrun::artifact::{Progress, Store};
use chaosrun_protocol::control::{Action, Command};
use chaosrun_protocol::node::{NodeConfig, PATH, Restart, Workload};
use chaosrun_protocol::{Envelope, InitReport, Message};
use chaosrun_vmm::machine::{Input, Machine, MachineConfig, MachineEvent, OutputKind, Stop};
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::time::VirtTime;

use super::guest::{MILLI, QUIET, SECOND, pack, tiny};

/// The folder of the project.
pub const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn store() -> Store {
    Store::open(Progress::Silent).expect("there is a cache")
}

/// The program of a crate in `guests/`, built as for any scenario.
fn program(name: &str) -> Vec<u8> {
    let wanted = Crate {
        folder: Path::new(PROJECT).join("guests").join(name),
        source: None,
        bin: format!("chaosrun-{name}"),
        features: Vec::new(),
    };
    guest::build(&store(), &wanted).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

fn demo() -> &'static [u8] {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM.get_or_init(|| program("demo"))
}

fn net() -> &'static [u8] {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM.get_or_init(|| program("net"))
}

/// A workload of the program `/bin/PROGRAM`.
fn workload(name: &str, program: &str, args: &[&str]) -> Workload {
    Workload {
        name: name.into(),
        program: format!("/bin/{program}"),
        args: args.iter().map(|arg| arg.to_string()).collect(),
        env: Default::default(),
        directory: None,
        user: None,
        restart: Restart::Never,
    }
}

/// An archive with init, these programs in `/bin`, and this configuration.
fn archive(programs: &[(&str, &[u8])], config: &NodeConfig) -> Vec<u8> {
    static INIT: OnceLock<Vec<u8>> = OnceLock::new();
    let init = INIT.get_or_init(|| guest::init(&store()).expect("init can be built"));
    let mut initrd = Initrd::new();
    let mut add = || {
        initrd.console()?;
        initrd.file("init", 0o755, init.clone())?;
        initrd.file(&PATH[1..], 0o644, config.to_json())?;
        for (name, program) in programs {
            initrd.file(format!("bin/{name}"), 0o755, program.to_vec())?;
        }
        Ok::<_, chaosrun::artifact::initrd::InitrdError>(())
    };
    add().expect("the paths are good");
    pack(&initrd)
}

/// A machine that runs workloads, and what it has told so far.
struct Node {
    machine: Machine,
    /// When, and what.
    told: Vec<(u64, Envelope)>,
    refused: Vec<String>,
    console: String,
    commands: u64,
}

impl Node {
    /// Boots `tiny` with these workloads, and a seed.
    fn boot(programs: &[(&str, &[u8])], workloads: Vec<Workload>, seed: u64) -> Self {
        let config = NodeConfig {
            hostname: "n1".into(),
            workloads,
            ..NodeConfig::default()
        };
        Self::with(&archive(programs, &config), |machine| {
            machine.tape = Tape::new(seed);
        })
    }

    /// Boots `tiny` with this archive, and what else the machine is to have.
    fn with(initrd: &[u8], change: impl FnOnce(&mut MachineConfig<'_>)) -> Self {
        let mut config = MachineConfig {
            initrd: Some(initrd),
            // Not even the errors of the kernel: what is on the console, a program has said.
            cmdline: format!("{QUIET} loglevel=1"),
            control: true,
            external_input: true,
            memory: 128 << 20,
            ..MachineConfig::new(tiny())
        };
        change(&mut config);
        Self {
            machine: Machine::new(&config).expect("the machine can be made"),
            told: Vec::new(),
            refused: Vec::new(),
            console: String::new(),
            commands: 0,
        }
    }

    /// Runs for so many nanoseconds.
    fn run(&mut self, for_ns: u64) {
        let until = self.machine.now().0 + for_ns;
        let stop = self
            .machine
            .run_until(VirtTime(until))
            .expect("the engine works");
        for output in self.machine.take_outputs() {
            match output.kind {
                OutputKind::Event(MachineEvent::Sdk(bytes)) => {
                    let envelope = Envelope::decode(&bytes).expect("the SDK sends good messages");
                    self.told.push((output.time.0, envelope));
                }
                OutputKind::Event(MachineEvent::BadSdkCall(why)) => self.refused.push(why),
                OutputKind::Event(MachineEvent::Console(bytes)) => {
                    self.console += &String::from_utf8_lossy(&bytes)
                }
                _ => {}
            }
        }
        assert_eq!(stop, Stop::Reached, "console:\n{}", self.console);
    }

    /// Runs until something told is what is wanted, and gives it.
    fn await_told<T>(&mut self, what: &str, wanted: impl Fn(&Envelope) -> Option<T>) -> T {
        let mut seen = 0;
        for _ in 0..600 {
            if let Some(found) = self.told[seen..].iter().find_map(|(_, told)| wanted(told)) {
                return found;
            }
            seen = self.told.len();
            self.run(100 * MILLI);
        }
        panic!(
            "waiting for {what}; told:\n{:#?}\nconsole:\n{}",
            self.told, self.console
        )
    }

    /// Runs until all workloads have ended.
    fn await_end(&mut self) {
        self.await_told("the end", |told| {
            (told.message == Message::Init(InitReport::AllEnded)).then_some(())
        });
    }

    /// Gives init a command, and waits for the answer: an error is its reason.
    fn command(&mut self, action: Action) -> Result<(), String> {
        self.commands += 1;
        let id = self.commands;
        let line = Command { id, action }.to_line();
        self.machine.input(Input::Control(line.into_bytes()));
        self.await_told("an answer", move |told| match &told.message {
            Message::Init(InitReport::CommandDone { id: done }) if *done == id => Some(Ok(())),
            Message::Init(InitReport::CommandFailed { id: failed, reason }) if *failed == id => {
                Some(Err(reason.clone()))
            }
            _ => None,
        })
    }

    /// What init has reported.
    fn reports(&self) -> Vec<&InitReport> {
        self.told
            .iter()
            .filter_map(|(_, told)| match &told.message {
                Message::Init(report) => Some(report),
                _ => None,
            })
            .collect()
    }
}
