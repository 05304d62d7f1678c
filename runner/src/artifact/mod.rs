//! Artifacts: kernels and programs that are fetched or built once, kept by the hash of their content,
//! and verified before each use; and what a node boots, which is put together of them.
//!
//! [`Store::kernel`] takes a name or a path: `debian` is Debian's current cloud kernel, unmodified;
//! `debian:suite=sid` and the like are others of Debian's, see [`KernelChoice`];
//! `tiny` is a minimal kernel built from Debian's kernel source; `tiny-kcov` has kernel coverage
//! built in; `tiny-kvm` does without the time stamp counter.

use std::fs;
use std::path::{Path, PathBuf};

mod apt;
mod boots;
mod cache;
mod debian;
pub mod disk_image;
mod error;
mod filesystem;
pub mod guest;
mod host_files;
pub mod initrd;
pub mod node_image;
pub mod packages;
mod progress;
mod tiny;
mod tools;
mod tree;

#[cfg(test)]
mod tests;

use crate::plan::kernel::KernelChoice;
use crate::scenario::suggest::nearest;
use cache::{Cache, Entry};

pub use boots::{BootsListed, StoredBoots};
pub use error::ArtifactError;
pub use host_files::HostFiles;
pub use progress::Progress;
pub use tools::end_all as end_programs;

/// A kernel that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What it was asked for as.
    pub name: String,
    /// The file: an ELF vmlinux or a bzImage.
    pub path: PathBuf,
    /// The content's BLAKE3 hash in hexadecimal digits.
    pub hash: String,
    /// The content's length in bytes.
    pub bytes: u64,
    /// The version of its origin; none for a file of the user.
    pub version: Option<String>,
    /// The directory whose `lib/modules` holds the kernel's modules, if it has any.
    pub modules: Option<PathBuf>,
}

impl Kernel {
    /// Reads the kernel and makes sure that it still is what was hashed.
    ///
    /// # Errors
    /// The file cannot be read or has changed.
    pub fn read(&self) -> Result<Vec<u8>, ArtifactError> {
        let content = fs::read(&self.path).map_err(ArtifactError::io("read", &self.path))?;
        if blake3::hash(&content).to_hex().as_str() != self.hash {
            return Err(ArtifactError::Changed {
                path: self.path.clone(),
            });
        }
        Ok(content)
    }
}

/// One known artifact, as `chaosrun artifact list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What it is, in a few words.
    pub description: &'static str,
    /// The artifact, if the cache has it and it is current.
    pub kernel: Option<Kernel>,
    /// The version that would be fetched now, if it is newer, as far as the package lists of this
    /// machine know; nothing is fetched to find that out.
    pub newer: Option<String>,
}

/// What a [`Source`] made, inside of the scratch directory that it was given.
#[derive(Debug)]
pub(crate) struct Product {
    /// The artifact itself.
    file: PathBuf,
    /// The version of its origin.
    version: String,
    /// A directory that belongs to it.
    tree: Option<PathBuf>,
}

/// What a source may use while it makes an artifact.
#[derive(Debug)]
pub(crate) struct Workshop<'a> {
    /// An empty directory in the cache's file system.
    scratch: &'a Path,
    /// The directory for package lists.
    apt: &'a Path,
    /// The directory for what cargo keeps between builds.
    build: &'a Path,
    /// The file for the output of programs.
    log: &'a Path,
    /// Where progress is shown.
    progress: Progress,
}

/// Where an artifact comes from.
pub(crate) trait Source {
    /// The name that users ask for; it is also used in file names.
    fn name(&self) -> &str;
    /// What the artifact is, in a few words.
    fn description(&self) -> &'static str;
    /// The hash of everything in this program that decides how it is made. When it changes, what is
    /// in the cache is stale.
    fn recipe(&self) -> String;
    /// The version that would be fetched now, as far as that can be told without the network. The
    /// package lists of our own are below `lists`.
    fn available(&self, _lists: &Path) -> Option<String> {
        None
    }
    /// Fetches or builds it.
    fn produce(&self, workshop: &Workshop<'_>) -> Result<Product, ArtifactError>;
}

/// Where the named kernels come from.
fn sources() -> Vec<Box<dyn Source>> {
    vec![
        Box::new(debian::Distributed::new(KernelChoice::default())),
        Box::new(tiny::TINY),
        Box::new(tiny::TINY_KCOV),
        Box::new(tiny::TINY_KVM),
    ]
}

/// The hash of how the named kernel is made; none if there is no kernel of the name.
#[must_use]
pub fn kernel_recipe(name: &str) -> Option<String> {
    if let Some(Ok(choice)) = KernelChoice::parse(name) {
        return Some(debian::Distributed::new(choice).recipe());
    }
    let sources = sources();
    let source = sources.iter().find(|source| source.name() == name)?;
    Some(source.recipe())
}

/// A source that a name stands for.
enum Named<'a> {
    /// One that is known to the store.
    Known(&'a dyn Source),
    /// One of Debian's kernels.
    Chosen(debian::Distributed),
}

impl Named<'_> {
    fn source(&self) -> &dyn Source {
        match self {
            Self::Known(source) => *source,
            Self::Chosen(source) => source,
        }
    }
}

/// Finds artifacts by name or path, and makes those that the cache lacks.
pub struct Store {
    cache: Cache,
    sources: Vec<Box<dyn Source>>,
    progress: Progress,
}

impl Store {
    /// The user's store, under `$XDG_CACHE_HOME/chaosrun` or `~/.cache/chaosrun`.
    ///
    /// # Errors
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    pub fn open(progress: Progress) -> Result<Self, ArtifactError> {
        Ok(Self {
            cache: Cache::of_user()?,
            sources: sources(),
            progress,
        })
    }

    /// A store at `root` with other sources.
    #[cfg(test)]
    fn at(root: &Path, sources: Vec<Box<dyn Source>>) -> Self {
        Self {
            cache: Cache::at(root),
            sources,
            progress: Progress::Silent,
        }
    }

    /// The directory that holds everything.
    pub fn root(&self) -> &Path {
        self.cache.root()
    }

    /// Returns the kernel with this name, made if need be, or the kernel at this path. A known name
    /// wins over a file of the same name; `./debian` is the file.
    ///
    /// # Errors
    /// There is no such kernel, or it could not be fetched or built.
    pub fn kernel(&self, name_or_path: &str) -> Result<Kernel, ArtifactError> {
        let Some(named) = self.source(name_or_path)? else {
            return self.file(name_or_path);
        };
        let source = named.source();
        let (name, recipe) = (source.name(), source.recipe());
        let entry = self.entry(name, &recipe, &|workshop| source.produce(workshop))?;
        Ok(self.kernel_of(entry))
    }

    /// The path of the file that the cache has under `name`, made if need be, or if `recipe` is
    /// another than when it was made.
    pub(crate) fn obtain(
        &self,
        name: &str,
        recipe: &str,
        make: &dyn Fn(&Workshop<'_>) -> Result<Product, ArtifactError>,
    ) -> Result<PathBuf, ArtifactError> {
        let entry = self.entry(name, recipe, make)?;
        Ok(self.cache.object(&entry.hash))
    }

    /// The path of the file that the cache has under `name`, if it was made by `recipe`.
    pub(crate) fn obtained(
        &self,
        name: &str,
        recipe: &str,
    ) -> Result<Option<PathBuf>, ArtifactError> {
        let entry = self.current(name, recipe)?;
        Ok(entry.map(|entry| self.cache.object(&entry.hash)))
    }

    /// The tree that belongs to an object of the cache.
    pub(crate) fn tree_beside(&self, object: &Path) -> PathBuf {
        let name = object.file_name().unwrap_or_default();
        self.cache.root().join("trees").join(name)
    }

    /// One of the cache's directories, created if it does not exist.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf, ArtifactError> {
        self.cache.directory(name)
    }

    fn entry(
        &self,
        name: &str,
        recipe: &str,
        make: &dyn Fn(&Workshop<'_>) -> Result<Product, ArtifactError>,
    ) -> Result<Entry, ArtifactError> {
        if let Some(entry) = self.current(name, recipe)? {
            return Ok(entry);
        }
        let _lock = self.cache.lock(name, self.progress)?;
        // Another process may have made it while this one waited for the lock.
        match self.current(name, recipe)? {
            Some(entry) => Ok(entry),
            None => self.make(name, recipe, make),
        }
    }

    /// Makes the named kernel anew: fetches what is current now, or builds again.
    ///
    /// # Errors
    /// The name is unknown, or it could not be fetched or built; what was in the cache stays.
    pub fn build(&self, name: &str) -> Result<Kernel, ArtifactError> {
        let named = self.source(name)?.ok_or_else(|| self.unknown(name))?;
        let (source, name) = (named.source(), named.source().name());
        let _lock = self.cache.lock(name, self.progress)?;
        let entry = self.make(name, &source.recipe(), &|workshop| source.produce(workshop))?;
        Ok(self.kernel_of(entry))
    }

    /// All known artifacts, in a fixed order: those that everybody has, then those of Debian's other
    /// kernels that were asked for.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, ArtifactError> {
        let chosen = self.chosen();
        let known = self.sources.iter().map(AsRef::as_ref);
        let all = known.chain(chosen.iter().map(|source| source as &dyn Source));
        let listed = |source: &dyn Source| {
            Ok(Listed {
                name: source.name().to_owned(),
                description: source.description(),
                kernel: self.cached(source)?,
                newer: None,
            })
        };
        all.map(listed).collect()
    }

    /// Finds out of which of the listed artifacts there is a newer version.
    ///
    /// # Errors
    /// Versions cannot be compared.
    pub fn look_for_newer(&self, listed: &mut [Listed]) -> Result<(), ArtifactError> {
        let lists = self.cache.root().join("apt");
        for item in listed {
            let have = item.kernel.as_ref().and_then(|k| k.version.as_deref());
            let (Some(have), Some(named)) = (have, self.source(&item.name)?) else {
                continue;
            };
            if let Some(version) = named.source().available(&lists)
                && apt::is_newer(&version, have)?
            {
                item.newer = Some(version);
            }
        }
        Ok(())
    }

    /// Debian's other kernels that the cache has entries of.
    fn chosen(&self) -> Vec<debian::Distributed> {
        let choice = |name: String| KernelChoice::parse(&name)?.ok();
        let mut choices: Vec<KernelChoice> =
            self.cache.names().into_iter().filter_map(choice).collect();
        choices.retain(|choice| !choice.is_empty());
        choices.sort();
        choices.into_iter().map(debian::Distributed::new).collect()
    }

    /// Removes everything from the cache, once no other chaosrun is making an artifact, and returns
    /// how many bytes that freed.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn clean(&self) -> Result<u64, ArtifactError> {
        let mut locks = Vec::new();
        for source in &self.sources {
            locks.push(self.cache.lock(source.name(), self.progress)?);
        }
        for source in self.chosen() {
            locks.push(self.cache.lock(source.name(), self.progress)?);
        }
        self.cache.clean()
    }

    /// What a name stands for, if anything.
    fn source(&self, name: &str) -> Result<Option<Named<'_>>, ArtifactError> {
        let known = self.sources.iter().map(AsRef::as_ref);
        if let Some(source) = known.into_iter().find(|source| source.name() == name) {
            return Ok(Some(Named::Known(source)));
        }
        match KernelChoice::parse(name) {
            Some(Ok(choice)) if !choice.is_empty() => {
                Ok(Some(Named::Chosen(debian::Distributed::new(choice))))
            }
            Some(Err(why)) => Err(ArtifactError::BadChoice {
                name: name.to_owned(),
                why,
            }),
            _ => Ok(None),
        }
    }

    fn cached(&self, source: &dyn Source) -> Result<Option<Kernel>, ArtifactError> {
        let current = self.current(source.name(), &source.recipe())?;
        Ok(current.map(|entry| self.kernel_of(entry)))
    }

    fn current(&self, name: &str, recipe: &str) -> Result<Option<Entry>, ArtifactError> {
        let entry = self.cache.entry(name)?;
        Ok(entry.filter(|entry| entry.recipe == recipe))
    }

    fn make(
        &self,
        name: &str,
        recipe: &str,
        make: &dyn Fn(&Workshop<'_>) -> Result<Product, ArtifactError>,
    ) -> Result<Entry, ArtifactError> {
        let scratch = self.cache.scratch(name)?;
        let apt = self.cache.directory("apt")?;
        let build = self.cache.directory("build")?;
        let log = self.cache.directory("logs")?.join(format!("{name}.log"));
        let workshop = Workshop {
            scratch: scratch.path(),
            apt: &apt,
            build: &build,
            log: &log,
            progress: self.progress,
        };
        let product = make(&workshop)?;
        self.cache.insert(name, recipe, &product)
    }

    fn kernel_of(&self, entry: Entry) -> Kernel {
        Kernel {
            path: self.cache.object(&entry.hash),
            modules: entry.tree.then(|| self.cache.tree(&entry.hash)),
            name: entry.name,
            hash: entry.hash,
            bytes: entry.bytes,
            version: Some(entry.version),
        }
    }

    fn file(&self, path: &str) -> Result<Kernel, ArtifactError> {
        let file = Path::new(path);
        // A name without a separator that is no file is most likely a misspelt name.
        let Ok(metadata) = fs::metadata(file) else {
            return Err(self.unknown(path));
        };
        if !metadata.is_file() {
            return Err(ArtifactError::NotAFile {
                path: file.to_owned(),
            });
        }
        let (hash, bytes) = cache::hash_file(file)?;
        Ok(Kernel {
            name: path.to_owned(),
            path: file.to_owned(),
            hash,
            bytes,
            version: None,
            modules: None,
        })
    }

    fn unknown(&self, name: &str) -> ArtifactError {
        let names: Vec<&str> = self.sources.iter().map(|source| source.name()).collect();
        let close = nearest(name, names.iter().copied());
        let hint = close
            .map(|known| format!("did you mean `{known}`? "))
            .unwrap_or_default();
        let advice = format!("{hint}the known names are {}", names.join(", "));
        ArtifactError::Unknown {
            name: name.to_owned(),
            advice,
        }
    }
}
