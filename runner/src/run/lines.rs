//! What the nodes' consoles have shown, and the lines of it.

use crate::property::checker::Line;
use crate::property::lines::Lines;

/// Bytes of a line that are recorded; the rest of a longer one is not.
const MAX_RECORDED: usize = 4096;

/// The console of a node.
#[derive(Debug, Clone, Default)]
pub(super) struct Console {
    node: String,
    lines: Lines,
    bytes: u64,
    count: u64,
}

impl Console {
    /// The console of this node, which has shown nothing.
    pub fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            ..Self::default()
        }
    }

    /// Takes bytes that came at `time`, and hands out the lines that they end and what there is of the
    /// next one.
    pub fn push(&mut self, time: u64, bytes: &[u8], mut sink: impl FnMut(&Line<'_>)) {
        self.bytes += bytes.len() as u64;
        let count = &mut self.count;
        self.lines.push(&self.node, (0, time), bytes, |line| {
            *count += u64::from(is_recorded(line));
            sink(line);
        });
    }

    /// When its unfinished line rests.
    pub fn rests_at(&self) -> Option<u64> {
        self.lines.rests_at()
    }

    /// Hands out the unfinished line if it rests since `now` or earlier.
    pub fn rest(&mut self, now: u64, sink: impl FnMut(&Line<'_>)) {
        self.lines.rest(now, sink);
    }

    /// Ends the unfinished line, because the machine has ended.
    pub fn end(&mut self, mut sink: impl FnMut(&Line<'_>)) {
        let count = &mut self.count;
        self.lines.end(&self.node, |line| {
            *count += u64::from(is_recorded(line));
            sink(line);
        });
    }

    /// How many bytes it has shown.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many lines it has shown.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// Whether this is what is recorded of a line: its first piece, once that is whole.
fn is_recorded(line: &Line<'_>) -> bool {
    line.ended && !line.continued
}

/// What is recorded of a line, if this is the piece to record.
pub(super) fn recorded(line: &Line<'_>) -> Option<String> {
    let end = line.text.floor_char_boundary(MAX_RECORDED);
    is_recorded(line).then(|| line.text[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_recorded_once_and_bounded() {
        let mut console = Console::new("n1");
        let mut seen = Vec::new();
        for _ in 0..100 {
            console.push(0, &[b'x'; 1000], |line| seen.extend(recorded(line)));
        }
        console.push(0, "\r\none\rtwo\nthr\u{e9}".as_bytes(), |line| {
            seen.extend(recorded(line));
        });
        assert_eq!(console.rests_at(), Some(crate::property::lines::REST_NS));
        console.end(|line| seen.extend(recorded(line)));
        assert_eq!(seen[0].len(), MAX_RECORDED);
        assert_eq!(seen[1..], ["one", "two", "thr\u{e9}"]);
        assert_eq!((console.count(), console.bytes()), (4, 100_015));
        console.end(|_| panic!("it has ended"));
    }
}
