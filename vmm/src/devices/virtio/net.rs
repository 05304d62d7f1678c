//! A network interface (virtio 1.2, 5.1) without offloads: frames go out and come in as they are on
//! the wire.

use serde::{Deserialize, Serialize};

use super::mmio::Transport;
use super::queue::{Broken, Segment, gather, scatter, total};
use super::{Environment, ID_NET};
use crate::devices::Effect;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

const FEATURE_MAC: u64 = 1 << 5;
const FEATURE_MERGE_BUFFERS: u64 = 1 << 15;
const FEATURE_STATUS: u64 = 1 << 16;

/// The header in front of each frame (5.1.6).
const HEADER: usize = 12;
/// Where in it the number of buffers is that a received frame takes.
const BUFFERS: usize = 10;
/// An Ethernet header.
const FRAME_MIN: u64 = 14;
/// An Ethernet header with a VLAN tag and the largest IP packet.
const FRAME_MAX: u64 = 18 + 65_535;

/// The registers after reset.
pub(super) fn transport() -> Transport {
    Transport::new(
        ID_NET,
        FEATURE_MAC | FEATURE_MERGE_BUFFERS | FEATURE_STATUS,
        2,
    )
}

/// What a network interface has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicCounters {
    /// Frames that the guest sent.
    pub sent: u64,
    /// Frames that the guest sent and that can't be: too short or too long.
    pub malformed: u64,
    /// Frames that the guest got.
    pub received: u64,
    /// Frames that arrived while the guest had no buffers for them.
    pub dropped: u64,
}

/// The state behind the registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetState {
    nic: usize,
    mac: [u8; 6],
    counters: NicCounters,
}

impl NetState {
    /// Network interface number `nic`.
    pub fn new(nic: usize, mac: [u8; 6]) -> Self {
        Self {
            nic,
            mac,
            counters: NicCounters::default(),
        }
    }

    /// What it has seen.
    pub fn counters(&self) -> &NicCounters {
        &self.counters
    }

    /// The bytes of the configuration space: address and status, which is "link up".
    pub(super) fn config(&self) -> [u8; 8] {
        let [a, b, c, d, e, f] = self.mac;
        [a, b, c, d, e, f, 1, 0]
    }

    /// Sends all frames that wait.
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
            let len = total(&chain.readable).saturating_sub(HEADER as u64);
            if (FRAME_MIN..=FRAME_MAX).contains(&len) {
                let mut bytes = gather(env.memory, &chain.readable, u64::MAX)?;
                bytes.drain(..HEADER);
                self.counters.sent += 1;
                let nic = self.nic;
                effects.push(Effect::Frame { nic, bytes });
            } else {
                self.counters.malformed += 1;
            }
            transport.push(env.memory, TRANSMIT, chain.head, 0)?;
        }
        Ok(())
    }

    /// A frame arrives. It is dropped if the guest has no buffers for it.
    ///
    /// # Errors
    /// If a queue makes no sense.
    pub(super) fn receive(
        &mut self,
        transport: &mut Transport,
        env: &mut Environment<'_>,
        frame: &[u8],
    ) -> Result<(), Broken> {
        let possible = (FRAME_MIN..=FRAME_MAX).contains(&(frame.len() as u64));
        let buffers = if possible && transport.is_live() {
            take_buffers(transport, env, HEADER + frame.len())?
        } else {
            None
        };
        let Some(buffers) = buffers else {
            self.counters.dropped += 1;
            return Ok(());
        };
        self.counters.received += 1;
        let mut bytes = vec![0; HEADER];
        let count = (buffers.len() as u16).to_le_bytes();
        bytes[BUFFERS..HEADER].copy_from_slice(&count);
        bytes.extend_from_slice(frame);
        let mut rest = &bytes[..];
        for (head, segments) in buffers {
            let written = scatter(env.memory, &segments, rest)?;
            rest = &rest[written as usize..];
            transport.push(env.memory, RECEIVE, head, written)?;
        }
        Ok(())
    }
}

/// Buffers of the driver, each with the head of its chain.
type Buffers = Vec<(u16, Vec<Segment>)>;

/// Takes buffers for `len` bytes, several if the driver can merge them, or none if there are too few.
fn take_buffers(
    transport: &mut Transport,
    env: &Environment<'_>,
    len: usize,
) -> Result<Option<Buffers>, Broken> {
    let most = if transport.has(FEATURE_MERGE_BUFFERS) {
        usize::from(super::queue::SIZE_MAX)
    } else {
        1
    };
    let before = transport.queue(RECEIVE).taken();
    let (mut buffers, mut room) = (Vec::new(), 0);
    while room < len as u64 {
        let chain = if buffers.len() < most {
            transport.pop(env.memory, RECEIVE)?
        } else {
            None
        };
        let Some(chain) = chain else {
            transport.queue(RECEIVE).rewind(before);
            return Ok(None);
        };
        room += total(&chain.writable);
        // The header has to fit into the first one, as the driver reads it there.
        if buffers.is_empty() && room < HEADER as u64 {
            return Err(Broken);
        }
        buffers.push((chain.head, chain.writable));
    }
    Ok(Some(buffers))
}
