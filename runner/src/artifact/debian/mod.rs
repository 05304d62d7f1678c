//! Debian's kernels, exactly as Debian distributes them; on Ubuntu, Ubuntu's.

use std::fs;
use std::path::{Path, PathBuf};

mod choose;
mod layout;
#[cfg(test)]
mod tests;

use super::apt::{self, Apt};
use super::error::ArtifactError;
use super::{Product, Source, Workshop, tools};
use crate::plan::kernel::KernelChoice;
use choose::choose;

/// A kernel of the distribution's: the current one for virtual machines, or another.
#[derive(Debug)]
pub(super) struct Distributed {
    choice: KernelChoice,
    name: String,
}

impl Distributed {
    /// The kernel that is chosen.
    pub(super) fn new(choice: KernelChoice) -> Self {
        Self {
            name: choice.name(),
            choice,
        }
    }

    /// What is looked for, for messages.
    fn wanted(&self) -> String {
        let choice = &self.choice;
        match &choice.package {
            Some(package) => package.clone(),
            None => choose::CURRENT.join(" or "),
        }
    }
}

impl Source for Distributed {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> &'static str {
        if self.choice.is_empty() {
            "Debian's current cloud kernel, unmodified"
        } else {
            "another of Debian's kernels, unmodified"
        }
    }

    fn recipe(&self) -> String {
        // What Debian's current kernel is changes with time, not with this program.
        let recipe = match self.choice.is_empty() {
            true => "debian 1".to_owned(),
            false => format!("debian 1\0{}", self.name),
        };
        blake3::hash(recipe.as_bytes()).to_hex().to_string()
    }

    fn produce(&self, workshop: &Workshop<'_>) -> Result<Product, ArtifactError> {
        let packages = workshop.scratch.join("packages");
        fs::create_dir(&packages).map_err(ArtifactError::io("create", &packages))?;
        let chosen = apt::download_chosen(
            &self.wanted(),
            self.choice.suite.as_deref(),
            |apt| choose(apt, &self.choice),
            |chosen| &chosen.packages,
            workshop.apt,
            &packages,
            workshop.progress,
        )?;
        let mut files = apt::packages_in(&packages);
        files.sort();
        let file = product(&files, workshop)?;
        Ok(Product {
            version: chosen.version,
            ..file
        })
    }

    fn available(&self, lists: &Path) -> Option<String> {
        let all = match &self.choice.suite {
            Some(suite) => vec![Apt::suite_as_it_is(suite, lists)],
            None => vec![Some(Apt::as_it_is()), Apt::own_as_it_is(lists)],
        };
        let known = |apt: Apt| choose(&apt, &self.choice).ok().flatten();
        all.into_iter().flatten().find_map(known).map(|c| c.version)
    }
}

/// Makes the artifact of the kernel in some packages. Its version is the caller's to tell.
fn product(packages: &[PathBuf], workshop: &Workshop<'_>) -> Result<Product, ArtifactError> {
    let root = workshop.scratch.join("root");
    for package in packages {
        unpack(package, &root, workshop)?;
    }
    let names: Vec<String> = packages
        .iter()
        .filter_map(|path| path.file_name()?.to_str()?.split('_').next())
        .map(ToOwned::to_owned)
        .collect();
    let names = names.join(", ");
    let found = layout::kernel(&root, &names)?;
    let file = workshop.scratch.join("vmlinuz");
    fs::rename(&found.kernel, &file).map_err(ArtifactError::io("move", &found.kernel))?;
    let tree = layout::modules(&root, &found.release, &names, workshop.scratch)?;
    Ok(Product {
        file,
        version: String::new(),
        tree: Some(tree),
    })
}

/// Unpacks a package's files below `root`.
pub(super) fn unpack(
    package: &Path,
    root: &Path,
    workshop: &Workshop<'_>,
) -> Result<(), ArtifactError> {
    let _step = workshop.progress.spinner("unpacking");
    let mut command = tools::command("dpkg-deb");
    command.arg("-x").arg(package).arg(root);
    tools::run_logged("unpacking the package", &mut command, workshop)
}

/// The one file in `directory` whose name starts with `prefix`.
pub(super) fn only_child(directory: &Path, prefix: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    let mut matching = entries
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(prefix.as_bytes())
        })
        .map(|entry| entry.path())
        .filter(|path| path.is_file());
    let found = matching.next()?;
    matching.next().is_none().then_some(found)
}
