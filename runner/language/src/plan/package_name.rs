//! The names of Debian packages.

/// Why a word is not the name of a package, or nothing if it is one. A version may stand behind `=`.
#[must_use]
pub fn name_problem(name: &str) -> Option<&'static str> {
    let (package, version) = match name.split_once('=') {
        Some((package, version)) => (package, Some(version)),
        None => (name, None),
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if package.len() < 2 || !package.starts_with(plain) {
        return Some("a package's name has at least two characters and begins with one of a-z0-9");
    }
    if !package.chars().all(|c| plain(c) || "+-.".contains(c)) {
        return Some("a package's name is made of a-z, 0-9, `+`, `-` and `.`");
    }
    let in_version = |c: char| c.is_ascii_alphanumeric() || "+-.~:".contains(c);
    match version {
        Some(v) if v.is_empty() || !v.chars().all(in_version) => {
            Some("a version is made of letters, digits, `+`, `-`, `.`, `~` and `:`")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_be_options_or_paths() {
        for good in [
            "redis-server",
            "libstdc++6",
            "g++",
            "redis=5:7.0.15-1~deb12u10",
            "0ad",
        ] {
            assert_eq!(name_problem(good), None, "{good}");
        }
        for bad in [
            "",
            "-o",
            "a",
            "../x",
            "a b",
            "redis=",
            "redis=$(x)",
            "Redis",
            "redis=1=2",
        ] {
            assert!(name_problem(bad).is_some(), "{bad}");
        }
    }
}
