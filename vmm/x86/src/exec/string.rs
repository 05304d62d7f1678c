//! String instructions.
//!
//! A repeated MOVS or STOS does many iterations in one step. It is charged one instruction for
//! itself when it completes, and one more for every 64 bytes that such instructions have processed
//! since the last charge; the count of uncharged bytes is part of the state. So the charge does not
//! depend on where a run was interrupted, and a step ends exactly when the budget is used up. The
//! other repeated instructions are charged one per iteration, and so are iterations that access a
//! device.

use iced_x86::{Instruction, Mnemonic, Register};

use super::operand::mask;
use super::{Decoded, Done};
use crate::cpu::{Cpu, gpr, seg, slot};
use crate::flags::{DF, Lazy, borrows};
use crate::memory::PAGE_SIZE;
use crate::mmu::{Place, Res};
use crate::tlb::Kind;
use crate::word::Word;

/// Bytes per charged instruction.
const CHARGE: u64 = 64;

/// A string instruction, resolved.
#[derive(Clone, Copy)]
struct Shape {
    size: u64,
    /// Bytes of the address, which is also the width of the count.
    address: u8,
    /// Slot of the source's segment base.
    segment: usize,
    repeat: Repeat,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Once,
    /// REP and REPE.
    Equal,
    /// REPNE.
    NotEqual,
}

fn shape(cpu: &Cpu, ins: &Instruction) -> Shape {
    let kinds = [ins.op0_kind(), ins.op1_kind()];
    let address = kinds
        .iter()
        .find_map(|kind| {
            use iced_x86::OpKind::*;
            match kind {
                MemorySegSI | MemorySegDI | MemoryESDI => Some(2),
                MemorySegESI | MemorySegEDI | MemoryESEDI => Some(4),
                MemorySegRSI | MemorySegRDI | MemoryESRDI => Some(8),
                _ => None,
            }
        })
        .unwrap_or(cpu.mode.bits / 8);
    let repeat = if ins.has_repne_prefix() {
        Repeat::NotEqual
    } else if ins.has_rep_prefix() {
        Repeat::Equal
    } else {
        Repeat::Once
    };
    let segment = match ins.memory_segment() {
        Register::None => seg::DS,
        other => other.number(),
    };
    Shape {
        size: super::operand::memory_size(ins),
        address,
        segment: slot::SEGMENTS + segment,
        repeat,
    }
}

impl Cpu {
    fn string_reg(&self, index: usize, shape: &Shape) -> u64 {
        self.regs[index] & mask(shape.address)
    }

    fn set_string_reg(&mut self, index: usize, shape: &Shape, value: u64) {
        let offset = index as u8 * 8;
        match shape.address {
            2 => self.set_reg(offset, value as u16),
            4 => self.set_reg(offset, value as u32),
            _ => self.set_reg(offset, value),
        }
    }

    /// In 64-bit mode with 32-bit addresses, a repeated instruction writes registers even if it is over
    /// before its first iteration, which clears their upper halves.
    fn narrow_registers(&mut self, shape: &Shape, indices: &[usize]) {
        if shape.address != 4 || self.mode.bits != 64 {
            return;
        }
        for &index in indices {
            self.set_reg(index as u8 * 8, self.regs[index] as u32);
        }
    }

    /// The signed step of the index registers.
    fn string_step(&self, shape: &Shape) -> u64 {
        if self.rflags & DF == 0 {
            shape.size
        } else {
            shape.size.wrapping_neg()
        }
    }

    fn source(&self, shape: &Shape) -> u64 {
        self.wrap_linear(
            self.string_reg(gpr::RSI, shape)
                .wrapping_add(self.regs[shape.segment]),
        )
    }

    fn destination(&self, shape: &Shape) -> u64 {
        let base = self.regs[slot::SEGMENTS + seg::ES];
        self.wrap_linear(self.string_reg(gpr::RDI, shape).wrapping_add(base))
    }

    /// Checks an element at RSI in the source's segment.
    fn check_source(&mut self, shape: &Shape) -> Res<()> {
        let segment = shape.segment - slot::SEGMENTS;
        self.check_segment(segment, self.string_reg(gpr::RSI, shape), shape.size, false)
    }

    /// Checks an element at RDI in ES.
    fn check_destination(&mut self, shape: &Shape, write: bool) -> Res<()> {
        self.check_segment(seg::ES, self.string_reg(gpr::RDI, shape), shape.size, write)
    }

    fn advance(&mut self, index: usize, shape: &Shape, count: u64) {
        let step = self.string_step(shape).wrapping_mul(count);
        let value = self.string_reg(index, shape).wrapping_add(step);
        self.set_string_reg(index, shape, value);
    }

    /// Whether a debug trap may come between two iterations. Then all repeated instructions are
    /// charged by iterations, so that a trap is never between an iteration and its charge.
    fn steps_iterations(&self) -> bool {
        self.rflags & crate::flags::TF != 0 || self.watches_data()
    }

    /// The instructions that may still be charged, the one being executed included.
    fn left(&self) -> i64 {
        self.budget + self.reserve + 1
    }

    /// The iterations after which the budget is used up to the last instruction.
    fn affordable(&self, shape: &Shape) -> u64 {
        let bytes = (self.left() as u64).saturating_mul(CHARGE) - self.string_bytes;
        bytes.div_ceil(shape.size)
    }

    /// Charges the bytes of `count` iterations.
    fn charge(&mut self, shape: &Shape, count: u64) {
        let bytes = self.string_bytes + count * shape.size;
        self.string_bytes = bytes % CHARGE;
        self.budget -= (bytes / CHARGE) as i64;
    }
}

/// The registers that a repeated instruction writes when its count is zero, as Intel's processors were seen
/// to do.
fn written_by_none(ins: &Instruction) -> &'static [usize] {
    use Mnemonic::*;
    match ins.mnemonic() {
        Movsb | Movsw | Movsd | Movsq => &[gpr::RCX, gpr::RSI, gpr::RDI],
        Stosb | Stosw | Stosd | Stosq => &[gpr::RCX, gpr::RDI],
        _ => &[gpr::RCX],
    }
}

/// The registers that a repeated instruction writes when its first access faults, likewise.
fn written_by_fault(ins: &Instruction) -> &'static [usize] {
    use Mnemonic::*;
    match ins.mnemonic() {
        Lodsb | Lodsw | Lodsd | Lodsq | Scasb | Scasw | Scasd | Scasq => &[gpr::RCX],
        Stosb | Stosw | Stosd | Stosq | Insb | Insw | Insd => &[gpr::RCX, gpr::RDI],
        Outsb | Outsw | Outsd => &[gpr::RCX, gpr::RSI],
        _ => &[gpr::RCX, gpr::RSI, gpr::RDI],
    }
}

/// One iteration of an instruction. Returns whether the condition of REPE or REPNE still holds.
type Iteration = fn(&mut Cpu, &Shape) -> Res<bool>;

/// Many iterations at once; returns how many, at least one, at most the given number; or zero if
/// only single ones will do. Among those are stores to decoded code: the instruction may overwrite
/// itself, and the iteration behind that must not depend on where a run was interrupted.
type Bulk = fn(&mut Cpu, &Shape, u64) -> Res<u64>;

/// MOVS and STOS, which only their count ends.
fn run_counted(cpu: &mut Cpu, ins: &Decoded, one: Iteration, bulk: Bulk) -> Res<Done> {
    let shape = shape(cpu, ins);
    if shape.repeat == Repeat::Once {
        one(cpu, &shape)?;
        return Ok(Done::Next);
    }
    let result = if cpu.steps_iterations() {
        iterate(cpu, &shape, one)
    } else {
        repeat_in_bulk(cpu, &shape, one, bulk)
    };
    ended(cpu, ins, &shape, result)
}

/// What the end of a repeated instruction does besides.
fn ended(cpu: &mut Cpu, ins: &Decoded, shape: &Shape, result: Res<Done>) -> Res<Done> {
    match result {
        Ok(Done::Sync) => cpu.narrow_registers(shape, written_by_none(ins)),
        Ok(_) => {}
        Err(_) => cpu.narrow_registers(shape, written_by_fault(ins)),
    }
    result
}

/// Repeats with as many iterations at once as possible.
fn repeat_in_bulk(cpu: &mut Cpu, shape: &Shape, one: Iteration, bulk: Bulk) -> Res<Done> {
    loop {
        if cpu.left() <= 0 || cpu.leave {
            return Ok(Done::Again);
        }
        let count = cpu.string_reg(gpr::RCX, shape);
        if count == 0 {
            return Ok(Done::Sync);
        }
        let calls = cpu.bus_calls;
        let mut done = bulk(cpu, shape, cpu.affordable(shape).min(count))?;
        if done == 0 {
            one(cpu, shape)?;
            done = 1;
        }
        cpu.set_string_reg(gpr::RCX, shape, count - done);
        if cpu.bus_calls != calls {
            // An access to a device takes its time, so that no guest can make millions of them for
            // nothing.
            cpu.budget -= 1;
        } else {
            cpu.charge(shape, done);
        }
    }
}

/// The others, which a comparison may end or which talk to devices: every iteration is charged as
/// an instruction.
fn run_single(cpu: &mut Cpu, ins: &Decoded, one: Iteration) -> Res<Done> {
    let shape = shape(cpu, ins);
    if shape.repeat == Repeat::Once {
        one(cpu, &shape)?;
        return Ok(Done::Next);
    }
    if matches!(
        ins.mnemonic(),
        Mnemonic::Insb
            | Mnemonic::Insw
            | Mnemonic::Insd
            | Mnemonic::Outsb
            | Mnemonic::Outsw
            | Mnemonic::Outsd
    ) {
        // The permission is checked even if there is nothing to do.
        cpu.check_port(cpu.regs[gpr::RDX] as u16, shape.size as u8)?;
    }
    let result = iterate(cpu, &shape, one);
    ended(cpu, ins, &shape, result)
}

/// Iterates with a charge of one instruction each time. The flags of a comparison appear with the last
/// iteration: whoever interrupts the instruction before sees those from before it, as the SDM says of a page
/// fault (vol. 2, REP).
fn iterate(cpu: &mut Cpu, shape: &Shape, one: Iteration) -> Res<Done> {
    loop {
        let count = cpu.string_reg(gpr::RCX, shape);
        if count == 0 {
            return Ok(Done::Sync);
        }
        let flags = cpu.lazy;
        let go_on = one(cpu, shape)?;
        cpu.set_string_reg(gpr::RCX, shape, count - 1);
        if !go_on || count == 1 {
            return Ok(Done::Sync);
        }
        cpu.lazy = flags;
        if cpu.left() <= 1 || cpu.leave || cpu.steps_iterations() {
            return Ok(Done::Repeat);
        }
        cpu.budget -= 1;
    }
}

/// How many elements lie between `linear` and the end of its page, in the direction of travel.
fn in_page(cpu: &Cpu, shape: &Shape, linear: u64) -> u64 {
    let position = linear % PAGE_SIZE;
    if cpu.rflags & DF == 0 {
        (PAGE_SIZE - position) / shape.size
    } else if position + shape.size <= PAGE_SIZE {
        position / shape.size + 1
    } else {
        0
    }
}

/// Whether the index register wraps around within `count` steps.
fn wraps(cpu: &Cpu, shape: &Shape, index: usize, count: u64) -> bool {
    if shape.address == 8 {
        return false;
    }
    let value = cpu.string_reg(index, shape);
    let span = (count - 1) * shape.size;
    if cpu.rflags & DF == 0 {
        value + span + shape.size - 1 > mask(shape.address)
    } else {
        value < span
    }
}

fn movs_one(cpu: &mut Cpu, shape: &Shape) -> Res<bool> {
    cpu.check_source(shape)?;
    cpu.check_destination(shape, true)?;
    let (from, to) = (cpu.source(shape), cpu.destination(shape));
    let value = cpu.load_slow(from, shape.size)?;
    cpu.store_slow(to, shape.size, value)?;
    cpu.advance(gpr::RSI, shape, 1);
    cpu.advance(gpr::RDI, shape, 1);
    Ok(true)
}

fn movs_bulk(cpu: &mut Cpu, shape: &Shape, most: u64) -> Res<u64> {
    let (from, to) = (cpu.source(shape), cpu.destination(shape));
    let count = most
        .min(in_page(cpu, shape, from))
        .min(in_page(cpu, shape, to));
    if count < 2 || cpu.rflags & DF != 0 || !cpu.plain_access() {
        return Ok(0);
    }
    if wraps(cpu, shape, gpr::RSI, count) || wraps(cpu, shape, gpr::RDI, count) {
        return Ok(0);
    }
    let user = cpu.cpl == 3;
    // The source's faults come first, as those of a single iteration do.
    cpu.check_string(from)?;
    let source = cpu.translate(from, Kind::Read, user)?;
    cpu.check_string(to)?;
    let target = cpu.translate(to, Kind::Write, user)?;
    let (Place::Ram(source), Place::Ram(target)) = (source, target) else {
        return Ok(0);
    };
    let bytes = count * shape.size;
    // An overlapping copy that moves upwards repeats a pattern; single iterations get it right.
    if target > source && target < source + bytes {
        return Ok(0);
    }
    if cpu.memory().holds_code(target, bytes) {
        return Ok(0);
    }
    cpu.memory().note_write(target, bytes);
    // SAFETY: both ranges lie within a page of the mapping.
    unsafe {
        std::ptr::copy(
            cpu.ram.add(source as usize),
            cpu.ram.add(target as usize),
            bytes as usize,
        )
    };
    cpu.advance(gpr::RSI, shape, count);
    cpu.advance(gpr::RDI, shape, count);
    Ok(count)
}

fn stos_one(cpu: &mut Cpu, shape: &Shape) -> Res<bool> {
    cpu.check_destination(shape, true)?;
    let to = cpu.destination(shape);
    cpu.store_slow(to, shape.size, cpu.regs[gpr::RAX])?;
    cpu.advance(gpr::RDI, shape, 1);
    Ok(true)
}

fn stos_bulk(cpu: &mut Cpu, shape: &Shape, most: u64) -> Res<u64> {
    let to = cpu.destination(shape);
    let count = most.min(in_page(cpu, shape, to));
    if count < 2
        || cpu.rflags & DF != 0
        || !cpu.plain_access()
        || wraps(cpu, shape, gpr::RDI, count)
    {
        return Ok(0);
    }
    cpu.check_string(to)?;
    let user = cpu.cpl == 3;
    let Place::Ram(target) = cpu.translate(to, Kind::Write, user)? else {
        return Ok(0);
    };
    let bytes = count * shape.size;
    if cpu.memory().holds_code(target, bytes) {
        return Ok(0);
    }
    cpu.memory().note_write(target, bytes);
    // SAFETY: the range lies within a page of the mapping, which nothing else refers to now.
    let range =
        unsafe { std::slice::from_raw_parts_mut(cpu.ram.add(target as usize), bytes as usize) };
    let pattern = cpu.regs[gpr::RAX].to_le_bytes();
    let pattern = &pattern[..shape.size as usize];
    if pattern.iter().all(|&byte| byte == pattern[0]) {
        range.fill(pattern[0]);
    } else {
        range
            .chunks_exact_mut(pattern.len())
            .for_each(|chunk| chunk.copy_from_slice(pattern));
    }
    cpu.advance(gpr::RDI, shape, count);
    Ok(count)
}

fn lods_one(cpu: &mut Cpu, shape: &Shape) -> Res<bool> {
    cpu.check_source(shape)?;
    let value = cpu.load_slow(cpu.source(shape), shape.size)?;
    match shape.size {
        1 => cpu.set_reg(0, value as u8),
        2 => cpu.set_reg(0, value as u16),
        4 => cpu.set_reg(0, value as u32),
        _ => cpu.set_reg(0, value),
    }
    cpu.advance(gpr::RSI, shape, 1);
    Ok(true)
}

/// Sets the flags of `a - b` and returns whether the repetition goes on.
fn compare(cpu: &mut Cpu, shape: &Shape, a: u64, b: u64) -> bool {
    fn flags<T: Word>(a: u64, b: u64) -> Lazy {
        let (a, b) = (T::low(a), T::low(b));
        let r = T::low(a.wide().wrapping_sub(b.wide()));
        Lazy::arith(r, borrows(a, b, r))
    }
    cpu.lazy = match shape.size {
        1 => flags::<u8>(a, b),
        2 => flags::<u16>(a, b),
        4 => flags::<u32>(a, b),
        _ => flags::<u64>(a, b),
    };
    cpu.lazy.zf() == (shape.repeat != Repeat::NotEqual)
}

fn cmps_one(cpu: &mut Cpu, shape: &Shape) -> Res<bool> {
    cpu.check_source(shape)?;
    cpu.check_destination(shape, false)?;
    let a = cpu.load_slow(cpu.source(shape), shape.size)?;
    let b = cpu.load_slow(cpu.destination(shape), shape.size)?;
    let go_on = compare(cpu, shape, a, b);
    cpu.advance(gpr::RSI, shape, 1);
    cpu.advance(gpr::RDI, shape, 1);
    Ok(go_on)
}

fn scas_one(cpu: &mut Cpu, shape: &Shape) -> Res<bool> {
    cpu.check_destination(shape, false)?;
    let b = cpu.load_slow(cpu.destination(shape), shape.size)?;
    let go_on = compare(cpu, shape, cpu.regs[gpr::RAX], b);
    cpu.advance(gpr::RDI, shape, 1);
    Ok(go_on)
}

fn ins_one(cpu: &mut Cpu, shape: &Shape) -> Res<bool> {
    let port = cpu.regs[gpr::RDX] as u16;
    let size = shape.size as u8;
    cpu.check_port(port, size)?;
    cpu.check_destination(shape, true)?;
    let to = cpu.destination(shape);
    // The port must not be read if the store is going to fault.
    cpu.probe_write(to, shape.size)?;
    cpu.note_port(port, size);
    let value = cpu.on_bus(|bus, at| bus.read_port(at, port, size));
    cpu.store_slow(to, shape.size, u64::from(value))?;
    cpu.advance(gpr::RDI, shape, 1);
    Ok(true)
}

fn outs_one(cpu: &mut Cpu, shape: &Shape) -> Res<bool> {
    let port = cpu.regs[gpr::RDX] as u16;
    let size = shape.size as u8;
    cpu.check_port(port, size)?;
    cpu.check_source(shape)?;
    let value = cpu.load_slow(cpu.source(shape), shape.size)?;
    cpu.note_port(port, size);
    cpu.on_bus(|bus, at| bus.write_port(at, port, size, value as u32));
    cpu.advance(gpr::RSI, shape, 1);
    Ok(true)
}

impl Cpu {
    /// Whether memory accesses need no checks beyond translation.
    fn plain_access(&self) -> bool {
        !self.watches_data() && !self.checks_alignment() && self.rough_segments == 0
    }

    fn check_string(&mut self, linear: u64) -> Res<()> {
        if self.mode.bits == 64 && !crate::mmu::is_canonical(linear) {
            self.fault = crate::cpu::Fault::NotCanonical;
            return Err(crate::mmu::Raised);
        }
        Ok(())
    }
}

/// MOVS, STOS, LODS, CMPS, SCAS, INS and OUTS.
pub(crate) fn string(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    match ins.mnemonic() {
        Mnemonic::Movsb | Mnemonic::Movsw | Mnemonic::Movsd | Mnemonic::Movsq => {
            run_counted(cpu, ins, movs_one, movs_bulk)
        }
        Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq => {
            run_counted(cpu, ins, stos_one, stos_bulk)
        }
        Mnemonic::Lodsb | Mnemonic::Lodsw | Mnemonic::Lodsd | Mnemonic::Lodsq => {
            run_single(cpu, ins, lods_one)
        }
        Mnemonic::Cmpsb | Mnemonic::Cmpsw | Mnemonic::Cmpsd | Mnemonic::Cmpsq => {
            run_single(cpu, ins, cmps_one)
        }
        Mnemonic::Scasb | Mnemonic::Scasw | Mnemonic::Scasd | Mnemonic::Scasq => {
            run_single(cpu, ins, scas_one)
        }
        Mnemonic::Insb | Mnemonic::Insw | Mnemonic::Insd => run_single(cpu, ins, ins_one),
        _ => run_single(cpu, ins, outs_one),
    }
}
