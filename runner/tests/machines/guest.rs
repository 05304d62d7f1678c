//! Booting a machine to its end, and what it did.

use std::sync::OnceLock;

use chaosrun::artifact::initrd::{Compression, Initrd};
use chaosrun::artifact::{Progress, Store};
use chaosrun_vmm::engine::EngineOptions;
use chaosrun_vmm::machine::{Interleaving, Machine, MachineConfig, StateHash, Stop};
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::time::VirtTime;

use super::packages;

/// Nanoseconds of a millisecond and of a second.
pub const MILLI: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MILLI;

/// Only what is printed by programs appears on the console, unless the kernel panics.
pub const QUIET: &str = "console=ttyS0 panic=-1 quiet";

/// Debian's kernel, read once.
pub fn debian() -> &'static [u8] {
    static KERNEL: OnceLock<Vec<u8>> = OnceLock::new();
    KERNEL.get_or_init(|| kernel("debian"))
}

/// The minimal kernel, read once.
pub fn tiny() -> &'static [u8] {
    static KERNEL: OnceLock<Vec<u8>> = OnceLock::new();
    KERNEL.get_or_init(|| kernel("tiny"))
}

/// A kernel of the artifact store.
pub fn kernel(name: &str) -> Vec<u8> {
    let store = Store::open(Progress::Silent).expect("there is a cache");
    store
        .kernel(name)
        .and_then(|kernel| kernel.read())
        .unwrap_or_else(|error| panic!("the kernel `{name}` cannot be had: {error:?}"))
}

/// A machine and how it is watched.
#[derive(Clone)]
pub struct Setup<'a> {
    pub kernel: &'a [u8],
    pub initrd: &'a [u8],
    pub vcpus: u32,
    pub cmdline: &'a str,
    pub tape: Tape,
    /// After how many executions code is compiled; 0 for never.
    pub compile_after: u8,
    pub interleaving: Interleaving,
    /// The distance of state hashes in nanoseconds of virtual time.
    pub hash_every: u64,
    /// The longest stretch of virtual time that is run at once, in nanoseconds.
    pub step: u64,
    /// Whether a determinism log is written.
    pub log: bool,
    /// The virtual time at which the guest has to be over, in nanoseconds.
    pub limit: u64,
}

impl<'a> Setup<'a> {
    /// `kernel` with `initrd` on one vCPU.
    pub fn new(kernel: &'a [u8], initrd: &'a [u8]) -> Self {
        Self {
            kernel,
            initrd,
            vcpus: 1,
            cmdline: QUIET,
            tape: Tape::default(),
            compile_after: EngineOptions::default().compile_after,
            interleaving: Interleaving::default(),
            hash_every: 100 * MILLI,
            step: u64::MAX,
            log: false,
            limit: 300 * SECOND,
        }
    }

    /// Runs the machine until it stops by itself.
    pub fn boot(&self) -> Outcome {
        let config = MachineConfig {
            vcpus: self.vcpus,
            initrd: Some(self.initrd),
            cmdline: self.cmdline.to_owned(),
            tape: self.tape.clone(),
            engine_options: EngineOptions {
                compile_after: self.compile_after,
                ..EngineOptions::default()
            },
            interleaving: self.interleaving,
            ..MachineConfig::new(self.kernel)
        };
        let mut machine = Machine::new(&config).expect("the machine can be made");
        if self.log {
            machine
                .start_log(Box::new(std::io::sink()), "test")
                .unwrap();
        }
        let mut hashes = Vec::new();
        let mut console = Vec::new();
        let stop = loop {
            let now = machine.now().0;
            // The next multiples; a hash is taken there whatever the length of a step is.
            let next_hash = (now / self.hash_every + 1) * self.hash_every;
            let until = next_hash.min(now.saturating_add(self.step)).min(self.limit);
            let stop = machine
                .run_until(VirtTime(until))
                .expect("the engine works");
            console.extend(machine.take_console());
            if machine.now().0 >= next_hash || stop != Stop::Reached {
                hashes.push(machine.state_hash().expect("the engine works"));
            }
            if stop != Stop::Reached || machine.now().0 >= self.limit {
                break stop;
            }
        };
        Outcome {
            stop,
            console: String::from_utf8_lossy(&console).replace('\r', ""),
            now: machine.now(),
            retired: machine.retired(),
            switches: machine.switches(),
            tsc_reads: machine.tsc_reads(),
            hashes,
        }
    }
}

/// What a machine did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub stop: Stop,
    /// All of the console's output, with plain line ends.
    pub console: String,
    pub now: VirtTime,
    pub retired: u64,
    pub switches: u64,
    /// How often the time stamp counter was read.
    pub tsc_reads: u64,
    pub hashes: Vec<StateHash>,
}

impl Outcome {
    /// The last link of the chain of state hashes, which depends on all before it.
    pub fn chain(&self) -> u128 {
        self.hashes.last().expect("the end is hashed").chain
    }

    /// What the guest's program printed between the marks of [`init_script`]; it has to have ended
    /// well, and the machine has to have been switched off.
    pub fn output(&self) -> &str {
        let Self { stop, console, .. } = self;
        assert_eq!(*stop, Stop::PowerOff, "console:\n{console}");
        let (_, rest) = console
            .split_once(BEGIN)
            .unwrap_or_else(|| panic!("the program did not start; console:\n{console}"));
        let (output, status) = rest
            .split_once(END)
            .unwrap_or_else(|| panic!("the program did not end; console:\n{console}"));
        assert!(
            status.starts_with("0\n"),
            "the program failed; console:\n{console}"
        );
        output
    }
}

const BEGIN: &str = "[program begins]\n";
const END: &str = "[program ends] ";

/// A script for `/init` that runs `command` with a console and the usual file systems, and switches
/// the machine off.
pub fn init_script(command: &str) -> String {
    format!(
        "#!/bin/busybox sh\n\
         /bin/busybox --install -s /bin\n\
         export PATH=/bin HOME=/ LC_ALL=C\n\
         mount -t devtmpfs dev /dev\n\
         mount -t proc proc /proc\n\
         mount -t sysfs sys /sys\n\
         mount -t tmpfs tmp /tmp\n\
         echo '{}'\n\
         {command}\n\
         echo \"{END}$?\"\n\
         poweroff -f\n",
        BEGIN.trim_end(),
    )
}

/// A file system with busybox whose `/init` runs `command`.
pub fn busybox_root(command: &str) -> Initrd {
    let mut initrd = Initrd::new();
    let mut add = || {
        initrd.console()?;
        for directory in ["dev", "proc", "sys", "tmp"] {
            initrd.add(
                directory,
                0o755,
                chaosrun::artifact::initrd::Node::Directory,
            )?;
        }
        initrd.file(
            "bin/busybox",
            0o755,
            std::fs::read(packages::busybox()).unwrap(),
        )?;
        initrd.file("init", 0o755, init_script(command))
    };
    add().expect("the paths are good");
    initrd
}

/// The archive, uncompressed, which boots fastest.
pub fn pack(initrd: &Initrd) -> Vec<u8> {
    initrd
        .build(Compression::None)
        .expect("nothing to compress")
}
