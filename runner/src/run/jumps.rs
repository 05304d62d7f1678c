//! A run that is saved, dropped and put back again and again, which has to come to the same as one that is
//! not.

use chaosrun_vmm::tape::Stream;
use chaosrun_vmm::world::{Checkpoint, World};

use super::cluster::ClusterError;
use super::drive::{Drive, RunError, Setup, Watch};
use super::mind::Mind;
use super::outcome::Outcome;

/// The longest time between two moments at which a run is saved, in nanoseconds.
const APART_NS: u64 = 600_000_000;
/// How many of the last moments it can go back to.
const BACK: usize = 4;
/// How often it goes back at most, so that it comes to an end.
const JUMPS_MAX: u32 = 40;

/// A run at a moment: the world, and all that observes it and decides.
pub(super) struct Bookmark<'a> {
    checkpoint: Checkpoint,
    mind: Mind<'a>,
    hashes: usize,
    next_hash: u64,
}

impl<'a> Drive<'a> {
    /// Saves the run. It goes on as if nothing had happened.
    ///
    /// # Errors
    /// If an engine failed.
    pub(super) fn mark(&mut self) -> Result<Bookmark<'a>, RunError> {
        // Every field is named, so that a new one can't be forgotten.
        let Self {
            world,
            mind,
            chain,
            // Is the plan's.
            hash_every: _,
            next_hash,
        } = self;
        Ok(Bookmark {
            checkpoint: world.checkpoint()?,
            mind: mind.clone(),
            hashes: chain.len(),
            next_hash: *next_hash,
        })
    }

    /// Goes back to where it was saved, in this world or in another one that was made there.
    ///
    /// # Errors
    /// If a machine can't be made or its engine failed.
    pub(super) fn go_back(
        &mut self,
        to: &Bookmark<'a>,
        world: Option<World>,
    ) -> Result<(), RunError> {
        let Bookmark {
            checkpoint,
            mind,
            hashes,
            next_hash,
        } = to;
        match world {
            Some(world) => self.world = world,
            None => self.world.restore(checkpoint)?,
        }
        self.mind = mind.clone();
        self.chain.truncate(*hashes);
        self.next_hash = *next_hash;
        Ok(())
    }
}

/// Runs a plan to its end, and goes back to earlier moments of it as `choices` says: in its world, or in
/// another one, which `make` makes of a checkpoint. How often is in the second part of the result.
///
/// # Errors
/// If a world can't be made, or fails.
pub fn run_with_jumps(
    setup: Setup<'_>,
    make: &dyn Fn(&Checkpoint) -> Result<World, ClusterError>,
    choices: &mut Stream,
    watch: &mut dyn Watch,
) -> Result<(Outcome, u32), RunError> {
    let mut drive = Drive::new(setup);
    drive.show();
    let mut marks: Vec<Bookmark<'_>> = Vec::new();
    let (mut next_mark, mut jumps) = (choices.below(APART_NS), 0);
    loop {
        if drive.now() >= next_mark {
            marks.push(drive.mark()?);
            if marks.len() > BACK {
                marks.remove(0);
            }
            if jumps < JUMPS_MAX && choices.below(2) == 0 {
                jumps += 1;
                // What comes behind it is not there any more.
                marks.truncate(1 + choices.below(marks.len() as u64) as usize);
                let mark = &marks[marks.len() - 1];
                let other = match choices.below(2) {
                    0 => None,
                    _ => Some(make(&mark.checkpoint)?),
                };
                drive.go_back(mark, other)?;
            }
            next_mark = drive.now() + 1 + choices.below(APART_NS);
        }
        if let Some(end) = drive.turn(watch)? {
            return Ok((drive.finish(end)?, jumps));
        }
    }
}
