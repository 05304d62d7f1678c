//! Where compiled code finds what it needs in the CPU: byte offsets from RDI, which points [`BIAS`] bytes
//! into it, so that all that is needed often is within reach of a displacement of one byte.

use std::mem::offset_of;

use super::Landings;
use crate::cpu::{Cpu, System, gpr, seg, slot as slots};
use crate::flags::Lazy;
use crate::state::{Msrs, Segment};

/// What compiled code adds to the address of the CPU.
pub(super) const BIAS: i32 = 128;

const fn field(offset: usize) -> i32 {
    offset as i32 - BIAS
}

/// The same for a field that is near.
const fn near(offset: usize) -> i8 {
    let offset = field(offset);
    assert!(offset >= i8::MIN as i32 && offset <= i8::MAX as i32);
    offset as i8
}

const fn slot(index: usize) -> i8 {
    near(offset_of!(Cpu, regs) + index * 8)
}

/// A register or slot by its byte offset in `Cpu::regs`.
pub(super) const fn register(offset: u8) -> i8 {
    (offset_of!(Cpu, regs) as i32 + offset as i32 - BIAS) as i8
}

const _: () = assert!(offset_of!(Cpu, regs) == 0);

/// The instruction pointer at the start of the block. Compiled code does not keep it up but for handlers, as
/// it is the difference of the block's place and [`CODE_PLACE`].
pub(super) const RIP: i8 = slot(slots::RIP);
/// RSP.
pub(super) const RSP: i8 = slot(gpr::RSP);
/// The result of the last operation that set flags.
pub(super) const RESULT: i8 = near(offset_of!(Cpu, lazy) + offset_of!(Lazy, result));
/// Its carries.
pub(super) const CARRY: i8 = near(offset_of!(Cpu, lazy) + offset_of!(Lazy, carry));
/// Its top bit and corrections.
pub(super) const META: i8 = near(offset_of!(Cpu, lazy) + offset_of!(Lazy, meta));
/// Instructions left.
pub(super) const BUDGET: i8 = near(offset_of!(Cpu, budget));
/// The host address of RAM.
pub(super) const RAM: i32 = field(offset_of!(Cpu, ram));
/// The TLB for reads.
pub(super) const TLB_READ: i32 = field(offset_of!(Cpu, tlb_read));
/// The TLB for writes.
pub(super) const TLB_WRITE: i32 = field(offset_of!(Cpu, tlb_write));
/// The TLB for instructions.
pub(super) const TLB_EXECUTE: i32 = field(offset_of!(Cpu, tlb_execute));
/// The block being executed.
pub(super) const BLOCK: i32 = field(offset_of!(Cpu, block));
/// Where returns to compiled code arrive.
pub(super) const LANDINGS: i32 = field(offset_of!(Cpu, landings) + offset_of!(Landings, places));
/// Blocks by their places.
pub(super) const TARGETS: i32 = field(offset_of!(Cpu, landings) + offset_of!(Landings, targets));
/// The page that instructions come from.
pub(super) const CODE_PAGE: i32 = field(offset_of!(Cpu, code_page));
/// What to add to get its offset.
pub(super) const CODE_ADD: i32 = field(offset_of!(Cpu, code_add));
/// What to add to get the place in the store.
pub(super) const CODE_PLACE: i8 = near(offset_of!(Cpu, code_place));
/// The store's pages that the machine's are bound to.
pub(super) const BOUND: i32 = field(offset_of!(Cpu, bound));
/// The machine's blocks by the store's numbers.
pub(super) const BLOCKS: i32 = field(offset_of!(Cpu, blocks));
/// RFLAGS but for the arithmetic flags.
pub(super) const RFLAGS: i32 = field(offset_of!(Cpu, rflags));
/// The privilege level.
pub(super) const CPL: i32 = field(offset_of!(Cpu, cpl));
/// Whether somebody waits for interrupts to be enabled.
pub(super) const WINDOW_WANTED: i32 = field(offset_of!(Cpu, window_wanted));
/// CR0.
pub(super) const CR0: i32 = field(offset_of!(Cpu, system) + offset_of!(System, cr0));
/// CR4.
pub(super) const CR4: i32 = field(offset_of!(Cpu, system) + offset_of!(System, cr4));
/// The base of GS that SWAPGS swaps.
pub(super) const GS_BASE: i32 = segment(seg::GS) + offset_of!(Segment, base) as i32;
/// What it swaps it with.
pub(super) const KERNEL_GS_BASE: i32 =
    field(offset_of!(Cpu, system) + offset_of!(System, msrs) + offset_of!(Msrs, kernel_gs_base));
/// The base of GS that is added to addresses.
pub(super) const GS: i8 = slot(slots::SEGMENTS + seg::GS);

const fn segment(index: usize) -> i32 {
    let first = field(offset_of!(Cpu, system) + offset_of!(System, segments));
    first + (index * size_of::<Segment>()) as i32
}

/// The selector of a segment register.
pub(super) const fn selector(index: usize) -> i32 {
    segment(index) + offset_of!(Segment, selector) as i32
}

/// An XMM register.
pub(super) const fn xmm(index: u8) -> i32 {
    field(offset_of!(Cpu, xmm)) + index as i32 * 16
}
/// The instruction pointer while no block runs.
pub(super) const NEXT_RIP: i32 = field(offset_of!(Cpu, rip));
