//! Makes random programs that end: straight lines, forward branches, short counted loops and calls
//! of local procedures.

use iced_x86::{Code, Instruction, Mnemonic as M, OpCodeOperandKind as Kind, OpKind, Register};

use super::forms::Forms;
use super::program::{END, Item, Program};
use crate::builder::{self, RSP};
use crate::layout::{CODE, CODE_SIZE, PAGE, READ_ONLY, WINDOW, WINDOW_SIZE};
use crate::state::Regs;
use crate::values::Gen;

/// Where most data lies: the first page of the window and the beginning of the second.
const DATA: u64 = WINDOW + 0x40;
const DATA_SIZE: u64 = PAGE;
/// Where the stack pointer starts, above all data and with room on both sides.
const STACK: u64 = WINDOW + 0x1900;

/// Where the generator is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Whether the stack may be used: not within a procedure, which has its return address there.
    stack: bool,
    /// Whether loops and procedures may start here.
    nests: bool,
    /// The label behind the current run of instructions.
    end: u32,
}

/// Instructions that belong together, and the branch among them that skips the following groups.
struct Group {
    items: Vec<Item>,
    /// The position of the branch, and how many groups it skips.
    skip: Option<(usize, usize)>,
}

/// A program while it is being made.
pub struct Generator<'a> {
    random: &'a mut Gen,
    forms: &'a Forms,
    bits: u32,
    regs: Regs,
    /// Registers that keep an address in the window.
    pointers: Vec<usize>,
    /// A register that keeps a small number.
    index: usize,
    /// The register that loops count with.
    counter: usize,
    next_id: u32,
}

/// Makes a program.
pub fn generate(random: &mut Gen, forms: &Forms, bits: u32) -> Program {
    let mut regs = builder::random_regs(random, bits, None);
    let (pointers, index, counter) = choose_roles(random, bits);
    // Neither single steps nor alignment checks, which the tests of instructions have.
    regs.rflags &= !(1 << 8 | 1 << 18);
    for to in 0..16 {
        if random.chance(15) {
            regs.gpr[to] = regs.gpr[random.below(8) as usize];
        }
    }
    for pointer in &pointers {
        regs.gpr[*pointer] = DATA + random.below(DATA_SIZE);
    }
    regs.gpr[index] = random.below(64);
    regs.gpr[RSP] = STACK
        + random.below(32) * 8
        + if random.chance(10) {
            random.below(8)
        } else {
            0
        };
    let mut generator = Generator {
        random,
        forms,
        bits,
        regs,
        pointers,
        index,
        counter,
        next_id: 0,
    };
    let count = 2 + generator.random.below(15) as usize;
    let top = Place {
        stack: true,
        nests: true,
        end: END,
    };
    let items = generator.run_of(count, top);
    let size = 15 * items.len() as u64 + 64;
    let mut regs = generator.regs;
    regs.rip = match random.below(8) {
        0 => CODE + PAGE - random.below(size.min(100)),
        _ => CODE + random.below(CODE_SIZE - size),
    };
    Program { bits, regs, items }
}

fn choose_roles(random: &mut Gen, bits: u32) -> (Vec<usize>, usize, usize) {
    let mut free: Vec<usize> = if bits == 64 {
        vec![3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    } else {
        vec![3, 5, 6, 7]
    };
    let mut take = || free.swap_remove(random.below(free.len() as u64) as usize);
    let (index, counter) = (take(), take());
    let pointers = (0..if bits == 64 { 3 } else { 1 })
        .map(|_| take())
        .collect();
    (pointers, index, counter)
}

impl Generator<'_> {
    fn run_of(&mut self, count: usize, place: Place) -> Vec<Item> {
        let mut groups: Vec<Group> = (0..count).map(|_| self.group(place)).collect();
        let labels: Vec<u32> = groups.iter().map(|group| group.items[0].id).collect();
        for (position, group) in groups.iter_mut().enumerate() {
            if let Some((branch, skip)) = group.skip {
                let target = labels.get(position + 1 + skip).copied();
                group.items[branch].target = Some(target.unwrap_or(place.end));
            }
        }
        groups.into_iter().flat_map(|group| group.items).collect()
    }

    fn group(&mut self, place: Place) -> Group {
        match self.random.below(100) {
            0..20 => self.branch(true),
            20..28 => self.branch(false),
            28..30 => {
                let jump = if self.bits == 64 {
                    [Code::Jmp_rel8_64, Code::Jmp_rel32_64]
                } else {
                    [Code::Jmp_rel8_32, Code::Jmp_rel32_32]
                };
                let code = self.random.pick(&jump);
                let items = vec![self.branch_item(code, END)];
                let skip = self.random.below(4) as usize;
                Group {
                    items,
                    skip: Some((0, skip)),
                }
            }
            30..36 if place.nests => self.counted_loop(place),
            36..41 if place.nests => self.procedure(),
            41..50 if place.stack => self.stack_user(),
            50..64 => {
                let code = self.random.pick(&self.forms.vector);
                self.single(&[vec![code]])
            }
            _ => {
                let forms = self.forms;
                let class = self.random.below(forms.general.len() as u64) as usize;
                self.single(&forms.general[class])
            }
        }
    }

    /// An instruction that one of the mnemonics' forms makes.
    fn single(&mut self, forms: &[Vec<Code>]) -> Group {
        let instruction = self.one_of(forms);
        Group {
            items: vec![self.item(instruction)],
            skip: None,
        }
    }

    fn one_of(&mut self, forms: &[Vec<Code>]) -> Instruction {
        loop {
            let mnemonic = self.random.below(forms.len() as u64) as usize;
            let code = self.random.pick(&forms[mnemonic]);
            if let Some(instruction) = self.fill(code) {
                return instruction;
            }
        }
    }

    /// An instruction that defines all arithmetic flags.
    pub fn definer(random: &mut Gen, forms: &Forms, program: &Program) -> Instruction {
        // Without memory operands it does not matter which registers hold addresses, as long as
        // none of them is written.
        let mut generator = Generator {
            random,
            forms,
            bits: program.bits,
            regs: program.regs.clone(),
            pointers: vec![],
            index: RSP,
            counter: RSP,
            next_id: 0,
        };
        loop {
            let instruction = generator.one_of(&forms.define);
            let writes_free = instruction.mnemonic() == M::Cmp
                || matches!(instruction.op0_register().full_register().number(), 0..=2);
            if writes_free && (0..2).all(|i| instruction.op_kind(i) != OpKind::Memory) {
                return instruction;
            }
        }
    }

    fn item(&mut self, instruction: Instruction) -> Item {
        self.next_id += 1;
        Item {
            id: self.next_id,
            instruction,
            target: None,
            frame: None,
        }
    }

    fn branch_item(&mut self, code: Code, target: u32) -> Item {
        let mut instruction = Instruction::default();
        instruction.set_code(code);
        let kind = if self.bits == 64 {
            OpKind::NearBranch64
        } else {
            OpKind::NearBranch32
        };
        instruction.set_op_kind(0, kind);
        Item {
            target: Some(target),
            ..self.item(instruction)
        }
    }

    /// A conditional branch forward, mostly behind a comparison.
    fn branch(&mut self, compares: bool) -> Group {
        let forms = self.forms;
        let mut items = Vec::new();
        if compares {
            let mut instruction = self.one_of(&forms.compare);
            if self.random.chance(20) && instruction.op1_kind() == OpKind::Register {
                instruction.set_op0_kind(OpKind::Register);
                instruction.set_op0_register(instruction.op1_register());
            }
            items.push(self.item(instruction));
        }
        let code = self.random.pick(&forms.conditional);
        items.push(self.branch_item(code, END));
        let skip = self.random.below(4) as usize;
        Group {
            skip: Some((items.len() - 1, skip)),
            items,
        }
    }

    fn counted_loop(&mut self, place: Place) -> Group {
        let times = 1 + self.random.below(5) as i32;
        let counter = Register::EAX + self.counter as u32;
        let wide = Register::RAX + self.counter as u32;
        let start = Instruction::with2(Code::Mov_r32_imm32, counter, times).expect("two operands");
        let start = self.item(start);
        let first = start.id;
        let (register, one) = if self.bits == 64 && self.random.chance(50) {
            (wide, [Code::Dec_rm64, Code::Sub_rm64_imm8])
        } else {
            let dec = if self.bits == 32 && self.random.chance(50) {
                Code::Dec_r32
            } else {
                Code::Dec_rm32
            };
            (counter, [dec, Code::Sub_rm32_imm8])
        };
        let step = if self.random.chance(70) {
            Instruction::with1(one[0], register)
        } else {
            Instruction::with2(one[1], register, 1)
        };
        let step = self.item(step.expect("the operands fit"));
        let count = 1 + self.random.below(5) as usize;
        let body = self.run_of(
            count,
            Place {
                nests: false,
                end: step.id,
                ..place
            },
        );
        let back = match (self.bits, self.random.chance(70)) {
            (64, true) => Code::Jne_rel8_64,
            (64, false) => Code::Jne_rel32_64,
            (_, true) => Code::Jne_rel8_32,
            (_, false) => Code::Jne_rel32_32,
        };
        let back = self.branch_item(back, body[0].id);
        let frame = [start, step, back].map(|item| Item {
            frame: Some(first),
            ..item
        });
        let [start, step, back] = frame;
        let mut items = vec![start];
        items.extend(body);
        items.extend([step, back]);
        Group { items, skip: None }
    }

    /// A call of a procedure, which lies right behind it and is jumped over afterwards.
    fn procedure(&mut self) -> Group {
        let (call, jump, ret) = if self.bits == 64 {
            (Code::Call_rel32_64, Code::Jmp_rel8_64, Code::Retnq)
        } else {
            (Code::Call_rel32_32, Code::Jmp_rel8_32, Code::Retnd)
        };
        let ret = if self.random.chance(20) {
            let code = if self.bits == 64 {
                Code::Retnq_imm16
            } else {
                Code::Retnd_imm16
            };
            Instruction::with1(code, 8 * self.random.below(3) as i32).expect("one operand")
        } else {
            Instruction::with(ret)
        };
        let ret = self.item(ret);
        let count = self.random.below(5) as usize;
        let body = self.run_of(
            count,
            Place {
                stack: false,
                nests: false,
                end: ret.id,
            },
        );
        let entry = body.first().map_or(ret.id, |item| item.id);
        let (call, jump) = (self.branch_item(call, entry), self.branch_item(jump, END));
        let first = call.id;
        let frame = [call, jump, ret].map(|item| Item {
            frame: Some(first),
            ..item
        });
        let [call, jump, ret] = frame;
        let mut items = vec![call, jump];
        items.extend(body);
        items.push(ret);
        Group {
            items,
            skip: Some((1, 0)),
        }
    }

    fn stack_user(&mut self) -> Group {
        let forms = self.forms;
        let wide = self.bits == 64;
        match self.random.below(6) {
            0 => self.plain(if wide { Code::Pushfq } else { Code::Pushfd }),
            1 => self.load_flags(),
            2 => {
                let (code, stack) = if wide {
                    (Code::Add_rm64_imm8, Register::RSP)
                } else {
                    (Code::Add_rm32_imm8, Register::ESP)
                };
                let by = self.random.pick(&[-8, 8, -4, 16]);
                let instruction = Instruction::with2(code, stack, by).expect("two operands");
                Group {
                    items: vec![self.item(instruction)],
                    skip: None,
                }
            }
            _ => self.single(&forms.stack),
        }
    }

    fn plain(&mut self, code: Code) -> Group {
        Group {
            items: vec![self.item(Instruction::with(code))],
            skip: None,
        }
    }

    /// Pushes some flags and pops them, all but those that would make a trap of every instruction
    /// or alignment checks.
    fn load_flags(&mut self) -> Group {
        let flags = 2 | self.random.bits() as i32 & 0x20_0ed5;
        let (push, pop) = if self.bits == 64 {
            (Code::Pushq_imm32, Code::Popfq)
        } else {
            (Code::Pushd_imm32, Code::Popfd)
        };
        let push = Instruction::with1(push, flags).expect("one operand");
        let items = vec![self.item(push), self.item(Instruction::with(pop))];
        Group { items, skip: None }
    }

    /// Gives a form operands. `None` if these did not fit together.
    fn fill(&mut self, code: Code) -> Option<Instruction> {
        let op = code.op_code();
        let mut instruction = Instruction::default();
        instruction.set_code(code);
        let registers_only = matches!(op.mnemonic(), M::Bt | M::Bts | M::Btr | M::Btc)
            && !op.op_kinds().contains(&Kind::imm8);
        for (i, kind) in op.op_kinds().iter().enumerate() {
            let i = i as u32;
            let written = i == 0 && !matches!(op.mnemonic(), M::Cmp | M::Test | M::Bt | M::Push)
                || matches!(op.mnemonic(), M::Xchg | M::Xadd);
            let in_memory = !registers_only && self.random.chance(35);
            if let Some(register) = self.register(*kind, written, in_memory) {
                instruction.set_op_kind(i, OpKind::Register);
                instruction.set_op_register(i, register);
            } else if !set_immediate(&mut instruction, i, *kind, self.random) {
                self.set_memory(&mut instruction, i, *kind == Kind::mem_offs);
                if i == 0 && op.can_use_lock_prefix() && self.random.chance(15) {
                    instruction.set_has_lock_prefix(true);
                }
            }
        }
        let mut encoder = iced_x86::Encoder::new(self.bits);
        encoder
            .encode(&instruction, CODE)
            .is_ok()
            .then_some(instruction)
    }

    /// A register for an operand, or `None` if the operand is something else or shall be in memory.
    fn register(&mut self, kind: Kind, written: bool, in_memory: bool) -> Option<Register> {
        use Kind as K;
        let count = if self.bits == 64 { 16 } else { 8 };
        let bytes = if self.bits == 64 { 20 } else { 8 };
        let (first, count) = match kind {
            K::r8_or_mem | K::r16_or_mem | K::r32_or_mem | K::r64_or_mem | K::xmm_or_mem
                if in_memory =>
            {
                return None;
            }
            K::r8_or_mem | K::r8_reg | K::r8_opcode => (Register::AL, bytes),
            K::r16_or_mem | K::r16_reg | K::r16_rm | K::r16_opcode => (Register::AX, count),
            K::r32_or_mem | K::r32_reg | K::r32_rm | K::r32_opcode => (Register::EAX, count),
            K::r64_or_mem | K::r64_reg | K::r64_rm | K::r64_opcode => (Register::RAX, count),
            K::xmm_or_mem | K::xmm_reg | K::xmm_rm => {
                return Some(Register::XMM0 + self.random.below(count) as u32);
            }
            K::al => return Some(Register::AL),
            K::cl => return Some(Register::CL),
            K::ax => return Some(Register::AX),
            K::eax => return Some(Register::EAX),
            K::rax => return Some(Register::RAX),
            _ => return None,
        };
        loop {
            let register = first + self.random.below(count) as u32;
            if !written || !self.is_kept(register.full_register().number()) {
                return Some(register);
            }
        }
    }

    /// Whether a register must not be written, because addresses or loops rely on it.
    fn is_kept(&self, number: usize) -> bool {
        self.pointers.contains(&number) || [RSP, self.index, self.counter].contains(&number)
    }

    /// Makes operand `i` memory at a random address.
    fn set_memory(&mut self, instruction: &mut Instruction, i: u32, offset_only: bool) {
        let size = (instruction.op_code().memory_size().size() as u64).max(1);
        let target = self.address(size);
        instruction.set_op_kind(i, OpKind::Memory);
        let mut offset = target;
        if self.bits == 64 && self.random.chance(6) {
            let (segment, base) = if self.random.chance(50) {
                (Register::FS, self.regs.fs_base)
            } else {
                (Register::GS, self.regs.gs_base)
            };
            instruction.set_segment_prefix(segment);
            offset = target.wrapping_sub(base);
        }
        let no_base = offset_only || self.pointers.is_empty();
        if no_base || self.random.chance(8) {
            if !no_base && self.bits == 64 && self.random.chance(70) {
                instruction.set_memory_base(Register::RIP);
            }
            instruction.set_memory_displ_size(if self.bits == 64 { 8 } else { 4 });
            instruction.set_memory_displacement64(self.cut(offset));
            return;
        }
        let first = if self.bits == 32 || offset < 1 << 31 && self.random.chance(5) {
            Register::EAX
        } else {
            Register::RAX
        };
        let base = self.random.pick(&self.pointers);
        instruction.set_memory_base(first + base as u32);
        let mut displacement = offset.wrapping_sub(self.regs.gpr[base]);
        if self.random.chance(35) {
            let scale = self.random.pick(&[1, 2, 4, 8]);
            instruction.set_memory_index(first + self.index as u32);
            instruction.set_memory_index_scale(scale);
            displacement =
                displacement.wrapping_sub(self.regs.gpr[self.index].wrapping_mul(scale.into()));
        }
        let short = i8::try_from(displacement as i64).is_ok();
        let wide = if first == Register::RAX { 8 } else { 4 };
        instruction.set_memory_displ_size(if short { 1 } else { wide });
        instruction.set_memory_displacement64(self.cut(displacement));
    }

    fn cut(&self, value: u64) -> u64 {
        if self.bits == 64 {
            value
        } else {
            value & 0xffff_ffff
        }
    }

    /// An address for `size` bytes: rarely one that faults, often one that was used before.
    fn address(&mut self, size: u64) -> u64 {
        let aligned = size.next_power_of_two().min(16) - 1;
        match self.random.below(100) {
            0 => READ_ONLY + self.random.below(PAGE - size),
            1 => WINDOW + WINDOW_SIZE - self.random.below(size),
            2..5 => WINDOW + PAGE - self.random.below(size),
            5..10 => DATA + self.random.below(DATA_SIZE),
            10..50 => DATA + (self.random.below(64) & !aligned),
            _ => (DATA + self.random.below(DATA_SIZE)) & !aligned,
        }
    }
}

/// Makes operand `i` an immediate if that is what it is.
fn set_immediate(instruction: &mut Instruction, i: u32, kind: Kind, random: &mut Gen) -> bool {
    use Kind as K;
    let (op_kind, bits) = match kind {
        K::imm8 | K::imm8_const_1 => (OpKind::Immediate8, 8),
        K::imm8sex16 => (OpKind::Immediate8to16, 8),
        K::imm8sex32 => (OpKind::Immediate8to32, 8),
        K::imm8sex64 => (OpKind::Immediate8to64, 8),
        K::imm16 => (OpKind::Immediate16, 16),
        K::imm32 => (OpKind::Immediate32, 32),
        K::imm32sex64 => (OpKind::Immediate32to64, 32),
        K::imm64 => (OpKind::Immediate64, 64),
        _ => return false,
    };
    let value = if kind == K::imm8_const_1 {
        1
    } else {
        random.int(bits)
    };
    let extended = (value << (64 - bits)) as i64 >> (64 - bits);
    instruction.set_op_kind(i, op_kind);
    match op_kind {
        OpKind::Immediate8 => instruction.set_immediate8(value as u8),
        OpKind::Immediate8to16 => instruction.set_immediate8to16(extended as i16),
        OpKind::Immediate8to32 => instruction.set_immediate8to32(extended as i32),
        OpKind::Immediate8to64 => instruction.set_immediate8to64(extended),
        OpKind::Immediate16 => instruction.set_immediate16(value as u16),
        OpKind::Immediate32 => instruction.set_immediate32(value as u32),
        OpKind::Immediate32to64 => instruction.set_immediate32to64(extended),
        _ => instruction.set_immediate64(value),
    }
    true
}
