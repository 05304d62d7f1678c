//! From a checked scenario to a plan. Each file lowers one part of it.

mod action;
mod check;
mod cluster;
mod disk;
mod fault;
mod files;
mod generator;
mod link;
mod network;
mod property;
mod run;
mod select;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::artifacts::Artifacts;
use super::model::{FORMAT, Guest, Pattern, Plan};
use super::{Compiled, Location, Origins};
use crate::scenario::Scenario;
use crate::scenario::block::Block;
use crate::scenario::codes;
use crate::scenario::diag::{Diag, Diags};
use crate::scenario::source::{Sources, Span, Spanned};
use crate::scenario::suggest::{did_you_mean, one_of};
use crate::scenario::wording::clipped;

/// What is known of a node while the rest refers to it.
struct NodeInfo {
    name: String,
    span: Span,
    tags: Vec<String>,
    roles: Vec<String>,
    networks: Vec<String>,
    disks: Vec<String>,
    guests: Vec<String>,
}

/// The state of one lowering.
pub(super) struct Lower<'a> {
    sources: &'a Sources,
    files: &'a dyn Artifacts,
    diags: &'a mut Diags,
    origins: Origins,
    nodes: Vec<NodeInfo>,
    node_index: BTreeMap<String, usize>,
    /// Nodes by tag and by role.
    tags: BTreeMap<String, Vec<usize>>,
    roles: BTreeMap<String, Vec<usize>>,
    /// Node sets made so far: their members, in the order of nodes.
    sets: BTreeMap<String, Vec<usize>>,
    guests: BTreeMap<String, (Guest, Span)>,
    guest_folders: BTreeMap<String, PathBuf>,
    networks: BTreeMap<String, Span>,
    used: BTreeSet<(&'static str, String)>,
    hashed: BTreeMap<(&'static str, PathBuf), files::Hashed>,
}

/// Lowers one scenario.
pub(super) fn lower(
    scenario: &Scenario,
    sources: &Sources,
    files: &dyn Artifacts,
    diags: &mut Diags,
) -> Compiled {
    let body = &scenario.body;
    let mut ctx = Lower {
        sources,
        files,
        diags,
        origins: Origins::default(),
        nodes: Vec::new(),
        node_index: BTreeMap::new(),
        tags: BTreeMap::new(),
        roles: BTreeMap::new(),
        sets: BTreeMap::new(),
        guests: BTreeMap::new(),
        guest_folders: BTreeMap::new(),
        networks: BTreeMap::new(),
        used: BTreeSet::new(),
        hashed: BTreeMap::new(),
    };
    ctx.guests(body);
    ctx.network_names(body);
    let mut nodes = ctx.nodes(body);
    let networks = ctx.networks(body, &mut nodes);
    let ready = ctx.ready(body);
    let run = ctx.run(body);
    let faults = ctx.faults(body, run.duration_ns);
    let properties = ctx.properties(body, run.duration_ns, &faults);
    ctx.unused(body);
    let plan = Plan {
        format: FORMAT,
        name: scenario.name.value.clone(),
        variant: scenario.variant.clone(),
        description: body.text("description").unwrap_or_default().to_owned(),
        tags: sorted(body.texts("tag")),
        node_sets: ctx.named_sets(),
        guests: std::mem::take(&mut ctx.guests)
            .into_iter()
            .map(|(name, (guest, _))| (name, guest))
            .collect(),
        networks,
        nodes,
        ready,
        faults,
        properties,
        run,
        explore: run::explore(body),
        shard: run::shard(body),
    };
    Compiled {
        plan,
        origins: ctx.origins,
    }
}

/// Texts without their places, sorted, each once.
fn sorted(texts: Vec<Spanned<String>>) -> Vec<String> {
    texts
        .into_iter()
        .map(|t| t.value)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The beginning of a text, for messages.
fn clip(text: &str) -> String {
    clipped(text, 60).escape_debug().to_string()
}

impl Lower<'_> {
    pub(super) fn push(&mut self, diag: Diag) {
        self.diags.push(diag);
    }

    fn location(&self, span: Span) -> Location {
        let (line, column) = self.sources.line_column(span);
        let file = self
            .sources
            .get(span.file)
            .map(|s| s.name.clone())
            .unwrap_or_default();
        Location { file, line, column }
    }

    /// Tells that a name is not defined: what kind of thing, what would be right, and where such
    /// things are defined.
    fn undefined(
        &mut self,
        what: &str,
        name: &str,
        span: Span,
        known: &[&str],
        defined: Option<Span>,
    ) {
        let mut diag = Diag::error(
            codes::UNDEFINED_NAME,
            format!("there is no {what} `{}`", clip(name)),
        )
        .label(span, "not defined");
        diag = diag.label_opt(
            defined.filter(|d| *d != span),
            format!("{what}s are defined here"),
        );
        diag = match did_you_mean(name, known.iter().copied()) {
            Some(help) => diag.help(help),
            None if known.is_empty() => diag.help(format!("the scenario has no {what}s yet")),
            None => diag.help(format!("there is {}", one_of(known.iter().copied()))),
        };
        self.push(diag);
    }

    /// Reads a pattern: a piece of text, or a regular expression between slashes.
    fn pattern(&mut self, block: &Block, key: &str) -> Option<Pattern> {
        let text = block.spanned_text(key)?;
        let Some(inner) = text
            .value
            .strip_prefix('/')
            .and_then(|t| t.strip_suffix('/'))
            .filter(|t| !t.is_empty())
        else {
            if text.value.is_empty() {
                self.push(
                    Diag::error(codes::BAD_PATTERN, format!("`{key}` looks for nothing"))
                        .label(text.span, "empty")
                        .help("write what the console must show"),
                );
                return None;
            }
            return Some(Pattern::Text(text.value.to_owned()));
        };
        // The limit keeps a short pattern from becoming a huge automaton.
        match regex::RegexBuilder::new(inner).size_limit(1 << 20).build() {
            Ok(_) => Some(Pattern::Regex(inner.to_owned())),
            Err(e) => {
                let why = match &e {
                    regex::Error::Syntax(text) => text
                        .lines()
                        .rev()
                        .find_map(|l| l.strip_prefix("error: "))
                        .unwrap_or("syntax error")
                        .to_owned(),
                    _ => "it is too large".to_owned(),
                };
                self.push(
                    Diag::error(
                        codes::BAD_PATTERN,
                        format!("`{key}` is no regular expression: {why}"),
                    )
                    .label(text.span, "can't be read")
                    .help("to look for this text as it is, leave out the slashes around it"),
                );
                None
            }
        }
    }

    /// Warns of what is defined and never used.
    fn unused(&mut self, body: &Block) {
        for kind in ["guest", "network", "template"] {
            for block in body.blocks(kind) {
                let Some(name) = &block.name else { continue };
                if !self.used.contains(&(kind, name.value.clone())) {
                    self.push(
                        Diag::warning(
                            codes::UNUSED,
                            format!("no node uses the {kind} `{}`", clip(&name.value)),
                        )
                        .label(name.span, "never used")
                        .help(format!(
                            "add `{kind} \"{}\"` to a node, or remove it",
                            clip(&name.value)
                        )),
                    );
                }
            }
        }
    }
}
