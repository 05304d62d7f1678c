//! The real files of this host, as plans want to know them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use chaosrun_language::plan::artifacts::{Artifacts, Package, Problem, unmade_kernel};
use chaosrun_language::plan::model::Artifact;

use super::guest::sources;
use super::tree::{Detail, hash_tree};
use super::{Progress, Store, disk_image, kernel_recipe, packages};

/// The real files of this host.
#[derive(Debug, Default)]
pub struct HostFiles {
    /// Kernels that have been fetched or built: hash and size of their content.
    pub kernels: BTreeMap<String, (String, u64)>,
    /// Only looks whether files are there, and gives every file the same hash: for `check`, which
    /// must be fast with disk images of gigabytes.
    pub presence_only: bool,
}

impl Artifacts for HostFiles {
    fn kernel(&self, name: &str) -> Result<Artifact, Problem> {
        if let Some((blake3, size_bytes)) = self.kernels.get(name) {
            return Ok(Artifact::Content {
                blake3: blake3.clone(),
                size_bytes: *size_bytes,
            });
        }
        unmade_kernel(name, kernel_recipe(name))
    }

    fn file(&self, path: &Path) -> Result<Artifact, Problem> {
        let meta = std::fs::metadata(path).map_err(|e| Problem::Missing(reason(&e)))?;
        if !meta.is_file() {
            return Err(Problem::Wrong("it is not a file".into()));
        }
        if self.presence_only {
            std::fs::File::open(path).map_err(|e| Problem::Missing(reason(&e)))?;
            return Ok(Artifact::Content {
                blake3: String::new(),
                size_bytes: meta.len(),
            });
        }
        let (hash, size_bytes) = hash_file(path).map_err(|e| Problem::Missing(reason(&e)))?;
        Ok(Artifact::Content {
            blake3: hash.to_hex().to_string(),
            size_bytes,
        })
    }

    fn disk(&self, path: &Path) -> Result<Artifact, Problem> {
        if self.presence_only {
            return self.file(path);
        }
        let (blake3, size_bytes) = match std::fs::metadata(path) {
            Ok(meta) if !meta.is_file() => return Err(Problem::Wrong("it is not a file".into())),
            _ => disk_image::hash_known(path).map_err(|e| Problem::Missing(reason(&e)))?,
        };
        Ok(Artifact::Content { blake3, size_bytes })
    }

    fn tree(&self, path: &Path) -> Result<Artifact, Problem> {
        if !path.is_dir() {
            return Err(match std::fs::metadata(path) {
                Ok(_) => Problem::Wrong("it is not a directory".into()),
                Err(e) => Problem::Missing(reason(&e)),
            });
        }
        let (blake3, size_bytes) = if self.presence_only {
            (String::new(), 0)
        } else {
            hash_tree(path, Detail::FileSystem, &|_| true)?
        };
        Ok(Artifact::Content { blake3, size_bytes })
    }

    fn packages(&self, names: &[String]) -> Result<Artifact, Problem> {
        // Without a cache nothing is in it; planning needs none.
        let cached =
            Store::open(Progress::Silent).and_then(|store| packages::cached(&store, names));
        match cached {
            Ok(Some(known)) if !self.presence_only => Ok(Artifact::Content {
                blake3: known.hash,
                size_bytes: known.bytes,
            }),
            _ => Ok(Artifact::Recipe {
                name: names.join(" "),
                blake3: packages::recipe(names),
            }),
        }
    }

    fn package(&self, path: &Path) -> Result<Package, Problem> {
        let sources = sources::sources(path, !self.presence_only)?;
        Ok(Package {
            source: Artifact::Recipe {
                name: sources.name.clone(),
                blake3: sources.blake3,
            },
            name: sources.name,
            bin: sources.bin,
        })
    }
}

pub(super) fn reason(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::NotFound => "there is nothing at this path".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => e.to_string(),
    }
}

pub(super) fn hash_file(path: &Path) -> std::io::Result<(blake3::Hash, u64)> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hasher.finalize(), hasher.count())),
            n => hasher.update(&buffer[..n]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_or_something_else_is_told() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let there = folder.path();
        let gone = there.join("gone");
        let missing = || Problem::Missing("there is nothing at this path".into());
        for presence_only in [true, false] {
            let host = HostFiles {
                presence_only,
                ..HostFiles::default()
            };
            for path in [host.file(&gone), host.disk(&gone), host.tree(&gone)] {
                assert_eq!(path, Err(missing()));
            }
            assert_eq!(host.package(&gone), Err(missing()));
            let no_file = Problem::Wrong("it is not a file".into());
            assert_eq!(host.file(there), Err(no_file.clone()));
            assert_eq!(host.disk(there), Err(no_file));
            let no_package = "its Cargo.toml can't be read: there is nothing at this path";
            assert_eq!(host.package(there), Err(Problem::Wrong(no_package.into())));
            assert!(host.tree(there).is_ok());
        }
    }
}
