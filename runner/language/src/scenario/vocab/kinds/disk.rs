//! Faults of disks: what becomes of reads, writes and flushes.

use super::{COMMON, Key, Kind, LASTING, Ref, TARGET, key};

/// Which disks a disk fault touches.
const DISKS: &[Key] = &[
    key(
        "disk",
        Kind::Name(Ref::Disk),
        "The disk of those nodes; by default all their disks.",
    ),
    key("chance", Kind::Ratio, "How many operations are hit.").default("100%"),
    key(
        "times",
        Kind::Int(1, 1_000_000_000),
        "How many operations are hit at most; then the fault is over.",
    ),
    key(
        "offset",
        Kind::Size,
        "Only operations at or behind this byte of the disk.",
    ),
    key(
        "length",
        Kind::Size,
        "Only operations within so many bytes from `offset`.",
    ),
];

fault!(
    DISK_READ_ERROR,
    "disk-read-error",
    &["disk"],
    false,
    "Reads fail with an I/O error.",
    [DISKS, TARGET, LASTING, COMMON]
);

fault!(
    DISK_WRITE_ERROR,
    "disk-write-error",
    &["disk"],
    false,
    "Writes fail with an I/O error.",
    [DISKS, TARGET, LASTING, COMMON]
);

fault!(
    TORN_WRITE,
    "torn-write",
    &["disk"],
    false,
    "Of a write that a crash interrupts, only some sectors are kept.",
    [DISKS, TARGET, LASTING, COMMON]
);

fault!(
    MISDIRECTED_WRITE,
    "misdirected-write",
    &["disk"],
    false,
    "Writes land in another place.",
    [DISKS, TARGET, LASTING, COMMON]
);

fault!(
    BIT_FLIP,
    "bit-flip",
    &["disk"],
    false,
    "Bits on the disk turn over; later reads see it.",
    [
        DISKS,
        &[key("bits", Kind::Int(1, 1_000_000), "How many bits.").default("1"),],
        TARGET,
        LASTING,
        COMMON
    ]
);

fault!(
    LOST_FLUSH,
    "lost-flush",
    &["disk"],
    false,
    "Flushes report success and do nothing.",
    [DISKS, TARGET, LASTING, COMMON]
);

fault!(
    DISK_FULL,
    "disk-full",
    &["disk"],
    false,
    "No space is left. Where init mounts the disk (`mount`), its file system is \
     full: what wants a new block or a new file fails with ENOSPC, for root, too, \
     whatever is deleted meanwhile; what is there can be read and written, and what \
     was promised to a program is kept. (While there are more free inodes than half \
     the files that the kernel would have open, one for 20 KiB of memory, empty \
     files can still be made.) On other disks, and with `chance`, `times`, `offset` \
     or `length`, the device fails writes to what was never written, as a thin pool \
     without space does; it can only say EIO.",
    [DISKS, TARGET, LASTING, COMMON]
);

fault!(
    DISK_SLOW,
    "disk-slow",
    &["disk"],
    false,
    "Operations take longer.",
    [
        DISKS,
        &[key(
            "by",
            Kind::DurationRange,
            "How much longer, or a range to draw from."
        )
        .required(),],
        TARGET,
        LASTING,
        COMMON
    ]
);

kinds! {
    /// What goes wrong with operations of disks.
    DiskKind {
        DiskReadError = DISK_READ_ERROR, Harm, "Reads fail.";
        DiskWriteError = DISK_WRITE_ERROR, Harm, "Writes fail.";
        TornWrite = TORN_WRITE, Harm, "Interrupted writes are kept in part.";
        MisdirectedWrite = MISDIRECTED_WRITE, Harm, "Writes land elsewhere.";
        BitFlip = BIT_FLIP, Harm, "Bits turn over.";
        LostFlush = LOST_FLUSH, Harm, "Flushes do nothing.";
        DiskFull = DISK_FULL, Harm, "No space is left.";
        DiskSlow = DISK_SLOW, Harm, "Disks are slow.";
    }
}
