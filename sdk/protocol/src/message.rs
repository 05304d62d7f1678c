//! What a program in a guest tells chaosrun.
//!
//! A message travels as an [`Envelope`] in postcard, in the payload of one call of
//! [`Op::Send`](crate::port::Op::Send). Values that the host does not interpret (details of assertions
//! and events, arguments of operations) are JSON texts.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::port::MAX_PAYLOAD;
use crate::report::InitReport;

/// The longest name, key, path or sentence of a message, in bytes of UTF-8.
pub const MAX_NAME: usize = 512;
/// The longest JSON text of a message, in bytes of UTF-8.
pub const MAX_JSON: usize = 32 * 1024;

/// How many bytes few envelopes have more of.
const USUAL_SIZE: usize = 256;

/// A message and who sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The process that sent it, as the guest's kernel numbers it.
    pub pid: u32,
    /// What it says.
    pub message: Message,
}

/// What a program tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Sites that the program has, whether it reaches them or not. A program with many sites sends
    /// several catalogues.
    Catalog {
        /// The places in the source.
        sites: Vec<Site>,
    },
    /// An assertion was evaluated.
    Assert(Assertion),
    /// The program is ready to be tested.
    SetupComplete {
        /// A JSON value.
        details: String,
    },
    /// Something happened that scenarios and reports can refer to.
    Event {
        /// Its name.
        name: String,
        /// A JSON value.
        details: String,
    },
    /// A value that the host's checkers follow, as in `monotonic "term"`.
    Publish {
        /// The value's name.
        key: String,
        /// What it is from now on.
        value: Value,
    },
    /// An operation begins or ends.
    History(Operation),
    /// A named fault point decided.
    FaultPoint {
        /// The point's name.
        name: String,
        /// Whether it misbehaves this time.
        taken: bool,
    },
    /// What init tells; only the first process of a guest sends it.
    Init(InitReport),
}

/// What a site of a program's source asserts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Holds each time, and is reached at least once in a run.
    Always,
    /// Holds each time, if it is reached at all.
    AlwaysOrUnreachable,
    /// Holds at least once.
    Sometimes,
    /// Is reached at least once.
    Reachable,
    /// Is never reached.
    Unreachable,
}

impl Kind {
    /// The name that reports use, which is that of the macro.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::AlwaysOrUnreachable => "always-or-unreachable",
            Self::Sometimes => "sometimes",
            Self::Reachable => "reachable",
            Self::Unreachable => "unreachable",
        }
    }

    /// Whether a run in which no program reaches the site is a failure.
    #[must_use]
    pub const fn must_hit(self) -> bool {
        matches!(self, Self::Always | Self::Sometimes | Self::Reachable)
    }
}

/// A place in a program's source that asserts something. Sites with equal `message` are one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// What is asserted, and how.
    pub kind: Kind,
    /// The sentence that names the property.
    pub message: String,
    /// The path of the source file, as the compiler was given it.
    pub file: String,
    /// The module.
    pub module: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

/// An assertion that was evaluated. A program sends the first time that it holds, and the first few
/// times that it does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// Where.
    pub site: Site,
    /// Whether the condition held. `Reachable` sends true, `Unreachable` false.
    pub condition: bool,
    /// A JSON value that explains it.
    pub details: String,
}

/// A value that a program publishes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Value {
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// Any text.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Uint(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OpKind {
    /// It begins.
    Invoke,
    /// It happened.
    Ok,
    /// It did not happen.
    Fail,
    /// It may have happened, or may still happen.
    Info,
}

/// The beginning or end of an operation on the system under test, as its client sees it.
///
/// A process does one operation at a time: an invocation, then one of the three ends. After
/// [`OpKind::Info`] the operation stays open for ever, and the process takes a new number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The history that it belongs to, as in `linearizable "kv"`.
    pub history: String,
    /// The logical process within the node and history.
    pub process: u64,
    /// Beginning or end.
    pub op: OpKind,
    /// What it does: `read`, `write`, `cas`, `append`, `enqueue`, ...
    pub f: String,
    /// What it is done to; none if the history has a single object.
    pub key: Option<String>,
    /// A JSON value: the argument when it begins, the result when it ends.
    pub value: String,
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes are more than a call can carry.
    TooLong,
    /// They are not postcard of an [`Envelope`].
    Malformed,
    /// Bytes follow the message.
    TrailingBytes,
    /// A name is longer than [`MAX_NAME`].
    NameTooLong,
    /// A JSON text is longer than [`MAX_JSON`].
    JsonTooLong,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the message is longer than 64 KiB",
            Self::Malformed => "the bytes are no message of this protocol",
            Self::TrailingBytes => "there are bytes behind the message",
            Self::NameTooLong => "a name is longer than 512 bytes",
            Self::JsonTooLong => "a JSON value is longer than 32 KiB",
        })
    }
}

impl core::error::Error for DecodeError {}

impl Envelope {
    /// The bytes that travel. Texts that are too long are cut (names) or replaced (JSON), so that
    /// [`Envelope::decode`] takes whatever comes out, unless a catalogue has too many sites.
    #[must_use]
    pub fn encode(mut self) -> Vec<u8> {
        self.message
            .visit(&mut |text, is_json| {
                if is_json {
                    replace_long_json(text);
                } else {
                    cut(text, MAX_NAME);
                }
                Ok(())
            })
            .unwrap_or_default();
        // Postcard fails only for lengths that are not known beforehand, and there are none.
        postcard::to_extend(&self, Vec::with_capacity(USUAL_SIZE)).unwrap_or_default()
    }

    /// The message that the bytes are. Never allocates more than a small multiple of their length.
    ///
    /// # Errors
    /// If they are not exactly one message within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_PAYLOAD {
            return Err(DecodeError::TooLong);
        }
        let (mut envelope, rest) =
            postcard::take_from_bytes::<Self>(bytes).map_err(|_| DecodeError::Malformed)?;
        if !rest.is_empty() {
            return Err(DecodeError::TrailingBytes);
        }
        envelope.message.visit(&mut |text, is_json| match is_json {
            true if text.len() > MAX_JSON => Err(DecodeError::JsonTooLong),
            false if text.len() > MAX_NAME => Err(DecodeError::NameTooLong),
            _ => Ok(()),
        })?;
        Ok(envelope)
    }
}

type Visitor<'a> = dyn FnMut(&mut String, bool) -> Result<(), DecodeError> + 'a;

impl Message {
    /// Calls `visitor` for each text, with whether it is JSON.
    fn visit(&mut self, visitor: &mut Visitor<'_>) -> Result<(), DecodeError> {
        match self {
            Self::Catalog { sites } => sites.iter_mut().try_for_each(|site| site.visit(visitor)),
            Self::Assert(assertion) => {
                assertion.site.visit(visitor)?;
                visitor(&mut assertion.details, true)
            }
            Self::SetupComplete { details } => visitor(details, true),
            Self::Event { name, details } => {
                visitor(name, false)?;
                visitor(details, true)
            }
            Self::Publish { key, value } => {
                visitor(key, false)?;
                match value {
                    Value::Text(text) => visitor(text, false),
                    Value::Int(_) | Value::Uint(_) => Ok(()),
                }
            }
            Self::History(operation) => {
                visitor(&mut operation.history, false)?;
                visitor(&mut operation.f, false)?;
                if let Some(key) = &mut operation.key {
                    visitor(key, false)?;
                }
                visitor(&mut operation.value, true)
            }
            Self::FaultPoint { name, .. } => visitor(name, false),
            Self::Init(report) => report
                .texts()
                .into_iter()
                .flatten()
                .try_for_each(|text| visitor(text, false)),
        }
    }
}

impl Site {
    fn visit(&mut self, visitor: &mut Visitor<'_>) -> Result<(), DecodeError> {
        visitor(&mut self.message, false)?;
        visitor(&mut self.file, false)?;
        visitor(&mut self.module, false)
    }
}

/// Cuts a text to at most `limit` bytes, at the boundary of a character.
fn cut(text: &mut String, limit: usize) {
    text.truncate(text.floor_char_boundary(limit));
}

/// A JSON text cannot be cut anywhere, so that a long one becomes one that says how long it was.
fn replace_long_json(text: &mut String) {
    if text.len() > MAX_JSON {
        *text = alloc::format!("{{\"chaosrun\":\"{} bytes were too long\"}}", text.len());
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Uint(number as u64)
    }
}

impl From<isize> for Value {
    fn from(number: isize) -> Self {
        Self::Int(number as i64)
    }
}

macro_rules! from_numbers {
    ($variant:ident: $($number:ty),+) => {
        $(impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Self::$variant(number.into())
            }
        })+
    };
}

from_numbers!(Int: i8, i16, i32, i64);
from_numbers!(Uint: bool, u8, u16, u32, u64);
