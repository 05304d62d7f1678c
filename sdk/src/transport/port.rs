//! Calls of the machine: one I/O instruction and a block of memory, see `chaosrun_protocol::port`.

use alloc::vec;
use core::arch::asm;

use chaosrun_protocol::port::{
    ALIGNMENT, AT_TSC, HEADER_SIZE, Header, MAX_PAYLOAD, MAX_STREAM_NAME, MAX_TRIES, Op, PORT,
    REPLY_OFFSET, STATUS_DONE, STATUS_NONE, STATUS_OFFSET,
};

#[cfg(feature = "std")]
use chaosrun_protocol::port::OFFSET_SIZE;

/// The size of a page, at which memory is mapped or not.
const PAGE: usize = 4096;
/// How much of a node's description is asked for at once.
#[cfg(feature = "std")]
const NODE_PART: usize = 4096;

/// Whether a machine answers. May be called only where the port is open to this process.
pub(super) fn is_there() -> bool {
    call_small(Op::Hello, &[]) == Some(u64::from(chaosrun_protocol::port::VERSION))
}

/// Sends an envelope; none if the machine refuses it.
pub(super) fn send(envelope: &[u8]) -> Option<()> {
    if envelope.len() > MAX_PAYLOAD {
        return None;
    }
    let mut block = Block::with_room(envelope.len());
    call(Op::Send, envelope, block.bytes()).map(drop)
}

/// The node's description, as the machine has it; none if it has none.
#[cfg(feature = "std")]
pub(super) fn node() -> Option<alloc::vec::Vec<u8>> {
    let mut block = Block::with_room(NODE_PART);
    let mut text = alloc::vec::Vec::new();
    loop {
        let mut payload = [0; NODE_PART];
        payload[..OFFSET_SIZE].copy_from_slice(&(text.len() as u64).to_le_bytes());
        let all = usize::try_from(call(Op::Node, &payload, block.bytes())?).ok()?;
        let left = all.checked_sub(text.len())?;
        let part = block
            .bytes()
            .get(HEADER_SIZE..HEADER_SIZE + left.min(NODE_PART))?;
        text.extend_from_slice(part);
        if left <= NODE_PART {
            return (!text.is_empty()).then_some(text);
        }
    }
}

/// The next number of a stream; none if the machine refuses.
pub(super) fn random(stream: &str) -> Option<u64> {
    call_small(Op::Random, stream.as_bytes())
}

/// What CLOCK_REALTIME ought to show, in nanoseconds since 1970: now, or when the time stamp counter was
/// last read; none if the machine refuses.
pub(super) fn date(at_tsc: bool) -> Option<i64> {
    let payload = if at_tsc { AT_TSC } else { &[] };
    call_small(Op::Date, payload).map(|reply| reply as i64)
}

/// How far faults have moved that, in nanoseconds; none if the machine refuses.
pub(super) fn date_moved() -> Option<i64> {
    call_small(Op::DateMoved, &[]).map(|reply| reply as i64)
}

/// A block on the heap.
struct Block(alloc::vec::Vec<u64>);

impl Block {
    /// A block with room for a payload of so many bytes.
    fn with_room(payload: usize) -> Self {
        Self(vec![0; (HEADER_SIZE + payload).div_ceil(ALIGNMENT)])
    }

    fn bytes(&mut self) -> &mut [u8] {
        let len = self.0.len() * ALIGNMENT;
        // SAFETY: the slice covers the vector's words, any of whose bytes may have any value.
        unsafe { core::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast::<u8>(), len) }
    }
}

/// A call whose block fits on the stack, and into one page.
fn call_small(op: Op, payload: &[u8]) -> Option<u64> {
    #[repr(C, align(128))]
    struct Small([u8; HEADER_SIZE + MAX_STREAM_NAME]);
    let mut block = Small([0; HEADER_SIZE + MAX_STREAM_NAME]);
    call(op, payload, &mut block.0)
}

/// Makes a call with this block, which is aligned and large enough, and returns the reply.
fn call(op: Op, payload: &[u8], block: &mut [u8]) -> Option<u64> {
    let header = Header::new(op, payload.len() as u32).to_bytes();
    block.get_mut(..HEADER_SIZE)?.copy_from_slice(&header);
    block
        .get_mut(HEADER_SIZE..HEADER_SIZE + payload.len())?
        .copy_from_slice(payload);
    for _ in 0..MAX_TRIES {
        out(block);
        let status = u32::from_le_bytes(*block[STATUS_OFFSET..].first_chunk()?);
        if status != STATUS_NONE {
            let reply = u64::from_le_bytes(*block[REPLY_OFFSET..].first_chunk()?);
            return (status == STATUS_DONE).then_some(reply);
        }
        touch(block);
    }
    None
}

/// The instruction. The machine reads the block, and writes its status and reply.
fn out(block: &mut [u8]) {
    // SAFETY: the transport is in use only where init has opened the port to this process; else the
    // instruction would end the program, not damage it. The machine writes within the block only.
    unsafe {
        asm!(
            "out dx, eax",
            in("dx") PORT,
            in("eax") 0,
            in("rdi") block.as_mut_ptr(),
            options(nostack, preserves_flags),
        );
    }
}

/// Writes to each page of the block, so that the kernel maps it again.
fn touch(block: &mut [u8]) {
    let last = block.len() - 1;
    for at in (0..block.len()).step_by(PAGE).chain([last]) {
        let byte = &raw mut block[at];
        // SAFETY: the pointer comes from a reference to one byte of the block.
        unsafe { byte.write_volatile(byte.read_volatile()) };
    }
}
