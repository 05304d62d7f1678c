//! A block, from its operations to its code.

use std::collections::BTreeMap;

use dynasmrt::{DynasmApi, DynasmLabelApi, VecAssembler};
use iced_x86::{Decoder, DecoderOptions};

use super::emit::{Emitter, Exit, JMP, JS, Tail, Way, aside};
use super::region::LONGEST;
use super::row::Row;
use super::select::{self, Act};
use super::{Site, field, stubs};
use crate::op::Op;

/// The code of a block.
pub(super) struct Made {
    /// What is usually executed.
    pub hot: Vec<u8>,
    /// What is not.
    pub cold: Vec<u8>,
    /// Positions behind jumps in the hot code, and where they lead in the cold code.
    pub jumps: Vec<(usize, usize)>,
    /// Jumps to other blocks.
    pub exits: Vec<Exit>,
    /// Where handlers may enter: operations and positions in the cold code.
    pub entries: Vec<(usize, usize)>,
    /// Positions in the hot code to which stubs come back, and whose handlers take over if they fail.
    pub returns: Vec<(usize, usize)>,
}

/// A block that is to be compiled.
pub(super) struct Subject<'a> {
    /// Its number in the store.
    pub number: u32,
    /// Its place there.
    pub place: u32,
    /// Instructions that are retired when it runs to its end.
    pub len: u8,
    /// Its operations.
    pub ops: &'a [Op],
    /// Its instructions.
    pub code: &'a [u8],
}

/// Compiles a block for these places of its hot and its cold code. `None` if this host does not allow that,
/// or the code is too long.
pub(super) fn compile(subject: &Subject, (hot, cold): (*mut u8, *mut u8)) -> Option<Made> {
    let ops = subject.ops;
    let mut emitter = Emitter {
        asm: VecAssembler::new(hot as usize),
        cold: VecAssembler::new(cold as usize),
        stubs: stubs::stubs()?,
        subject,
        ops,
        jumps: Vec::new(),
        patches: Vec::new(),
        exits: Vec::new(),
        entries: Vec::new(),
        returns: Vec::new(),
        flags_at_hand: false,
    };
    emitter.body(&acts(ops, subject.code));
    let jumps = emitter.tails();
    let entries = emitter.handler_entries(hot as usize);
    let (mut hot, cold) = (emitter.asm.finalize().ok()?, emitter.cold.finalize().ok()?);
    for (behind, target) in emitter.patches {
        let distance = (target - behind) as i32;
        hot[behind - 4..behind].copy_from_slice(&distance.to_le_bytes());
    }
    (hot.len().max(cold.len()) <= LONGEST).then_some(Made {
        hot,
        cold,
        jumps,
        exits: emitter.exits,
        entries,
        returns: emitter.returns,
    })
}

/// What the operations become; `None` for those that stay with their handlers.
fn acts(ops: &[Op], code: &[u8]) -> Vec<Option<Act>> {
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    ops.iter()
        .map(|op| {
            if op.len == 0 {
                return (usize::from(op.at) == code.len()).then_some(Act::End);
            }
            decoder.set_position(op.at.into()).ok()?;
            decoder.set_ip(op.at.into());
            let first = decoder.decode();
            let second = (first.len() < op.len.into()).then(|| decoder.decode());
            select::select(&first, second.as_ref(), op)
        })
        .collect()
}

impl Emitter<'_> {
    /// Emits what is usually executed, beginning with the entry from other blocks.
    fn body(&mut self, acts: &[Option<Act>]) {
        self.pay();
        self.jump(JS, Tail::Over);
        let seen = seen_flags(acts);
        // Handlers may come in at the first operation, and behind those that they may take over.
        let mut enterable = true;
        let mut index = 0;
        while let Some(act) = acts.get(index) {
            // What depends on flags that are at hand cannot be entered, and stays with its handler for those
            // who come from one.
            let depends = self.flags_at_hand && act.is_some_and(Act::takes_host_flags);
            if enterable && !depends {
                self.entries.push((index, self.here()));
                self.flags_at_hand = false;
            }
            if !act.is_some_and(Act::keeps_host_flags) {
                self.flags_at_hand = false;
            }
            enterable = act.is_none_or(Act::may_hand_over);
            let last = index + 1 == acts.len();
            if let Some(row) = Row::at_start(&acts[index..], &self.ops[index..]) {
                self.row(index, row);
                index += row.len();
                continue;
            }
            match act {
                None => self.jump(JMP, Tail::Handler(index)),
                Some(act) if last => self.terminator(index, *act),
                Some(act) => self.operation(index, *act, seen[index]),
            }
            index += 1;
        }
    }

    /// Emits where jumps to cold code lead: the positions behind the jumps, and those.
    fn tails(&mut self) -> Vec<(usize, usize)> {
        let mut known = BTreeMap::new();
        let jumps = std::mem::take(&mut self.jumps);
        let tail = |(behind, tail)| (behind, self.tail(tail, &mut known));
        jumps.into_iter().map(tail).collect()
    }

    fn tail(&mut self, tail: Tail, known: &mut BTreeMap<(u8, usize), usize>) -> usize {
        let key = match tail {
            Tail::Handler(index) => (0, index),
            Tail::Over => (1, 0),
            Tail::Link(exit) => (2, exit),
        };
        if let Some(&start) = known.get(&key) {
            return start;
        }
        let start = self.cold.offset().0;
        known.insert(key, start);
        match tail {
            Tail::Handler(index) => self.hand_over(index),
            Tail::Over => {
                let len: i32 = self.subject.len.into();
                let exit = self.stubs.exit;
                let place = self.subject.place as i32;
                aside!(self, add DWORD [BYTE rdi + field::BUDGET], len);
                aside!(self, mov eax, DWORD place; jmp extern exit);
            }
            Tail::Link(index) => {
                let exit = &self.exits[index];
                let site: *const Site = &raw const *exit.site;
                let link = match exit.way {
                    Way::Near => self.stubs.near,
                    Way::Far => self.stubs.far,
                };
                aside!(self, mov rsi, QWORD site as i64; jmp extern link);
            }
        }
        start
    }

    /// Emits the entries from handlers: their operations and positions in the cold code.
    fn handler_entries(&mut self, hot: usize) -> Vec<(usize, usize)> {
        let entries = std::mem::take(&mut self.entries);
        let entry = |(index, position)| {
            let start = self.cold.offset().0;
            aside!(self, sub rdi, DWORD -field::BIAS; jmp extern hot + position);
            (index, start)
        };
        entries.into_iter().map(entry).collect()
    }
}

/// For each operation whether the flags that it sets may be seen: by what comes behind it, or because a
/// handler takes over before they are set anew.
fn seen_flags(acts: &[Option<Act>]) -> Vec<bool> {
    let mut seen = vec![true; acts.len()];
    let mut wanted = true;
    for (index, act) in acts.iter().enumerate().rev() {
        seen[index] = wanted;
        wanted = match act {
            None => true,
            Some(act) if act.may_hand_over() || act.reads_flags() => true,
            Some(act) if act.sets_flags() => false,
            Some(_) => wanted,
        };
    }
    seen
}
