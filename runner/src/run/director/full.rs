//! Disks that are full.
//!
//! Where a node's init has mounted the disk, init makes its file system full: the device can't say "no
//! space" but only "error", which ext4 takes as a reason to become read-only. What of a node is full is
//! known here, for all lives: init is told all of it whenever it changes, and in each life when it has
//! mounted its disks, before it starts programs. A node that is down or boots is told nothing: the kernel's
//! driver would lose what comes before it is ready.
//!
//! Elsewhere, and where a fault is about single operations, the device itself fails writes to what was
//! never written, like a thin pool without space.

use chaosrun_protocol::control::Action as GuestAction;

use super::Director;
use crate::plan::fault::DiskOps;

impl Director<'_> {
    /// Whether a fault fills the file system on a disk, rather than failing operations of the disk.
    pub(super) fn fills(&self, node: usize, disk: usize, ops: &DiskOps) -> bool {
        let DiskOps {
            chance,
            times: None,
            offset_bytes: 0,
            length_bytes: None,
            ..
        } = ops
        else {
            return false;
        };
        let disk = &self.plan.nodes[node].disks[disk];
        chance.is_certain() && disk.mount.is_some() && !disk.read_only
    }

    /// The fault `id` fills a disk.
    pub(super) fn fill(&mut self, id: u64, node: usize, disk: usize) {
        self.nodes.get(node).full.insert((id, disk));
        self.tell_full(node);
    }

    /// It ends.
    pub(super) fn empty(&mut self, id: u64, node: usize, disk: usize) {
        if self.nodes.get(node).full.remove(&(id, disk)) {
            self.tell_full(node);
        }
    }

    /// The init of a node has mounted its disks, knows of none that is full, and waits a little for that.
    pub fn mounted(&mut self, node: usize) {
        let status = self.nodes.get(node);
        status.mounted = Some(status.boot);
        if !status.full.is_empty() {
            self.tell_full(node);
        }
    }

    fn tell_full(&mut self, node: usize) {
        let status = self.nodes.get(node);
        let listens = status.mounted == Some(status.boot);
        if !listens || !self.nodes.is_up(node) {
            return;
        }
        let full = self.nodes.get(node).full.iter();
        let full: Vec<usize> = full.map(|(_, disk)| *disk).collect();
        let disks = self.plan.nodes[node].disks.iter().enumerate();
        let disks = disks
            .filter(|(index, _)| full.contains(index))
            .map(|(_, disk)| disk.name.clone())
            .collect();
        self.tell(node, GuestAction::DisksFull { disks });
    }
}
