//! Blocks: what is written at once, with checksums that tell if it is all there and where it belongs.
//!
//! All numbers are little-endian. A block begins at a sector's boundary and is padded to the next one:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | magic |
//! | 4..8 | kind |
//! | 8..16 | generation |
//! | 16..24 | sequence number in the generation |
//! | 24..32 | position in the area |
//! | 32..36 | length of the payload |
//! | 36..40 | CRC-32C of the payload |
//! | 40..44 | CRC-32C of bytes 0..40 |
//! | 44.. | payload |

use crc32c::crc32c;

use super::device::SECTOR;

const MAGIC: u32 = u32::from_le_bytes(*b"RFB1");
const HEADER: usize = 44;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The number of the generation that counts.
    Superblock,
    /// All that the node remembers: the first block of a generation.
    State,
    /// What has changed since.
    Records,
}

impl Kind {
    fn number(self) -> u32 {
        match self {
            Kind::Superblock => 1,
            Kind::State => 2,
            Kind::Records => 3,
        }
    }
}

/// What identifies a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// What it holds.
    pub kind: Kind,
    /// The generation.
    pub generation: u64,
    /// The number of the block in the generation.
    pub sequence: u64,
    /// Its first byte, counted from the beginning of its area.
    pub position: u64,
}

/// How many bytes a block with so long a payload takes on the disk.
pub fn padded_size(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(SECTOR)
}

/// The block's bytes.
pub fn encode(label: Label, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(padded_size(payload.len()));
    bytes.extend(MAGIC.to_le_bytes());
    bytes.extend(label.kind.number().to_le_bytes());
    bytes.extend(label.generation.to_le_bytes());
    bytes.extend(label.sequence.to_le_bytes());
    bytes.extend(label.position.to_le_bytes());
    bytes.extend((payload.len() as u32).to_le_bytes());
    bytes.extend(crc32c(payload).to_le_bytes());
    bytes.extend(crc32c(&bytes).to_le_bytes());
    bytes.extend(payload);
    bytes.resize(padded_size(payload.len()), 0);
    bytes
}

/// A block that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// What it says it is.
    pub label: Label,
    /// What it holds.
    pub payload: &'a [u8],
    /// Whether the payload is as it was written.
    pub intact: bool,
}

/// The block at the beginning of `bytes`, if there is a header that is intact and the payload fits.
pub fn decode(bytes: &[u8]) -> Option<Found<'_>> {
    let header = bytes.get(..HEADER)?;
    let number32 = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
    let number64 = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("8 bytes"));
    if number32(0) != MAGIC || number32(40) != crc32c(&header[..40]) {
        return None;
    }
    let kind = [Kind::Superblock, Kind::State, Kind::Records]
        .into_iter()
        .find(|kind| kind.number() == number32(4))?;
    let payload = bytes.get(HEADER..HEADER.checked_add(number32(32) as usize)?)?;
    let label = Label {
        kind,
        generation: number64(8),
        sequence: number64(16),
        position: number64(24),
    };
    Some(Found {
        label,
        payload,
        intact: crc32c(payload) == number32(36),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: Label = Label {
        kind: Kind::Records,
        generation: 3,
        sequence: 7,
        position: 1024,
    };

    #[test]
    fn blocks_come_back_as_they_were() {
        for length in [0, 1, SECTOR - HEADER, SECTOR - HEADER + 1, 5000] {
            let payload = vec![0xa5; length];
            let bytes = encode(LABEL, &payload);
            assert_eq!(bytes.len() % SECTOR, 0);
            let found = decode(&bytes).unwrap();
            assert_eq!(
                (found.label, found.payload, found.intact),
                (LABEL, &payload[..], true)
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = encode(LABEL, b"what is remembered");
        for bit in 0..(HEADER + 18) * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !decode(&damaged).is_some_and(|found| found.intact),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_block_that_is_cut_is_none() {
        let bytes = encode(LABEL, &[1; 900]);
        assert_eq!(decode(&bytes[..SECTOR]), None);
        assert_eq!(decode(&[]), None);
    }
}
