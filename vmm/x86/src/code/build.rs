//! Decoding bytes into a block.

use iced_x86::{
    Code, Decoder, DecoderError, DecoderOptions, Formatter, Instruction, IntelFormatter,
};

use super::decoded::{DecodedBlock, MAX_LEN};
use crate::block::Block;
use crate::exec::{Decoded, guard};
use crate::lower::{self, End, Lowered};
use crate::memory::PAGE_SIZE;
use crate::mode::Mode;
use crate::op::{At, DECODED, Op, OpFn, plain};

/// Decodes at most `most` instructions of a block out of `code`, which starts at the block's first
/// byte and ends with its page (or holds one instruction that spans two pages). `fuse` allows pairs
/// of instructions to become one operation. `None` if not even one instruction is complete.
pub(crate) fn build(
    code: &[u8],
    key: u64,
    mode: Mode,
    most: usize,
    fuse: bool,
) -> Option<DecodedBlock> {
    let mut builder = Builder {
        page_position: key >> 4 & (PAGE_SIZE - 1),
        ops: Vec::new(),
        instructions: Vec::new(),
        last: Instruction::default(),
    };
    let mut decoder = Decoder::with_ip(u32::from(mode.bits), code, 0, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let mut count = 0;
    let mut end = None;
    // What was looked at: a block is what these bytes make it, so that none of them may change.
    let mut seen = 0;
    let most = most.min(MAX_LEN);
    while count < most && decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if instruction.code() == Code::INVALID && decoder.last_error() == DecoderError::NoMoreBytes
        {
            if count == 0 {
                return None;
            }
            end = Some(instruction.ip());
            seen = code.len() as u64;
            break;
        }
        let at = instruction.ip() as usize;
        let next = instruction.next_ip() as usize;
        seen = next as u64;
        let lowered = lower::lower(&instruction, &code[at..next], mode);
        if lowered.end == End::Alone && count > 0 {
            end = Some(at as u64);
            break;
        }
        count += 1;
        let fused = fuse && builder.fuse(&lowered, &instruction, next);
        if !fused {
            builder.guard(&instruction, mode);
            builder.push(lowered, &instruction, next);
        }
        match lowered.end {
            End::No => {}
            End::Branch => {
                return Some(builder.finish(key, count, next as u64, seen));
            }
            End::Block | End::Alone => {
                end = Some(next as u64);
                break;
            }
        }
    }
    let end = end.unwrap_or(decoder.ip());
    builder.push_end(end);
    Some(builder.finish(key, count, end, seen))
}

struct Builder {
    page_position: u64,
    ops: Vec<Op>,
    #[expect(
        clippy::vec_box,
        reason = "operations point to the elements, so they must not move"
    )]
    instructions: Vec<Box<Decoded>>,
    /// The instruction of the last operation.
    last: Instruction,
}

impl Builder {
    fn push(&mut self, lowered: Lowered, instruction: &Instruction, next: usize) {
        let mut op = lowered.op;
        op.at = instruction.ip() as u16;
        op.len = instruction.len() as u8;
        // The number of instructions for now; `finish` turns it around.
        op.rest = 1;
        if let Some((func, extra)) = lowered.decoded {
            let decoded = Box::new(Decoded::new(func, extra, *instruction));
            op.imm = &raw const *decoded as u64;
            op.aux = DECODED;
            self.instructions.push(decoded);
        }
        if lowered.end == End::Branch {
            self.aim(&mut op, lowered.near, next);
        }
        self.ops.push(op);
        self.last = *instruction;
    }

    /// Puts the guard of an instruction's segments in front of it, if it needs one.
    fn guard(&mut self, instruction: &Instruction, mode: Mode) {
        if let Some((mut op, guarded)) = guard::of(instruction, mode) {
            let guarded = Box::new(guarded);
            op.at = instruction.ip() as u16;
            op.imm = &raw const *guarded as u64;
            self.instructions.push(guarded);
            self.ops.push(op);
        }
    }

    /// Completes a direct branch: chooses between the page's own links and the way out of it.
    fn aim(&self, op: &mut Op, near: Option<(OpFn, OpFn)>, next: usize) {
        let Some((inside, outside)) = near else {
            return;
        };
        op.disp = next as i32;
        op.func = if self.in_page(op.imm) {
            inside
        } else {
            outside
        };
    }

    /// Whether an offset from the block's start is in the block's page.
    fn in_page(&self, target: u64) -> bool {
        self.page_position.wrapping_add(target) < PAGE_SIZE
    }

    /// Joins a conditional branch with the comparison in front of it.
    fn fuse(&mut self, lowered: &Lowered, instruction: &Instruction, next: usize) -> bool {
        let Some(last) = self.ops.last_mut() else {
            return false;
        };
        let Some(pair) = lower::fused(&self.last, instruction) else {
            return false;
        };
        let mut op = *last;
        op.imm = lowered.op.imm;
        op.len += instruction.len() as u8;
        op.rest = 2;
        if let Some(imm) = pair.imm {
            op.set_fused_imm(imm);
        }
        self.ops.pop();
        self.aim(&mut op, Some(pair.near), next);
        self.ops.push(op);
        true
    }

    fn push_end(&mut self, end: u64) {
        let func: OpFn = if self.in_page(end) {
            crate::exec::end
        } else {
            crate::exec::control::end_of_page
        };
        self.ops.push(Op {
            imm: end,
            at: end as u16,
            rest: 0,
            len: 0,
            ..plain(func)
        });
    }

    fn finish(mut self, key: u64, count: usize, bytes: u64, seen: u64) -> DecodedBlock {
        let mut rest = 0;
        for op in self.ops.iter_mut().rev() {
            rest += op.rest;
            op.rest = rest;
        }
        debug_assert_eq!(usize::from(rest), count);
        DecodedBlock {
            ops: self.ops,
            instructions: self.instructions,
            key,
            len: count as u8,
            bytes: bytes as u16,
            seen: seen as u16,
            second_page: None,
        }
    }
}

/// The beginning of a block, cut to a number of instructions.
pub(crate) struct Cut {
    ops: Vec<Op>,
    /// Keeps the decoded instructions alive that `ops` point to, if they are not the block's.
    _decoded: Option<DecodedBlock>,
}

impl Cut {
    /// Where to start.
    pub(crate) fn start(&self) -> At {
        // SAFETY: `cut` ends the operations with a terminator.
        unsafe { At::new(self.ops.as_ptr()) }
    }
}

/// The first `count` instructions of `block`, fewer than it has, as operations that return to the
/// run loop behind them. `all` are the block's operations as they were decoded.
///
/// # Safety
/// `block` is a block of the cache.
pub(crate) unsafe fn cut(
    block: *const Block,
    all: &[Op],
    count: u8,
    ram: *const u8,
    mode: Mode,
) -> Cut {
    // SAFETY: the caller's promise; the cache is not cleared in here.
    let block = unsafe { &*block };
    let kept = block.len - count;
    // `rest` falls from the block's length to zero; a fused pair skips one value.
    if let Some(position) = all.iter().position(|op| op.rest == kept) {
        let mut ops = all[..position].to_vec();
        let at = all[position].at;
        ops.push(Op {
            at,
            rest: kept,
            ..plain(crate::exec::cut)
        });
        return Cut {
            ops,
            _decoded: None,
        };
    }
    // SAFETY: a block of more than one instruction lies within a page of the mapping.
    let code = unsafe {
        std::slice::from_raw_parts(ram.add((block.key >> 4) as usize), block.bytes.into())
    };
    let decoded =
        build(code, block.key, mode, count.into(), false).expect("the block was decoded before");
    let mut ops = decoded.ops.clone();
    for op in &mut ops {
        op.rest += kept;
    }
    let last = ops.last_mut().expect("a block has a terminator");
    last.func = crate::exec::cut;
    Cut {
        ops,
        _decoded: Some(decoded),
    }
}

/// An instruction in Intel syntax.
pub(crate) fn text(instruction: &Instruction) -> String {
    let mut text = String::new();
    IntelFormatter::new().format(instruction, &mut text);
    text
}
