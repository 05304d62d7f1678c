//! The control console (virtio 1.2, 5.3): one port, through which the world outside talks to the
//! guest's init.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::mmio::Transport;
use super::queue::{Broken, gather, scatter, total};
use super::{Environment, ID_CONSOLE};
use crate::devices::Effect;
use crate::invariant::invariant;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
/// Bytes that wait for the guest at most.
const WAITING_MAX: usize = 1 << 20;
/// Bytes taken from one request at most.
const REQUEST_MAX: u64 = 1 << 20;

/// The registers after reset.
pub(super) fn transport() -> Transport {
    Transport::new(ID_CONSOLE, 0, 2)
}

/// The state behind the registers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleState {
    waiting: VecDeque<u8>,
    dropped: u64,
}

impl ConsoleState {
    /// Bytes from outside that were dropped because too many waited.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes arrive, which wait until the guest has buffers.
    pub fn receive(&mut self, bytes: &[u8]) {
        let room = WAITING_MAX.saturating_sub(self.waiting.len());
        let (kept, lost) = bytes.split_at(bytes.len().min(room));
        self.waiting.extend(kept);
        self.dropped += lost.len() as u64;
        invariant!(
            self.waiting.len() <= WAITING_MAX,
            "too many bytes wait for the guest"
        );
    }

    /// Moves bytes both ways.
    ///
    /// # Errors
    /// If a queue makes no sense.
    pub(super) fn service(
        &mut self,
        transport: &mut Transport,
        env: &mut Environment<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Broken> {
        while let Some(chain) = transport.pop(env.memory, TRANSMIT)? {
            let bytes = gather(env.memory, &chain.readable, REQUEST_MAX)?;
            if !bytes.is_empty() {
                effects.push(Effect::Control(bytes));
            }
            transport.push(env.memory, TRANSMIT, chain.head, 0)?;
        }
        while !self.waiting.is_empty() {
            let Some(chain) = transport.pop(env.memory, RECEIVE)? else {
                break;
            };
            let room = total(&chain.writable).min(self.waiting.len() as u64) as usize;
            let bytes: Vec<u8> = self.waiting.drain(..room).collect();
            let written = scatter(env.memory, &chain.writable, &bytes)?;
            transport.push(env.memory, RECEIVE, chain.head, written)?;
        }
        Ok(())
    }
}
