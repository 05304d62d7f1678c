//! A network interface (virtio 1.2, 5.1). Frames go out and come in as they are on the wire, but for one
//! offload that real interfaces have, too: the checksum of a packet that the guest sends is computed
//! here if the guest asks, so that it neither computes it nor copies the packet into one piece for that.

use serde::{Deserialize, Serialize};

use super::mmio::Transport;
use super::queue::{Broken, Segment, gather, scatter, total};
use super::{Environment, ID_NET};
use crate::devices::Effect;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

const FEATURE_CHECKSUM: u64 = 1 << 0;
const FEATURE_MAC: u64 = 1 << 5;
const FEATURE_MERGE_BUFFERS: u64 = 1 << 15;
const FEATURE_STATUS: u64 = 1 << 16;

/// The header in front of each frame (5.1.6).
const HEADER: usize = 12;
/// The flag in its first byte that asks for a checksum.
const NEEDS_CHECKSUM: u8 = 1 << 0;
/// Where in it the offset in the frame is from which on the checksum is computed.
const CHECKSUM_START: usize = 6;
/// Where in it the offset from there is at which the checksum is put.
const CHECKSUM_OFFSET: usize = 8;
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
        FEATURE_CHECKSUM | FEATURE_MAC | FEATURE_MERGE_BUFFERS | FEATURE_STATUS,
        2,
    )
}

/// What a network interface has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicCounters {
    /// Frames that the guest sent.
    pub sent: u64,
    /// Frames that the guest sent and that can't be: too short, too long, or with a checksum outside.
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
            let checksums = transport.has(FEATURE_CHECKSUM);
            if let Some(bytes) = frame_of(env, &chain.readable, checksums)? {
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

    /// A frame arrives that the guest can't take.
    pub(super) fn lose(&mut self) {
        self.counters.dropped += 1;
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
            self.lose();
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
        // The buffers were taken because it fits; half a frame would be another one to the guest.
        assert!(rest.is_empty(), "{} bytes of a frame are left", rest.len());
        Ok(())
    }
}

/// The frame that the guest sends in these buffers, or none if it can't be one. Whether the driver may ask
/// for checksums is in `checksums`.
fn frame_of(
    env: &Environment<'_>,
    readable: &[Segment],
    checksums: bool,
) -> Result<Option<Vec<u8>>, Broken> {
    let len = total(readable).saturating_sub(HEADER as u64);
    if !(FRAME_MIN..=FRAME_MAX).contains(&len) {
        return Ok(None);
    }
    let mut frame = gather(env.memory, readable, u64::MAX)?;
    let header: Vec<u8> = frame.drain(..HEADER).collect();
    let number = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let asked = checksums && header[0] & NEEDS_CHECKSUM != 0;
    let (start, offset) = (number(CHECKSUM_START), number(CHECKSUM_OFFSET));
    if asked && !complete_checksum(&mut frame, start, offset) {
        return Ok(None);
    }
    Ok(Some(frame))
}

/// Puts the Internet checksum (RFC 1071) of what the frame has from `start` on at `offset` from there, where
/// the driver left that of the pseudo header. Returns `false` if the frame is too short for that.
fn complete_checksum(frame: &mut [u8], start: usize, offset: usize) -> bool {
    let Some(packet) = frame.get_mut(start..) else {
        return false;
    };
    if packet.len() < offset + 2 {
        return false;
    }
    let words = packet.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u64::from(u16::from_be_bytes([pair[0], low]))
    });
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // The other zero, for UDP takes zero as having no checksum (RFC 768).
    let checksum = match !(sum as u16) {
        0 => 0xffff,
        other => other,
    };
    packet[offset..offset + 2].copy_from_slice(&checksum.to_be_bytes());
    true
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
