//! MMX's view of the x87 registers (Intel SDM vol. 1, 9.5).

use crate::state::{F80, X87};

/// What every MMX instruction but EMMS does to the x87 state first: the stack starts at R0 and all
/// registers become full. FIP, FDP and FOP keep their values.
pub(crate) fn mmx_enter(fpu: &mut X87) {
    if fpu.top() != 0 || fpu.full_registers() != 0xff {
        fpu.set_top(0);
        fpu.load_tags(0xff);
    }
}

/// Reads MM0 to MM7.
pub(crate) fn mmx_read(fpu: &X87, register: usize) -> u64 {
    fpu.regs[register & 7].mantissa
}

/// Writes MM0 to MM7; sign and exponent become all ones.
pub(crate) fn mmx_write(fpu: &mut X87, register: usize, value: u64) {
    fpu.set_physical(
        register & 7,
        F80 {
            mantissa: value,
            sign_exponent: 0xffff,
        },
    );
}

/// EMMS: all registers become empty, with their contents and the top of the stack unchanged.
pub(crate) fn emms(fpu: &mut X87) {
    fpu.tag = 0xffff;
}
