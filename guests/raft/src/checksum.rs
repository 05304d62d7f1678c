//! Checksums: CRC-32C for what is on the disk and the wire, a relative of FNV-1a for comparing states.

/// What a byte does to the checksum, for the reflected Castagnoli polynomial (RFC 3720, appendix B.4), if
/// as many bytes follow it in a group of eight as the number of the table says.
const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
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
        tables[0][i] = crc;
        i += 1;
    }
    let mut at = 256;
    while at < 8 * 256 {
        let before = tables[at / 256 - 1][at % 256];
        tables[at / 256][at % 256] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
        at += 1;
    }
    tables
}

/// The CRC-32C of `bytes` (RFC 3720). Eight bytes are taken at a time, which is twice as fast as one.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let (groups, rest) = bytes.as_chunks::<8>();
    let crc = groups.iter().fold(!0u32, |crc, group| {
        let low = u64::from_le_bytes(*group) ^ u64::from(crc);
        (0..8).fold(0, |crc, at| {
            crc ^ TABLES[7 - at][(low >> (8 * at)) as usize & 0xff]
        })
    });
    !rest.iter().fold(crc, |crc, &byte| {
        TABLES[0][((crc ^ u32::from(byte)) & 0xff) as usize] ^ (crc >> 8)
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
        Digest(mix(self.0, number))
    }

    /// Takes in bytes together with their number, so that neighbours can't swap bytes unseen.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Digest {
        self.number(bytes.len() as u64).raw(bytes)
    }

    /// Takes in bytes, eight at a time; zeros that fill up the last eight can't be mistaken for bytes, as
    /// the length is in the digest too.
    fn raw(self, bytes: &[u8]) -> Digest {
        let (groups, rest) = bytes.as_chunks::<8>();
        let hash = groups
            .iter()
            .fold(self.0, |hash, group| mix(hash, u64::from_le_bytes(*group)));
        if rest.is_empty() {
            return Digest(hash);
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        Digest(mix(hash, u64::from_le_bytes(last)))
    }

    /// The digest, mixed so that exclusive or of several keeps telling them apart.
    pub fn finish(self) -> u64 {
        let mut z = self.0;
        z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        z ^ (z >> 32)
    }
}

/// A step of FNV-1a, with eight bytes for one. As a product carries differences upwards only, the upper
/// half is folded into the lower one.
fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    product ^ (product >> 32)
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
    fn crc32c_of_eight_bytes_at_a_time_is_that_of_one_at_a_time() {
        let bytes: Vec<u8> = (0..100u32).map(|i| (i * i + 3) as u8).collect();
        for end in 0..bytes.len() {
            let one_at_a_time = !bytes[..end].iter().fold(!0u32, |crc, &byte| {
                (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                    (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
                })
            });
            assert_eq!(crc32c(&bytes[..end]), one_at_a_time, "{end} bytes");
        }
    }

    #[test]
    fn digests_notice_every_flipped_bit_and_how_long_the_bytes_are() {
        let bytes: Vec<u8> = (0..29).collect();
        let digest = |bytes: &[u8]| Digest::from(5).bytes(bytes).finish();
        let mut seen = std::collections::BTreeSet::from([digest(&bytes)]);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(digest(&changed)), "bit {bit}");
        }
        for zeros in 1..20 {
            let longer = [&bytes[..], &vec![0; zeros]].concat();
            assert!(seen.insert(digest(&longer)), "{zeros} zeros");
        }
    }

    #[test]
    fn digests_tell_where_one_field_ends() {
        let a = Digest::from(0).bytes(b"ab").bytes(b"c").finish();
        let b = Digest::from(0).bytes(b"a").bytes(b"bc").finish();
        assert_ne!(a, b);
    }
}
