//! Random programs with loops, calls and branches of all kinds.

use iced_x86::code_asm::*;
use iced_x86::{
    Code, CodeSize, EncodingKind, Instruction, Mnemonic, OpCodeOperandKind as Kind, OpKind,
    Register,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::harness::layout::*;
use crate::harness::{Machine, reg, seg};
use crate::modes;

/// Where the program's functions are, each in a page of its own, and how many there are.
const FUNCTIONS: u64 = FREE;
const COUNT: u64 = 4;

/// How often the loop is executed; more than it takes until something is compiled.
const ROUNDS: u32 = 28;

/// The instructions' registers: neither RSP nor R15, which counts, nor R14, which points to memory.
const REGISTERS: [u8; 9] = [0, 1, 2, 3, 6, 7, 8, 9, 13];

/// Whether programs have instructions of this kind, conditional ones apart.
fn wanted(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Mov | Movzx
            | Movsx
            | Movsxd
            | Lea
            | Add
            | Sub
            | Cmp
            | And
            | Test
            | Or
            | Xor
            | Adc
            | Sbb
            | Inc
            | Dec
            | Neg
            | Not
            | Shl
            | Shr
            | Sar
            | Rol
            | Ror
            | Rcl
            | Rcr
            | Imul
            | Mul
            | Div
            | Idiv
            | Shld
            | Shrd
            | Bsf
            | Bsr
            | Tzcnt
            | Lzcnt
            | Cld
            | Bt
            | Bts
            | Btr
            | Cmpxchg
            | Cmpxchg16b
            | Xadd
            | Xchg
            | Bswap
            | Cbw
            | Cwde
            | Cdqe
            | Cwd
            | Cdq
            | Cqo
            | Clc
            | Stc
            | Cmc
            | Lahf
            | Sahf
            | Nop
            | Cli
            | Sti
            | Movups
            | Movaps
            | Movdqu
            | Movdqa
            | Movapd
            | Movupd
            | Xorps
            | Xorpd
            | Pxor
            | Pand
            | Andps
            | Por
            | Orps
            | Pcmpeqb
            | Punpcklqdq
    ) || wanted_sse(mnemonic)
}

fn wanted_sse(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Movq | Movd
            | Movss
            | Movsd
            | Movlps
            | Movhps
            | Movlpd
            | Movhpd
            | Pinsrw
            | Pinsrd
            | Pinsrq
            | Pmovmskb
            | Andnps
            | Pandn
            | Pcmpeqw
            | Pcmpeqd
            | Pcmpgtb
            | Pcmpgtd
            | Punpcklbw
            | Punpcklwd
            | Punpckldq
            | Punpckhbw
            | Punpckhqdq
            | Paddb
            | Paddd
            | Paddq
            | Psubw
            | Psubq
            | Pminub
            | Pmaxub
            | Pmuludq
            | Pshufd
            | Psllw
            | Pslld
            | Psrlq
            | Psrad
            | Pslldq
            | Psrldq
    )
}

/// Forms that a program can have anywhere.
fn is_usable(code: Code) -> bool {
    let info = code.op_code();
    info.encoding() == EncodingKind::Legacy
        && info.is_instruction()
        && info.mode64()
        && info.address_size() == 0
        && info.op0_kind() != Kind::seg_reg
}

/// Forms of integer instructions and of common SSE instructions.
pub fn forms() -> Vec<Code> {
    Code::values()
        .filter(|code| {
            let mnemonic = code.mnemonic();
            let conditional = code.condition_code() != iced_x86::ConditionCode::None;
            is_usable(*code)
                && (wanted(mnemonic) || conditional && !code.is_jcc_short_or_near())
                && code
                    .op_code()
                    .op_kinds()
                    .iter()
                    .all(|kind| supported(*kind))
        })
        .collect()
}

/// Forms of any instructions that there are operands for, also in the registers of x87 and MMX.
pub fn forms_of(wanted: impl Fn(Code) -> bool) -> Vec<Code> {
    let known = |kind: &Kind| supported(*kind) || stacked(*kind).is_some();
    Code::values()
        .filter(|code| is_usable(*code) && wanted(*code))
        .filter(|code| code.op_code().op_kinds().iter().all(known))
        .collect()
}

/// The first of the registers of x87 or MMX that an operand may be, how many there are, and whether it may be
/// memory.
fn stacked(kind: Kind) -> Option<(Register, u32, bool)> {
    Some(match kind {
        Kind::st0 => (Register::ST0, 1, false),
        Kind::sti_opcode => (Register::ST0, 8, false),
        Kind::mm_reg | Kind::mm_rm => (Register::MM0, 8, false),
        Kind::mm_or_mem => (Register::MM0, 8, true),
        _ => return None,
    })
}

fn supported(kind: Kind) -> bool {
    general(kind).is_some()
        || immediate(kind).is_some()
        || is_vector(kind)
        || matches!(kind, Kind::mem | Kind::seg_reg)
        || matches!(kind, Kind::cl | Kind::al | Kind::ax | Kind::eax | Kind::rax)
}

fn is_vector(kind: Kind) -> bool {
    matches!(kind, Kind::xmm_or_mem | Kind::xmm_reg | Kind::xmm_rm)
}

/// The size of a general register, and whether it may be memory.
fn general(kind: Kind) -> Option<(u8, bool)> {
    Some(match kind {
        Kind::r8_or_mem => (1, true),
        Kind::r16_or_mem => (2, true),
        Kind::r32_or_mem => (4, true),
        Kind::r64_or_mem => (8, true),
        Kind::r8_reg | Kind::r8_opcode => (1, false),
        Kind::r16_reg | Kind::r16_rm | Kind::r16_opcode => (2, false),
        Kind::r32_reg | Kind::r32_rm | Kind::r32_opcode => (4, false),
        Kind::r64_reg | Kind::r64_rm | Kind::r64_opcode => (8, false),
        _ => return None,
    })
}

fn immediate(kind: Kind) -> Option<OpKind> {
    Some(match kind {
        Kind::imm8 => OpKind::Immediate8,
        Kind::imm8sex16 => OpKind::Immediate8to16,
        Kind::imm8sex32 => OpKind::Immediate8to32,
        Kind::imm8sex64 => OpKind::Immediate8to64,
        Kind::imm16 => OpKind::Immediate16,
        Kind::imm32 => OpKind::Immediate32,
        Kind::imm32sex64 => OpKind::Immediate32to64,
        Kind::imm64 => OpKind::Immediate64,
        _ => return None,
    })
}

struct Generator {
    random: ChaCha8Rng,
    forms: Vec<Code>,
}

impl Generator {
    fn below(&mut self, end: u64) -> u64 {
        self.random.next_u64() % end
    }

    fn register(&mut self, size: u8) -> Register {
        let number = u32::from(REGISTERS[self.below(REGISTERS.len() as u64) as usize]);
        let first = match size {
            1 => return self.byte(number),
            2 => Register::AX,
            4 => Register::EAX,
            _ => Register::RAX,
        };
        first + number
    }

    fn byte(&mut self, number: u32) -> Register {
        match number {
            // Without a prefix, some of these numbers are AH to BH.
            0..4 if self.below(4) == 0 => Register::AH + number,
            0..4 => Register::AL + number,
            _ => Register::R8L + number % 8 % 6,
        }
    }

    fn immediate(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(3).wrapping_sub(1),
            1 => 1 << self.below(64),
            2 => self.below(70),
            _ => self.random.next_u64(),
        }
    }

    /// Memory that is RAM mostly, at times of two pages.
    fn memory(&mut self, ins: &mut Instruction) {
        let displacement = match self.below(30) {
            0 => 0xffc,
            1 => 0x20_0000,
            n => n * 16 + self.below(2) * self.below(16),
        };
        ins.set_memory_base(Register::R14);
        ins.set_memory_displ_size(4);
        ins.set_memory_displacement64(displacement);
        match self.below(6) {
            0 => {
                ins.set_memory_index(Register::R12);
                ins.set_memory_index_scale(1 << self.below(4));
            }
            1 => ins.set_segment_prefix(Register::FS),
            2 => ins.set_memory_base(Register::R14D),
            _ => {}
        }
    }

    /// An instruction of a random form, or none if the operands do not fit together.
    fn instruction(&mut self) -> Instruction {
        loop {
            let index = self.below(self.forms.len() as u64) as usize;
            let code = self.forms[index];
            // Faults are dear.
            if matches!(code.mnemonic(), Mnemonic::Div | Mnemonic::Idiv) && self.below(4) != 0 {
                continue;
            }
            let ins = self.operands(code);
            let mut encoder = iced_x86::Encoder::new(64);
            if encoder.encode(&ins, CODE).is_ok() {
                return ins;
            }
        }
    }

    fn operands(&mut self, code: Code) -> Instruction {
        let mut ins = Instruction::default();
        ins.set_code(code);
        ins.set_code_size(CodeSize::Code64);
        let any_memory = self.below(5) < 2;
        for (n, kind) in (0..).zip(code.op_code().op_kinds()) {
            if let Some(kind) = immediate(*kind) {
                ins.set_op_kind(n, kind);
                let value = self.immediate();
                match kind {
                    OpKind::Immediate64 => ins.set_immediate64(value),
                    OpKind::Immediate32 | OpKind::Immediate32to64 => {
                        ins.set_immediate32(value as u32);
                    }
                    OpKind::Immediate16 => ins.set_immediate16(value as u16),
                    _ => ins.set_immediate8(value as u8),
                }
                continue;
            }
            let may_be_memory = matches!(kind, Kind::xmm_or_mem | Kind::mem)
                || general(*kind).is_some_and(|(_, memory)| memory)
                || stacked(*kind).is_some_and(|(.., memory)| memory);
            if *kind == Kind::mem || may_be_memory && any_memory {
                ins.set_op_kind(n, OpKind::Memory);
                self.memory(&mut ins);
                continue;
            }
            let register = match *kind {
                Kind::cl => Register::CL,
                Kind::al => Register::AL,
                Kind::ax => Register::AX,
                Kind::eax => Register::EAX,
                Kind::rax => Register::RAX,
                Kind::seg_reg => Register::ES + self.below(6) as u32,
                kind if stacked(kind).is_some() => {
                    let (first, count, _) = stacked(kind).expect("it was just seen");
                    first + self.below(count.into()) as u32
                }
                kind if is_vector(kind) => Register::XMM0 + self.below(4) as u32,
                kind => self.register(general(kind).map_or(8, |(size, _)| size)),
            };
            ins.set_op_kind(n, OpKind::Register);
            ins.set_op_register(n, register);
        }
        let locked = code.op_code().can_use_lock_prefix()
            && ins.op0_kind() == OpKind::Memory
            && self.below(3) == 0;
        ins.set_has_lock_prefix(locked);
        ins
    }

    /// A few instructions that fall through.
    fn straight(&mut self, a: &mut CodeAssembler) -> Result<(), iced_x86::IcedError> {
        for _ in 0..1 + self.below(6) {
            match self.below(24) {
                0 => {
                    let register = [rax, rbx, rsi, r9][self.below(4) as usize];
                    a.push(register)?;
                    a.pop(rdx)?;
                }
                1 => {
                    a.pushfq()?;
                    a.pop(r8)?;
                }
                2 => {
                    a.push(rbp)?;
                    a.mov(rbp, rsp)?;
                    a.push(0x1234)?;
                    a.push(qword_ptr(r14 + 64))?;
                    a.leave()?;
                }
                _ => {
                    let ins = self.instruction();
                    a.add_instruction(ins)?;
                }
            }
        }
        Ok(())
    }

    /// A branch on condition `code`.
    fn branch(a: &mut CodeAssembler, code: u64, to: CodeLabel) -> Result<(), iced_x86::IcedError> {
        match code {
            0 => a.jo(to),
            1 => a.jno(to),
            2 => a.jb(to),
            3 => a.jae(to),
            4 => a.je(to),
            5 => a.jne(to),
            6 => a.jbe(to),
            7 => a.ja(to),
            8 => a.js(to),
            9 => a.jns(to),
            10 => a.jp(to),
            11 => a.jnp(to),
            12 => a.jl(to),
            13 => a.jge(to),
            14 => a.jle(to),
            _ => a.jg(to),
        }
    }

    /// Branches forward over pieces of code, calls functions behind `callees`.
    fn body(
        &mut self,
        a: &mut CodeAssembler,
        pieces: u64,
        callees: std::ops::Range<u64>,
    ) -> Result<(), iced_x86::IcedError> {
        for _ in 0..pieces {
            let mut skip = a.create_label();
            self.straight(a)?;
            match self.below(8) {
                0 => a.jmp(skip)?,
                1 => {
                    a.lea(r10, ptr(skip))?;
                    a.jmp(r10)?;
                }
                2 | 3 if !callees.is_empty() => {
                    let callee = function(callees.start + self.below(callees.end - callees.start));
                    if self.below(2) == 0 {
                        a.call(callee)?;
                    } else {
                        a.mov(r10, callee)?;
                        a.mov(qword_ptr(r14 + 0x800), r10)?;
                        a.call(qword_ptr(r14 + 0x800))?;
                    }
                }
                _ => {
                    let code = self.below(16);
                    Self::branch(a, code, skip)?;
                }
            }
            self.straight(a)?;
            a.set_label(&mut skip)?;
            a.nop()?;
        }
        Ok(())
    }
}

fn function(n: u64) -> u64 {
    FUNCTIONS + n * 0x1000 + 0x100 * n
}

/// A machine with the program of a seed.
pub fn machine(seed: u64, forms: &[Code]) -> Machine {
    let mut g = Generator {
        random: ChaCha8Rng::seed_from_u64(seed),
        forms: forms.to_vec(),
    };
    let mut m = Machine::new();
    // Across the end of a page.
    m.load(CODE + 0xe80, 64, |a| {
        modes::repeat(a, ROUNDS, |a| {
            a.mov(r14d, DATA as u32)?;
            g.body(a, 8, 0..COUNT)
        })
    });
    for n in 0..COUNT {
        m.place(function(n), 64, |a| {
            g.body(a, 2, n + 1..COUNT)?;
            a.ret()
        });
    }
    m.change(|state| {
        for index in REGISTERS {
            state.gpr[usize::from(index)] = g.random.next_u64();
        }
        state.gpr[reg::RSP] = STACK;
        state.gpr[12] = 24;
        state.segments[seg::FS].base = 0x208;
        state.xmm[..4].fill([g.random.next_u64(), g.random.next_u64()]);
    });
    m
}
