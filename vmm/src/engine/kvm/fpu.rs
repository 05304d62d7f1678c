//! The x87, SSE and AVX state in the standard layout of XSAVE (Intel SDM vol. 1, 13.4 and 10.5.1).

use chaosrun_x86::{CpuState, F80, X87};
use kvm_bindings::kvm_xsave;

/// Bytes of the legacy region.
const LEGACY: usize = 512;
/// Where the XSAVE header starts; its first word tells which components are not in their initial state.
const HEADER: usize = LEGACY;
/// The first register of the x87 stack, and the distance of registers.
const ST0: usize = 32;
/// XMM0.
const XMM0: usize = 160;
const SLOT: usize = 16;
/// The upper half of YMM0, behind the header, and the bit of its component. Linux keeps the standard
/// layout for KVM's users, in which this component has the same place on all processors.
const YMM0_HIGH: usize = 576;
const AVX: u64 = 1 << 2;
/// FSW.ES, an exception that waits to be taken.
const ERROR_SUMMARY: u16 = 1 << 7;

fn bytes<const N: usize>(region: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&region[at..at + N]);
    bytes
}

fn u16_at(region: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes(region, at))
}

fn u32_at(region: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(region, at))
}

fn u64_at(region: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes(region, at))
}

/// The two-bit tag of a register that is not empty (Intel SDM vol. 1, 8.1.7).
fn tag_of(register: &F80) -> u16 {
    let exponent = register.sign_exponent & 0x7fff;
    let normal = register.mantissa >> 63 != 0;
    match exponent {
        0 if register.mantissa == 0 => 1,
        1..0x7fff if normal => 0,
        _ => 2,
    }
}

/// Takes the x87, SSE and AVX registers out of `xsave`.
pub(super) fn load(xsave: &kvm_xsave, state: &mut CpuState) {
    let words = xsave.region;
    let region: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let status = u16_at(&region, 2);
    let top = usize::from(status >> 11 & 7);
    let valid = region[4];
    let mut x87 = X87 {
        control: u16_at(&region, 0),
        status,
        tag: 0,
        ..X87::default()
    };
    for position in 0..8 {
        let at = ST0 + position * SLOT;
        let physical = (top + position) % 8;
        x87.regs[physical] = F80 {
            mantissa: u64_at(&region, at),
            sign_exponent: u16_at(&region, at + 8),
        };
    }
    for (physical, register) in x87.regs.iter().enumerate() {
        let tag = if valid >> physical & 1 == 0 {
            3
        } else {
            tag_of(register)
        };
        x87.tag |= tag << (2 * physical);
    }
    // AMD's processors keep these only while an exception waits, Intel's always; so that the state
    // does not depend on that, they count only then.
    if status & ERROR_SUMMARY != 0 {
        x87.opcode = u16_at(&region, 6) & 0x7ff;
        x87.ip = u64_at(&region, 8);
        x87.dp = u64_at(&region, 16);
    }
    state.x87 = x87;
    state.mxcsr = u32_at(&region, 24);
    for (index, xmm) in state.xmm.iter_mut().enumerate() {
        let at = XMM0 + index * SLOT;
        *xmm = [u64_at(&region, at), u64_at(&region, at + 8)];
    }
    state.ymm_high = [[0; 2]; 16];
    if u64_at(&region, HEADER) & AVX != 0 {
        for (index, upper) in state.ymm_high.iter_mut().enumerate() {
            let at = YMM0_HIGH + index * SLOT;
            *upper = [u64_at(&region, at), u64_at(&region, at + 8)];
        }
    }
}

/// Lays the x87, SSE and AVX registers out; every other component is in its initial state.
pub(super) fn store(state: &CpuState) -> kvm_xsave {
    let mut region = [0u8; 4096];
    let x87 = &state.x87;
    let mut put = |at: usize, bytes: &[u8]| region[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &x87.control.to_le_bytes());
    put(2, &x87.status.to_le_bytes());
    let valid = (0..8).fold(0u8, |valid, physical| {
        let empty = x87.tag >> (2 * physical) & 3 == 3;
        valid | u8::from(!empty) << physical
    });
    put(4, &[valid]);
    put(6, &x87.opcode.to_le_bytes());
    put(8, &x87.ip.to_le_bytes());
    put(16, &x87.dp.to_le_bytes());
    put(24, &state.mxcsr.to_le_bytes());
    let top = usize::from(x87.status >> 11 & 7);
    for position in 0..8 {
        let register = &x87.regs[(top + position) % 8];
        let at = ST0 + position * SLOT;
        put(at, &register.mantissa.to_le_bytes());
        put(at + 8, &register.sign_exponent.to_le_bytes());
    }
    for (index, xmm) in state.xmm.iter().enumerate() {
        put(XMM0 + index * SLOT, &xmm[0].to_le_bytes());
        put(XMM0 + index * SLOT + 8, &xmm[1].to_le_bytes());
    }
    // x87 and SSE; hosts without AVX know its component only as absent.
    let mut components = 3;
    if state.ymm_high != [[0; 2]; 16] {
        components |= AVX;
        for (index, upper) in state.ymm_high.iter().enumerate() {
            put(YMM0_HIGH + index * SLOT, &upper[0].to_le_bytes());
            put(YMM0_HIGH + index * SLOT + 8, &upper[1].to_le_bytes());
        }
    }
    put(HEADER, &components.to_le_bytes());
    let mut xsave = kvm_xsave::default();
    for (word, bytes) in xsave.region.iter_mut().zip(region.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    xsave
}

#[cfg(test)]
mod tests {
    use chaosrun_x86::{Cpu, CpuModel};

    use super::*;

    #[test]
    fn what_is_stored_is_loaded_again() {
        let mut state = Cpu::new(0, CpuModel::default()).state();
        state.x87.status = 5 << 11 | ERROR_SUMMARY;
        (state.x87.opcode, state.x87.ip, state.x87.dp) = (0x123, 0x1_0000_2000, 7);
        let values = [(1 << 63, 0x3fff), (0, 0), (5, 0x7fff), (1, 0)];
        for (register, (mantissa, sign_exponent)) in state.x87.regs.iter_mut().zip(values) {
            *register = F80 {
                mantissa,
                sign_exponent,
            };
        }
        // Valid, zero, special, special, and four empty ones.
        state.x87.tag = 0b1111_1111_1010_0100;
        state.xmm[7] = [1, 2];
        state.mxcsr = 0x1fa0;
        state.ymm_high[15] = [3, 4];
        let mut loaded = Cpu::new(0, CpuModel::default()).state();
        load(&store(&state), &mut loaded);
        assert_eq!(loaded, state);
    }

    #[test]
    fn the_last_instruction_counts_only_while_an_exception_waits() {
        let mut state = Cpu::new(0, CpuModel::default()).state();
        state.x87.ip = 0x1234;
        let mut loaded = state.clone();
        load(&store(&state), &mut loaded);
        assert_eq!(loaded.x87.ip, 0);
    }
}
