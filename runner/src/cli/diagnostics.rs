//! Showing what is wrong with scenarios; shared by the subcommands that read them.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::color::ColorChoice;
use super::files::Found;
use crate::artifact::HostFiles;
use crate::artifact::{Progress, Store};
use crate::plan::{Compiled, compile};
use crate::scenario::codes;
use crate::scenario::diag::{Diag, Rendering, Severity, render};
use crate::scenario::source::{Sources, Span};
use crate::scenario::{load, load_found};

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum MessageFormat {
    /// Drawn for people, on stderr.
    Human,
    /// In sentences, for screen readers, on stderr.
    Narrated,
    /// One JSON object per line, on stdout.
    Json,
    /// GitHub's workflow commands, on stdout.
    Github,
}

/// Flags about messages.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Messages {
    /// How messages are written; `json` goes to stdout, one object per line.
    #[arg(long, value_enum, value_name = "FORMAT")]
    message_format: Option<MessageFormat>,
    /// When to use colours.
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    pub color: ColorChoice,
}

/// A file that was read and planned.
pub(super) struct Checked {
    pub path: PathBuf,
    pub sources: Sources,
    /// One plan per variant; none if there are errors.
    pub plans: Vec<Compiled>,
    pub diags: Vec<Diag>,
    /// Whether this is a fragment that other files include, and no scenario.
    pub fragment: bool,
    /// The files that it includes.
    included: Vec<PathBuf>,
}

impl Checked {
    /// A file that was read and not planned.
    pub fn unplanned(path: &Path, sources: Sources, diags: Vec<Diag>) -> Self {
        Self {
            path: path.to_owned(),
            sources,
            plans: Vec::new(),
            diags,
            fragment: false,
            included: Vec::new(),
        }
    }

    /// How many diagnostics of a severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.diags.iter().filter(|d| d.severity == severity).count()
    }
}

/// Reads scenarios and plans them. With `presence_only` files are not hashed. A fragment is no mistake if it
/// was found in a folder; if no other of the files includes it, there is a warning, since a scenario whose
/// name was forgotten looks like that.
pub(super) fn check_all(files: &[Found], presence_only: bool) -> Vec<Checked> {
    let mut all: Vec<Checked> = files
        .iter()
        .map(|file| check(file, presence_only))
        .collect();
    let included: BTreeSet<PathBuf> = all.iter().flat_map(|one| one.included.clone()).collect();
    for one in all.iter_mut().filter(|one| one.fragment) {
        if !included.contains(&identity(&one.path)) {
            let message = "the file has no name, and none of these files includes it";
            let help = "a scenario needs a name: without one this is a fragment for `include`, \
                and does nothing by itself";
            let place = Span::new(0, 0, 0);
            let diag = Diag::warning(codes::MISSING_KEY, message);
            one.diags
                .push(diag.label(place, "taken for a fragment").help(help));
        }
    }
    all
}

fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Reads a scenario and plans it.
fn check(file: &Found, presence_only: bool) -> Checked {
    let mut loaded = match file.in_folder {
        true => load_found(&file.path),
        false => load(&file.path),
    };
    let files = HostFiles {
        kernels: if presence_only {
            Default::default()
        } else {
            cached_kernels()
        },
        presence_only,
    };
    let plans: Vec<Compiled> = loaded
        .scenarios
        .iter()
        .map(|s| compile(s, &loaded.sources, &files, &mut loaded.diags))
        .collect();
    let plans = if loaded.diags.has_errors() {
        Vec::new()
    } else {
        plans
    };
    Checked {
        path: file.path.clone(),
        included: loaded.included().map(identity).collect(),
        fragment: loaded.fragment,
        sources: loaded.sources,
        plans,
        diags: loaded.diags.into_sorted(),
    }
}

/// Kernels that are in the cache: these are known by content, others by recipe.
fn cached_kernels() -> std::collections::BTreeMap<String, (String, u64)> {
    // Without a cache nothing is in it; planning needs none.
    let listed = Store::open(Progress::Silent)
        .and_then(|store| store.list())
        .unwrap_or_default();
    listed
        .into_iter()
        .filter_map(|l| l.kernel.map(|k| (l.name, (k.hash, k.bytes))))
        .collect()
}

impl Messages {
    /// Shows diagnostics of one file.
    pub fn show(&self, checked: &Checked) -> std::io::Result<()> {
        let (sources, diags) = (&checked.sources, checked.diags.as_slice());
        match self.format() {
            MessageFormat::Json => {
                write(std::io::stdout(), &render(sources, diags, Rendering::Json))
            }
            MessageFormat::Github => write(
                std::io::stdout(),
                &render(sources, diags, Rendering::Github),
            ),
            MessageFormat::Narrated => write(
                std::io::stderr(),
                &render(sources, diags, Rendering::Narrated),
            ),
            MessageFormat::Human => {
                let rendering = Rendering::Graphical {
                    color: self.color(),
                    width: 100,
                };
                write(std::io::stderr(), &render(sources, diags, rendering))?;
                // In GitHub's CI the mistakes become annotations, too.
                if std::env::var_os("GITHUB_ACTIONS").is_some_and(|v| v == "true")
                    && self.message_format.is_none()
                {
                    write(
                        std::io::stdout(),
                        &render(sources, diags, Rendering::Github),
                    )?;
                }
                Ok(())
            }
        }
    }

    /// Whether messages are for a program.
    pub fn is_json(&self) -> bool {
        self.format() == MessageFormat::Json
    }

    fn format(&self) -> MessageFormat {
        self.message_format.unwrap_or(MessageFormat::Human)
    }

    fn color(&self) -> bool {
        let variable = |name: &str| std::env::var(name).ok();
        self.color
            .resolve(std::io::stderr().is_terminal(), variable)
    }
}

/// Writes a text whole. A reader that went away, as `head` does, is no error.
pub(super) fn write(mut to: impl Write, text: &str) -> std::io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
