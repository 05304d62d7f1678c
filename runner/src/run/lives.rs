//! What is known of the nodes from their machines and consoles: how often they started, how they ended,
//! and whether they still listen.

use crate::property::no_panic::KERNEL_PANIC;

/// Nanoseconds from a node's reset by itself to its next start: what a machine without much firmware
/// takes, so that one that resets at once does not do so without end in no time.
const REBOOT_NS: u64 = 100_000_000;

/// One node.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    /// How often it was started.
    pub boots: u64,
    /// How often a fault killed it.
    pub crashes: u64,
    /// How its machine ended by itself, unless it was started again since.
    pub ending: Option<String>,
    /// Whether its console showed a panic of the kernel since it was started.
    panicked: bool,
    /// The processors that ignore interrupts.
    deaf: u32,
    /// When it starts again after a reset by itself.
    reboot: Option<u64>,
}

impl Life {
    /// It was switched on. Returns whether that is the first time.
    pub fn started(&mut self) -> bool {
        *self = Self {
            boots: self.boots + 1,
            crashes: self.crashes,
            ..Self::default()
        };
        self.boots == 1
    }

    /// Its console showed a line.
    pub fn console(&mut self, line: &str) {
        self.panicked |= line.contains(KERNEL_PANIC);
    }

    /// Whether its kernel said that it panicked.
    pub fn panicked(&self) -> bool {
        self.panicked
    }

    /// It reset itself at `now`.
    pub fn reset(&mut self, now: u64) {
        self.reboot = Some(now.saturating_add(REBOOT_NS));
    }

    /// When it starts again by itself.
    pub fn reboot(&self) -> Option<u64> {
        self.reboot
    }

    /// Whether it has to start again by itself now, which is told once.
    pub fn reboots(&mut self, now: u64) -> bool {
        self.reboot.take_if(|moment| *moment <= now).is_some()
    }

    /// A processor ignores interrupts.
    pub fn ignores(&mut self, vcpu: u32) {
        self.deaf |= 1 << vcpu;
    }

    /// A processor takes interrupts again. Returns whether all do now.
    pub fn takes(&mut self, vcpu: u32) -> bool {
        self.deaf &= !(1 << vcpu);
        self.deaf == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_life_forgets_all_but_the_counts() {
        let mut life = Life::default();
        assert!(life.started());
        life.crashes = 3;
        life.console("[    1.000000] Kernel panic - not syncing: fatal");
        life.ending = Some("reset".to_owned());
        life.reset(5);
        assert!(life.panicked());
        assert!(!life.started());
        assert!(!life.panicked() && life.ending.is_none() && life.reboot().is_none());
        assert_eq!((life.boots, life.crashes), (2, 3));
    }

    #[test]
    fn a_reboot_comes_once_and_not_too_soon() {
        let mut life = Life::default();
        life.reset(7);
        let due = life.reboot().expect("it is to start again");
        assert!(!life.reboots(due - 1));
        assert!(life.reboots(due));
        assert!(!life.reboots(due));
    }

    #[test]
    fn a_node_listens_when_all_its_processors_do() {
        let mut life = Life::default();
        life.ignores(0);
        life.ignores(2);
        assert!(!life.takes(0));
        assert!(life.takes(2));
    }
}
