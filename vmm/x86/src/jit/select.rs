//! Which code an operation becomes.
//!
//! What is executed most is compiled; everything else stays with its handler, which compiled code jumps to.
//! The choice goes by the instruction, the operands come from the operation.

use iced_x86::{Code, Instruction, Mnemonic, OpKind};

use super::arith::{Bit, Shift};
use super::binary::Binary;
use super::decoded::{self, Place};
use super::sse::XmmOp;
use crate::exec::operand::{condition, operand_size};
use crate::lower::{self, Form};
use crate::op::{DECODED, Op};

/// An operation's code.
#[derive(Clone, Copy)]
pub(super) enum Act {
    Nop,
    Move(Form, u64),
    Extend {
        signed: bool,
        memory: bool,
        to: u64,
        from: u64,
    },
    Address(u64),
    Binary(Binary, Form, u64),
    Zero,
    Step {
        up: bool,
        memory: bool,
        size: u64,
    },
    Negate(u64),
    Not(u64),
    Shift(Shift, u64),
    Multiply(Form, u64),
    MultiplyBy {
        memory: bool,
        size: u64,
    },
    BitTest(u64),
    /// BT, BTS, BTR or BTC of memory.
    BitMemory {
        change: Bit,
        by_register: bool,
        size: u64,
    },
    /// BTS, BTR or BTC of a register.
    BitRegister(Bit, u64),
    /// SHLD or SHRD of registers by a constant, or else by CL.
    ShiftDouble {
        left: bool,
        dst: u8,
        src: u8,
        count: Option<u8>,
        size: u64,
    },
    /// SETcc of memory.
    SetMemory,
    ShiftByCl(Shift, u64),
    Rotate {
        left: bool,
        size: u64,
    },
    /// ADC or SBB.
    WithCarry {
        add: bool,
        form: Form,
        size: u64,
    },
    /// MUL or IMUL with one operand.
    MultiplyPair {
        signed: bool,
        by: Place,
        size: u64,
    },
    /// DIV or IDIV.
    Divide {
        signed: bool,
        by: Place,
        size: u64,
    },
    /// BSF or BSR.
    Scan {
        forward: bool,
        dst: u8,
        from: Place,
        size: u64,
    },
    CompareExchange(u64),
    /// CMPXCHG16B of memory, which the operation has the fields of.
    CompareExchangePair(Op),
    ExchangeAdd(u64),
    ExchangeMemory(u64),
    Swap(u64),
    ClearInterrupts,
    SetInterrupts,
    ClearDirection,
    SwapGs,
    /// MOV from a segment register to a general one.
    ReadSegment {
        dst: u8,
        segment: usize,
        size: u64,
    },
    PushFlags,
    PushMemory,
    XmmMove,
    XmmLoad,
    XmmStore,
    /// An SSE instruction that the host executes on two registers.
    Xmm(XmmOp, u8, u8),
    /// The same with a memory operand, which the operation has the fields of.
    XmmMemory(XmmOp, u8, Op),
    /// A move to the low part of an XMM register that clears the rest.
    XmmSet {
        dst: u8,
        from: Place,
        size: u64,
    },
    /// A move to the part of an XMM register at this offset.
    XmmInsert {
        dst: u8,
        at: u8,
        from: Place,
        size: u64,
    },
    /// A move from the part of an XMM register at this offset.
    XmmGet {
        to: Place,
        src: u8,
        at: u8,
        size: u64,
    },
    /// PMOVMSKB.
    XmmMask {
        dst: u8,
        src: u8,
    },
    PushRegister,
    PushConstant,
    Pop,
    Leave,
    Set,
    Choose {
        memory: bool,
        size: u64,
    },
    WidenA {
        to: u64,
    },
    WidenD(u64),
    Exchange(u64),
    /// Ends the block in front of the next one.
    End,
    Branch {
        code: u8,
    },
    CompareBranch {
        op: Binary,
        form: Form,
        size: u64,
        code: u8,
    },
    Jump,
    Call,
    Return,
    JumpTo {
        memory: bool,
    },
    CallTo {
        memory: bool,
    },
}

impl Act {
    /// Whether it sets all arithmetic flags, whatever they were.
    pub(super) fn sets_flags(self) -> bool {
        matches!(
            self,
            Self::Binary(..)
                | Self::Zero
                | Self::Negate(_)
                | Self::Shift(..)
                | Self::Multiply(..)
                | Self::MultiplyBy { .. }
                | Self::MultiplyPair { .. }
                | Self::CompareBranch { .. }
        )
    }

    /// Whether it can go by the host's flags.
    pub(super) fn takes_host_flags(self) -> bool {
        matches!(
            self,
            Self::Branch { .. } | Self::Set | Self::Choose { memory: false, .. }
        )
    }

    /// Whether it is done with the host's flags as they were, or goes by them.
    pub(super) fn keeps_host_flags(self) -> bool {
        self.takes_host_flags()
            || matches!(
                self,
                Self::Nop | Self::Move(Form::RR, _) | Self::Extend { memory: false, .. }
            )
    }

    /// Whether it depends on flags.
    pub(super) fn reads_flags(self) -> bool {
        matches!(
            self,
            Self::ShiftByCl(..)
                | Self::ShiftDouble { count: None, .. }
                | Self::Rotate { .. }
                | Self::Scan { .. }
                | Self::CompareExchangePair(_)
                | Self::BitRegister(..)
                | Self::WithCarry { .. }
                | Self::Step { .. }
                | Self::BitTest(_)
                | Self::Set
                | Self::Choose { .. }
        )
    }

    /// Whether its handler may have to take over.
    pub(super) fn may_hand_over(self) -> bool {
        match self {
            Self::Move(form, _)
            | Self::Binary(_, form, _)
            | Self::Multiply(form, _)
            | Self::WithCarry { form, .. } => !matches!(form, Form::RR | Form::RI),
            Self::Extend { memory, .. }
            | Self::Step { memory, .. }
            | Self::MultiplyBy { memory, .. }
            | Self::Choose { memory, .. } => memory,
            Self::MultiplyPair { by: place, .. } | Self::Scan { from: place, .. } => {
                place.in_memory()
            }
            Self::Nop
            | Self::CompareBranch { .. }
            | Self::Address(_)
            | Self::Zero
            | Self::Negate(_)
            | Self::Not(_)
            | Self::Shift(..)
            | Self::BitTest(_)
            | Self::Set
            | Self::WidenA { .. }
            | Self::WidenD(_)
            | Self::ShiftByCl(..)
            | Self::Rotate { .. }
            | Self::BitRegister(..)
            | Self::ShiftDouble { .. }
            | Self::ClearDirection
            | Self::ReadSegment { .. }
            | Self::Swap(_)
            | Self::Exchange(_) => false,
            _ => true,
        }
    }
}

/// The code of an operation that is made of `first` and, if two instructions are one operation, `second`.
/// `None` if its handler does it.
pub(super) fn select(first: &Instruction, second: Option<&Instruction>, op: &Op) -> Option<Act> {
    if op.aux == DECODED {
        return decoded::select(first);
    }
    if let Some(branch) = second {
        return Some(Act::CompareBranch {
            op: binary(first)?,
            form: lower::form(first),
            size: operand_size(first, 0),
            code: condition(branch.condition_code()),
        });
    }
    branch(first)
        .or_else(|| xmm_move(first))
        .or_else(|| plain(first, op))
}

fn branch(ins: &Instruction) -> Option<Act> {
    if ins.is_jcc_short_or_near() && ins.op0_kind() == OpKind::NearBranch64 {
        let code = condition(ins.condition_code());
        return Some(Act::Branch { code });
    }
    let memory = || ins.op0_kind() == OpKind::Memory;
    match ins.code() {
        Code::Jmp_rel8_64 | Code::Jmp_rel32_64 => Some(Act::Jump),
        Code::Call_rel32_64 => Some(Act::Call),
        Code::Retnq | Code::Retnq_imm16 => Some(Act::Return),
        Code::Jmp_rm64 => Some(Act::JumpTo { memory: memory() }),
        Code::Call_rm64 => Some(Act::CallTo { memory: memory() }),
        _ => None,
    }
}

fn binary(ins: &Instruction) -> Option<Binary> {
    Some(match ins.mnemonic() {
        Mnemonic::Add => Binary::Add,
        Mnemonic::Sub => Binary::Sub,
        Mnemonic::Cmp => Binary::Cmp,
        Mnemonic::And => Binary::And,
        Mnemonic::Test => Binary::Test,
        Mnemonic::Or => Binary::Or,
        Mnemonic::Xor => Binary::Xor,
        _ => return None,
    })
}

fn plain(ins: &Instruction, op: &Op) -> Option<Act> {
    let form = lower::form(ins);
    let two = matches!(form, Form::RR | Form::RI | Form::RM | Form::MR | Form::MI);
    if let Some(kind) = binary(ins) {
        let size = operand_size(ins, 0);
        let zero = kind == Binary::Xor
            && form == Form::RR
            && size >= 4
            && ins.op0_register() == ins.op1_register();
        return if zero {
            Some(Act::Zero)
        } else {
            two.then_some(Act::Binary(kind, form, size))
        };
    }
    match ins.mnemonic() {
        Mnemonic::Mov => two.then(|| Act::Move(form, operand_size(ins, 0))),
        Mnemonic::Movzx => extend(ins, form, false),
        Mnemonic::Movsx | Mnemonic::Movsxd => extend(ins, form, true),
        Mnemonic::Lea => Some(Act::Address(operand_size(ins, 0))),
        Mnemonic::Inc => step(ins, form, true),
        Mnemonic::Dec => step(ins, form, false),
        Mnemonic::Neg if form == Form::R => Some(Act::Negate(operand_size(ins, 0))),
        Mnemonic::Not if form == Form::R => Some(Act::Not(operand_size(ins, 0))),
        Mnemonic::Shl | Mnemonic::Sal => shift(ins, op, form, Shift::Left),
        Mnemonic::Shr => shift(ins, op, form, Shift::Right),
        Mnemonic::Sar => shift(ins, op, form, Shift::Arithmetic),
        Mnemonic::Rol | Mnemonic::Ror if form == Form::RI && operand_size(ins, 0) > 1 => {
            Some(Act::Rotate {
                left: ins.mnemonic() == Mnemonic::Rol,
                size: operand_size(ins, 0),
            })
        }
        Mnemonic::Adc | Mnemonic::Sbb if matches!(form, Form::RR | Form::RI | Form::RM) => {
            Some(Act::WithCarry {
                add: ins.mnemonic() == Mnemonic::Adc,
                form,
                size: operand_size(ins, 0),
            })
        }
        Mnemonic::Cmpxchg if form == Form::MR => Some(Act::CompareExchange(operand_size(ins, 0))),
        Mnemonic::Xadd if form == Form::MR => Some(Act::ExchangeAdd(operand_size(ins, 0))),
        Mnemonic::Xchg if form == Form::MR => Some(Act::ExchangeMemory(operand_size(ins, 0))),
        Mnemonic::Bswap if operand_size(ins, 0) >= 4 => Some(Act::Swap(operand_size(ins, 0))),
        Mnemonic::Bt if matches!(form, Form::MI | Form::MR) => bit(ins, op, form, Bit::Test),
        Mnemonic::Bts => bit(ins, op, form, Bit::Set),
        Mnemonic::Btr => bit(ins, op, form, Bit::Reset),
        Mnemonic::Btc => bit(ins, op, form, Bit::Complement),
        Mnemonic::Imul => multiply(ins, form),
        Mnemonic::Bt if matches!(form, Form::RR | Form::RI) => {
            Some(Act::BitTest(operand_size(ins, 0)))
        }
        Mnemonic::Push => match ins.code() {
            Code::Push_r64 => Some(Act::PushRegister),
            Code::Pushq_imm8 | Code::Pushq_imm32 => Some(Act::PushConstant),
            Code::Push_rm64 if form == Form::M => Some(Act::PushMemory),
            _ => None,
        },
        Mnemonic::Pop if ins.code() == Code::Pop_r64 => Some(Act::Pop),
        Mnemonic::Leave if ins.code() == Code::Leaveq => Some(Act::Leave),
        Mnemonic::Nop
        | Mnemonic::Pause
        | Mnemonic::Endbr64
        | Mnemonic::Lfence
        | Mnemonic::Mfence
        | Mnemonic::Sfence
        | Mnemonic::Prefetchw
        | Mnemonic::Prefetchnta
        | Mnemonic::Prefetcht0 => Some(Act::Nop),
        Mnemonic::Cbw => Some(Act::WidenA { to: 2 }),
        Mnemonic::Cwde => Some(Act::WidenA { to: 4 }),
        Mnemonic::Cdqe => Some(Act::WidenA { to: 8 }),
        Mnemonic::Cwd => Some(Act::WidenD(2)),
        Mnemonic::Cdq => Some(Act::WidenD(4)),
        Mnemonic::Cqo => Some(Act::WidenD(8)),
        Mnemonic::Xchg if form == Form::RR => Some(Act::Exchange(operand_size(ins, 0))),
        _ => conditional(ins, form),
    }
}

fn extend(ins: &Instruction, form: Form, signed: bool) -> Option<Act> {
    matches!(form, Form::RR | Form::RM).then(|| Act::Extend {
        signed,
        memory: form == Form::RM,
        to: operand_size(ins, 0),
        from: operand_size(ins, 1),
    })
}

fn step(ins: &Instruction, form: Form, up: bool) -> Option<Act> {
    matches!(form, Form::R | Form::M).then(|| Act::Step {
        up,
        memory: form == Form::M,
        size: operand_size(ins, 0),
    })
}

fn shift(ins: &Instruction, op: &Op, form: Form, shift: Shift) -> Option<Act> {
    let size = operand_size(ins, 0);
    match form {
        // More than the operand's width is possible if that is small, and not worth it.
        Form::RI if u64::from(op.aux) < 8 * size => Some(Act::Shift(shift, size)),
        Form::RR if size >= 4 => Some(Act::ShiftByCl(shift, size)),
        _ => None,
    }
}

fn bit(ins: &Instruction, op: &Op, form: Form, change: Bit) -> Option<Act> {
    let size = operand_size(ins, 0);
    match form {
        Form::RR | Form::RI => Some(Act::BitRegister(change, size)),
        // With a register the index reaches beyond the operand, which only 64-bit addresses allow.
        Form::MI | Form::MR if op.asize & 3 == 2 => Some(Act::BitMemory {
            change,
            by_register: form == Form::MR,
            size,
        }),
        _ => None,
    }
}

/// The common moves of whole XMM registers.
fn xmm_move(ins: &Instruction) -> Option<Act> {
    match ins.code() {
        Code::Movups_xmm_xmmm128
        | Code::Movupd_xmm_xmmm128
        | Code::Movdqu_xmm_xmmm128
        | Code::Movaps_xmm_xmmm128
        | Code::Movapd_xmm_xmmm128
        | Code::Movdqa_xmm_xmmm128
            if ins.op1_kind() == OpKind::Memory =>
        {
            Some(Act::XmmLoad)
        }
        Code::Movups_xmmm128_xmm
        | Code::Movupd_xmmm128_xmm
        | Code::Movdqu_xmmm128_xmm
        | Code::Movaps_xmmm128_xmm
        | Code::Movapd_xmmm128_xmm
        | Code::Movdqa_xmmm128_xmm
            if ins.op0_kind() == OpKind::Memory =>
        {
            Some(Act::XmmStore)
        }
        Code::Movups_xmm_xmmm128
        | Code::Movdqu_xmm_xmmm128
        | Code::Movaps_xmm_xmmm128
        | Code::Movdqa_xmm_xmmm128 => Some(Act::XmmMove),
        _ => None,
    }
}

fn multiply(ins: &Instruction, form: Form) -> Option<Act> {
    let size = operand_size(ins, 0);
    match (ins.op_count(), form) {
        _ if size < 4 => None,
        (2, Form::RR | Form::RM) => Some(Act::Multiply(form, size)),
        (3, Form::RR | Form::RM) => Some(Act::MultiplyBy {
            memory: form == Form::RM,
            size,
        }),
        _ => None,
    }
}

fn conditional(ins: &Instruction, form: Form) -> Option<Act> {
    let code = ins.condition_code();
    // Parity is never asked for but after comparisons of floating-point numbers.
    if code == iced_x86::ConditionCode::None || condition(code) >> 1 == 5 {
        return None;
    }
    match (ins.op_count(), form) {
        (1, Form::R) => Some(Act::Set),
        (1, Form::M) => Some(Act::SetMemory),
        (2, Form::RR | Form::RM) => Some(Act::Choose {
            memory: form == Form::RM,
            size: operand_size(ins, 0),
        }),
        _ => None,
    }
}
