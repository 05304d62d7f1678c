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
    ALIGNMENT, AT_TSC, HEADER_SIZE, Header, MAX_STREAMS, Op, PORT, PORT_COUNT, REPLY_OFFSET,
    STATUS_DONE, STATUS_OFFSET, STATUS_REFUSED, VERSION,
};
use chaosrun_x86::{CpuState, Memory};
use serde::{Deserialize, Serialize};

use super::Effect;
use crate::invariant::invariant;
use crate::tape::{StreamState, Tape};
use crate::time::VirtTime;
use walk::{NotMapped, View};

pub use wall::WallClock;

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
    /// The present moment.
    pub now: VirtTime,
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
        /// The index of RDI.
        const RDI: usize = 7;
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
                self.act(op, payload, world, effects)
            }
            Err(why) => Err(why),
        };
        let (code, reply) = match checked {
            Ok(reply) => (STATUS_DONE, reply),
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
    ) -> Result<u64, &'static str> {
        match op {
            Op::Hello => Ok(VERSION.into()),
            Op::Send => {
                effects.push(Effect::Sdk(payload));
                Ok(0)
            }
            Op::Random => {
                let name = str::from_utf8(&payload).map_err(|_| "name of a stream is not UTF-8")?;
                Ok(self.random(name, world.tape))
            }
            // Dates before 1970 are negative numbers.
            Op::Date if payload.is_empty() => Ok(world.wall.at(world.now) as u64),
            Op::Date if payload == AT_TSC => Ok(world.wall.at_tsc_read(world.now) as u64),
            Op::Date => Err("unknown moment of a date"),
            Op::DateMoved => Ok(world.wall.moved_ns() as u64),
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
