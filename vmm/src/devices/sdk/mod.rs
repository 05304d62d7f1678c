//! The port through which programs in a guest call the machine.
//!
//! A call is one OUT; see [`chaosrun_protocol::port`] for the block that it points to. The access only
//! notes the call, and the machine serves it before anything else is executed.

#[cfg(test)]
mod tests;
mod walk;
mod wall;

use std::collections::BTreeMap;

use chaosrun_protocol::port::{
    ALIGNMENT, AT_TSC, HEADER_SIZE, Header, MAX_STREAMS, OFFSET_SIZE, Op, PORT, PORT_COUNT,
    REPLY_OFFSET, STATUS_DONE, STATUS_OFFSET, STATUS_REFUSED, VERSION,
};
use chaosrun_x86::{CpuState, Memory};
use serde::{Deserialize, Serialize};

use super::Effect;
use crate::invariant::invariant;
use crate::tape::{StreamState, Tape};
use crate::time::VirtTime;
use walk::{NotMapped, View};

pub use wall::WallClock;

/// The index of RDI.
const RDI: usize = 7;

/// The state of the port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SdkState {
    /// The node's name, with which the names of its streams start.
    node: String,
    /// The call that waits to be served: the vCPU that made it and what it wrote.
    waiting: Option<(u32, u32)>,
    /// The next decision of each stream that programs have drawn from.
    streams: BTreeMap<String, u64>,
}

/// What the port answers with besides its own state.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Where random numbers come from.
    pub tape: &'a Tape,
    /// The date.
    pub wall: &'a WallClock,
    /// When the guest last read the time stamp counter, if the engine sees that.
    pub tsc_read: Option<VirtTime>,
    /// The node's description, if the machine has one.
    pub identity: Option<&'a [u8]>,
    /// The present moment.
    pub now: VirtTime,
}

/// What a call is answered with.
struct Answer {
    reply: u64,
    /// What takes the place of the payload, from its beginning on.
    payload: Vec<u8>,
}

impl Answer {
    fn number(reply: u64) -> Self {
        Self {
            reply,
            payload: Vec::new(),
        }
    }
}

impl SdkState {
    /// The port of a node.
    pub fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            waiting: None,
            streams: BTreeMap::new(),
        }
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// With the call that waits at another port, of which it is a copy otherwise.
    pub fn with_call_of(mut self, other: &Self) -> Self {
        self.waiting = other.waiting;
        self
    }

    /// Whether a port belongs to the SDK.
    pub const fn owns(port: u16) -> bool {
        port >= PORT && port < PORT + PORT_COUNT
    }

    /// vCPU `vcpu` writes to a port. Only a write of 32 bits to the first port is a call.
    pub fn write(&mut self, vcpu: u32, port: u16, size: u8, value: u32) {
        if port == PORT && size == 4 {
            // One instruction that writes repeatedly makes one call.
            self.waiting.get_or_insert((vcpu, value));
        }
    }

    /// The vCPU whose call waits to be served.
    pub fn caller(&self) -> Option<u32> {
        self.waiting.map(|(vcpu, _)| vcpu)
    }

    /// Whether the call that waits can be answered only by a machine that knows which node it is.
    pub fn needs_identity(&self, caller: &CpuState, memory: &Memory) -> bool {
        let header = View::of(caller).and_then(|view| {
            let mut header = [0; HEADER_SIZE];
            let read = view.read(memory, caller.gpr[RDI], &mut header);
            read.ok().map(|()| Header::from_bytes(&header))
        });
        let op = header.and_then(|header| header.check().ok());
        self.waiting.is_some() && op.is_some_and(|(op, _)| op.needs_identity())
    }

    /// Serves the call that waits. `caller` is the state of the vCPU that made it.
    pub fn serve(
        &mut self,
        caller: &CpuState,
        memory: &mut Memory,
        world: &Surroundings<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let Some((_, value)) = self.waiting.take() else {
            return;
        };
        let block = caller.gpr[RDI];
        let refused = match View::of(caller) {
            _ if value != 0 => "EAX is not 0",
            None => "the vCPU is not in long mode",
            Some(_) if !block.is_multiple_of(ALIGNMENT as u64) => "the block is not aligned",
            Some(view) => match self.call(&view, block, memory, world, effects) {
                Ok(Ok(())) | Err(NotMapped) => return,
                Ok(Err(why)) => why,
            },
        };
        effects.push(Effect::BadSdkCall(refused));
    }

    /// Reads a block, does what it says and writes the answer. Nothing happens if a page of it is
    /// not mapped: the program will call again.
    fn call(
        &mut self,
        view: &View,
        block: u64,
        memory: &mut Memory,
        world: &Surroundings<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<Result<(), &'static str>, NotMapped> {
        let mut header = [0; HEADER_SIZE];
        view.read(memory, block, &mut header)?;
        let header = Header::from_bytes(&header);
        // Both have to be writable before anything happens.
        let status = |offset: usize| block.wrapping_add(offset as u64);
        view.translate(memory, status(STATUS_OFFSET), true)?;
        view.translate(memory, status(REPLY_OFFSET), true)?;
        let checked = match header.check() {
            Ok((op, len)) => {
                let mut payload = vec![0; len];
                let start = block.checked_add(HEADER_SIZE as u64).ok_or(NotMapped)?;
                view.read(memory, start, &mut payload)?;
                let answer = self.act(op, payload, world, effects);
                if let Ok(Answer { payload, .. }) = &answer {
                    view.write_all(memory, start, payload)?;
                }
                answer
            }
            Err(why) => Err(why),
        };
        let (code, reply) = match &checked {
            Ok(answer) => (STATUS_DONE, answer.reply),
            Err(_) => (STATUS_REFUSED, 0),
        };
        view.write(memory, status(REPLY_OFFSET), &reply.to_le_bytes())?;
        view.write(memory, status(STATUS_OFFSET), &code.to_le_bytes())?;
        Ok(checked.map(drop))
    }

    /// Does what is asked. Returns the reply.
    fn act(
        &mut self,
        op: Op,
        payload: Vec<u8>,
        world: &Surroundings<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<Answer, &'static str> {
        let number = |reply| Ok(Answer::number(reply));
        match op {
            Op::Hello => number(VERSION.into()),
            Op::Send => {
                effects.push(Effect::Sdk(payload));
                number(0)
            }
            Op::Random => {
                let name = str::from_utf8(&payload).map_err(|_| "name of a stream is not UTF-8")?;
                number(self.random(name, world.tape))
            }
            // Dates before 1970 are negative numbers.
            Op::Date if payload.is_empty() => number(world.wall.at(world.now) as u64),
            Op::Date if payload == AT_TSC => {
                number(world.wall.at(world.tsc_read.unwrap_or(world.now)) as u64)
            }
            Op::Date => Err("unknown moment of a date"),
            Op::DateMoved => number(world.wall.moved_ns() as u64),
            Op::Node => described(world.identity.unwrap_or_default(), &payload),
        }
    }

    /// The next number of a stream.
    fn random(&mut self, name: &str, tape: &Tape) -> u64 {
        let full = format!("{}/sdk/{name}", self.node);
        let known = self.streams.contains_key(&full) || self.streams.len() < MAX_STREAMS;
        let name = if known {
            full
        } else {
            format!("{}/sdk", self.node)
        };
        let next = self.streams.entry(name.clone()).or_insert(0);
        let state = StreamState { name, next: *next };
        *next += 1;
        // One more is the stream that all further names share.
        invariant!(
            self.streams.len() <= MAX_STREAMS + 1,
            "a guest made the machine remember too many streams"
        );
        tape.resume(&state).any()
    }
}

/// The part of a node's description from an offset on that fits where the offset was.
fn described(all: &[u8], payload: &[u8]) -> Result<Answer, &'static str> {
    let offset: [u8; OFFSET_SIZE] = *payload.first_chunk().ok_or("there is no offset")?;
    let offset = usize::try_from(u64::from_le_bytes(offset)).unwrap_or(usize::MAX);
    let rest = all.get(offset..).unwrap_or_default();
    Ok(Answer {
        reply: all.len() as u64,
        payload: rest[..rest.len().min(payload.len())].to_vec(),
    })
}
