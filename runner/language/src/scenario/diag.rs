//! One vocabulary of diagnostics, and how they are shown.
//!
//! Messages are lower-case fragments without a full stop. A diagnostic says what is wrong, where
//! (and where the other half of the matter is), and what to write instead.

use std::fmt;
use std::io::Write as _;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    NarratableReportHandler, SourceCode, SourceSpan, SpanContents,
};

use super::codes::Code;
use super::source::{Sources, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The scenario can be run, but probably doesn't say what was meant.
    Warning,
    /// The scenario can't be run.
    Error,
}

/// A place that a diagnostic points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is to be seen there.
    pub text: String,
}

/// One thing that is wrong with a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diag {
    /// Which kind of mistake; `chaosrun explain` knows more.
    pub code: &'static Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The places; the first is the primary one.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
}

impl Diag {
    /// An error without a place yet.
    pub fn error(code: &'static Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: Vec::new(),
            help: None,
        }
    }

    /// A warning without a place yet.
    pub fn warning(code: &'static Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// Adds a place; the first one added is the primary one.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds a place if there is one.
    #[must_use]
    pub fn label_opt(self, span: Option<Span>, text: impl Into<String>) -> Self {
        match span {
            Some(span) => self.label(span, text),
            None => self,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what to do, if that is known.
    #[must_use]
    pub fn help_opt(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// The primary place.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.labels.first().map(|l| l.span)
    }
}

/// What was found in one pass, in the order of the text.
#[derive(Debug, Clone, Default)]
pub struct Diags {
    list: Vec<Diag>,
}

impl Diags {
    /// Adds one.
    pub fn push(&mut self, diag: Diag) {
        self.list.push(diag);
    }

    /// Adds all of another pass.
    pub fn append(&mut self, mut other: Self) {
        self.list.append(&mut other.list);
    }

    /// All of them, in the order of the text. The same complaint about the same place is kept once:
    /// a template used by many nodes, or a file of many variants, is checked many times.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Diag> {
        self.list.sort_by(|a, b| {
            (a.span(), a.code.id, &a.message).cmp(&(b.span(), b.code.id, &b.message))
        });
        self.list.dedup_by(|a, b| {
            a.code.id == b.code.id && a.span() == b.span() && a.message == b.message
        });
        self.list
    }

    /// Whether one of them is of a certain kind.
    #[must_use]
    pub fn any(&self, test: impl Fn(&Diag) -> bool) -> bool {
        self.list.iter().any(test)
    }

    /// Whether there is an error among them.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// How diagnostics are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendering {
    /// Drawn, for a terminal that has colours or not, `width` columns wide.
    Graphical {
        /// Whether ANSI colours may be used.
        color: bool,
        /// Columns.
        width: usize,
    },
    /// In sentences, for screen readers.
    Narrated,
    /// One JSON object per line, in miette's shape.
    Json,
    /// GitHub's workflow commands, which become annotations of the lines.
    Github,
}

/// How many diagnostics are shown before only their number is told.
pub const MAX_SHOWN: usize = 50;

/// Renders diagnostics as text. What is shown is bounded: at most [`MAX_SHOWN`], and no line of the
/// source longer than a screen.
#[must_use]
pub fn render(sources: &Sources, diags: &[Diag], rendering: Rendering) -> String {
    let mut out = String::new();
    // A program that reads JSON can bear more.
    let shown = if rendering == Rendering::Json {
        100 * MAX_SHOWN
    } else {
        MAX_SHOWN
    };
    for diag in diags.iter().take(shown) {
        match rendering {
            Rendering::Github => out.push_str(&github(sources, diag)),
            Rendering::Json => out.push_str(&json(sources, diag)),
            _ => render_one(sources, diag, rendering, &mut out),
        }
    }
    if diags.len() > shown && rendering != Rendering::Json {
        out.push_str(&format!(
            "... and {} more; mend these first\n",
            diags.len() - shown
        ));
    }
    out
}

fn render_one(sources: &Sources, diag: &Diag, rendering: Rendering, out: &mut String) {
    let view = View::new(sources, diag);
    let failed = match rendering {
        Rendering::Graphical { color, width } => {
            let theme = if color {
                GraphicalTheme::unicode()
            } else {
                GraphicalTheme::unicode_nocolor()
            };
            GraphicalReportHandler::new_themed(theme)
                .with_links(false)
                .with_width(width)
                .with_context_lines(1)
                .render_report(out, &view)
        }
        _ => NarratableReportHandler::new()
            .with_context_lines(1)
            .render_report(out, &view),
    };
    // Writing to a string can't fail; a place outside of its file could make miette fail.
    if failed.is_err() {
        out.push_str(&format!("{}: {}", diag.code.id, diag.message));
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

/// miette's JSON shape on one line, with the line and column (from 1) of each label beside its
/// offset in bytes, so that a reader needs no file to show it.
fn json(sources: &Sources, diag: &Diag) -> String {
    let name = |span: Span| {
        sources
            .get(span.file)
            .map(|s| s.name.as_str())
            .unwrap_or_default()
    };
    let label = |l: &Label| {
        let (line, column) = sources.line_column(l.span);
        serde_json::json!({
            "label": l.text, "filename": name(l.span), "line": line, "column": column,
            "span": { "offset": l.span.start, "length": l.span.end - l.span.start },
        })
    };
    let value = serde_json::json!({
        "message": diag.message,
        "code": diag.code.id,
        "severity": if diag.severity == Severity::Error { "error" } else { "warning" },
        "help": diag.help,
        "filename": diag.span().map(name).unwrap_or_default(),
        "labels": diag.labels.iter().map(label).collect::<Vec<_>>(),
        "related": [],
    });
    format!("{value}\n")
}

/// GitHub's form, e.g. `::error file=a.kdl,line=3,col=5,title=...::message`.
fn github(sources: &Sources, diag: &Diag) -> String {
    let escape = |s: &str| {
        s.replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let property = |s: &str| escape(s).replace(':', "%3A").replace(',', "%2C");
    let kind = if diag.severity == Severity::Error {
        "error"
    } else {
        "warning"
    };
    let mut out = Vec::new();
    let _ = write!(out, "::{kind} ");
    if let Some((span, source)) = diag.span().and_then(|s| Some((s, sources.get(s.file)?))) {
        let (line, column) = sources.line_column(span);
        let _ = write!(
            out,
            "file={},line={line},col={column},",
            property(&source.name)
        );
    }
    let help = diag
        .help
        .as_deref()
        .map(|h| format!("\n{h}"))
        .unwrap_or_default();
    let _ = writeln!(
        out,
        "title={}::{}",
        property(diag.code.id),
        escape(&format!("{}{help}", diag.message))
    );
    String::from_utf8_lossy(&out).into_owned()
}

/// A diagnostic joined with the part of the source that it is about, for miette.
struct View<'a> {
    diag: &'a Diag,
    excerpt: Option<Excerpt>,
    labels: Vec<LabeledSpan>,
    elsewhere: Vec<Elsewhere>,
}

/// A place in another file than the primary one: miette shows one file per diagnostic.
struct Elsewhere {
    text: String,
    excerpt: Excerpt,
    label: LabeledSpan,
}

impl<'a> View<'a> {
    fn new(sources: &Sources, diag: &'a Diag) -> Self {
        let mut view = Self {
            diag,
            excerpt: None,
            labels: Vec::new(),
            elsewhere: Vec::new(),
        };
        let Some(primary) = diag.span() else {
            return view;
        };
        let here: Vec<Span> = diag
            .labels
            .iter()
            .map(|l| l.span)
            .filter(|s| s.file == primary.file)
            .collect();
        view.excerpt = Excerpt::new(sources, &here);
        for (index, label) in diag.labels.iter().enumerate() {
            if label.span.file != primary.file {
                let Some(excerpt) = Excerpt::new(sources, &[label.span]) else {
                    continue;
                };
                let span = LabeledSpan::new_primary_with_span(
                    Some(label.text.clone()),
                    excerpt.place(label.span),
                );
                view.elsewhere.push(Elsewhere {
                    text: label.text.clone(),
                    excerpt,
                    label: span,
                });
            } else if let Some(excerpt) = &view.excerpt {
                let place = excerpt.place(label.span);
                view.labels.push(match index {
                    0 => LabeledSpan::new_primary_with_span(Some(label.text.clone()), place),
                    _ => LabeledSpan::new_with_span(Some(label.text.clone()), place),
                });
            }
        }
        view
    }
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diag.message)
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diag.message)
    }
}

impl std::error::Error for View<'_> {}

impl Diagnostic for View<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        Some(Box::new(self.diag.code.id))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diag.severity {
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.diag
            .help
            .as_ref()
            .map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|e| e as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'b>(&'b self) -> Option<Box<dyn Iterator<Item = &'b dyn Diagnostic> + 'b>> {
        if self.elsewhere.is_empty() {
            return None;
        }
        Some(Box::new(
            self.elsewhere.iter().map(|e| e as &dyn Diagnostic),
        ))
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (in {})", self.text, self.excerpt.name)
    }
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Elsewhere {}

impl Diagnostic for Elsewhere {
    fn severity(&self) -> Option<miette::Severity> {
        Some(miette::Severity::Advice)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.excerpt)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.label.clone())))
    }
}

/// The widest source line that is shown whole, in bytes.
const WIDEST_LINE: usize = 240;

/// One file's text for miette, with lines that are too long to be shown cut around the labels.
/// Without it, an error in a file of one 8 MB line would print all of it.
struct Excerpt {
    name: String,
    text: String,
    /// Where `text` starts in the file, in bytes.
    offset: usize,
    /// The number of the first line of `text`, from 0.
    first_line: usize,
    /// The column at which `text` starts, from 0.
    first_column: usize,
}

impl Excerpt {
    fn new(sources: &Sources, spans: &[Span]) -> Option<Self> {
        let source = sources.get(spans.first()?.file)?;
        let text: &str = &source.text;
        let from = spans
            .iter()
            .map(|s| s.start as usize)
            .min()?
            .min(text.len());
        let to = spans.iter().map(|s| s.end as usize).max()?.min(text.len());
        // Two lines of context on both sides, unless a line is too long.
        // Labels can be far apart; miette leaves out what lies between them.
        let mut start = back_lines(text, from, 2);
        let mut end = forward_lines(text, to, 2);
        if text
            .get(start..end)?
            .split('\n')
            .any(|line| line.len() > WIDEST_LINE)
        {
            start = floor_char(
                text,
                from.saturating_sub(WIDEST_LINE / 3)
                    .max(back_lines(text, from, 0)),
            );
            end = floor_char(
                text,
                (to + WIDEST_LINE / 3)
                    .min(forward_lines(text, to, 0))
                    .min(start + 4 * WIDEST_LINE),
            );
        }
        let (line, column) = sources.line_column(Span::new(source_file(spans), start, start));
        Some(Self {
            name: source.name.clone(),
            text: text.get(start..end.max(start))?.to_owned(),
            offset: start,
            first_line: line - 1,
            first_column: column - 1,
        })
    }

    /// A place of the file as a place of the excerpt, clipped to it.
    fn place(&self, span: Span) -> SourceSpan {
        let clip = |n: u32| {
            floor_char(
                &self.text,
                (n as usize)
                    .saturating_sub(self.offset)
                    .min(self.text.len()),
            )
        };
        let (start, end) = (clip(span.start), clip(span.end));
        // A place at the very end is shown on the last character.
        (start.min(self.text.len()), end.saturating_sub(start)).into()
    }
}

/// The file that spans of one excerpt are in.
fn source_file(spans: &[Span]) -> u32 {
    spans.first().map_or(0, |s| s.file)
}

/// The start of the line `n` lines before the one that has the byte `at`.
fn back_lines(text: &str, at: usize, n: usize) -> usize {
    let mut starts = text.as_bytes()[..at]
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, b)| **b == b'\n')
        .map(|(i, _)| i + 1);
    starts.nth(n).unwrap_or(0)
}

/// The end of the line `n` lines behind the one that has the byte `at`.
fn forward_lines(text: &str, at: usize, n: usize) -> usize {
    let mut ends = text.as_bytes()[at..]
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'\n')
        .map(|(i, _)| at + i);
    ends.nth(n).unwrap_or(text.len())
}

/// The last boundary between characters at or before `at`.
fn floor_char(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.read_span(span, before, after)?;
        let column = if inner.line() == 0 {
            inner.column() + self.first_column
        } else {
            inner.column()
        };
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            inner.line() + self.first_line,
            column,
            inner.line_count(),
        )))
    }
}
