//! Whole worlds with scripted machines.

use std::sync::Arc;

use super::*;
use crate::machine::{MachineEvent, Stop};
use script::{Act, Meeting, STEP, Script, blueprint, frame, mac};

mod checkpoints;
mod lives;
mod lockstep;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod pin;
mod script;

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// The shape of a network on which frames take a millisecond and a little for their bits.
fn plain() -> NetworkConfig {
    NetworkConfig::new("lan")
}

fn world(scripts: Vec<Script>, network: NetworkConfig, seed: u64, jobs: usize) -> World {
    let mut world = world_off(scripts, network, Tape::new(seed), jobs);
    world.start_all().expect("scripts can be started");
    world
}

/// A world whose nodes are off.
fn world_off(scripts: Vec<Script>, network: NetworkConfig, tape: Tape, jobs: usize) -> World {
    let blueprints = scripts.into_iter().map(blueprint).collect();
    let tape = Arc::new(tape);
    World::assemble(blueprints, vec![network], &tape, Pool::new(jobs))
        .expect("the world can be made")
}

fn run_to(world: &mut World, until: u64) {
    while world.now() < VirtTime(until) {
        world.step(VirtTime(until)).expect("the engines work");
    }
}

/// What nodes told by messages: (time, node, text).
fn messages(world: &mut World) -> Vec<(u64, usize, String)> {
    let events = world.take_events().into_iter();
    events
        .filter_map(|event| match event.kind {
            WorldEventKind::Machine(MachineEvent::Sdk(bytes)) => Some((
                event.time.0,
                event.node?,
                String::from_utf8_lossy(&bytes).into_owned(),
            )),
            _ => None,
        })
        .collect()
}

/// The texts of one node.
fn texts(world: &mut World, node: usize) -> Vec<String> {
    let all = messages(world).into_iter();
    all.filter(|told| told.1 == node)
        .map(|told| told.2)
        .collect()
}
