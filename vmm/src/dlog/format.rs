//! The file: a header, then records, each with its length in front.
//!
//! Header: the magic number, the major and the minor version (u16, little-endian), and a title with
//! its length (u16). Record: the length (LEB128), then the body in postcard's wire format, in which
//! time and instruction count are differences to the record before. A reader of another major version
//! refuses the file; a minor version only adds kinds of events.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use super::event::{Event, Record};
use crate::time::VirtTime;

/// The first bytes of a log.
pub const MAGIC: [u8; 8] = *b"CHAOSLOG";
/// The version that changes when old readers can't read the file.
pub const MAJOR: u16 = 1;
/// The version that changes when kinds of events are added.
pub const MINOR: u16 = 0;
/// The most bytes of a record's body.
pub const RECORD_MAX: usize = 1 << 16;
/// The most bytes of a title.
pub const TITLE_MAX: usize = 256;
/// The most bytes of one console record and pages of one page record, so that they fit.
pub(crate) const CHUNK_MAX: usize = 1024;

/// Why a log can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DlogError {
    /// Reading or writing failed.
    #[error("the determinism log can't be accessed: {0}")]
    Io(#[from] io::Error),
    /// The file is something else.
    #[error("the file is not a determinism log")]
    Magic,
    /// The file is of another format version.
    #[error("the determinism log has format {major}.{minor}, but this program reads {MAJOR}.x")]
    Version {
        /// The file's major version.
        major: u16,
        /// The file's minor version.
        minor: u16,
    },
    /// The file ends in the midst of a record.
    #[error("the determinism log is cut off in record {index}")]
    Truncated {
        /// The number of the record, from zero.
        index: u64,
    },
    /// A record makes no sense.
    #[error("record {index} of the determinism log is damaged: {what}")]
    Damaged {
        /// The number of the record, from zero.
        index: u64,
        /// What is wrong.
        what: String,
    },
}

/// A record as it is on disk.
#[derive(Serialize)]
struct BodyRef<'a> {
    time: u64,
    retired: u64,
    event: &'a Event,
}

#[derive(Deserialize)]
struct Body {
    time: u64,
    retired: u64,
    event: Event,
}

/// Writes a log.
pub struct Writer<W: Write> {
    out: W,
    time: u64,
    retired: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Starts a log. Wrap a file in a [`std::io::BufWriter`]. Titles are cut to [`TITLE_MAX`] bytes.
    ///
    /// # Errors
    /// If `out` can't be written to.
    pub fn new(mut out: W, title: &str) -> Result<Self, DlogError> {
        let mut end = title.len().min(TITLE_MAX);
        while !title.is_char_boundary(end) {
            end -= 1;
        }
        out.write_all(&MAGIC)?;
        out.write_all(&MAJOR.to_le_bytes())?;
        out.write_all(&MINOR.to_le_bytes())?;
        out.write_all(&(end as u16).to_le_bytes())?;
        out.write_all(&title.as_bytes()[..end])?;
        Ok(Self {
            out,
            time: 0,
            retired: 0,
            buffer: Vec::new(),
        })
    }

    /// Appends a record. Long console output and page lists are split.
    ///
    /// # Errors
    /// If the log can't be written to.
    pub fn write(&mut self, time: VirtTime, retired: u64, event: &Event) -> Result<(), DlogError> {
        match event {
            Event::Console(bytes) if bytes.len() > CHUNK_MAX => bytes
                .chunks(CHUNK_MAX)
                .try_for_each(|chunk| self.append(time, retired, &Event::Console(chunk.to_vec()))),
            Event::Pages(pages) if pages.len() > CHUNK_MAX => pages
                .chunks(CHUNK_MAX)
                .try_for_each(|chunk| self.append(time, retired, &Event::Pages(chunk.to_vec()))),
            _ => self.append(time, retired, event),
        }
    }

    /// Writes out what is buffered and returns the underlying writer.
    ///
    /// # Errors
    /// If that fails.
    pub fn finish(mut self) -> Result<W, DlogError> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn append(&mut self, time: VirtTime, retired: u64, event: &Event) -> Result<(), DlogError> {
        let body = BodyRef {
            time: time.0.wrapping_sub(self.time),
            retired: retired.wrapping_sub(self.retired),
            event,
        };
        self.buffer.clear();
        postcard::to_io(&body, &mut self.buffer)
            .map_err(|error| DlogError::Io(io::Error::other(error)))?;
        if self.buffer.len() > RECORD_MAX {
            return Err(DlogError::Io(io::Error::other("a record is too long")));
        }
        (self.time, self.retired) = (time.0, retired);
        let mut length = self.buffer.len();
        while length >= 0x80 {
            self.out.write_all(&[length as u8 | 0x80])?;
            length >>= 7;
        }
        self.out.write_all(&[length as u8])?;
        self.out.write_all(&self.buffer)?;
        Ok(())
    }
}

/// Reads a log. It iterates over the records and ends after the first error.
pub struct Reader<R: BufRead> {
    input: R,
    title: String,
    time: u64,
    retired: u64,
    index: u64,
    failed: bool,
    buffer: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Opens a log.
    ///
    /// # Errors
    /// If it is not one, or of another version.
    pub fn new(mut input: R) -> Result<Self, DlogError> {
        let mut header = [0; 14];
        let complete = read_full(&mut input, &mut header)?;
        if header[..8] != MAGIC {
            return Err(DlogError::Magic);
        }
        let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        if complete && half(8) != MAJOR {
            return Err(DlogError::Version {
                major: half(8),
                minor: half(10),
            });
        }
        let length = usize::from(half(12));
        let mut title = vec![0; length.min(TITLE_MAX)];
        if !complete || length > TITLE_MAX || !read_full(&mut input, &mut title)? {
            return Err(DlogError::Damaged {
                index: 0,
                what: "the header".to_owned(),
            });
        }
        let title = String::from_utf8_lossy(&title).into_owned();
        Ok(Self {
            input,
            title,
            time: 0,
            retired: 0,
            index: 0,
            failed: false,
            buffer: Vec::new(),
        })
    }

    /// The title that the writer gave.
    pub fn title(&self) -> &str {
        &self.title
    }

    fn read(&mut self) -> Result<Option<Record>, DlogError> {
        let Some(length) = self.read_length()? else {
            return Ok(None);
        };
        self.buffer.resize(length, 0);
        if !read_full(&mut self.input, &mut self.buffer)? {
            return Err(DlogError::Truncated { index: self.index });
        }
        let damaged = |what: String| DlogError::Damaged {
            index: self.index,
            what,
        };
        let (body, rest): (Body, _) =
            postcard::take_from_bytes(&self.buffer).map_err(|error| damaged(error.to_string()))?;
        if !rest.is_empty() {
            return Err(damaged(format!("{} bytes are left over", rest.len())));
        }
        self.time = self.time.wrapping_add(body.time);
        self.retired = self.retired.wrapping_add(body.retired);
        self.index += 1;
        Ok(Some(Record {
            time: VirtTime(self.time),
            retired: self.retired,
            event: body.event,
        }))
    }

    /// The length of the next record, if there is one.
    fn read_length(&mut self) -> Result<Option<usize>, DlogError> {
        let mut length = 0usize;
        for shift in [0, 7, 14] {
            let mut byte = [0];
            if !read_full(&mut self.input, &mut byte)? {
                let index = self.index;
                return if shift == 0 {
                    Ok(None)
                } else {
                    Err(DlogError::Truncated { index })
                };
            }
            length |= usize::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 && length <= RECORD_MAX {
                return Ok(Some(length));
            }
        }
        let what = format!("it claims more than {RECORD_MAX} bytes");
        Err(DlogError::Damaged {
            index: self.index,
            what,
        })
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Record, DlogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let record = self.read().transpose();
        self.failed = !matches!(record, Some(Ok(_)));
        record
    }
}

/// Fills `into`, or returns `false` if the input ends before.
fn read_full(input: &mut impl Read, into: &mut [u8]) -> Result<bool, DlogError> {
    match input.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.into()),
    }
}
