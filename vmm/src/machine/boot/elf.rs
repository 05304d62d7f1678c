//! Loads a 64-bit ELF kernel at its physical addresses.
//!
//! linux-loader has a loader of ELF files too, which is not used: it looks neither at the class nor at
//! the type nor at the machine of a file; it keeps to itself where segments are, so that nobody could
//! check that they leave the boot structures alone and that the entry point is in one of them; and it
//! reads the notes of a file, which is input that nobody here needs. What comes from linux-loader are
//! the structures of the boot protocol.

use std::ops::Range;

use crate::ram::GuestRam;
use crate::ram::map;

/// The size of the ELF header and of a program header (ELF-64 object file format, version 1.5).
const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: usize = 56;
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const TYPE_EXECUTABLE: u16 = 2;
const MACHINE_X86_64: u16 = 62;
const SEGMENT_LOAD: u32 = 1;

/// Why an ELF file can't be booted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// The file ends before something that its headers promise.
    #[error("the ELF file is truncated: it has {have} bytes, but its {what} needs {need}")]
    Truncated {
        /// What is missing.
        what: &'static str,
        /// The size of the file that would hold it.
        need: u64,
        /// The size of the file.
        have: u64,
    },
    /// The file is not a fixed-address program for this processor.
    #[error("the ELF file is not a static 64-bit x86-64 executable: {what}")]
    WrongKind {
        /// What is wrong.
        what: String,
    },
    /// There is nothing to load.
    #[error("the ELF file has no loadable segment")]
    Empty,
    /// A segment is larger in the file than in memory, or its addresses overflow.
    #[error("segment {index} of the ELF file is malformed")]
    Segment {
        /// The index of the program header.
        index: usize,
    },
    /// A segment lies outside the RAM of the machine.
    #[error(
        "segment {index} of the kernel needs memory from {start:#x} to {end:#x}, but the machine has RAM \
         from {low_start:#x} to {low_end:#x} for it; give the machine more memory"
    )]
    OutsideRam {
        /// The index of the program header.
        index: usize,
        /// The first physical address of the segment.
        start: u64,
        /// The physical address behind the segment.
        end: u64,
        /// Where RAM for kernels starts.
        low_start: u64,
        /// Where it ends.
        low_end: u64,
    },
    /// The entry point is not in a segment.
    #[error("the kernel's entry point {entry:#x} is not inside a segment")]
    Entry {
        /// The entry point.
        entry: u64,
    },
}

/// A kernel in guest RAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The physical address of the entry point.
    pub entry: u64,
    /// The physical addresses that the kernel occupies, from the first to the last segment.
    pub range: Range<u64>,
}

/// One loadable segment.
struct Segment<'a> {
    index: usize,
    physical: Range<u64>,
    /// What is in the file for its beginning. The rest is zero, as fresh RAM is.
    bytes: &'a [u8],
}

/// Copies the segments of `image` to guest RAM.
///
/// # Errors
/// If the file is malformed or doesn't fit.
pub fn load(ram: &mut GuestRam, image: &[u8]) -> Result<Loaded, ElfError> {
    let entry = check_header(image)?;
    let segments = segments(image)?;
    let allowed = map::HIGH_MEMORY..ram.low();
    for Segment {
        index,
        physical: Range { start, end },
        ..
    } in &segments
    {
        if *start < allowed.start || *end > allowed.end {
            return Err(ElfError::OutsideRam {
                index: *index,
                start: *start,
                end: *end,
                low_start: allowed.start,
                low_end: allowed.end,
            });
        }
    }
    let start = segments
        .iter()
        .map(|segment| segment.physical.start)
        .min()
        .ok_or(ElfError::Empty)?;
    let end = segments
        .iter()
        .map(|segment| segment.physical.end)
        .max()
        .ok_or(ElfError::Empty)?;
    if !segments
        .iter()
        .any(|segment| segment.physical.contains(&entry))
    {
        return Err(ElfError::Entry { entry });
    }
    for segment in segments.iter().filter(|segment| !segment.bytes.is_empty()) {
        let in_ram = ram.write(segment.physical.start, segment.bytes);
        assert!(in_ram, "a segment was checked to lie in RAM");
    }
    Ok(Loaded {
        entry,
        range: start..end,
    })
}

/// Checks the ELF header and returns the entry point.
fn check_header(image: &[u8]) -> Result<u64, ElfError> {
    let wrong = |what: String| Err(ElfError::WrongKind { what });
    need(image, "header", HEADER_SIZE as u64)?;
    if !image.starts_with(b"\x7fELF") {
        return wrong(format!("it starts with {:02x?}", &image[..4]));
    }
    if image[4] != CLASS_64 || image[5] != LITTLE_ENDIAN {
        return wrong(format!("class {}, byte order {}", image[4], image[5]));
    }
    let (kind, machine) = (u16_at(image, 16), u16_at(image, 18));
    if kind != TYPE_EXECUTABLE || machine != MACHINE_X86_64 {
        return wrong(format!("type {kind}, machine {machine}"));
    }
    if usize::from(u16_at(image, 54)) != PROGRAM_HEADER_SIZE {
        return wrong(format!("program headers of {} bytes", u16_at(image, 54)));
    }
    Ok(u64_at(image, 24))
}

/// The loadable segments, whose bytes are all in the file.
fn segments(image: &[u8]) -> Result<Vec<Segment<'_>>, ElfError> {
    let table = u64_at(image, 32);
    let count = usize::from(u16_at(image, 56));
    if table < HEADER_SIZE as u64 {
        let what = format!("its program headers start at byte {table}, inside of the header");
        return Err(ElfError::WrongKind { what });
    }
    let size = (count * PROGRAM_HEADER_SIZE) as u64;
    need(image, "program header table", table.saturating_add(size))?;
    let mut segments = Vec::new();
    for index in 0..count {
        let header = &image[table as usize + index * PROGRAM_HEADER_SIZE..][..PROGRAM_HEADER_SIZE];
        if u32_at(header, 0) != SEGMENT_LOAD || u64_at(header, 40) == 0 {
            continue;
        }
        let (offset, physical) = (u64_at(header, 8), u64_at(header, 24));
        let (in_file, in_memory) = (u64_at(header, 32), u64_at(header, 40));
        need(image, "segment", offset.saturating_add(in_file))?;
        let end = physical
            .checked_add(in_memory)
            .ok_or(ElfError::Segment { index })?;
        if in_file > in_memory {
            return Err(ElfError::Segment { index });
        }
        segments.push(Segment {
            index,
            physical: physical..end,
            // `need` has seen that the range lies in the file, so that neither sum overflows.
            bytes: &image[offset as usize..(offset + in_file) as usize],
        });
    }
    Ok(segments)
}

fn need(image: &[u8], what: &'static str, need: u64) -> Result<(), ElfError> {
    let have = image.len() as u64;
    if need > have {
        Err(ElfError::Truncated { what, need, have })
    } else {
        Ok(())
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An ELF executable with one segment of `code`, loaded and entered at `at`.
    pub(crate) fn executable(at: u64, code: &[u8], in_memory: u64) -> Vec<u8> {
        let mut image = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        image.extend(TYPE_EXECUTABLE.to_le_bytes());
        image.extend(MACHINE_X86_64.to_le_bytes());
        image.extend(1u32.to_le_bytes());
        image.extend(
            [at, HEADER_SIZE as u64, 0]
                .iter()
                .flat_map(|word| word.to_le_bytes()),
        );
        image.extend(0u32.to_le_bytes());
        image.extend(
            [64u16, 56, 1, 0, 0, 0]
                .iter()
                .flat_map(|half| half.to_le_bytes()),
        );
        image.extend([SEGMENT_LOAD, 7].iter().flat_map(|word| word.to_le_bytes()));
        let segment = [120, at, at, code.len() as u64, in_memory, 1];
        image.extend(segment.iter().flat_map(|word| word.to_le_bytes()));
        assert_eq!(image.len(), HEADER_SIZE + PROGRAM_HEADER_SIZE);
        image.extend(code);
        image
    }

    fn ram() -> GuestRam {
        GuestRam::new(8 << 20).unwrap()
    }

    #[test]
    fn a_segment_is_copied_to_its_physical_address() {
        let mut ram = ram();
        let loaded = load(&mut ram, &executable(0x10_0000, b"code", 0x2000)).unwrap();
        assert_eq!(
            loaded,
            Loaded {
                entry: 0x10_0000,
                range: 0x10_0000..0x10_2000
            }
        );
        let mut bytes = [0; 4];
        assert!(ram.read(0x10_0000, &mut bytes));
        assert_eq!(&bytes, b"code");
    }

    #[test]
    fn a_segment_of_zeros_only_leaves_ram_as_it_is() {
        let mut ram = ram();
        let end = ram.low();
        let loaded = load(&mut ram, &executable(end - 0x1000, b"", 0x1000)).unwrap();
        assert_eq!(loaded.range, end - 0x1000..end);
        let written = ram.take_written();
        assert!(written.is_empty(), "{written:?} were written");
    }

    #[test]
    fn every_truncation_is_an_error_and_no_panic() {
        let image = executable(0x10_0000, &[0x90; 100], 100);
        for length in 0..image.len() {
            assert!(
                matches!(
                    load(&mut ram(), &image[..length]),
                    Err(ElfError::Truncated { .. })
                ),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn every_changed_byte_of_the_headers_is_loaded_or_refused_without_a_panic() {
        let image = executable(0x10_0000, &[0x90; 16], 16);
        let mut ram = ram();
        for at in 0..HEADER_SIZE + PROGRAM_HEADER_SIZE {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut image = image.clone();
                image[at] = value;
                let _ = load(&mut ram, &image);
            }
        }
    }

    #[test]
    fn a_segment_outside_ram_or_over_the_boot_structures_is_refused() {
        for (at, size) in [
            (0x7f_f000, 0x2000),
            (0x7000, 16),
            (u64::MAX - 64, 16),
            (1 << 40, 16),
        ] {
            let error = load(&mut ram(), &executable(at, b"code", size)).unwrap_err();
            assert!(
                matches!(error, ElfError::OutsideRam { .. }),
                "{at:#x}: {error}"
            );
        }
        let error = load(&mut ram(), &executable(u64::MAX - 7, b"code", 16)).unwrap_err();
        assert_eq!(error, ElfError::Segment { index: 0 });
    }

    #[test]
    fn an_entry_point_outside_the_segments_is_refused() {
        let mut image = executable(0x10_0000, b"code", 16);
        image[24..32].copy_from_slice(&0x20_0000u64.to_le_bytes());
        assert_eq!(
            load(&mut ram(), &image),
            Err(ElfError::Entry { entry: 0x20_0000 })
        );
    }

    #[test]
    fn other_kinds_of_file_are_refused() {
        let image = executable(0x10_0000, b"code", 16);
        for (at, value) in [
            (0, 0x7e),
            (4, 1),
            (5, 2),
            (16, 3),
            (18, 3),
            (32, 63),
            (54, 57),
        ] {
            let mut image = image.clone();
            image[at] = value;
            assert!(
                matches!(load(&mut ram(), &image), Err(ElfError::WrongKind { .. })),
                "byte {at}"
            );
        }
    }
}
