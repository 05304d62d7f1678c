//! Random numbers that chaosrun chooses: the same in a replay, others in another run, and single ones
//! changed when chaosrun explores.
//!
//! Outside a machine they come from a generator that the operating system seeds, or, with the
//! environment variable `CHAOSRUN_SDK_LOCAL_SEED`, from that number.

use alloc::string::String;
use core::convert::Infallible;

use chaosrun_protocol::port::MAX_STREAM_NAME;
use rand_core::TryRng;

use crate::transport::{self, Transport};

/// The next number of 64 bits.
#[must_use]
pub fn u64() -> u64 {
    transport::started().random("")
}

/// A number below `end`, and 0 if `end` is 0. One decision of the tape.
#[must_use]
pub fn below(end: u64) -> u64 {
    scale(self::u64(), end)
}

/// One of the items; none if there are none.
///
/// ```
/// let colour = chaosrun_sdk::random::choice(&["red", "green", "blue"]);
/// assert!(colour.is_some());
/// ```
#[must_use]
pub fn choice<T>(items: &[T]) -> Option<&T> {
    items.get(below(items.len() as u64) as usize)
}

/// One of the items that an iterator with a known length gives; none if it gives none.
#[must_use]
pub fn choice_from<I>(items: I) -> Option<I::Item>
where
    I: IntoIterator<IntoIter: ExactSizeIterator>,
{
    let mut items = items.into_iter();
    let index = below(items.len() as u64) as usize;
    items.nth(index)
}

/// Fills the buffer; eight bytes are one decision of the tape.
pub fn fill(buffer: &mut [u8]) {
    fill_from(buffer, self::u64);
}

fn fill_from(buffer: &mut [u8], mut next: impl FnMut() -> u64) {
    for chunk in buffer.chunks_mut(8) {
        let bytes = next().to_le_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
}

/// Maps a number of 64 bits evenly onto those below `end`.
fn scale(number: u64, end: u64) -> u64 {
    ((u128::from(number) * u128::from(end)) >> 64) as u64
}

/// The same numbers as a generator of the `rand` family (`rand_core::Rng`), from the common stream or
/// from a named one.
///
/// Named streams are independent of each other: how many numbers one part of the program takes does not
/// change what another part gets.
///
/// ```
/// use rand_core::Rng;
/// let mut workload = chaosrun_sdk::random::ChaosRng::named("workload");
/// let key = workload.next_u64() % 16;
/// # assert!(key < 16);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ChaosRng {
    name: String,
}

impl ChaosRng {
    /// The common stream, which [`u64`] and the other functions use.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A stream of its own. All generators of one node with this name share it. Names longer than 64
    /// bytes are cut.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: stream_name(&[name]),
        }
    }

    /// A number below `end`, and 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        scale(self.next(), end)
    }

    /// One of the items; none if there are none.
    pub fn choice<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Any number.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, so that it is no iterator"
    )]
    pub fn next(&mut self) -> u64 {
        transport::started().random(&self.name)
    }
}

impl TryRng for ChaosRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        fill_from(buffer, || self.next());
        Ok(())
    }
}

/// The stream whose name is these parts, if the program is in a machine.
pub(crate) fn machine_stream(parts: &[&str]) -> Option<ChaosRng> {
    matches!(transport::started(), Transport::Port).then(|| ChaosRng {
        name: stream_name(parts),
    })
}

/// The parts as one name, cut where it would be too long for a call.
fn stream_name(parts: &[&str]) -> String {
    let mut name = parts.concat();
    name.truncate(name.floor_char_boundary(MAX_STREAM_NAME));
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn scaling_is_even_and_stays_below() {
        assert_eq!(scale(u64::MAX, 6), 5);
        assert_eq!(scale(0, 6), 0);
        assert_eq!(scale(u64::MAX, 0), 0);
        assert_eq!(scale(u64::MAX, u64::MAX), u64::MAX - 1);
        let sixths: Vec<u64> = (0..6).map(|n| scale(n * (u64::MAX / 6) + 9, 6)).collect();
        assert_eq!(sixths, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn buffers_take_eight_bytes_of_each_number() {
        let mut buffer = [0; 11];
        let mut next = 0x0807_0605_0403_0201u64;
        fill_from(&mut buffer, || {
            let number = next;
            next = 0xff0c_0b0a;
            number
        });
        assert_eq!(buffer, [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12]);
    }

    #[test]
    fn choices_come_from_the_items() {
        assert_eq!(choice::<u8>(&[]), None);
        assert_eq!(choice(&[7]), Some(&7));
        assert_eq!(choice_from(Vec::<u8>::new()), None);
        assert!((3..6).contains(&choice_from(3u8..6).unwrap()));
        assert_eq!(ChaosRng::named("x").choice(&[7]), Some(&7));
    }

    #[test]
    fn names_of_streams_are_cut_between_characters() {
        assert_eq!(stream_name(&["ab", "c"]), "abc");
        let name = stream_name(&["x", &"é".repeat(60)]);
        assert_eq!(name.len(), MAX_STREAM_NAME - 1);
    }
}
