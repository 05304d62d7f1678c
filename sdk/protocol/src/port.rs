//! The call block: how a program calls the machine that it runs in.
//!
//! A call is one instruction, `out dx, eax` with DX = [`PORT`], EAX = 0 and RDI = the virtual address of
//! a call block, which the program has just written. The machine reads the block, acts, and writes
//! [`Header::status`] and [`Header::reply`] before the next instruction. If a page of the block is not
//! mapped, the machine leaves the block alone, and the program touches its pages and tries again.
//!
//! The block is little-endian, aligned to [`ALIGNMENT`] bytes:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | magic, [`MAGIC`] |
//! | 4 | 2 | op, see [`Op`] |
//! | 6 | 2 | version, [`VERSION`] |
//! | 8 | 4 | status, written as [`STATUS_NONE`] |
//! | 12 | 4 | length of the payload, at most [`MAX_PAYLOAD`] |
//! | 16 | 8 | reply |
//! | 24 | length | payload |

/// The port of calls.
pub const PORT: u16 = 0x150;
/// How many ports from [`PORT`] on belong to the SDK, and are opened to programs by init.
pub const PORT_COUNT: u16 = 8;
/// The first four bytes of a call block: "CRK1".
pub const MAGIC: u32 = 0x314b_5243;
/// The version of the block's layout.
pub const VERSION: u16 = 1;
/// The bytes in front of the payload.
pub const HEADER_SIZE: usize = 24;
/// The longest payload, in bytes.
pub const MAX_PAYLOAD: usize = 65_536;
/// What the block's address is a multiple of, so that no field crosses a page.
pub const ALIGNMENT: usize = 8;
/// Where the status is in the block.
pub const STATUS_OFFSET: usize = 8;
/// Where the reply is in the block.
pub const REPLY_OFFSET: usize = 16;
/// The longest name of a stream of random numbers, in bytes.
pub const MAX_STREAM_NAME: usize = 64;
/// How many names of streams one machine keeps apart; further names share one stream.
pub const MAX_STREAMS: usize = 256;
/// How often a program tries before it concludes that no machine listens.
pub const MAX_TRIES: u32 = 8;

/// The status before the call; also what is left when a page of the block was not mapped.
pub const STATUS_NONE: u32 = 0;
/// The machine did what it was asked.
pub const STATUS_DONE: u32 = 1;
/// The machine refused: magic, op, version, length or payload are wrong.
pub const STATUS_REFUSED: u32 = 2;

/// The file that init makes once programs may use the port. Where it is missing, an OUT faults.
pub const MARKER: &str = "/run/chaosrun/sdk";

/// What a program asks of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Op {
    /// Is anyone there? The reply is the protocol's version, [`VERSION`].
    Hello = 1,
    /// The payload is an [`Envelope`](crate::Envelope) in postcard.
    Send = 2,
    /// The payload is the UTF-8 name of a stream; the reply is its next random number.
    Random = 3,
    /// What CLOCK_REALTIME ought to show: the reply is a signed number of nanoseconds since 1970, UTC. It is
    /// about the moment of the call, or, with the payload [`AT_TSC`], about the moment at which the machine's
    /// time stamp counter was last read.
    Date = 4,
    /// How far faults have moved the date from what it would be without them: the reply is a signed number
    /// of nanoseconds.
    DateMoved = 5,
    /// Who is this node? The payload begins with an offset of [`OFFSET_SIZE`] bytes, little-endian. The
    /// machine writes the node's description ([`NodeConfig`](crate::node::NodeConfig) as JSON) from there on
    /// over the payload, as far as it goes; the reply is the length of all of it, 0 if there is none.
    Node = 6,
}

/// The bytes of the offset at the beginning of the payload of [`Op::Node`].
pub const OFFSET_SIZE: usize = 8;

/// The payload of [`Op::Date`] that asks for the date when the time stamp counter was last read. A program
/// that reads a clock that is made of the counter, and then calls, learns what that clock ought to have
/// shown, to the nanosecond.
pub const AT_TSC: &[u8] = b"tsc";

impl Op {
    /// The operation with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Hello),
            2 => Some(Self::Send),
            3 => Some(Self::Random),
            4 => Some(Self::Date),
            5 => Some(Self::DateMoved),
            6 => Some(Self::Node),
            _ => None,
        }
    }

    /// Whether the answer depends on which node the machine is, or on when and how often it was switched on.
    /// Until a guest asks for anything of that kind, it can't know.
    #[must_use]
    pub const fn needs_identity(self) -> bool {
        match self {
            Self::Hello | Self::Send => false,
            Self::Random | Self::Date | Self::DateMoved | Self::Node => true,
        }
    }
}

/// The fields in front of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u32,
    /// The number of an [`Op`].
    pub op: u16,
    /// [`VERSION`].
    pub version: u16,
    /// One of the `STATUS_` constants.
    pub status: u32,
    /// The length of the payload in bytes.
    pub len: u32,
    /// The answer, if the status is [`STATUS_DONE`].
    pub reply: u64,
}

impl Header {
    /// The header of a call with `len` bytes of payload.
    #[must_use]
    pub const fn new(op: Op, len: u32) -> Self {
        Self {
            magic: MAGIC,
            op: op as u16,
            version: VERSION,
            status: STATUS_NONE,
            len,
            reply: 0,
        }
    }

    /// The header as it is in memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[0..4].copy_from_slice(&self.magic.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.op.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.version.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.status.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.len.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.reply.to_le_bytes());
        bytes
    }

    /// The header that these bytes are; any bytes are one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; HEADER_SIZE]) -> Self {
        let [
            m0,
            m1,
            m2,
            m3,
            o0,
            o1,
            v0,
            v1,
            s0,
            s1,
            s2,
            s3,
            l0,
            l1,
            l2,
            l3,
            reply @ ..,
        ] = *bytes;
        Self {
            magic: u32::from_le_bytes([m0, m1, m2, m3]),
            op: u16::from_le_bytes([o0, o1]),
            version: u16::from_le_bytes([v0, v1]),
            status: u32::from_le_bytes([s0, s1, s2, s3]),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            reply: u64::from_le_bytes(reply),
        }
    }

    /// What is asked and how long the payload is.
    ///
    /// # Errors
    /// What is wrong with the header, in a few words.
    pub fn check(&self) -> Result<(Op, usize), &'static str> {
        if self.magic != MAGIC {
            return Err("wrong magic number");
        }
        if self.version != VERSION {
            return Err("unknown version");
        }
        let op = Op::from_number(self.op).ok_or("unknown operation")?;
        let len = self.len as usize;
        match op {
            _ if len > MAX_PAYLOAD => Err("payload too long"),
            Op::Random if len > MAX_STREAM_NAME => Err("name of a stream too long"),
            Op::Node if len < OFFSET_SIZE => Err("payload too short"),
            Op::Date | Op::DateMoved if len > MAX_STREAM_NAME => Err("payload too long"),
            _ => Ok((op, len)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_has_the_documented_layout() {
        let header = Header {
            reply: 0x1122_3344_5566_7788,
            ..Header::new(Op::Random, 5)
        };
        let expected = [
            b'C', b'R', b'K', b'1', 3, 0, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0x88, 0x77, 0x66, 0x55,
            0x44, 0x33, 0x22, 0x11,
        ];
        assert_eq!(header.to_bytes(), expected);
        assert_eq!(Header::from_bytes(&expected), header);
    }

    #[test]
    fn wrong_headers_are_refused_with_the_reason() {
        let good = Header::new(Op::Send, MAX_PAYLOAD as u32);
        assert_eq!(good.check(), Ok((Op::Send, MAX_PAYLOAD)));
        let wrong = [
            (Header { magic: 1, ..good }, "wrong magic number"),
            (Header { version: 2, ..good }, "unknown version"),
            (Header { op: 0, ..good }, "unknown operation"),
            (Header { op: 7, ..good }, "unknown operation"),
            (
                Header {
                    len: 65_537,
                    ..good
                },
                "payload too long",
            ),
            (Header::new(Op::Random, 65), "name of a stream too long"),
            (Header::new(Op::Date, 65), "payload too long"),
            (Header::new(Op::Node, 7), "payload too short"),
        ];
        for (header, reason) in wrong {
            assert_eq!(header.check(), Err(reason));
        }
    }
}
