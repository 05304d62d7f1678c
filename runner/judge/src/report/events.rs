//! `events.jsonl`: one event a line, in the order of virtual time.

use std::io::{self, BufRead, Write};

use super::json;
use crate::outcome::event::Event;

/// Writes events one by one, so that a long run needs no memory for them.
#[derive(Debug)]
pub struct EventWriter<W> {
    out: W,
    written: u64,
}

impl<W: Write> EventWriter<W> {
    /// Starts a stream.
    pub const fn new(out: W) -> Self {
        Self { out, written: 0 }
    }

    /// Appends one event; a string longer than 64 KiB is cut with a note.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, &json::bounded(event)?)?;
        self.out.write_all(b"\n")?;
        self.written += 1;
        Ok(())
    }

    /// Flushes the stream and tells how many events it has.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self) -> io::Result<u64> {
        self.out.flush()?;
        Ok(self.written)
    }
}

/// The longest line that [`read`] accepts, in bytes.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a stream back, line by line.
///
/// # Errors
/// Each line that is not an event, or longer than 16 MiB, is an error of its own; after a failure of
/// the reader there are no more.
pub fn read(mut input: impl BufRead) -> impl Iterator<Item = io::Result<Event>> {
    let mut line = Vec::new();
    let mut broken = false;
    std::iter::from_fn(move || {
        if broken {
            return None;
        }
        line.clear();
        match io::Read::take(&mut input, MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) if line.last() != Some(&b'\n') && line.len() as u64 == MAX_LINE_BYTES => {
                broken = true;
                Some(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "an event is longer than 16 MiB",
                )))
            }
            Ok(_) => Some(serde_json::from_slice(&line).map_err(io::Error::from)),
            Err(error) => {
                broken = true;
                Some(Err(error))
            }
        }
    })
}
