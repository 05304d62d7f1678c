//! Makes lines of the bytes that consoles get, wherever they are cut.

use std::collections::BTreeMap;

use super::checker::Line;

/// The longest piece of a line, in bytes. A longer line comes in pieces that overlap.
pub const MAX_LINE_BYTES: usize = 16 * 1024;
/// How much of a piece is repeated in the next one, so that a pattern across the cut is seen.
pub const OVERLAP_BYTES: usize = 1024;

/// The unfinished lines of all consoles.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    nodes: BTreeMap<String, Partial>,
}

#[derive(Debug, Clone, Default)]
struct Partial {
    bytes: Vec<u8>,
    seq: u64,
    time_ns: u64,
    continued: bool,
}

impl Lines {
    /// Adds bytes of a node's console, and hands out the lines that they end, and then what there
    /// is of the next line.
    pub fn push(
        &mut self,
        node: &str,
        (seq, time_ns): (u64, u64),
        mut bytes: &[u8],
        mut sink: impl FnMut(&Line<'_>),
    ) {
        if bytes.is_empty() {
            return;
        }
        if !self.nodes.contains_key(node) {
            self.nodes.insert(node.to_owned(), Partial::default());
        }
        let Some(partial) = self.nodes.get_mut(node) else {
            return;
        };
        partial.seq = seq;
        partial.time_ns = time_ns;
        while !bytes.is_empty() {
            let room = MAX_LINE_BYTES - partial.bytes.len();
            let until = bytes.iter().position(|&byte| byte == b'\n');
            let (take, newline) = match until {
                Some(at) if at <= room => (at, true),
                _ => (bytes.len().min(room), false),
            };
            partial.bytes.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take + usize::from(newline)..];
            if newline {
                partial.hand_out(node, true, &mut sink);
                partial.bytes.clear();
                partial.continued = false;
            } else if partial.bytes.len() == MAX_LINE_BYTES {
                partial.hand_out(node, true, &mut sink);
                partial.bytes.drain(..MAX_LINE_BYTES - OVERLAP_BYTES);
                partial.continued = true;
            } else {
                partial.hand_out(node, false, &mut sink);
            }
        }
    }

    /// Ends a node's unfinished line, as when the node loses its power.
    pub fn end(&mut self, node: &str, mut sink: impl FnMut(&Line<'_>)) {
        if let Some(partial) = self.nodes.remove(node)
            && !partial.bytes.is_empty()
        {
            partial.hand_out(node, true, &mut sink);
        }
    }

    /// Ends all unfinished lines, in the order of the nodes' names.
    pub fn end_all(&mut self, mut sink: impl FnMut(&Line<'_>)) {
        for (node, partial) in std::mem::take(&mut self.nodes) {
            if !partial.bytes.is_empty() {
                partial.hand_out(&node, true, &mut sink);
            }
        }
    }
}

impl Partial {
    fn hand_out(&self, node: &str, ended: bool, sink: &mut impl FnMut(&Line<'_>)) {
        let bytes = self.bytes.strip_suffix(b"\r").unwrap_or(&self.bytes);
        let text = String::from_utf8_lossy(bytes);
        sink(&Line {
            seq: self.seq,
            time_ns: self.time_ns,
            node,
            text: &text,
            continued: self.continued,
            ended,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        let mut sink = |line: &Line<'_>| {
            if line.ended {
                out.push(line.text.to_owned());
            }
        };
        for (seq, chunk) in chunks.iter().enumerate() {
            lines.push("n1", (seq as u64, 0), chunk, &mut sink);
        }
        lines.end_all(&mut sink);
        out
    }

    #[test]
    fn lines_do_not_depend_on_where_they_are_cut() {
        let text = b"one\r\ntwo\n\nfour";
        let whole = ended(&[text]);
        assert_eq!(whole, ["one", "two", "", "four"]);
        for at in 0..text.len() {
            assert_eq!(ended(&[&text[..at], &text[at..]]), whole, "cut at {at}");
        }
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory_and_hides_nothing() {
        let mut lines = Lines::default();
        let mut found = 0;
        let mut longest = 0;
        let mut text = vec![b'x'; MAX_LINE_BYTES - 3];
        text.extend_from_slice(b"needle");
        text.extend(vec![b'y'; 5 * MAX_LINE_BYTES]);
        for chunk in text.chunks(1000) {
            lines.push("n1", (0, 0), chunk, |line| {
                longest = longest.max(line.text.len());
                found += usize::from(line.ended && line.text.contains("needle"));
            });
        }
        assert_eq!(found, 1);
        assert!(longest <= MAX_LINE_BYTES);
    }

    #[test]
    fn an_unfinished_line_is_seen_as_it_grows() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for byte in b"ok:" {
            lines.push("n1", (0, 0), &[*byte], |line| {
                seen.push((line.text.to_owned(), line.ended));
            });
        }
        lines.end("n1", |line| seen.push((line.text.to_owned(), line.ended)));
        let expected = [("o", false), ("ok", false), ("ok:", false), ("ok:", true)];
        assert_eq!(seen, expected.map(|(text, ended)| (text.to_owned(), ended)));
    }
}
