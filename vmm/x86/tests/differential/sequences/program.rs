//! A short program: instructions with labels, and its encoding.

use iced_x86::{Code, Encoder, Instruction, OpKind};

use crate::layout::{CODE, CODE_SIZE};
use crate::state::{Case, Regs};

/// The label behind the last instruction.
pub const END: u32 = u32::MAX;

/// An instruction and what names it.
#[derive(Debug, Clone)]
pub struct Item {
    /// The label of this instruction.
    pub id: u32,
    /// The instruction. A branch's target is filled in when the program is encoded.
    pub instruction: Instruction,
    /// The label that a direct branch goes to.
    pub target: Option<u32>,
    /// What it shares with the instructions without which it must not be: those of a loop's count,
    /// or those of a call and its return. Without its count, a loop may never end.
    pub frame: Option<u32>,
}

/// A program and the registers that it starts with.
#[derive(Debug, Clone)]
pub struct Program {
    /// 64, or 32 for compatibility mode.
    pub bits: u32,
    /// The registers at the start; RIP is where the program lies.
    pub regs: Regs,
    /// The instructions.
    pub items: Vec<Item>,
}

impl Program {
    /// The case that runs the program, and the address of each instruction. `None` if a branch does
    /// not reach its target or the program does not fit into the code.
    pub fn assemble(&self) -> Option<(Case, Vec<u64>)> {
        let mut addresses = Vec::new();
        let mut end = self.regs.rip;
        for item in &self.items {
            addresses.push(end);
            end += self.encode(&item.instruction, CODE, CODE)?.len() as u64;
        }
        let mut bytes = Vec::new();
        for (item, address) in self.items.iter().zip(&addresses) {
            let target = match item.target {
                None => 0,
                Some(END) => end,
                Some(label) => {
                    let position = self.items.iter().position(|item| item.id == label)?;
                    addresses[position]
                }
            };
            bytes.extend(self.encode(&item.instruction, *address, target)?);
        }
        // The INT3 that ends the program has to fit too.
        let fits = bytes.len() as u64 == end - self.regs.rip && end < CODE + CODE_SIZE;
        let case = Case {
            form: Code::Nopd,
            bits: self.bits,
            bytes,
            regs: self.regs.clone(),
            patches: Vec::new(),
        };
        fits.then_some((case, addresses))
    }

    fn encode(&self, instruction: &Instruction, at: u64, target: u64) -> Option<Vec<u8>> {
        let mut instruction = *instruction;
        match instruction.op0_kind() {
            OpKind::NearBranch64 => instruction.set_near_branch64(target),
            OpKind::NearBranch32 => instruction.set_near_branch32(target as u32),
            _ => {}
        }
        let mut encoder = Encoder::new(self.bits);
        encoder.encode(&instruction, at).ok()?;
        Some(encoder.take_buffer())
    }

    /// The program without instruction `index` and those that belong to it; branches to them go to
    /// what is behind them.
    pub fn without(&self, index: usize) -> Self {
        let mut shorter = self.clone();
        let frame = self.items[index].frame;
        for position in (0..self.items.len()).rev() {
            if position == index || frame.is_some() && self.items[position].frame == frame {
                shorter.remove(position);
            }
        }
        shorter
    }

    fn remove(&mut self, index: usize) {
        let dropped = self.items.remove(index).id;
        let next = self.items.get(index).map_or(END, |item| item.id);
        for item in &mut self.items {
            if item.target == Some(dropped) {
                item.target = Some(next);
            }
        }
    }

    /// Puts `instruction` in front of instruction `index`, also for those who branch there.
    pub fn insert(&mut self, index: usize, instruction: Instruction) {
        let fresh = self.items.iter().map(|item| item.id + 1).max().unwrap_or(0);
        let id = std::mem::replace(&mut self.items[index].id, fresh);
        let item = Item {
            id,
            instruction,
            target: None,
            frame: None,
        };
        self.items.insert(index, item);
    }
}
