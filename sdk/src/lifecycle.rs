//! What happens to the program as a whole.

use chaosrun_protocol::Message;
use serde::Serialize;

use crate::{ENABLED, json, transport};

/// The program is ready to be tested: a scenario's time starts when all nodes have said so.
#[inline]
pub fn setup_complete(details: &impl Serialize) {
    if ENABLED {
        transport::send(Message::SetupComplete {
            details: json(details),
        });
    }
}

/// Something happened that scenarios (`after "snapshot-started" { ... }`) and reports can refer to.
#[inline]
pub fn send_event(name: &str, details: &impl Serialize) {
    if ENABLED {
        transport::send(Message::Event {
            name: name.into(),
            details: json(details),
        });
    }
}
