//! The files that a scenario is made of, and positions inside them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::codes;
use super::diag::Diag;

/// The largest scenario file that is read, in bytes. Real ones are a few kilobytes; the limit keeps
/// a mistyped path (a disk image, a log) from using up memory and time.
pub const MAX_FILE_BYTES: u64 = 8 << 20;

/// The deepest nesting of braces or brackets that is parsed.
pub const MAX_DEPTH: usize = 64;

/// A half-open range of bytes in one source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// Which file, as numbered by [`Sources`].
    pub file: u32,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// The span `start..end` of `file`. Offsets fit 32 bits because of [`MAX_FILE_BYTES`].
    #[must_use]
    pub fn new(file: u32, start: usize, end: usize) -> Self {
        let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            file,
            start: clip(start),
            end: clip(end.max(start)),
        }
    }

    /// The smallest span that covers both, which must be in the same file.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            file: self.file,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// A value with the place where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Joins a value and its place.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// The language that a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// KDL 2.0.
    Kdl,
    /// TOML 1.0.
    Toml,
}

impl Language {
    /// Chooses the language by the file's extension.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "kdl" => Some(Self::Kdl),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }

    /// The language's name, as people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kdl => "KDL",
            Self::Toml => "TOML",
        }
    }
}

/// One file's text.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name to show: the path as the user gave it, or as the include resolved it.
    pub name: String,
    /// The path on the host, to which relative paths in the file refer.
    pub path: PathBuf,
    /// The whole text.
    pub text: Arc<str>,
    /// How it is written.
    pub language: Language,
}

/// Every file read so far; a [`Span`] names one by its number.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
    /// The offset at which each line of each file starts.
    lines: Vec<Vec<u32>>,
}

impl Sources {
    /// Adds a file and returns its number.
    pub fn add(&mut self, source: Source) -> u32 {
        let newlines = source
            .text
            .bytes()
            .zip(1..)
            .filter(|(b, _)| *b == b'\n')
            .map(|(_, next)| next);
        self.lines
            .push(std::iter::once(0).chain(newlines).collect());
        self.files.push(source);
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// The file of that number.
    #[must_use]
    pub fn get(&self, file: u32) -> Option<&Source> {
        self.files.get(file as usize)
    }

    /// All files, in the order in which they were read.
    #[must_use]
    pub fn all(&self) -> &[Source] {
        &self.files
    }

    /// The text under a span.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        self.get(span.file)
            .and_then(|s| s.text.get(span.start as usize..span.end as usize))
            .unwrap_or("")
    }

    /// Line and column (both from 1, the column in characters) of a span's start.
    #[must_use]
    pub fn line_column(&self, span: Span) -> (usize, usize) {
        let (Some(source), Some(lines)) = (self.get(span.file), self.lines.get(span.file as usize))
        else {
            return (1, 1);
        };
        let line = lines.partition_point(|start| *start <= span.start);
        let start = lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = source
            .text
            .get(start as usize..span.start as usize)
            .unwrap_or("");
        (line, before.chars().count() + 1)
    }
}

/// Reads a scenario file: bounded in size, UTF-8, without NUL bytes. `at` is the place that asked
/// for it (an include), if there is one.
///
/// # Errors
/// A diagnostic that says what is wrong with the file and what to do about it.
pub fn read(path: &Path, name: &str, at: Option<Span>) -> Result<Source, Box<Diag>> {
    let fail = |code, message: String, help: String| {
        Box::new(
            Diag::error(code, message)
                .label_opt(at, "read because of this")
                .help(help),
        )
    };
    let Some(language) = Language::of_path(path) else {
        return Err(fail(
            codes::UNKNOWN_LANGUAGE,
            format!("`{name}` is neither a .kdl nor a .toml file"),
            "a scenario's language is chosen by its extension: name it `.kdl` or `.toml`".into(),
        ));
    };
    let bytes = read_bytes(path, name, &fail)?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let valid = e.utf8_error().valid_up_to();
            let line = e.as_bytes()[..valid]
                .iter()
                .filter(|b| **b == b'\n')
                .count()
                + 1;
            return Err(fail(
                codes::NOT_UTF8,
                format!(
                    "`{name}` is not UTF-8: byte {valid} (line {line}) starts no valid character"
                ),
                "save the file as UTF-8".into(),
            ));
        }
    };
    if let Some(at) = text.find('\0') {
        let line = text[..at].matches('\n').count() + 1;
        return Err(fail(
            codes::NUL_BYTE,
            format!("`{name}` contains a NUL byte at offset {at} (line {line})"),
            "a scenario is a text file; is this the right path?".into(),
        ));
    }
    Ok(Source {
        name: name.to_owned(),
        path: path.to_owned(),
        text: text.into(),
        language,
    })
}

fn read_bytes(
    path: &Path,
    name: &str,
    fail: &dyn Fn(&'static codes::Code, String, String) -> Box<Diag>,
) -> Result<Vec<u8>, Box<Diag>> {
    let io = |e: std::io::Error| {
        let (what, help) = match e.raw_os_error() {
            Some(40) => (
                "it is a loop of symbolic links".to_owned(),
                "follow the links with `readlink`, and point one of them at a file",
            ),
            _ if e.kind() == std::io::ErrorKind::NotFound => (
                "there is no such file".to_owned(),
                "check the path; it is relative to the current directory, or to the file that includes it",
            ),
            _ if e.kind() == std::io::ErrorKind::PermissionDenied => (
                "permission denied".to_owned(),
                "check the file's permissions",
            ),
            _ => (e.to_string(), "check the path and the file system"),
        };
        fail(
            codes::UNREADABLE,
            format!("can't read `{name}`: {what}"),
            help.to_owned(),
        )
    };
    // The type is asked first: opening a FIFO would wait for ever.
    let meta = std::fs::metadata(path).map_err(io)?;
    if !meta.is_file() {
        let what = if meta.is_dir() {
            "a directory"
        } else {
            "not a regular file"
        };
        return Err(fail(
            codes::UNREADABLE,
            format!("can't read `{name}`: it is {what}"),
            "give the path of a scenario file".into(),
        ));
    }
    let file = std::fs::File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(fail(
            codes::TOO_LARGE,
            format!("`{name}` is larger than {} MiB", MAX_FILE_BYTES >> 20),
            "a scenario is a small text file; if yours is generated, use `replicas`, \
             selectors and `every` instead of writing everything out"
                .into(),
        ));
    }
    Ok(bytes)
}
