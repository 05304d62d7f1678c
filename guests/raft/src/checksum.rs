//! A digest for comparing states, a relative of FNV-1a. What is on the disk and the wire has a CRC-32C
//! (RFC 3720), which is the crate crc32c's.

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
