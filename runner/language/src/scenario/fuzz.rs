//! Bodies of the fuzz targets: whatever the bytes are, the parsers end in bounded time, and what
//! they accept survives formatting.

use std::path::Path;

use super::diag::{Rendering, render};
use super::source::Language;
use super::{kdl, load_text, toml_format};

/// Reads bytes as a KDL scenario.
///
/// # Panics
/// If formatting changes what an accepted text means: that is the bug to find.
pub fn fuzz_kdl(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if fuzz(text, Language::Kdl, "fuzz.kdl") {
        let tidy = kdl::format(text);
        assert!(
            kdl::same(text, &tidy),
            "formatting changed the meaning:\n{tidy}"
        );
        assert!(
            fuzz(&tidy, Language::Kdl, "fuzz.kdl"),
            "formatting made a good text bad:\n{tidy}"
        );
        assert_eq!(kdl::format(&tidy), tidy, "formatting is not stable");
    }
}

/// Reads bytes as a TOML scenario.
///
/// # Panics
/// If formatting changes what an accepted text means: that is the bug to find.
pub fn fuzz_toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if fuzz(text, Language::Toml, "fuzz.toml") {
        let Ok(tidy) = toml_format::format(text) else {
            return;
        };
        assert!(
            fuzz(&tidy, Language::Toml, "fuzz.toml"),
            "formatting made a good text bad:\n{tidy}"
        );
        assert_eq!(
            toml_format::format(&tidy).as_deref(),
            Ok(tidy.as_str()),
            "formatting is not stable"
        );
    }
}

/// Reads and renders. Returns whether there were no errors.
fn fuzz(text: &str, language: Language, name: &str) -> bool {
    let loaded = load_text(text, language, name, Path::new("/nonexistent"));
    let good = !loaded.diags.has_errors();
    let diags = loaded.diags.into_sorted();
    for rendering in [
        Rendering::Graphical {
            color: false,
            width: 80,
        },
        Rendering::Narrated,
        Rendering::Json,
        Rendering::Github,
    ] {
        let _ = render(&loaded.sources, &diags, rendering);
    }
    good
}
