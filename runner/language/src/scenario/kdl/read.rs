//! The `kdl` package: what it is given, and its documents as our tree.

use std::ops::Range;

use kdl::{KdlDiagnostic, KdlDocument, KdlEntry, KdlNode, KdlValue};

use super::draft::Draft;
use super::scan::{Kind, Token, tokens};
use crate::scenario::codes;
use crate::scenario::diag::{Diag, Diags};
use crate::scenario::source::Span;
use crate::scenario::tree::{Entry, Raw, Value};

/// What a text is wrapped into. As the children of a node it is read by the same rules as a document, but
/// the package stops at the first thing that it can't place: in a document it goes on behind it, with
/// another stack frame for each.
const OPEN: &str = "x {\n";
const CLOSE: &str = "\n}";

/// The stack for the package, which takes up to 7 KiB for a level of nesting, and in builds for debugging
/// much more.
const STACK: usize = 64 << 20;

/// How deep blocks that `/-` comments out may be nested in each other.
const MAX_COMMENTED: usize = 8;

/// What the package says against a text: where, and in its words.
pub(super) struct Refusal {
    pub place: Range<usize>,
    pub message: String,
    pub help: Option<String>,
}

/// Has the package read a draft.
///
/// # Errors
/// What it says against it; at least one thing.
pub(super) fn read(
    draft: &Draft,
    file: u32,
    diags: &mut Diags,
) -> Result<Vec<Entry>, Vec<Refusal>> {
    let text = draft.text();
    let tokens = tokens(&text);
    let pieces = pieces(&text, &tokens).map_err(|refusal| vec![refusal])?;
    let parse = || -> Result<KdlNode, Vec<Refusal>> {
        let mut refused = Vec::new();
        let mut main = None;
        for (range, bytes) in &pieces {
            let handed = Handed::new(range.start, bytes, draft);
            match KdlNode::parse(&handed.text) {
                Ok(node) => main = Some(node),
                Err(error) => refused.extend(error.diagnostics.iter().map(|d| handed.refusal(d))),
            }
        }
        match main {
            Some(node) if refused.is_empty() => Ok(node),
            _ => Err(refused),
        }
    };
    let node = on_large_stack(parse)?;
    let whole = Handed::new(0, &[], draft);
    let mut tree = Tree {
        file,
        draft,
        handed: &whole,
        blocks: blocks(&tokens),
        diags,
    };
    Ok(node.children().map_or_else(Vec::new, |d| tree.nodes(d)))
}

/// Runs the package on a stack of its own; its panic is a refusal.
fn on_large_stack<T: Send>(
    parse: impl FnOnce() -> Result<T, Vec<Refusal>> + Send,
) -> Result<T, Vec<Refusal>> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(STACK);
        let failed = |message: &str| {
            Err(vec![Refusal {
                place: 0..0,
                message: message.to_owned(),
                help: None,
            }])
        };
        match builder.spawn_scoped(scope, parse) {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|_| failed("the `kdl` package can't read this text")),
            Err(_) => failed("there is no memory for a thread to read the text"),
        }
    })
}

/// A part of the text, with its place.
type Piece = (Range<usize>, Vec<u8>);

/// The parts that the package reads one by one, each with the place of its text; the whole document is
/// the last.
///
/// A block that `/-` comments out is a part of its own, and blank in what is around it: the package reads
/// such a block twice, and what is commented out inside of it four times, and so on. In comments `/` and
/// `*` are blanked: it takes a stack frame for each.
fn pieces(text: &str, tokens: &[Token]) -> Result<Vec<Piece>, Refusal> {
    let mut commented = 0;
    let mut bytes = text.as_bytes().to_vec();
    let mut out = Vec::new();
    // Whether the node of each open block is commented out, and whether the block is.
    let mut stack: Vec<(bool, Option<usize>)> = Vec::new();
    let (mut node, mut next, mut fresh) = (false, false, true);
    for token in tokens {
        match token.kind {
            Kind::BlockComment => {
                let inner = &mut bytes[token.start + 2..token.end - 2];
                inner
                    .iter_mut()
                    .filter(|byte| b"/*".contains(byte))
                    .for_each(|byte| *byte = b' ');
            }
            Kind::Slashdash if fresh => node = true,
            Kind::Slashdash => next = true,
            Kind::Open => {
                let dead = (node || next).then_some(token.end);
                commented += usize::from(dead.is_some());
                if commented > MAX_COMMENTED {
                    return Err(Refusal {
                        place: token.start..token.end,
                        message: format!(
                            "blocks that `/-` comments out are nested more than {MAX_COMMENTED} deep"
                        ),
                        help: Some("take some of them out of the file".to_owned()),
                    });
                }
                stack.push((node, dead));
                (node, next, fresh) = (false, false, true);
            }
            Kind::Close => {
                let (outer, dead) = stack.pop().unwrap_or_default();
                if let Some(start) = dead {
                    commented -= 1;
                    let inner = &mut bytes[start..token.start];
                    if inner.iter().any(|byte| *byte != b' ') {
                        out.push((start..token.start, inner.to_vec()));
                        inner.fill(b' ');
                    }
                }
                (node, next, fresh) = (outer, false, false);
            }
            // Line breaks between `/-` and what it comments out end nothing.
            Kind::Newline | Kind::LineComment if next || (node && fresh) => {}
            Kind::Newline | Kind::LineComment | Kind::Semicolon => {
                (node, next, fresh) = (false, false, true);
            }
            Kind::Space | Kind::Continuation => {}
            _ => (next, fresh) = (false, false),
        }
    }
    out.push((0..text.len(), bytes));
    Ok(out)
}

/// A text as it is handed over, with the way back from its places to those of the file.
struct Handed {
    text: String,
    /// The place in the file of the first byte behind the wrapping.
    base: usize,
    /// The places in the file before which there is a blank more.
    gaps: Vec<usize>,
}

impl Handed {
    fn new(base: usize, bytes: &[u8], draft: &Draft) -> Self {
        let end = if bytes.is_empty() {
            usize::MAX
        } else {
            base + bytes.len()
        };
        let gaps: Vec<usize> = draft.gaps().range(base..end).copied().collect();
        let mut text = String::with_capacity(bytes.len() + gaps.len() + 8);
        text.push_str(OPEN);
        let mut from = 0;
        for gap in gaps.iter().map(|gap| (gap - base).min(bytes.len())) {
            text.push_str(&String::from_utf8_lossy(&bytes[from..gap]));
            text.push(' ');
            from = gap;
        }
        text.push_str(&String::from_utf8_lossy(&bytes[from..]));
        text.push_str(CLOSE);
        Self { text, base, gaps }
    }

    /// The place in the file of a place in the text.
    fn place(&self, at: usize) -> usize {
        let at = at.saturating_sub(OPEN.len());
        // The gap of number n stands n places further behind in the text than in the file.
        let (mut low, mut high) = (0, self.gaps.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.gaps[middle] - self.base + middle < at {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.base + at - low
    }

    fn range(&self, offset: usize, len: usize) -> Range<usize> {
        self.place(offset)..self.place(offset + len)
    }

    fn refusal(&self, diagnostic: &KdlDiagnostic) -> Refusal {
        let message = diagnostic.message.clone().unwrap_or_default();
        let mut chars = message.chars();
        let message = match chars.next() {
            Some(first) => first.to_lowercase().chain(chars).collect(),
            None => "this is not KDL 2".to_owned(),
        };
        Refusal {
            place: self.range(diagnostic.span.offset(), diagnostic.span.len()),
            message,
            help: diagnostic.help.clone(),
        }
    }
}

/// Where each block begins and ends, in the order of their beginnings.
fn blocks(tokens: &[Token]) -> Vec<(usize, usize)> {
    let (mut out, mut open) = (Vec::new(), Vec::new());
    for token in tokens {
        match token.kind {
            Kind::Open => {
                open.push(out.len());
                out.push((token.start, token.end));
            }
            Kind::Close => {
                if let Some(block) = open.pop() {
                    out[block].1 = token.end;
                }
            }
            _ => {}
        }
    }
    out
}

/// The package's documents as our tree.
struct Tree<'a> {
    file: u32,
    draft: &'a Draft,
    handed: &'a Handed,
    blocks: Vec<(usize, usize)>,
    diags: &'a mut Diags,
}

impl Tree<'_> {
    fn span(&self, place: Range<usize>) -> Span {
        Span::new(self.file, place.start, place.end)
    }

    fn nodes(&mut self, document: &KdlDocument) -> Vec<Entry> {
        let nodes = document.nodes().iter();
        nodes.filter_map(|node| self.node(node)).collect()
    }

    fn node(&mut self, node: &KdlNode) -> Option<Entry> {
        let name = node.name();
        let place = self.handed.range(name.span().offset(), name.span().len());
        if self.draft.is_hole(place.start) {
            return None;
        }
        let key_span = self.span(place);
        if let (Some(ty), Some(format)) = (node.ty(), node.format()) {
            self.type_annotation(ty, &format.before_ty_name, &format.after_ty_name);
        }
        let (mut args, mut entries) = (Vec::new(), Vec::new());
        let mut end = name.span().offset() + name.span().len();
        for entry in node.entries() {
            end = entry.span().offset() + entry.span().len();
            self.entry(entry, &mut args, &mut entries);
        }
        let mut last = self.handed.place(end);
        if let (Some(children), Some(format)) = (node.children(), node.format()) {
            let open = self.handed.place(end + format.before_children.len());
            let block = self.blocks.binary_search_by_key(&open, |block| block.0);
            last = block.map_or(open + 1, |block| self.blocks[block].1);
            entries.extend(self.nodes(children));
        }
        let span = key_span.to(self.span(last..last));
        Some(Entry {
            key: name.value().to_owned(),
            key_span,
            value: Value {
                raw: Raw::Node(args, entries),
                span,
            },
        })
    }

    fn entry(&mut self, entry: &KdlEntry, args: &mut Vec<Value>, props: &mut Vec<Entry>) {
        let place = self.handed.range(entry.span().offset(), entry.span().len());
        let written = entry.format().map_or(0, |format| format.value_repr.len());
        let start = place.end.saturating_sub(written).max(place.start);
        let span = self.span(start..place.end);
        if self.draft.is_hole(place.start) || self.draft.is_hole(start) {
            let raw = Raw::Broken;
            args.push(Value { raw, span });
            return;
        }
        if let (Some(ty), Some(format)) = (entry.ty(), entry.format()) {
            self.type_annotation(ty, &format.before_ty_name, &format.after_ty_name);
        }
        let value = Value {
            raw: raw(entry.value()),
            span,
        };
        let Some(name) = entry.name() else {
            args.push(value);
            return;
        };
        let key = self.handed.range(name.span().offset(), name.span().len());
        props.push(Entry {
            key: name.value().to_owned(),
            key_span: self.span(key),
            value,
        });
    }

    /// `(type)` has no meaning in a scenario.
    fn type_annotation(&mut self, name: &kdl::KdlIdentifier, before: &str, after: &str) {
        let offset = name.span().offset().saturating_sub(before.len() + 1);
        let len = before.len() + name.span().len() + after.len() + 2;
        let place = self.handed.range(offset, len);
        self.diags.push(
            Diag::error(
                codes::KDL_SYNTAX,
                "a type annotation has no meaning in a scenario",
            )
            .label(self.span(place), "remove it")
            .help("the key decides the type of its value"),
        );
    }
}

fn raw(value: &KdlValue) -> Raw {
    match value {
        KdlValue::Null => Raw::Null,
        KdlValue::Bool(b) => Raw::Bool(*b),
        KdlValue::Integer(n) => i64::try_from(*n).map_or(Raw::BigInt, Raw::Int),
        KdlValue::Float(_) => Raw::Float,
        KdlValue::String(s) => Raw::Str(s.clone()),
    }
}
