//! The state hash: a digest of everything that decides what a machine does next, chained over time.
//!
//! RAM is hashed page by page, see [`crate::ram`].

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::time::VirtTime;

/// Bytes that are gathered before they are hashed: a CPU tells its state in thousands of parts of a few
/// bytes, and the hasher has its work with each call.
const GATHERED: usize = 4096;

/// The digest of one part of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// The part: `vcpu0`, `lapic0`, `clock`, `ram`, ...
    pub name: String,
    /// Its digest.
    pub digest: u128,
}

/// A link of the chain of state hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHash {
    /// When it was taken.
    pub time: VirtTime,
    /// The hash of the link before, the time and the components.
    pub chain: u128,
    /// The parts, by which a divergence can be named.
    pub components: Vec<Component>,
}

impl StateHash {
    /// Chains the components of a state at `time` to the link before, zero for the first.
    pub(crate) fn chained(before: u128, time: VirtTime, components: Vec<Component>) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(&before.to_le_bytes());
        hasher.update(&time.0.to_le_bytes());
        for Component { name, digest } in &components {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(&digest.to_le_bytes());
        }
        Self {
            time,
            chain: hasher.digest128(),
            components,
        }
    }

    /// The names of the components in which two states differ.
    pub fn differences<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let digest = |hash: &Self, name: &str| {
            hash.components
                .iter()
                .find(|part| part.name == name)
                .map(|part| part.digest)
        };
        let mut names: Vec<&str> = self
            .components
            .iter()
            .chain(&other.components)
            .map(|part| part.name.as_str())
            .filter(|name| digest(self, name) != digest(other, name))
            .collect();
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(*name));
        names
    }
}

/// The digest of something serialisable, by its postcard form.
pub(super) fn digest_of(state: &impl Serialize) -> u128 {
    let bytes = postcard::to_allocvec(state).expect("device states have a postcard form");
    xxh3_128(&bytes)
}

/// The digest of what `feed` passes to its sink.
pub(super) fn digest_fed<E>(
    feed: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), E>,
) -> Result<u128, E> {
    let mut hasher = Xxh3::new();
    let (mut gathered, mut len) = ([0; GATHERED], 0);
    feed(&mut |bytes| {
        if bytes.len() > GATHERED - len {
            hasher.update(&gathered[..len]);
            len = 0;
        }
        match gathered.get_mut(len..len + bytes.len()) {
            Some(room) => {
                put(room, bytes);
                len += bytes.len();
            }
            None => hasher.update(bytes),
        }
    })?;
    hasher.update(&gathered[..len]);
    Ok(hasher.digest128())
}

/// Copies `bytes` to `room`, which is as long.
#[inline]
fn put(room: &mut [u8], bytes: &[u8]) {
    // A copy of a length that is known here is one store.
    match (room.as_mut_array::<8>(), bytes.as_array()) {
        (Some(room), Some(bytes)) => *room = *bytes,
        _ => room.copy_from_slice(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, digest: u128) -> Component {
        Component {
            name: name.to_owned(),
            digest,
        }
    }

    #[test]
    fn the_chain_depends_on_past_time_and_every_component() {
        let hash = |before, time, a, b| {
            let parts = vec![component("a", a), component("b", b)];
            StateHash::chained(before, VirtTime(time), parts).chain
        };
        let plain = hash(0, 5, 1, 2);
        assert_eq!(plain, hash(0, 5, 1, 2));
        assert!(
            [
                hash(1, 5, 1, 2),
                hash(0, 6, 1, 2),
                hash(0, 5, 2, 2),
                hash(0, 5, 1, 3)
            ]
            .iter()
            .all(|other| *other != plain)
        );
    }

    #[test]
    fn differing_components_are_named() {
        let hash = |a, names: &[&str]| {
            let parts = names.iter().map(|name| component(name, a)).collect();
            StateHash::chained(0, VirtTime(0), parts)
        };
        let (left, right) = (hash(1, &["ram", "pit"]), hash(1, &["ram", "rtc"]));
        assert_eq!(left.differences(&right), ["pit", "rtc"]);
        assert_eq!(left.differences(&hash(2, &["ram", "pit"])), ["ram", "pit"]);
    }
}
