//! The builder against an independent reader of the format, and against hostile input.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;

/// A record as it was read back: name, mode, device numbers, content, and the other fields.
#[derive(Debug, PartialEq, Eq)]
struct Read1 {
    name: Vec<u8>,
    mode: u32,
    device: (u32, u32),
    content: Vec<u8>,
    inode: u32,
    links: u32,
    owner_and_time: (u32, u32, u32),
}

/// Reads an archive the way the kernel does: header, name, padding, content, padding.
fn parse(archive: &[u8]) -> Vec<Read1> {
    let mut records = Vec::new();
    let mut at = 0;
    loop {
        assert_eq!(&archive[at..at + 6], b"070701", "no header at {at}");
        let field = |number: usize| {
            let start = at + 6 + 8 * number;
            let digits = std::str::from_utf8(&archive[start..start + 8]).unwrap();
            u32::from_str_radix(digits, 16).unwrap()
        };
        let name_start = at + 110;
        let name_end = name_start + field(11) as usize;
        let content_start = name_end.next_multiple_of(4);
        let content_end = content_start + field(6) as usize;
        assert_eq!(archive[name_end - 1], 0);
        let name = archive[name_start..name_end - 1].to_vec();
        if name == b"TRAILER!!!" {
            assert_eq!(content_start, archive.len());
            return records;
        }
        records.push(Read1 {
            name,
            mode: field(1),
            device: (field(9), field(10)),
            content: archive[content_start..content_end].to_vec(),
            inode: field(0),
            links: field(4),
            owner_and_time: (field(2), field(3), field(5)),
        });
        at = content_end.next_multiple_of(4);
    }
}

fn names(initrd: &Initrd) -> Vec<String> {
    let records = parse(&initrd.build(Compression::None).unwrap());
    records
        .iter()
        .map(|record| String::from_utf8_lossy(&record.name).into_owned())
        .collect()
}

fn sample() -> Initrd {
    let mut initrd = Initrd::new();
    initrd.file("init", 0o755, "#!/bin/sh\n").unwrap();
    initrd.symlink("/bin/sh", "busybox").unwrap();
    initrd.console().unwrap();
    initrd
}

#[test]
fn an_archive_reads_back_as_what_went_in() {
    let records = parse(&sample().build(Compression::None).unwrap());

    let record = |inode, name: &[u8], mode, device, content: &[u8]| Read1 {
        name: name.to_vec(),
        mode,
        device,
        content: content.to_vec(),
        inode,
        links: if mode >> 12 == 4 { 2 } else { 1 },
        owner_and_time: (0, 0, 0),
    };
    let expected = [
        record(1, b"bin", 0o040_755, (0, 0), b""),
        record(2, b"bin/sh", 0o120_777, (0, 0), b"busybox"),
        record(3, b"dev", 0o040_755, (0, 0), b""),
        record(4, b"dev/console", 0o020_600, (5, 1), b""),
        record(5, b"init", 0o100_755, (0, 0), b"#!/bin/sh\n"),
    ];
    assert_eq!(records, expected);
}

#[test]
fn the_order_of_adding_does_not_matter() {
    let mut other = Initrd::new();
    other.console().unwrap();
    other.symlink("bin/sh", "busybox").unwrap();
    other.file("/init", 0o755, "#!/bin/sh\n").unwrap();

    assert_eq!(
        other.build(Compression::Zstd).unwrap(),
        sample().build(Compression::Zstd).unwrap()
    );
}

#[test]
fn both_compressions_unpack_to_the_archive() {
    let plain = sample().build(Compression::None).unwrap();
    let gzip = sample().build(Compression::Gzip).unwrap();
    let zstd = sample().build(Compression::Zstd).unwrap();

    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&gzip[..])
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, plain);
    assert_eq!(zstd::stream::decode_all(&zstd[..]).unwrap(), plain);
    assert_eq!(gzip[4..8], [0; 4], "the time in the gzip header");
}

#[test]
fn a_later_file_replaces_an_earlier_one() {
    let mut initrd = sample();
    initrd.file("init", 0o700, "new").unwrap();
    let records = parse(&initrd.build(Compression::None).unwrap());
    assert_eq!(records.len(), 5);
    assert_eq!(
        (records[4].mode, records[4].content.as_slice()),
        (0o100_700, &b"new"[..])
    );
}

#[test]
fn a_path_through_a_file_or_a_link_is_refused() {
    let mut initrd = sample();
    for path in ["init/x", "bin/sh/x"] {
        let refused = initrd.file(path, 0o644, "");
        assert!(
            matches!(refused, Err(InitrdError::Conflict { .. })),
            "{path}: {refused:?}"
        );
    }
    let refused = initrd.file("bin", 0o644, "");
    assert!(
        matches!(refused, Err(InitrdError::Conflict { .. })),
        "{refused:?}"
    );
}

#[test]
fn malformed_paths_are_refused() {
    let long_name = "x".repeat(256);
    let long_path = "x/".repeat(2048) + "x";
    for path in [
        "",
        "/",
        "a//b",
        "a/",
        "a/../b",
        "..",
        "./a",
        "a\0b",
        "TRAILER!!!",
        &long_name,
        &long_path,
    ] {
        let refused = Initrd::new().file(path, 0o644, "");
        assert!(
            matches!(refused, Err(InitrdError::BadPath { .. })),
            "{path:?}: {refused:?}"
        );
    }
    for target in ["", "a\0b"] {
        let refused = Initrd::new().symlink("a", target);
        assert!(
            matches!(refused, Err(InitrdError::BadPath { .. })),
            "{target:?}: {refused:?}"
        );
    }
}

/// Name, inode, number of links and content of all records.
fn links(initrd: &Initrd) -> Vec<(String, u32, u32, Vec<u8>)> {
    let records = parse(&initrd.build(Compression::None).unwrap());
    let told = |r: Read1| {
        let name = String::from_utf8_lossy(&r.name).into_owned();
        (name, r.inode, r.links, r.content)
    };
    records.into_iter().map(told).collect()
}

fn link(name: &str, inode: u32, links: u32, content: &str) -> (String, u32, u32, Vec<u8>) {
    (name.to_owned(), inode, links, content.as_bytes().to_vec())
}

#[test]
fn hard_links_of_a_tree_are_one_inode_whose_content_comes_once_and_last() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("bin")).unwrap();
    fs::write(root.join("bin/box"), "program").unwrap();
    fs::hard_link(root.join("bin/box"), root.join("bin/ls")).unwrap();
    fs::hard_link(root.join("bin/box"), root.join("again")).unwrap();
    fs::write(root.join("single"), "alone").unwrap();
    let outside = tempfile::tempdir_in(root.parent().unwrap()).unwrap();
    fs::hard_link(root.join("single"), outside.path().join("other")).unwrap();

    let mut initrd = Initrd::new();
    initrd.tree(root).unwrap();

    let expected = [
        link("again", 1, 3, ""),
        link("bin", 2, 2, ""),
        link("bin/box", 1, 3, ""),
        link("bin/ls", 1, 3, "program"),
        // The name outside of the tree is none of the guest's.
        link("single", 3, 1, "alone"),
    ];
    assert_eq!(links(&initrd), expected);
}

#[test]
fn replacing_one_name_of_a_file_leaves_the_others_as_they_were() {
    let mut initrd = Initrd::new();
    initrd.file("a", 0o644, "shared").unwrap();
    for name in ["b", "c"] {
        initrd.link(name, "a").unwrap();
    }
    initrd.link("b", "c").unwrap();
    initrd.file("c", 0o644, "own").unwrap();
    let expected = [
        link("a", 1, 2, ""),
        link("b", 1, 2, "shared"),
        link("c", 2, 1, "own"),
    ];
    assert_eq!(links(&initrd), expected);
    initrd.file("a", 0o644, "").unwrap();
    let expected = [
        link("a", 1, 1, ""),
        link("b", 2, 1, "shared"),
        link("c", 3, 1, "own"),
    ];
    assert_eq!(links(&initrd), expected);
}

#[test]
fn links_take_no_room_for_content_and_give_it_back_with_the_last_name() {
    let mut initrd = Initrd::new();
    let half = vec![0; (SIZE_LIMIT / 2) as usize];
    initrd.file("a", 0o644, half).unwrap();
    for number in 0..8 {
        initrd.link(format!("link{number}"), "a").unwrap();
    }
    // A third half fits only when the first one is gone, with all of its names.
    let most = vec![0; (SIZE_LIMIT / 2 - 4096) as usize];
    initrd.file("b", 0o644, most).unwrap();
    let third = vec![3; 8192];
    assert!(initrd.file("c", 0o644, third.clone()).is_err());
    initrd.file("a", 0o644, "").unwrap();
    assert!(initrd.file("c", 0o644, third.clone()).is_err());
    for number in 0..8 {
        initrd.file(format!("link{number}"), 0o644, "").unwrap();
    }
    initrd.file("c", 0o644, third).unwrap();
}

#[test]
fn only_what_is_there_and_can_have_two_names_is_linked() {
    let mut initrd = sample();
    for target in ["none", "bin", "bin/sh"] {
        let refused = initrd.link("new", target);
        assert!(
            matches!(refused, Err(InitrdError::BadLink { .. })),
            "{target}: {refused:?}"
        );
    }
    let refused = initrd.link("bin", "init");
    assert!(
        matches!(refused, Err(InitrdError::Conflict { .. })),
        "{refused:?}"
    );
    initrd.link("new/console", "dev/console").unwrap();
    let consoles = links(&initrd);
    let consoles: Vec<_> = consoles
        .iter()
        .filter(|r| r.0.ends_with("console"))
        .collect();
    assert_eq!(consoles[0].1, consoles[1].1);
}

#[test]
fn names_that_are_not_utf8_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
    let mut initrd = Initrd::new();
    initrd.tree(directory.path()).unwrap();
    let records = parse(&initrd.build(Compression::None).unwrap());
    assert_eq!(records[0].name, b"caf\xe9");
}

#[test]
fn a_tree_with_link_loops_is_taken_once() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("a/b")).unwrap();
    symlink("..", root.join("a/b/up")).unwrap();
    symlink("itself", root.join("itself")).unwrap();
    fs::write(root.join("a/file"), "content").unwrap();
    fs::set_permissions(root.join("a/file"), fs::Permissions::from_mode(0o4750)).unwrap();

    let mut initrd = Initrd::new();
    initrd.tree(root).unwrap();

    assert_eq!(names(&initrd), ["a", "a/b", "a/b/up", "a/file", "itself"]);
    let records = parse(&initrd.build(Compression::None).unwrap());
    assert_eq!(records[2].content, b"..");
    assert_eq!(records[3].mode, 0o104_750);
}

#[test]
fn two_copies_of_a_tree_give_the_same_bytes() {
    let build = |names: [&str; 3]| {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let mut initrd = Initrd::new();
        initrd.tree(directory.path()).unwrap();
        initrd.build(Compression::Gzip).unwrap()
    };
    assert_eq!(build(["a", "b", "c"]), build(["c", "a", "b"]));
}

#[test]
fn deep_nesting_neither_overflows_the_stack_nor_passes_the_limit_of_paths() {
    let directory = tempfile::tempdir().unwrap();
    let mut path = directory.path().to_owned();
    for _ in 0..900 {
        path.push("d");
    }
    fs::create_dir_all(&path).unwrap();
    let mut initrd = Initrd::new();
    initrd.tree(directory.path()).unwrap();
    assert_eq!(names(&initrd).len(), 900);
}

#[test]
fn a_huge_sparse_file_is_refused_without_reading_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = fs::File::create(directory.path().join("huge")).unwrap();
    file.set_len(1 << 40).unwrap();
    let refused = Initrd::new().tree(directory.path());
    assert!(
        matches!(refused, Err(InitrdError::TooLarge { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_socket_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(directory.path().join("socket")).unwrap();
    let refused = Initrd::new().tree(directory.path()).unwrap_err();
    assert!(refused.to_string().contains("socket"), "{refused}");
}

#[test]
fn a_directory_that_does_not_exist_is_an_error() {
    let refused = Initrd::new().tree(std::path::Path::new("no/such/directory"));
    assert!(
        matches!(refused, Err(InitrdError::Io { .. })),
        "{refused:?}"
    );
}
