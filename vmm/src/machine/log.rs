//! A machine's determinism log.

use std::io::Write;

use crate::dlog::{DlogError, Event, Writer};
use crate::time::VirtTime;

/// A log that a machine writes. The first error ends it and is kept, so that a full disk does not
/// change what the guest does.
pub(super) struct Log {
    writer: Option<Writer<Box<dyn Write + Send>>>,
    error: Option<DlogError>,
}

impl Log {
    pub fn new(out: Box<dyn Write + Send>, title: &str) -> Result<Self, DlogError> {
        Ok(Self {
            writer: Some(Writer::new(out, title)?),
            error: None,
        })
    }

    pub fn write(&mut self, time: VirtTime, retired: u64, event: &Event) {
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.write(time, retired, event)
        {
            self.error = Some(error);
            self.writer = None;
        }
    }

    pub fn finish(self) -> Result<(), DlogError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.writer
            .map_or(Ok(()), |writer| writer.finish().map(drop))
    }
}
