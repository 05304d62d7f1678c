//! The instruction forms that sequences are made of.

use iced_x86::{
    Code, CpuidFeature as F, EncodingKind, FlowControl, Mnemonic as M, OpCodeOperandKind as Kind,
};

/// Forms by what they are for. Each inner list holds the forms of one mnemonic, so that a mnemonic
/// with many forms is not more likely than others.
pub struct Forms {
    /// Classes of general instructions.
    pub general: Vec<Vec<Vec<Code>>>,
    /// Vector instructions.
    pub vector: Vec<Code>,
    /// CMP and TEST.
    pub compare: Vec<Vec<Code>>,
    /// Instructions that define every arithmetic flag.
    pub define: Vec<Vec<Code>>,
    /// Conditional branches, short and near.
    pub conditional: Vec<Code>,
    /// Pushes and pops of something else than flags.
    pub stack: Vec<Vec<Code>>,
}

const CLASSES: &[&[M]] = &[
    &[M::Add, M::Sub, M::Adc, M::Sbb, M::Cmp],
    &[M::And, M::Or, M::Xor, M::Test, M::Not],
    &[M::Inc, M::Dec, M::Neg],
    &[
        M::Shl,
        M::Sal,
        M::Shr,
        M::Sar,
        M::Rol,
        M::Ror,
        M::Rcl,
        M::Rcr,
        M::Shld,
        M::Shrd,
    ],
    &[M::Mul, M::Imul, M::Imul, M::Mul, M::Div, M::Idiv],
    &[
        M::Bt,
        M::Bts,
        M::Btr,
        M::Btc,
        M::Bsf,
        M::Bsr,
        M::Popcnt,
        M::Bswap,
        M::Crc32,
    ],
    &[
        M::Seto,
        M::Setno,
        M::Setb,
        M::Setae,
        M::Sete,
        M::Setne,
        M::Setbe,
        M::Seta,
        M::Sets,
        M::Setns,
        M::Setp,
        M::Setnp,
        M::Setl,
        M::Setge,
        M::Setle,
        M::Setg,
    ],
    &[
        M::Cmovo,
        M::Cmovno,
        M::Cmovb,
        M::Cmovae,
        M::Cmove,
        M::Cmovne,
        M::Cmovbe,
        M::Cmova,
        M::Cmovs,
        M::Cmovns,
        M::Cmovp,
        M::Cmovnp,
        M::Cmovl,
        M::Cmovge,
        M::Cmovle,
        M::Cmovg,
    ],
    &[
        M::Lahf,
        M::Sahf,
        M::Clc,
        M::Stc,
        M::Cmc,
        M::Cld,
        M::Std,
        M::Salc,
        M::Aaa,
        M::Aas,
        M::Daa,
        M::Das,
        M::Aam,
        M::Aad,
    ],
    &[M::Mov, M::Movzx, M::Movsx, M::Movsxd, M::Lea, M::Nop],
    &[M::Cbw, M::Cwde, M::Cdqe, M::Cwd, M::Cdq, M::Cqo],
    &[M::Xchg, M::Cmpxchg, M::Xadd, M::Cmpxchg8b, M::Cmpxchg16b],
];

impl Forms {
    /// The forms that a mode has.
    pub fn new(bits: u32) -> Self {
        let of = |mnemonics: &[M]| -> Vec<Vec<Code>> {
            mnemonics
                .iter()
                .map(|mnemonic| {
                    Code::values()
                        .filter(|code| code.mnemonic() == *mnemonic && is_usable(*code, bits))
                        .collect::<Vec<_>>()
                })
                .filter(|codes| !codes.is_empty())
                .collect()
        };
        Self {
            general: CLASSES.iter().map(|class| of(class)).collect(),
            vector: Code::values()
                .filter(|code| is_vector(*code) && is_usable(*code, bits))
                .collect(),
            compare: of(&[M::Cmp, M::Test]),
            define: of(&[M::Cmp, M::Add, M::Sub, M::Neg]),
            conditional: Code::values()
                .filter(|code| is_conditional(*code, bits))
                .collect(),
            stack: of(&[M::Push, M::Pop]),
        }
    }
}

fn is_vector(code: Code) -> bool {
    let features = code.cpuid_features();
    // Approximations are each design's own; MASKMOVDQU stores to an address of its own; LDMXCSR
    // refuses most of what it may find.
    !matches!(
        code.mnemonic(),
        M::Rcpps | M::Rcpss | M::Rsqrtps | M::Rsqrtss | M::Maskmovdqu | M::Ldmxcsr
    ) && features.iter().all(|feature| {
        matches!(
            feature,
            F::SSE | F::SSE2 | F::SSE3 | F::SSSE3 | F::SSE4_1 | F::SSE4_2
        )
    })
}

fn is_conditional(code: Code, bits: u32) -> bool {
    let kind = code.op_code().op_kinds().first();
    let fits = match bits {
        64 => matches!(kind, Some(Kind::br64_1 | Kind::br64_4)),
        _ => matches!(kind, Some(Kind::br32_1 | Kind::br32_4)),
    };
    fits && exists(code, bits) && code.flow_control() == FlowControl::ConditionalBranch
}

fn exists(code: Code, bits: u32) -> bool {
    let op = code.op_code();
    op.is_instruction()
        && op.encoding() == EncodingKind::Legacy
        && if bits == 64 {
            op.mode64() && op.intel_decoder64()
        } else {
            op.mode32() && op.intel_decoder32()
        }
}

/// Whether the generator can make the form's operands, and the form has one meaning on all
/// processors.
fn is_usable(code: Code, bits: u32) -> bool {
    use Kind as K;
    // A double shift of 16 bits by more has no defined result, nor has BSWAP of 16 bits.
    let undefined = matches!(
        code,
        Code::Shld_rm16_r16_imm8
            | Code::Shrd_rm16_r16_imm8
            | Code::Shld_rm16_r16_CL
            | Code::Shrd_rm16_r16_CL
            | Code::Bswap_r16
    );
    exists(code, bits)
        && !undefined
        && code.op_code().op_kinds().iter().all(|kind| {
            matches!(
                kind,
                K::r8_or_mem
                    | K::r16_or_mem
                    | K::r32_or_mem
                    | K::r64_or_mem
                    | K::xmm_or_mem
                    | K::mem
                    | K::mem_offs
                    | K::r8_reg
                    | K::r8_opcode
                    | K::r16_reg
                    | K::r16_rm
                    | K::r16_opcode
                    | K::r32_reg
                    | K::r32_rm
                    | K::r32_opcode
                    | K::r64_reg
                    | K::r64_rm
                    | K::r64_opcode
                    | K::xmm_reg
                    | K::xmm_rm
                    | K::al
                    | K::cl
                    | K::ax
                    | K::eax
                    | K::rax
                    | K::imm8
                    | K::imm8_const_1
                    | K::imm8sex16
                    | K::imm8sex32
                    | K::imm8sex64
                    | K::imm16
                    | K::imm32
                    | K::imm32sex64
                    | K::imm64
            )
        })
}
