//! Minimal kernels, built from Debian's kernel source by `guests/kernel/build.sh`.

use std::fs;
use std::path::{Path, PathBuf};

use super::apt::{self, Apt, Stanza};
use super::error::ArtifactError;
use super::{Product, Source, Workshop, debian, tools};

/// The package with the source.
const SOURCE_PACKAGE: &str = "linux-source-6.12";

/// The suite that has it for as long as it is supported.
const SOURCE_SUITE: &str = "trixie";

/// The script and the fragments are part of the program, so that an installed one needs no checkout.
const SCRIPT: &str = include_str!("../../../guests/kernel/build.sh");
const TINY_FRAGMENT: &str = include_str!("../../../guests/kernel/tiny.config");
const KCOV_FRAGMENT: &str = include_str!("../../../guests/kernel/tiny-kcov.config");
const KVM_SCRIPT: &str = include_str!("../../../guests/kernel/tiny-kvm.sh");
const KVM_FRAGMENT: &str = include_str!("../../../guests/kernel/tiny-kvm.config");

/// A kernel whose configuration is a list of fragments.
pub(super) struct Built {
    name: &'static str,
    description: &'static str,
    fragments: &'static [&'static str],
    /// A script that changes the source and goes on with the one that builds, if it has to be changed.
    prepare: Option<&'static str>,
}

/// The kernel `tiny`.
pub(super) const TINY: Built = Built {
    name: "tiny",
    description: "a minimal kernel with virtio and ext4 built in, from Debian's source",
    fragments: &[TINY_FRAGMENT],
    prepare: None,
};

/// The kernel `tiny-kcov`.
pub(super) const TINY_KCOV: Built = Built {
    name: "tiny-kcov",
    description: "tiny with coverage of the kernel itself (KCOV)",
    fragments: &[TINY_FRAGMENT, KCOV_FRAGMENT],
    prepare: None,
};

/// The kernel `tiny-kvm`.
pub(super) const TINY_KVM: Built = Built {
    name: "tiny-kvm",
    description: "tiny without the time stamp counter, for the kvm engine",
    fragments: &[TINY_FRAGMENT, KVM_FRAGMENT],
    prepare: Some(KVM_SCRIPT),
};

impl Source for Built {
    fn name(&self) -> &str {
        self.name
    }

    fn description(&self) -> &'static str {
        self.description
    }

    fn recipe(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let parts = [SCRIPT, SOURCE_PACKAGE].iter().chain(self.fragments);
        for part in parts.chain(&self.prepare) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    fn produce(&self, workshop: &Workshop<'_>) -> Result<Product, ArtifactError> {
        require_tools(self.name)?;
        let packages = workshop.scratch.join("packages");
        fs::create_dir(&packages).map_err(ArtifactError::io("create", &packages))?;
        let (stanza, file) = fetch(workshop, &packages)?;
        let root = workshop.scratch.join("root");
        debian::unpack(&file, &root, workshop)?;
        let archive =
            debian::only_child(&root.join("usr/src"), "linux-source-").ok_or_else(|| {
                ArtifactError::BadPackage {
                    package: stanza.package.clone(),
                    wanted: "usr/src/linux-source-*".to_owned(),
                }
            })?;
        let file = self.compile(&archive, workshop)?;
        Ok(Product {
            file,
            version: stanza.version,
            tree: None,
        })
    }
}

impl Built {
    /// Runs the script on the archive and returns the kernel.
    fn compile(&self, archive: &Path, workshop: &Workshop<'_>) -> Result<PathBuf, ArtifactError> {
        let recipe = workshop.scratch.join("recipe");
        let out = workshop.scratch.join("out");
        fs::create_dir(&recipe).map_err(ArtifactError::io("create", &recipe))?;
        let put = |name: &str, text: &str| {
            let path = recipe.join(name);
            fs::write(&path, text)
                .map_err(ArtifactError::io("write", &path))
                .map(|()| path)
        };
        let mut script = put("build.sh", SCRIPT)?;
        if let Some(prepare) = self.prepare {
            script = put("prepare.sh", prepare)?;
        }
        let mut command = tools::command("bash");
        command
            .arg(script)
            .arg(archive)
            .arg(workshop.scratch.join("work"))
            .arg(&out);
        for (number, fragment) in self.fragments.iter().enumerate() {
            command.arg(put(&format!("{number}.config"), fragment)?);
        }
        let what = format!("building the kernel {} (some minutes, once)", self.name);
        let _step = workshop.progress.spinner(&what);
        tools::run_logged(
            &format!("building the kernel {}", self.name),
            &mut command,
            workshop,
        )?;
        Ok(out.join("vmlinux"))
    }
}

/// Fetches the sources: from the host's own suite or, if that has other versions only, as newer ones do,
/// from the one that has them.
fn fetch(workshop: &Workshop<'_>, into: &Path) -> Result<(Stanza, PathBuf), ArtifactError> {
    let candidate = |apt: &Apt| apt.candidate(SOURCE_PACKAGE);
    let (lists, progress) = (workshop.apt, workshop.progress);
    match apt::download(SOURCE_PACKAGE, candidate, lists, into, progress) {
        Err(ArtifactError::NoPackage { package }) => {
            let stanzas = apt::download_chosen(
                &package,
                Some(SOURCE_SUITE),
                |apt| Ok(candidate(apt)?.map(|stanza| vec![stanza])),
                Vec::as_slice,
                lists,
                into,
                progress,
            )?;
            let found = stanzas.into_iter().next().zip(apt::packages_in(into).pop());
            found.ok_or(ArtifactError::NoPackage { package })
        }
        fetched => fetched,
    }
}

/// The programs that the build runs, with the Debian packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("bash", "bash"),
    ("make", "build-essential"),
    ("gcc", "build-essential"),
    ("ld", "build-essential"),
    ("strip", "build-essential"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("xz", "xz-utils"),
];

/// Names everything that is missing in one message, before anything is fetched.
fn require_tools(name: &str) -> Result<(), ArtifactError> {
    let mut missing = Vec::new();
    let mut packages = Vec::new();
    let mut lacks = |what: &str, package: &str| {
        missing.push(format!("`{what}`"));
        packages.push(package.to_owned());
    };
    for (program, package) in PROGRAMS {
        if !tools::is_installed(program) {
            lacks(program, package);
        }
    }
    // objtool, which every x86-64 kernel build runs, is linked with libelf.
    if !has_header("gelf.h") {
        lacks("gelf.h", "libelf-dev");
    }
    packages.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("building the kernel `{name}`");
    Err(ArtifactError::MissingTools {
        what,
        missing,
        packages,
    })
}

/// Whether the C compiler finds a header; without a compiler, whether it is in the usual place.
fn has_header(header: &str) -> bool {
    if !tools::is_installed("gcc") {
        return Path::new("/usr/include").join(header).is_file();
    }
    let mut command = tools::command("gcc");
    command.args(["-E", "-x", "c", "-include", header, "/dev/null"]);
    tools::output(&mut command).is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipes_of_the_kernels_differ() {
        assert_ne!(TINY.recipe(), TINY_KCOV.recipe());
        assert_ne!(TINY.recipe(), TINY_KVM.recipe());
        assert_eq!(TINY.recipe(), TINY.recipe());
        let unprepared = Built {
            prepare: None,
            ..TINY_KVM
        };
        assert_ne!(unprepared.recipe(), TINY_KVM.recipe());
    }

    #[test]
    fn every_line_of_a_fragment_is_an_answer_or_a_comment() {
        let all = [TINY_FRAGMENT, KCOV_FRAGMENT, KVM_FRAGMENT];
        for line in all.iter().flat_map(|fragment| fragment.lines()) {
            let answer = line.starts_with("CONFIG_") && line.contains('=');
            assert!(answer || line.starts_with('#') || line.is_empty(), "{line}");
        }
    }

    #[test]
    fn a_header_that_does_not_exist_is_not_found() {
        assert!(!has_header("chaosrun-no-such-header.h"));
    }
}
