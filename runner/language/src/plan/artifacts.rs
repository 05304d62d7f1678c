//! Where a plan gets the hashes of files from.

use std::path::Path;

use super::kernel::KernelChoice;
use super::model::Artifact;

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
    pub source: Artifact,
}

/// Tells what files and kernels are. Plans are tested without any.
pub trait Artifacts {
    /// A kernel that chaosrun knows by name; others of Debian's as [`KernelChoice::name`] has them.
    ///
    /// # Errors
    /// The name is unknown.
    fn kernel(&self, name: &str) -> Result<Artifact, Problem>;

    /// A file.
    ///
    /// # Errors
    /// It can't be read.
    fn file(&self, path: &Path) -> Result<Artifact, Problem>;

    /// A disk image, which may be far larger than other files.
    ///
    /// # Errors
    /// It can't be read.
    fn disk(&self, path: &Path) -> Result<Artifact, Problem> {
        self.file(path)
    }

    /// A directory tree.
    ///
    /// # Errors
    /// It can't be read.
    fn tree(&self, path: &Path) -> Result<Artifact, Problem>;

    /// The tree of Debian packages, which are sorted and well-formed names.
    ///
    /// # Errors
    /// What is known of it can't be read.
    fn packages(&self, names: &[String]) -> Result<Artifact, Problem>;

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

/// A named kernel that has not been fetched: named by how it is made, if anybody knows that.
///
/// # Errors
/// The name is unknown, or there is no recipe.
pub fn unmade_kernel(name: &str, recipe: Option<String>) -> Result<Artifact, Problem> {
    match recipe {
        Some(blake3) if KERNELS.contains(&name) || is_choice(name) => Ok(Artifact::Recipe {
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

/// No files at all: every path exists, and its hash is that of its name. For tests and for texts
/// whose files are elsewhere.
#[derive(Debug, Default)]
pub struct NamesOnly;

impl Artifacts for NamesOnly {
    fn kernel(&self, name: &str) -> Result<Artifact, Problem> {
        // Not the recipe, so that plans that are compared do not change with it.
        let recipe = blake3::hash(format!("chaosrun kernel 1\0{name}").as_bytes());
        unmade_kernel(name, Some(recipe.to_hex().to_string()))
    }

    fn file(&self, path: &Path) -> Result<Artifact, Problem> {
        let blake3 = blake3::hash(path.as_os_str().as_encoded_bytes())
            .to_hex()
            .to_string();
        Ok(Artifact::Content {
            blake3,
            size_bytes: 1 << 20,
        })
    }

    fn tree(&self, path: &Path) -> Result<Artifact, Problem> {
        self.file(path)
    }

    fn packages(&self, names: &[String]) -> Result<Artifact, Problem> {
        let name = names.join(" ");
        Ok(Artifact::Recipe {
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
            source: Artifact::Recipe {
                name: name.clone(),
                blake3,
            },
            bin: name.clone(),
            name,
        })
    }
}
