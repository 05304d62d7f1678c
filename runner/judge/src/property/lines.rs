//! Makes lines of the bytes that consoles get, wherever they are cut.
//!
//! What there is of a line is seen as soon as it is there: a prompt that no line end follows is a line,
//! too. A line ends with a line feed, with a carriage return that something else than a line feed
//! follows (a terminal writes over such a line), or with its machine. A line at whose end nothing has
//! come for [`REST_NS`] rests: it is as whole as it may ever be, and may still go on.

use std::collections::BTreeMap;

use super::checker::Line;

/// The longest piece of a line, in bytes. A longer line comes in pieces that overlap.
pub const MAX_LINE_BYTES: usize = 16 * 1024;
/// How much of a piece is repeated in the next one, so that a pattern across the cut is seen.
pub const OVERLAP_BYTES: usize = 1024;
/// Nanoseconds of virtual time after which an unfinished line rests.
pub const REST_NS: u64 = 100_000_000;

/// The unfinished lines of all consoles.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    nodes: BTreeMap<String, Partial>,
}

#[derive(Debug, Clone, Default)]
struct Partial {
    bytes: Vec<u8>,
    /// The number of the line, from 0.
    number: u64,
    seq: u64,
    time_ns: u64,
    continued: bool,
    /// Whether a carriage return came last.
    returned: bool,
    /// Whether it was handed out as one that rests, since its last byte.
    rested: bool,
}

/// How a line is handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Growing,
    Resting,
    Ended,
}

impl Lines {
    /// Adds bytes of a node's console, and hands out the lines that they end, and then what there
    /// is of the next line.
    pub fn push(
        &mut self,
        node: &str,
        (seq, time_ns): (u64, u64),
        bytes: &[u8],
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
        if partial.rests_at().is_some_and(|moment| moment <= time_ns) {
            partial.rest(node, &mut sink);
        }
        partial.seq = seq;
        partial.time_ns = time_ns;
        partial.rested = false;
        partial.add(node, bytes, &mut sink);
        if !partial.bytes.is_empty() {
            // Nothing can be added before the carriage return.
            let how = if partial.returned {
                How::Resting
            } else {
                How::Growing
            };
            partial.rested = partial.returned;
            partial.hand_out(node, how, &mut sink);
        }
    }

    /// When the next unfinished line rests, in nanoseconds of virtual time.
    #[must_use]
    pub fn rests_at(&self) -> Option<u64> {
        self.nodes.values().filter_map(Partial::rests_at).min()
    }

    /// Hands out the unfinished lines that rest since `moment` or earlier.
    pub fn rest(&mut self, moment: u64, mut sink: impl FnMut(&Line<'_>)) {
        for (node, partial) in &mut self.nodes {
            if partial.rests_at().is_some_and(|at| at <= moment) {
                partial.rest(node, &mut sink);
            }
        }
    }

    /// Ends a node's unfinished line, as when the node loses its power.
    pub fn end(&mut self, node: &str, mut sink: impl FnMut(&Line<'_>)) {
        if let Some(partial) = self.nodes.get_mut(node) {
            partial.end_unfinished(node, &mut sink);
        }
    }

    /// Ends all unfinished lines, in the order of the nodes' names.
    pub fn end_all(&mut self, mut sink: impl FnMut(&Line<'_>)) {
        for (node, partial) in &mut self.nodes {
            partial.end_unfinished(node, &mut sink);
        }
    }
}

impl Partial {
    /// Adds bytes, and hands out what they end.
    fn add(&mut self, node: &str, mut bytes: &[u8], sink: &mut impl FnMut(&Line<'_>)) {
        while let Some(&byte) = bytes.first() {
            match byte {
                b'\n' => {
                    self.end_line(node, sink);
                    bytes = &bytes[1..];
                }
                b'\r' => {
                    self.returned = true;
                    bytes = &bytes[1..];
                }
                _ => {
                    // Of an empty line a carriage return makes none.
                    if self.returned && !self.bytes.is_empty() {
                        self.end_line(node, sink);
                    }
                    self.returned = false;
                    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
                    let text = bytes.iter().position(is_end).unwrap_or(bytes.len());
                    let take = text.min(MAX_LINE_BYTES - self.bytes.len());
                    self.bytes.extend_from_slice(&bytes[..take]);
                    bytes = &bytes[take..];
                    if self.bytes.len() == MAX_LINE_BYTES && !bytes.first().is_some_and(is_end) {
                        self.hand_out(node, How::Ended, sink);
                        self.bytes.drain(..MAX_LINE_BYTES - OVERLAP_BYTES);
                        self.continued = true;
                    }
                }
            }
        }
    }

    fn end_line(&mut self, node: &str, sink: &mut impl FnMut(&Line<'_>)) {
        self.hand_out(node, How::Ended, sink);
        self.bytes.clear();
        self.number += 1;
        self.continued = false;
        self.returned = false;
    }

    fn end_unfinished(&mut self, node: &str, sink: &mut impl FnMut(&Line<'_>)) {
        if !self.bytes.is_empty() {
            self.end_line(node, sink);
        }
        self.returned = false;
    }

    fn rests_at(&self) -> Option<u64> {
        let waits = !self.bytes.is_empty() && !self.rested;
        waits.then(|| self.time_ns.saturating_add(REST_NS))
    }

    fn rest(&mut self, node: &str, sink: &mut impl FnMut(&Line<'_>)) {
        self.time_ns = self.time_ns.saturating_add(REST_NS);
        self.rested = true;
        self.hand_out(node, How::Resting, sink);
    }

    fn hand_out(&self, node: &str, how: How, sink: &mut impl FnMut(&Line<'_>)) {
        let text = String::from_utf8_lossy(&self.bytes);
        sink(&Line {
            seq: self.seq,
            time_ns: self.time_ns,
            node,
            number: self.number,
            text: &text,
            continued: self.continued,
            ended: how == How::Ended,
            rests: how != How::Growing,
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
        let text = b"one\r\ntwo\n\nfour\r\r\n\rfive\rsix\r\rseven\r";
        let whole = ended(&[text]);
        let expected = ["one", "two", "", "four", "five", "six", "seven"];
        assert_eq!(whole, expected);
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
    fn a_line_rests_when_nothing_follows_or_a_carriage_return_does() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let told = |seen: &mut Vec<_>, line: &Line<'_>| {
            seen.push((line.time_ns, line.number, line.text.to_owned(), line.rests));
        };
        lines.push("n1", (0, 5), b"a\nlogin: ", |line| told(&mut seen, line));
        assert_eq!(lines.rests_at(), Some(5 + REST_NS));
        lines.rest(4 + REST_NS, |_| panic!("it is too early"));
        lines.rest(9 + REST_NS, |line| told(&mut seen, line));
        lines.rest(u64::MAX, |_| panic!("it is told once"));
        assert_eq!(lines.rests_at(), None);
        // It may go on all the same; and a rest that nobody asked for is not left out.
        lines.push("n1", (0, 2 * REST_NS), b"me", |line| told(&mut seen, line));
        lines.push("n1", (0, 4 * REST_NS), b"!\r", |line| told(&mut seen, line));
        assert_eq!(lines.rests_at(), None);
        lines.push("n1", (0, 4 * REST_NS), b"\n", |line| told(&mut seen, line));
        let expected = [
            (5, 0, "a", true),
            (5, 1, "login: ", false),
            (5 + REST_NS, 1, "login: ", true),
            (2 * REST_NS, 1, "login: me", false),
            (3 * REST_NS, 1, "login: me", true),
            (4 * REST_NS, 1, "login: me!", true),
            (4 * REST_NS, 1, "login: me!", true),
        ];
        assert_eq!(
            seen,
            expected.map(|(at, n, text, rests)| (at, n, text.to_owned(), rests))
        );
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
