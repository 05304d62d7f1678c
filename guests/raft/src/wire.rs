//! What travels over a connection: frames of a length, a CRC-32C, and the content in postcard.

use crc32c::crc32c;
use serde::{Deserialize, Serialize};

use crate::protocol::{Message, NodeId, Reply, Request};

/// The longest content of a frame, in bytes; a snapshot of the fullest state is shorter.
pub const MAX_FRAME: usize = 1024 * 1024;
const HEADER: usize = 8;

/// One thing that is said on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wire {
    /// The first word between servers: who is calling.
    Hello(NodeId),
    /// A server says something to another.
    Message(Message),
    /// A client asks; the number comes back with the reply.
    Request(u64, Request),
    /// The answer.
    Reply(u64, Reply),
}

/// A connection carries something that no server or client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A frame is too long.
    #[error("a frame of {0} bytes")]
    TooLong(usize),
    /// A frame was changed on its way.
    #[error("a frame with a wrong checksum")]
    Checksum,
    /// A frame holds something else.
    #[error("a frame that is none of ours")]
    Content,
}

/// Adds a frame to what is to be sent.
pub fn encode(wire: &Wire, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend([0; HEADER]);
    *out = postcard::to_extend(wire, std::mem::take(out)).expect("writing to memory cannot fail");
    let (header, content) = out[start..].split_at_mut(HEADER);
    header[..4].copy_from_slice(&(content.len() as u32).to_le_bytes());
    header[4..].copy_from_slice(&crc32c(content).to_le_bytes());
}

/// Cuts what arrives into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// How many bytes at the beginning have been used.
    used: usize,
}

impl Decoder {
    /// Takes in what arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.used);
        self.used = 0;
        self.bytes.extend(bytes);
    }

    /// The next frame's content, if it is there whole.
    ///
    /// # Errors
    /// If it is none. The connection is then of no more use.
    pub fn next_frame(&mut self) -> Result<Option<Wire>, WireError> {
        let rest = &self.bytes[self.used..];
        let Some(header) = rest.get(..HEADER) else {
            return Ok(None);
        };
        let number =
            |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
        let length = number(0) as usize;
        if length > MAX_FRAME {
            return Err(WireError::TooLong(length));
        }
        let Some(content) = rest.get(HEADER..HEADER + length) else {
            return Ok(None);
        };
        if crc32c(content) != number(4) {
            return Err(WireError::Checksum);
        }
        let wire = postcard::from_bytes(content).map_err(|_| WireError::Content)?;
        self.used += HEADER + length;
        Ok(Some(wire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Body, Op};

    fn samples() -> Vec<Wire> {
        let op = Op::Put {
            key: "k".into(),
            value: vec![1; 300],
        };
        vec![
            Wire::Hello(3),
            Wire::Request(
                7,
                Request {
                    session: 1,
                    sequence: 2,
                    op,
                },
            ),
            Wire::Message(Message {
                term: 4,
                body: Body::VoteReply {
                    granted: true,
                    pre: false,
                },
            }),
            Wire::Reply(7, Reply::NotLeader(Some(2))),
        ]
    }

    #[test]
    fn a_frame_is_its_length_the_crc_32c_and_bytes_behind_their_length() {
        let op = Op::Cas {
            key: "k".into(),
            expect: Some(vec![1, 2]),
            value: Vec::new(),
        };
        let request = Request {
            session: 1,
            sequence: 2,
            op,
        };
        let mut bytes = Vec::new();
        encode(&Wire::Request(7, request), &mut bytes);
        assert_eq!(bytes[..4], [12, 0, 0, 0]);
        assert_eq!(bytes[4..8], 0xa566_4635u32.to_le_bytes());
        assert_eq!(bytes[8..], [2, 7, 1, 2, 2, 1, b'k', 1, 2, 1, 2, 0]);
        // The check value of RFC 3720.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn frames_come_whole_however_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        samples().iter().for_each(|wire| encode(wire, &mut bytes));
        for size in [1, 3, 7, 64, 1000] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in bytes.chunks(size) {
                decoder.feed(piece);
                while let Some(wire) = decoder.next_frame().unwrap() {
                    seen.push(wire);
                }
            }
            assert_eq!(seen, samples());
        }
    }

    #[test]
    fn changed_bits_are_noticed_and_nothing_panics() {
        let mut bytes = Vec::new();
        encode(&samples()[1], &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let mut decoder = Decoder::default();
            decoder.feed(&changed);
            assert!(!matches!(decoder.next_frame(), Ok(Some(_))), "bit {bit}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let mut decoder = Decoder::default();
        decoder.feed(&[0xff; 8]);
        assert_eq!(decoder.next_frame(), Err(WireError::TooLong(0xffff_ffff)));
    }
}
