//! Debian packages as a file system tree, unpacked without root and without being installed.
//!
//! The tree has the named packages and the libraries and data that they depend on. What only serves
//! installation or a whole distribution is left out: packages of the base system (priority `required`
//! or `important`, if they are not libraries), which a guest that needs them names itself, and
//! documentation, translations and the like. No maintainer script runs; so there are no users
//! besides root, and no file that such a script would make.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::apt::{self, Stanza};
use super::error::ArtifactError;
use super::tree::{Detail, hash_tree};
use super::{Product, Store, Workshop, debian};
use chaosrun_language::plan::model::Artifact;
use chaosrun_language::plan::name_problem;

/// What no program under test needs, but each node would have to unpack.
const LEFT_OUT: &[&str] = &[
    "etc/init.d",
    "usr/lib/systemd",
    "usr/lib/x86_64-linux-gnu/audit",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/share/bash-completion",
    "usr/share/bug",
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
    "usr/share/zsh",
];

/// The directories that are links into `usr` on every Debian system since 2023.
const MERGED: &[&str] = &["bin", "lib", "lib64", "sbin"];

/// A tree of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packages {
    /// The tree.
    pub path: PathBuf,
    /// BLAKE3 of the tree as plans have it, in hexadecimal digits.
    pub hash: String,
    /// The sum of the lengths of its files.
    pub bytes: u64,
    /// What is in it: `name version`, sorted.
    pub versions: Vec<String>,
}

/// The hash of how the tree is made.
#[must_use]
pub fn recipe(names: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    let names = sorted(names);
    let parts = ["debian packages 2"]
        .into_iter()
        .chain(LEFT_OUT.iter().copied());
    for part in parts.chain(names.iter().map(String::as_str)) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The tree of these packages and what they depend on, fetched if the cache does not have it.
///
/// # Errors
/// A name is malformed, the packages cannot be fetched, or the tree in the cache was changed.
pub fn tree(store: &Store, names: &[String]) -> Result<Packages, ArtifactError> {
    for name in names {
        if let Some(why) = name_problem(name) {
            return Err(ArtifactError::BadPackageName {
                name: name.clone(),
                why,
            });
        }
    }
    let recipe = recipe(names);
    let make = |workshop: &Workshop<'_>| fetch(&sorted(names), workshop);
    let listing = store.obtain(&cache_name(&recipe), &recipe, &make)?;
    read(store, &listing)
}

/// The tree of these packages, if the cache has it.
///
/// # Errors
/// The cache cannot be read.
pub fn cached(store: &Store, names: &[String]) -> Result<Option<Packages>, ArtifactError> {
    let recipe = recipe(names);
    match store.obtained(&cache_name(&recipe), &recipe)? {
        Some(listing) => read(store, &listing).map(Some),
        None => Ok(None),
    }
}

/// The path of the tree that a plan names, fetched if need be.
///
/// # Errors
/// It is not available, or is another one than when the plan was made.
pub(super) fn verified(
    store: &Store,
    names: &[String],
    wanted: &Artifact,
) -> Result<PathBuf, ArtifactError> {
    let found = tree(store, names)?;
    let now = hash_tree(&found.path, Detail::FileSystem, &|_| true).map(|(hash, _)| hash);
    let same = match wanted {
        Artifact::Content { blake3, .. } => *blake3 == found.hash,
        Artifact::Recipe { blake3, .. } => *blake3 == recipe(names),
    };
    if same && now.as_ref() == Ok(&found.hash) {
        return Ok(found.path);
    }
    Err(ArtifactError::Changed { path: found.path })
}

fn cache_name(recipe: &str) -> String {
    format!("packages-{recipe:.16}")
}

fn sorted(names: &[String]) -> Vec<String> {
    let set: BTreeSet<&String> = names.iter().collect();
    set.into_iter().cloned().collect()
}

/// Reads the listing that stands for a tree in the cache: the tree's hash and size in the first line,
/// then the packages.
fn read(store: &Store, listing: &Path) -> Result<Packages, ArtifactError> {
    let text = fs::read_to_string(listing).map_err(ArtifactError::io("read", listing))?;
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let hash = first.next().unwrap_or_default().to_owned();
    let bytes = first.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Ok(Packages {
        path: store.tree_beside(listing),
        hash,
        bytes,
        versions: lines.map(ToOwned::to_owned).collect(),
    })
}

fn fetch(names: &[String], workshop: &Workshop<'_>) -> Result<Product, ArtifactError> {
    let files = workshop.scratch.join("packages");
    fs::create_dir(&files).map_err(ArtifactError::io("create", &files))?;
    let stanzas = apt::download_with_dependencies(
        names,
        |all| needed(names, all),
        workshop.apt,
        &files,
        workshop.progress,
    )?;
    let root = workshop.scratch.join("root");
    let mut downloaded = apt::packages_in(&files);
    downloaded.sort();
    for package in &downloaded {
        debian::unpack(package, &root, workshop)?;
    }
    merge_usr(&root).map_err(ArtifactError::io("arrange", &root))?;
    for part in LEFT_OUT {
        remove(&root.join(part))?;
    }
    let (hash, bytes) = hash_tree(&root, Detail::FileSystem, &|_| true).map_err(|problem| {
        ArtifactError::io("read", &root)(io::Error::other(problem.to_string()))
    })?;
    let mut listing = format!("{hash} {bytes}\n");
    for stanza in &stanzas {
        listing += &format!("{} {}\n", stanza.package, stanza.version);
    }
    let file = workshop.scratch.join("listing");
    fs::write(&file, listing).map_err(ArtifactError::io("write", &file))?;
    Ok(Product {
        file,
        version: names.join(" "),
        tree: Some(root),
    })
}

/// Of all packages that apt would install, those that the named ones need while they run.
fn needed(names: &[String], all: Vec<Stanza>) -> Vec<Stanza> {
    let named: BTreeSet<&str> = names.iter().filter_map(|n| n.split('=').next()).collect();
    let mut by_name: BTreeMap<&str, &Stanza> = BTreeMap::new();
    for stanza in &all {
        for provided in relations(&stanza.provides).into_iter().flatten() {
            by_name.entry(provided).or_insert(stanza);
        }
    }
    by_name.extend(all.iter().map(|stanza| (stanza.package.as_str(), stanza)));
    let mut found = BTreeSet::new();
    let mut pending: Vec<&str> = named.iter().copied().collect();
    while let Some(name) = pending.pop() {
        let Some(stanza) = by_name.get(name) else {
            continue;
        };
        let base = matches!(stanza.priority.as_str(), "required" | "important")
            && stanza.section != "libs"
            && !named.contains(stanza.package.as_str());
        if base || !found.insert(stanza.package.clone()) {
            continue;
        }
        for alternatives in relations(&stanza.depends) {
            // apt has chosen one of the alternatives, so only that is among all packages.
            pending.extend(
                alternatives
                    .into_iter()
                    .find(|name| by_name.contains_key(name)),
            );
        }
    }
    all.into_iter()
        .filter(|stanza| found.contains(&stanza.package))
        .collect()
}

/// The name at the start of one relation.
fn relation(text: &str) -> Option<&str> {
    let text = text.trim();
    let end = text.find([' ', '(', ':']).unwrap_or(text.len());
    text.get(..end).filter(|name| !name.is_empty())
}

/// The names in a field such as `a (>= 1), b | c:any`, of which each entry has alternatives.
fn relations(field: &str) -> Vec<Vec<&str>> {
    field
        .split(',')
        .map(|entry| entry.split('|').filter_map(relation).collect())
        .filter(|alternatives: &Vec<&str>| !alternatives.is_empty())
        .collect()
}

/// Moves what packages have in `/bin`, `/lib` and so on to `/usr`, and makes links of those.
fn merge_usr(root: &Path) -> io::Result<()> {
    for name in MERGED {
        let (old, new) = (root.join(name), root.join("usr").join(name));
        if fs::symlink_metadata(&old).is_ok_and(|data| data.is_dir()) {
            move_into(&old, &new)?;
        }
        if new.is_dir() && fs::symlink_metadata(&old).is_err() {
            std::os::unix::fs::symlink(format!("usr/{name}"), &old)?;
        }
    }
    Ok(())
}

/// Moves a directory to where there may be one already. What both have stays as it was there.
pub(super) fn move_into(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let exists = fs::symlink_metadata(&target);
        if entry.file_type()?.is_dir() && exists.as_ref().is_ok_and(|data| data.is_dir()) {
            move_into(&entry.path(), &target)?;
        } else if exists.is_err() {
            fs::rename(entry.path(), &target)?;
        }
    }
    fs::remove_dir_all(from)
}

fn remove(path: &Path) -> Result<(), ArtifactError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ArtifactError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(package: &str, depends: &str, priority: &str, section: &str) -> Stanza {
        Stanza {
            package: package.into(),
            version: "1".into(),
            depends: depends.into(),
            provides: if package == "mawk" {
                "awk".into()
            } else {
                String::new()
            },
            section: section.into(),
            priority: priority.into(),
            size: 1,
        }
    }

    fn all() -> Vec<Stanza> {
        vec![
            stanza(
                "server",
                "libc6 (>= 2), adduser, other | tools:any, awk",
                "optional",
                "net",
            ),
            stanza("tools", "server", "optional", "net"),
            stanza("libc6", "libgcc (= 1)", "required", "libs"),
            stanza("libgcc", "", "optional", "libs"),
            stanza("adduser", "perl", "important", "admin"),
            stanza("perl", "", "optional", "perl"),
            stanza("mawk", "", "optional", "utils"),
        ]
    }

    fn chosen(names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        needed(&names, all())
            .into_iter()
            .map(|s| s.package)
            .collect()
    }

    #[test]
    fn the_base_system_is_left_out_with_what_only_it_needs() {
        assert_eq!(
            chosen(&["server"]),
            ["server", "tools", "libc6", "libgcc", "mawk"]
        );
    }

    #[test]
    fn a_named_package_of_the_base_system_is_taken() {
        assert_eq!(chosen(&["adduser=1"]), ["adduser", "perl"]);
    }

    #[test]
    fn the_order_of_names_does_not_matter() {
        let recipe = |names: &[&str]| {
            super::recipe(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(recipe(&["ab", "cd"]), recipe(&["cd", "ab", "ab"]));
        assert_ne!(recipe(&["ab", "cd"]), recipe(&["ab"]));
    }

    #[test]
    fn both_layouts_become_the_merged_one() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("lib/x86_64-linux-gnu/a", "old");
        put("usr/lib/x86_64-linux-gnu/b", "new");
        put("usr/bin/tool", "t");
        merge_usr(root.path()).unwrap();
        let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        assert_eq!(read("usr/lib/x86_64-linux-gnu/a"), "old");
        assert_eq!(read("lib/x86_64-linux-gnu/b"), "new");
        assert_eq!(read("bin/tool"), "t");
        assert!(!root.path().join("sbin").exists());
    }
}
