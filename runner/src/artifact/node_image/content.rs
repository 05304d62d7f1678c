//! The contents of the files that a plan names, each read once and verified.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use crate::artifact::cache::SIZE_LIMIT;
use crate::artifact::disk_image::DiskFile;
use crate::artifact::error::ArtifactError;
use crate::plan::Origins;
use crate::plan::model::Artefact;
use crate::plan::tree::{Detail, hash_tree};

/// Files by their hash.
pub(super) struct Contents<'a> {
    origins: &'a Origins,
    read: BTreeMap<String, Arc<[u8]>>,
    disks: BTreeMap<String, Arc<DiskFile>>,
    /// Where hashes of disks are remembered.
    known: PathBuf,
}

impl<'a> Contents<'a> {
    /// Nothing is read yet. The hashes of disks are remembered in the directory `known`.
    pub(super) fn new(origins: &'a Origins, known: PathBuf) -> Self {
        Self {
            origins,
            read: BTreeMap::new(),
            disks: BTreeMap::new(),
            known,
        }
    }

    /// Where an artifact is on this host. `what` names it in messages, with an article.
    pub(super) fn path(&self, artifact: &Artefact, what: &str) -> Result<PathBuf, ArtifactError> {
        let hash = artifact.hash();
        self.origins
            .files
            .get(hash)
            .cloned()
            .ok_or_else(|| ArtifactError::NoOrigin {
                what: what.to_owned(),
                hash: hash.to_owned(),
            })
    }

    /// The content of a file, which has to be what the plan says.
    pub(super) fn file(
        &mut self,
        artifact: &Artefact,
        what: &str,
    ) -> Result<Arc<[u8]>, ArtifactError> {
        if let Some(content) = self.read.get(artifact.hash()) {
            return Ok(Arc::clone(content));
        }
        let path = self.path(artifact, what)?;
        let failed = || ArtifactError::io("read", &path);
        let file = File::open(&path).map_err(failed())?;
        let size = file.metadata().map_err(failed())?.len();
        if size > SIZE_LIMIT {
            return Err(ArtifactError::TooLarge {
                path,
                size,
                limit: SIZE_LIMIT,
            });
        }
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(SIZE_LIMIT)
            .read_to_end(&mut content)
            .map_err(failed())?;
        if blake3::hash(&content).to_hex().as_str() != artifact.hash() {
            return Err(ArtifactError::Changed { path });
        }
        let content: Arc<[u8]> = content.into();
        self.read
            .insert(artifact.hash().to_owned(), Arc::clone(&content));
        Ok(content)
    }

    /// The file of a disk, which has to be what the plan says.
    pub(super) fn disk(&mut self, artifact: &Artefact) -> Result<Arc<DiskFile>, ArtifactError> {
        if let Some(disk) = self.disks.get(artifact.hash()) {
            return Ok(Arc::clone(disk));
        }
        let path = self.path(artifact, "a disk image")?;
        let disk = Arc::new(DiskFile::open(&path, artifact.hash(), &self.known)?);
        self.disks
            .insert(artifact.hash().to_owned(), Arc::clone(&disk));
        Ok(disk)
    }

    /// Where a directory tree is, which has to be what the plan says.
    pub(super) fn tree(&self, artifact: &Artefact) -> Result<PathBuf, ArtifactError> {
        let path = self.path(artifact, "a directory tree")?;
        match hash_tree(&path, Detail::FileSystem, &|_| true) {
            Ok((hash, _)) if hash == artifact.hash() => Ok(path),
            Ok(_) => Err(ArtifactError::Changed { path }),
            Err(problem) => Err(ArtifactError::io("read", &path)(std::io::Error::other(
                problem.to_string(),
            ))),
        }
    }
}
