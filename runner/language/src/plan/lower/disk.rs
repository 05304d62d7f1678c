//! Disks.

use super::{Lower, clip};
use crate::plan::model::{Disk, DiskSource, Filesystem};
use crate::scenario::block::Block;
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::Spanned;

/// The smallest disk that ext4 fits on with a journal.
const MIN_FILESYSTEM_BYTES: u64 = 2 << 20;

/// The largest disk that is formatted: its first content is kept in memory.
const MAX_FILESYSTEM_BYTES: u64 = 1 << 30;

impl Lower<'_> {
    /// The disks of a node.
    pub(super) fn disks(&mut self, block: &Block) -> Vec<Disk> {
        let disks: Vec<_> = block.blocks("disk").cloned().collect();
        let mut out: Vec<Disk> = Vec::new();
        for disk in &disks {
            let Some(name) = &disk.name else { continue };
            if out.iter().any(|d| d.name == name.value) {
                self.duplicate_name("disk", &name.value, name.span, name.span);
                continue;
            }
            out.extend(self.disk(disk, name));
        }
        out
    }

    fn disk(&mut self, disk: &Block, name: &Spanned<String>) -> Option<Disk> {
        if name.value.len() > 20 {
            self.push(
                Diag::error(
                    codes::BAD_NAME,
                    format!(
                        "the disk name `{}` is longer than 20 characters",
                        clip(&name.value)
                    ),
                )
                .label(name.span, "too long")
                .help("the name is the disk's serial number, which virtio limits to 20 bytes"),
            );
        }
        let source = self.source(disk)?;
        self.check_filesystem(disk, &source);
        let size = self.size(disk, name, &source)?;
        let mount = self.mount(disk, &source);
        Some(Disk {
            name: name.value.clone(),
            size_bytes: size,
            source,
            read_only: disk.bool("read-only"),
            writeback: disk.text("cache") != Some("writethrough"),
            mount,
        })
    }

    /// What is on the disk when the run begins.
    fn source(&mut self, disk: &Block) -> Option<DiskSource> {
        Some(match (disk.has("image"), disk.has("base")) {
            (true, true) => {
                self.push(
                    Diag::error(codes::CONFLICTING_KEYS, "the disk has `image` and `base`")
                        .label(disk.span_of("base"), "this")
                        .label(disk.span_of("image"), "and this")
                        .help(
                            "`base` is shared among disks, `image` is the disk's own; both are \
                             written copy-on-write",
                        ),
                );
                return None;
            }
            (true, _) => DiskSource::Image {
                file: self.artifact(disk, "image", "disk")?.1,
            },
            (_, true) => DiskSource::Base {
                file: self.artifact(disk, "base", "disk")?.1,
            },
            _ if disk.has("filesystem") => DiskSource::Formatted {
                filesystem: Filesystem::Ext4,
            },
            _ => DiskSource::Blank,
        })
    }

    /// The disk's size in bytes: that which is written down, or that of what is on it.
    fn size(&mut self, disk: &Block, name: &Spanned<String>, source: &DiskSource) -> Option<u64> {
        let least = match source {
            DiskSource::Image {
                file: crate::plan::model::Artifact::Content { size_bytes, .. },
            }
            | DiskSource::Base {
                file: crate::plan::model::Artifact::Content { size_bytes, .. },
            } => Some(*size_bytes),
            _ => None,
        };
        let size = match (disk.amount("size"), least) {
            (Some(size), Some(least)) if size < least => {
                self.push(
                    Diag::error(
                        codes::OUT_OF_RANGE,
                        format!(
                            "the disk `{}` is smaller than its image of {least} bytes",
                            clip(&name.value)
                        ),
                    )
                    .label(disk.span_of("size"), "too small")
                    .help("leave out `size` to have the image's"),
                );
                size
            }
            (Some(size), _) => size,
            (None, Some(least)) => least.next_multiple_of(512),
            (None, None) if disk.has("size") => return None,
            (None, None) => {
                self.push(
                    Diag::error(
                        codes::MISSING_SOURCE,
                        format!("nothing says how large the disk `{}` is", clip(&name.value)),
                    )
                    .label(disk.span, "`size`, `image` or `base` is missing")
                    .help("e.g. `disk \"data\" size=\"64MiB\"`"),
                );
                return None;
            }
        };
        if size == 0 || !size.is_multiple_of(512) || size > 1 << 44 {
            self.push(
                Diag::error(
                    codes::OUT_OF_RANGE,
                    "a disk has a whole number of 512-byte sectors, at least one and at most \
                     16 TiB",
                )
                .label(disk.span_of("size"), "not such a size")
                .help("write it in MiB"),
            );
        }
        Some(size)
    }

    /// Complains about a file system that cannot be made.
    fn check_filesystem(&mut self, disk: &Block, source: &DiskSource) {
        if !disk.has("filesystem") {
            return;
        }
        if !matches!(source, DiskSource::Formatted { .. }) {
            let diag = Diag::error(
                codes::CONFLICTING_KEYS,
                "the disk has an image and a `filesystem`",
            )
            .label(
                disk.span_of("filesystem"),
                "would replace what is on the image",
            )
            .help("remove it; `mount` takes ext4 images as they are");
            self.push(diag);
        }
        let size = disk.amount("size").unwrap_or(MIN_FILESYSTEM_BYTES);
        if !(MIN_FILESYSTEM_BYTES..=MAX_FILESYSTEM_BYTES).contains(&size) {
            let diag = Diag::error(
                codes::OUT_OF_RANGE,
                "a disk with a `filesystem` has 2MiB to 1GiB",
            )
            .label(disk.span_of("size"), "not such a size")
            .help("larger file systems can be made with mke2fs and given as `image`");
            self.push(diag);
        }
    }

    /// Where the disk is mounted.
    fn mount(&mut self, disk: &Block, source: &DiskSource) -> Option<String> {
        let path = disk.spanned_text("mount")?;
        if matches!(source, DiskSource::Blank) {
            let diag = Diag::error(codes::MISSING_SOURCE, "a blank disk can't be mounted")
                .label(path.span, "there is no file system on it")
                .help("write `filesystem=\"ext4\"`, too");
            self.push(diag);
        }
        let parts = path.value.strip_prefix('/').unwrap_or_default().split('/');
        let mut parts = parts.filter(|part| ["", ".", "..", ".chaosrun"].contains(part));
        if parts.next().is_some() {
            let diag = Diag::error(
                codes::BAD_VALUE,
                format!(
                    "`{}` is not an absolute path of a directory",
                    clip(path.value)
                ),
            )
            .label(path.span, "where the guest sees the disk's files")
            .help("e.g. `mount=\"/var/lib/app\"`");
            self.push(diag);
        }
        Some(path.value.to_owned())
    }
}
