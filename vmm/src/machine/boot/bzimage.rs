//! Reads a bzImage: its setup header and the compressed kernel inside (Linux,
//! Documentation/arch/x86/boot.rst).

use linux_loader::loader::bootparam::setup_header;
use vm_memory::ByteValued;

/// Where the setup header starts in the file.
const HEADER_AT: usize = 0x1f1;
/// "HdrS".
pub(super) const HEADER_MAGIC: u32 = 0x5372_6448;
/// The magic number at 0x1fe.
pub(super) const BOOT_FLAG: u16 = 0xaa55;
/// The first protocol version that tells where the payload is and how long it is.
const VERSION_WITH_PAYLOAD: u16 = 0x0208;
/// LOADED_HIGH: the protected-mode code goes to 1 MiB, which makes it a bzImage.
pub(super) const LOADED_HIGH: u8 = 1;
const SECTOR: usize = 512;

/// Why a bzImage can't be booted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BzImageError {
    /// The file ends before something that its header promises.
    #[error("the bzImage is truncated: it has {have} bytes, but its {what} needs {need}")]
    Truncated {
        /// What is missing.
        what: &'static str,
        /// The size of the file that would hold it.
        need: u64,
        /// The size of the file.
        have: u64,
    },
    /// The magic numbers are not there.
    #[error("the file is neither an ELF executable nor a bzImage")]
    Magic,
    /// A field of the setup header makes the kernel unbootable.
    #[error("the bzImage's setup header is not usable: {what}")]
    Header {
        /// What is wrong.
        what: String,
    },
}

/// A bzImage, taken apart.
#[derive(Debug)]
pub struct BzImage<'a> {
    /// The setup header, from which the zero page's is made.
    pub header: setup_header,
    /// The compressed kernel.
    pub payload: &'a [u8],
}

/// Takes `image` apart.
///
/// # Errors
/// If it is not a bzImage or is damaged.
pub fn parse(image: &[u8]) -> Result<BzImage<'_>, BzImageError> {
    let mut header = setup_header::default();
    let size = size_of::<setup_header>();
    need(image, "setup header", (HEADER_AT + size) as u64)?;
    header
        .as_mut_slice()
        .copy_from_slice(&image[HEADER_AT..HEADER_AT + size]);
    let (flag, magic, version) = (header.boot_flag, header.header, header.version);
    if flag != BOOT_FLAG || magic != HEADER_MAGIC {
        return Err(BzImageError::Magic);
    }
    let refuse = |what: String| Err(BzImageError::Header { what });
    if version < VERSION_WITH_PAYLOAD {
        return refuse(format!("boot protocol {version:#06x} is older than 2.08"));
    }
    if header.loadflags & LOADED_HIGH == 0 {
        return refuse("it is a zImage, which is loaded low".to_owned());
    }
    // A count of zero stands for four, for the sake of very old kernels.
    let setup_sectors = if header.setup_sects == 0 {
        4
    } else {
        usize::from(header.setup_sects)
    };
    let start = ((setup_sectors + 1) * SECTOR) as u64 + u64::from(header.payload_offset);
    let length = u64::from(header.payload_length);
    if length == 0 {
        return refuse("it has no payload".to_owned());
    }
    need(image, "payload", start + length)?;
    let payload = &image[start as usize..(start + length) as usize];
    // What follows the end of the header that this kernel knows belongs to its code (boot.rst: the
    // end is at 0x202 plus the byte at 0x201).
    let end = 0x202 + usize::from(image[0x201]);
    let known = end.saturating_sub(HEADER_AT).min(size);
    header.as_mut_slice()[known..].fill(0);
    Ok(BzImage { header, payload })
}

fn need(image: &[u8], what: &'static str, need: u64) -> Result<(), BzImageError> {
    let have = image.len() as u64;
    if need > have {
        Err(BzImageError::Truncated { what, need, have })
    } else {
        Ok(())
    }
}

#[cfg(test)]
pub(in crate::machine) mod tests {
    use super::*;

    /// A bzImage with one setup sector and `payload` behind 16 bytes of code.
    pub(in crate::machine) fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR];
        let header = setup_header {
            setup_sects: 1,
            boot_flag: BOOT_FLAG,
            jump: 0x6aeb,
            header: HEADER_MAGIC,
            version: 0x020f,
            loadflags: LOADED_HIGH,
            cmdline_size: 2047,
            initrd_addr_max: 0x7fff_ffff,
            payload_offset: 16,
            payload_length: payload.len() as u32,
            ..setup_header::default()
        };
        image[HEADER_AT..HEADER_AT + size_of::<setup_header>()].copy_from_slice(header.as_slice());
        image.extend([0xcc; 16]);
        image.extend(payload);
        image
    }

    #[test]
    fn header_and_payload_are_found() {
        let image = image(b"payload");
        let parsed = parse(&image).unwrap();
        assert_eq!(parsed.payload, b"payload");
        assert_eq!({ parsed.header.cmdline_size }, 2047);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let image = image(b"payload");
        for length in 0..image.len() {
            let error = parse(&image[..length]).unwrap_err();
            assert!(
                matches!(error, BzImageError::Truncated { .. }),
                "{length} bytes: {error}"
            );
        }
    }

    #[test]
    fn bad_headers_are_refused() {
        let damaged = |at: usize, value: u8| {
            let mut image = image(b"payload");
            image[at] = value;
            parse(&image).err()
        };
        assert_eq!(damaged(0x1fe, 0), Some(BzImageError::Magic));
        assert_eq!(damaged(0x202, 0), Some(BzImageError::Magic));
        assert!(matches!(
            damaged(0x207, 1),
            Some(BzImageError::Header { .. })
        ));
        assert!(matches!(
            damaged(0x211, 0),
            Some(BzImageError::Header { .. })
        ));
        assert!(matches!(
            damaged(0x24b, 0xff),
            Some(BzImageError::Truncated {
                what: "payload",
                ..
            })
        ));
        assert!(matches!(
            damaged(0x24c, 0),
            Some(BzImageError::Header { .. })
        ));
    }
}
