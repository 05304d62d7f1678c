//! The files that a command line names: scenarios, and folders of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

use super::{Exit, Failure, OrExit};

/// The deepest folder that is searched.
const MAX_DEPTH: usize = 16;

/// A file that may be a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its path, as it was given or found.
    pub path: PathBuf,
    /// Whether it was found in a folder, and may be a fragment that others include.
    pub in_folder: bool,
}

#[derive(Debug, Error, Diagnostic)]
enum FilesError {
    #[error("can't read `{}`: {source}", path.display())]
    #[diagnostic(
        code(chaosrun::files::unreadable),
        help("give a scenario file or a folder of them")
    )]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("there is no scenario in {folders}")]
    #[diagnostic(
        code(chaosrun::files::none),
        help(
            "scenarios are files whose names end in `.kdl` or `.toml`, there or in folders below"
        )
    )]
    None { folders: String },
}

/// Whether a path is that of a folder.
pub(super) fn is_folder(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_dir())
}

/// The files among `paths` in their order, and in place of each folder the scenario files in it and below,
/// sorted by path; each file once.
///
/// # Errors
/// A folder can't be read, or nothing is found.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<Found>, Failure> {
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    for path in paths {
        let in_folder = is_folder(path);
        let found = match in_folder {
            true => search(path).or_exit(Exit::Usage)?,
            // Whether it is there, its reader says.
            false => BTreeSet::from([path.clone()]),
        };
        for path in found {
            let identity = path.canonicalize().unwrap_or_else(|_| path.clone());
            if seen.insert(identity) {
                all.push(Found { path, in_folder });
            }
        }
    }
    if all.is_empty() {
        let folders: Vec<String> = paths.iter().map(|p| format!("`{}`", p.display())).collect();
        let folders = folders.join(", ");
        return Err(FilesError::None { folders }).or_exit(Exit::NothingSelected);
    }
    Ok(all)
}

/// Makes sure that each path leads to something.
///
/// # Errors
/// One does not.
pub(super) fn exist(paths: &[PathBuf]) -> Result<(), Failure> {
    for path in paths {
        std::fs::metadata(path)
            .map_err(|source| FilesError::Unreadable {
                path: path.clone(),
                source,
            })
            .or_exit(Exit::Usage)?;
    }
    Ok(())
}

/// The scenario files in a folder. A link to a folder is not followed, so that no search can go round in
/// circles.
fn search(folder: &Path) -> Result<BTreeSet<PathBuf>, FilesError> {
    let mut found = BTreeSet::new();
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let unreadable = |source| FilesError::Unreadable {
            path: folder.clone(),
            source,
        };
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(unreadable)?);
            let scenario = path.extension().is_some_and(|e| e == "kdl" || e == "toml");
            if kind.is_dir() && depth < MAX_DEPTH {
                open.push((path, depth + 1));
            } else if !kind.is_dir() && scenario {
                found.insert(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_in_order_and_each_file_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("b/deep")).unwrap();
        for name in ["z.kdl", "a.toml", "b/deep/c.kdl", "b/x.txt", "b/a.kdl"] {
            std::fs::write(at(name), "").unwrap();
        }
        let found = find(&[at("z.kdl"), folder.path().to_owned()]).unwrap();
        let found: Vec<(PathBuf, bool)> =
            found.into_iter().map(|f| (f.path, f.in_folder)).collect();
        let wanted = [
            (at("z.kdl"), false),
            (at("a.toml"), true),
            (at("b/a.kdl"), true),
            (at("b/deep/c.kdl"), true),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn nothing_in_a_folder_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let failure = find(&[folder.path().to_owned()]).unwrap_err();
        assert_eq!(failure.exit, Exit::NothingSelected);
        assert!(
            failure
                .report
                .to_string()
                .contains("there is no scenario in")
        );
    }
}
