//! The files of the repository, with the tokens of those in Rust.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tokens::{self, Tree};

/// All files, by path.
pub struct Sources {
    files: Vec<File>,
}

/// A file.
pub struct File {
    /// From the repository's folder, with `/`.
    pub path: String,
    /// Nothing, if it is not UTF-8.
    pub text: String,
    /// Nothing, if it is not Rust.
    pub code: Vec<Tree>,
}

impl Sources {
    /// What git knows or would add; without git, everything but what builds and runs leave behind.
    pub fn of_repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .find(|folder| folder.join("CONTRIBUTING.md").is_file())
            .expect("the repository's folder is above the package's");
        let mut paths = by_git(root).unwrap_or_else(|| by_walking(root));
        paths.sort();
        let files = paths.into_iter().filter_map(|path| {
            // What is deleted and not yet committed, git still names.
            let bytes = std::fs::read(root.join(&path)).ok()?;
            Some(File::new(
                path,
                String::from_utf8(bytes).unwrap_or_default(),
            ))
        });
        Self {
            files: files.collect(),
        }
    }

    /// Made-up files for a test of a rule: paths and texts.
    pub fn sample(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| File::new(path.to_string(), text.to_string()));
        Self {
            files: files.collect(),
        }
    }

    /// All files in the order of their paths.
    pub fn all(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// The files in Rust.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    /// The files in Rust in a folder, and in the folders in it.
    pub fn rust_in<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a File> {
        self.rust()
            .filter(move |file| Path::new(&file.path).starts_with(folder))
    }

    /// The file with a path.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl File {
    fn new(path: String, text: String) -> Self {
        let code = if path.ends_with(".rs") {
            tokens::read(&text).unwrap_or_else(|problem| panic!("{path}: {problem}"))
        } else {
            Vec::new()
        };
        Self { path, text, code }
    }

    /// Whether it is in Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the name or a folder says that it is tests or benches.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self
                .path
                .split('/')
                .any(|part| ["tests", "benches"].contains(&part))
    }
}

fn by_git(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split_terminator('\0').map(str::to_owned).collect())
}

fn by_walking(root: &Path) -> Vec<String> {
    const LEFT_BEHIND: [&str; 4] = [".git", "target", "chaosrun-out", "corpus"];
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root.join(&folder)).expect("the sources can be listed");
        for entry in entries {
            let entry = entry.expect("the sources can be listed");
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().expect("the sources can be listed");
            if kind.is_file() {
                found.extend(path.to_str().map(str::to_owned));
            } else if kind.is_dir() && !LEFT_BEHIND.iter().any(|name| entry.file_name() == *name) {
                folders.push(path);
            }
        }
    }
    found
}

#[test]
fn without_git_the_same_rust_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = by_walking(&root);
    assert!(found.contains(&"lib.rs".to_owned()), "{found:?}");
    let Some(mut known) = by_git(&root) else {
        return;
    };
    known.retain(|path| root.join(path).exists());
    found.sort();
    known.sort();
    assert_eq!(found, known);
}
