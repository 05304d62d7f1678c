//! Collects the sources of chaosrun-init, which an installed chaosrun builds on its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What is collected, relative to the project's root.
const PARTS: &[&str] = &["Cargo.toml", "Cargo.lock", "guests/init", "sdk"];

fn main() {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = package
        .parent()
        .expect("the package is inside of the project");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let mut files = Vec::new();
    // Checkouts may share a folder for what they build.
    println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");
    for part in PARTS {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
        collect(&root.join(part), &mut files).expect("the project is complete");
    }
    files.sort();
    let mut text = "/// Paths within the project, with contents, sorted.\n\
                    pub(super) const FILES: &[(&str, &[u8])] = &[\n"
        .to_owned();
    for file in files {
        let name = file
            .strip_prefix(root)
            .expect("it is inside of the project");
        let name = name.to_str().expect("names in the project are text");
        writeln!(
            text,
            "    ({name:?}, include_bytes!({:?})),",
            file.display().to_string()
        )
        .expect("a string takes everything");
    }
    text += "];\n";
    fs::write(out.join("init_sources.rs"), text).expect("OUT_DIR can be written");
}

/// Adds a file, or all manifests and sources below a directory.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let wanted = path.is_dir()
            || path.extension().is_some_and(|e| e == "rs")
            || path.file_name().is_some_and(|n| n == "Cargo.toml");
        if wanted
            && path
                .file_name()
                .is_some_and(|n| n != "target" && n != "tests")
        {
            collect(&path, files)?;
        }
    }
    Ok(())
}
