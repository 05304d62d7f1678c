//! The source of random numbers (virtio 1.2, 5.4). They are decisions of the tape.

use super::mmio::Transport;
use super::queue::{Broken, scatter, total};
use super::{Environment, ID_ENTROPY};

/// The most bytes that one request gets.
const REQUEST_MAX: u64 = 4096;

/// The registers after reset.
pub(super) fn transport() -> Transport {
    Transport::new(ID_ENTROPY, 0, 1)
}

/// Fills all buffers that wait.
///
/// # Errors
/// If the queue makes no sense.
pub(super) fn service(transport: &mut Transport, env: &mut Environment<'_>) -> Result<(), Broken> {
    while let Some(chain) = transport.pop(env.memory, 0)? {
        let len = total(&chain.writable).min(REQUEST_MAX) as usize;
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&env.entropy.any().to_le_bytes());
        }
        let written = scatter(env.memory, &chain.writable, &bytes[..len])?;
        transport.push(env.memory, 0, chain.head, written)?;
    }
    Ok(())
}
