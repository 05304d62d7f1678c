//! Names the sources of this version of the machines, so that what one version has stored of them is not
//! taken for what another one would do.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What decides what machines do, relative to the package. In a registry the other packages are not beside
/// it, and this one's version stands for theirs.
const PARTS: &[&str] = &[
    "src",
    "Cargo.toml",
    "x86/src",
    "x86/Cargo.toml",
    "../chance/src",
    "../sdk/protocol/src",
    "../Cargo.lock",
];

fn main() {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    // Checkouts may share a folder for what they build.
    println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");
    let mut hasher = DefaultHasher::new();
    for part in PARTS {
        let path = package.join(part);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
            feed(&path, &mut hasher).expect("the sources can be read");
        }
    }
    env::var("CARGO_PKG_VERSION")
        .unwrap_or_default()
        .hash(&mut hasher);
    println!(
        "cargo::rustc-env=CHAOSRUN_VMM_SOURCES={:016x}",
        hasher.finish()
    );
}

/// Feeds a file, or all files below a directory in the order of their names.
fn feed(path: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    if path.is_dir() {
        let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
        let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| feed(entry, hasher));
    }
    fs::read(path)?.hash(hasher);
    Ok(())
}
