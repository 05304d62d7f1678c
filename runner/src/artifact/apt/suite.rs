//! Another suite of the archives that this machine uses, without any change to its configuration.
//!
//! apt itself tells which sources are Debian's or Ubuntu's; of these the addresses, components and keys
//! are taken, and the suite is replaced. Lists and all that apt remembers are in chaosrun's cache.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Apt, common_options, set_path};
use crate::artifact::error::{ArtifactError, tail};
use crate::artifact::progress::Progress;
use crate::artifact::tools;

/// Whose archives have kernels, as their Release files call them.
const ORIGINS: &[&str] = &["Debian", "Ubuntu"];

/// A source of this machine that may have another suite, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    uri: String,
    component: String,
    /// The file that the source stands in.
    file: PathBuf,
}

impl Apt {
    /// apt with the lists of a suite and nothing else, fetched now, and what apt complained about
    /// meanwhile. Where lists of earlier are there and the network is not, those are used.
    pub(in crate::artifact) fn suite(
        suite: &str,
        lists: &Path,
        progress: Progress,
    ) -> Result<(Self, String), ArtifactError> {
        let directory = directory(suite, lists);
        let sources = sources(suite, &origins(lists, progress)?);
        let file = directory.join("sources/suite.sources");
        let _lock = super::create_directories(&directory)?;
        for part in [
            file.parent().unwrap_or(&directory),
            &directory.join("state"),
        ] {
            fs::create_dir_all(part).map_err(ArtifactError::io("create", part))?;
        }
        fs::write(&file, sources).map_err(ArtifactError::io("write", &file))?;
        let status = directory.join("state/status");
        fs::write(&status, "").map_err(ArtifactError::io("write", &status))?;
        let apt = Self {
            options: options(&directory),
            progress,
        };
        let _step = progress.spinner(&format!("fetching the package lists of {suite}"));
        // Not every suite has updates or security updates of its own; so a source that is not there is
        // no failure, unless the package is missing in the end.
        let output = tools::output(apt.command("apt-get").arg("update"))
            .map_err(ArtifactError::io("run", Path::new("apt-get")))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((apt, said))
    }

    /// The same with the lists that are there already, if any are.
    pub(in crate::artifact) fn suite_as_it_is(suite: &str, lists: &Path) -> Option<Self> {
        let directory = directory(suite, lists);
        directory.join("state/status").is_file().then(|| Self {
            options: options(&directory),
            progress: Progress::Silent,
        })
    }

    /// The sources of Debian and Ubuntu among those of this machine.
    fn origins(&self) -> BTreeSet<Origin> {
        let mut command = self.command("apt-get");
        let fields = "$(ORIGIN)|$(REPO_URI)|$(COMPONENT)|$(SOURCESENTRY)";
        command.args(["indextargets", "Created-By: Packages", "--format", fields]);
        let Ok(output) = tools::output(&mut command) else {
            return BTreeSet::new();
        };
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().filter_map(origin).collect()
    }
}

/// The sources with this machine's lists, or if it has none, with lists of our own.
fn origins(lists: &Path, progress: Progress) -> Result<BTreeSet<Origin>, ArtifactError> {
    let found = Apt::system(progress).origins();
    if !found.is_empty() {
        return Ok(found);
    }
    let (own, complaints) = Apt::updated(lists, progress)?;
    let found = own.origins();
    if found.is_empty() {
        return Err(ArtifactError::NoArchive {
            output: tail(&complaints),
        });
    }
    Ok(found)
}

/// Reads `Debian|http://archive/debian/|main|/etc/apt/sources.list.d/debian.sources:1`.
fn origin(line: &str) -> Option<Origin> {
    let mut fields = line.split('|');
    let (origin, uri) = (fields.next()?, fields.next()?);
    let (component, place) = (fields.next()?, fields.next()?);
    ORIGINS.contains(&origin).then(|| Origin {
        uri: uri.trim_end_matches('/').to_owned(),
        component: component.to_owned(),
        file: place
            .rsplit_once(':')
            .map_or(place, |(file, _)| file)
            .into(),
    })
}

/// The sources of a suite, in the format of deb822. A suite such as `trixie` has its updates beside it.
fn sources(suite: &str, origins: &BTreeSet<Origin>) -> String {
    let suites = match suite.contains('-') {
        true => suite.to_owned(),
        false => format!("{suite} {suite}-updates {suite}-security"),
    };
    let mut text = String::new();
    for Origin {
        uri,
        component,
        file,
    } in origins
    {
        let trust = fs::read_to_string(file).map_or_else(|_| String::new(), |t| trust(&t, uri));
        text += &format!(
            "Types: deb\nURIs: {uri}/\nSuites: {suites}\nComponents: {component}\n{trust}\n"
        );
    }
    text
}

/// The lines about keys of the source with this address, as a file of sources has them: in the format
/// of deb822, or in one line.
fn trust(text: &str, uri: &str) -> String {
    let is_it = |word: &str| word.trim_end_matches('/') == uri;
    for stanza in text.split("\n\n") {
        let fields = fields(stanza);
        let uris = fields.iter().find(|field| key(field) == "uris");
        if uris.is_some_and(|field| field.split_whitespace().any(is_it)) {
            return fields
                .iter()
                .filter(|field| ["signed-by", "trusted"].contains(&key(field).as_str()))
                .map(|field| format!("{field}\n"))
                .collect();
        }
    }
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with("deb") && line.split_whitespace().any(is_it));
    let options = line
        .and_then(|line| line.split_once('[')?.1.split_once(']'))
        .map_or("", |(options, _)| options);
    let option = |word: &str| {
        let (key, value) = word.split_once('=')?;
        match key {
            "signed-by" => Some(format!("Signed-By: {}\n", value.replace(',', " "))),
            "trusted" => Some(format!("Trusted: {value}\n")),
            _ => None,
        }
    };
    options.split_whitespace().filter_map(option).collect()
}

/// The fields of a stanza, each with the lines that continue it; comments are left out.
fn fields(stanza: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in stanza.lines().filter(|line| !line.starts_with('#')) {
        match fields.last_mut() {
            Some(field) if line.starts_with([' ', '\t']) => {
                field.push('\n');
                field.push_str(line);
            }
            _ => fields.push(line.to_owned()),
        }
    }
    fields
}

fn key(field: &str) -> String {
    let key = field.split_once(':').map_or("", |(key, _)| key);
    key.to_ascii_lowercase()
}

fn directory(suite: &str, lists: &Path) -> PathBuf {
    lists.join("suites").join(suite)
}

/// Options that leave apt nothing of this machine's but its programs and keys.
fn options(directory: &Path) -> Vec<OsString> {
    let mut options = common_options();
    let none = Path::new("/dev/null");
    for (name, path) in [
        ("Dir::State", directory.join("state").as_path()),
        ("Dir::State::lists", &directory.join("state/lists")),
        ("Dir::State::status", &directory.join("state/status")),
        ("Dir::Cache", &directory.join("cache")),
        ("Dir::Etc::sourcelist", none),
        ("Dir::Etc::sourceparts", &directory.join("sources")),
        ("Dir::Etc::preferences", none),
        ("Dir::Etc::preferencesparts", none),
    ] {
        set_path(&mut options, name, path);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apts_rows_are_read_and_others_archives_left_out() {
        let row = "Debian|http://archive/debian/|main|/etc/apt/sources.list.d/debian.sources:1";
        let expected = Origin {
            uri: "http://archive/debian".into(),
            component: "main".into(),
            file: "/etc/apt/sources.list.d/debian.sources".into(),
        };
        assert_eq!(origin(row), Some(expected));
        assert_eq!(origin(&row.replacen("Debian", "Node Source", 1)), None);
        assert_eq!(origin("$(ORIGIN)|http://a/|main|/x:1"), None);
        assert_eq!(origin(""), None);
    }

    #[test]
    fn a_suite_comes_with_its_updates_unless_it_is_a_part_itself() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.list");
        fs::write(&file, "deb [signed-by=/k.gpg] http://a/debian x main\n").unwrap();
        let origins = BTreeSet::from([Origin {
            uri: "http://a/debian".into(),
            component: "main".into(),
            file,
        }]);
        assert_eq!(
            sources("sid", &origins),
            "Types: deb\nURIs: http://a/debian/\nSuites: sid sid-updates sid-security\n\
             Components: main\nSigned-By: /k.gpg\n\n"
        );
        assert!(sources("bookworm-backports", &origins).contains("\nSuites: bookworm-backports\n"));
    }

    #[test]
    fn keys_are_those_of_the_source_with_the_address() {
        let text = "# comment\nTypes: deb\nURIs: http://a/x\nSigned-By: /other.gpg\n\n\
                    Types: deb\n# http://comment\nURIs: http://b/ http://a/debian/\nSigned-By:\n -----BEGIN\n .\n END\nTrusted: no\n";
        assert_eq!(
            trust(text, "http://a/debian"),
            "Signed-By:\n -----BEGIN\n .\n END\nTrusted: no\n"
        );
        assert_eq!(trust(text, "http://a/x"), "Signed-By: /other.gpg\n");
        assert_eq!(trust(text, "http://none"), "");
        let lines = "deb-src http://z s main\n\
                     deb [arch=amd64 signed-by=/k.gpg trusted=yes] http://a/debian/ trixie main\n\
                     deb http://plain trixie main\n";
        assert_eq!(
            trust(lines, "http://a/debian"),
            "Signed-By: /k.gpg\nTrusted: yes\n"
        );
        assert_eq!(trust(lines, "http://plain"), "");
    }
}
