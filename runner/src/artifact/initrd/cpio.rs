//! The `newc` format of cpio archives, as Linux's documentation of initramfs buffers describes it:
//! a header of 110 characters (magic and 13 hexadecimal fields), the name with a final zero, and the
//! content, both padded to four bytes.
//!
//! Records with the same inode number and more than one link are names of one file. As cpio itself
//! writes them, the last of them has the content and the others have none; Linux, which links each to
//! the first one, takes the content from whichever has it.

use std::collections::BTreeMap;

use super::{Inode, Node, Number};

/// The name of the last record.
pub(super) const TRAILER: &[u8] = b"TRAILER!!!";

/// An upper bound of a record's length beyond its name and content.
pub(super) const OVERHEAD: u64 = 128;

const S_IFIFO: u32 = 0o010_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

/// The fields of a header that are not always zero.
struct Record<'a> {
    inode: u32,
    mode: u32,
    links: u32,
    device: (u32, u32),
    name: &'a [u8],
    content: &'a [u8],
}

/// The names of an inode that have not been written yet.
struct Names {
    /// The inode's number in the archive.
    inode: u32,
    left: u32,
}

/// Writes an archive of entries, which come in the order of their paths.
pub(super) fn write<'a>(entries: impl Iterator<Item = (&'a [u8], Number, &'a Inode)>) -> Vec<u8> {
    let mut archive = Vec::new();
    // Inode 0 is the trailer's. Their number is bounded by the limit of the archive's size.
    let mut next = 1;
    let mut several: BTreeMap<Number, Names> = BTreeMap::new();
    for (name, number, inode) in entries {
        let names = several.entry(number).or_insert_with(|| {
            next += 1;
            Names {
                inode: next - 1,
                left: inode.names,
            }
        });
        names.left -= 1;
        push(
            &mut archive,
            &record(names.inode, name, inode, names.left == 0),
        );
        if names.left == 0 {
            several.remove(&number);
        }
    }
    let trailer = Record {
        inode: 0,
        mode: 0,
        links: 1,
        device: (0, 0),
        name: TRAILER,
        content: &[],
    };
    push(&mut archive, &trailer);
    archive
}

/// The record of one of an inode's names; the last of them has the content.
fn record<'a>(number: u32, name: &'a [u8], inode: &'a Inode, is_last: bool) -> Record<'a> {
    let (kind, device, content): (_, _, &[u8]) = match &inode.node {
        Node::Directory => (S_IFDIR, (0, 0), &[]),
        Node::File(content) => (S_IFREG, (0, 0), content),
        Node::Symlink(target) => (S_IFLNK, (0, 0), target),
        Node::CharDevice { major, minor } => (S_IFCHR, (*major, *minor), &[]),
        Node::BlockDevice { major, minor } => (S_IFBLK, (*major, *minor), &[]),
        Node::Fifo => (S_IFIFO, (0, 0), &[]),
    };
    Record {
        inode: number,
        mode: kind | inode.mode,
        links: if kind == S_IFDIR { 2 } else { inode.names },
        device,
        name,
        content: if is_last { content } else { &[] },
    }
}

fn push(archive: &mut Vec<u8>, record: &Record<'_>) {
    // The limits on paths and on the archive keep both lengths far below 32 bits.
    let name_length = record.name.len() as u32 + 1;
    let content_length = record.content.len() as u32;
    let fields = [
        record.inode,
        record.mode,
        0, // User.
        0, // Group.
        record.links,
        0, // Time of modification.
        content_length,
        0, // The device that the file was on: major,
        0, // and minor.
        record.device.0,
        record.device.1,
        name_length,
        0, // Checksum, which this variant of the format does not use.
    ];
    archive.extend(b"070701");
    for field in fields {
        archive.extend(format!("{field:08X}").bytes());
    }
    archive.extend(record.name);
    archive.push(0);
    pad(archive);
    archive.extend(record.content);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}
