//! Values: a number, and bytes that follow from it, so that a value that was mixed up is noticed.

/// The bytes that stand for `number`. Some are longer than a sector of a disk.
pub fn bytes_of(number: u64) -> Vec<u8> {
    let length = if number % 4 == 3 {
        700 + number % 600
    } else {
        number % 40
    };
    let end = 8 + length as usize;
    let mut bytes = Vec::with_capacity(end + 8);
    let mut word = number;
    while bytes.len() < end {
        bytes.extend(word.to_le_bytes());
        // The multiplier of Knuth's MMIX; it is odd, so that what follows a number is its own.
        word = word.wrapping_add(1).wrapping_mul(6_364_136_223_846_793_005);
    }
    bytes.truncate(end);
    bytes
}

/// The number for which `bytes` stand, if they are all as they should be.
pub fn number_of(bytes: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    (bytes == bytes_of(number)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_for_their_numbers_and_damage_is_noticed() {
        for number in [0, 1, 3, 77, u64::from(u32::MAX), u64::MAX] {
            let bytes = bytes_of(number);
            assert_eq!(number_of(&bytes), Some(number));
            assert_eq!(number_of(&bytes[..bytes.len() - 1]), None);
            let mut longer = bytes.clone();
            longer.push(0);
            assert_eq!(number_of(&longer), None);
            let mut changed = bytes;
            *changed.last_mut().unwrap() ^= 1;
            assert_ne!(number_of(&changed), Some(number));
        }
    }

    #[test]
    fn some_values_are_longer_than_a_sector() {
        assert!((0..8).any(|number| bytes_of(number).len() > 512));
        assert!((0..8).any(|number| bytes_of(number).len() < 64));
    }
}
