//! Cuts a console's bytes into lines.

/// Bytes of a line that are kept; the rest of a longer one is dropped.
const MAX_LINE: usize = 4096;

/// The line that a console is printing.
#[derive(Debug, Default)]
pub(super) struct Lines {
    open: Vec<u8>,
    /// All bytes so far.
    bytes: u64,
    /// All lines so far.
    lines: u64,
}

impl Lines {
    /// Adds bytes and returns the lines that they complete, without their ends.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        self.bytes += bytes.len() as u64;
        for byte in bytes {
            match byte {
                b'\n' => lines.push(self.take()),
                _ if self.open.len() < MAX_LINE => self.open.push(*byte),
                _ => {}
            }
        }
        lines
    }

    /// The line that has not ended yet, if it has anything in it.
    pub fn rest(&mut self) -> Option<String> {
        (!self.open.is_empty()).then(|| self.take())
    }

    /// How many bytes the console has shown.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many lines the console has shown.
    pub fn count(&self) -> u64 {
        self.lines
    }

    fn take(&mut self) -> String {
        self.lines += 1;
        let bytes = std::mem::take(&mut self.open);
        let text = String::from_utf8_lossy(&bytes);
        text.trim_end_matches('\r').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_wherever_the_bytes_arrive() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"one\r\ntw"), ["one"]);
        assert_eq!(lines.push(b"o\n\nthr"), ["two", ""]);
        assert_eq!(lines.rest().as_deref(), Some("thr"));
        assert_eq!(lines.rest(), None);
        assert_eq!((lines.count(), lines.bytes()), (4, 13));
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            lines.push(&[b'x'; 1000]);
        }
        assert_eq!(lines.rest().map(|line| line.len()), Some(MAX_LINE));
    }
}
