//! Faults of the date.
//!
//! How far faults have moved a node's date is a fact of the world, also while the node is down, boots or
//! stands still. Its init sets the guest's clock by it before the first program starts. While programs run
//! it is told each time that there is a change, and asks how far the date is moved; so it does not matter
//! which change it hears of, or whether it had heard already.

use chaosrun_protocol::control::Action as GuestAction;
use chaosrun_vmm::world::Command;

use super::Director;
use super::guest::Part;
use super::nodes::Skew;

impl Director<'_> {
    /// A skew begins.
    pub(super) fn skew(&mut self, id: u64, node: usize, by_ns: i64) {
        let skew = Skew {
            by_ns,
            noticed: false,
        };
        self.nodes.get(node).skews.insert(id, skew);
        self.move_wall(id, node, Part::Begin);
    }

    /// A skew ends.
    pub(super) fn unskew(&mut self, id: u64, node: usize) {
        let Some(skew) = self.nodes.get(node).skews.remove(&id) else {
            return;
        };
        if !skew.noticed && !self.is_ordered(id, node) {
            self.without_effect(id, node, "the node did not run programs while it lasted");
        }
        self.move_wall(id, node, Part::End);
    }

    /// The date jumps, for good.
    pub(super) fn jump(&mut self, id: u64, node: usize, by_ns: i64) {
        let status = self.nodes.get(node);
        status.jumped_ns = status.jumped_ns.saturating_add(by_ns);
        status.unnoticed.insert(id);
        self.move_wall(id, node, Part::Jump { by_ns });
    }

    /// A node's kernel did not want the date that a skew or a jump gives it: then there is none.
    pub(super) fn take_back(&mut self, id: u64, node: usize, part: Part) {
        let status = self.nodes.get(node);
        let had = match part {
            Part::Begin => status.skews.remove(&id).is_some(),
            Part::Jump { by_ns } => {
                status.jumped_ns = status.jumped_ns.saturating_sub(by_ns);
                status.unnoticed.remove(&id)
            }
            Part::End => false,
        };
        if had {
            // What the guest's clock shows is what it would be without.
            let moved_ns = status.moved_ns();
            self.world(Command::MoveWall { node, moved_ns });
        }
    }

    fn move_wall(&mut self, id: u64, node: usize, part: Part) {
        let up = self.nodes.is_up(node);
        let status = self.nodes.get(node);
        let (moved_ns, listens) = (status.moved_ns(), status.listens);
        // One that boots may have set its clock already.
        status.stale |= up && !listens;
        self.world(Command::MoveWall { node, moved_ns });
        if up && listens {
            self.order(id, node, part, GuestAction::ClockFollow {});
        }
    }
}
