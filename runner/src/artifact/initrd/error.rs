//! Why an initial RAM disk cannot be built.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// An initial RAM disk cannot be built.
#[derive(Debug, Error, Diagnostic)]
pub enum InitrdError {
    /// A path that no file system could have.
    #[error("`{path}` is not a path for an initrd: {reason}")]
    #[diagnostic(
        code(chaosrun::initrd::bad_path),
        help("paths are relative to the root, at most 4095 bytes long, without `.` and `..`")
    )]
    BadPath {
        /// The path, with what is not UTF-8 replaced.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A path is a directory for one entry and something else for another.
    #[error("`{path}` cannot be a directory and something else at the same time")]
    #[diagnostic(
        code(chaosrun::initrd::conflict),
        help("remove one of the two, or give it another name")
    )]
    Conflict {
        /// The path.
        path: String,
    },
    /// A second name is wanted for what cannot have one.
    #[error("`{path}` cannot be a hard link to `{target}`")]
    #[diagnostic(
        code(chaosrun::initrd::bad_link),
        help("add the file first; directories and symbolic links have one name")
    )]
    BadLink {
        /// The path that is to be the link.
        path: String,
        /// What it should be linked to.
        target: String,
    },
    /// The archive is too large.
    #[error("with `{path}` the initrd has more than {limit} bytes")]
    #[diagnostic(
        code(chaosrun::initrd::too_large),
        help("it is unpacked into the guest's memory; put large files on a disk instead")
    )]
    TooLarge {
        /// The entry that went over the limit.
        path: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A directory has something that an archive cannot hold.
    #[error("`{}` is neither a file, a directory, a link, a device nor a pipe", path.display())]
    #[diagnostic(code(chaosrun::initrd::bad_kind), help("remove it from the directory"))]
    BadKind {
        /// Where it is on the host.
        path: PathBuf,
    },
    /// Reading from the host failed.
    #[error("cannot read `{}`", path.display())]
    #[diagnostic(code(chaosrun::initrd::io), help("check the path and its permissions"))]
    Io {
        /// Where on the host.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A compressor failed.
    #[error("cannot compress the initrd")]
    #[diagnostic(
        code(chaosrun::initrd::compress),
        help("check the free memory, or leave the initrd uncompressed")
    )]
    Compress {
        /// What the compressor says.
        source: io::Error,
    },
}
