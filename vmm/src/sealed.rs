//! What files of chaosrun have in front: magic bytes, the version of the format, and the BLAKE3 hash of all
//! that follows, so that what is damaged, foreign or of another version is told before anybody reads it.

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its first bytes.
    pub magic: [u8; 8],
    /// The version of its format that this chaosrun writes, and the only one that it reads.
    pub version: u32,
}

/// Magic, version, hash.
const FRONT: usize = 8 + 4 + 32;

/// Why a file can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It begins with other bytes.
    #[error("it is a file of another kind")]
    Magic,
    /// It is of another version.
    #[error("it has version {found} of the format, and this chaosrun knows version {known}")]
    Version {
        /// The version that it has.
        found: u32,
        /// The version that it should have.
        known: u32,
    },
    /// It ends too soon, or bytes of it have changed.
    #[error("it is damaged: its content does not have the hash that it had when it was written")]
    Damaged,
}

impl Kind {
    /// A file with this content.
    pub fn seal(&self, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FRONT + content.len());
        bytes.extend_from_slice(&self.magic);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(blake3::hash(content).as_bytes());
        bytes.extend_from_slice(content);
        bytes
    }

    /// The content of a file.
    ///
    /// # Errors
    /// It is of another kind or version, or damaged.
    pub fn open<'a>(&self, file: &'a [u8]) -> Result<&'a [u8], SealError> {
        let rest = file.strip_prefix(&self.magic).ok_or(SealError::Magic)?;
        let (version, rest) = rest.split_first_chunk().ok_or(SealError::Damaged)?;
        let found = u32::from_le_bytes(*version);
        if found != self.version {
            let known = self.version;
            return Err(SealError::Version { found, known });
        }
        let (hash, content) = rest.split_first_chunk::<32>().ok_or(SealError::Damaged)?;
        match blake3::hash(content).as_bytes() == hash {
            true => Ok(content),
            false => Err(SealError::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind {
        magic: *b"CRTEST\r\n",
        version: 3,
    };

    #[test]
    fn only_what_was_written_is_read() {
        let good = KIND.seal(b"content");
        assert_eq!(KIND.open(&good), Ok(&b"content"[..]));
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let expected = match at {
                    0..8 => SealError::Magic,
                    8..12 => SealError::Version {
                        found: u32::from_le_bytes([bad[8], bad[9], bad[10], bad[11]]),
                        known: 3,
                    },
                    _ => SealError::Damaged,
                };
                assert_eq!(KIND.open(&bad), Err(expected), "bit {bit} of byte {at}");
            }
        }
        for length in 0..good.len() {
            let expected = match length {
                0..8 => SealError::Magic,
                _ => SealError::Damaged,
            };
            assert_eq!(KIND.open(&good[..length]), Err(expected), "{length} bytes");
        }
    }
}
