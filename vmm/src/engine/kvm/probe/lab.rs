//! A virtual machine of one vCPU for a probe: 16 MiB of RAM, 64-bit mode, and nothing else.

use std::path::Path;

use chaosrun_x86::{Cpu, CpuModel, CpuState, Segment, TableRegister};
use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};

use crate::engine::kvm::exit::{self, Left};
use crate::engine::kvm::host::{self, HostError};
use crate::engine::kvm::kick::Watch;
use crate::engine::kvm::{ram, state};
use crate::engine::probe::{Answer, Blocks, Grade};
use crate::ram::GuestRam;

/// Defines a function `$name`, a name that no other probe may use, that returns the machine code of
/// some assembly, which has to be position-independent.
macro_rules! guest {
    ($name:ident, $($line:literal),+ $(,)?) => {
        core::arch::global_asm!(
            ".pushsection .rodata.chaosrun_probe, \"a\", @progbits",
            // Global, since the code that refers to them may be in another object file; hidden, since
            // nothing outside of the program does.
            concat!(".globl chaosrun_probe_", stringify!($name)),
            concat!(".hidden chaosrun_probe_", stringify!($name)),
            concat!(".globl chaosrun_probe_", stringify!($name), "_end"),
            concat!(".hidden chaosrun_probe_", stringify!($name), "_end"),
            concat!("chaosrun_probe_", stringify!($name), ":"),
            $($line,)+
            concat!("chaosrun_probe_", stringify!($name), "_end:"),
            ".popsection",
        );

        pub(super) fn $name() -> &'static [u8] {
            unsafe extern "C" {
                #[link_name = concat!("chaosrun_probe_", stringify!($name))]
                static START: u8;
                #[link_name = concat!("chaosrun_probe_", stringify!($name), "_end")]
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
pub(super) use guest;

// Enters user mode.
guest!(
    to_user,
    "push 0x1b",
    "push 0x9000",
    "push 2",
    "push 0x23",
    "push 0x20000",
    "iretq"
);

/// Physical addresses, which are virtual ones as well.
const PML4: u64 = 0x1000;
const GDT: u64 = 0x4000;
const IDT: u64 = 0x5000;
/// Every exception and interrupt goes here: it writes its vector to port [`TRAPPED`].
const STUBS: u64 = 0x6000;
pub(super) const STACK: u64 = 0x9000;
/// Free for the guest, and zero.
pub(super) const DATA: u64 = 0xa000;
const CODE: u64 = 0x1_0000;
/// What user mode executes.
pub(super) const USER_CODE: u64 = 0x2_0000;
/// The port on which the guest is done.
pub(super) const DONE: u16 = 0x10;
/// The port on which it tells the vector of an exception.
pub(super) const TRAPPED: u16 = 0x11;

/// Milliseconds of processor time that a guest gets between exits.
const PATIENCE_MS: u64 = 500;

/// The machine.
pub(super) struct Lab {
    pub fd: VcpuFd,
    pub vm: VmFd,
    pub ram: GuestRam,
    pub slots: ram::Slots,
}

/// What the guest did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Did {
    /// It left in this way.
    Left(Left),
    /// It wrote to [`DONE`].
    Done,
    /// It took an exception.
    Trapped(u8),
    /// It did not leave.
    Stuck,
}

impl std::fmt::Display for Did {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Left(left) => write!(f, "{left:?}"),
            Self::Done => f.write_str("done"),
            Self::Trapped(vector) => write!(f, "exception {vector}"),
            Self::Stuck => f.write_str("it did not come back"),
        }
    }
}

impl From<HostError> for Answer {
    fn from(error: HostError) -> Self {
        Self {
            grade: Grade::Unknown,
            measured: error.to_string(),
            means: "it could not be tried".to_owned(),
            blocks: vec![Blocks::Determinism],
        }
    }
}

fn failed(what: &'static str) -> impl FnOnce(String) -> HostError {
    move |why| HostError::Call { what, why }
}

impl Lab {
    /// A machine that is about to execute `code` with interrupts off. `change` may change CPUID's leaves.
    pub(super) fn with_cpuid(
        code: &[u8],
        change: impl Fn(&mut kvm_cpuid_entry2),
    ) -> Result<Self, HostError> {
        let kvm = host::open(Path::new(host::DEVICE))?;
        Self::build(&kvm, host::create_vm(&kvm)?, code, change)
    }

    /// A machine that is about to execute `code` with interrupts off.
    pub(super) fn new(code: &[u8]) -> Result<Self, HostError> {
        Self::with_cpuid(code, |_| {})
    }

    fn build(
        kvm: &Kvm,
        vm: VmFd,
        code: &[u8],
        change: impl Fn(&mut kvm_cpuid_entry2),
    ) -> Result<Self, HostError> {
        let mut ram = GuestRam::new(16 << 20).map_err(|error| HostError::Call {
            what: "have memory",
            why: error.to_string(),
        })?;
        for (at, bytes) in tables() {
            ram.write(at, &bytes);
        }
        ram.write(CODE, code);
        let mut slots = ram::Slots::default();
        slots.follow(&vm, &ram)?;
        let fd = vm
            .create_vcpu(0)
            .map_err(HostError::call("create a vCPU"))?;
        let mut cpuid: CpuId = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(HostError::call("tell what CPUID it supports"))?;
        cpuid.as_mut_slice().iter_mut().for_each(change);
        fd.set_cpuid2(&cpuid)
            .map_err(HostError::call("give a vCPU its CPUID"))?;
        state::store(&fd, &start(CODE), true).map_err(failed("take a vCPU's state"))?;
        Ok(Self { fd, vm, ram, slots })
    }

    /// Enters the guest until it leaves.
    pub(super) fn run(&mut self) -> Did {
        let flag = &raw mut self.fd.get_kvm_run().immediate_exit;
        let Ok(mut watch) = Watch::start(flag, PATIENCE_MS) else {
            return Did::Stuck;
        };
        loop {
            match exit::enter(&mut self.fd) {
                Left::Interrupted => {
                    self.fd.set_kvm_immediate_exit(0);
                    if watch.interrupted().is_some() {
                        return Did::Stuck;
                    }
                }
                Left::PortWrite { port: DONE, .. } => return Did::Done,
                Left::PortWrite {
                    port: TRAPPED,
                    bytes,
                    ..
                } => return Did::Trapped(bytes.first().copied().unwrap_or(0)),
                left => return Did::Left(left),
            }
        }
    }

    /// Enters the guest once, whatever comes of it.
    pub(super) fn run_unwatched(&mut self) {
        exit::enter(&mut self.fd);
    }

    /// A general register, by its name in [`kvm_bindings::kvm_regs`].
    pub(super) fn register(&self, pick: impl FnOnce(&kvm_bindings::kvm_regs) -> u64) -> u64 {
        self.fd.get_regs().map_or(0, |regs| pick(&regs))
    }

    /// The upper half of a YMM register.
    pub(super) fn upper_half(&self, register: usize) -> Option<[u64; 2]> {
        let mut state = start(0);
        state::load(&self.fd, &mut state).ok()?;
        state.ymm_high.get(register).copied()
    }

    /// The guest's memory at [`DATA`] as a number.
    pub(super) fn data(&self) -> u64 {
        let mut bytes = [0; 8];
        self.ram.read(DATA, &mut bytes);
        u64::from_le_bytes(bytes)
    }
}

fn words(words: impl IntoIterator<Item = u64>) -> Vec<u8> {
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// What lies in RAM besides the code: page tables that map 1 GiB for everybody, descriptors, and stubs.
fn tables() -> Vec<(u64, Vec<u8>)> {
    let gate = |vector: u64| {
        let at = STUBS + 16 * vector;
        [at & 0xffff | 8 << 16 | 0x8e << 40 | (at >> 16) << 48, 0]
    };
    let stub = |vector: u8| {
        // mov al, vector; out TRAPPED, al; iretq; on exceptions with an error code nobody returns.
        let mut code = vec![0xb0, vector, 0xe6, TRAPPED as u8, 0x48, 0xcf];
        code.resize(16, 0x90);
        code
    };
    vec![
        (PML4, words([0x2007])),
        (0x2000, words([0x3007])),
        (0x3000, words((0..512).map(|page| page << 21 | 0x87))),
        (
            GDT,
            words([
                0,
                0x00af_9b00_0000_ffff,
                0x00cf_9300_0000_ffff,
                0x00cf_f300_0000_ffff,
                0x00af_fb00_0000_ffff,
                0x0000_8900_8000_0067,
                0,
            ]),
        ),
        (IDT, words((0..256).flat_map(gate))),
        (STUBS, (0..=255).flat_map(stub).collect()),
        // The task state segment: the stack of privilege level 0, and no ports for user mode.
        (0x8004, words([STACK])),
        (0x8066, 0x68u16.to_le_bytes().to_vec()),
    ]
}

/// 64-bit mode at `rip` with a flat memory and SSE enabled.
fn start(rip: u64) -> CpuState {
    let mut state = Cpu::new(0, CpuModel::default()).state();
    let flat = |selector, access| Segment {
        selector,
        access,
        limit: u32::MAX,
        base: 0,
    };
    state.segments = [flat(16, 0xc093); 6];
    state.segments[1] = flat(8, 0xa09b);
    state.tr = Segment {
        selector: 40,
        access: 0x8b,
        limit: 0x67,
        base: 0x8000,
    };
    state.gdtr = TableRegister {
        base: GDT,
        limit: 55,
    };
    state.idtr = TableRegister {
        base: IDT,
        limit: 0xfff,
    };
    // PE MP ET NE WP PG; PAE OSFXSR OSXMMEXCPT; SCE LME LMA NXE.
    (state.cr0, state.cr3, state.cr4) = (0x8001_0033, PML4, 0x620);
    state.msrs.efer = 0xd01;
    state.gpr[4] = STACK;
    state.rip = rip;
    state.rflags = 2;
    state
}
