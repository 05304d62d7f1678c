//! Debian's packages, unpacked into chaosrun's cache without root and without being installed.
//!
//! A test whose software cannot be had fails, with the reason; it is never passed over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use chaosrun::artifact::{Progress, Store};

/// What packages have that no test needs but every guest would have to unpack.
const NOT_NEEDED: &[&str] = &[
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/audit",
];

/// The static busybox: the host's, or else the one of Debian's package.
pub fn busybox() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let installed = on_path("busybox").filter(|path| is_static(path));
        installed.unwrap_or_else(|| {
            let tree = tree("busybox", &["busybox-static"]);
            ["bin/busybox", "usr/bin/busybox"]
                .map(|part| tree.join(part))
                .into_iter()
                .find(|path| path.is_file())
                .expect("busybox-static has a busybox")
        })
    })
}

/// The Go compiler `bin/go` and its root: the host's, or else Debian's.
pub fn go() -> (PathBuf, Option<PathBuf>) {
    if let Some(installed) = on_path("go") {
        return (installed, None);
    }
    let version = dependency("golang-go", "golang-", "-go");
    let source = version.replace("-go", "-src");
    let tree = tree("go", &[&version, &source]);
    let number = version
        .trim_start_matches("golang-")
        .trim_end_matches("-go");
    let root = tree.join(format!("usr/lib/go-{number}"));
    (root.join("bin/go"), Some(root))
}

/// Debian's CPython with what it needs to run, as a file system tree, and the interpreter's name.
pub fn python() -> (PathBuf, String) {
    let minimal = dependency("python3-minimal", "python3.", "-minimal");
    let name = minimal.trim_end_matches("-minimal").to_owned();
    // Its name has changed with the size of times.
    let libssl = ["libssl3t64", "libssl3"].into_iter();
    let libssl = libssl
        .map(str::to_owned)
        .find(|name| stanza(name).is_some());
    let libssl = libssl.expect("Debian has OpenSSL");
    let packages = [
        minimal.clone(),
        format!("lib{minimal}"),
        format!("lib{name}-stdlib"),
        "libc6".into(),
        "libexpat1".into(),
        "zlib1g".into(),
        "libbz2-1.0".into(),
        "liblzma5".into(),
        libssl,
        "libsqlite3-0".into(),
    ];
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    (tree("python", &packages), name)
}

/// Where tests keep what takes long to make.
pub fn cache() -> PathBuf {
    let store = Store::open(Progress::Silent).expect("there is a cache");
    store.root().join("test-software")
}

/// Unpacks `packages` into one tree, once; the versions are those that apt chooses.
fn tree(name: &str, packages: &[&str]) -> PathBuf {
    let target = cache().join(format!(
        "{name}-{:.16}",
        blake3::hash(packages.join(" ").as_bytes()).to_hex()
    ));
    if target.is_dir() {
        return target;
    }
    fs::create_dir_all(cache()).expect("the cache can be written");
    let scratch = tempfile::tempdir_in(cache()).expect("the cache can be written");
    let (root, files) = (scratch.path().join("root"), scratch.path().join("packages"));
    fs::create_dir(&files).unwrap();
    download(&Lists::system(), packages, &files);
    for file in fs::read_dir(&files).unwrap() {
        run(Command::new("dpkg-deb")
            .arg("-x")
            .arg(file.unwrap().path())
            .arg(&root));
    }
    for part in NOT_NEEDED {
        let _ = fs::remove_dir_all(root.join(part));
    }
    // Another process may have been faster; its tree is as good.
    if let Err(error) = fs::rename(&root, &target) {
        assert!(target.is_dir(), "{}: {error}", target.display());
    }
    target
}

/// Package lists for apt: what it is told besides the system's configuration.
struct Lists(Vec<String>);

impl Lists {
    /// The system's, which may be empty, as in containers, or too old.
    fn system() -> Self {
        Self(Vec::new())
    }

    /// Those below a folder.
    fn below(folder: &Path) -> Self {
        let folder = folder.display();
        let options = [
            format!("Dir::State={folder}/state"),
            format!("Dir::State::lists={folder}/state/lists"),
            format!("Dir::Cache={folder}/cache"),
            "Dir::State::status=/var/lib/dpkg/status".to_owned(),
        ];
        Self(
            options
                .into_iter()
                .flat_map(|option| ["-o".to_owned(), option])
                .collect(),
        )
    }

    /// Ours, which are fetched once in each run of the tests.
    fn own() -> &'static Self {
        static OWN: OnceLock<Lists> = OnceLock::new();
        OWN.get_or_init(|| {
            let folder = cache().join("apt");
            for part in ["state/lists/partial", "cache/archives/partial"] {
                fs::create_dir_all(folder.join(part)).expect("the cache can be written");
            }
            let lists = Self::below(&folder);
            run(lists.command("apt-get").arg("update"));
            lists
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2"]);
        command.args(&self.0).env("LC_ALL", "C");
        command
    }
}

/// Downloads packages into a folder, by these lists or else by ours.
fn download(lists: &Lists, packages: &[&str], into: &Path) {
    let command = |lists: &Lists| {
        let mut command = lists.command("apt-get");
        command.arg("download").args(packages).current_dir(into);
        command
    };
    let first = command(lists).output();
    if !first.is_ok_and(|output| output.status.success()) {
        run(&mut command(Lists::own()));
    }
}

/// What is known of a package, if it is known: by the system's lists, unless they are empty.
fn stanza(package: &str) -> Option<String> {
    let of = |lists: &Lists, package: &str| {
        let mut command = lists.command("apt-cache");
        // What is installed is known without lists, too, but not for sure to be had.
        command.args(["-o", "Dir::State::status=/dev/null"]);
        command.args(["show", "--no-all-versions", package]);
        let output = command.output().ok()?;
        let text = String::from_utf8(output.stdout).expect("the output is text");
        text.contains("Package: ").then_some(text)
    };
    let system = Lists::system();
    match of(&system, "libc6") {
        Some(_) => of(&system, package),
        None => of(Lists::own(), package),
    }
}

/// The name, among the dependencies of `package`, with this start and end.
fn dependency(package: &str, start: &str, end: &str) -> String {
    let stanza = stanza(package).unwrap_or_else(|| panic!("apt does not know {package}"));
    stanza
        .lines()
        .filter_map(|line| line.trim_start_matches("Pre-").strip_prefix("Depends: "))
        .flat_map(|line| line.split([',', '|']))
        .filter_map(|entry| entry.split_whitespace().next())
        .find(|name| name.starts_with(start) && name.ends_with(end))
        .unwrap_or_else(|| panic!("{package} depends on no {start}*{end}"))
        .to_owned()
}

/// Runs a program to its good end and returns what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("this test needs {command:?}: {error}"));
    assert!(
        output.status.success(),
        "this test needs {command:?} to work, but: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the output is text")
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// Whether an ELF file has no program header PT_INTERP (ELF-64, program header table).
fn is_static(path: &Path) -> bool {
    const PT_INTERP: u32 = 3;
    let content = fs::read(path).unwrap_or_default();
    let number = |at: usize, length: usize| {
        let bytes = content.get(at..at + length)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0u64, |all, byte| all << 8 | u64::from(*byte)),
        )
    };
    let headers = || {
        Some((
            number(0x20, 8)? as usize,
            number(0x36, 2)? as usize,
            number(0x38, 2)? as usize,
        ))
    };
    let Some((table, size, count)) = headers().filter(|_| content.starts_with(b"\x7fELF")) else {
        return false;
    };
    (0..count).all(|index| number(table + index * size, 4) != Some(u64::from(PT_INTERP)))
}

#[test]
fn empty_package_lists_of_the_host_are_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["state/lists/partial", "cache/archives/partial", "files"] {
        fs::create_dir_all(folder.path().join(part)).unwrap();
    }
    let files = folder.path().join("files");
    download(&Lists::below(folder.path()), &["busybox-static"], &files);
    let found = fs::read_dir(&files).unwrap().next();
    let name = found.expect("it was downloaded").unwrap().file_name();
    assert!(
        name.to_string_lossy().starts_with("busybox-static_"),
        "{name:?}"
    );
}
