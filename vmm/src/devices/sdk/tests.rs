//! Tests of the SDK port with page tables made by hand.

use chaosrun_protocol::port::STATUS_NONE;

use super::*;
use crate::ram::GuestRam;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const USER: u64 = 4;
const LARGE: u64 = 128;
const ALL: u64 = PRESENT | WRITABLE | USER;

/// Page tables.
const ROOT: u64 = 0x1000;
const TABLES: [u64; 3] = [0x2000, 0x3000, 0x4000];
/// Where programs see their block, and the two pages behind it in the wrong order.
const BLOCK: u64 = 0x7fff_0000_0000;
const FIRST: u64 = 0x9000;
const SECOND: u64 = 0x8000;

fn put(ram: &mut GuestRam, table: u64, index: u64, entry: u64) {
    assert!(ram.write(table + 8 * index, &entry.to_le_bytes()));
}

/// The indices of an address, from the root's on.
fn indices(address: u64) -> [u64; 4] {
    [39, 30, 21, 12].map(|shift| address >> shift & 511)
}

/// RAM in which the two pages are mapped with these rights.
fn mapped(rights: u64) -> GuestRam {
    let mut ram = GuestRam::new(4 << 20).unwrap();
    let [root, first, second, third] = indices(BLOCK);
    put(&mut ram, ROOT, root, TABLES[0] | ALL);
    put(&mut ram, TABLES[0], first, TABLES[1] | ALL);
    put(&mut ram, TABLES[1], second, TABLES[2] | ALL);
    put(&mut ram, TABLES[2], third, FIRST | rights);
    put(&mut ram, TABLES[2], third + 1, SECOND | rights | 1 << 63);
    ram
}

/// A program in long mode that calls with a block at `rdi`.
fn program(rdi: u64) -> CpuState {
    let mut state: CpuState = postcard::from_bytes(&[0; 4096]).unwrap();
    state.cr0 = 1 << 31 | 1;
    state.cr3 = ROOT;
    state.msrs.efer = 1 << 10 | 1 << 8;
    state.segments[1].selector = 0x33;
    state.gpr[7] = rdi;
    state
}

struct Rig {
    ram: GuestRam,
    sdk: SdkState,
    tape: Tape,
    wall: WallClock,
    tsc_read: Option<VirtTime>,
    identity: Option<&'static [u8]>,
    effects: Vec<Effect>,
}

impl Rig {
    fn new(ram: GuestRam) -> Self {
        Self {
            ram,
            sdk: SdkState::new("n1"),
            tape: Tape::new(4),
            wall: WallClock::new(1_000, 30),
            tsc_read: None,
            identity: None,
            effects: Vec::new(),
        }
    }

    /// Calls and returns the header behind `gpa` afterwards.
    fn call(&mut self, caller: &CpuState, gpa: u64) -> Header {
        self.sdk.write(0, PORT, 4, 0);
        assert_eq!(self.sdk.caller(), Some(0));
        let world = Surroundings {
            tape: &self.tape,
            wall: &self.wall,
            tsc_read: self.tsc_read,
            identity: self.identity,
            now: VirtTime(500),
        };
        self.sdk
            .serve(caller, &mut self.ram, &world, &mut self.effects);
        assert_eq!(self.sdk.caller(), None);
        let mut bytes = [0; HEADER_SIZE];
        assert!(self.ram.read(gpa, &mut bytes));
        Header::from_bytes(&bytes)
    }

    /// Puts a block at the start of the first page.
    fn block(&mut self, header: Header, payload: &[u8]) {
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend(payload);
        let (front, back) = bytes.split_at(bytes.len().min(4096));
        assert!(self.ram.write(FIRST, front) && self.ram.write(SECOND, back));
    }
}

#[test]
fn message_across_two_scattered_pages_arrives_whole() {
    let mut rig = Rig::new(mapped(ALL));
    let payload: Vec<u8> = (0..6000).map(|at| (at % 253) as u8).collect();
    rig.block(Header::new(Op::Send, 6000), &payload);
    assert_eq!(rig.call(&program(BLOCK), FIRST).status, STATUS_DONE);
    assert_eq!(rig.effects, [Effect::Sdk(payload)]);
}

#[test]
fn hello_is_answered_with_the_version() {
    let mut rig = Rig::new(mapped(ALL));
    rig.block(Header::new(Op::Hello, 0), &[]);
    let header = rig.call(&program(BLOCK), FIRST);
    assert_eq!((header.status, header.reply), (STATUS_DONE, 1));
}

#[test]
fn pages_that_the_caller_may_not_touch_stay_as_they_are() {
    let outside = [
        (PRESENT | WRITABLE, BLOCK),
        (PRESENT | USER, BLOCK),
        (WRITABLE | USER, BLOCK),
        (ALL, BLOCK - 4096),
        (ALL, BLOCK + 8192),
        (ALL, BLOCK | 1 << 47),
        (ALL, u64::MAX - 7),
        (ALL, 1 << 62),
    ];
    for (rights, address) in outside {
        let mut rig = Rig::new(mapped(rights));
        rig.block(Header::new(Op::Hello, 0), &[]);
        let header = rig.call(&program(address), FIRST);
        assert_eq!(header, Header::new(Op::Hello, 0), "{rights} {address:#x}");
        assert_eq!(rig.effects, []);
    }
    // The kernel itself may use its own pages.
    let mut rig = Rig::new(mapped(PRESENT | WRITABLE));
    rig.block(Header::new(Op::Hello, 0), &[]);
    let mut kernel = program(BLOCK);
    kernel.segments[1].selector = 0x10;
    assert_eq!(rig.call(&kernel, FIRST).status, STATUS_DONE);
}

#[test]
fn payload_with_a_page_missing_does_nothing_until_it_is_there() {
    let mut rig = Rig::new(mapped(ALL));
    let third = indices(BLOCK)[3] + 1;
    put(&mut rig.ram, TABLES[2], third, 0);
    rig.block(Header::new(Op::Send, 5000), &[7; 5000]);
    assert_eq!(rig.call(&program(BLOCK), FIRST).status, 0);
    assert_eq!(rig.effects, []);
    put(&mut rig.ram, TABLES[2], third, SECOND | ALL);
    assert_eq!(rig.call(&program(BLOCK), FIRST).status, STATUS_DONE);
    assert_eq!(rig.effects, [Effect::Sdk(vec![7; 5000])]);
}

#[test]
fn large_pages_and_five_levels_are_followed() {
    let [root, first, second, _] = indices(BLOCK);
    for level in 0..3 {
        let mut ram = mapped(ALL);
        let offset = match level {
            0 => {
                put(&mut ram, TABLES[1], second, LARGE | ALL);
                FIRST
            }
            1 => {
                put(&mut ram, TABLES[0], first, LARGE | ALL);
                FIRST
            }
            _ => {
                put(&mut ram, 0x5000, 0, ROOT | ALL);
                0
            }
        };
        let mut rig = Rig::new(ram);
        rig.block(Header::new(Op::Hello, 0), &[]);
        let mut caller = program(BLOCK + offset);
        if level == 2 {
            (caller.cr3, caller.cr4) = (0x5000, 1 << 12);
        }
        assert_eq!(rig.call(&caller, FIRST).status, STATUS_DONE, "{level}");
    }
    // A root entry can't be a page.
    let mut ram = mapped(ALL);
    put(&mut ram, ROOT, root, LARGE | ALL);
    let mut rig = Rig::new(ram);
    rig.block(Header::new(Op::Hello, 0), &[]);
    assert_eq!(rig.call(&program(BLOCK), FIRST).status, 0);
}

#[test]
fn tables_behind_ram_are_nothing() {
    let mut rig = Rig::new(mapped(ALL));
    let mut caller = program(BLOCK);
    for cr3 in [4 << 20, 0x000f_ffff_ffff_f000] {
        caller.cr3 = cr3;
        rig.call(&caller, FIRST);
    }
    assert_eq!(rig.effects, []);
}

#[test]
fn wrong_headers_are_refused_and_told() {
    let good = Header::new(Op::Send, 4);
    for header in [
        Header { magic: 0, ..good },
        Header { version: 9, ..good },
        Header { op: 99, ..good },
        Header {
            len: u32::MAX,
            ..good
        },
    ] {
        let mut rig = Rig::new(mapped(ALL));
        rig.block(header, &[0; 4]);
        assert_eq!(rig.call(&program(BLOCK), FIRST).status, STATUS_REFUSED);
        assert!(matches!(rig.effects[..], [Effect::BadSdkCall(_)]));
    }
}

#[test]
fn calls_that_point_to_no_block_are_told() {
    let mut rig = Rig::new(mapped(ALL));
    rig.call(&program(BLOCK + 4), FIRST);
    let mut real_mode = program(BLOCK);
    real_mode.cr0 = 0;
    rig.call(&real_mode, FIRST);
    rig.sdk.write(0, PORT, 4, 1);
    let world = Surroundings {
        tape: &rig.tape,
        wall: &rig.wall,
        tsc_read: None,
        identity: None,
        now: VirtTime(500),
    };
    rig.sdk
        .serve(&program(BLOCK), &mut rig.ram, &world, &mut rig.effects);
    let reasons = [
        "the block is not aligned",
        "the vCPU is not in long mode",
        "EAX is not 0",
    ];
    assert_eq!(rig.effects, reasons.map(Effect::BadSdkCall));
    // Neither another size nor another port is a call.
    rig.sdk.write(0, PORT, 1, 0);
    rig.sdk.write(0, PORT + 4, 4, 0);
    assert_eq!(rig.sdk.caller(), None);
    assert!(SdkState::owns(0x157) && !SdkState::owns(0x158) && !SdkState::owns(0x14f));
}

#[test]
fn random_numbers_are_those_of_the_named_stream() {
    let mut rig = Rig::new(mapped(ALL));
    let mut draw = |name: &[u8]| {
        rig.block(Header::new(Op::Random, name.len() as u32), name);
        let header = rig.call(&program(BLOCK), FIRST);
        (header.status, header.reply)
    };
    let tape = Tape::new(4);
    let (mut a, mut b) = (tape.stream("n1/sdk/a"), tape.stream("n1/sdk/b"));
    assert_eq!(draw(b"a"), (STATUS_DONE, a.any()));
    assert_eq!(draw(b"b"), (STATUS_DONE, b.any()));
    assert_eq!(draw(b"a"), (STATUS_DONE, a.any()));
    assert_eq!(draw(b"\xff").0, STATUS_REFUSED);
    assert_eq!(draw(&[b'x'; 65]).0, STATUS_REFUSED);
    for name in 0..254 {
        draw(format!("name{name}").as_bytes());
    }
    // No room for more names: they share a stream, and the known ones go on.
    let mut shared = tape.stream("n1/sdk");
    assert_eq!(draw(b"more"), (STATUS_DONE, shared.any()));
    assert_eq!(draw(b"yet more"), (STATUS_DONE, shared.any()));
    assert_eq!(draw(b"b"), (STATUS_DONE, b.any()));
}

#[test]
fn the_date_is_told_for_now_and_for_the_last_look_at_the_counter() {
    let mut rig = Rig::new(mapped(ALL));
    let ask = |rig: &mut Rig, op, payload: &[u8]| {
        rig.block(Header::new(op, payload.len() as u32), payload);
        let header = rig.call(&program(BLOCK), FIRST);
        (header.status, header.reply as i64)
    };
    assert_eq!(ask(&mut rig, Op::Date, &[]), (STATUS_DONE, 1_530));
    rig.tsc_read = Some(VirtTime(440));
    assert_eq!(ask(&mut rig, Op::Date, AT_TSC), (STATUS_DONE, 1_470));
    assert_eq!(ask(&mut rig, Op::DateMoved, &[]), (STATUS_DONE, 30));
    rig.wall.set_moved(-9_000);
    assert_eq!(ask(&mut rig, Op::Date, &[]), (STATUS_DONE, -7_500));
    assert_eq!(ask(&mut rig, Op::DateMoved, &[]), (STATUS_DONE, -9_000));
    assert_eq!(ask(&mut rig, Op::Date, b"x").0, STATUS_REFUSED);
}

/// Asks for the description from `offset` on with room for `room` bytes: the header afterwards, and the room.
fn ask(rig: &mut Rig, offset: u64, room: usize) -> (Header, Vec<u8>) {
    let mut payload = vec![0xee; room];
    payload[..8].copy_from_slice(&offset.to_le_bytes());
    rig.block(Header::new(Op::Node, room as u32), &payload);
    let header = rig.call(&program(BLOCK), FIRST);
    let mut first = vec![0; room.min(4096 - HEADER_SIZE)];
    let mut second = vec![0; room - first.len()];
    assert!(rig.ram.read(FIRST + HEADER_SIZE as u64, &mut first));
    assert!(rig.ram.read(SECOND, &mut second));
    first.append(&mut second);
    (header, first)
}

#[test]
fn a_description_is_told_in_parts_across_pages_and_not_beyond_its_end() {
    static TEXT: [u8; 7000] = {
        let mut text = [0; 7000];
        let mut at = 0;
        while at < text.len() {
            text[at] = (at % 251) as u8;
            at += 1;
        }
        text
    };
    let mut rig = Rig::new(mapped(ALL));
    rig.identity = Some(&TEXT);
    for (offset, room) in [(0, 8), (0, 6000), (3000, 6000), (6999, 100), (7000, 16)] {
        let (header, told) = ask(&mut rig, offset, room);
        assert_eq!((header.status, header.reply), (STATUS_DONE, 7000));
        let rest = &TEXT[offset as usize..];
        let part = rest.len().min(room);
        assert_eq!(told[..part], rest[..part], "{offset} {room}");
        // The offset is left where nothing takes its place.
        let mut before = vec![0xee; room];
        before[..8].copy_from_slice(&offset.to_le_bytes());
        assert_eq!(told[part..], before[part..], "{offset} {room}");
    }
    let (header, _) = ask(&mut rig, u64::MAX, 64);
    assert_eq!((header.status, header.reply), (STATUS_DONE, 7000));
    rig.identity = None;
    let (header, _) = ask(&mut rig, 0, 64);
    assert_eq!((header.status, header.reply), (STATUS_DONE, 0));
}

#[test]
fn a_description_is_written_whole_or_not_at_all() {
    let mut rig = Rig::new(mapped(ALL));
    rig.identity = Some(&[7; 6000]);
    rig.block(Header::new(Op::Node, 6000), &[0; 6000]);
    // The second page can be read, and not be written.
    let [.., third] = indices(BLOCK);
    put(&mut rig.ram, TABLES[2], third + 1, SECOND | PRESENT | USER);
    let header = rig.call(&program(BLOCK), FIRST);
    assert_eq!(header.status, STATUS_NONE, "the program will try again");
    let mut byte = [9];
    assert!(rig.ram.read(FIRST + HEADER_SIZE as u64, &mut byte));
    assert_eq!(byte, [0]);
}

#[test]
fn only_questions_about_the_node_or_its_life_need_an_identity() {
    let mut rig = Rig::new(mapped(ALL));
    let ops = [
        (Op::Hello, false),
        (Op::Send, false),
        (Op::Random, true),
        (Op::Date, true),
        (Op::DateMoved, true),
        (Op::Node, true),
    ];
    for (op, expected) in ops {
        rig.block(Header::new(op, 8), &[0; 8]);
        let needs = |rig: &Rig| rig.sdk.needs_identity(&program(BLOCK), &rig.ram);
        assert!(!needs(&rig), "nobody calls yet");
        rig.sdk.write(0, PORT, 4, 0);
        assert_eq!(needs(&rig), expected, "{op:?}");
        rig.call(&program(BLOCK), FIRST);
    }
}
