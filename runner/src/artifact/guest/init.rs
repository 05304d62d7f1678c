//! chaosrun-init, the first process of guests.
//!
//! Its sources, those of the protocol, and the lock file are part of this program (`build.rs` collects
//! them), so that an installed chaosrun needs no checkout, and init is always the one that fits. They
//! are unpacked into the cache and built there like any crate, once.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use toml::Value;

use super::{Crate, build};
use crate::artifact::Store;
use crate::artifact::error::ArtifactError;

/// `FILES`: paths within the project, with contents.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/init_sources.rs"));
}

/// The folders of the packages, of which the first is init.
const PACKAGES: &[&str] = &["guests/init", "sdk", "sdk/protocol"];

/// Returns the executable of chaosrun-init, built if the cache does not have it.
///
/// # Errors
/// cargo is missing or fails.
pub fn init(store: &Store) -> Result<Vec<u8>, ArtifactError> {
    let folder = unpack(store)?;
    build(
        store,
        &Crate {
            folder: folder.join(PACKAGES[0]),
            source: None,
            bin: "chaosrun-init".to_owned(),
            features: Vec::new(),
        },
    )
}

/// Puts the sources into a folder of the cache that is named by their hash.
fn unpack(store: &Store) -> Result<PathBuf, ArtifactError> {
    let files: Vec<(&str, Vec<u8>)> = embedded::FILES
        .iter()
        .map(|(path, content)| match *path {
            "Cargo.toml" => (*path, workspace(content).into_bytes()),
            _ => (*path, content.to_vec()),
        })
        .collect();
    let mut hasher = blake3::Hasher::new();
    for (path, content) in &files {
        for part in [path.as_bytes(), content] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    let folder = store
        .directory("build")?
        .join(format!("init-{:.16}", hasher.finalize().to_hex()));
    // Written file by file, each complete: another process may be building from the same folder.
    for (path, content) in &files {
        let path = folder.join(path);
        if fs::read(&path).ok().as_ref() != Some(content) {
            write(&path, content).map_err(ArtifactError::io("write", &path))?;
        }
    }
    Ok(folder)
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}

/// The project's manifest with only the packages that are there.
fn workspace(manifest: &[u8]) -> String {
    let text = String::from_utf8_lossy(manifest);
    let mut table: toml::Table = toml::from_str(&text).unwrap_or_default();
    // Dependencies on packages that are not there, and settings for them.
    let kept: BTreeSet<&str> = PACKAGES.iter().copied().collect();
    if let Some(workspace) = table.get_mut("workspace").and_then(Value::as_table_mut) {
        let members = PACKAGES.iter().map(|p| Value::from(*p)).collect();
        workspace.insert("members".to_owned(), Value::Array(members));
        if let Some(dependencies) = workspace
            .get_mut("dependencies")
            .and_then(Value::as_table_mut)
        {
            dependencies.retain(|_, value| {
                value
                    .get("path")
                    .and_then(Value::as_str)
                    .is_none_or(|path| kept.contains(path))
            });
        }
    }
    if let Some(profiles) = table.get_mut("profile").and_then(Value::as_table_mut) {
        profiles.retain(|name, _| name == "release");
    }
    toml::to_string(&table).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_of_init_are_complete() {
        let paths: Vec<&str> = embedded::FILES.iter().map(|(path, _)| *path).collect();
        for wanted in [
            "Cargo.toml",
            "Cargo.lock",
            "guests/init/src/main.rs",
            "sdk/protocol/src/lib.rs",
        ] {
            assert!(paths.contains(&wanted), "{paths:?}");
        }
        assert!(paths.is_sorted());
    }

    #[test]
    fn the_manifest_names_only_what_is_there() {
        let manifest = embedded::FILES
            .iter()
            .find(|(path, _)| *path == "Cargo.toml")
            .unwrap();
        let text = workspace(manifest.1);
        let table: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(
            table["workspace"]["members"].as_array().unwrap().len(),
            PACKAGES.len()
        );
        assert!(!text.contains("vmm"), "{text}");
        assert!(table["workspace"]["package"]["edition"].is_str());
    }
}
