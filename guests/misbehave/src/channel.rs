//! Misuse of the SDK port: calls that are none, and calls without end.

use std::arch::asm;
use std::io;

use chaosrun_protocol::port::{HEADER_SIZE, Header, MAGIC, MAX_PAYLOAD, Op, PORT, VERSION};
use chaosrun_protocol::{
    Assertion, Envelope, InitReport, Kind, Message, OpKind, Operation, Site, Value,
};
use chaosrun_sdk::lifecycle::send_event;
use serde_json::json;

use crate::begin;

/// How many nonsensical calls are made.
const CALLS: u32 = 20_000;
/// Bytes of details of a flood's message, close to what the protocol allows.
const DETAILS: usize = 32_000;
/// Bytes of a flood's names, close to what the protocol allows.
const NAME: usize = 480;

/// A block of the most bytes that a call may have, and a few more.
struct Block(Vec<u64>);

impl Block {
    fn new() -> Self {
        Self(vec![0; (HEADER_SIZE + MAX_PAYLOAD) / 8 + 16])
    }

    fn bytes(&mut self) -> &mut [u8] {
        let len = self.0.len() * 8;
        // SAFETY: these are the vector's words, whose bytes may have any value.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast::<u8>(), len) }
    }

    /// Writes a message into the block and sends it.
    fn send(&mut self, message: Envelope) {
        let payload = message.encode();
        self.call(Header::new(Op::Send, payload.len() as u32), &payload);
    }

    fn call(&mut self, header: Header, payload: &[u8]) {
        let bytes = self.bytes();
        bytes[..HEADER_SIZE].copy_from_slice(&header.to_bytes());
        bytes[HEADER_SIZE..HEADER_SIZE + payload.len()].copy_from_slice(payload);
        out(bytes.as_mut_ptr() as usize);
    }
}

/// Calls the machine with a block at any address whatsoever.
fn out(address: usize) {
    // SAFETY: init has opened the port to this process. The machine writes to what is mapped at the
    // address, if anything is; the callers below give blocks of their own or what nobody has mapped.
    unsafe {
        asm!("out dx, eax", in("dx") PORT, in("eax") 0, in("rdi") address, options(nostack));
    }
}

/// Numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Nonsense of all kinds, and a sensible message at the end.
pub fn garbage() -> io::Result<()> {
    begin();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut block = Block::new();
    for number in 0..CALLS {
        match number % 6 {
            0 => nonsense(&mut block, &mut random),
            1 => wrong_header(&mut block, &mut random),
            2 => out(nowhere(&mut random)),
            3 => damaged(&mut block, &mut random),
            4 => stream(&mut block, &mut random),
            _ => block.send(envelope(Message::Init(InitReport::AllEnded))),
        }
    }
    send_event("garbage is over", &json!({ "calls": CALLS }));
    crate::silent()
}

/// A block of random bytes.
fn nonsense(block: &mut Block, random: &mut Random) {
    let first = random.below(64) as usize;
    for word in &mut block.0[first..first + 32] {
        *word = random.next();
    }
    out(block.0.as_ptr() as usize);
}

/// A block whose header is nearly right: any operation, version and length, at odd addresses, too.
fn wrong_header(block: &mut Block, random: &mut Random) {
    let header = Header {
        magic: MAGIC,
        op: random.below(6) as u16,
        version: VERSION + random.below(2) as u16,
        status: random.next() as u32,
        len: random.next() as u32 >> random.below(32),
        reply: random.next(),
    };
    let at = random.below(16) as usize;
    block.bytes()[at..at + HEADER_SIZE].copy_from_slice(&header.to_bytes());
    out(block.0.as_ptr() as usize + at);
}

/// Addresses without memory: null, not canonical, of the kernel, the end of the address space.
fn nowhere(random: &mut Random) -> usize {
    let base = [
        0,
        0x8000_0000_0000,
        0xffff_8000_0000_0000,
        0xffff_ffff_ffff_f000,
        usize::MAX,
    ];
    // The kernel's own memory must stay what it is, so nothing there is a call: the magic is not.
    base[random.below(5) as usize].wrapping_add(random.below(16) as usize * 8)
}

/// A real message with one byte changed, or cut, or with something behind it.
fn damaged(block: &mut Block, random: &mut Random) {
    let mut payload = envelope(message("event", random.next())).encode();
    payload.truncate(200);
    let at = random.below(payload.len() as u64) as usize;
    match random.below(3) {
        0 => payload[at] ^= 1 << random.below(8),
        1 => payload.truncate(at),
        _ => payload.extend_from_slice(&random.next().to_le_bytes()),
    }
    block.call(Header::new(Op::Send, payload.len() as u32), &payload);
}

/// A stream of random numbers whose name is new, or no text.
fn stream(block: &mut Block, random: &mut Random) {
    let name = random.next().to_le_bytes();
    block.call(Header::new(Op::Random, name.len() as u32), &name);
}

/// Sends messages of a kind for ever, as fast as it can: only the names in them are written anew.
pub fn messages(kind: &str) -> io::Result<()> {
    begin();
    let mut blocks = [prepared(kind, 0), prepared(kind, 1)];
    for number in 0u64.. {
        let (block, names) = &mut blocks[(number % 2) as usize];
        // An operation begins and ends with the same key.
        let digits = format!("{:016x}", number / 2);
        for end in names {
            block.bytes()[*end - digits.len()..*end].copy_from_slice(digits.as_bytes());
        }
        out(block.0.as_ptr() as usize);
    }
    Ok(())
}

/// A block with a message, and where the names in it end.
fn prepared(kind: &str, number: u64) -> (Block, Vec<usize>) {
    let mut block = Block::new();
    let payload = envelope(message(kind, number)).encode();
    let header = Header::new(Op::Send, payload.len() as u32).to_bytes();
    block.bytes()[..HEADER_SIZE].copy_from_slice(&header);
    block.bytes()[HEADER_SIZE..HEADER_SIZE + payload.len()].copy_from_slice(&payload);
    let (mut ends, mut length) = (Vec::new(), 0);
    for (at, byte) in payload.iter().enumerate() {
        length = if *byte == b'n' { length + 1 } else { 0 };
        if length == NAME {
            ends.push(HEADER_SIZE + at + 1);
            length = 0;
        }
    }
    (block, ends)
}

fn envelope(message: Message) -> Envelope {
    Envelope {
        pid: std::process::id(),
        message,
    }
}

/// A large message whose names are `n` only.
fn message(kind: &str, number: u64) -> Message {
    let name = "n".repeat(NAME);
    // A short text can become much larger once it is parsed.
    let details = format!("[{}0]", "1,".repeat(DETAILS / 2));
    let site = Site {
        kind: Kind::Sometimes,
        message: name.clone(),
        file: name.clone(),
        module: name.clone(),
        line: 1,
        column: 1,
    };
    match kind {
        "assert" => Message::Assert(Assertion {
            site,
            condition: true,
            details,
        }),
        "catalog" => Message::Catalog {
            sites: vec![site; 30],
        },
        "setup" => Message::SetupComplete { details },
        "publish" => Message::Publish {
            key: "value".to_owned(),
            value: Value::Text(name),
        },
        "history" => Message::History(Operation {
            history: "kv".to_owned(),
            process: 0,
            op: if number.is_multiple_of(2) {
                OpKind::Invoke
            } else {
                OpKind::Ok
            },
            f: "write".to_owned(),
            key: Some(name),
            value: details,
        }),
        "point" => Message::FaultPoint { name, taken: true },
        _ => Message::Event { name, details },
    }
}
