//! What a processor of the host's make does with a case, made of what the emulated one does, which is
//! Intel's. Nothing is ignored: each departure is carried out on the outcome, which is compared then.

mod access;
mod dot;
mod strings;

use iced_x86::{Code, Instruction, Mnemonic as M, OpKind};

use crate::builder::{self, RSP};
use crate::layout::{CODE, CODE_SIZE, WINDOW, WINDOW_SIZE};
use crate::make::{Departure, Make, host};
use crate::state::{Case, Outcome};
use access::{Access, fault};
pub use dot::sum_differs;

/// The only bits of RFLAGS that departures are about.
const TF_TO_RF: u64 = 1 << 16;
const UNORDERED: u64 = 0x45;

/// What the host's processor is expected to make of `case`, of which the emulated one made `emulated`, and
/// in what that departs from it.
pub fn expected(
    case: &Case,
    background: &[u8],
    emulated: &Outcome,
) -> (Outcome, Option<Departure>) {
    let mut outcome = emulated.clone();
    if host() == Make::Intel {
        return (outcome, None);
    }
    let before = Before::new(case, background);
    let departure = depart(&before, &mut outcome);
    let departure = departure.filter(|_| outcome != *emulated);
    (outcome, departure)
}

/// A case and what follows from it.
struct Before<'a> {
    case: &'a Case,
    instruction: Instruction,
    /// The data window.
    window: Vec<u8>,
}

impl<'a> Before<'a> {
    fn new(case: &'a Case, background: &[u8]) -> Self {
        let mut window = background.to_vec();
        crate::state::apply_patches(case, &mut window);
        Self {
            case,
            instruction: builder::decode(&case.native_bytes(), case.regs.rip, case.bits),
            window,
        }
    }

    /// The linear address of the memory operand.
    fn address(&self) -> Option<u64> {
        let address = builder::memory_address(self.case, &self.instruction)?;
        Some(if self.case.bits == 32 {
            address & 0xffff_ffff
        } else {
            address
        })
    }

    /// The bytes at an address in the data window or in the read-only page.
    fn read(&self, address: u64, size: usize) -> Option<Vec<u8>> {
        let in_window = usize::try_from(address.wrapping_sub(WINDOW)).ok();
        if let Some(bytes) = in_window.and_then(|at| self.window.get(at..at.checked_add(size)?)) {
            return Some(bytes.to_vec());
        }
        let at = usize::try_from(address.wrapping_sub(crate::layout::READ_ONLY)).ok()?;
        let page = crate::values::read_only_page();
        Some(page.get(at..at.checked_add(size)?)?.to_vec())
    }

    /// Whether the instruction, which does not branch, has completed. What ended the case then is a trap, the
    /// INT3 behind it, or that nothing is behind it.
    fn completed(&self, outcome: &Outcome) -> bool {
        outcome.regs.rip != self.case.regs.rip
    }

    /// The case as it is if its instruction faults.
    fn faulted(&self, (vector, error, cr2): (u8, u64, u64)) -> Outcome {
        let mut regs = self.case.regs.clone();
        regs.rflags |= TF_TO_RF;
        Outcome {
            vector,
            error,
            cr2,
            regs,
            window: self.window.clone(),
        }
    }

    /// An access to the memory operand, which is one to the stack if its base register says so.
    fn access(&self, write: bool) -> Access {
        use iced_x86::Register::{EBP, ESP, FS, GS, RBP, RSP};
        let instruction = &self.instruction;
        let stack = matches!(instruction.memory_base(), RSP | RBP | ESP | EBP)
            && !matches!(instruction.memory_segment(), FS | GS);
        match (stack, write) {
            (false, false) => Access::Read,
            (false, true) => Access::Write,
            (true, false) => Access::StackRead,
            (true, true) => Access::StackWrite,
        }
    }

    /// Puts the fault of an access that Intel's processors do not make into `outcome`, if it has one.
    fn depart_to_fault(&self, address: u64, size: u64, access: Access, outcome: &mut Outcome) {
        if let Some(fault) = fault(self.case, address, size, access) {
            *outcome = self.faulted(fault);
        }
    }
}

/// Carries a departure out, if the case is one of those.
fn depart(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    let instruction = &before.instruction;
    let mnemonic = instruction.mnemonic();
    match mnemonic {
        M::Push if is_segment(instruction) => pushed_selector(before, outcome),
        M::Pop if is_segment(instruction) => popped_selector(before, outcome),
        M::Bound => bounds(before, outcome),
        M::Call => called_nowhere(before, outcome),
        M::Iret | M::Iretd | M::Iretq => returned_stack(before, outcome),
        M::Fsin | M::Fsincos => sine_of_least_normal(before, outcome),
        M::Fst | M::Fstp | M::Fist | M::Fistp | M::Fisttp | M::Fbstp => {
            suppressed_store(before, outcome)
        }
        M::Movsxd if instruction.code() == Code::Movsxd_r16_rm16 => {
            let address = before.address()?;
            before.depart_to_fault(address, 4, before.access(false), outcome);
            Some(Departure::SignExtendedWord)
        }
        M::Ud0 | M::Ud1 => undefined_operand(before, outcome),
        M::Fcomi | M::Fcomip | M::Fucomi | M::Fucomip => compared_to_flags(before, outcome),
        M::Dpps | M::Dppd => dot::depart(before, outcome),
        _ if instruction.is_string_instruction()
            && (instruction.has_rep_prefix() || instruction.has_repne_prefix()) =>
        {
            strings::depart(before, outcome)
        }
        _ => None,
    }
}

fn is_segment(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::Register && instruction.op0_register().is_segment_register()
}

fn pushed_selector(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    let size = before.instruction.stack_pointer_increment().unsigned_abs();
    if size != 4 {
        return None;
    }
    let address = (before.case.regs.gpr[RSP] & 0xffff_ffff).wrapping_sub(4);
    before.depart_to_fault(address, 4, Access::StackWrite, outcome);
    if before.completed(outcome) {
        let upper = (address + 2 - WINDOW) as usize;
        outcome.window[upper..upper + 2].fill(0);
    }
    Some(Departure::PushedSelector)
}

fn popped_selector(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    let size = before.instruction.stack_pointer_increment().unsigned_abs();
    let address = before.case.regs.gpr[RSP];
    before.depart_to_fault(address, size.into(), Access::StackRead, outcome);
    Some(Departure::PoppedSelector)
}

fn bounds(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    if outcome.vector != 5 {
        return None;
    }
    let size = before.instruction.op0_register().size() as u64;
    let upper = before.address()?.wrapping_add(size) & 0xffff_ffff;
    before.depart_to_fault(upper, size, Access::Read, outcome);
    Some(Departure::Bounds)
}

fn called_nowhere(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    let instruction = &before.instruction;
    let target = match instruction.code() {
        Code::Call_rm64 if instruction.op0_kind() == OpKind::Register => {
            before.case.regs.gpr[instruction.op0_register().number()]
        }
        Code::Call_rm64 => {
            let bytes = before.read(before.address()?, 8)?;
            u64::from_le_bytes(bytes.try_into().ok()?)
        }
        _ => return None,
    };
    if builder::is_canonical(target) {
        return None;
    }
    *outcome = before.faulted((13, 0, 0));
    Some(Departure::CalledNowhere)
}

fn returned_stack(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    let size: u64 = match before.instruction.mnemonic() {
        M::Iret => 2,
        M::Iretd => 4,
        _ => 8,
    };
    let refused = matches!(outcome.vector, 11 | 13) && !before.completed(outcome);
    if !refused || before.case.bits != 64 {
        return None;
    }
    let frame = before.case.regs.gpr[RSP];
    let fault = (0..5)
        .map(|i| frame.wrapping_add(i * size))
        .find_map(|at| fault(before.case, at, size, Access::StackRead))?;
    *outcome = before.faulted(fault);
    Some(Departure::ReturnedStack)
}

/// ST(0) is what FSIN has of its operand; FSINCOS has pushed the cosine.
fn sine_of_least_normal(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    const LEAST: u64 = 1 << 63;
    let (mantissa, top) = before.case.regs.fp.st[0];
    let fp = &mut outcome.regs.fp;
    let place = usize::from(before.instruction.mnemonic() == M::Fsincos);
    let rounding = fp.control >> 10 & 3;
    let downwards = match rounding {
        0 => false,
        3 => true,
        other => (other == 1) == (top & 0x8000 == 0),
    };
    // As a pseudo-denormal it has an exponent of zero.
    let least = mantissa == LEAST && top & 0x7fff <= 1;
    let unchanged = fp.st[place] == (LEAST, top & 0x8000 | 1);
    if !completed_x87(fp.status, fp.control) || !least || !unchanged {
        return None;
    }
    if downwards {
        const UNDERFLOW: u16 = 0x10;
        let masked = fp.control & UNDERFLOW != 0;
        fp.st[place] = if masked {
            (LEAST - 1, top & 0x8000)
        } else {
            (u64::MAX, top & 0x8000 | 24576)
        };
        fp.status |= UNDERFLOW;
    }
    Some(Departure::SineOfLeastNormal)
}

/// Whether no exception kept an x87 instruction from its result: neither an invalid operation nor a
/// denormal is pending.
fn completed_x87(status: u16, control: u16) -> bool {
    status & !control & 3 == 0
}

fn suppressed_store(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    let size = before.instruction.memory_size().size() as u64;
    let address = before.address()?;
    if !before.completed(outcome) {
        return None;
    }
    before.depart_to_fault(address, size, before.access(true), outcome);
    Some(Departure::SuppressedStore)
}

fn compared_to_flags(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    let fp = &outcome.regs.fp;
    if !before.completed(outcome) || fp.status & !fp.control & 1 == 0 {
        return None;
    }
    outcome.regs.rflags |= UNORDERED;
    Some(Departure::ComparedToFlags)
}

fn undefined_operand(before: &Before, outcome: &mut Outcome) -> Option<Departure> {
    const FETCH: u64 = 0x10;
    let bytes = &before.case.bytes;
    let opcode = bytes.iter().position(|byte| *byte == 0x0f)? as u64 + 2;
    let room = CODE + CODE_SIZE - before.case.regs.rip;
    if outcome.vector == 14 && outcome.error & FETCH != 0 && opcode <= room {
        *outcome = before.faulted((6, 0, 0));
    }
    Some(Departure::UndefinedOperand)
}

/// The end of the data window.
const END: u64 = WINDOW + WINDOW_SIZE;
