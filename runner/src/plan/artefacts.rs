//! Where a plan gets the hashes of files from.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::kernel::KernelChoice;
use super::model::Artefact;
use super::package;
use super::tree::{Detail, hash_tree};
use crate::artifact::{Progress, Store, disk_image, packages};

/// Why a file has no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not there or can't be read.
    #[error("{0}")]
    Missing(String),
    /// It is something else than was wanted.
    #[error("{0}")]
    Wrong(String),
}

/// A cargo package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The binary that is meant if none is named.
    pub bin: String,
    /// Its sources, with those of the crates beside it that it depends on.
    pub source: Artefact,
}

/// Tells what files and kernels are. Plans are tested without any.
pub trait Artefacts {
    /// A kernel that chaosrun knows by name; others of Debian's as [`KernelChoice::name`] has them.
    ///
    /// # Errors
    /// The name is unknown.
    fn kernel(&self, name: &str) -> Result<Artefact, Problem>;

    /// A file.
    ///
    /// # Errors
    /// It can't be read.
    fn file(&self, path: &Path) -> Result<Artefact, Problem>;

    /// A disk image, whose hash is that of [`crate::artifact::disk_image`].
    ///
    /// # Errors
    /// It can't be read.
    fn disk(&self, path: &Path) -> Result<Artefact, Problem> {
        self.file(path)
    }

    /// A directory tree.
    ///
    /// # Errors
    /// It can't be read.
    fn tree(&self, path: &Path) -> Result<Artefact, Problem>;

    /// The tree of Debian packages, which are sorted and well-formed names.
    ///
    /// # Errors
    /// What is known of it can't be read.
    fn packages(&self, names: &[String]) -> Result<Artefact, Problem>;

    /// A cargo crate.
    ///
    /// # Errors
    /// It can't be read, or is none.
    fn package(&self, path: &Path) -> Result<Package, Problem>;

    /// The messages of the SDK assertions of a guest, if it has been built and they are known.
    fn assertions(&self, _package: &Path) -> Option<Vec<String>> {
        None
    }
}

/// Kernels that chaosrun knows by name.
pub const KERNELS: &[&str] = &["debian", "tiny", "tiny-kcov", "tiny-kvm"];

/// The real files of this host.
#[derive(Debug, Default)]
pub struct HostFiles {
    /// Kernels that have been fetched or built: hash and size of their content.
    pub kernels: BTreeMap<String, (String, u64)>,
    /// Only looks whether files are there, and gives every file the same hash: for `check`, which
    /// must be fast with disk images of gigabytes.
    pub presence_only: bool,
}

impl Artefacts for HostFiles {
    fn kernel(&self, name: &str) -> Result<Artefact, Problem> {
        if let Some((blake3, size_bytes)) = self.kernels.get(name) {
            return Ok(Artefact::Content {
                blake3: blake3.clone(),
                size_bytes: *size_bytes,
            });
        }
        unmade_kernel(name, crate::artifact::kernel_recipe(name))
    }

    fn file(&self, path: &Path) -> Result<Artefact, Problem> {
        let meta = std::fs::metadata(path).map_err(|e| Problem::Missing(reason(&e)))?;
        if !meta.is_file() {
            return Err(Problem::Wrong("it is not a file".into()));
        }
        if self.presence_only {
            std::fs::File::open(path).map_err(|e| Problem::Missing(reason(&e)))?;
            return Ok(Artefact::Content {
                blake3: String::new(),
                size_bytes: meta.len(),
            });
        }
        let (hash, size_bytes) = hash_file(path).map_err(|e| Problem::Missing(reason(&e)))?;
        Ok(Artefact::Content {
            blake3: hash.to_hex().to_string(),
            size_bytes,
        })
    }

    fn disk(&self, path: &Path) -> Result<Artefact, Problem> {
        if self.presence_only {
            return self.file(path);
        }
        let (blake3, size_bytes) = match std::fs::metadata(path) {
            Ok(meta) if !meta.is_file() => return Err(Problem::Wrong("it is not a file".into())),
            _ => disk_image::hash_known(path).map_err(|e| Problem::Missing(reason(&e)))?,
        };
        Ok(Artefact::Content { blake3, size_bytes })
    }

    fn tree(&self, path: &Path) -> Result<Artefact, Problem> {
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
        Ok(Artefact::Content { blake3, size_bytes })
    }

    fn packages(&self, names: &[String]) -> Result<Artefact, Problem> {
        // Without a cache nothing is in it; planning needs none.
        let cached =
            Store::open(Progress::Silent).and_then(|store| packages::cached(&store, names));
        match cached {
            Ok(Some(known)) if !self.presence_only => Ok(Artefact::Content {
                blake3: known.hash,
                size_bytes: known.bytes,
            }),
            _ => Ok(Artefact::Recipe {
                name: names.join(" "),
                blake3: packages::recipe(names),
            }),
        }
    }

    fn package(&self, path: &Path) -> Result<Package, Problem> {
        let sources = package::sources(path, !self.presence_only)?;
        Ok(Package {
            source: Artefact::Recipe {
                name: sources.name.clone(),
                blake3: sources.blake3,
            },
            name: sources.name,
            bin: sources.bin,
        })
    }
}

/// A named kernel that has not been fetched: named by how it is made.
fn unmade_kernel(name: &str, recipe: Option<String>) -> Result<Artefact, Problem> {
    match recipe {
        Some(blake3) if KERNELS.contains(&name) || is_choice(name) => Ok(Artefact::Recipe {
            name: name.to_owned(),
            blake3,
        }),
        _ => Err(Problem::Missing(format!(
            "there is no kernel of the name `{name}`"
        ))),
    }
}

/// Whether a name is one of Debian's kernels, current or not.
fn is_choice(name: &str) -> bool {
    matches!(KernelChoice::parse(name), Some(Ok(_)))
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

/// No files at all: every path exists, and its hash is that of its name. For tests and for texts
/// whose files are elsewhere.
#[derive(Debug, Default)]
pub struct NamesOnly;

impl Artefacts for NamesOnly {
    fn kernel(&self, name: &str) -> Result<Artefact, Problem> {
        // Not the recipe, so that plans that are compared do not change with it.
        let recipe = blake3::hash(format!("chaosrun kernel 1\0{name}").as_bytes());
        unmade_kernel(name, Some(recipe.to_hex().to_string()))
    }

    fn file(&self, path: &Path) -> Result<Artefact, Problem> {
        let blake3 = blake3::hash(path.as_os_str().as_encoded_bytes())
            .to_hex()
            .to_string();
        Ok(Artefact::Content {
            blake3,
            size_bytes: 1 << 20,
        })
    }

    fn tree(&self, path: &Path) -> Result<Artefact, Problem> {
        self.file(path)
    }

    fn packages(&self, names: &[String]) -> Result<Artefact, Problem> {
        let name = names.join(" ");
        Ok(Artefact::Recipe {
            blake3: blake3::hash(name.as_bytes()).to_hex().to_string(),
            name,
        })
    }

    fn package(&self, path: &Path) -> Result<Package, Problem> {
        let name = path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let blake3 = self.file(path)?.hash().to_owned();
        Ok(Package {
            source: Artefact::Recipe {
                name: name.clone(),
                blake3,
            },
            bin: name.clone(),
            name,
        })
    }
}
