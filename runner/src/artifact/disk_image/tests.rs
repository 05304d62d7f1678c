//! Files under disks: their hashes, what is remembered of them, and what happens when they change.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chaosrun_vmm::disk::Content;

use super::known;
use super::*;
use crate::artifact::ArtifactError;

/// A length that is remembered and no multiple of a block.
const SIZE: u64 = (9 << 20) + 512;

/// Where hashes are remembered, and a file with something here and there.
fn image() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let file = File::create(&path).unwrap();
    file.set_len(SIZE).unwrap();
    for at in [3, (1 << 20) - 1, 5 << 20, SIZE - 1] {
        file.write_all_at(b"x", at).unwrap();
    }
    (folder, path)
}

fn hash(folder: &Path, path: &Path) -> String {
    known::open(path, Some(&folder.join("known"))).unwrap().2
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder.join("known")).map_or(0, Iterator::count)
}

/// Has a file look as if it had not been touched for a minute. Its status has been, just now; so this
/// waits until that is long enough ago as well.
fn settle(path: &Path) {
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let file = File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(past)).unwrap();
    let touched = file.metadata().unwrap().ctime();
    let folder = path.parent().unwrap();
    while tempfile::tempfile_in(folder)
        .unwrap()
        .metadata()
        .unwrap()
        .mtime()
        < touched + 4
    {
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_hole_and_zeros_are_the_same_content() {
    let (folder, path) = image();
    let full = folder.path().join("full");
    fs::write(&full, fs::read(&path).unwrap()).unwrap();
    let wanted = hash(folder.path(), &path);
    assert_eq!(hash(folder.path(), &full), wanted);
    // Each byte and the length count.
    let file = File::options().write(true).open(&full).unwrap();
    for at in [0, 4 << 20, SIZE - 512] {
        file.write_all_at(b"y", at).unwrap();
        assert_ne!(hash(folder.path(), &full), wanted, "{at}");
        file.write_all_at(&[0], at).unwrap();
    }
    assert_eq!(hash(folder.path(), &full), wanted);
    file.set_len(SIZE + 512).unwrap();
    assert_ne!(hash(folder.path(), &full), wanted);
}

#[test]
fn a_block_that_moves_is_another_content() {
    let (folder, path) = image();
    let before = hash(folder.path(), &path);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0], 5 << 20).unwrap();
    file.write_all_at(b"x", 6 << 20).unwrap();
    assert_ne!(hash(folder.path(), &path), before);
}

#[test]
fn a_sparse_terabyte_is_hashed_at_once_and_has_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge");
    let file = File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all_at(b"far away", 700 << 30).unwrap();
    let known = folder.path().join("known");
    let image = DiskFile::open(&path, &hash(folder.path(), &path), &known).unwrap();
    let mut bytes = [1; 16];
    image.read(700 << 30, &mut bytes);
    assert_eq!(&bytes, b"far away\0\0\0\0\0\0\0\0");
    image.read((1 << 40) - 8, &mut bytes);
    assert_eq!(bytes, [0; 16]);
    assert_eq!(image.len(), 1 << 40);
    image.verify().unwrap();
    assert!(
        fs::metadata(&path).unwrap().blocks() < 1024,
        "it stays sparse"
    );
}

#[test]
fn a_settled_file_is_hashed_once() {
    let (folder, path) = image();
    settle(&path);
    let first = hash(folder.path(), &path);
    assert_eq!(entries(folder.path()), 1);
    // Whoever asks again gets what is remembered, which this test alone makes visible.
    let entry = fs::read_dir(folder.path().join("known"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let other = blake3::hash(b"other").to_hex().to_string();
    let text = fs::read_to_string(&entry).unwrap();
    fs::write(&entry, text.replace(&first, &other)).unwrap();
    assert_eq!(hash(folder.path(), &path), other);
    // A damaged memory is none.
    fs::write(&entry, text.replace(&first, "zz")).unwrap();
    assert_eq!(hash(folder.path(), &path), first);
    fs::write(&entry, "{").unwrap();
    assert_eq!(hash(folder.path(), &path), first);
}

#[test]
fn whatever_changes_a_file_makes_it_be_hashed_again() {
    let (folder, path) = image();
    settle(&path);
    let before = hash(folder.path(), &path);
    let times = fs::metadata(&path).unwrap();
    // In place, with the time put back as copying programs do: only the status tells.
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"y", 3).unwrap();
    file.set_times(FileTimes::new().set_modified(times.modified().unwrap()))
        .unwrap();
    let after = hash(folder.path(), &path);
    assert_ne!(after, before);
    // Another file at the same path, of the same length and time.
    let other = folder.path().join("other");
    fs::write(&other, vec![9; SIZE as usize]).unwrap();
    File::options()
        .write(true)
        .open(&other)
        .unwrap()
        .set_times(FileTimes::new().set_modified(times.modified().unwrap()))
        .unwrap();
    fs::rename(&other, &path).unwrap();
    assert_ne!(hash(folder.path(), &path), before);
    assert_ne!(hash(folder.path(), &path), after);
}

#[test]
fn a_file_that_was_touched_just_now_is_not_remembered() {
    let (folder, path) = image();
    hash(folder.path(), &path);
    assert_eq!(entries(folder.path()), 0);
    // Nor one from the future.
    let future = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 34);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_times(FileTimes::new().set_modified(future))
        .unwrap();
    hash(folder.path(), &path);
    assert_eq!(entries(folder.path()), 0);
}

fn opened(folder: &Path, path: &Path) -> DiskFile {
    DiskFile::open(path, &hash(folder, path), &folder.join("known")).unwrap()
}

#[test]
fn another_content_than_the_plans_is_refused() {
    let (folder, path) = image();
    let refused = DiskFile::open(&path, "0", &folder.path().join("known"));
    assert!(
        matches!(refused, Err(ArtifactError::Changed { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_file_that_changes_while_it_is_in_use_is_noticed() {
    let (folder, path) = image();
    let image = opened(folder.path(), &path);
    image.verify().unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"y", 3).unwrap();
    let noticed = image.verify();
    assert!(
        matches!(noticed, Err(ArtifactError::Changed { .. })),
        "{noticed:?}"
    );
}

#[test]
fn a_file_that_is_cut_while_it_is_in_use_gives_zeros_and_an_error() {
    let (folder, path) = image();
    let image = opened(folder.path(), &path);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    let mut bytes = [1; 512];
    image.read(5 << 20, &mut bytes);
    assert_eq!(bytes, [0; 512]);
    file.set_len(SIZE).unwrap();
    let noticed = image.verify().unwrap_err();
    assert!(matches!(noticed, ArtifactError::Io { .. }), "{noticed:?}");
}

#[test]
fn another_name_or_permission_is_no_change_and_neither_is_a_new_file_in_its_place() {
    let (folder, path) = image();
    let image = opened(folder.path(), &path);
    fs::hard_link(&path, folder.path().join("again")).unwrap();
    image.verify().unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "other").unwrap();
    fs::rename(&other, &path).unwrap();
    image.verify().unwrap();
    let mut bytes = [0; 1];
    image.read(5 << 20, &mut bytes);
    assert_eq!(&bytes, b"x");
    // With the time put back, the content decides.
    let again = File::options()
        .write(true)
        .open(folder.path().join("again"))
        .unwrap();
    let modified = again.metadata().unwrap().modified().unwrap();
    again.write_all_at(b"y", 3).unwrap();
    again
        .set_times(FileTimes::new().set_modified(modified))
        .unwrap();
    let noticed = image.verify();
    assert!(
        matches!(noticed, Err(ArtifactError::Changed { .. })),
        "{noticed:?}"
    );
}
