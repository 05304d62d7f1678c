//! The programs of guests: crates that chaosrun builds, executables that must fit the node, and the
//! commands of directory trees.

use std::fs;
use std::path::PathBuf;

use super::Store;
use super::error::ArtifactError;

mod cargo;
mod init;
pub(super) mod sources;

#[cfg(test)]
mod tests;

pub use init::init;

/// A program that cargo builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crate {
    /// The package's folder.
    pub folder: PathBuf,
    /// The hash of its sources that the plan has; none takes them as they are.
    pub source: Option<String>,
    /// Which of its binaries.
    pub bin: String,
    /// Cargo features.
    pub features: Vec<String>,
}

/// Returns the executable of a crate: static, without symbols, the same bytes wherever the project
/// is. It is built if the cache does not have it for these sources and this compiler.
///
/// # Errors
/// The sources are not those of the plan, cargo is missing, or it fails; its messages are in the error.
pub fn build(store: &Store, wanted: &Crate) -> Result<Vec<u8>, ArtifactError> {
    let built = cargo::Build::new(wanted)?;
    let path = store.obtain(&built.name(), &built.recipe()?, &|workshop| {
        built.run(workshop)
    })?;
    fs::read(&path).map_err(ArtifactError::io("read", &path))
}

/// Makes sure that Linux can start the program of a guest: that it is for x86-64, and that what it
/// is interpreted by, if anything, is in the guest's file system, which `has` tells.
///
/// # Errors
/// It is no such program.
pub(super) fn check_program(
    guest: &str,
    program: &[u8],
    has: impl Fn(&str) -> bool,
) -> Result<(), ArtifactError> {
    let bad = |why: String| {
        Err(ArtifactError::BadProgram {
            guest: guest.to_owned(),
            why,
        })
    };
    let interpreter = match interpreter(program) {
        Ok(None) => return Ok(()),
        Ok(Some(interpreter)) => interpreter,
        Err(why) => return bad(why.to_owned()),
    };
    if has(&interpreter) {
        return Ok(());
    }
    bad(format!(
        "it is started by `{interpreter}`, which is not in the guest's file system"
    ))
}

/// What a program is started by: none for a static executable, the first word behind `#!` for
/// a script, and the program header PT_INTERP for a dynamically linked one (ELF-64).
fn interpreter(program: &[u8]) -> Result<Option<String>, &'static str> {
    const EM_X86_64: u64 = 62;
    const PT_INTERP: u64 = 3;
    if let Some(line) = program.strip_prefix(b"#!") {
        let line = String::from_utf8_lossy(&line[..line.len().min(256)]).into_owned();
        let line = line.lines().next().unwrap_or_default();
        return match line.split_whitespace().next() {
            Some(word) => Ok(Some(word.to_owned())),
            None => Err("its first line names no interpreter"),
        };
    }
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return Err("it is neither a 64-bit ELF file nor a script");
    }
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = program.get(at..at.checked_add(length)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |all, &byte| all << 8 | u64::from(byte)),
        )
    };
    if number(0x12, 2) != Some(EM_X86_64) {
        return Err("it is for another processor than x86-64");
    }
    let find = || -> Option<Option<String>> {
        let table = usize::try_from(number(0x20, 8)?).ok()?;
        let (size, count) = (number(0x36, 2)? as usize, number(0x38, 2)? as usize);
        for index in 0..count {
            let at = table.checked_add(index * size)?;
            if number(at, 4)? != PT_INTERP {
                continue;
            }
            let offset = usize::try_from(number(at.checked_add(8)?, 8)?).ok()?;
            let length = usize::try_from(number(at.checked_add(32)?, 8)?).ok()?;
            let text = program.get(offset..offset.checked_add(length)?)?;
            let text = text.split(|&byte| byte == 0).next()?;
            return Some(Some(String::from_utf8_lossy(text).into_owned()));
        }
        Some(None)
    };
    find().ok_or("its ELF headers are damaged")
}

/// Where a program is looked for that is named without a path.
const SEARCH: &[&str] = &[
    "usr/local/sbin",
    "usr/local/bin",
    "usr/sbin",
    "usr/bin",
    "sbin",
    "bin",
];

/// The command of a directory tree, with the program's path made absolute.
///
/// # Errors
/// There is no command, or no such program in the tree.
pub(super) fn tree_command(
    guest: &str,
    command: &[String],
    has: impl Fn(&str) -> bool,
) -> Result<Vec<String>, ArtifactError> {
    let bad = |why: String| {
        Err(ArtifactError::NoCommand {
            guest: guest.to_owned(),
            why,
        })
    };
    let Some((program, rest)) = command.split_first() else {
        return bad("it has no `command`".to_owned());
    };
    let path = if program.contains('/') {
        // Links on the way are the guest's to follow, so a path is not looked for here.
        format!("/{}", program.trim_start_matches('/'))
    } else {
        let places = SEARCH.iter().map(|place| format!("/{place}/{program}"));
        match places.into_iter().find(|path| has(path)) {
            Some(path) => path,
            None => return bad(format!("the tree has no program `{program}`")),
        }
    };
    Ok(std::iter::once(path).chain(rest.iter().cloned()).collect())
}
