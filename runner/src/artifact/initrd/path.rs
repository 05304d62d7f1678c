//! Paths inside an initial RAM disk.

use std::fmt;

use super::InitrdError;

/// The longest path in bytes that Linux accepts (`PATH_MAX` without the final zero).
const PATH_MAX: usize = 4095;
/// The longest component in bytes that Linux accepts.
const NAME_MAX: usize = 255;

/// A path with at least one component, without a leading or doubled slash, `.`, `..` or zero bytes.
/// It need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CleanPath(Vec<u8>);

impl CleanPath {
    /// Checks a path; slashes at its start are dropped.
    pub(super) fn new(path: &[u8]) -> Result<Self, InitrdError> {
        let bad = |reason| InitrdError::BadPath {
            path: lossy(path),
            reason,
        };
        let start = path
            .iter()
            .position(|&byte| byte != b'/')
            .unwrap_or(path.len());
        let path = &path[start..];
        if path.is_empty() {
            return Err(bad("it is empty"));
        }
        if path.len() > PATH_MAX {
            return Err(bad("it is too long"));
        }
        if path.contains(&0) {
            return Err(bad("it has a zero byte"));
        }
        if path == super::cpio::TRAILER {
            return Err(bad("this name marks the end of an archive"));
        }
        for component in path.split(|&byte| byte == b'/') {
            match component {
                b"" => return Err(bad("it has an empty component")),
                b"." | b".." => return Err(bad("it has a relative component")),
                _ if component.len() > NAME_MAX => return Err(bad("a component is too long")),
                _ => {}
            }
        }
        Ok(Self(path.to_owned()))
    }

    /// The directories above, from the outermost one.
    pub(super) fn parents(&self) -> Vec<Self> {
        let slashes = self.0.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
        slashes
            .map(|(at, _)| Self(self.0[..at].to_owned()))
            .collect()
    }
}

impl AsRef<[u8]> for CleanPath {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for CleanPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&lossy(&self.0))
    }
}

/// Checks the target of a symbolic link, which may be any path.
pub(super) fn check_target(link: &CleanPath, target: &[u8]) -> Result<(), InitrdError> {
    let bad = |reason| InitrdError::BadPath {
        path: link.to_string(),
        reason,
    };
    match target {
        [] => Err(bad("the link's target is empty")),
        _ if target.len() > PATH_MAX => Err(bad("the link's target is too long")),
        _ if target.contains(&0) => Err(bad("the link's target has a zero byte")),
        _ => Ok(()),
    }
}

fn lossy(path: &[u8]) -> String {
    const SHOWN: usize = 200;
    String::from_utf8_lossy(&path[..path.len().min(SHOWN)]).into_owned()
}
