//! The text as the `kdl` package is given it: of the same bytes at the same places, but for mistakes that
//! have been told and are blanked, so that what stands behind them is read as well.

use std::collections::BTreeSet;
use std::ops::Range;

/// A text in which mistakes are mended.
pub(super) struct Draft {
    bytes: Vec<u8>,
    /// Where a blank is put in when the text is handed over.
    gaps: BTreeSet<usize>,
    /// Words that stand for what could not be read.
    holes: BTreeSet<usize>,
    /// How many `}` are missing at the end.
    unclosed: usize,
}

impl Draft {
    /// The text as it is. A byte order mark at its start is taken for blanks.
    pub(super) fn new(text: &str) -> Self {
        let mut draft = Self {
            bytes: text.as_bytes().to_vec(),
            gaps: BTreeSet::new(),
            holes: BTreeSet::new(),
            unclosed: 0,
        };
        if text.starts_with('\u{feff}') {
            draft.blank(0..3);
        }
        draft
    }

    /// The text, with as many `}` at its end as are missing.
    pub(super) fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        // No comment and no string is open here, only perhaps a line.
        text.push_str(&"\n}".repeat(self.unclosed));
        text
    }

    /// Blanks whole characters.
    pub(super) fn blank(&mut self, range: Range<usize>) {
        self.fill(range, b' ');
    }

    /// Blanks a line, but for the braces, which belong to others.
    pub(super) fn blank_but_braces(&mut self, range: Range<usize>) {
        let braces = |byte: &&mut u8| !b"{}".contains(byte);
        if let Some(bytes) = self.bytes.get_mut(range) {
            bytes
                .iter_mut()
                .filter(braces)
                .for_each(|byte| *byte = b' ');
        }
    }

    /// Ends the line where a character was.
    pub(super) fn break_line(&mut self, range: Range<usize>) {
        self.fill(range, b'\n');
    }

    fn fill(&mut self, range: Range<usize>, with: u8) {
        let end = range.end.min(self.bytes.len());
        if let Some(bytes) = self.bytes.get_mut(range.start..end) {
            bytes.fill(with);
        }
    }

    /// Blanks whole characters and has a word there stand for a value that could not be read: what is
    /// missing because of a mistake is not told as well.
    pub(super) fn hole(&mut self, range: Range<usize>) {
        self.blank(range.clone());
        // The word must not run into what stands before it.
        let before = range.start.checked_sub(1).map(|at| self.bytes[at]);
        let apart = before.is_none_or(|byte| b" \t\n={;(".contains(&byte));
        let start = if apart { range.start } else { range.start + 1 };
        if start < range.end {
            self.bytes[start] = b'_';
            self.holes.insert(start);
        }
    }

    /// Has a blank put in before the byte `at`.
    pub(super) fn gap(&mut self, at: usize) {
        self.gaps.insert(at);
    }

    /// Takes away all from the byte `at` on.
    pub(super) fn cut(&mut self, at: usize) {
        self.bytes.truncate(at);
    }

    /// Has so many `}` added at the end.
    pub(super) fn close(&mut self, blocks: usize) {
        self.unclosed += blocks;
    }

    /// Whether the word at `at` stands for something that could not be read.
    pub(super) fn is_hole(&self, at: usize) -> bool {
        self.holes.contains(&at)
    }

    /// Where blanks are put in.
    pub(super) const fn gaps(&self) -> &BTreeSet<usize> {
        &self.gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_where_they_were() {
        let text = "\u{feff}a é {1} [";
        let mut draft = Draft::new(text);
        draft.hole(5..7);
        draft.hole(9..10);
        draft.blank(12..13);
        draft.close(1);
        assert_eq!(draft.text(), "   a _  {_}  \n}");
        assert!(draft.is_hole(5) && draft.is_hole(9) && !draft.is_hole(12));
        assert_eq!(draft.text().len(), text.len() + 2);
    }
}
