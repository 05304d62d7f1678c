//! What the world needs of a machine, so that it can be tested with scripted ones.

use std::any::Any;
use std::sync::Arc;

use crate::disk::Disk;
use crate::engine::EngineError;
use crate::machine::{Component, Input, MachineError, Output, Stop};
use crate::time::VirtTime;

/// A machine at a moment, which only machines of the same kind can make something of.
pub(super) type SavedBody = Arc<dyn Any + Send + Sync>;

/// A machine in its own time, which begins at its power-on.
pub(super) trait Body: Send {
    /// The present moment.
    fn now(&self) -> VirtTime;

    /// Runs until `until`, or a little further if that lies within an instruction, or until the
    /// machine is over.
    fn run_until(&mut self, until: VirtTime) -> Result<Stop, EngineError>;

    /// When something happens next if nothing comes from outside, the end of time for never; `None`
    /// if a vCPU runs.
    fn next_event(&self) -> Option<VirtTime>;

    /// Takes what it gave out since the last time, in the order of time.
    fn take_outputs(&mut self) -> Vec<Output>;

    /// Gives it something at the present moment.
    fn input(&mut self, input: Input);

    /// Lets time pass in which nothing executes.
    fn skip_to(&mut self, moment: VirtTime);

    /// Sets how many instructions a microsecond has from now on.
    fn set_rate(&mut self, instructions_per_us: u64);

    /// Lets timers expire so many nanoseconds late from now on.
    fn delay_timers(&mut self, by_ns: u64);

    /// From now on faults have moved its date so many nanoseconds from what it would be without them.
    fn move_wall(&mut self, moved_ns: i64);

    /// One of its disks.
    fn disk_mut(&mut self, index: usize) -> Option<&mut Disk>;

    /// Ends it at once and takes its disks out.
    fn into_disks(self: Box<Self>) -> Vec<Disk>;

    /// Saves everything that decides what it does next, and what it gave out and nobody took.
    fn save(&mut self) -> Result<SavedBody, EngineError>;

    /// Puts back what was saved of this machine, or of another one of its node.
    fn restore(&mut self, saved: &SavedBody) -> Result<(), EngineError>;

    /// The digests of everything that decides what it does next.
    fn components(&mut self) -> Result<Vec<Component>, EngineError>;

    /// Instructions retired since power-on.
    fn retired(&self) -> u64;

    /// What its engine can't promise on this host.
    fn caveats(&self) -> Vec<String>;

    /// Outputs that were lost because there were too many, and bytes of the console.
    fn lost(&self) -> (u64, u64);
}

/// One time that a node is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    /// Its number, from zero.
    pub number: u64,
    /// What the node's clock shows when it begins, counted from the beginning of the first one.
    pub born: VirtTime,
    /// How far faults have moved the node's date, in nanoseconds.
    pub moved_ns: i64,
}

/// Makes the machines of a node.
pub(super) trait Maker: Send {
    /// The machine of a life, with these disks.
    fn make(&self, life: Life, disks: Vec<Disk>) -> Result<Box<dyn Body>, MachineError>;

    /// A machine that goes on where one of this node was saved, in the life in which that was.
    fn resume(&self, life: Life, saved: &SavedBody) -> Result<Box<dyn Body>, MachineError>;

    /// Instructions per microsecond when nothing throttles the node.
    fn rate(&self) -> u64;
}
