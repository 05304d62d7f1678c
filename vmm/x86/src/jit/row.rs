//! Pushes and pops in a row, as functions begin and end with: one look into the TLB for all of them.

use super::emit::{Emitter, NEAR_RAX, RCX};
use super::select::Act;
use crate::cpu::gpr;
use crate::op::Op;

/// The most that are taken together.
pub(super) const MOST: usize = 8;

const RSP: u8 = gpr::RSP as u8 * 8;

/// Operations in a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    Pushes(usize),
    Pops(usize),
}

impl Row {
    /// How many there are.
    pub(super) fn len(self) -> usize {
        let (Self::Pushes(len) | Self::Pops(len)) = self;
        len
    }

    /// What the operations begin with. RSP itself is left out, because it changes with each of them.
    pub(super) fn at_start(acts: &[Option<Act>], ops: &[Op]) -> Option<Self> {
        let both = || acts.iter().zip(ops).take(MOST);
        let push = |&(act, op): &(&Option<Act>, &Op)| {
            matches!(act, Some(Act::PushRegister)) && op.src != RSP
        };
        let pop = |&(act, op): &(&Option<Act>, &Op)| matches!(act, Some(Act::Pop)) && op.dst != RSP;
        let (pushes, pops) = (
            both().take_while(push).count(),
            both().take_while(pop).count(),
        );
        match (pushes, pops) {
            (2.., _) => Some(Self::Pushes(pushes)),
            (_, 2..) => Some(Self::Pops(pops)),
            _ => None,
        }
    }
}

impl Emitter<'_> {
    /// Emits the code of operations in a row. If the stack is not at hand, the handler of the first takes
    /// over, and those of the others follow.
    pub(super) fn row(&mut self, index: usize, row: Row) {
        let ops = &self.ops[index..index + row.len()];
        match row {
            Row::Pushes(len) => {
                self.call_or_hand_over(index, self.stubs.push_row[len - 2]);
                for (position, op) in ops.iter().rev().enumerate() {
                    self.get(RCX, op.src, 8);
                    self.save(RCX, 8, NEAR_RAX, &[8 * position as u8]);
                }
            }
            Row::Pops(len) => {
                self.call_or_hand_over(index, self.stubs.pop_row[len - 2]);
                for (position, op) in ops.iter().enumerate() {
                    self.load(RCX, 8, NEAR_RAX, &[8 * position as u8]);
                    self.put(op.dst, RCX, 8);
                }
            }
        }
    }
}
