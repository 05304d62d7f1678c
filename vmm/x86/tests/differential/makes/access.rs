//! Which fault an access to a case's memory has.

use crate::builder;
use crate::layout::{CODE, CODE_SIZE, PAGE, READ_ONLY, WINDOW};
use crate::state::Case;

/// What an access does, which decides its error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    StackRead,
    StackWrite,
}

impl Access {
    fn writes(self) -> bool {
        matches!(self, Self::Write | Self::StackWrite)
    }
}

/// The vector, the error code and, for a page fault, the address of the fault of an access, if it has one.
pub fn fault(case: &Case, address: u64, size: u64, access: Access) -> Option<(u8, u64, u64)> {
    let last = address.wrapping_add(size - 1);
    if case.bits == 64 && !(builder::is_canonical(address) && builder::is_canonical(last)) {
        let stack = matches!(access, Access::StackRead | Access::StackWrite);
        return Some((if stack { 12 } else { 13 }, 0, 0));
    }
    // Ten bytes are two accesses, the first one of eight.
    let aligned = address.is_multiple_of(if size == 10 { 8 } else { size });
    if case.regs.rflags & 1 << 18 != 0 && !aligned {
        return Some((17, 0, 0));
    }
    let second = last & !(PAGE - 1);
    let starts = if second == address & !(PAGE - 1) {
        vec![address]
    } else {
        vec![address, second]
    };
    starts.into_iter().find_map(|start| {
        let page = start & !(PAGE - 1);
        let in_window = (WINDOW..super::END).contains(&page);
        let present = in_window || page == READ_ONLY || (CODE..CODE + CODE_SIZE).contains(&page);
        let refused = !present || access.writes() && !in_window;
        let error = u64::from(present) | u64::from(access.writes()) << 1 | 4;
        refused.then_some((14, error, start))
    })
}
