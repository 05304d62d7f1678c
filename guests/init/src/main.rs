//! The first process of chaosrun's guests.
//!
//! It mounts what programs expect, opens the SDK's ports, loads kernel modules, names disks, brings up
//! the network, sets the clock, starts the workloads of `/.chaosrun/node.json`, restarts them by their
//! policy, carries out the host's commands, and reports all of it. It never ends: a first process that
//! ends is a kernel panic. What fails at the start is told (on the console and to the host), and the
//! rest goes on.

mod clock;
mod control;
mod disks;
mod family;
mod full;
mod keeper;
mod memory;
mod modules;
mod mounts;
mod network;
mod output;
mod report;
mod supervisor;
mod sys;
mod workload;

use chaosrun_protocol::node::{self, NodeConfig};

fn main() {
    if sys::pid() != 1 {
        eprintln!("chaosrun-init is the first process of a guest; it does nothing elsewhere");
        std::process::exit(2);
    }
    mounts::mount_all();
    report::open();
    let config = configuration();
    if !config.hostname.is_empty() {
        report::attempt("name the host", sys::set_hostname(&config.hostname));
    }
    modules::load(&config.modules);
    report::stage("modules");
    disks::name_all();
    report::stage("disks");
    network::bring_up(&config);
    report::stage("network");
    let control = control::Control::open();
    let disks = full::Disks::new(config.mounts.clone());
    let expected = !config.workloads.is_empty();
    let workloads = if disks::mount_all(&config.mounts) {
        config.workloads
    } else {
        // A program that finds its data gone would make it anew, and nobody would know why.
        report::trouble("no program is started without its disk".to_owned());
        Vec::new()
    };
    report::stage("mounted");
    // As late as can be, so that what comes before is the same whatever the date is.
    let mut clock = clock::WallClock::default();
    clock.set();
    supervisor::Supervisor::new(workloads, expected, control, clock)
        .with_disks(disks)
        .run();
}

/// What is to be done here; nothing, if nobody says so.
fn configuration() -> NodeConfig {
    let text = match std::fs::read(node::PATH) {
        Ok(text) => text,
        Err(error) => {
            report::trouble(format!("can't read {}: {error}", node::PATH));
            return NodeConfig::default();
        }
    };
    NodeConfig::from_json(&text).unwrap_or_else(|error| {
        report::trouble(format!("{} is not understood: {error}", node::PATH));
        NodeConfig::default()
    })
}
