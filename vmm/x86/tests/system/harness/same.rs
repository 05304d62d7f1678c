//! Whether two machines are the same.

use super::Machine;
use super::layout::RAM;

/// Everything that the CPU is, TLB included.
pub fn fingerprint(m: &Machine) -> Vec<u8> {
    let mut bytes = Vec::new();
    m.cpu.hash_into(&mut |part| bytes.extend_from_slice(part));
    bytes
}

/// Fails with what differs between two CPUs.
#[track_caller]
pub fn assert_same_cpu(a: &Machine, b: &Machine, what: &str) {
    assert_eq!(a.cpu.retired(), b.cpu.retired(), "{what}: retired");
    if fingerprint(a) != fingerprint(b) {
        assert_eq!(a.cpu.state(), b.cpu.state(), "{what}");
        panic!("{what}: the translations differ");
    }
}

/// Fails with what differs, memory and bus included.
#[track_caller]
pub fn assert_same(a: &Machine, b: &Machine, what: &str) {
    assert_same_cpu(a, b, what);
    assert_eq!(a.bus, b.bus, "{what}: what reached the bus");
    let (x, y) = (memory(a), memory(b));
    let differs = x.iter().zip(&y).position(|(x, y)| x != y);
    assert_eq!(differs, None, "{what}: memory differs at this address");
}

/// All of RAM.
pub fn memory(m: &Machine) -> Vec<u8> {
    let mut bytes = vec![0; RAM as usize];
    assert!(m.memory.read(0, &mut bytes));
    bytes
}
