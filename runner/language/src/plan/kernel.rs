//! Which of Debian's kernels is meant.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::name_problem;

/// The kernel that `debian` alone stands for.
pub const DEBIAN: &str = "debian";

/// Which kernel a node boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KernelName {
    /// One of Debian's.
    Debian,
    /// The small one that chaosrun builds.
    Tiny,
    /// The same with coverage.
    TinyKcov,
    /// The same for the host's KVM.
    TinyKvm,
    /// A file of the scenario's author.
    File,
}

impl KernelName {
    /// The kernel that chaosrun knows by this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let named = [Self::Debian, Self::Tiny, Self::TinyKcov, Self::TinyKvm];
        named.into_iter().find(|kernel| kernel.word() == name)
    }

    /// Its word in plans and, unless it is a file, on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Debian => DEBIAN,
            Self::Tiny => "tiny",
            Self::TinyKcov => "tiny-kcov",
            Self::TinyKvm => "tiny-kvm",
            Self::File => "file",
        }
    }
}

/// One of Debian's kernels other than the current one: of a certain package, version or suite. What is
/// not said is as for the current one.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct KernelChoice {
    /// The package that is the kernel or depends on it, e.g. `linux-image-rt-amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The package's version, in which `*` stands for anything, e.g. `6.12*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The suite of the archive, e.g. `trixie` or `bookworm-backports`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
}

/// The keys of a choice, in the order in which its name has them.
pub const KEYS: [&str; 3] = ["package", "version", "suite"];

impl KernelChoice {
    /// Whether nothing is chosen, so that the current kernel is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets one of the [`KEYS`].
    ///
    /// # Errors
    /// The key is another, or the value is not possible; the text says why.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        let (place, problem) = match key {
            "package" => (&mut self.package, package_problem(value)),
            "version" => (&mut self.version, version_problem(value)),
            "suite" => (&mut self.suite, suite_problem(value)),
            _ => return Err("a kernel is chosen by `package`, `version` and `suite`"),
        };
        match problem {
            Some(why) => Err(why),
            None => {
                *place = Some(value.to_owned());
                Ok(())
            }
        }
    }

    /// What the kernel is called on the command line and in the cache: `debian`, or for instance
    /// `debian:version=6.12*,suite=trixie`.
    #[must_use]
    pub fn name(&self) -> String {
        let values = [&self.package, &self.version, &self.suite];
        let said: Vec<String> = KEYS
            .iter()
            .zip(values)
            .filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)))
            .collect();
        if said.is_empty() {
            return DEBIAN.to_owned();
        }
        format!("{DEBIAN}:{}", said.join(","))
    }

    /// Reads a [name](Self::name). None if it is none of Debian's kernels.
    ///
    /// # Errors
    /// It begins like one, but is malformed.
    pub fn parse(name: &str) -> Option<Result<Self, &'static str>> {
        let said = match name.strip_prefix(DEBIAN)? {
            "" => return Some(Ok(Self::default())),
            rest => rest.strip_prefix(':')?,
        };
        let mut choice = Self::default();
        for part in said.split(',') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if let Err(why) = choice.set(key, value) {
                return Some(Err(why));
            }
        }
        Some(Ok(choice))
    }
}

fn package_problem(package: &str) -> Option<&'static str> {
    if package.contains('=') {
        return Some("the version is a key of its own");
    }
    if !package.starts_with("linux-image-") {
        return Some("a kernel's package is called `linux-image-...`");
    }
    name_problem(package).or(too_long(package))
}

fn version_problem(version: &str) -> Option<&'static str> {
    let possible = |c: char| c.is_ascii_alphanumeric() || "+-.~:*".contains(c);
    if !version.starts_with(|c: char| c.is_ascii_digit()) || !version.chars().all(possible) {
        return Some(
            "a version begins with a digit and is made of letters, digits, `+`, `-`, `.`, `~`, `:` \
             and, for anything, `*`",
        );
    }
    too_long(version)
}

fn suite_problem(suite: &str) -> Option<&'static str> {
    let possible = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    if !suite.starts_with(|c: char| c.is_ascii_lowercase()) || !suite.chars().all(possible) {
        return Some("a suite is called like `trixie`, `sid` or `bookworm-backports`");
    }
    too_long(suite)
}

/// The name of a choice is that of a file.
fn too_long(value: &str) -> Option<&'static str> {
    (value.len() > 64).then_some("it has more than 64 characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> KernelChoice {
        KernelChoice::parse(name).unwrap().unwrap()
    }

    #[test]
    fn kernels_have_the_same_word_everywhere_and_a_file_has_no_name() {
        for name in crate::plan::artifacts::KERNELS {
            let kernel = KernelName::named(name).expect("it is known by this name");
            assert_eq!(serde_json::json!(kernel), serde_json::json!(name));
        }
        assert_eq!(KernelName::named(KernelName::File.word()), None);
    }

    #[test]
    fn a_name_reads_back_as_the_choice() {
        for name in [
            "debian",
            "debian:suite=sid",
            "debian:version=6.12*,suite=trixie",
            "debian:package=linux-image-rt-amd64,version=6.1.192-3",
        ] {
            assert_eq!(parsed(name).name(), name);
        }
        assert!(parsed("debian").is_empty());
        // One choice has one name, in whatever order it is written.
        assert_eq!(
            parsed("debian:suite=sid,version=7*").name(),
            "debian:version=7*,suite=sid"
        );
    }

    #[test]
    fn other_names_are_not_debians() {
        for name in ["tiny", "debianx", "./debian", ""] {
            assert_eq!(KernelChoice::parse(name), None, "{name}");
        }
    }

    #[test]
    fn what_could_not_be_is_refused() {
        for said in [
            "",
            "sid",
            "colour=red",
            "suite=",
            "suite=../x",
            "suite=Sid",
            "suite=/etc",
            "version=",
            "version=*",
            "version=-o",
            "version=6 1",
            "package=redis-server",
            "package=linux-image-amd64=1",
            "package=linux-image-$(x)",
            "suite=sid,",
        ] {
            let refused = KernelChoice::parse(&format!("debian:{said}"));
            assert!(matches!(refused, Some(Err(_))), "{said}: {refused:?}");
        }
        let long = format!("debian:suite={}", "a".repeat(65));
        assert!(matches!(KernelChoice::parse(&long), Some(Err(_))));
    }
}
