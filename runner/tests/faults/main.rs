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

mod boots;
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

use chaosrun::scenario::vocab::FaultKind;

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
    for kind in FaultKind::ALL {
        let name = kind.name();
        assert!(tested.contains(&name), "{name} has no test");
    }
}
