//! CPUID on this engine: the identity of the exact engine's processor without what the host's
//! processor would answer on its own, checked against what the host has.

use chaosrun_x86::CpuModel;
use kvm_bindings::{
    CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2,
};
use kvm_ioctls::{Kvm, VcpuFd};

use super::host::HostError;

/// The leaves of the identity, with the number of subleaves where they matter.
const LEAVES: [(u32, u32); 26] = [
    (0, 0),
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 5),
    (5, 0),
    (6, 0),
    (7, 1),
    (8, 0),
    (9, 0),
    (0xa, 0),
    (0xb, 3),
    (0xd, 3),
    (0x14, 0),
    (0x15, 0),
    (0x16, 0),
    (0x4000_0000, 0),
    (0x8000_0000, 0),
    (0x8000_0001, 0),
    (0x8000_0002, 0),
    (0x8000_0003, 0),
    (0x8000_0004, 0),
    (0x8000_0005, 0),
    (0x8000_0006, 0),
    (0x8000_0007, 0),
    (0x8000_0008, 0),
];

/// Leaf 1, ECX: the TSC-deadline timer, which counts by a time stamp counter that is not ours here.
const TSC_DEADLINE: u32 = 1 << 24;
/// Leaf 8000_0001, EDX: RDTSCP.
const RDTSCP: u32 = 1 << 27;

/// Names of bits of a register.
type Bits = &'static [(u32, &'static str)];

/// What no guest can do without, of leaf 1, EDX, and of leaf 8000_0001, EDX.
const NEEDED: Bits = &[
    (0, "FPU"),
    (6, "PAE"),
    (8, "CMPXCHG8B"),
    (15, "CMOV"),
    (24, "FXSR"),
    (25, "SSE"),
    (26, "SSE2"),
];
const NEEDED_EXTENDED: Bits = &[(11, "SYSCALL"), (20, "NX"), (29, "long mode")];
/// What the guest's processor has besides, of leaf 1, ECX. A host may fail to vouch for these and
/// execute them all the same, in user mode at least.
const PROMISED: Bits = &[
    (0, "SSE3"),
    (9, "SSSE3"),
    (13, "CMPXCHG16B"),
    (19, "SSE4.1"),
    (20, "SSE4.2"),
    (23, "POPCNT"),
    (26, "XSAVE"),
];

/// One leaf as a guest on this engine reads it.
fn leaf(model: &CpuModel, id: u32, function: u32, index: u32) -> [u32; 4] {
    let mut registers = model.cpuid(id, function, index, false);
    match function {
        1 => registers[2] &= !TSC_DEADLINE,
        0x8000_0001 => registers[3] &= !RDTSCP,
        _ => {}
    }
    registers
}

/// All leaves of the processor with APIC ID `id`.
fn table(model: &CpuModel, id: u32) -> Vec<kvm_cpuid_entry2> {
    LEAVES
        .into_iter()
        .flat_map(|(function, subleaves)| {
            (0..subleaves.max(1)).map(move |index| (function, index, subleaves > 0))
        })
        .map(|(function, index, indexed)| {
            let [eax, ebx, ecx, edx] = leaf(model, id, function, index);
            kvm_cpuid_entry2 {
                function,
                index,
                flags: if indexed {
                    KVM_CPUID_FLAG_SIGNIFCANT_INDEX
                } else {
                    0
                },
                eax,
                ebx,
                ecx,
                edx,
                ..Default::default()
            }
        })
        .collect()
}

/// Gives a vCPU its identity.
pub(super) fn install(fd: &VcpuFd, model: &CpuModel, id: u32) -> Result<(), HostError> {
    let entries = table(model, id);
    let list = CpuId::from_entries(&entries).expect("forty leaves fit in a list");
    fd.set_cpuid2(&list)
        .map_err(HostError::call("give a vCPU its CPUID"))
}

/// What KVM says about the host's processor.
struct Supported {
    basic: kvm_cpuid_entry2,
    extended: kvm_cpuid_entry2,
}

impl Supported {
    fn of(kvm: &Kvm) -> Result<Self, HostError> {
        let supported = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(HostError::call("tell what CPUID it supports"))?;
        let find = |function| {
            let entries = supported.as_slice();
            let entry = entries.iter().find(|entry| entry.function == function);
            entry.copied().unwrap_or_default()
        };
        Ok(Self {
            basic: find(1),
            extended: find(0x8000_0001),
        })
    }
}

fn lacking(register: u32, bits: Bits) -> impl Iterator<Item = &'static str> {
    bits.iter()
        .filter(move |(bit, _)| register >> bit & 1 == 0)
        .map(|(_, name)| *name)
}

/// Checks that the host has what no guest can do without.
///
/// # Errors
/// If it has not.
pub(super) fn check_host(kvm: &Kvm) -> Result<(), HostError> {
    let Supported { basic, extended } = Supported::of(kvm)?;
    let missing: Vec<&str> = lacking(basic.edx, NEEDED)
        .chain(lacking(extended.edx, NEEDED_EXTENDED))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(HostError::Processor {
            what: missing.join(", "),
        })
    }
}

/// What the guest's processor promises and the host does not vouch for.
///
/// # Errors
/// If KVM does not tell.
pub(super) fn not_vouched_for(kvm: &Kvm) -> Result<Vec<&'static str>, HostError> {
    Ok(lacking(Supported::of(kvm)?.basic.ecx, PROMISED).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_leaf_tells_of_what_the_host_would_answer_itself() {
        let model = CpuModel::default();
        let entries = table(&model, 0);
        let find = |function| {
            *entries
                .iter()
                .find(|entry| entry.function == function)
                .unwrap()
        };
        let bit = |register: u32, bit: u32| register >> bit & 1;
        // TSC-deadline, RDRAND, hypervisor.
        assert_eq!([24, 30, 31].map(|n| bit(find(1).ecx, n)), [0, 0, 0]);
        // RDSEED, AVX-512F; RDTSCP.
        assert_eq!([18, 16].map(|n| bit(find(7).ebx, n)), [0, 0]);
        assert_eq!(bit(find(0x8000_0001).edx, 27), 0);
        assert_eq!(find(0x4000_0000).eax, 0);
        assert_eq!(find(0x15).ecx, model.crystal_hz);
    }

    #[test]
    fn avx2_is_told_of_on_request_only() {
        let leaves = |avx2| {
            let model = CpuModel {
                avx2,
                ..CpuModel::default()
            };
            let entries = table(&model, 0);
            let find = |function, index| {
                let is_it =
                    |entry: &&kvm_cpuid_entry2| entry.function == function && entry.index == index;
                *entries.iter().find(is_it).unwrap()
            };
            let states = find(0xd, 0);
            let upper = find(0xd, 2);
            (
                find(1, 0).ecx >> 28 & 1,
                find(7, 0).ebx >> 5 & 1,
                (states.eax, states.ecx),
                (upper.eax, upper.ebx),
            )
        };
        assert_eq!(leaves(false), (0, 0, (3, 576), (0, 0)));
        assert_eq!(leaves(true), (1, 1, (7, 832), (256, 576)));
    }

    #[test]
    fn each_processor_has_its_own_apic_id() {
        let model = CpuModel {
            cpus: 4,
            ..CpuModel::default()
        };
        for id in 0..4 {
            let entries = table(&model, id);
            let topology: Vec<u32> = entries
                .iter()
                .filter(|entry| entry.function == 0xb)
                .map(|entry| entry.edx)
                .collect();
            assert_eq!(topology, [id; 3]);
            assert_eq!(entries[1].ebx >> 24, id);
        }
    }
}
