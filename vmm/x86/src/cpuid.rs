//! CPUID (Intel SDM vol. 2, CPUID): the fixed identity of the processor.

use crate::model::CpuModel;

/// Leaf 1, EDX: FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX
/// FXSR SSE SSE2, and HTT where there are several processors. VME is left out with virtual-8086
/// mode, PSE36 stays.
const FEATURES_1D: u32 = 1 << 0
    | 1 << 2
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 7
    | 1 << 8
    | 1 << 9
    | 1 << 11
    | 1 << 12
    | 1 << 13
    | 1 << 14
    | 1 << 15
    | 1 << 16
    | 1 << 17
    | 1 << 19
    | 1 << 23
    | 1 << 24
    | 1 << 25
    | 1 << 26;
/// Leaf 1, EDX: the local APIC.
pub(crate) const APIC: u32 = 1 << 9;
const HTT: u32 = 1 << 28;

/// Leaf 1, ECX: SSE3 SSSE3 CX16 SSE4.1 SSE4.2 x2APIC POPCNT TSC-deadline XSAVE.
const FEATURES_1C: u32 =
    1 << 0 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 23 | 1 << 24 | 1 << 26;
const OSXSAVE: u32 = 1 << 27;
const AVX: u32 = 1 << 28;

/// Leaf 7, EBX: TSC_ADJUST, ERMS (fast REP MOVSB and STOSB), and bit 13: FCS and FDS deprecated.
const FEATURES_7B: u32 = 1 << 1 | 1 << 9 | 1 << 13;
/// Leaf 7, EBX.
const AVX2: u32 = 1 << 5;
/// Leaf 7, EDX: fast short REP MOV, SPEC_CTRL (for enhanced IBRS), ARCH_CAPABILITIES, SSBD.
const FEATURES_7D: u32 = 1 << 4 | 1 << 26 | 1 << 29 | 1 << 31;

/// Leaf D.1, EAX: XSAVEOPT, XSAVEC.
const XSAVE_FEATURES: u32 = 1 << 0 | 1 << 1;

/// Leaf 8000_0001, EDX: SYSCALL NX PDPE1GB RDTSCP LM.
const FEATURES_X1D: u32 = 1 << 11 | 1 << 20 | 1 << 26 | 1 << 27 | 1 << 29;

/// IA32_ARCH_CAPABILITIES: a processor that does not speculate has none of the speculation bugs:
/// RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO,
/// FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO.
pub(crate) const ARCH_CAPABILITIES: u64 = 1 << 0
    | 1 << 1
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 8
    | 1 << 13
    | 1 << 14
    | 1 << 15
    | 1 << 20
    | 1 << 24
    | 1 << 26
    | 1 << 27;

/// Physical address bits (MAXPHYADDR).
pub const PHYSICAL_BITS: u32 = 46;
/// Linear address bits.
const LINEAR_BITS: u32 = 48;

const MAX_BASIC: u32 = 0x16;
const MAX_EXTENDED: u32 = 0x8000_0008;

/// Leaf 1, EAX: family, model and stepping.
pub(crate) fn signature(model: &CpuModel) -> u32 {
    let family = u32::from(model.family);
    let (base_family, extended_family) = if family >= 15 {
        (15, family - 15)
    } else {
        (family, 0)
    };
    let number = u32::from(model.model);
    u32::from(model.stepping & 15)
        | (number & 15) << 4
        | base_family << 8
        | (number >> 4) << 16
        | (extended_family & 0xff) << 20
}

fn text(bytes: &[u8], at: usize) -> u32 {
    let byte = |n: usize| bytes.get(at + n).copied().unwrap_or(0);
    u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
}

/// EAX, EBX, ECX and EDX of a leaf, for the processor with APIC ID `id`.
pub(crate) fn cpuid(model: &CpuModel, id: u32, leaf: u32, subleaf: u32, osxsave: bool) -> [u32; 4] {
    let leaf = match leaf {
        0..=MAX_BASIC | 0x8000_0000..=MAX_EXTENDED => leaf,
        // The hypervisor range reads as zero: there is none to be seen.
        0x4000_0000..=0x4fff_ffff => return [0; 4],
        // Beyond the range, Intel processors answer with the highest basic leaf.
        _ => MAX_BASIC,
    };
    match leaf {
        0 => {
            let vendor = model.vendor.as_bytes();
            [MAX_BASIC, text(vendor, 0), text(vendor, 8), text(vendor, 4)]
        }
        1 => leaf_1(model, id, osxsave),
        // No cache descriptors: see leaf 4.
        2 => [0x00ff_ff01, 0, 0, 0],
        4 => caches(model, subleaf),
        6 => [1 << 2, 0, 0, 0],
        7 if subleaf == 0 => {
            let avx2 = if model.avx2 { AVX2 } else { 0 };
            [0, FEATURES_7B | avx2, 0, FEATURES_7D]
        }
        0xb => topology(model, id, subleaf),
        0xd => xsave(model, subleaf),
        0x15 => {
            // TSC frequency = crystal * EBX / EAX.
            let (numerator, denominator) = ratio(model.tsc_khz * 1000, u64::from(model.crystal_hz));
            [denominator, numerator, model.crystal_hz, 0]
        }
        0x16 => {
            let mhz = (model.tsc_khz / 1000) as u32;
            [mhz, mhz, 100, 0]
        }
        _ => extended(model, leaf),
    }
}

fn extended(model: &CpuModel, leaf: u32) -> [u32; 4] {
    match leaf {
        0x8000_0000 => [MAX_EXTENDED, 0, 0, 0],
        // LAHF in 64-bit mode.
        0x8000_0001 => [0, 0, 1, FEATURES_X1D],
        0x8000_0002..=0x8000_0004 => {
            let at = (leaf - 0x8000_0002) as usize * 16;
            let brand = &model.brand.as_bytes()[..model.brand.len().min(47)];
            [
                text(brand, at),
                text(brand, at + 4),
                text(brand, at + 8),
                text(brand, at + 12),
            ]
        }
        0x8000_0006 => [0, 0, 256 << 16 | 6 << 12 | 64, 0],
        // Invariant TSC.
        0x8000_0007 => [0, 0, 0, 1 << 8],
        0x8000_0008 => [PHYSICAL_BITS | LINEAR_BITS << 8, 0, 0, 0],
        _ => [0; 4],
    }
}

fn leaf_1(model: &CpuModel, id: u32, osxsave: bool) -> [u32; 4] {
    let clflush = 8 << 8;
    let several = if model.cpus > 1 { HTT } else { 0 };
    [
        signature(model),
        clflush | width(model.cpus) << 16 | id << 24,
        FEATURES_1C | if osxsave { OSXSAVE } else { 0 } | if model.avx2 { AVX } else { 0 },
        FEATURES_1D | several,
    ]
}

/// The number of APIC IDs that `cpus` processors span: a power of two.
fn width(cpus: u32) -> u32 {
    cpus.max(1).next_power_of_two()
}

/// Leaf 4: 32 KiB of L1 data and instruction cache, 256 KiB of L2, 8 MiB of shared L3.
fn caches(model: &CpuModel, subleaf: u32) -> [u32; 4] {
    let (kind, level, ways, sets, shared) = match subleaf {
        0 => (1, 1, 8, 64, 1),
        1 => (2, 1, 4, 128, 1),
        2 => (3, 2, 8, 512, 1),
        3 => (3, 3, 16, 8192, width(model.cpus)),
        _ => return [0; 4],
    };
    let eax = kind | level << 5 | 1 << 8 | (shared - 1) << 14 | (width(model.cpus) - 1) << 26;
    [eax, 63 | (ways - 1) << 22, sets - 1, 0]
}

/// Leaf B: one thread per core, all cores in one package.
fn topology(model: &CpuModel, id: u32, subleaf: u32) -> [u32; 4] {
    let bits = width(model.cpus).trailing_zeros();
    match subleaf {
        0 => [0, 1, 1 << 8, id],
        1 => [bits, model.cpus, 2 << 8 | 1, id],
        _ => [0, 0, subleaf & 0xff, id],
    }
}

/// Leaf D: x87 and SSE state in the legacy region and the header, and the upper halves of the YMM
/// registers behind them.
fn xsave(model: &CpuModel, subleaf: u32) -> [u32; 4] {
    let legacy = 512 + 64;
    let upper = 16 * 16;
    let (components, size) = if model.avx2 {
        (7, legacy + upper)
    } else {
        (3, legacy)
    };
    match subleaf {
        0 => [components, size, size, 0],
        1 => [XSAVE_FEATURES, size, 0, 0],
        2 if model.avx2 => [upper, legacy, 0, 0],
        _ => [0; 4],
    }
}

/// `a / b` as a fraction of 32-bit numbers, in lowest terms where it fits.
fn ratio(a: u64, b: u64) -> (u32, u32) {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    let divisor = x.max(1);
    (
        u32::try_from(a / divisor).unwrap_or(u32::MAX),
        u32::try_from(b / divisor).unwrap_or(u32::MAX),
    )
}
