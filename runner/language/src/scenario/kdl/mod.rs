//! KDL 2.0 into the document tree, and into a tidy text.
//!
//! What a text means and whether it is KDL, the `kdl` package decides, for files of every size. Around it
//! is what it lacks: its time, stack and memory are bounded ([`structure`], [`read`]), several mistakes
//! are told in one pass, in words for people ([`explain`]), and what stands behind a mistake is read as
//! well ([`draft`]).

mod draft;
mod explain;
mod format;
mod read;
mod scan;
mod strings;
mod structure;

pub use format::format;

use std::collections::BTreeSet;

use read::Refusal;

use super::codes;
use super::diag::{Diag, Diags};
use super::source::Span;
use super::tree::Entry;
use draft::Draft;

/// How many mistakes of one file are told, of each sort.
const MAX_MISTAKES: usize = 10_000;

/// How many of the package's own complaints about a text are told.
const MAX_REFUSALS: usize = 100;

/// Reads KDL 2.0. Whatever could be understood is returned, and every mistake is told.
pub fn parse(text: &str, file: u32, diags: &mut Diags) -> Vec<Entry> {
    let mut own = Diags::default();
    let mut draft = structure::mend(text, file, &mut own);
    let mut read = read::read(&draft, file, &mut own);
    if let Err(refusals) = read {
        let mended = draft.text();
        let told = explain::explain(&mended, file, &mut draft, &mut own);
        if told == 0 {
            tell(text, file, &refusals, &mut draft, &mut own);
        }
        read = read::read(&draft, file, &mut own);
        if let (Err(refusals), true) = (&read, told > 0) {
            tell(text, file, refusals, &mut draft, &mut own);
            read = read::read(&draft, file, &mut own);
        }
    }
    diags.append(own);
    read.unwrap_or_default()
}

/// Whether two texts are the same document, wherever its parts stand.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    let read = |text| parse(text, 0, &mut Diags::default());
    read(one)
        .iter()
        .map(Entry::without_places)
        .eq(read(other).iter().map(Entry::without_places))
}

/// Tells what the package says against a text, one thing a line, and leaves those lines out.
fn tell(text: &str, file: u32, refusals: &[Refusal], draft: &mut Draft, diags: &mut Diags) {
    let mut lines = BTreeSet::new();
    for refusal in refusals {
        let start = refusal.place.start.min(text.len());
        let line = text[..text.floor_char_boundary(start)]
            .rfind('\n')
            .map_or(0, |n| n + 1);
        if lines.len() >= MAX_REFUSALS || !lines.insert(line) {
            continue;
        }
        let span = Span::new(file, start, refusal.place.end.min(text.len()));
        diags.push(
            Diag::error(codes::KDL_SYNTAX, refusal.message.clone())
                .label(span, "here")
                .help_opt(refusal.help.clone()),
        );
        let end = text[line..].find('\n').map_or(text.len(), |n| line + n);
        draft.blank_but_braces(line..end);
    }
}
