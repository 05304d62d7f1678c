//! Where the packages of a kernel have it and its modules.

use std::fs;
use std::path::{Path, PathBuf};

use crate::artifact::error::ArtifactError;

/// Where modules are below a root: since the merge of `/usr`, and before.
const MODULES: &[&str] = &["usr/lib/modules", "lib/modules"];

/// A kernel in a tree of unpacked packages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The kernel's image.
    pub kernel: PathBuf,
    /// What the kernel calls itself (`uname -r`), after which the directory of its modules is named.
    pub release: String,
}

/// Finds the one kernel below `root`, which the packages `names` were unpacked to: `boot/vmlinuz-V`, or
/// `vmlinuz` in the directory of the modules.
///
/// # Errors
/// There is none, or several.
pub(super) fn kernel(root: &Path, names: &str) -> Result<Found, ArtifactError> {
    let mut found = Vec::new();
    for (name, path) in children(&root.join("boot")) {
        if let Some(release) = name.strip_prefix("vmlinuz-") {
            found.push(Found {
                kernel: path,
                release: release.to_owned(),
            });
        }
    }
    for modules in MODULES {
        for (release, path) in children(&root.join(modules)) {
            let kernel = path.join("vmlinuz");
            found.push(Found { kernel, release });
        }
    }
    found.retain(|found| fs::symlink_metadata(&found.kernel).is_ok_and(|data| data.is_file()));
    match found.len() {
        0 => Err(lacks(
            names,
            "kernel: neither boot/vmlinuz-VERSION nor usr/lib/modules/VERSION/vmlinuz",
        )),
        1 => Ok(found.swap_remove(0)),
        _ => {
            let releases: Vec<String> = found.into_iter().map(|found| found.release).collect();
            let several = format!("single kernel, but {}", releases.join(" and "));
            Err(lacks(names, &several))
        }
    }
}

/// Moves the modules of a release to `lib/modules/RELEASE` in a tree of their own, wherever the
/// packages have them.
///
/// # Errors
/// There are none.
pub(super) fn modules(
    root: &Path,
    release: &str,
    names: &str,
    scratch: &Path,
) -> Result<PathBuf, ArtifactError> {
    let tree = scratch.join("tree");
    let target = tree.join("lib/modules").join(release);
    let mut any = false;
    for modules in MODULES {
        let modules = root.join(modules).join(release);
        // The second is the first by another name where a package has `/lib` as a link.
        let own = fs::symlink_metadata(&modules).is_ok_and(|data| data.is_dir());
        if own {
            any |= modules.join("kernel").is_dir() || modules.join("updates").is_dir();
            crate::artifact::packages::move_into(&modules, &target)
                .map_err(ArtifactError::io("move", &modules))?;
        }
    }
    if any {
        return Ok(tree);
    }
    let wanted = format!("modules of {release} below usr/lib/modules or lib/modules");
    Err(lacks(names, &wanted))
}

/// The names and paths in a directory, sorted; none if there is no such directory.
fn children(directory: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut children: Vec<_> = entries
        .flatten()
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.path())
        })
        .collect();
    children.sort();
    children
}

fn lacks(names: &str, wanted: &str) -> ArtifactError {
    ArtifactError::BadPackage {
        package: names.to_owned(),
        wanted: wanted.to_owned(),
    }
}
