//! Which packages have the kernel that is meant.
//!
//! Until Debian 13 one package has the kernel and its modules. Since then the package of the kernel is
//! empty and depends on others: `linux-binary-V` has the kernel, `linux-modules-V` the modules and
//! `linux-base-V` the list of those that are built in. Ubuntu has the kernel in `linux-image-V` and all
//! else in `linux-modules-V`. So the packages are found by following dependencies whose names tell that
//! they are parts of a kernel, whichever there are.

use std::collections::BTreeMap;

use crate::artifact::apt::{Apt, Stanza};
use crate::artifact::error::ArtifactError;
use crate::plan::kernel::KernelChoice;

/// The packages that depend on the current kernel: Debian's for virtual machines, then Ubuntu's.
pub(super) const CURRENT: &[&str] = &["linux-image-cloud-amd64", "linux-image-virtual"];

/// How the names of a kernel's packages begin.
const PARTS: &[&str] = &[
    "linux-image-",
    "linux-binary-",
    "linux-modules-",
    "linux-base-",
];

/// What the name of a package whose kernel is not signed for secure boot has, in Ubuntu before the
/// version and in Debian at the end.
const UNSIGNED: (&str, &str) = ("unsigned-", "-unsigned");

/// A kernel has fewer packages than this.
const MOST: usize = 32;

/// The kernel that is meant, as apt's lists have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The version of the kernel's own package.
    pub version: String,
    /// The packages that have its parts.
    pub packages: Vec<Stanza>,
}

/// What [`choose`] has to know of a package archive.
pub(super) trait Archive {
    /// The version of a package that would be installed.
    fn candidate(&self, package: &str) -> Result<Option<Stanza>, ArtifactError>;
    /// All versions of some packages.
    fn versions(&self, packages: &[&str]) -> Result<Vec<Stanza>, ArtifactError>;
    /// The names of all packages that begin so.
    fn names(&self, prefix: &str) -> Result<Vec<String>, ArtifactError>;
    /// Whether a version is newer than another.
    fn is_newer(&self, version: &str, than: &str) -> Result<bool, ArtifactError>;
}

impl Archive for Apt {
    fn candidate(&self, package: &str) -> Result<Option<Stanza>, ArtifactError> {
        Apt::candidate(self, package)
    }

    fn versions(&self, packages: &[&str]) -> Result<Vec<Stanza>, ArtifactError> {
        Apt::versions(self, packages)
    }

    fn names(&self, prefix: &str) -> Result<Vec<String>, ArtifactError> {
        Apt::names(self, prefix)
    }

    fn is_newer(&self, version: &str, than: &str) -> Result<bool, ArtifactError> {
        crate::artifact::apt::is_newer(version, than)
    }
}

/// The packages of the kernel that is meant; none if the archive has nothing of the name.
pub(super) fn choose(
    archive: &dyn Archive,
    choice: &KernelChoice,
) -> Result<Option<Chosen>, ArtifactError> {
    let named = choice.package.as_deref();
    let packages = named.as_ref().map_or(CURRENT, std::slice::from_ref);
    for package in packages {
        let all = match &choice.version {
            None => archive.candidate(package)?.into_iter().collect(),
            Some(_) => versions(archive, package)?,
        };
        if all.is_empty() {
            continue;
        }
        let wanted = choice.version.as_deref().unwrap_or("*");
        return match newest(archive, &all, wanted)? {
            Some(start) => follow(archive, start).map(Some),
            None => Err(ArtifactError::NoVersion {
                package: (*package).to_owned(),
                wanted: wanted.to_owned(),
                known: known(&all),
            }),
        };
    }
    Ok(None)
}

/// All versions of a package and, if it depends on the current kernel of a kind, of all kernels of
/// that kind, for archives keep some older ones.
fn versions(archive: &dyn Archive, package: &str) -> Result<Vec<Stanza>, ArtifactError> {
    let mut names = vec![package.to_owned()];
    if let Some(kind) = package
        .strip_prefix(PARTS[0])
        .filter(|rest| kernel_version(rest).is_none())
    {
        let end = format!("-{kind}");
        let is_such = |name: &str| {
            let version = name.strip_prefix(PARTS[0])?.strip_suffix(&end)?;
            // `6.1.0-56-cloud` is the version of another kind.
            let parts = version.split('-');
            parts
                .into_iter()
                .all(|part| part.starts_with(|c: char| c.is_ascii_digit()))
                .then_some(())
        };
        let all = archive.names(PARTS[0])?.into_iter();
        names.extend(all.filter(|name| is_such(name).is_some()));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    archive.versions(&names)
}

/// What follows `linux-image-`, if it begins with a version.
fn kernel_version(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix(UNSIGNED.0).unwrap_or(rest);
    rest.starts_with(|c: char| c.is_ascii_digit())
        .then(|| rest.strip_suffix(UNSIGNED.1).unwrap_or(rest))
}

/// The newest of the wanted versions; of packages with the same version the first.
fn newest<'a>(
    archive: &dyn Archive,
    all: &'a [Stanza],
    wanted: &str,
) -> Result<Option<&'a Stanza>, ArtifactError> {
    let mut best: Option<&Stanza> = None;
    for stanza in all.iter().filter(|s| matches(wanted, &s.version)) {
        let newer = match best {
            Some(best) => archive.is_newer(&stanza.version, &best.version)?,
            None => true,
        };
        if newer {
            best = Some(stanza);
        }
    }
    Ok(best)
}

/// The versions that there are, for a message.
fn known(all: &[Stanza]) -> Vec<String> {
    let mut versions: Vec<String> = all.iter().map(|s| s.version.clone()).collect();
    versions.sort();
    versions.dedup();
    versions
}

/// Whether a pattern, in which `*` stands for anything, fits a whole text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut rest = rest;
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// A package with the parts of the kernel that it depends on.
fn follow(archive: &dyn Archive, start: &Stanza) -> Result<Chosen, ArtifactError> {
    let mut found: BTreeMap<String, Stanza> = BTreeMap::new();
    let mut pending = vec![start.clone()];
    while let Some(stanza) = pending.pop() {
        if found.len() >= MOST {
            return Err(lacks(&stanza, "end of its dependencies on kernels"));
        }
        for alternatives in relations(&stanza.depends) {
            let part = part(archive, &alternatives)?;
            if part.is_none() {
                let names: Vec<&str> = alternatives.iter().map(|r| r.name).collect();
                return Err(ArtifactError::MissingPart {
                    package: stanza.package.clone(),
                    part: names.join(" or "),
                });
            }
            pending.extend(part.filter(|part| !found.contains_key(&part.package)));
        }
        found.insert(stanza.package.clone(), stanza);
    }
    // What only depends on a kernel has nothing of it.
    let of_version = |s: &Stanza| {
        let rest = PARTS.iter().find_map(|p| s.package.strip_prefix(p));
        rest.is_some_and(|rest| kernel_version(rest).is_some())
    };
    let packages: Vec<Stanza> = found.into_values().filter(of_version).collect();
    let own = packages.iter().find(|s| s.package.starts_with(PARTS[0]));
    let Some(own) = own else {
        return Err(lacks(start, "dependency on a kernel (linux-image-VERSION)"));
    };
    Ok(Chosen {
        version: own.version.clone(),
        packages,
    })
}

/// One name in a dependency, with the version if it is to be exactly that.
struct Relation<'a> {
    name: &'a str,
    version: Option<&'a str>,
}

/// The dependencies that may be met by parts of a kernel, each with these alternatives.
fn relations(depends: &str) -> Vec<Vec<Relation<'_>>> {
    let is_part = |relation: &Relation<'_>| {
        let part = PARTS.iter().any(|prefix| relation.name.starts_with(prefix));
        part && !relation.name.ends_with("-dbg")
    };
    depends
        .split(',')
        .map(|entry| {
            entry
                .split('|')
                .filter_map(relation)
                .filter(is_part)
                .collect()
        })
        .filter(|alternatives: &Vec<Relation<'_>>| !alternatives.is_empty())
        .collect()
}

/// Reads `name`, `name:any` or `name (= 1-2)`.
fn relation(text: &str) -> Option<Relation<'_>> {
    let text = text.trim();
    let end = text.find([' ', '(', ':', '[']).unwrap_or(text.len());
    let name = text.get(..end).filter(|name| !name.is_empty())?;
    let version = text
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(inside, _)| inside.trim().strip_prefix('='))
        .map(str::trim);
    Some(Relation { name, version })
}

/// The first of some packages that the archive has, in the version that is wanted.
fn part(
    archive: &dyn Archive,
    alternatives: &[Relation<'_>],
) -> Result<Option<Stanza>, ArtifactError> {
    for Relation { name, version } in alternatives {
        let found = match version {
            None => archive.candidate(name)?,
            Some(version) => {
                let all = archive.versions(&[*name])?;
                all.into_iter().find(|stanza| stanza.version == *version)
            }
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn lacks(stanza: &Stanza, wanted: &str) -> ArtifactError {
    ArtifactError::BadPackage {
        package: stanza.package.clone(),
        wanted: wanted.to_owned(),
    }
}

#[cfg(test)]
mod tests;
