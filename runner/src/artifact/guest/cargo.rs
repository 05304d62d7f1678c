//! Building a program with cargo.
//!
//! The same sources give the same bytes, wherever the project and the cache are: paths are replaced
//! in what the compiler writes, and nothing of the caller's environment that changes the result gets
//! through. The build has a target directory of its own in the cache, so that it neither waits for
//! a build of the user nor writes into the project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::Crate;
use super::sources::{self, Sources};
use crate::artifact::error::ArtifactError;
use crate::artifact::{Product, Workshop, tools};

/// What programs are built for.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// How many lines of cargo's messages are shown.
const SHOWN_LINES: usize = 60;

/// A program with its sources.
pub(super) struct Build<'a> {
    wanted: &'a Crate,
    sources: Sources,
    /// The package's folder without links.
    folder: PathBuf,
}

impl<'a> Build<'a> {
    /// Looks at the sources.
    ///
    /// # Errors
    /// They cannot be read, or are not those that the plan was made with.
    pub(super) fn new(wanted: &'a Crate) -> Result<Self, ArtifactError> {
        let bad = |why: String| ArtifactError::BadCrate {
            folder: wanted.folder.clone(),
            why,
        };
        let sources = sources::sources(&wanted.folder, true).map_err(|p| bad(p.to_string()))?;
        if wanted.source.as_ref().is_some_and(|s| *s != sources.blake3) {
            return Err(ArtifactError::Changed {
                path: wanted.folder.clone(),
            });
        }
        let folder =
            fs::canonicalize(&wanted.folder).map_err(ArtifactError::io("find", &wanted.folder))?;
        Ok(Self {
            wanted,
            sources,
            folder,
        })
    }

    /// The name in the cache: one for each program of each project, of which the last build is kept.
    pub(super) fn name(&self) -> String {
        let mut place = self.folder.as_os_str().as_encoded_bytes().to_vec();
        for part in std::iter::once(&self.wanted.bin).chain(&self.wanted.features) {
            place.push(0);
            place.extend(part.bytes());
        }
        let bin: String = self
            .wanted
            .bin
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        format!("guest-{:.32}-{:.16}", bin, blake3::hash(&place).to_hex())
    }

    /// The hash of all that decides the program.
    ///
    /// # Errors
    /// cargo or the compiler is not there.
    pub(super) fn recipe(&self) -> Result<String, ArtifactError> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &str| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        };
        add("chaosrun cargo 1");
        add(&self.sources.blake3);
        add(&self.wanted.bin);
        add(&self.wanted.features.join(","));
        add(&self.compiler()?);
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// What the compiler says about itself, in the project's folder, where a toolchain may be chosen.
    fn compiler(&self) -> Result<String, ArtifactError> {
        let mut said = String::new();
        for program in ["cargo", "rustc"] {
            if !tools::is_installed(program) {
                return Err(self.no_cargo(program));
            }
            let mut command = tools::command(program);
            command.arg("-vV").current_dir(&self.folder);
            clean_environment(&mut command);
            let output = tools::output(&mut command)
                .map_err(ArtifactError::io("run", Path::new(program)))?;
            if !output.status.success() {
                return Err(self.failed(&output, PathBuf::new()));
            }
            said += &String::from_utf8_lossy(&output.stdout);
        }
        Ok(said)
    }

    fn no_cargo(&self, program: &str) -> ArtifactError {
        ArtifactError::MissingTools {
            what: format!("building the guest `{}`", self.wanted.bin),
            missing: vec![format!("`{program}`")],
            packages: vec!["cargo".to_owned()],
        }
    }

    /// Builds, and puts the executable into the workshop.
    ///
    /// # Errors
    /// cargo fails.
    pub(super) fn run(&self, workshop: &Workshop<'_>) -> Result<Product, ArtifactError> {
        let target = self.target_directory(workshop);
        fs::create_dir_all(&target).map_err(ArtifactError::io("create", &target))?;
        let mut command = self.command(&target);
        let what = format!("building {} (cargo)", self.wanted.bin);
        let step = workshop.progress.spinner(&what);
        let output =
            tools::output(&mut command).map_err(ArtifactError::io("run", Path::new("cargo")))?;
        drop(step);
        fs::write(workshop.log, &output.stderr)
            .map_err(ArtifactError::io("write", workshop.log))?;
        if !output.status.success() {
            return Err(self.failed(&output, workshop.log.to_owned()));
        }
        let made = target.join(TARGET).join("release").join(&self.wanted.bin);
        let file = workshop.scratch.join("program");
        fs::copy(&made, &file).map_err(ArtifactError::io("copy", &made))?;
        Ok(Product {
            file,
            version: self.sources.blake3.chars().take(16).collect(),
            tree: None,
        })
    }

    /// One for each project, so that its programs share what they depend on.
    fn target_directory(&self, workshop: &Workshop<'_>) -> PathBuf {
        let root = self.sources.root.as_os_str().as_encoded_bytes();
        let name = format!("{:.16}", blake3::hash(root).to_hex());
        workshop.build.join(name)
    }

    fn command(&self, target: &Path) -> Command {
        let mut command = tools::command("cargo");
        clean_environment(&mut command);
        command
            .current_dir(&self.folder)
            .args([
                "build",
                "--release",
                "--target",
                TARGET,
                "--bin",
                &self.wanted.bin,
            ])
            .args(["--color", "never"])
            .arg("--manifest-path")
            .arg(self.folder.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(target)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(target).join("\x1f"))
            // Symbols would be copied by each node at each boot.
            .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("CARGO_INCREMENTAL", "0")
            .env("SOURCE_DATE_EPOCH", "0");
        if !self.wanted.features.is_empty() {
            command
                .arg("--features")
                .arg(self.wanted.features.join(","));
        }
        command
    }

    /// The compiler's flags. Where several prefixes fit, the compiler takes the last one.
    fn flags(&self, target: &Path) -> Vec<String> {
        let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
        let mut remap = |from: &Path, to: &str| {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        };
        if let Some(home) = cargo_home() {
            remap(&home, "/cargo");
        }
        remap(&self.sources.root, "/src");
        if !self.folder.starts_with(&self.sources.root) {
            remap(&self.folder, "/src");
        }
        remap(target, "/target");
        flags
    }

    fn failed(&self, output: &Output, log: PathBuf) -> ArtifactError {
        ArtifactError::Cargo {
            bin: self.wanted.bin.clone(),
            output: essence(&String::from_utf8_lossy(&output.stderr)),
            log,
        }
    }
}

/// Takes away what the caller's environment says to cargo and the compiler, apart from where their
/// files and the registries are.
fn clean_environment(command: &mut Command) {
    const KEPT: &[&str] = &[
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
    ];
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let foreign = text.starts_with("CARGO") || text.starts_with("RUSTC") || text == "RUSTFLAGS";
        if foreign && !KEPT.iter().any(|kept| text.starts_with(kept)) {
            command.env_remove(name);
        }
    }
}

fn cargo_home() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}

/// cargo's messages from the first error on; what it compiled before is of no interest.
fn essence(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let first = lines
        .iter()
        .position(|line| line.starts_with("error"))
        .unwrap_or(lines.len().saturating_sub(SHOWN_LINES));
    let mut text = String::new();
    for line in lines.iter().skip(first).take(SHOWN_LINES) {
        text += line;
        text.push('\n');
    }
    let more = lines.len().saturating_sub(first + SHOWN_LINES);
    if more > 0 {
        text += &format!("... and {more} more lines\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_shown_as_it_is() {
        let said = "   Compiling a v1.0.0\nwarning: w\nerror[E0425]: cannot find value `x`\n \
            --> src/main.rs:1:1\n";
        assert_eq!(
            essence(said),
            "error[E0425]: cannot find value `x`\n --> src/main.rs:1:1\n"
        );
    }

    #[test]
    fn endless_errors_are_cut() {
        let said = "error: e\n".repeat(1000);
        let shown = essence(&said);
        assert_eq!(shown.lines().count(), SHOWN_LINES + 1);
        assert!(shown.ends_with("... and 940 more lines\n"), "{shown}");
    }

    #[test]
    fn the_callers_flags_do_not_get_through() {
        // The test itself runs under cargo, which sets some of them.
        let mut command = tools::command("cargo");
        clean_environment(&mut command);
        let removed = |name: &str| command.get_envs().any(|(n, v)| n == name && v.is_none());
        assert!(removed("CARGO_MANIFEST_DIR"));
        assert!(!removed("CARGO_HOME"));
        assert!(!removed("PATH"));
    }
}
