//! Whom a fault hits.

use chaosrun_vmm::tape::Stream;

use super::Director;
use crate::plan::fault::{Pick, Target};

/// Draws `count` of `from`, which keep their order.
pub(super) fn some_of(stream: &mut Stream, from: &[usize], count: usize) -> Vec<usize> {
    let mut left = from.to_vec();
    let mut drawn = Vec::new();
    for _ in 0..count.min(from.len()) {
        drawn.push(left.remove(stream.below(left.len() as u64) as usize));
    }
    drawn.sort_unstable();
    drawn
}

impl Director<'_> {
    /// Draws the targets among those of the set that `eligible` accepts. The counts of `minority`
    /// and `majority` are about the whole set. None if too few are eligible.
    pub(super) fn pick(
        &mut self,
        name: &str,
        target: &Target,
        eligible: impl Fn(&Self, usize) -> bool,
    ) -> Option<Vec<usize>> {
        let all = self.set(&target.from);
        let size = all.len() as u64;
        let able: Vec<usize> = all
            .into_iter()
            .filter(|node| eligible(self, *node))
            .collect();
        let stream = self.stream(name);
        let count = match target.pick {
            Pick::All => return (!able.is_empty()).then_some(able),
            Pick::Any { count } => count,
            Pick::Minority => stream.range(1, (size.saturating_sub(1) / 2).max(1)),
            Pick::Majority => stream.range(size / 2 + 1, size),
        };
        let count = usize::try_from(count).ok()?;
        (count > 0 && count <= able.len()).then(|| some_of(stream, &able, count))
    }

    /// Parts `members` into `count` groups, each with at least one of them.
    pub(super) fn groups(
        &mut self,
        name: &str,
        members: &[usize],
        count: usize,
    ) -> Vec<Vec<usize>> {
        let count = count.min(members.len());
        let stream = self.stream(name);
        let mut groups = vec![Vec::new(); count];
        let mut left = members.to_vec();
        for group in &mut groups {
            group.push(left.remove(stream.below(left.len() as u64) as usize));
        }
        for node in left {
            groups[stream.below(count as u64) as usize].push(node);
        }
        groups
    }
}
