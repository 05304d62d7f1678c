//! Halting, interrupts, and the moment at which they become acceptable.

use super::lab::{Did, Lab, guest};
use super::{answer, good, limited};
use crate::engine::kvm::exit::Left;
use crate::engine::kvm::host::HostError;
use crate::engine::kvm::ioctl;
use crate::engine::probe::{Answer, Blocks, Grade};

guest!(halts, "sti", "hlt", "out 0x10, al");
guest!(
    opens_and_closes,
    "mov edx, 20",
    "2: sti",
    "nop",
    "nop",
    "nop",
    "cli",
    "dec edx",
    "jnz 2b",
    "out 0x10, al"
);
guest!(waits_for_nmi, "out 0x10, al", "nop", "nop", "out 0x10, al");

/// Where the guest is when the window opens in [`opens_and_closes`]: behind the NOP behind STI.
const OPEN_AT: u64 = 5 + 1 + 1;

/// The offsets into the guest at which KVM says that interrupts are acceptable.
fn windows() -> Result<Vec<u64>, HostError> {
    let mut lab = Lab::new(opens_and_closes())?;
    lab.fd.get_kvm_run().request_interrupt_window = 1;
    let mut places = Vec::new();
    while lab.run() == Did::Left(Left::Window) && places.len() < 10 {
        places.push(lab.register(|regs| regs.rip) & 0xfff);
        // On to the next round: behind the instruction at which the window is open.
        lab.fd.get_kvm_run().request_interrupt_window = 0;
        if let Ok(mut regs) = lab.fd.get_regs() {
            regs.rip += 2;
            regs.rflags &= !(1 << 9);
            let _ = lab.fd.set_regs(&regs);
        }
        lab.fd.get_kvm_run().request_interrupt_window = 1;
    }
    Ok(places)
}

/// Whether KVM leaves the guest at the very instruction at which interrupts become acceptable.
pub(super) fn windows_are_exact() -> bool {
    windows().is_ok_and(|places| places.len() == 10 && places.iter().all(|at| *at == OPEN_AT))
}

/// The same as a measurement.
pub(super) fn window() -> Answer {
    match windows() {
        Err(error) => error.into(),
        Ok(places) if places.len() == 10 && places.iter().all(|at| *at == OPEN_AT) => good(
            "an exit at the very instruction",
            "interrupts are delivered as soon as the guest takes them",
        ),
        Ok(places) => limited(
            format!(
                "{} of 10 windows led to an exit, at offsets {places:x?}",
                places.len()
            ),
            "interrupts are delivered only where the guest leaves by itself with interrupts on: at \
             HLT and device accesses",
        ),
    }
}

/// HLT.
pub(super) fn halt() -> Answer {
    let run = || Ok::<_, HostError>(Lab::new(halts())?.run());
    match run() {
        Err(error) => error.into(),
        Ok(Did::Left(Left::Halt)) => good(
            "an exit",
            "virtual time jumps to the next event while guests sleep",
        ),
        Ok(did) => answer(
            Grade::Bad,
            did.to_string(),
            "guests that sleep would sleep in the host's time",
            &[Blocks::Everything],
        ),
    }
}

/// Interrupts and NMIs.
pub(super) fn delivery() -> Answer {
    let interrupt = || {
        let mut lab = Lab::new(halts())?;
        lab.run();
        if ioctl::interrupt(&lab.fd, 0x30).is_err() {
            return Ok(Did::Stuck);
        }
        Ok::<_, HostError>(lab.run())
    };
    let nmi = || {
        let mut lab = Lab::new(waits_for_nmi())?;
        lab.run();
        let _ = lab.fd.nmi();
        Ok::<_, HostError>(lab.run())
    };
    match (interrupt(), nmi()) {
        (Err(error), _) | (_, Err(error)) => error.into(),
        (Ok(Did::Trapped(0x30)), Ok(Did::Trapped(2))) => good(
            "an interrupt and an NMI arrive at their handlers",
            "the machine's own interrupt controllers work",
        ),
        (Ok(interrupt), Ok(nmi)) => answer(
            Grade::Bad,
            format!("interrupt: {interrupt}; NMI: {nmi}"),
            "interrupts do not arrive",
            &[Blocks::Everything],
        ),
    }
}
