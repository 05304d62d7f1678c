//! Unpacks the compressed kernel inside a bzImage on the host, so that the guest spends no
//! instructions on it.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes that a kernel unpacks to.
const UNPACKED_MAX: u64 = 512 << 20;
/// The most memory that an LZMA decoder may take.
const LZMA_MEMORY_MAX: u64 = 128 << 20;
/// Bytes that one block of the legacy LZ4 format unpacks to at most.
const LZ4_BLOCK: usize = 8 << 20;
const LZ4_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// Why a kernel could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The payload is in a format that this program can't unpack.
    #[error(
        "the kernel is packed in {what}; use one that is packed with gzip, xz, lzma, lz4 or zstd"
    )]
    Format {
        /// The format's name, or the first bytes of the payload.
        what: String,
    },
    /// The payload is damaged.
    #[error("the kernel's {format} payload is damaged: {what}")]
    Damaged {
        /// The format's name.
        format: &'static str,
        /// What the decoder said.
        what: String,
    },
    /// The payload unpacks to more than any kernel needs.
    #[error("the kernel's payload unpacks to more than {UNPACKED_MAX} bytes")]
    TooLarge,
}

/// How many unpacked kernels are kept.
const KEPT_MAX: usize = 2;

/// The kernels that were unpacked last, by the hash of what they were unpacked from.
static KEPT: Mutex<Vec<(blake3::Hash, Arc<Vec<u8>>)>> = Mutex::new(Vec::new());

/// As [`unpack`], but does not do the same work again for the machines of a cluster, for restarts
/// and for other seeds. What is kept is a function of the payload, so that it makes no difference.
///
/// # Errors
/// As for [`unpack`].
pub fn unpack_shared(payload: &[u8]) -> Result<Arc<Vec<u8>>, UnpackError> {
    let name = blake3::hash(payload);
    // Held while unpacking, so that several threads that need the same kernel unpack it once.
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = match kept.iter().position(|(known, _)| *known == name) {
        Some(index) => kept.remove(index),
        None => (name, Arc::new(unpack(payload)?)),
    };
    let kernel = Arc::clone(&entry.1);
    kept.insert(0, entry);
    kept.truncate(KEPT_MAX);
    Ok(kernel)
}

/// Unpacks the payload of a bzImage, which is recognised by its first bytes.
///
/// # Errors
/// If the format is unknown or the payload is damaged.
pub fn unpack(payload: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let hint = size_hint(payload);
    match payload {
        [0x7f, b'E', b'L', b'F', ..] => Ok(payload.to_vec()),
        [0x1f, 0x8b, ..] => drain("gzip", flate2::read::GzDecoder::new(payload), hint),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            let stream = liblzma::stream::Stream::new_stream_decoder(LZMA_MEMORY_MAX, 0);
            lzma("xz", payload, stream, hint)
        }
        [0x5d, 0, 0, ..] => lzma(
            "lzma",
            payload,
            liblzma::stream::Stream::new_lzma_decoder(LZMA_MEMORY_MAX),
            hint,
        ),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder =
                zstd::Decoder::with_buffer(payload).map_err(|error| UnpackError::Damaged {
                    format: "zstd",
                    what: error.to_string(),
                })?;
            // The kernel's build appends the unpacked size, which is not a second frame.
            drain("zstd", decoder.single_frame(), hint)
        }
        [a, b, c, d, rest @ ..] if [*a, *b, *c, *d] == LZ4_MAGIC => lz4(rest, hint),
        [b'B', b'Z', b'h', ..] => Err(UnpackError::Format {
            what: "bzip2".to_owned(),
        }),
        [0x89, b'L', b'Z', b'O', ..] => Err(UnpackError::Format {
            what: "lzo".to_owned(),
        }),
        _ => {
            let magic = &payload[..payload.len().min(8)];
            Err(UnpackError::Format {
                what: format!("an unknown format ({magic:02x?})"),
            })
        }
    }
}

/// The unpacked size as the kernel's build tells it in the last four bytes; only a hint.
fn size_hint(payload: &[u8]) -> usize {
    let size = payload
        .last_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes));
    if u64::from(size) <= UNPACKED_MAX {
        size as usize
    } else {
        0
    }
}

fn lzma(
    format: &'static str,
    payload: &[u8],
    stream: Result<liblzma::stream::Stream, liblzma::stream::Error>,
    hint: usize,
) -> Result<Vec<u8>, UnpackError> {
    let stream = stream.map_err(|error| UnpackError::Damaged {
        format,
        what: error.to_string(),
    })?;
    drain(
        format,
        liblzma::bufread::XzDecoder::new_stream(payload, stream),
        hint,
    )
}

/// Reads `decoder` to its end.
fn drain(format: &'static str, decoder: impl Read, hint: usize) -> Result<Vec<u8>, UnpackError> {
    let mut unpacked = Vec::with_capacity(hint);
    decoder
        .take(UNPACKED_MAX + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| UnpackError::Damaged {
            format,
            what: error.to_string(),
        })?;
    if unpacked.len() as u64 > UNPACKED_MAX {
        return Err(UnpackError::TooLarge);
    }
    Ok(unpacked)
}

/// Unpacks the legacy LZ4 format: blocks with their packed size in front. The unpacked size of the
/// whole, which the kernel's build appends, is too short to be a block.
fn lz4(mut rest: &[u8], hint: usize) -> Result<Vec<u8>, UnpackError> {
    let damaged = |what: String| UnpackError::Damaged {
        format: "lz4",
        what,
    };
    let mut unpacked = Vec::with_capacity(hint);
    let mut block = vec![0; LZ4_BLOCK];
    while rest.len() > 4 {
        let (size, after) = rest.split_at(4);
        rest = after;
        if size == LZ4_MAGIC {
            continue;
        }
        let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize;
        if size > rest.len() {
            return Err(damaged(format!(
                "a block of {size} bytes has only {}",
                rest.len()
            )));
        }
        let (packed, after) = rest.split_at(size);
        rest = after;
        let length = lz4_flex::block::decompress_into(packed, &mut block)
            .map_err(|error| damaged(error.to_string()))?;
        unpacked.extend_from_slice(&block[..length]);
        if unpacked.len() as u64 > UNPACKED_MAX {
            return Err(UnpackError::TooLarge);
        }
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn kernels_that_are_kept_are_never_mixed_up() {
        let elf = |byte: u8| [&b"\x7fELF"[..], &[byte; 100]].concat();
        for byte in [1, 1, 2, 3, 1, 2, 2] {
            assert_eq!(*unpack_shared(&elf(byte)).unwrap(), elf(byte));
        }
        assert!(unpack_shared(b"neither").is_err());
        assert!(KEPT.lock().unwrap().len() <= KEPT_MAX);
    }

    fn plain() -> Vec<u8> {
        (0..3_000_000u32)
            .map(|i| (i / 7 * 31) as u8 ^ (i >> 11) as u8)
            .collect()
    }

    /// What the kernel's build appends to every format but gzip.
    fn with_size(mut packed: Vec<u8>) -> Vec<u8> {
        packed.extend_from_slice(&(plain().len() as u32).to_le_bytes());
        packed
    }

    fn xz(stream: liblzma::stream::Stream) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(&plain()).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4_legacy(plain: &[u8]) -> Vec<u8> {
        let mut packed = LZ4_MAGIC.to_vec();
        for block in plain.chunks(1 << 20) {
            let bytes = lz4_flex::block::compress(block);
            packed.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            packed.extend_from_slice(&bytes);
        }
        packed
    }

    #[test]
    fn gzip_is_unpacked() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain()).unwrap();
        assert!(unpack(&encoder.finish().unwrap()).unwrap() == plain());
    }

    #[test]
    fn xz_with_the_x86_filter_is_unpacked() {
        let mut filters = liblzma::stream::Filters::new();
        filters.x86();
        filters.lzma2(&liblzma::stream::LzmaOptions::new_preset(1).unwrap());
        let check = liblzma::stream::Check::Crc32;
        let stream = liblzma::stream::Stream::new_stream_encoder(&filters, check).unwrap();
        assert!(unpack(&with_size(xz(stream))).unwrap() == plain());
    }

    #[test]
    fn lzma_is_unpacked() {
        let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
        let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
        assert!(unpack(&with_size(xz(stream))).unwrap() == plain());
    }

    #[test]
    fn zstd_is_unpacked() {
        let packed = zstd::encode_all(&plain()[..], 1).unwrap();
        assert!(unpack(&with_size(packed)).unwrap() == plain());
    }

    #[test]
    fn legacy_lz4_is_unpacked() {
        assert!(unpack(&with_size(lz4_legacy(&plain()))).unwrap() == plain());
    }

    #[test]
    fn formats_that_are_not_supported_are_named() {
        let error = |bytes: &[u8]| unpack(bytes).unwrap_err().to_string();
        assert!(error(b"BZh91AY").contains("bzip2"));
        assert!(error(b"\x89LZO\0").contains("lzo"));
        assert!(error(b"nothing").contains("unknown"));
        assert!(error(b"").contains("unknown"));
    }

    #[test]
    fn damaged_payloads_are_errors() {
        for packed in [
            zstd::encode_all(&plain()[..], 1).unwrap(),
            lz4_legacy(&plain()),
            xz(
                liblzma::stream::Stream::new_easy_encoder(1, liblzma::stream::Check::Crc32)
                    .unwrap(),
            ),
        ] {
            let half = &packed[..packed.len() / 2];
            assert!(matches!(unpack(half), Err(UnpackError::Damaged { .. })));
        }
    }
}
