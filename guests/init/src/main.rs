//! The first process of chaosrun's guests.
//!
//! It mounts what programs expect, opens the SDK's ports, loads kernel modules, asks the machine who it is,
//! finds its devices, names disks, brings up the network, sets the clock, starts the workloads, restarts them
//! by their policy, carries out the host's commands, and reports all of it. It never ends: a first process
//! that ends is a kernel panic. What fails at the start is told (on the console and to the host), and the
//! rest goes on.

mod clock;
mod control;
mod devices;
mod disks;
mod family;
mod full;
mod identity;
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

fn main() {
    if sys::pid() != 1 {
        eprintln!("chaosrun-init is the first process of a guest; it does nothing elsewhere");
        std::process::exit(2);
    }
    mounts::mount_all();
    report::open();
    modules::load_all();
    report::stage("modules");
    // What comes before is the same for all nodes that boot the same.
    let config = identity::ask();
    identity::reseed();
    if !config.hostname.is_empty() {
        report::attempt("name the host", sys::set_hostname(&config.hostname));
    }
    devices::find();
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
