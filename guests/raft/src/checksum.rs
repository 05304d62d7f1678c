//! Checksums: CRC-32C for what is on the disk and the wire, FNV-1a for comparing states.

/// The table for the reflected Castagnoli polynomial (RFC 3720, appendix B.4).
const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

/// The CRC-32C of `bytes` (RFC 3720).
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        TABLE[((crc ^ u32::from(byte)) & 0xff) as usize] ^ (crc >> 8)
    })
}

/// A digest that tells different states apart; it is no defence against anyone who tries to collide.
#[derive(Clone, Copy, Debug)]
pub struct Digest(u64);

impl Digest {
    /// The digest of nothing, continued from `from`, e.g. from the digest of what came before.
    pub fn from(from: u64) -> Digest {
        Digest(0xcbf2_9ce4_8422_2325 ^ from)
    }

    /// Takes in a number.
    #[must_use]
    pub fn number(self, number: u64) -> Digest {
        self.raw(&number.to_le_bytes())
    }

    /// Takes in bytes together with their number, so that neighbours can't swap bytes unseen.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Digest {
        self.number(bytes.len() as u64).raw(bytes)
    }

    fn raw(self, bytes: &[u8]) -> Digest {
        Digest(bytes.iter().fold(self.0, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    /// The digest, mixed so that exclusive or of several keeps telling them apart.
    pub fn finish(self) -> u64 {
        let mut z = self.0;
        z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        z ^ (z >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_has_the_values_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn digests_tell_where_one_field_ends() {
        let a = Digest::from(0).bytes(b"ab").bytes(b"c").finish();
        let b = Digest::from(0).bytes(b"a").bytes(b"bc").finish();
        assert_ne!(a, b);
    }
}
