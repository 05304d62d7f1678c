//! What can go wrong with artifacts, each with advice.

use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

/// An artifact is not available.
#[derive(Debug, Error, Diagnostic)]
pub enum ArtifactError {
    /// The name is neither that of a known artifact nor of a file.
    #[error("there is no kernel `{name}`: it is neither a known name nor a file")]
    #[diagnostic(code(chaosrun::artifact::unknown))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The known names, and the one that was probably meant.
        #[help]
        advice: String,
    },
    /// The path exists but is a directory, a device or the like.
    #[error("`{}` is not a regular file", path.display())]
    #[diagnostic(
        code(chaosrun::artifact::not_a_file),
        help("give the path of a vmlinux or bzImage file")
    )]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is larger than any kernel or initial RAM disk that could be booted.
    #[error("`{}` has {size} bytes; at most {limit} fit into a guest's memory", path.display())]
    #[diagnostic(
        code(chaosrun::artifact::too_large),
        help(
            "check that this is a kernel, an initial RAM disk or a file of a guest; large files belong \
             on a disk, as its `image` or `base`"
        )
    )]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// The file's size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file's content is not what it was when it was hashed.
    #[error("`{}` changed while it was in use", path.display())]
    #[diagnostic(
        code(chaosrun::artifact::changed),
        help("run again; if it is in chaosrun's cache, `chaosrun artifact clean` first")
    )]
    Changed {
        /// The path.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error("cannot {action} `{}`", path.display())]
    #[diagnostic(
        code(chaosrun::artifact::io),
        help("check the permissions and the free space there; `XDG_CACHE_HOME` moves the cache")
    )]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// There is nowhere to put the cache.
    #[error("there is no place for the cache: neither `XDG_CACHE_HOME` nor `HOME` is set")]
    #[diagnostic(
        code(chaosrun::artifact::no_cache_home),
        help("set XDG_CACHE_HOME to an absolute path of a directory that can be written")
    )]
    NoCacheHome,
    /// Programs or libraries that a step needs are not installed.
    #[error("{what} needs {}, which this machine lacks", missing.join(", "))]
    #[diagnostic(
        code(chaosrun::artifact::missing_tools),
        help("install them with `apt-get install {}`", packages.join(" "))
    )]
    MissingTools {
        /// What needs them.
        what: String,
        /// The programs and files that are missing.
        missing: Vec<String>,
        /// The Debian packages that have them.
        packages: Vec<String>,
    },
    /// There is no apt-get.
    #[error("`{package}` comes from Debian's package archive, and this machine has no `{program}`")]
    #[diagnostic(
        code(chaosrun::artifact::no_apt),
        help("use a Debian machine or container, or give the path of a kernel instead of a name")
    )]
    NoApt {
        /// The package that was wanted.
        package: String,
        /// The program that is missing.
        program: String,
    },
    /// The package sources of this machine do not know the package.
    #[error("the package sources of this machine do not have `{package}`")]
    #[diagnostic(
        code(chaosrun::artifact::no_package),
        help(
            "it is in Debian's archive (main and security); check /etc/apt/sources.list*, or give \
             the path of a kernel instead of a name"
        )
    )]
    NoPackage {
        /// The package that was wanted.
        package: String,
    },
    /// The package sources have the package, but not the version.
    #[error("there is no version `{wanted}` of `{package}`; there are {}", known.join(", "))]
    #[diagnostic(
        code(chaosrun::artifact::no_version),
        help(
            "`*` stands for anything, as in `6.12*`; another suite may have it \
             (`kernel \"debian\" version=\"6.12*\" suite=\"trixie\"`)"
        )
    )]
    NoVersion {
        /// The package.
        package: String,
        /// The version that was wanted.
        wanted: String,
        /// The versions that there are.
        known: Vec<String>,
    },
    /// No source of this machine has the suite, or not with the package.
    #[error(
        "the package sources of this machine do not have `{package}` in the suite `{suite}`\n{output}"
    )]
    #[diagnostic(
        code(chaosrun::artifact::no_suite),
        help(
            "the archives are those of Debian or Ubuntu in /etc/apt/sources.list*; check the suite's \
             name there and the network"
        )
    )]
    NoSuite {
        /// The package that was wanted.
        package: String,
        /// The suite.
        suite: String,
        /// What apt complained about.
        output: String,
    },
    /// None of this machine's package sources is Debian's or Ubuntu's.
    #[error("none of this machine's package sources is Debian's or Ubuntu's\n{output}")]
    #[diagnostic(
        code(chaosrun::artifact::no_archive),
        help("add one to /etc/apt/sources.list*, or give the path of a kernel instead of a name")
    )]
    NoArchive {
        /// What apt complained about.
        output: String,
    },
    /// A part of a kernel is missing in the package sources.
    #[error("`{package}` needs `{part}`, which the package sources of this machine do not have")]
    #[diagnostic(
        code(chaosrun::artifact::missing_part),
        help("run `apt-get update`; or name another version, package or suite of the kernel")
    )]
    MissingPart {
        /// The package that needs it.
        package: String,
        /// The package that is missing.
        part: String,
    },
    /// The name of a kernel chooses one of Debian's in a way that is not understood.
    #[error("there is no kernel `{name}`: {why}")]
    #[diagnostic(
        code(chaosrun::artifact::bad_choice),
        help("e.g. `debian:suite=sid` or `debian:package=linux-image-rt-amd64,version=6.12*`")
    )]
    BadChoice {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A word is not the name of a package.
    #[error("`{name}` is not the name of a Debian package: {why}")]
    #[diagnostic(
        code(chaosrun::artifact::bad_package_name),
        help("e.g. `redis-server`, or with a version `redis-server=5:7.0.15-1~deb12u10`")
    )]
    BadPackageName {
        /// The word.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// apt could not fetch.
    #[error("apt could not {action}:\n{output}")]
    #[diagnostic(
        code(chaosrun::artifact::fetch_failed),
        help(
            "check the network and the proxy settings of apt; what is in the cache already needs \
             no network (`chaosrun artifact list`)"
        )
    )]
    Fetch {
        /// What apt was to do.
        action: String,
        /// The end of what it said.
        output: String,
    },
    /// A package does not have what it should.
    #[error("the package `{package}` has no {wanted}")]
    #[diagnostic(
        code(chaosrun::artifact::bad_package),
        help(
            "the package has changed its layout; name another version or package of the kernel, or give \
             the path of one"
        )
    )]
    BadPackage {
        /// The package.
        package: String,
        /// What was looked for.
        wanted: String,
    },
    /// A program that unpacks or builds failed.
    #[error("{what} failed:\n{output}")]
    #[diagnostic(
        code(chaosrun::artifact::build_failed),
        help("the whole output is in {}", log.display())
    )]
    Build {
        /// What failed.
        what: String,
        /// The end of its output.
        output: String,
        /// The file with all of it.
        log: PathBuf,
    },
    /// A crate cannot be understood.
    #[error("the crate `{}` cannot be built: {why}", folder.display())]
    #[diagnostic(
        code(chaosrun::artifact::bad_crate),
        help("give the folder of a package, with a Cargo.toml")
    )]
    BadCrate {
        /// The crate's folder.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// cargo failed.
    #[error("cargo cannot build `{bin}`:\n{output}")]
    #[diagnostic(
        code(chaosrun::artifact::cargo_failed),
        help("cargo's whole output is in {}", log.display())
    )]
    Cargo {
        /// The binary.
        bin: String,
        /// What cargo said, from the first error on.
        output: String,
        /// The file with all of it.
        log: PathBuf,
    },
    /// A kernel lacks a driver that a node needs.
    #[error("the kernel has no module `{module}` below `{}`, and it is not built in", directory.display())]
    #[diagnostic(
        code(chaosrun::artifact::no_module),
        help("use the kernel `debian` or `tiny`, or a kernel with virtio built in")
    )]
    NoModule {
        /// The module.
        module: String,
        /// Where the kernel's modules are.
        directory: PathBuf,
    },
    /// The plan was made with another kernel of the same name.
    #[error("the kernel `{name}` here is not the one that the plan was made with")]
    #[diagnostic(
        code(chaosrun::artifact::other_kernel),
        help("plan again; or bring the other kernel into the cache, or name it by its path")
    )]
    OtherKernel {
        /// The kernel's name.
        name: String,
    },
    /// The plan names a file by its hash, and nothing says where it is.
    #[error("nothing says where {what} with the hash {hash} is on this machine")]
    #[diagnostic(
        code(chaosrun::artifact::no_origin),
        help("plan from the scenario, beside which the file is")
    )]
    NoOrigin {
        /// What it is, with an article.
        what: String,
        /// Its hash in hexadecimal digits.
        hash: String,
    },
    /// A program needs libraries or an interpreter that the node does not have.
    #[error("the program of the guest `{guest}` cannot be used: {why}")]
    #[diagnostic(
        code(chaosrun::artifact::bad_program),
        help(
            "give a static x86-64 executable, or a directory tree with the program and all that it \
             needs"
        )
    )]
    BadProgram {
        /// The guest.
        guest: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing says which program of a tree is to be started.
    #[error("the guest `{guest}` does not say which program of its tree is started: {why}")]
    #[diagnostic(
        code(chaosrun::artifact::no_command),
        help("write `command \"/usr/bin/app\"` into the guest")
    )]
    NoCommand {
        /// The guest.
        guest: String,
        /// What is wrong with it.
        why: String,
    },
    /// The node's memory cannot hold its first file system.
    #[error(
        "the node `{node}` has {memory_bytes} bytes of memory, too little for its initial RAM disk \
         of {initrd_bytes} bytes"
    )]
    #[diagnostic(
        code(chaosrun::artifact::memory),
        help("give the node more `memory`: about three times the size of its files")
    )]
    Memory {
        /// The node.
        node: String,
        /// Its memory.
        memory_bytes: u64,
        /// What is to be unpacked.
        initrd_bytes: u64,
    },
    /// An initial RAM disk cannot be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Initrd(#[from] super::initrd::InitrdError),
}

impl ArtifactError {
    /// Makes an adapter for `map_err` that says what was being done, and to which file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// The last lines of a program's output, for an error message.
pub(super) fn tail(output: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<&str> = output
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let start = lines.len().saturating_sub(LINES);
    lines[start..]
        .iter()
        .map(|line| format!("  {line}\n"))
        .collect()
}
