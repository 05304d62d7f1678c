//! The identity of the processor: what CPUID and the identification registers say.

use serde::{Deserialize, Serialize};

/// The processor that a guest finds. It does not depend on the host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuModel {
    /// The twelve-character vendor string of CPUID leaf 0.
    pub vendor: String,
    /// Display family.
    pub family: u16,
    /// Display model.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
    /// The brand string of leaves 8000_0002 to 8000_0004, at most 47 bytes.
    pub brand: String,
    /// The frequency of the time stamp counter in kHz, told by leaves 15 and 16.
    pub tsc_khz: u64,
    /// The frequency of the core crystal clock in Hz (leaf 15), which also drives the local APIC's
    /// timer.
    pub crystal_hz: u32,
    /// The number of logical processors in the package (1 to 8).
    pub cpus: u32,
    /// Whether the processor has AVX and AVX2, which the exact engine does not execute.
    #[serde(default)]
    pub avx2: bool,
}

impl Default for CpuModel {
    /// An Intel x86-64-v2 processor at 3.0 GHz whose frequencies Linux reads instead of measuring.
    fn default() -> Self {
        Self {
            vendor: "GenuineIntel".to_owned(),
            family: 6,
            model: 0x2c,
            stepping: 2,
            brand: "chaosrun x86-64-v2 virtual CPU".to_owned(),
            tsc_khz: 3_000_000,
            crystal_hz: 25_000_000,
            cpus: 1,
            avx2: false,
        }
    }
}

impl CpuModel {
    /// EAX, EBX, ECX and EDX of a CPUID leaf for the processor with APIC ID `id` (Intel SDM vol. 2,
    /// CPUID). `osxsave` is what CR4.OSXSAVE says.
    pub fn cpuid(&self, id: u32, leaf: u32, subleaf: u32, osxsave: bool) -> [u32; 4] {
        crate::cpuid::cpuid(self, id, leaf, subleaf, osxsave)
    }
}
