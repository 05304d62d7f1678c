//! The time of day, told in such a way that it can be compared with the machine's to the instruction.

use std::io;
use std::thread;
use std::time::Duration;

use chaosrun_sdk::lifecycle::{send_event, setup_complete};
use serde_json::json;

use crate::clock::date_ns;

/// How long it sleeps between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Tells for ever what the time of day is. An event carries it as it was just before the event was sent,
/// and the next one as it was just after: in between lies the moment that the world knows of.
pub fn tell() -> io::Result<()> {
    let mut after = None;
    loop {
        let before = date_ns();
        send_event("date", &json!({ "before": before, "after_last": after }));
        let now = date_ns();
        if after.is_none() {
            setup_complete(&json!(null));
        }
        after = Some(now);
        thread::sleep(PAUSE);
    }
}
