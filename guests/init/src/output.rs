//! What several workloads say, line by line on one console.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::sys;

/// A longer line is shown in pieces.
const LINE: usize = 1024;

/// The output of a workload that is not alone: each line gets the workload's name in front.
#[derive(Debug)]
pub struct Output {
    pipe: PipeReader,
    lines: Prefixed,
}

impl Output {
    /// A pipe that a workload writes to, and this end of it.
    ///
    /// # Errors
    /// If there are no more files.
    pub fn new(name: &str) -> io::Result<(Self, io::PipeWriter)> {
        let (pipe, writer) = io::pipe()?;
        let file = std::fs::File::from(OwnedFd::from(pipe.try_clone()?));
        sys::make_nonblocking(&file)?;
        let lines = Prefixed::new(name);
        Ok((Self { pipe, lines }, writer))
    }

    /// What becomes readable when the workload says something.
    pub fn file(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }

    /// Shows what has come. False when nobody can write any more.
    pub fn show(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.pipe.read(&mut buffer) {
            Ok(0) => {
                let _ = io::stdout().write_all(&self.lines.finish());
                false
            }
            Ok(length) => {
                let _ = io::stdout().write_all(&self.lines.push(&buffer[..length]));
                let _ = io::stdout().flush();
                true
            }
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }
}

/// Puts a name in front of each line. A line is held back until it is whole, so that lines of several
/// workloads do not mix.
#[derive(Debug)]
struct Prefixed {
    prefix: String,
    line: Vec<u8>,
}

impl Prefixed {
    fn new(name: &str) -> Self {
        Self {
            prefix: format!("{name}: "),
            line: Vec::new(),
        }
    }

    /// The lines that are whole with these bytes.
    fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
            }
            if byte == b'\n' || self.line.len() >= LINE {
                self.end_line(&mut shown);
            }
        }
        shown
    }

    /// What is left when nothing follows.
    fn finish(&mut self) -> Vec<u8> {
        let mut shown = Vec::new();
        if !self.line.is_empty() {
            self.end_line(&mut shown);
        }
        shown
    }

    fn end_line(&mut self, shown: &mut Vec<u8>) {
        shown.extend(self.prefix.as_bytes());
        shown.append(&mut self.line);
        shown.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_carry_the_name() {
        let mut lines = Prefixed::new("db");
        assert_eq!(lines.push(b"one\ntw"), b"db: one\n");
        assert_eq!(lines.push(b"o\n\n"), b"db: two\ndb: \n");
        assert_eq!(lines.push(b"rest"), b"");
        assert_eq!(lines.finish(), b"db: rest\n");
        assert_eq!(lines.finish(), b"");
    }

    #[test]
    fn endless_lines_are_shown_in_pieces() {
        let mut lines = Prefixed::new("db");
        let shown = lines.push(&[b'x'; 10 * LINE]);
        assert_eq!(shown.iter().filter(|&&byte| byte == b'\n').count(), 10);
        assert!(lines.line.is_empty());
    }
}
