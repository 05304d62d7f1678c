//! Recordings: runs that anyone can run again, in another folder, process or machine, and compare.
//!
//! A run is a function of plan, seed and tape, so a recording has these, and what came of them: the chain of
//! state hashes and the verdicts. What the nodes booted is in it by hashes, so that another kernel or program
//! is told and not taken for a difference of the run.

mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;

use chaosrun_vmm::machine::StateHash;
use chaosrun_vmm::tape::Tape;
use serde::{Deserialize, Serialize};

pub use file::{FileError, read, write};

use crate::artifact::node_image::NodeImage;
use crate::outcome::model::Verdict;
use crate::plan::{Origins, Plan};
use crate::run::Outcome;

/// A run, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The version of chaosrun that recorded it.
    pub chaosrun: String,
    /// The scenario's file, as it was given.
    pub file: String,
    /// The plan.
    pub plan: Plan,
    /// Where artifacts of files were on the host that recorded it, by hash.
    pub files: BTreeMap<String, PathBuf>,
    /// Seed and overrides of all decisions.
    pub tape: Tape,
    /// What each node booted.
    pub images: Vec<Image>,
    /// The chain of state hashes.
    pub chain: Vec<Link>,
    /// When it was over, in nanoseconds of virtual time since power-on.
    pub end_ns: u64,
    /// Instructions of all nodes.
    pub instructions: u64,
    /// The verdicts by the properties' names.
    pub verdicts: BTreeMap<String, Verdict>,
}

/// What a node booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The node's name.
    pub node: String,
    /// BLAKE3 of the kernel, in hexadecimal digits.
    pub kernel: String,
    /// BLAKE3 of the initial RAM disk.
    pub initrd: String,
    /// The kernel's command line.
    pub cmdline: String,
}

/// A link of the chain of state hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// When it was taken, in nanoseconds of virtual time since power-on.
    pub time_ns: u64,
    /// The chain up to there.
    #[serde(with = "hex")]
    pub chain: u128,
}

/// 128 bits as hexadecimal digits, for JSON has no numbers of this size.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &u128, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&format_args!("{value:032x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<u128, D::Error> {
        let text = String::deserialize(input)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

impl Link {
    fn of(hash: &StateHash) -> Self {
        Self {
            time_ns: hash.time.as_nanos(),
            chain: hash.chain,
        }
    }
}

/// What runs of a recording are made of.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The scenario's file, as it was given.
    pub file: &'a str,
    /// The plan.
    pub plan: &'a Plan,
    /// Where its parts come from.
    pub origins: &'a Origins,
    /// What its nodes boot.
    pub images: &'a [NodeImage],
    /// Seed and overrides.
    pub tape: &'a Tape,
}

impl Recording {
    /// The recording of a run.
    #[must_use]
    pub fn new(origin: Origin<'_>, outcome: &Outcome) -> Self {
        let judged = outcome.judgements.iter();
        Self {
            chaosrun: env!("CARGO_PKG_VERSION").to_owned(),
            file: origin.file.to_owned(),
            plan: origin.plan.clone(),
            files: origin.origins.files.clone(),
            tape: origin.tape.clone(),
            images: origin.images.iter().map(image).collect(),
            chain: outcome.chain.iter().map(Link::of).collect(),
            end_ns: outcome.end_ns,
            instructions: outcome.instructions,
            verdicts: judged.map(|j| (j.name.clone(), j.verdict)).collect(),
        }
    }

    /// The properties that were violated.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.verdicts
            .iter()
            .filter(|(_, verdict)| **verdict == Verdict::Fail)
            .map(|(name, _)| name.as_str())
    }

    /// In what the nodes of this host boot something else, in words; none if nowhere.
    #[must_use]
    pub fn other_image(&self, images: &[NodeImage]) -> Option<String> {
        let ours: Vec<Image> = images.iter().map(image).collect();
        let differs = |(recorded, own): (&Image, &Image)| {
            let Image {
                node,
                kernel,
                initrd,
                cmdline,
            } = recorded;
            if *kernel != own.kernel {
                Some(format!("the kernel of {node}"))
            } else if *initrd != own.initrd {
                Some(format!(
                    "the initial RAM disk of {node}, which has its programs"
                ))
            } else if *cmdline != own.cmdline {
                Some(format!("the kernel's command line of {node}"))
            } else {
                None
            }
        };
        if self.images.len() != ours.len() {
            return Some("the number of nodes".to_owned());
        }
        self.images.iter().zip(&ours).find_map(differs)
    }

    /// Compares the chain of another run.
    #[must_use]
    pub fn compare(&self, chain: &[StateHash]) -> Reproduced {
        let links: Vec<Link> = chain.iter().map(Link::of).collect();
        let mut pairs = self.chain.iter().zip(&links);
        if let Some((recorded, own)) = pairs.find(|(a, b)| a != b) {
            return Reproduced::Differs {
                time_ns: recorded.time_ns.min(own.time_ns),
            };
        }
        match links.len().cmp(&self.chain.len()) {
            std::cmp::Ordering::Equal => Reproduced::Same,
            _ => Reproduced::Differs {
                time_ns: self.chain.last().map_or(0, |link| link.time_ns),
            },
        }
    }
}

/// How another run compares with a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reproduced {
    /// All state hashes are equal.
    Same,
    /// From this moment on at the latest it is another run.
    Differs {
        /// Virtual time since power-on at which the difference was seen.
        time_ns: u64,
    },
}

fn image(image: &NodeImage) -> Image {
    Image {
        node: image.node.clone(),
        kernel: image.kernel_hash.clone(),
        initrd: image.initrd_hash.clone(),
        cmdline: image.cmdline.clone(),
    }
}
