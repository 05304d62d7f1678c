//! Every fault of the language, seen from inside of a guest: `guests/observer` measures what happens to
//! it, in a scenario with the fault and in the same scenario without.
//!
//! `ends` is about machines that need no fault to go wrong, `prompt` about what consoles show, `date` about
//! clocks in all orders of faults, and `lost` about faults that come when a node cannot take them.
//!
//! One target for all families, so that there is one program to link; kernel and guest come from
//! chaosrun's cache.

#[path = "../machines/elf.rs"]
mod elf;
mod pair;

mod clock;
mod crash;
mod cut;
mod date;
mod disk;
mod ends;
mod interrupt;
mod lost;
mod memory;
mod network;
mod node;
mod process;
mod prompt;
mod space;

use chaosrun::scenario::vocab::{FAMILIES, KINDS};

#[test]
fn every_kind_of_fault_has_a_test() {
    let files = [
        network::TESTED,
        cut::TESTED,
        disk::TESTED,
        node::TESTED,
        process::TESTED,
        clock::TESTED,
        memory::TESTED,
        interrupt::TESTED,
    ];
    let tested: Vec<&str> = files
        .iter()
        .chain(crash::TESTED)
        .chain(space::TESTED)
        .copied()
        .flatten()
        .copied()
        .collect();
    // `heal` and `resume` are in no family, for they end faults; they are kinds all the same.
    let in_families = FAMILIES.iter().flat_map(|(_, kinds)| kinds.iter().copied());
    for kind in in_families.chain(KINDS.iter().map(|kind| kind.name)) {
        assert!(tested.contains(&kind), "{kind} has no test");
    }
}
