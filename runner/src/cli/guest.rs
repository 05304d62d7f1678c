//! The machine that `boot` and `verify` make: its options, its kernel, and its initial RAM disk.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use chaosrun_vmm::affinity::{self, NoProcessor};
use chaosrun_vmm::engine::{EngineError, EngineKind, EngineOptions};
use chaosrun_vmm::machine::{Interleaving, Machine, MachineConfig, MachineError};
use chaosrun_vmm::tape::Tape;
use miette::Diagnostic;
use thiserror::Error;

use super::artifact::{exit_of, open_store};
use super::engines::{StoppingArgs, is_linux};
use super::{Exit, Failure, OrExit, doctor, units};
use crate::artifact::Kernel;
use crate::artifact::initrd::{Compression, Initrd, InitrdError};

/// The largest initial RAM disk that is read, in bytes.
const INITRD_LIMIT: u64 = 2 << 30;

/// Options of a machine.
#[derive(Debug, clap::Args)]
pub(super) struct GuestArgs {
    /// The kernel: `debian`, `tiny`, `tiny-kcov`, `tiny-kvm`, another of Debian's such as
    /// `debian:suite=sid`, or the path of a vmlinux or bzImage.
    pub(super) kernel: String,
    /// The initial RAM disk: a file, or a directory to make one of.
    initrd: Option<PathBuf>,
    /// RAM.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = units::size)]
    memory: u64,
    /// Virtual CPUs, 1 to 8.
    #[arg(long, value_name = "N", default_value_t = 1)]
    vcpus: u32,
    /// The kernel's command line.
    #[arg(long, default_value = "console=ttyS0 panic=-1")]
    cmdline: String,
    /// What all decisions are drawn from; by default 0, or the scenario's.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// How virtual CPUs take turns: round-robin[:INSTRUCTIONS] or random[:MIN-MAX].
    #[arg(long, value_name = "HOW", default_value = "round-robin",
          value_parser = units::interleaving)]
    interleave: Interleaving,
    /// What executes the guest: the software CPU, the host's KVM, or what `chaosrun doctor` says.
    #[arg(long, value_name = "ENGINE", default_value = "exact", value_enum)]
    engine: EngineChoice,
    /// Bind the machine to one of the host's processors, which changes nothing but speed.
    #[arg(long, value_name = "CPU")]
    pin: Option<u32>,
    /// Give the guest's processor AVX and AVX2, which only the kvm engine has, where the host has them.
    #[arg(long)]
    avx2: bool,
    #[command(flatten)]
    stopping: StoppingArgs,
}

impl GuestArgs {
    /// What the engine is told.
    pub(super) fn engine_options(&self) -> EngineOptions {
        self.stopping.options()
    }
}

/// The engines as words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum EngineChoice {
    Auto,
    Exact,
    Kvm,
}

/// A machine cannot be made, or cannot go on.
#[derive(Debug, Error, Diagnostic)]
pub(super) enum GuestError {
    /// The configuration or a file is at fault.
    #[error("`{kernel}` cannot be booted")]
    #[diagnostic(
        code(chaosrun::boot::refused),
        help("a kernel is an x86-64 vmlinux (ELF) or a bzImage; see `chaosrun boot --help`")
    )]
    Refused {
        /// The kernel, as it was asked for.
        kernel: String,
        /// What is wrong.
        source: MachineError,
    },
    /// The engine can't run this kernel.
    #[error("this host's KVM cannot run Linux: {why}")]
    #[diagnostic(
        code(chaosrun::boot::engine_refused),
        help(
            "use `--engine exact`, which needs nothing of the host; `chaosrun doctor` tells more"
        )
    )]
    NoLinux {
        /// What stands against it.
        why: String,
    },
    /// The processor to bind to is not there.
    #[error("cannot bind to processor {cpu} of this host")]
    #[diagnostic(
        code(chaosrun::boot::pin),
        help("`nproc` and `taskset -p $$` tell which there are")
    )]
    Pin {
        /// Its number.
        cpu: u32,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The initial RAM disk cannot be read.
    #[error("cannot read the initrd `{}`", path.display())]
    #[diagnostic(code(chaosrun::boot::initrd), help("give a file or a directory"))]
    Initrd {
        /// Its path.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The initial RAM disk is too large to be read.
    #[error("the initrd `{}` has more than {INITRD_LIMIT} bytes", path.display())]
    #[diagnostic(
        code(chaosrun::boot::initrd),
        help("put large files on a disk instead")
    )]
    InitrdTooLarge {
        /// Its path.
        path: PathBuf,
    },
}

/// Everything that a machine is made of, read into memory; machines made of it are equal.
pub(super) struct Guest {
    kernel: Kernel,
    kernel_bytes: Vec<u8>,
    initrd: Option<Vec<u8>>,
    engine: EngineKind,
    args: GuestArgs,
}

impl Guest {
    /// Fetches or reads kernel and initial RAM disk.
    pub(super) fn load(args: GuestArgs) -> Result<Self, Failure> {
        let initrd = args.initrd.as_deref().map(read_initrd).transpose()?;
        let store = open_store()?;
        let failed = |error| Failure::new(exit_of(&error), error);
        let kernel = store.kernel(&args.kernel).map_err(failed)?;
        let kernel_bytes = kernel.read().map_err(failed)?;
        let engine = choose(args.engine, &kernel_bytes)?;
        if let Some(cpu) = args.pin {
            affinity::pin_thread(cpu)
                .map_err(|NoProcessor { cpu, source }| GuestError::Pin { cpu, source })
                .or_exit(Exit::Usage)?;
        }
        Ok(Self {
            engine,
            kernel,
            kernel_bytes,
            initrd,
            args,
        })
    }

    /// A machine that has not executed anything yet.
    pub(super) fn machine(&self) -> Result<Machine, Failure> {
        let mut config = MachineConfig {
            engine: self.engine,
            engine_options: self.args.engine_options(),
            memory: self.args.memory,
            vcpus: self.args.vcpus,
            initrd: self.initrd.as_deref(),
            cmdline: self.args.cmdline.clone(),
            tape: Tape::new(self.args.seed.unwrap_or(0)),
            interleaving: self.args.interleave,
            ..MachineConfig::new(&self.kernel_bytes)
        };
        config.model.avx2 = self.args.avx2;
        Machine::new(&config).map_err(|source| {
            let exit = match source {
                MachineError::Engine(_) => Exit::HostCannot,
                _ => Exit::Usage,
            };
            Failure::new(
                exit,
                GuestError::Refused {
                    kernel: self.args.kernel.clone(),
                    source,
                },
            )
        })
    }

    /// What the machine is, in a few words, for the title of a determinism log. The same inputs
    /// give the same title.
    pub(super) fn title(&self) -> String {
        let hash = self.kernel.hash.get(..16).unwrap_or(&self.kernel.hash);
        let GuestArgs {
            memory,
            vcpus,
            seed,
            interleave,
            ..
        } = &self.args;
        let seed = seed.unwrap_or(0);
        format!("kernel {hash} memory {memory} vcpus {vcpus} seed {seed} {interleave:?}")
    }
}

/// The engine for a kernel.
///
/// # Errors
/// If the host's KVM is asked for and can't run it, in which case it is not even tried.
fn choose(choice: EngineChoice, kernel: &[u8]) -> Result<EngineKind, Failure> {
    match choice {
        EngineChoice::Exact => Ok(EngineKind::Exact),
        EngineChoice::Auto => doctor::auto(),
        EngineChoice::Kvm if !is_linux(kernel) => Ok(EngineKind::Kvm),
        EngineChoice::Kvm => match doctor::against_linux()? {
            None => Ok(EngineKind::Kvm),
            Some(why) => Err(GuestError::NoLinux { why }).or_exit(Exit::HostCannot),
        },
    }
}

/// The exit code of an engine's failure.
pub(super) fn exit_of_engine(error: &EngineError) -> Exit {
    match error {
        EngineError::Unavailable { .. } | EngineError::Lacks { .. } => Exit::HostCannot,
        EngineError::NotDeterministic { .. } => Exit::Nondeterminism,
        EngineError::Host { .. } | EngineError::Poisoned | EngineError::NotMade { .. } => {
            Exit::Internal
        }
    }
}

/// Reads a file, or makes an archive of a directory.
fn read_initrd(path: &Path) -> Result<Vec<u8>, Failure> {
    if path.is_dir() {
        return from_directory(path).or_exit(Exit::Usage);
    }
    let read = || -> std::io::Result<Vec<u8>> {
        let mut content = Vec::new();
        File::open(path)?
            .take(INITRD_LIMIT + 1)
            .read_to_end(&mut content)?;
        Ok(content)
    };
    let path = path.to_owned();
    match read() {
        Ok(content) if content.len() as u64 > INITRD_LIMIT => {
            Err(GuestError::InitrdTooLarge { path })
        }
        Ok(content) => Ok(content),
        Err(source) => Err(GuestError::Initrd { path, source }),
    }
    .or_exit(Exit::Usage)
}

/// A directory as an archive. It gets a console if it has none, so that a directory made without
/// root, which cannot hold device nodes, works as well.
fn from_directory(path: &Path) -> Result<Vec<u8>, InitrdError> {
    let mut initrd = Initrd::new();
    initrd.console()?;
    initrd.tree(path)?;
    initrd.build(Compression::None)
}
