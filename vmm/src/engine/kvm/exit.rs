//! KVM's exits, taken out of the shared page, and their answers, put back there.

use kvm_bindings::{KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_EMULATION, kvm_run};
use kvm_ioctls::{VcpuExit, VcpuFd};

/// The most bytes of one access to memory.
const MMIO_MAX: usize = 8;

/// Why KVM returned, with everything that the answer needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Left {
    /// `count` reads of a port, `size` bytes each.
    PortRead { port: u16, size: u8, count: u32 },
    /// Writes to a port, `size` bytes each.
    PortWrite { port: u16, size: u8, bytes: Vec<u8> },
    /// A read of what is not RAM.
    MemoryRead { gpa: u64, size: u8 },
    /// A write to what is not RAM.
    MemoryWrite { gpa: u64, size: u8, value: u64 },
    /// RDMSR of a register that is not KVM's.
    MsrRead { index: u32 },
    /// WRMSR of such a register.
    MsrWrite { index: u32, value: u64 },
    /// HLT.
    Halt,
    /// Interrupts can be taken now.
    Window,
    /// The task priority was lowered.
    Priority,
    /// A triple fault.
    Shutdown,
    /// The kernel was interrupted; the guest did nothing.
    Interrupted,
    /// KVM can't go on with the guest.
    Failed(Failure),
}

/// Why KVM can't go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It had to emulate an instruction and doesn't know how. The bytes may be missing.
    Emulation(Vec<u8>),
    /// Another internal error.
    Internal { suberror: u32, data: Vec<u64> },
    /// The processor refused to enter the guest.
    Entry { reason: u64 },
    /// An exit that does not happen on machines like ours.
    Unexpected(String),
    /// KVM_RUN itself failed.
    Call(String),
}

impl Failure {
    /// The failure in words, with the place in the guest: its instruction pointer and the bytes there,
    /// as far as they could be read.
    pub(super) fn described(&self, rip: u64, code: &[u8]) -> String {
        let place = match code {
            [] => format!("{rip:#x}"),
            code => format!("{rip:#x} (bytes {code:02x?})"),
        };
        match self {
            Self::Emulation(bytes) => {
                // KVM tells the instruction itself, which may be no longer what is in memory.
                let code = if bytes.is_empty() { code } else { bytes };
                format!(
                    "this host's KVM can't execute the instruction {code:02x?} at {rip:#x} outside of \
                     user mode; `chaosrun doctor` tells what it can"
                )
            }
            Self::Internal { suberror, data } => {
                format!("KVM's internal error {suberror} at {place}, with {data:x?}")
            }
            Self::Entry { reason } => {
                format!("the processor refuses to enter the guest at {place}: reason {reason:#x}")
            }
            Self::Unexpected(what) => format!("KVM left the guest at {place} for {what}"),
            Self::Call(why) => format!("KVM_RUN failed at {place}: {why}"),
        }
    }
}

/// The kinds of exits that are counted and charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A port was read or written.
    Port,
    /// Memory that is not RAM was read or written.
    Memory,
    /// A model-specific register was read or written.
    Msr,
    /// HLT, a window, the task priority.
    Other,
}

impl Kind {
    /// What such an exit costs in units of progress: instructions that the guest is taken to have
    /// executed since the exit before. A constant, for nothing that can be counted lies behind it.
    pub(super) fn cost(self) -> u64 {
        match self {
            Self::Port | Self::Memory | Self::Msr => 1000,
            Self::Other => 500,
        }
    }
}

impl Left {
    /// What kind of exit this is; `None` if the guest did nothing.
    pub(super) fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::PortRead { .. } | Self::PortWrite { .. } => Kind::Port,
            Self::MemoryRead { .. } | Self::MemoryWrite { .. } => Kind::Memory,
            Self::MsrRead { .. } | Self::MsrWrite { .. } => Kind::Msr,
            Self::Halt | Self::Window | Self::Priority | Self::Shutdown => Kind::Other,
            Self::Interrupted | Self::Failed(_) => return None,
        })
    }

    /// Whether the instruction is finished only by the next entry into the guest.
    pub(super) fn is_unfinished(&self) -> bool {
        matches!(self.kind(), Some(Kind::Port | Kind::Memory | Kind::Msr))
    }
}

/// A little-endian number of at most eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Enters the guest and tells why KVM returned.
pub(super) fn enter(fd: &mut VcpuFd) -> Left {
    let left = match fd.run() {
        Ok(VcpuExit::IoIn(port, data)) => {
            let size = data.len();
            (port, size, None)
        }
        Ok(VcpuExit::IoOut(port, data)) => (port, data.len(), Some(data.to_vec())),
        Ok(other) => return simple(other).unwrap_or_else(|| Left::Failed(internal(fd))),
        Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => {
            return Left::Interrupted;
        }
        Err(error) => return Left::Failed(Failure::Call(super::host::in_words(error))),
    };
    let (port, length, written) = left;
    // SAFETY: the exit that was just taken is KVM_EXIT_IO, for which KVM fills this field in.
    let io = unsafe { fd.get_kvm_run().__bindgen_anon_1.io };
    let size = io.size;
    if !matches!(size, 1 | 2 | 4) || length != usize::from(size) * io.count as usize {
        return Left::Failed(Failure::Unexpected(format!(
            "an access of {length} bytes to port {port:#x}"
        )));
    }
    match written {
        Some(bytes) => Left::PortWrite { port, size, bytes },
        None => Left::PortRead {
            port,
            size,
            count: io.count,
        },
    }
}

/// An exit that is no port access; `None` for an internal error.
fn simple(exit: VcpuExit<'_>) -> Option<Left> {
    Some(match exit {
        VcpuExit::MmioRead(gpa, data) if data.len() <= MMIO_MAX => Left::MemoryRead {
            gpa,
            size: data.len() as u8,
        },
        VcpuExit::MmioWrite(gpa, data) if data.len() <= MMIO_MAX => Left::MemoryWrite {
            gpa,
            size: data.len() as u8,
            value: number(data),
        },
        VcpuExit::X86Rdmsr(access) => Left::MsrRead {
            index: access.index,
        },
        VcpuExit::X86Wrmsr(access) => Left::MsrWrite {
            index: access.index,
            value: access.data,
        },
        VcpuExit::Hlt => Left::Halt,
        VcpuExit::IrqWindowOpen => Left::Window,
        VcpuExit::SetTpr => Left::Priority,
        VcpuExit::Shutdown => Left::Shutdown,
        VcpuExit::Intr => Left::Interrupted,
        VcpuExit::FailEntry(reason, _) => Left::Failed(Failure::Entry { reason }),
        VcpuExit::InternalError => return None,
        other => Left::Failed(Failure::Unexpected(format!("{other:?}"))),
    })
}

/// What an internal error is about.
fn internal(fd: &mut VcpuFd) -> Failure {
    let run = fd.get_kvm_run();
    if run.exit_reason != KVM_EXIT_INTERNAL_ERROR {
        return Failure::Unexpected(format!("exit {}", run.exit_reason));
    }
    // SAFETY: KVM fills this field in for this exit reason.
    let error = unsafe { run.__bindgen_anon_1.internal };
    let count = (error.ndata as usize).min(error.data.len());
    let data = error.data[..count].to_vec();
    if error.suberror != KVM_INTERNAL_ERROR_EMULATION {
        return Failure::Internal {
            suberror: error.suberror,
            data,
        };
    }
    // The first word has flags, of which bit 0 says that the instruction follows: its length in a byte,
    // then its bytes.
    let mut bytes: Vec<u8> = data
        .iter()
        .skip(1)
        .flat_map(|word| word.to_le_bytes())
        .collect();
    if data.first().is_none_or(|flags| flags & 1 == 0) || bytes.is_empty() {
        return Failure::Emulation(Vec::new());
    }
    let length = usize::from(bytes.remove(0)).min(15);
    bytes.truncate(length);
    Failure::Emulation(bytes)
}

/// Answers a read of a port with `bytes`.
pub(super) fn answer_port(fd: &mut VcpuFd, bytes: &[u8], mapping: usize) {
    let run: *mut kvm_run = fd.get_kvm_run();
    // SAFETY: only called for a port access that KVM left the guest for, which is when this field is
    // filled in. The bounds are checked against the size of the mapping that `run` starts.
    unsafe {
        let offset = (*run).__bindgen_anon_1.io.data_offset as usize;
        if offset
            .checked_add(bytes.len())
            .is_some_and(|end| end <= mapping)
        {
            let data = run.cast::<u8>().add(offset);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
        }
    }
}

/// Answers a read of memory. Only for such an exit: KVM reads this part of the page for no other.
pub(super) fn answer_memory(fd: &mut VcpuFd, value: u64) {
    fd.get_kvm_run().__bindgen_anon_1.mmio.data = value.to_le_bytes();
}

/// Answers an access to a model-specific register: `None` raises #GP(0). Only for such an exit.
pub(super) fn answer_msr(fd: &mut VcpuFd, value: Option<u64>) {
    let run = fd.get_kvm_run();
    run.__bindgen_anon_1.msr.error = u8::from(value.is_none());
    run.__bindgen_anon_1.msr.data = value.unwrap_or(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_told_with_its_place_and_the_bytes_there() {
        let failures = [
            Failure::Emulation(Vec::new()),
            Failure::Internal {
                suberror: 3,
                data: vec![7],
            },
            Failure::Entry {
                reason: 0x8000_0021,
            },
            Failure::Unexpected("nothing known".to_owned()),
            Failure::Call("no such thing".to_owned()),
        ];
        for failure in failures {
            let told = failure.described(0x1234_5678, &[0x0f, 0x0b]);
            assert!(told.contains("0x12345678"), "{told}");
            assert!(told.contains("[0f, 0b]"), "{told}");
        }
        let entry = Failure::Entry {
            reason: 0x8000_0021,
        }
        .described(0, &[]);
        assert!(entry.contains("0x80000021"), "{entry}");
    }

    #[test]
    fn exits_that_do_not_happen_are_failures_and_not_ignored() {
        let entry = simple(VcpuExit::FailEntry(0x21, 0));
        assert_eq!(entry, Some(Left::Failed(Failure::Entry { reason: 0x21 })));
        assert_eq!(simple(VcpuExit::InternalError), None);
        for strange in [
            VcpuExit::S390Sieic,
            VcpuExit::Watchdog,
            VcpuExit::Unsupported(4711),
        ] {
            let left = simple(strange);
            assert!(
                matches!(left, Some(Left::Failed(Failure::Unexpected(_)))),
                "{left:?}"
            );
        }
    }
}
