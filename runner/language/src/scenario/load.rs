//! From a path to scenarios: reading, parsing, checking, including.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::block::{Block, Datum, merge};
use super::codes;
use super::diag::{Diag, Diags};
use super::shape::Shape;
use super::source::{Language, Source, Sources, Span, Spanned, read};
use super::suggest::did_you_mean;
use super::tree::{Entry, Raw};
use super::vocab::ROOT;
use super::{kdl, toml, variant};

/// How deep includes may be.
const MAX_INCLUDE_DEPTH: usize = 16;

/// How many files may be included in all.
const MAX_FILES: usize = 256;

/// The newest version of the language.
const SCHEMA: i64 = 1;

/// One scenario: a file of its own, or a combination of a file's matrix.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The scenario's name.
    pub name: Spanned<String>,
    /// Which combination it is, e.g. `kernel=tiny,loss=1%`; empty if there is no matrix.
    pub variant: String,
    /// Everything that was written, joined from all files.
    pub body: Block,
}

/// What came of reading a file.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The files, for showing diagnostics.
    pub sources: Sources,
    /// The scenarios; those with mistakes are there as far as they could be understood.
    pub scenarios: Vec<Scenario>,
    /// The whole document with its matrix, joined from all files.
    pub root: Option<Block>,
    /// Whether this is a fragment: a file without a name, which other files include.
    pub fragment: bool,
    /// What is wrong.
    pub diags: Diags,
}

impl Loaded {
    /// The paths of the files that were included.
    pub fn included(&self) -> impl Iterator<Item = &Path> {
        let files = self.sources.all().iter().skip(1);
        files.map(|source| source.path.as_path())
    }
}

/// Reads a scenario file with all that it includes. Mistakes are in the result.
#[must_use]
pub fn load(path: &Path) -> Loaded {
    load_as(path, false)
}

/// Reads a file that was found in a folder, which may be a fragment: that it has no name is no mistake.
#[must_use]
pub fn load_found(path: &Path) -> Loaded {
    load_as(path, true)
}

fn load_as(path: &Path, may_be_fragment: bool) -> Loaded {
    let name = path.display().to_string();
    match read(path, &name, None) {
        Ok(source) => load_source(source, may_be_fragment),
        Err(diag) => {
            let mut loaded = Loaded::default();
            loaded.diags.push(*diag);
            loaded
        }
    }
}

/// Checks a scenario that is a text already. Paths in it are relative to `folder`.
#[must_use]
pub fn load_text(text: &str, language: Language, name: &str, folder: &Path) -> Loaded {
    let source = Source {
        name: name.to_owned(),
        path: folder.join(name),
        text: text.into(),
        language,
    };
    load_source(source, false)
}

fn load_source(source: Source, may_be_fragment: bool) -> Loaded {
    let mut loader = Loader {
        sources: Sources::default(),
        diags: Diags::default(),
        seen: BTreeSet::new(),
        stack: Vec::new(),
    };
    let root = loader.file(source, None);
    let mut loaded = Loaded {
        sources: loader.sources,
        scenarios: Vec::new(),
        root: None,
        fragment: false,
        diags: loader.diags,
    };
    let Some(root) = root else { return loaded };
    loaded.fragment = may_be_fragment && !root.has("name");
    if loaded.fragment {
        // Nothing is asked of it but that it can be read.
    } else if let Some(name) = main_keys(&root, &mut loaded.diags) {
        loaded.scenarios = variant::expand(&name, &root, &mut loaded.diags);
    }
    loaded.root = Some(root);
    loaded
}

/// What the main file must say itself. Returns the scenario's name.
fn main_keys(root: &Block, diags: &mut Diags) -> Option<Spanned<String>> {
    if !root.has("schema") {
        diags.push(
            Diag::error(
                codes::MISSING_KEY,
                "the scenario doesn't say in which version of the language it is written",
            )
            .label(root.span, "`schema` is missing")
            .help("add `schema=1` behind the name; in TOML write `schema = 1` at the top"),
        );
    }
    match root.spanned_text("name") {
        Some(name) => Some(Spanned::new(name.value.to_owned(), name.span)),
        None => {
            if !root.has("name") {
                diags.push(
                    Diag::error(codes::MISSING_KEY, "the scenario has no name")
                        .label(root.span, "the name is missing")
                        .help(
                            "write `scenario \"name\" schema=1 { ... }`; in TOML `name = \
                             \"...\"` at the top",
                        ),
                );
            }
            None
        }
    }
}

struct Loader {
    sources: Sources,
    diags: Diags,
    /// Files that have been included, so that each counts once.
    seen: BTreeSet<PathBuf>,
    /// The files that are being read, the main one first, each with the `include` that led there.
    stack: Vec<(PathBuf, Option<Span>)>,
}

impl Loader {
    /// Reads one file with its includes.
    fn file(&mut self, source: Source, at: Option<Span>) -> Option<Block> {
        let folder = source.path.parent().unwrap_or(Path::new("")).to_owned();
        let display = Path::new(&source.name)
            .parent()
            .unwrap_or(Path::new(""))
            .to_owned();
        let identity = source
            .path
            .canonicalize()
            .unwrap_or_else(|_| source.path.clone());
        let (language, text) = (source.language, source.text.clone());
        let file = self.sources.add(source);
        let block = match language {
            Language::Kdl => {
                let entries = kdl::parse(&text, file, &mut self.diags);
                self.kdl_root(entries, file)?
            }
            Language::Toml => {
                let entries = toml::parse(&text, file, &mut self.diags);
                let span = entries
                    .first()
                    .map_or(Span::new(file, 0, 0), |e| e.key_span);
                Shape {
                    language,
                    diags: &mut self.diags,
                }
                .block(&ROOT, &[], &entries, span)
            }
        };
        self.schema(&block);
        self.seen.insert(identity.clone());
        self.stack.push((identity, at));
        let mut base: Option<Block> = None;
        for include in block.blocks("include") {
            let Some(path) = include.spanned_text("path") else {
                continue;
            };
            let path = Spanned::new(path.value.to_owned(), path.span);
            let Some(included) = self.include(&folder, &display, &path) else {
                continue;
            };
            base = Some(match base {
                Some(base) => merge(&base, &included),
                None => included,
            });
        }
        self.stack.pop();
        Some(match base {
            Some(mut base) => {
                // The name belongs to the file itself.
                base.fields
                    .retain(|f| !matches!(f.key.name, "name" | "schema"));
                merge(&base, &block)
            }
            None => block,
        })
    }

    fn include(&mut self, folder: &Path, display: &Path, path: &Spanned<String>) -> Option<Block> {
        let target = folder.join(&path.value);
        let name = display.join(&path.value).display().to_string();
        let identity = target.canonicalize().unwrap_or_else(|_| target.clone());
        if let Some(at) = self.stack.iter().position(|(p, _)| *p == identity) {
            let mut diag = Diag::error(
                codes::INCLUDE_CYCLE,
                format!("`{}` includes itself", path.value),
            )
            .label(path.span, "closes the circle");
            for (_, via) in &self.stack[at + 1..] {
                diag = diag.label_opt(*via, "on the way here");
            }
            self.diags
                .push(diag.help("move what both files need into a third one"));
            return None;
        }
        if self.stack.len() >= MAX_INCLUDE_DEPTH || self.sources.all().len() >= MAX_FILES {
            self.diags.push(
                Diag::error(
                    codes::TOO_MANY_INCLUDES,
                    format!(
                        "includes are more than {MAX_INCLUDE_DEPTH} deep, or more than \
                         {MAX_FILES} files"
                    ),
                )
                .label(path.span, "not read any more")
                .help("include fewer files"),
            );
            return None;
        }
        if self.seen.contains(&identity) {
            return None;
        }
        match read(&target, &name, Some(path.span)) {
            Ok(source) => self.file(source, Some(path.span)),
            Err(diag) => {
                self.diags.push(*diag);
                None
            }
        }
    }

    /// Finds the one node `scenario` of a KDL file.
    fn kdl_root(&mut self, entries: Vec<Entry>, file: u32) -> Option<Block> {
        let mut found: Option<Entry> = None;
        for entry in entries {
            if entry.key.starts_with("x-") {
                continue;
            }
            if entry.key != "scenario" {
                let help = match did_you_mean(&entry.key, ["scenario"]) {
                    Some(help) => help,
                    None if ROOT.key(&entry.key, false).is_some() => {
                        format!("move `{}` into the braces of `scenario`", entry.key)
                    }
                    None => "everything stands inside of one `scenario \"name\" schema=1 { ... }`"
                        .into(),
                };
                self.diags.push(
                    Diag::error(
                        codes::UNKNOWN_KEY,
                        format!("`{}` stands outside of the scenario", entry.key),
                    )
                    .label(entry.key_span, "unexpected here")
                    .help(help),
                );
            } else if let Some(first) = &found {
                self.diags.push(
                    Diag::error(codes::SEVERAL_SCENARIOS, "the file has a second scenario")
                        .label(entry.key_span, "the second one")
                        .label(first.key_span, "the first one")
                        .help("write it into a file of its own, or use `matrix` for variants"),
                );
            } else {
                found = Some(entry);
            }
        }
        let Some(entry) = found else {
            if !self.diags.has_errors() {
                self.diags.push(
                    Diag::error(codes::NO_SCENARIO, "the file has no scenario")
                        .label(Span::new(file, 0, 0), "nothing here")
                        .help("write `scenario \"name\" schema=1 { node \"n1\" }`"),
                );
            }
            return None;
        };
        let Raw::Node(args, inner) = &entry.value.raw else {
            return None;
        };
        Some(
            Shape {
                language: Language::Kdl,
                diags: &mut self.diags,
            }
            .block(&ROOT, args, inner, entry.value.span),
        )
    }

    fn schema(&mut self, block: &Block) {
        let Some(field) = block.field("schema") else {
            return;
        };
        if let Datum::Int(version) = field.value.value
            && version > SCHEMA
        {
            self.diags.push(
                Diag::error(
                    codes::SCHEMA_TOO_NEW,
                    format!(
                        "the file is written in version {version} of the language; this \
                         chaosrun knows version {SCHEMA}"
                    ),
                )
                .label(field.value.span, "newer than this chaosrun")
                .help(format!(
                    "update chaosrun, or write `schema` {SCHEMA} if the file uses \
                     nothing newer"
                )),
            );
        }
    }
}
