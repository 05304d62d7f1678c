//! How much of what a node sends over the SDK is looked at.
//!
//! A guest can send hundreds of gigabytes in a second of its time. What exceeds an allowance that no
//! program needs is counted and not looked at, so that a run takes bounded time and memory. The
//! allowance is a matter of virtual time, hence the same in each run; and a run in which something was
//! not looked at is never a pass.

/// What a node may send at once, in bytes.
const BURST: u64 = 32 << 20;
/// What it may send in a second of virtual time besides, in bytes.
pub(super) const PER_SECOND: u64 = 16 << 20;
/// What a message costs besides its bytes.
const MESSAGE: u64 = 128;

/// The allowance of one node.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    left: u64,
    time_ns: u64,
    /// Messages that exceeded it.
    refused: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            left: BURST,
            time_ns: 0,
            refused: 0,
        }
    }
}

impl Allowance {
    /// Whether a message of this many bytes, sent at this moment, is looked at.
    pub fn takes(&mut self, time_ns: u64, bytes: usize) -> bool {
        let passed = u128::from(time_ns.saturating_sub(self.time_ns));
        let earned = passed * u128::from(PER_SECOND) / 1_000_000_000;
        // Times too short to earn a byte add up.
        if earned > 0 {
            let earned = u64::try_from(earned).unwrap_or(BURST);
            self.left = self.left.saturating_add(earned).min(BURST);
            self.time_ns = time_ns;
        }
        let cost = MESSAGE.saturating_add(bytes as u64);
        let fits = cost <= self.left;
        if fits {
            self.left -= cost;
        } else {
            self.refused += 1;
        }
        debug_assert!(self.left <= BURST && self.time_ns <= time_ns);
        fits
    }

    /// How many messages were not looked at.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// How many messages of 32 KiB are taken if there are that many at each millisecond.
    fn taken(milliseconds: u64, each: u64) -> u64 {
        let mut allowance = Allowance::default();
        let sent = (0..milliseconds).flat_map(|ms| (0..each).map(move |_| ms * SECOND / 1000));
        let taken = sent.filter(|time| allowance.takes(*time, 32 << 10)).count() as u64;
        assert_eq!(taken + allowance.refused(), milliseconds * each);
        taken
    }

    #[test]
    fn a_flood_gets_its_share_and_no_more() {
        let bytes = (32 << 10) + MESSAGE;
        let most = (BURST + 2 * PER_SECOND) / bytes;
        let taken = taken(2000, 100);
        assert!((most - 20..=most).contains(&taken), "{taken} of {most}");
    }

    #[test]
    fn who_does_not_send_much_is_always_heard() {
        assert_eq!(taken(10_000, 0), 0);
        let mut allowance = Allowance::default();
        for number in 0..1_000_000u64 {
            // Ten thousand messages of a kilobyte in a second.
            assert!(allowance.takes(number * 100_000, 1024), "{number}");
        }
    }
}
