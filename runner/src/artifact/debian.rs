//! Debian's current cloud kernel, exactly as Debian distributes it.

use std::fs;
use std::path::{Path, PathBuf};

use super::apt::{self, Apt, Stanza};
use super::error::ArtifactError;
use super::{Product, Source, Workshop, tools};

/// The package that depends on the current cloud kernel.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// The kernel `debian`.
pub(super) struct CloudKernel;

impl Source for CloudKernel {
    fn name(&self) -> &'static str {
        "debian"
    }

    fn description(&self) -> &'static str {
        "Debian's current cloud kernel, unmodified"
    }

    fn recipe(&self) -> String {
        // What Debian's current kernel is changes with time, not with this program.
        blake3::hash(b"debian 1").to_hex().to_string()
    }

    fn produce(&self, workshop: &Workshop<'_>) -> Result<Product, ArtifactError> {
        let packages = workshop.scratch.join("packages");
        fs::create_dir(&packages).map_err(ArtifactError::io("create", &packages))?;
        let (stanza, file) = apt::download(
            META_PACKAGE,
            current,
            workshop.apt,
            &packages,
            workshop.progress,
        )?;
        let root = workshop.scratch.join("root");
        unpack(&file, &root, workshop)?;
        let kernel = only_child(&root.join("boot"), "vmlinuz-")
            .ok_or_else(|| lacks(&stanza, "boot/vmlinuz-*"))?;
        let modules = ["lib/modules", "usr/lib/modules"]
            .iter()
            .map(|part| root.join(part))
            .find(|path| path.is_dir());
        Ok(Product {
            file: kernel,
            version: stanza.version,
            tree: modules
                .map(|modules| collect(&modules, workshop.scratch))
                .transpose()?,
        })
    }
}

/// The stanza of the kernel that the meta package stands for now.
fn current(apt: &Apt) -> Result<Option<Stanza>, ArtifactError> {
    let Some(meta) = apt.candidate(META_PACKAGE)? else {
        return Ok(None);
    };
    let image = image_of(&meta.depends).ok_or_else(|| lacks(&meta, "dependency on a kernel"))?;
    apt.candidate(image)
}

/// The kernel's package among the dependencies `linux-image-6.1.0-1-cloud-amd64 (= 6.1.1-1), ...`.
fn image_of(depends: &str) -> Option<&str> {
    depends
        .split([',', '|'])
        .filter_map(|dependency| dependency.split_whitespace().next())
        .find(|name| name.starts_with("linux-image-") && name.ends_with("-cloud-amd64"))
}

fn lacks(stanza: &Stanza, wanted: &str) -> ArtifactError {
    ArtifactError::BadPackage {
        package: stanza.package.clone(),
        wanted: wanted.to_owned(),
    }
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

/// Moves the modules into a tree of their own as `lib/modules`, wherever the package has them.
fn collect(modules: &Path, scratch: &Path) -> Result<PathBuf, ArtifactError> {
    let tree = scratch.join("tree");
    let target = tree.join("lib/modules");
    let library = tree.join("lib");
    fs::create_dir_all(&library).map_err(ArtifactError::io("create", &library))?;
    fs::rename(modules, &target).map_err(ArtifactError::io("create", &target))?;
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meta_package_leads_to_the_kernel() {
        let depends = "linux-base, linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)";
        assert_eq!(image_of(depends), Some("linux-image-6.1.0-56-cloud-amd64"));
    }

    #[test]
    fn other_dependencies_are_not_taken_for_kernels() {
        assert_eq!(
            image_of("linux-image-6.1.0-56-amd64 (= 6.1.192-2), initramfs-tools"),
            None
        );
        assert_eq!(image_of(""), None);
    }

    #[test]
    fn two_kernels_in_one_package_are_ambiguous() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("vmlinuz-1"), "a").unwrap();
        let first = only_child(directory.path(), "vmlinuz-");
        fs::write(directory.path().join("vmlinuz-2"), "b").unwrap();
        assert_eq!(first, Some(directory.path().join("vmlinuz-1")));
        assert_eq!(only_child(directory.path(), "vmlinuz-"), None);
    }
}
