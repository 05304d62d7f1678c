//! What tests of this engine need: whether there is a KVM, and vCPUs without a machine around them.

use std::io::Write;
use std::path::Path;

use chaosrun_x86::{Access, Bus, CpuModel, Exit};

use super::preempt::tests::Always;
use super::{Kvm, host};
use crate::engine::{Engine, EngineOptions};
use crate::ram::GuestRam;

/// Whether there is a KVM to test with.
pub(crate) fn has_kvm() -> bool {
    match host::open(Path::new(host::DEVICE)) {
        Ok(_) => true,
        Err(why) => {
            not_checked(&why.to_string());
            false
        }
    }
}

/// Says past the harness, which shows nothing of tests that pass, that a test checks nothing and why.
/// Where `CHAOSRUN_REQUIRE_KVM` is set, that is a failure.
pub(super) fn not_checked(why: &str) {
    let required = std::env::var_os("CHAOSRUN_REQUIRE_KVM").is_some();
    assert!(!required, "KVM is required here: {why}");
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "NOT CHECKED: {name}: {why}");
}

#[test]
fn a_guest_is_preempted_at_the_point_if_the_host_can_tell_when_it_is_there() {
    if !has_kvm() {
        return;
    }
    let options = EngineOptions {
        patience_ms: 20,
        ..EngineOptions::default()
    };
    let mut engine = Kvm::new(&CpuModel::default(), &options).unwrap();
    engine.vcpus[0].preemption = Box::new(Always::new());
    let mut ram = GuestRam::new(4 << 20).unwrap();
    // jmp . at F000:FFF0, where a processor starts; its upper part is out of the way.
    let mut state = engine.state(0).unwrap();
    (state.segments[1].selector, state.segments[1].base) = (0xf000, 0xf_0000);
    engine.set_state(0, &state).unwrap();
    assert!(ram.write(0xf_fff0, &[0xeb, 0xfe]));
    let exit = engine.run(0, &mut ram, &mut NoBus, 12_345).unwrap();
    assert_eq!((exit, engine.retired(0)), (Exit::Budget, 12_345));
}

/// A machine with nothing in it.
pub(super) struct NoBus;

impl Bus for NoBus {
    fn read_mmio(&mut self, _: &mut Access, _: u64, _: u8) -> u64 {
        u64::MAX
    }
    fn write_mmio(&mut self, _: &mut Access, _: u64, _: u8, _: u64) {}
    fn read_port(&mut self, _: &mut Access, _: u16, _: u8) -> u32 {
        u32::MAX
    }
    fn write_port(&mut self, _: &mut Access, _: u16, _: u8, _: u32) {}
    fn read_msr(&mut self, _: &mut Access, _: u32) -> Option<u64> {
        None
    }
    fn write_msr(&mut self, _: &mut Access, _: u32, _: u64) -> bool {
        false
    }
    fn read_tsc(&mut self, _: &mut Access) -> u64 {
        0
    }
    fn tsc_adjusted(&mut self, _: &mut Access, _: u64) {}
    fn read_cr8(&mut self, _: &mut Access) -> u64 {
        0
    }
    fn write_cr8(&mut self, _: &mut Access, _: u64) {}
    fn random(&mut self, _: &mut Access) -> u64 {
        0
    }
}
