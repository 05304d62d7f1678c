//! Kernels in trees as packages of several distributions leave them.

use std::os::unix::fs::symlink;

use super::*;

/// A root with these files, each of which has its path as content.
fn root(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join("root").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    root
}

/// The kernel's release, where it was, and all files of its modules' tree.
fn found(scratch: &Path) -> Result<(String, String, Vec<String>), ArtifactError> {
    let root = scratch.join("root");
    let found = layout::kernel(&root, "p")?;
    let place = found.kernel.strip_prefix(&root).unwrap();
    let place = place.display().to_string();
    fs::remove_file(&found.kernel).unwrap();
    let tree = layout::modules(&root, &found.release, "p", scratch)?;
    let mut files = Vec::new();
    let mut pending = vec![tree.clone()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                files.push(path.strip_prefix(&tree).unwrap().display().to_string());
            }
        }
    }
    files.sort();
    Ok((found.release, place, files))
}

#[test]
fn every_layout_gives_the_kernel_and_its_modules() {
    let old = root(&[
        "boot/vmlinuz-6.1",
        "boot/config-6.1",
        "lib/modules/6.1/kernel/a.ko",
    ]);
    let merged = root(&["boot/vmlinuz-6.12", "usr/lib/modules/6.12/kernel/a.ko.xz"]);
    let parts = root(&[
        "usr/lib/modules/7.2/vmlinuz",
        "usr/lib/modules/7.2/modules.builtin",
        "usr/lib/modules/7.2/kernel/a.ko.xz",
    ]);
    // Packages of one kernel need not agree about where modules are.
    let mixed = root(&[
        "boot/vmlinuz-6.8",
        "lib/modules/6.8/modules.builtin",
        "usr/lib/modules/6.8/kernel/a.ko.zst",
    ]);
    for (folder, release, place, modules) in [
        (&old, "6.1", "boot/vmlinuz-6.1", vec!["kernel/a.ko"]),
        (&merged, "6.12", "boot/vmlinuz-6.12", vec!["kernel/a.ko.xz"]),
        (
            &parts,
            "7.2",
            "usr/lib/modules/7.2/vmlinuz",
            vec!["kernel/a.ko.xz", "modules.builtin"],
        ),
        (
            &mixed,
            "6.8",
            "boot/vmlinuz-6.8",
            vec!["kernel/a.ko.zst", "modules.builtin"],
        ),
    ] {
        let modules: Vec<String> = modules
            .iter()
            .map(|file| format!("lib/modules/{release}/{file}"))
            .collect();
        let expected = (release.to_owned(), place.to_owned(), modules);
        assert_eq!(found(folder.path()).unwrap(), expected);
    }
}

#[test]
fn a_link_to_a_kernel_is_none() {
    let folder = root(&["boot/vmlinuz-1", "lib/modules/1/kernel/a.ko"]);
    symlink(
        "../../../boot/vmlinuz-1",
        folder.path().join("root/lib/modules/1/vmlinuz"),
    )
    .unwrap();
    assert_eq!(found(folder.path()).unwrap().0, "1");
}

#[test]
fn what_is_missing_or_too_much_is_said() {
    for (files, said) in [
        (&["usr/share/doc/x"][..], "neither boot/vmlinuz-VERSION nor"),
        (&["boot/vmlinuz-1"], "modules of 1"),
        (
            &["boot/vmlinuz-1", "lib/modules/2/kernel/a.ko"],
            "modules of 1",
        ),
        // Only the list of what is built in is no module.
        (
            &["boot/vmlinuz-1", "lib/modules/1/modules.builtin"],
            "modules of 1",
        ),
        (&["boot/vmlinuz-1", "boot/vmlinuz-2"], "1 and 2"),
        (&["boot/vmlinuz-1", "lib/modules/1/vmlinuz"], "1 and 1"),
    ] {
        let refused = found(root(files).path()).unwrap_err().to_string();
        assert!(refused.contains(said), "{files:?}: {refused}");
    }
}

#[test]
fn two_archives_of_sources_in_one_package_are_ambiguous() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("vmlinuz-1"), "a").unwrap();
    let first = only_child(directory.path(), "vmlinuz-");
    fs::write(directory.path().join("vmlinuz-2"), "b").unwrap();
    assert_eq!(first, Some(directory.path().join("vmlinuz-1")));
    assert_eq!(only_child(directory.path(), "vmlinuz-"), None);
}

#[test]
fn each_choice_has_a_recipe_of_its_own_and_the_current_kernel_the_one_it_had() {
    let of = |name: &str| Distributed::new(KernelChoice::parse(name).unwrap().unwrap()).recipe();
    assert_eq!(of("debian"), blake3::hash(b"debian 1").to_hex().as_str());
    assert_ne!(of("debian:suite=sid"), of("debian"));
    assert_ne!(of("debian:suite=sid"), of("debian:suite=forky"));
}
