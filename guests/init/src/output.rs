//! What several workloads say, line by line on one console.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys;

/// A longer line is shown in pieces.
const LINE: usize = 1024;
/// How long a line that does not end is held back, in nanoseconds. Programs write lines in pieces, and a
/// prompt is what nothing follows.
const PATIENCE_NS: u64 = 20_000_000;

/// The output whose line the console shows and has not ended; 0 for none.
static OPEN: AtomicU32 = AtomicU32::new(0);
/// Outputs so far, which gives each its number.
static OUTPUTS: AtomicU32 = AtomicU32::new(0);

/// The output of a workload that is not alone: each line gets the workload's name in front.
#[derive(Debug)]
pub struct Output {
    pipe: PipeReader,
    number: u32,
    lines: Prefixed,
    /// When its last byte came.
    since_ns: u64,
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
        let output = Self {
            pipe,
            number: OUTPUTS.fetch_add(1, Ordering::Relaxed) + 1,
            lines: Prefixed::new(name),
            since_ns: 0,
        };
        Ok((output, writer))
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
                self.interrupted();
                let rest = self.lines.finish();
                self.write(&rest);
                false
            }
            Ok(length) => {
                self.since_ns = sys::now_ns();
                self.interrupted();
                let lines = self.lines.push(&buffer[..length]);
                self.write(&lines);
                true
            }
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }

    /// When the line that it holds back is to be shown although it has not ended.
    pub fn shows_at(&self) -> Option<u64> {
        let holds = !self.lines.line.is_empty();
        holds.then(|| self.since_ns.saturating_add(PATIENCE_NS))
    }

    /// Shows the line that it holds back, if that is due.
    pub fn show_held(&mut self, now_ns: u64) {
        if self.shows_at().is_some_and(|at| at <= now_ns) {
            self.interrupted();
            let held = self.lines.begin();
            self.write(&held);
        }
    }

    /// A line of it that has begun on the console, and that another one has ended since, begins anew.
    fn interrupted(&mut self) {
        if OPEN.load(Ordering::Relaxed) != self.number {
            self.lines.begun = false;
        }
    }

    /// Writes to the console, and ends the line there that is another one's.
    fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let open = if self.lines.begun { self.number } else { 0 };
        let before = OPEN.swap(open, Ordering::Relaxed);
        let mut console = io::stdout();
        if before != 0 && before != self.number {
            let _ = console.write_all(b"\n");
        }
        let _ = console.write_all(bytes);
        let _ = console.flush();
    }
}

/// Puts a name in front of each line. A line is held back until it is whole or has to be shown, so that
/// lines of several workloads do not mix.
#[derive(Debug)]
struct Prefixed {
    prefix: String,
    line: Vec<u8>,
    /// Whether the line's beginning is on the console.
    begun: bool,
}

impl Prefixed {
    fn new(name: &str) -> Self {
        Self {
            prefix: format!("{name}: "),
            line: Vec::new(),
            begun: false,
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

    /// What there is of the line.
    fn begin(&mut self) -> Vec<u8> {
        let mut shown = Vec::new();
        self.show_line(&mut shown);
        shown
    }

    /// What is left when nothing follows.
    fn finish(&mut self) -> Vec<u8> {
        let mut shown = Vec::new();
        if !self.line.is_empty() || self.begun {
            self.end_line(&mut shown);
        }
        shown
    }

    fn end_line(&mut self, shown: &mut Vec<u8>) {
        self.show_line(shown);
        shown.push(b'\n');
        self.begun = false;
    }

    fn show_line(&mut self, shown: &mut Vec<u8>) {
        if !self.begun {
            shown.extend(self.prefix.as_bytes());
        }
        shown.append(&mut self.line);
        self.begun = true;
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
    fn a_line_that_has_begun_goes_on_without_the_name() {
        let mut lines = Prefixed::new("db");
        assert_eq!(lines.push(b"log"), b"");
        assert_eq!(lines.begin(), b"db: log");
        assert_eq!(lines.push(b"in: "), b"");
        assert_eq!(lines.begin(), b"in: ");
        assert_eq!(lines.push(b"me\nnext"), b"me\n");
        assert_eq!(lines.begin(), b"db: next");
        // Another one's line came between.
        lines.begun = false;
        assert_eq!(lines.push(b"!\n"), b"db: !\n");
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
