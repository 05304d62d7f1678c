//! What a machine boots, without who it is.

use serde::{Deserialize, Serialize};

use super::config::MachineConfig;
use crate::tape::Tape;

/// Separates these hashes from any other use of the hash.
const ID_CONTEXT: &str = "chaosrun 2026 boot image: id";
const SEED_CONTEXT: &str = "chaosrun 2026 boot image: seed of the tape";
const KERNEL_CONTEXT: &str = "chaosrun 2026 boot image: seed of the kernel";

/// The hash of everything that a machine is made of and that its name, its tape, its date, the content of its
/// disks and its networks do not matter for. Machines that have to be told who they are, and have the same
/// image, do the same until they ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageId([u8; 32]);

impl ImageId {
    /// The image of a configuration. It takes as long as hashing kernel and initial RAM disk.
    pub fn of(config: &MachineConfig<'_>) -> Self {
        let MachineConfig {
            memory,
            vcpus: _,
            model: _,
            rate,
            kernel,
            initrd,
            cmdline,
            interleaving,
            // Who it is, which is what an image does not know.
            name: _,
            date_ns: _,
            moved_ns: _,
            tape: _,
            disks: _,
            nics: _,
            identity: _,
            image: _,
            // Counted below.
            control: _,
            entropy: _,
            // How it is executed, which makes no difference.
            engine: _,
            engine_options: _,
            code: _,
            // Matters only to a machine that waits for ever.
            external_input: _,
        } = config;
        let devices = config.virtio().len() as u64;
        let hash = |bytes: &[u8]| *blake3::hash(bytes).as_bytes();
        let parts = (
            hash(kernel),
            initrd.map(hash),
            cmdline,
            (memory, rate, devices),
            interleaving,
            config.processor(),
        );
        let bytes = postcard::to_allocvec(&parts).expect("an image has a postcard form");
        Self(blake3::derive_key(ID_CONTEXT, &bytes))
    }

    /// The tape from which decisions come as long as the guest has not asked who it is.
    pub(super) fn tape(&self) -> Tape {
        let [a, b, c, d, e, f, g, h, ..] = blake3::derive_key(SEED_CONTEXT, &self.0);
        Tape::new(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    /// What the kernel seeds its random numbers with.
    pub(super) fn kernel_seed(&self) -> [u8; 32] {
        blake3::derive_key(KERNEL_CONTEXT, &self.0)
    }

    /// The hash's bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
