//! Counts what a log contains.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use super::event::Event;
use super::format::{DlogError, Reader};
use crate::time::VirtTime;

/// How many addresses the text form shows.
const BUSIEST: usize = 10;

/// The contents of a log in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// All records.
    pub records: u64,
    /// Records by kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Accesses by kind and address.
    pub addresses: BTreeMap<(&'static str, u64), u64>,
    /// Interrupts by vector.
    pub vectors: BTreeMap<u8, u64>,
    /// Bytes of console output.
    pub console_bytes: u64,
    /// The moment of the last record.
    pub end: VirtTime,
    /// Instructions at the last record.
    pub retired: u64,
}

impl Stats {
    /// Reads a log to its end.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn of<R: BufRead>(reader: Reader<R>) -> Result<Self, DlogError> {
        let mut stats = Self::default();
        for record in reader {
            let record = record?;
            stats.records += 1;
            *stats.kinds.entry(record.event.kind()).or_default() += 1;
            stats.end = record.time;
            stats.retired = record.retired;
            match &record.event {
                Event::Mmio(access) | Event::Port(access) | Event::Msr(access) => {
                    let key = (record.event.kind(), access.address);
                    *stats.addresses.entry(key).or_default() += 1;
                }
                Event::Interrupt { vector, .. } => *stats.vectors.entry(*vector).or_default() += 1,
                Event::Console(bytes) => stats.console_bytes += bytes.len() as u64,
                _ => {}
            }
        }
        Ok(stats)
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "records      {}", self.records)?;
        writeln!(f, "virtual time {} ns", self.end.0)?;
        writeln!(f, "instructions {}", self.retired)?;
        writeln!(f, "console      {} bytes", self.console_bytes)?;
        for (kind, count) in &self.kinds {
            writeln!(f, "{kind:<12} {count}")?;
        }
        for (vector, count) in &self.vectors {
            writeln!(f, "vector {vector:#04x}  {count}")?;
        }
        let mut busiest: Vec<_> = self.addresses.iter().collect();
        busiest.sort_by_key(|(address, count)| (std::cmp::Reverse(**count), **address));
        for ((kind, address), count) in busiest.into_iter().take(BUSIEST) {
            writeln!(f, "{:<12} {count}", format!("{kind} {address:#x}"))?;
        }
        Ok(())
    }
}
