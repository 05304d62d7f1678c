//! Where the SDK's messages go and its random numbers come from.

#[cfg(feature = "std")]
mod detect;
mod local;
#[cfg(not(feature = "std"))]
mod manual;
mod port;

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use chaosrun_protocol::{Envelope, Message};

#[cfg(feature = "std")]
use detect::{get, pid};
#[cfg(not(feature = "std"))]
pub use manual::attach;
#[cfg(not(feature = "std"))]
use manual::{get, pid};

/// Where the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connection {
    /// In a machine of chaosrun.
    Machine,
    /// Elsewhere, and messages go to a file.
    File,
    /// Elsewhere, and messages go nowhere.
    None,
}

/// The way to the host, found once per process.
#[derive(Debug)]
pub(crate) enum Transport {
    Port,
    #[cfg(feature = "std")]
    File(std::fs::File),
    None,
}

impl Transport {
    pub(crate) fn connection(&self) -> Connection {
        match self {
            Self::Port => Connection::Machine,
            #[cfg(feature = "std")]
            Self::File(_) => Connection::File,
            Self::None => Connection::None,
        }
    }

    /// Sends a message. What cannot be sent is lost; the program must not notice.
    pub(crate) fn send(&self, message: Message) {
        match self {
            Self::Port => {
                let envelope = Envelope {
                    pid: pid(),
                    message,
                };
                let _ = port::send(&envelope.encode());
            }
            #[cfg(feature = "std")]
            Self::File(file) => crate::lines::write(file, &message),
            Self::None => {}
        }
    }

    /// What CLOCK_REALTIME ought to show, if a machine knows: see [`chaosrun_protocol::port::Op::Date`].
    pub(crate) fn date(&self, at_tsc: bool) -> Option<i64> {
        matches!(self, Self::Port).then(|| port::date(at_tsc))?
    }

    /// How far faults have moved that.
    pub(crate) fn date_moved(&self) -> Option<i64> {
        matches!(self, Self::Port).then(port::date_moved)?
    }

    /// The node's description, if a machine knows: see [`chaosrun_protocol::port::Op::Node`].
    #[cfg(feature = "std")]
    fn node(&self) -> Option<alloc::vec::Vec<u8>> {
        matches!(self, Self::Port).then(port::node)?
    }

    /// The next random number of a stream.
    pub(crate) fn random(&self, stream: &str) -> u64 {
        match self {
            Self::Port => port::random(stream).unwrap_or_else(local::random),
            _ => local::random(),
        }
    }
}

/// The way to the host, after the catalogue was reported. Another thread may send something before the
/// catalogue, which does no harm: each message stands for itself.
pub(crate) fn started() -> &'static Transport {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    let transport = get();
    let reports = crate::ENABLED && !matches!(transport, Transport::None);
    if reports && !REPORTED.load(Relaxed) && !REPORTED.swap(true, Relaxed) {
        crate::catalogue::report(transport);
    }
    transport
}

/// What CLOCK_REALTIME ought to show, in nanoseconds since 1970: now, or when the time stamp counter was
/// last read. None outside of a machine.
#[must_use]
pub fn date(at_tsc: bool) -> Option<i64> {
    started().date(at_tsc)
}

/// What the machine says of this node. None if it says nothing, and outside of a machine.
#[cfg(feature = "std")]
#[must_use]
pub fn node() -> Option<alloc::vec::Vec<u8>> {
    started().node()
}

/// How many nanoseconds of that are the doing of faults.
#[must_use]
pub fn date_moved() -> Option<i64> {
    started().date_moved()
}

/// Sends a message.
#[cold]
pub fn send(message: Message) {
    started().send(message);
}
