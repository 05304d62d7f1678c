//! The log of written pages.

use super::lab::{Did, Lab, guest};
use super::{answer, good};
use crate::engine::kvm::host::HostError;
use crate::engine::probe::{Answer, Blocks, Grade};

guest!(
    writes,
    "mov [0x100000], rax",
    "mov [0x103ffc], rax",
    "mov rbx, [0x200000]",
    "out 0x10, al"
);

/// The pages at and above 1 MiB that a guest is said to have written.
fn pages() -> Result<Vec<u64>, HostError> {
    let mut lab = Lab::new(writes())?;
    lab.ram.take_written();
    if lab.run() != Did::Done {
        return Ok(Vec::new());
    }
    lab.slots.collect_dirty(&lab.vm, &mut lab.ram)?;
    let pages = lab.ram.take_written().into_iter().map(u64::from);
    Ok(pages.filter(|page| *page >= 0x100).collect())
}

/// Whether exactly what was written is logged.
pub(super) fn dirty() -> Answer {
    match pages() {
        Err(error) => error.into(),
        Ok(pages) if pages == [0x100, 0x103, 0x104] => good(
            "exactly the pages that were written",
            "state hashes and snapshots cost what changed",
        ),
        Ok(pages) => answer(
            Grade::Bad,
            format!("pages 100, 103 and 104 were written, the log has {pages:x?}"),
            "state hashes and snapshots would be wrong",
            &[Blocks::Everything],
        ),
    }
}
