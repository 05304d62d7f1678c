//! What can be wrong with a filterset, with the place in it.

use std::ops::Range;

use miette::{Diagnostic, LabeledSpan, SourceCode};
use thiserror::Error;

/// A filterset that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .0.message)]
pub struct FilterError(pub(super) Box<Mistake>);

/// What is wrong; boxed, so that a result is small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) label: String,
    pub(super) span: Range<usize>,
    pub(super) help: Option<String>,
    pub(super) filterset: String,
}

impl FilterError {
    /// The stable code, as in `chaosrun::filter::unknown_predicate`.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The bytes of the filterset that are wrong.
    pub fn span(&self) -> Range<usize> {
        self.0.span.clone()
    }
}

impl Diagnostic for FilterError {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(self.0.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.0
            .help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.0.filterset)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new(
            Some(self.0.label.clone()),
            self.0.span.start,
            self.0.span.len(),
        );
        Some(Box::new(std::iter::once(label)))
    }
}
