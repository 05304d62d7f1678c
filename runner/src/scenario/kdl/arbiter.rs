//! The `kdl` package as the arbiter of what KDL is.
//!
//! Scenarios are read by the parser of this folder, which keeps the spans of everything, goes on
//! behind a mistake and reads ten thousand faults in a tenth of the time. So that a scenario is KDL
//! to every other tool as well, what it accepts is shown to the `kdl` package, and what that refuses
//! is refused. Generated files of more than [`LIMIT`] bytes are left out of it: the package takes about
//! a millisecond for a kilobyte.

use crate::scenario::codes;
use crate::scenario::diag::{Diag, Diags};
use crate::scenario::source::Span;

/// Bytes up to which a text is shown to the arbiter.
const LIMIT: usize = 32 * 1024;

/// Adds an error if the arbiter refuses a text that our own parser has accepted.
pub fn arbitrate(text: &str, file: u32, diags: &mut Diags) {
    if text.len() > LIMIT {
        return;
    }
    let Err(error) = kdl::KdlDocument::parse_v2(text) else {
        return;
    };
    let Some(first) = error.diagnostics.first() else {
        return;
    };
    let (start, length) = (first.span.offset(), first.span.len());
    let end = start.saturating_add(length).min(text.len());
    let message = first
        .message
        .clone()
        .unwrap_or_else(|| "the text is not KDL 2".to_owned());
    let label = first.label.clone().unwrap_or_else(|| "here".to_owned());
    let mut diag =
        Diag::error(codes::KDL_SYNTAX, message).label(Span::new(file, start.min(end), end), label);
    if let Some(help) = &first.help {
        diag = diag.help(help.clone());
    }
    diags.push(diag);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> bool {
        let mut diags = Diags::default();
        arbitrate(text, 0, &mut diags);
        diags.has_errors()
    }

    #[test]
    fn what_is_no_kdl_is_refused_and_the_rest_is_not() {
        assert!(!refused("scenario \"a\" {\n    node \"n\" vcpus=2\n}\n"));
        assert!(refused("scenario \"a\" {\n    node \"n\" vcpus=\n}\n"));
    }

    #[test]
    fn large_texts_are_left_alone() {
        assert!(!refused(&"a b=\n".repeat(LIMIT)));
    }
}
