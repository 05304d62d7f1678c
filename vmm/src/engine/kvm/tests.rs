//! Whole machines on the host's KVM, booting a few bytes of machine code. On a host without KVM they
//! say so and check nothing.

use std::path::Path;

use super::host;
use crate::engine::{EngineError, EngineKind, EngineOptions};
use crate::machine::boot::elf::tests::executable;
use crate::machine::{Machine, MachineConfig, Stop};
use crate::time::VirtTime;

const CODE_AT: u64 = 0x10_0000;
const MILLI: u64 = 1_000_000;

/// Whether there is a KVM to test with.
fn has_kvm() -> bool {
    match host::open(Path::new(host::DEVICE)) {
        Ok(_) => true,
        Err(why) => {
            eprintln!("not checked: {why}");
            false
        }
    }
}

fn options(patience_ms: u64, allow_nondeterminism: bool) -> EngineOptions {
    EngineOptions {
        patience_ms,
        allow_nondeterminism,
    }
}

/// A machine with 8 MiB of RAM that executes `code`.
fn machine(code: &[u8], engine_options: EngineOptions) -> Machine {
    let kernel = executable(CODE_AT, code, 0x1000);
    let config = MachineConfig {
        memory: 8 << 20,
        engine: EngineKind::Kvm,
        engine_options,
        ..MachineConfig::new(&kernel)
    };
    Machine::new(&config).unwrap()
}

/// `mov edx, port; mov al, value; out dx, al`
fn out(port: u16, value: u8) -> Vec<u8> {
    let [low, high] = port.to_le_bytes();
    vec![0xba, low, high, 0, 0, 0xb0, value, 0xee]
}

#[test]
fn program_prints_and_powers_off() {
    if !has_kvm() {
        return;
    }
    let mut code: Vec<u8> = b"hi\n".iter().flat_map(|byte| out(0x3f8, *byte)).collect();
    code.extend(out(0x600, 5 << 2 | 1 << 5));
    let mut machine = machine(&code, EngineOptions::default());
    assert_eq!(machine.run_until(VirtTime(MILLI)).unwrap(), Stop::PowerOff);
    assert_eq!(machine.take_console(), b"hi\n");
    // Four exits of one kind.
    assert_eq!(machine.retired(), 4000);
}

#[test]
fn guest_that_never_exits_is_declared_with_its_place() {
    if !has_kvm() {
        return;
    }
    let mut machine = machine(&[0x90, 0xeb, 0xfe], options(20, false));
    let error = machine.run_until(VirtTime(MILLI)).unwrap_err();
    let EngineError::NotDeterministic {
        vcpu: 0,
        ran_ms,
        rip,
    } = error
    else {
        panic!("{error}");
    };
    assert!(ran_ms >= 20);
    assert_eq!(rip, CODE_AT + 1);
}

#[test]
fn guest_that_never_exits_goes_on_if_that_is_allowed() {
    if !has_kvm() {
        return;
    }
    let mut machine = machine(&[0xeb, 0xfe], options(5, true));
    assert_eq!(machine.run_until(VirtTime(MILLI)).unwrap(), Stop::Reached);
    assert_eq!(machine.now(), VirtTime(MILLI));
    assert!(
        machine
            .caveats()
            .iter()
            .any(|line| line.contains("not deterministic"))
    );
}

#[test]
fn halt_with_interrupts_off_is_for_ever() {
    if !has_kvm() {
        return;
    }
    let mut machine = machine(&[0xf4], EngineOptions::default());
    let Stop::HaltedForever { vcpus } = machine.run_until(VirtTime(MILLI)).unwrap() else {
        panic!("it did not halt");
    };
    assert_eq!((vcpus[0].rip, vcpus[0].interrupts), (CODE_AT + 1, false));
}

#[test]
fn exception_without_handlers_is_a_triple_fault() {
    if !has_kvm() {
        return;
    }
    let mut machine = machine(&[0x90, 0x0f, 0x0b], EngineOptions::default());
    let stop = machine.run_until(VirtTime(MILLI)).unwrap();
    assert!(matches!(stop, Stop::TripleFault { vcpu: 0, .. }), "{stop}");
}
