//! What a probe of the host is, and the words of what it found.
//!
//! Whoever probes knows these and not the doctor, who knows all probes.

use serde::{Deserialize, Serialize};

/// How good what was found is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// As it should be.
    Good,
    /// It works, with limits.
    Limited,
    /// It does not work.
    Bad,
    /// It could not be determined.
    Unknown,
}

/// What a measurement stands in the way of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blocks {
    /// Any guest on this engine.
    Everything,
    /// Linux.
    Linux,
    /// A run that is a function of its inputs, whatever the guest does.
    Determinism,
    /// Stopping a guest that does not exit at an exact point.
    Preemption,
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// The probe's name.
    pub probe: String,
    /// What it looks at, in a few words.
    pub subject: String,
    /// How good it is. In JSON it keeps the name that people's scripts read.
    #[serde(rename = "verdict")]
    pub grade: Grade,
    /// What was measured.
    pub measured: String,
    /// What that means for scenarios.
    pub means: String,
    /// What it stands in the way of.
    pub blocks: Vec<Blocks>,
}

/// What a probe has to say, which its name and subject make a [`Measurement`] of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub grade: Grade,
    pub measured: String,
    pub means: String,
    pub blocks: Vec<Blocks>,
}

/// A probe: its name, what it looks at, and how.
pub(super) struct Probe {
    pub name: &'static str,
    pub subject: &'static str,
    /// What it means if the probe itself never returns.
    pub if_lost: (&'static str, &'static [Blocks]),
    pub run: fn() -> Answer,
}
