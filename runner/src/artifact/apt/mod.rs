//! Fetching packages with apt, without root and without installing anything.
//!
//! apt checks each package against the archive's signatures. The system's package lists are used if
//! they know the package; where they are empty (as in containers) or out of date, lists are fetched
//! into chaosrun's cache.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::error::{ArtifactError, tail};
use super::progress::Progress;
use super::tools;

mod suite;

/// The fields of a package's control stanza that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stanza {
    /// `Package`.
    pub package: String,
    /// `Version`.
    pub version: String,
    /// `Depends`, and behind it `Pre-Depends`, as written.
    pub depends: String,
    /// `Provides`, as written.
    pub provides: String,
    /// `Section`, e.g. `libs`.
    pub section: String,
    /// `Priority`, e.g. `required`.
    pub priority: String,
    /// `Size`, in bytes; 0 if it is not told.
    pub size: u64,
}

impl Stanza {
    /// Reads the first stanza of `apt-cache show`'s output.
    fn parse(text: &str) -> Option<Self> {
        let stanza = text.trim_start().split("\n\n").next()?;
        let field = |name: &str| {
            let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned());
            stanza.lines().find_map(value)
        };
        Some(Self {
            package: field("Package")?,
            version: field("Version")?,
            depends: [field("Depends"), field("Pre-Depends")]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
            provides: field("Provides").unwrap_or_default(),
            section: field("Section").unwrap_or_default(),
            priority: field("Priority").unwrap_or_default(),
            size: field("Size")
                .and_then(|size| size.parse().ok())
                .unwrap_or(0),
        })
    }
}

/// apt with a set of package lists.
#[derive(Debug)]
pub(super) struct Apt {
    options: Vec<OsString>,
    progress: Progress,
}

/// Downloads the package that `choose` finds, first with the system's package lists, then with
/// lists of our own. `wanted` names it in messages. Returns its stanza and the file, which is put
/// into `into`.
pub(super) fn download(
    wanted: &str,
    choose: impl Fn(&Apt) -> Result<Option<Stanza>, ArtifactError>,
    lists: &Path,
    into: &Path,
    progress: Progress,
) -> Result<(Stanza, PathBuf), ArtifactError> {
    require_programs(wanted)?;
    let system = Apt::system(progress);
    if let Some(stanza) = choose(&system)?
        && let Ok(file) = system.download(&stanza, into)
    {
        return Ok((stanza, file));
    }
    let (own, complaints) = Apt::updated(lists, progress)?;
    let stanza = choose(&own)?.ok_or_else(|| absent(wanted, &complaints))?;
    let file = own.download(&stanza, into)?;
    Ok((stanza, file))
}

/// Downloads packages with those that they depend on, as far as `choose` wants them of all that apt
/// would install on an empty system. Returns their stanzas in the order of their names; the files are
/// put into `into`. A name may have a version behind `=`.
pub(super) fn download_with_dependencies(
    names: &[String],
    choose: impl Fn(Vec<Stanza>) -> Vec<Stanza>,
    lists: &Path,
    into: &Path,
    progress: Progress,
) -> Result<Vec<Stanza>, ArtifactError> {
    let wanted = names.join(" ");
    require_programs(&wanted)?;
    let system = Apt::system(progress);
    if let Ok(stanzas) = system.dependencies(names, into)
        && let stanzas = choose(stanzas)
        && system.download_all(&stanzas, into).is_ok()
    {
        return Ok(stanzas);
    }
    let (own, complaints) = Apt::updated(lists, progress)?;
    for name in names {
        let name = name.split('=').next().unwrap_or_default();
        if own.candidate(name)?.is_none() {
            return Err(absent(name, &complaints));
        }
    }
    let stanzas = choose(own.dependencies(names, into)?);
    own.download_all(&stanzas, into)?;
    Ok(stanzas)
}

/// Downloads the packages of what `choose` finds, all of them: with the system's package lists, or else
/// with lists of our own; of another suite if one is named. `wanted` names it in messages. Returns what
/// was chosen; the files are put into `into`.
pub(super) fn download_chosen<T>(
    wanted: &str,
    suite: Option<&str>,
    choose: impl Fn(&Apt) -> Result<Option<T>, ArtifactError>,
    packages: impl Fn(&T) -> &[Stanza],
    lists: &Path,
    into: &Path,
    progress: Progress,
) -> Result<T, ArtifactError> {
    require_programs(wanted)?;
    let (apt, complaints) = match suite {
        Some(suite) => Apt::suite(suite, lists, progress)?,
        None => {
            let system = Apt::system(progress);
            if let Ok(Some(chosen)) = choose(&system)
                && system.download_all(packages(&chosen), into).is_ok()
            {
                return Ok(chosen);
            }
            Apt::updated(lists, progress)?
        }
    };
    let chosen = choose(&apt)?.ok_or_else(|| match suite {
        // Sources that a suite does not have are no reason, but if there is none at all, they are.
        Some(suite) => ArtifactError::NoSuite {
            package: wanted.to_owned(),
            suite: suite.to_owned(),
            output: tail(&complaints),
        },
        None => absent(wanted, &complaints),
    })?;
    // What a failed attempt has left is of another version.
    for left in packages_in(into) {
        fs::remove_file(&left).map_err(ArtifactError::io("remove", &left))?;
    }
    apt.download_all(packages(&chosen), into)?;
    Ok(chosen)
}

/// Makes sure that the programs of this module are there.
fn require_programs(wanted: &str) -> Result<(), ArtifactError> {
    for program in ["apt-get", "apt-cache", "dpkg-deb"] {
        if !tools::is_installed(program) {
            return Err(ArtifactError::NoApt {
                package: wanted.to_owned(),
                program: program.to_owned(),
            });
        }
    }
    Ok(())
}

impl Apt {
    /// apt with the system's lists.
    fn system(progress: Progress) -> Self {
        Self {
            options: common_options(),
            progress,
        }
    }

    /// apt with the lists that the system has, for a look without any network.
    pub(super) fn as_it_is() -> Self {
        Self::system(Progress::Silent)
    }

    /// apt with the lists of our own that are there already, if any are.
    pub(super) fn own_as_it_is(directory: &Path) -> Option<Self> {
        directory.join("state/lists").is_dir().then(|| Self {
            options: own_options(directory),
            progress: Progress::Silent,
        })
    }

    /// apt with lists below `directory`, fetched now, and what apt complained about meanwhile.
    fn updated(directory: &Path, progress: Progress) -> Result<(Self, String), ArtifactError> {
        let _lock = create_directories(directory)?;
        let apt = Self {
            options: own_options(directory),
            progress,
        };
        let _step = progress.spinner("fetching Debian's package lists");
        let complaints = apt.update()?;
        Ok((apt, complaints))
    }

    /// The stanza of the version of a package that apt would install.
    pub(super) fn candidate(&self, package: &str) -> Result<Option<Stanza>, ArtifactError> {
        let mut command = self.command("apt-cache");
        command.args(["show", "--no-all-versions", package]);
        let output = tools::output(&mut command)
            .map_err(ArtifactError::io("run", Path::new("apt-cache")))?;
        Ok(Stanza::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// The stanzas of all versions of some packages, asked for at once: where apt keeps no index, each
    /// call reads all lists.
    pub(super) fn versions(&self, packages: &[&str]) -> Result<Vec<Stanza>, ArtifactError> {
        let mut command = self.command("apt-cache");
        command.args(["show", "--all-versions"]).args(packages);
        let output = tools::output(&mut command)
            .map_err(ArtifactError::io("run", Path::new("apt-cache")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut stanzas: Vec<Stanza> = text.split("\n\n").filter_map(Stanza::parse).collect();
        stanzas.retain(|stanza| packages.contains(&stanza.package.as_str()));
        stanzas.dedup();
        Ok(stanzas)
    }

    /// The names of all packages that begin with `prefix`, sorted.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>, ArtifactError> {
        let output = tools::output(self.command("apt-cache").args(["pkgnames", prefix]))
            .map_err(ArtifactError::io("run", Path::new("apt-cache")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut names: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// The stanzas of all packages that apt would install on a system where nothing is installed.
    /// `scratch` is where it looks for packages that it has already.
    fn dependencies(&self, names: &[String], scratch: &Path) -> Result<Vec<Stanza>, ArtifactError> {
        let mut archives = OsString::from("Dir::Cache::archives=");
        archives.push(scratch);
        let mut command = self.command("apt-get");
        command
            .args(["-o", "Dir::State::status=/dev/null"])
            .args(["-o", "Debug::NoLocking=1", "-o"])
            .arg(archives)
            .args(["-o", "APT::Install-Recommends=0"])
            .args(["--print-uris", "--yes", "-qq", "install", "--"])
            .args(names);
        let output =
            tools::output(&mut command).map_err(ArtifactError::io("run", Path::new("apt-get")))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let exact: Vec<String> = said.lines().filter_map(exact_package).collect();
        if !output.status.success() || exact.is_empty() {
            return Err(ArtifactError::Fetch {
                action: format!("find what {} needs", names.join(" ")),
                output: tail(&String::from_utf8_lossy(&output.stderr)),
            });
        }
        let mut command = self.command("apt-cache");
        command.arg("show").args(&exact);
        let output = tools::output(&mut command)
            .map_err(ArtifactError::io("run", Path::new("apt-cache")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut stanzas: Vec<Stanza> = text.split("\n\n").filter_map(Stanza::parse).collect();
        stanzas.sort_by(|a, b| a.package.cmp(&b.package));
        stanzas.dedup();
        Ok(stanzas)
    }

    /// Downloads exactly these packages.
    fn download_all(&self, stanzas: &[Stanza], into: &Path) -> Result<(), ArtifactError> {
        let failed = || ArtifactError::io("run", Path::new("apt-get"));
        let total = stanzas.iter().map(|stanza| stanza.size).sum();
        let step = self
            .progress
            .bytes(&format!("fetching {}", counted(stanzas)), total);
        let exact = stanzas
            .iter()
            .map(|s| format!("{}={}", s.package, s.version));
        let mut command = self.command("apt-get");
        command.arg("download").args(exact).current_dir(into);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let (mut child, _group) = tools::start(&mut command).map_err(failed())?;
        watch(&mut child, || step.at(bytes_in(into)));
        let output = child.wait_with_output().map_err(failed())?;
        if output.status.success() && packages_in(into).len() == stanzas.len() {
            return Ok(());
        }
        Err(ArtifactError::Fetch {
            action: "download the packages".to_owned(),
            output: tail(&String::from_utf8_lossy(&output.stderr)),
        })
    }

    /// Downloads exactly this package.
    fn download(&self, stanza: &Stanza, into: &Path) -> Result<PathBuf, ArtifactError> {
        let failed = || ArtifactError::io("run", Path::new("apt-get"));
        let wanted = format!("{}={}", stanza.package, stanza.version);
        let step = self
            .progress
            .bytes(&format!("fetching {}", stanza.package), stanza.size);
        let mut command = self.command("apt-get");
        command.args(["download", &wanted]).current_dir(into);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let (mut child, _group) = tools::start(&mut command).map_err(failed())?;
        watch(&mut child, || step.at(bytes_in(into)));
        let output = child.wait_with_output().map_err(failed())?;
        let package = packages_in(into).pop();
        match package {
            Some(package) if output.status.success() => Ok(package),
            _ => Err(ArtifactError::Fetch {
                action: format!("download {wanted}"),
                output: tail(&String::from_utf8_lossy(&output.stderr)),
            }),
        }
    }

    fn update(&self) -> Result<String, ArtifactError> {
        let output = tools::output(self.command("apt-get").arg("update"))
            .map_err(ArtifactError::io("run", Path::new("apt-get")))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        Err(lists_failed(&said))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = tools::command(program);
        command.args(&self.options);
        command
    }
}

/// `NAME=VERSION` of a line `'URI' NAME_VERSION_ARCHITECTURE.deb SIZE HASH`, in whose file name apt
/// writes some characters of the version as `%3a`.
fn exact_package(line: &str) -> Option<String> {
    let mut file = line.split(' ').nth(1)?.strip_suffix(".deb")?.split('_');
    let (name, version) = (file.next()?, file.next()?);
    Some(format!("{name}={}", version.replace("%3a", ":")))
}

/// The error for a package that the lists do not have. Sources that could not be reached do not make
/// apt fail, but they may be the ones with the package.
fn absent(package: &str, complaints: &str) -> ArtifactError {
    if complaints.contains("Failed to fetch") {
        return lists_failed(complaints);
    }
    ArtifactError::NoPackage {
        package: package.to_owned(),
    }
}

fn lists_failed(said: &str) -> ArtifactError {
    ArtifactError::Fetch {
        action: "fetch the package lists".to_owned(),
        output: tail(said),
    }
}

/// One package by its name, several by their number.
fn counted(stanzas: &[Stanza]) -> String {
    match stanzas {
        [one] => one.package.clone(),
        _ => format!("{} packages", stanzas.len()),
    }
}

/// Whether a version is newer than another, as Debian orders them.
pub(super) fn is_newer(version: &str, than: &str) -> Result<bool, ArtifactError> {
    let mut command = tools::command("dpkg");
    command.args(["--compare-versions", version, "gt", than]);
    let output =
        tools::output(&mut command).map_err(ArtifactError::io("run", Path::new("dpkg")))?;
    Ok(output.status.success())
}

/// Makes the directories that apt does not make itself, and waits for the right to fetch lists into
/// them: apt itself would give up at once. The right ends when the file is dropped.
fn create_directories(directory: &Path) -> Result<fs::File, ArtifactError> {
    for part in ["state/lists/partial", "cache/archives/partial"] {
        let path = directory.join(part);
        fs::create_dir_all(&path).map_err(ArtifactError::io("create", &path))?;
    }
    let path = directory.join("chaosrun.lock");
    let lock = fs::File::create(&path).map_err(ArtifactError::io("create", &path))?;
    lock.lock().map_err(ArtifactError::io("lock", &path))?;
    Ok(lock)
}

/// Options for lists of our own below `directory`, from the system's sources.
fn own_options(directory: &Path) -> Vec<OsString> {
    let mut options = common_options();
    for (name, path) in [
        ("Dir::State", directory.join("state").as_path()),
        ("Dir::State::lists", &directory.join("state/lists")),
        ("Dir::Cache", &directory.join("cache")),
        ("Dir::State::status", Path::new("/var/lib/dpkg/status")),
    ] {
        set_path(&mut options, name, path);
    }
    options
}

fn set_path(options: &mut Vec<OsString>, name: &str, path: &Path) {
    let mut option = OsString::from(format!("{name}="));
    option.push(path);
    options.extend(["-o".into(), option]);
}

/// Options for every call: no questions, no endless waiting, and no change of user, which root's apt
/// would make and which then lacks access to our directories.
fn common_options() -> Vec<OsString> {
    let options = [
        "APT::Sandbox::User=root",
        "Acquire::Retries=2",
        "Acquire::http::Timeout=30",
        // Nothing but packages is looked for.
        "Acquire::Languages=none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    ];
    options
        .iter()
        .flat_map(|option| ["-o".into(), OsString::from(option)])
        .collect()
}

/// Calls `look` about five times a second until the child ends.
fn watch(child: &mut Child, look: impl Fn()) {
    while let Ok(None) = child.try_wait() {
        look();
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The bytes that have arrived in a download directory, complete or not.
fn bytes_in(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|data| data.len())
        .sum()
}

/// The packages in a download directory.
pub(super) fn packages_in(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stanza_counts() {
        let text = "Package: a\nVersion: 2-1\nDepends: b (= 2-1), c\nPre-Depends: d\n\
                    Section: libs\nSize: 1504\nTag: x\n\n\
                    Package: a\nVersion: 1-1\n";
        let expected = Stanza {
            package: "a".into(),
            version: "2-1".into(),
            depends: "b (= 2-1), c, d".into(),
            provides: String::new(),
            section: "libs".into(),
            priority: String::new(),
            size: 1504,
        };
        assert_eq!(Stanza::parse(text), Some(expected));
    }

    #[test]
    fn a_package_missing_from_unreachable_sources_is_blamed_on_the_network() {
        let complaints = "W: Failed to fetch http://archive/InRelease  Could not connect\n";
        let error = absent("p", complaints);
        assert!(matches!(error, ArtifactError::Fetch { .. }), "{error:?}");
        let error = absent("p", "");
        assert!(
            matches!(error, ArtifactError::NoPackage { .. }),
            "{error:?}"
        );
    }

    #[test]
    fn packages_are_read_from_what_apt_would_fetch() {
        let line = "'http://archive/r.deb' redis-tools_5%3a7.0.15-1~deb12u10_amd64.deb 991988 ";
        let expected = "redis-tools=5:7.0.15-1~deb12u10".to_owned();
        assert_eq!(exact_package(line), Some(expected));
        assert_eq!(exact_package("Reading package lists..."), None);
    }

    #[test]
    fn nothing_is_no_stanza() {
        assert_eq!(Stanza::parse(""), None);
        assert_eq!(Stanza::parse("E: No packages found\n"), None);
    }
}
