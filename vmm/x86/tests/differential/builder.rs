//! Makes one concrete case of an instruction form: registers, immediates, prefixes, memory.

use iced_x86::{
    Code, Decoder, DecoderOptions, Encoder, FlowControl, Instruction, Mnemonic, OpCodeInfo,
    OpCodeOperandKind as Kind, OpKind, Register,
};

use crate::layout::{
    CODE, CODE_SIZE, PAGE, RESERVE_END, RESERVE_START, USER_CS, USER_CS32, USER_SS, WINDOW,
    WINDOW_SIZE,
};
use crate::state::{Case, Fp, Regs, Selectors};
use crate::values::{Gen, Lanes};
use crate::{fixups, operands};

/// RAX, RCX, RDX, RBX, RSP, RBP, RSI and RDI as indices into [`Regs::gpr`].
pub const RAX: usize = 0;
/// See [`RAX`].
pub const RCX: usize = 1;
/// See [`RAX`].
pub const RDX: usize = 2;
/// See [`RAX`].
pub const RBX: usize = 3;
/// See [`RAX`].
pub const RSP: usize = 4;
/// See [`RAX`].
pub const RBP: usize = 5;
/// See [`RAX`].
pub const RSI: usize = 6;
/// See [`RAX`].
pub const RDI: usize = 7;

/// The status flags and DF, the flags that a case starts with at random.
const RANDOM_FLAGS: u64 = 0xcd5;
const TRAP_FLAG: u64 = 1 << 8;
const ALIGNMENT_CHECK: u64 = 1 << 18;
const ID_FLAG: u64 = 1 << 21;

/// A case while it is being made.
pub struct Builder {
    /// Where every choice comes from.
    pub random: Gen,
    /// The form.
    pub op: &'static OpCodeInfo,
    /// 64, or 32 for compatibility mode.
    pub bits: u32,
    /// The instruction so far.
    pub instruction: Instruction,
    /// The registers so far.
    pub regs: Regs,
    /// The changes to the data window so far.
    pub patches: Vec<(u64, Vec<u8>)>,
    /// A set bit for each general register whose value must not become an address.
    pub pinned: u32,
}

/// Makes case `index` of `form`, or `None` if no encoding of the form was found, which means that
/// the generator doesn't know how to make one.
pub fn generate(form: Code, seed: u64, index: u64) -> Option<Case> {
    let op = form.op_code();
    let bits = mode_of(op);
    let mut random = Gen::new(seed, 16 + form as u64, index);
    for _ in 0..64 {
        let mut builder = Builder {
            regs: random_regs(&mut random, bits, lanes_of(form)),
            random,
            op,
            bits,
            instruction: Instruction::default(),
            patches: Vec::new(),
            pinned: 0,
        };
        if let Some(bytes) = builder.attempt() {
            let Builder { regs, patches, .. } = builder;
            return Some(Case {
                form,
                bits,
                bytes,
                regs,
                patches,
            });
        }
        random = builder.random;
    }
    None
}

/// The mode to test a form in: 64-bit mode if it exists there on an Intel processor.
fn mode_of(op: &OpCodeInfo) -> u32 {
    if op.mode64() && op.intel_decoder64() {
        64
    } else {
        32
    }
}

impl Builder {
    fn attempt(&mut self) -> Option<Vec<u8>> {
        self.instruction.set_code(self.op.code());
        let kinds = self.op.op_kinds();
        let memory = self.choose_memory();
        for (i, kind) in kinds.iter().enumerate() {
            if memory != Some(i) {
                operands::set(self, i as u32, *kind)?;
            }
        }
        fixups::before_memory(self, memory.is_some());
        if let Some(i) = memory {
            operands::set_memory(self, i as u32, kinds[i] == Kind::mem_offs)?;
        }
        self.choose_prefixes(memory == Some(0));
        let mut encoder = Encoder::new(self.bits);
        encoder.encode(&self.instruction, self.regs.rip).ok()?;
        let bytes = self.add_redundant_prefixes(encoder.take_buffer());
        self.instruction = decode(&bytes, self.regs.rip, self.bits);
        if self.instruction.code() != self.op.code()
            || self.instruction.len() != bytes.len()
            || !self.is_safe()
        {
            return None;
        }
        fixups::after_encoding(self)?;
        self.is_safe().then_some(bytes)
    }

    /// The index of the operand that will be in memory, if one will be.
    fn choose_memory(&mut self) -> Option<usize> {
        let kinds = self.op.op_kinds();
        let always = kinds.iter().position(|kind| {
            matches!(
                kind,
                Kind::mem | Kind::mem_offs | Kind::mem_mpx | Kind::mem_mib | Kind::sibmem
            )
        });
        let either = kinds.iter().position(|kind| {
            matches!(
                kind,
                Kind::r8_or_mem
                    | Kind::r16_or_mem
                    | Kind::r32_or_mem
                    | Kind::r64_or_mem
                    | Kind::mm_or_mem
                    | Kind::xmm_or_mem
            )
        });
        always.or_else(|| either.filter(|_| self.random.chance(50)))
    }

    fn choose_prefixes(&mut self, memory_destination: bool) {
        if memory_destination && self.op.can_use_lock_prefix() && self.random.chance(25) {
            self.instruction.set_has_lock_prefix(true);
        }
        if self.op.can_use_rep_prefix() && is_string(self.op) && self.random.chance(40) {
            self.instruction.set_has_rep_prefix(true);
        } else if self.op.can_use_repne_prefix() && is_string(self.op) && self.random.chance(50) {
            self.instruction.set_has_repne_prefix(true);
        }
    }

    /// Adds prefixes that don't change what the instruction is. Whether they really don't is left
    /// to the decoder, which looks at the result.
    fn add_redundant_prefixes(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let branch = !matches!(self.op.code().flow_control(), FlowControl::Next);
        if self.random.chance(8) {
            let choices: &[u8] = if branch {
                &[0x2e, 0x3e, 0x36]
            } else {
                &[0x2e, 0x3e, 0x36, 0x26, 0x66]
            };
            bytes.insert(0, self.random.pick(choices));
        }
        // With REX.B, vendors disagree whether F3 90 is PAUSE or an exchange.
        if self.bits == 64 && self.op.mnemonic() != Mnemonic::Pause && self.random.chance(8) {
            let legacy = bytes
                .iter()
                .take_while(|byte| is_legacy_prefix(**byte))
                .count();
            if bytes.get(legacy).is_some_and(|byte| byte & 0xf0 != 0x40) {
                let rex = 0x40 | (self.random.bits() as u8 & 0xf);
                bytes.insert(legacy, rex);
            }
        }
        bytes
    }

    /// Whether every explicit memory operand stays where nothing of the host can be hit, and the
    /// instruction does not branch to itself for ever.
    fn is_safe(&self) -> bool {
        let branch = self.instruction.near_branch_target();
        if branch != 0 && self.outside_instruction(branch) != branch {
            return false;
        }
        (0..self.instruction.op_count()).all(|i| match self.address(i) {
            Some(address) => {
                (RESERVE_START + PAGE * 16..RESERVE_END).contains(&address)
                    || !is_canonical(address)
            }
            None => true,
        })
    }

    /// The linear address of operand `i`, if it is in memory.
    pub fn address(&self, i: u32) -> Option<u64> {
        use OpKind as K;
        match self.instruction.op_kind(i) {
            K::Memory if self.op.mnemonic() == Mnemonic::Lea || self.op.is_nop() => None,
            K::Memory
            | K::MemorySegSI
            | K::MemorySegESI
            | K::MemorySegRSI
            | K::MemorySegDI
            | K::MemorySegEDI
            | K::MemorySegRDI
            | K::MemoryESDI
            | K::MemoryESEDI
            | K::MemoryESRDI => self
                .instruction
                .virtual_address(i, 0, |register, _, _| self.register(register)),
            _ => None,
        }
    }

    /// The value of a register as address calculations use it: a segment's is its base.
    fn register(&self, register: Register) -> Option<u64> {
        match register {
            Register::FS => Some(self.regs.fs_base),
            Register::GS => Some(self.regs.gs_base),
            Register::ES | Register::CS | Register::SS | Register::DS => Some(0),
            _ if register.is_gpr() => {
                let value = self.regs.gpr[register.full_register().number()];
                let shift = if matches!(
                    register,
                    Register::AH | Register::BH | Register::CH | Register::DH
                ) {
                    8
                } else {
                    0
                };
                Some((value >> shift) & (u64::MAX >> (64 - 8 * register.size())))
            }
            _ => None,
        }
    }

    /// An address at which `size` bytes are accessed: mostly inside the window, sometimes where
    /// the access must fault.
    pub fn target(&mut self, size: u64, aligned: bool) -> u64 {
        let size = size.max(1);
        let end = WINDOW + WINDOW_SIZE;
        let random = &mut self.random;
        match random.below(40) {
            0 => end - random.below(size),
            1 => WINDOW - 1 - random.below(size),
            2 => READ_ONLY_PAGE + random.below(PAGE - size),
            3 if self.bits == 64 => {
                random.pick(&[0x8000_0000_0000, 1 << 63, 0xffff_7fff_ffff_f000])
                    + random.below(48) * 64
            }
            4..=7 => WINDOW + PAGE - random.below(size),
            8..=12 if !aligned || random.chance(20) => WINDOW + random.below(WINDOW_SIZE - size),
            _ => {
                (WINDOW + random.below(WINDOW_SIZE - size))
                    & !(size.next_power_of_two().min(64) - 1)
            }
        }
    }

    /// Puts `bytes` at `address`, as far as that is in the data window.
    pub fn patch(&mut self, address: u64, bytes: &[u8]) {
        self.patches.push((address, bytes.to_vec()));
    }

    /// A place to jump to: mostly an INT3 in the code, sometimes a page that can't be executed.
    pub fn code_target(&mut self) -> u64 {
        if self.random.chance(6) {
            return self.random.pick(&[
                WINDOW + 0x123,
                CODE + CODE_SIZE,
                CODE + CODE_SIZE + 77,
                READ_ONLY_PAGE,
            ]);
        }
        let target = CODE + self.random.below(CODE_SIZE);
        self.outside_instruction(target)
    }

    /// Moves a branch target off the instruction itself, which would never end.
    pub fn outside_instruction(&self, target: u64) -> u64 {
        if (self.regs.rip..self.regs.rip + 16).contains(&target) {
            self.regs.rip + 16
        } else {
            target
        }
    }
}

const READ_ONLY_PAGE: u64 = crate::layout::READ_ONLY;

/// Whether a 48-bit linear address is canonical.
pub fn is_canonical(address: u64) -> bool {
    (address << 16) as i64 >> 16 == address as i64
}

/// Decodes the one instruction of `bytes`.
pub fn decode(bytes: &[u8], rip: u64, bits: u32) -> Instruction {
    Decoder::with_ip(bits, bytes, rip, DecoderOptions::NONE).decode()
}

/// The linear address of an explicit memory operand of a case's instruction.
pub fn memory_address(case: &Case, instruction: &Instruction) -> Option<u64> {
    let operand =
        (0..instruction.op_count()).find(|i| instruction.op_kind(*i) == OpKind::Memory)?;
    let regs = &case.regs;
    instruction.virtual_address(operand, 0, |register, _, _| match register {
        Register::FS => Some(regs.fs_base),
        Register::GS => Some(regs.gs_base),
        _ if register.is_segment_register() => Some(0),
        _ => Some(
            regs.gpr[register.full_register().number()] & (u64::MAX >> (64 - 8 * register.size())),
        ),
    })
}

fn is_legacy_prefix(byte: u8) -> bool {
    matches!(
        byte,
        0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x66 | 0x67 | 0xf0 | 0xf2 | 0xf3
    )
}

/// Whether the instruction is a string instruction, which REP can repeat.
pub fn is_string(op: &OpCodeInfo) -> bool {
    !matches!(op.mnemonic(), Mnemonic::Maskmovq | Mnemonic::Maskmovdqu)
        && op
            .op_kinds()
            .iter()
            .any(|kind| matches!(kind, Kind::seg_rSI | Kind::es_rDI))
}

/// The lanes that an instruction's vector operands probably have.
fn lanes_of(form: Code) -> Option<Lanes> {
    use iced_x86::MemorySize as S;
    match form.op_code().memory_size().element_type() {
        S::Float32 => Some(Lanes::F32),
        S::Float64 => Some(Lanes::F64),
        S::UInt8 | S::Int8 => Some(Lanes::Int(8)),
        S::UInt16 | S::Int16 => Some(Lanes::Int(16)),
        S::UInt32 | S::Int32 => Some(Lanes::Int(32)),
        S::UInt64 | S::Int64 => Some(Lanes::Int(64)),
        _ => None,
    }
}

/// Registers to start from, with vectors whose lanes are mostly of the kind `likely`.
pub fn random_regs(random: &mut Gen, bits: u32, likely: Option<Lanes>) -> Regs {
    let mut gpr: [u64; 16] = std::array::from_fn(|_| random.gpr());
    if bits == 32 {
        gpr[..8].iter_mut().for_each(|value| *value &= 0xffff_ffff);
    }
    gpr[RSP] = stack_pointer(random);
    let selectors = Selectors {
        es: if bits == 32 { USER_SS } else { 0 },
        ds: if bits == 32 { USER_SS } else { 0 },
        fs: 0,
        gs: 0,
        cs: if bits == 32 { USER_CS32 } else { USER_CS },
        ss: USER_SS,
    };
    Regs {
        gpr,
        rip: code_start(random),
        rflags: random_flags(random),
        fs_base: WINDOW + random.below(WINDOW_SIZE),
        gs_base: WINDOW + random.below(WINDOW_SIZE),
        selectors,
        fp: random_fp(random, likely),
    }
}

fn stack_pointer(random: &mut Gen) -> u64 {
    let end = WINDOW + WINDOW_SIZE;
    match random.below(30) {
        0 => WINDOW + random.below(16),
        1 => end - random.below(16),
        2 => WINDOW + PAGE + random.below(8),
        3 => WINDOW + 0x800 + random.below(0x1000),
        _ => (WINDOW + 0x800 + random.below(0x1000)) & !7,
    }
}

fn code_start(random: &mut Gen) -> u64 {
    match random.below(30) {
        0 | 1 => CODE + PAGE - 1 - random.below(14),
        2 => CODE + CODE_SIZE - 1 - random.below(14),
        _ => CODE + random.below(CODE_SIZE - 32),
    }
}

fn random_flags(random: &mut Gen) -> u64 {
    let mut flags = 0x202 | random.bits() & RANDOM_FLAGS;
    if random.chance(60) {
        flags &= !(1 << 10);
    }
    if random.chance(5) {
        flags |= TRAP_FLAG;
    }
    if random.chance(2) {
        flags |= ALIGNMENT_CHECK;
    }
    if random.chance(10) {
        flags |= ID_FLAG;
    }
    flags
}

fn random_fp(random: &mut Gen, likely: Option<Lanes>) -> Fp {
    let mut xmm: [[u64; 2]; 16] = std::array::from_fn(|_| {
        let lanes = random.lanes(likely);
        random.vector(lanes)
    });
    if random.chance(10) {
        let value = random.pick(&xmm);
        xmm[..8].fill(value);
    }
    let control = control_word(random);
    let (tags, st) = random_stack(random);
    Fp {
        control,
        status: status_word(random, control),
        tags,
        st,
        mxcsr: mxcsr(random),
        xmm,
    }
}

fn random_stack(random: &mut Gen) -> (u8, [(u64, u16); 8]) {
    let tags = match random.below(10) {
        0 => 0,
        1 | 2 => random.bits() as u8,
        3 => !(1 << random.below(8)),
        _ => 0xff,
    };
    (tags, std::array::from_fn(|_| random.f80()))
}

/// An x87 control word that does not use the reserved precision.
pub fn control_word(random: &mut Gen) -> u16 {
    let precision = random.pick(&[3, 3, 3, 3, 0, 2]) << 8;
    let rounding = if random.chance(60) {
        0
    } else {
        random.below(4) as u16
    } << 10;
    let masks = if random.chance(85) {
        0x3f
    } else {
        random.bits() as u16 & 0x3f
    };
    precision | rounding | masks | 0x40
}

/// A status word whose summary bits agree with `control`. An exception is rarely pending.
pub fn status_word(random: &mut Gen, control: u16) -> u16 {
    let mut status = random.bits() as u16 & 0x7f7f;
    if random.chance(60) {
        status &= !0x7f;
    } else if random.chance(90) {
        status &= control | !0x3f;
    }
    if status & !control & 0x3f != 0 {
        status | 0x8080
    } else {
        status
    }
}

/// An MXCSR that loads without a fault.
pub fn mxcsr(random: &mut Gen) -> u32 {
    let mut value = 0x1f80;
    if random.chance(30) {
        value |= random.bits() as u32 & 0x3f;
    }
    if random.chance(40) {
        value |= random.bits() as u32 & 0x6000;
    }
    if random.chance(15) {
        value |= 0x8000;
    }
    if random.chance(15) {
        value |= 0x40;
    }
    if random.chance(15) {
        value &= !0x1f80 | random.bits() as u32;
    }
    value
}
