//! Which instruction forms there are, and what each of them does.

use super::arith::Arith;
use iced_x86::Code;

/// The format of a memory operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mem {
    Single,
    Double,
    Extended,
    Int16,
    Int32,
    Int64,
    Bcd,
}

impl Mem {
    pub(super) fn size(self) -> u8 {
        match self {
            Self::Int16 => 2,
            Self::Single | Self::Int32 => 4,
            Self::Double | Self::Int64 => 8,
            Self::Extended | Self::Bcd => 10,
        }
    }
}

/// The operands of an arithmetic instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operands {
    /// `ST(0) = ST(0) op ST(i)`.
    ToTop,
    /// `ST(i) = ST(i) op ST(0)`, and a pop if true.
    FromTop(bool),
    /// `ST(0) = ST(0) op memory`.
    Memory(Mem),
}

/// What a comparison compares ST(0) with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Against {
    Sti,
    Zero,
    Memory(Mem),
}

/// The conditions of FCMOVcc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Below,
    Equal,
    BelowOrEqual,
    Unordered,
}

/// The functions of ST(0) alone that replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    SquareRoot,
    RoundInteger,
    Exp2Minus1,
    Sine,
    Cosine,
}

/// The functions of ST(0) that replace it and push a second result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pair {
    Tangent,
    SineCosine,
    Extract,
}

/// The functions of ST(1) and ST(0) that replace ST(1) and pop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Popping {
    Angle,
    YLog2X,
    YLog2XPlus1,
}

/// The constants that can be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Constant {
    One,
    Log2Of10,
    Log2OfE,
    Pi,
    Log10Of2,
    LnOf2,
    Zero,
}

/// The work of an instruction, with everything about its form but the register number resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Arith(Arith, Operands),
    /// `quiet` for the FUCOM family; `flags` if the result goes to RFLAGS.
    Compare {
        against: Against,
        pops: u8,
        quiet: bool,
        flags: bool,
    },
    LoadMemory(Mem),
    /// `truncate` for FISTTP.
    StoreMemory {
        mem: Mem,
        pop: bool,
        truncate: bool,
    },
    LoadRegister,
    /// `unchecked` for FSTPNCE, which is silent about an empty ST(0).
    StoreRegister {
        pop: bool,
        unchecked: bool,
    },
    LoadConstant(Constant),
    Exchange,
    /// FFREE, and FFREEP if true.
    Free(bool),
    /// Moves if the condition has this value.
    Move(Condition, bool),
    Unary(Unary),
    Pair(Pair),
    Popping(Popping),
    /// FPREM1 if true.
    Remainder(bool),
    Scale,
    ChangeSign,
    Absolute,
    Examine,
    Rotate(i8),
    Nop,
    Initialize,
    ClearExceptions,
    LoadControl,
    StoreControl,
    StoreStatus,
    StoreStatusAx,
    /// FNENI, FNDISI and FNSETPM, which do nothing since the 387.
    Obsolete,
}

impl Op {
    /// The memory operand's size in bytes and whether it is read or written: `None` for the forms
    /// without one.
    pub(super) fn memory(self) -> Option<(u8, bool)> {
        match self {
            Self::Arith(_, Operands::Memory(mem)) | Self::LoadMemory(mem) => {
                Some((mem.size(), false))
            }
            Self::Compare {
                against: Against::Memory(mem),
                ..
            } => Some((mem.size(), false)),
            Self::StoreMemory { mem, .. } => Some((mem.size(), true)),
            Self::LoadControl => Some((2, false)),
            Self::StoreControl | Self::StoreStatus => Some((2, true)),
            _ => None,
        }
    }

    /// Control instructions leave the last-instruction pointers alone (Intel SDM vol. 1, 8.1.8).
    pub(super) fn is_control(self) -> bool {
        matches!(
            self,
            Self::Initialize
                | Self::ClearExceptions
                | Self::LoadControl
                | Self::StoreControl
                | Self::StoreStatus
                | Self::StoreStatusAx
                | Self::Obsolete
        )
    }

    /// Whether the instruction first reports a pending exception. The FN forms do not.
    pub(super) fn is_waiting(self) -> bool {
        !self.is_control() || self == Self::LoadControl
    }
}

/// What the form does, for those that [`super::execute`] handles.
pub(super) fn operation(code: Code) -> Option<Op> {
    arithmetic(code)
        .or_else(|| comparison(code))
        .or_else(|| transfer(code))
        .or_else(|| function(code))
        .or_else(|| control(code))
}

fn arithmetic(code: Code) -> Option<Op> {
    use Arith::{Add, Div, DivReversed, Mul, Sub, SubReversed};
    use Operands::{FromTop, Memory, ToTop};
    let (arith, operands) = match code {
        Code::Fadd_m32fp => (Add, Memory(Mem::Single)),
        Code::Fmul_m32fp => (Mul, Memory(Mem::Single)),
        Code::Fsub_m32fp => (Sub, Memory(Mem::Single)),
        Code::Fsubr_m32fp => (SubReversed, Memory(Mem::Single)),
        Code::Fdiv_m32fp => (Div, Memory(Mem::Single)),
        Code::Fdivr_m32fp => (DivReversed, Memory(Mem::Single)),
        Code::Fadd_m64fp => (Add, Memory(Mem::Double)),
        Code::Fmul_m64fp => (Mul, Memory(Mem::Double)),
        Code::Fsub_m64fp => (Sub, Memory(Mem::Double)),
        Code::Fsubr_m64fp => (SubReversed, Memory(Mem::Double)),
        Code::Fdiv_m64fp => (Div, Memory(Mem::Double)),
        Code::Fdivr_m64fp => (DivReversed, Memory(Mem::Double)),
        Code::Fiadd_m32int => (Add, Memory(Mem::Int32)),
        Code::Fimul_m32int => (Mul, Memory(Mem::Int32)),
        Code::Fisub_m32int => (Sub, Memory(Mem::Int32)),
        Code::Fisubr_m32int => (SubReversed, Memory(Mem::Int32)),
        Code::Fidiv_m32int => (Div, Memory(Mem::Int32)),
        Code::Fidivr_m32int => (DivReversed, Memory(Mem::Int32)),
        Code::Fiadd_m16int => (Add, Memory(Mem::Int16)),
        Code::Fimul_m16int => (Mul, Memory(Mem::Int16)),
        Code::Fisub_m16int => (Sub, Memory(Mem::Int16)),
        Code::Fisubr_m16int => (SubReversed, Memory(Mem::Int16)),
        Code::Fidiv_m16int => (Div, Memory(Mem::Int16)),
        Code::Fidivr_m16int => (DivReversed, Memory(Mem::Int16)),
        Code::Fadd_st0_sti => (Add, ToTop),
        Code::Fmul_st0_sti => (Mul, ToTop),
        Code::Fsub_st0_sti => (Sub, ToTop),
        Code::Fsubr_st0_sti => (SubReversed, ToTop),
        Code::Fdiv_st0_sti => (Div, ToTop),
        Code::Fdivr_st0_sti => (DivReversed, ToTop),
        Code::Fadd_sti_st0 => (Add, FromTop(false)),
        Code::Fmul_sti_st0 => (Mul, FromTop(false)),
        Code::Fsub_sti_st0 => (Sub, FromTop(false)),
        Code::Fsubr_sti_st0 => (SubReversed, FromTop(false)),
        Code::Fdiv_sti_st0 => (Div, FromTop(false)),
        Code::Fdivr_sti_st0 => (DivReversed, FromTop(false)),
        Code::Faddp_sti_st0 => (Add, FromTop(true)),
        Code::Fmulp_sti_st0 => (Mul, FromTop(true)),
        Code::Fsubp_sti_st0 => (Sub, FromTop(true)),
        Code::Fsubrp_sti_st0 => (SubReversed, FromTop(true)),
        Code::Fdivp_sti_st0 => (Div, FromTop(true)),
        Code::Fdivrp_sti_st0 => (DivReversed, FromTop(true)),
        _ => return None,
    };
    Some(Op::Arith(arith, operands))
}

fn comparison(code: Code) -> Option<Op> {
    use Against::{Memory, Sti, Zero};
    let (against, pops, quiet, flags) = match code {
        Code::Fcom_m32fp => (Memory(Mem::Single), 0, false, false),
        Code::Fcomp_m32fp => (Memory(Mem::Single), 1, false, false),
        Code::Fcom_m64fp => (Memory(Mem::Double), 0, false, false),
        Code::Fcomp_m64fp => (Memory(Mem::Double), 1, false, false),
        Code::Ficom_m16int => (Memory(Mem::Int16), 0, false, false),
        Code::Ficomp_m16int => (Memory(Mem::Int16), 1, false, false),
        Code::Ficom_m32int => (Memory(Mem::Int32), 0, false, false),
        Code::Ficomp_m32int => (Memory(Mem::Int32), 1, false, false),
        Code::Fcom_st0_sti | Code::Fcom_st0_sti_DCD0 => (Sti, 0, false, false),
        Code::Fcomp_st0_sti | Code::Fcomp_st0_sti_DCD8 | Code::Fcomp_st0_sti_DED0 => {
            (Sti, 1, false, false)
        }
        Code::Fcompp => (Sti, 2, false, false),
        Code::Fucom_st0_sti => (Sti, 0, true, false),
        Code::Fucomp_st0_sti => (Sti, 1, true, false),
        Code::Fucompp => (Sti, 2, true, false),
        Code::Fcomi_st0_sti => (Sti, 0, false, true),
        Code::Fcomip_st0_sti => (Sti, 1, false, true),
        Code::Fucomi_st0_sti => (Sti, 0, true, true),
        Code::Fucomip_st0_sti => (Sti, 1, true, true),
        Code::Ftst => (Zero, 0, false, false),
        _ => return None,
    };
    Some(Op::Compare {
        against,
        pops,
        quiet,
        flags,
    })
}

fn transfer(code: Code) -> Option<Op> {
    let store = |mem, pop, truncate| Op::StoreMemory { mem, pop, truncate };
    Some(match code {
        Code::Fld_m32fp => Op::LoadMemory(Mem::Single),
        Code::Fld_m64fp => Op::LoadMemory(Mem::Double),
        Code::Fld_m80fp => Op::LoadMemory(Mem::Extended),
        Code::Fild_m16int => Op::LoadMemory(Mem::Int16),
        Code::Fild_m32int => Op::LoadMemory(Mem::Int32),
        Code::Fild_m64int => Op::LoadMemory(Mem::Int64),
        Code::Fbld_m80bcd => Op::LoadMemory(Mem::Bcd),
        Code::Fst_m32fp => store(Mem::Single, false, false),
        Code::Fstp_m32fp => store(Mem::Single, true, false),
        Code::Fst_m64fp => store(Mem::Double, false, false),
        Code::Fstp_m64fp => store(Mem::Double, true, false),
        Code::Fstp_m80fp => store(Mem::Extended, true, false),
        Code::Fist_m16int => store(Mem::Int16, false, false),
        Code::Fistp_m16int => store(Mem::Int16, true, false),
        Code::Fisttp_m16int => store(Mem::Int16, true, true),
        Code::Fist_m32int => store(Mem::Int32, false, false),
        Code::Fistp_m32int => store(Mem::Int32, true, false),
        Code::Fisttp_m32int => store(Mem::Int32, true, true),
        Code::Fistp_m64int => store(Mem::Int64, true, false),
        Code::Fisttp_m64int => store(Mem::Int64, true, true),
        Code::Fbstp_m80bcd => store(Mem::Bcd, true, false),
        Code::Fld_sti => Op::LoadRegister,
        Code::Fst_sti => Op::StoreRegister {
            pop: false,
            unchecked: false,
        },
        Code::Fstp_sti | Code::Fstp_sti_DFD0 | Code::Fstp_sti_DFD8 => Op::StoreRegister {
            pop: true,
            unchecked: false,
        },
        Code::Fstpnce_sti => Op::StoreRegister {
            pop: true,
            unchecked: true,
        },
        Code::Fxch_st0_sti | Code::Fxch_st0_sti_DDC8 | Code::Fxch_st0_sti_DFC8 => Op::Exchange,
        Code::Ffree_sti => Op::Free(false),
        Code::Ffreep_sti => Op::Free(true),
        Code::Fcmovb_st0_sti => Op::Move(Condition::Below, true),
        Code::Fcmovnb_st0_sti => Op::Move(Condition::Below, false),
        Code::Fcmove_st0_sti => Op::Move(Condition::Equal, true),
        Code::Fcmovne_st0_sti => Op::Move(Condition::Equal, false),
        Code::Fcmovbe_st0_sti => Op::Move(Condition::BelowOrEqual, true),
        Code::Fcmovnbe_st0_sti => Op::Move(Condition::BelowOrEqual, false),
        Code::Fcmovu_st0_sti => Op::Move(Condition::Unordered, true),
        Code::Fcmovnu_st0_sti => Op::Move(Condition::Unordered, false),
        _ => return None,
    })
}

fn function(code: Code) -> Option<Op> {
    Some(match code {
        Code::Fld1 => Op::LoadConstant(Constant::One),
        Code::Fldl2t => Op::LoadConstant(Constant::Log2Of10),
        Code::Fldl2e => Op::LoadConstant(Constant::Log2OfE),
        Code::Fldpi => Op::LoadConstant(Constant::Pi),
        Code::Fldlg2 => Op::LoadConstant(Constant::Log10Of2),
        Code::Fldln2 => Op::LoadConstant(Constant::LnOf2),
        Code::Fldz => Op::LoadConstant(Constant::Zero),
        Code::Fchs => Op::ChangeSign,
        Code::Fabs => Op::Absolute,
        Code::Fxam => Op::Examine,
        Code::Fsqrt => Op::Unary(Unary::SquareRoot),
        Code::Frndint => Op::Unary(Unary::RoundInteger),
        Code::F2xm1 => Op::Unary(Unary::Exp2Minus1),
        Code::Fsin => Op::Unary(Unary::Sine),
        Code::Fcos => Op::Unary(Unary::Cosine),
        Code::Fptan => Op::Pair(Pair::Tangent),
        Code::Fsincos => Op::Pair(Pair::SineCosine),
        Code::Fxtract => Op::Pair(Pair::Extract),
        Code::Fpatan => Op::Popping(Popping::Angle),
        Code::Fyl2x => Op::Popping(Popping::YLog2X),
        Code::Fyl2xp1 => Op::Popping(Popping::YLog2XPlus1),
        Code::Fprem => Op::Remainder(false),
        Code::Fprem1 => Op::Remainder(true),
        Code::Fscale => Op::Scale,
        _ => return None,
    })
}

fn control(code: Code) -> Option<Op> {
    Some(match code {
        Code::Fnop => Op::Nop,
        Code::Fincstp => Op::Rotate(1),
        Code::Fdecstp => Op::Rotate(-1),
        Code::Fninit => Op::Initialize,
        Code::Fnclex => Op::ClearExceptions,
        Code::Fldcw_m2byte => Op::LoadControl,
        Code::Fnstcw_m2byte => Op::StoreControl,
        Code::Fnstsw_m2byte => Op::StoreStatus,
        Code::Fnstsw_AX => Op::StoreStatusAx,
        Code::Fneni | Code::Fndisi | Code::Fnsetpm => Op::Obsolete,
        _ => return None,
    })
}

/// The forms whose memory operand is a whole image, which [`super::env`] and [`super::image`]
/// read and write.
pub(super) const IMAGE_FORMS: [Code; 18] = [
    Code::Fldenv_m14byte,
    Code::Fldenv_m28byte,
    Code::Fnstenv_m14byte,
    Code::Fnstenv_m28byte,
    Code::Frstor_m94byte,
    Code::Frstor_m108byte,
    Code::Fnsave_m94byte,
    Code::Fnsave_m108byte,
    Code::Fxsave_m512byte,
    Code::Fxsave64_m512byte,
    Code::Fxrstor_m512byte,
    Code::Fxrstor64_m512byte,
    Code::Xsave_mem,
    Code::Xsave64_mem,
    Code::Xrstor_mem,
    Code::Xrstor64_mem,
    Code::Xsaveopt_mem,
    Code::Xsaveopt64_mem,
];

/// The compacting forms and EMMS, which this module provides functions for as well.
pub(super) const MORE_IMAGE_FORMS: [Code; 3] = [Code::Xsavec_mem, Code::Xsavec64_mem, Code::Emms];
