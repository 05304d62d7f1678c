//! Compares two logs and finds where they part.

use std::collections::VecDeque;
use std::fmt;
use std::io::BufRead;

use super::event::Record;
use super::format::{DlogError, Reader};

/// Records shown before a divergence, for context.
const CONTEXT: usize = 5;

/// What a comparison leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ignore {
    /// Values that were read or written, console bytes, registers and hashes: only what happened is
    /// compared, not what it carried.
    pub payloads: bool,
    /// Virtual times and instruction counts.
    pub times: bool,
}

/// The first place at which two logs differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The number of the first record that differs, from zero.
    pub index: u64,
    /// What differs about it.
    pub what: &'static str,
    /// The records before it, which both logs have; oldest first.
    pub context: Vec<Record>,
    /// The left log's record, unless it ended.
    pub left: Option<Record>,
    /// The right log's record, unless it ended.
    pub right: Option<Record>,
}

/// Compares two logs record by record. `None` means that they are equal.
///
/// # Errors
/// If one of them can't be read up to the divergence.
pub fn diff<L: BufRead, R: BufRead>(
    left: Reader<L>,
    right: Reader<R>,
    ignore: Ignore,
) -> Result<Option<Divergence>, DlogError> {
    let (mut left, mut right) = (left, right);
    let mut context = VecDeque::with_capacity(CONTEXT + 1);
    for index in 0.. {
        let (a, b) = (left.next().transpose()?, right.next().transpose()?);
        let what = match (&a, &b) {
            (None, None) => return Ok(None),
            (Some(a), Some(b)) => difference(a, b, ignore),
            (None, Some(_)) => Some("the left log ends"),
            (Some(_), None) => Some("the right log ends"),
        };
        if let Some(what) = what {
            let context = context.into();
            return Ok(Some(Divergence {
                index,
                what,
                context,
                left: a,
                right: b,
            }));
        }
        context.extend(a);
        if context.len() > CONTEXT {
            context.pop_front();
        }
    }
    Ok(None)
}

/// What differs between two records, if anything that is not ignored does.
fn difference(a: &Record, b: &Record, ignore: Ignore) -> Option<&'static str> {
    if !a.event.same_shape(&b.event) {
        Some("the events differ")
    } else if !ignore.times && (a.time, a.retired) != (b.time, b.retired) {
        Some("the moments differ")
    } else if !ignore.payloads && a.event != b.event {
        Some("the payloads differ")
    } else {
        None
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "record {}: {}", self.index, self.what)?;
        for record in &self.context {
            writeln!(f, "  {record}")?;
        }
        for (mark, record) in [('-', &self.left), ('+', &self.right)] {
            match record {
                Some(record) => writeln!(f, "{mark} {record}")?,
                None => writeln!(f, "{mark} (end of the log)")?,
            }
        }
        Ok(())
    }
}
