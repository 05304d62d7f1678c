//! The digest of RAM: the sum modulo 2^128 of the hashes of its pages, each seeded with the page's index. A
//! page of zeros counts as nothing, so that RAM that was never touched needs neither to be read nor to be
//! known.

use xxhash_rust::xxh3::xxh3_128_with_seed;

/// The hashes of all pages of RAM and their sum.
#[derive(Clone)]
pub(super) struct PageHashes {
    pages: Vec<u128>,
    sum: u128,
}

impl PageHashes {
    /// The hashes of `pages` pages of zeros.
    pub fn new(pages: u64) -> Self {
        // Zeroed by the allocator, so that the hashes of untouched pages are untouched as well.
        Self {
            pages: vec![0; pages as usize],
            sum: 0,
        }
    }

    /// Page `index` now holds `bytes`. Returns its new hash if that is another than before.
    pub fn update(&mut self, index: u64, bytes: &[u8]) -> Option<u128> {
        let slot = &mut self.pages[index as usize];
        // Read first, so that it comes from memory together with the page.
        let before = *slot;
        let hash = page_hash(index, bytes);
        *slot = hash;
        self.sum = self.sum.wrapping_sub(before).wrapping_add(hash);
        (before != hash).then_some(hash)
    }

    /// The digest of all RAM.
    pub fn digest(&self) -> u128 {
        self.sum
    }
}

/// The contribution of a page to the digest of RAM.
fn page_hash(index: u64, bytes: &[u8]) -> u128 {
    // By lines, so that a page that is not zeroed, as most, shows it at once.
    let (lines, rest) = bytes.as_chunks::<64>();
    let is_zero = |line: &[u8]| line.iter().fold(0, |all, byte| all | byte) == 0;
    if lines.iter().all(|line| is_zero(line)) && is_zero(rest) {
        0
    } else {
        xxh3_128_with_seed(bytes, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: u64 = 64;

    /// The digest computed from the whole content at once.
    fn full(ram: &[[u8; 4096]]) -> u128 {
        let mut hashes = PageHashes::new(PAGES);
        for (index, page) in ram.iter().enumerate() {
            hashes.update(index as u64, page);
        }
        hashes.digest()
    }

    #[test]
    fn incremental_hash_equals_the_full_one() {
        let mut stream = crate::tape::Tape::new(6).stream("pages");
        let mut ram = vec![[0u8; 4096]; PAGES as usize];
        let mut hashes = PageHashes::new(PAGES);
        for _ in 0..500 {
            let (page, at) = (stream.below(PAGES), stream.below(4096));
            ram[page as usize][at as usize] = stream.below(3) as u8;
            hashes.update(page, &ram[page as usize]);
        }
        assert_eq!(hashes.digest(), full(&ram));
        ram[5][0] ^= 1;
        assert_ne!(hashes.digest(), full(&ram));
    }

    #[test]
    fn zeroed_pages_count_like_untouched_ones() {
        let mut hashes = PageHashes::new(PAGES);
        assert_eq!(hashes.update(3, &[0; 4096]), None);
        assert!(hashes.update(3, &[1; 4096]).is_some());
        assert_eq!(hashes.update(3, &[0; 4096]), Some(0));
        assert_eq!(hashes.digest(), 0);
    }

    #[test]
    fn swapping_two_pages_changes_the_digest() {
        let mut ram = vec![[0u8; 4096]; PAGES as usize];
        (ram[1], ram[2]) = ([1; 4096], [2; 4096]);
        let before = full(&ram);
        ram.swap(1, 2);
        assert_ne!(full(&ram), before);
    }
}
