//! The guest's side of the queues.

use chaosrun_x86::Memory;

use crate::devices::Effect;
use crate::devices::virtio::{Environment, Parts, VirtioState};
use crate::disk::Disk;
use crate::ram::GuestRam;
use crate::tape::{Stream, Tape};
use crate::time::VirtTime;

pub const STATUS: u64 = 0x070;
pub const NOTIFY: u64 = 0x050;
pub const INTERRUPT: u64 = 0x060;
pub const ACKNOWLEDGE: u64 = 0x064;
pub const LIVE: u32 = 15;
pub const NEEDS_RESET: u32 = 64;
pub const INDIRECT: u32 = 1 << 28;
const VERSION_1: u32 = 1;

/// Entries of the queues that this driver makes.
pub const ENTRIES: u16 = 16;

/// Someone who can access a device's registers and the RAM.
pub trait Guest {
    fn read(&mut self, slot: usize, offset: u64) -> u32;
    fn write(&mut self, slot: usize, offset: u64, value: u32);
    fn memory(&mut self) -> &mut Memory;
}

/// A buffer of a request.
#[derive(Debug, Clone)]
pub enum Buffer {
    /// The device reads these bytes.
    Out(Vec<u8>),
    /// The device writes so many bytes.
    In(u32),
    /// The device writes so many bytes here.
    InAt(u64, u32),
}

/// A virtqueue in RAM: the descriptors, then the rings, then room for buffers.
pub struct Ring {
    pub slot: usize,
    pub queue: u32,
    pub base: u64,
    free: u64,
    next_descriptor: u16,
    submitted: u16,
    seen: u16,
}

impl Ring {
    pub const AVAILABLE: u64 = 0x400;
    pub const USED: u64 = 0x800;
    const BUFFERS: u64 = 0x1000;

    /// Adds a request without a notification. Returns its head and the addresses of its buffers.
    pub fn add(&mut self, guest: &mut impl Guest, buffers: &[Buffer]) -> (u16, Vec<u64>) {
        let head = self.next_descriptor;
        let mut places = Vec::new();
        for (index, buffer) in (1..).zip(buffers) {
            let (gpa, len, write) = self.place(guest, buffer);
            let last = index == buffers.len();
            let flags = u16::from(!last) | u16::from(write) << 1;
            let slot = self.next_descriptor;
            self.next_descriptor = (slot + 1) % ENTRIES;
            self.describe(guest, slot, gpa, len, flags, self.next_descriptor);
            places.push(gpa);
        }
        self.offer(guest, head);
        (head, places)
    }

    /// Puts a buffer into RAM.
    pub fn place(&mut self, guest: &mut impl Guest, buffer: &Buffer) -> (u64, u32, bool) {
        let gpa = self.base + Self::BUFFERS + self.free;
        let (gpa, len, write) = match buffer {
            Buffer::Out(bytes) => {
                assert!(guest.memory().write(gpa, bytes));
                (gpa, bytes.len() as u32, false)
            }
            Buffer::In(len) => (gpa, *len, true),
            Buffer::InAt(gpa, len) => return (*gpa, *len, true),
        };
        self.free += u64::from(len).next_multiple_of(16);
        (gpa, len, write)
    }

    /// Writes a descriptor.
    pub fn describe(
        &self,
        guest: &mut impl Guest,
        index: u16,
        gpa: u64,
        len: u32,
        flags: u16,
        next: u16,
    ) {
        let at = self.base + 16 * u64::from(index);
        write_descriptor(guest, at, gpa, len, flags, next);
    }

    /// Puts a head into the available ring.
    pub fn offer(&mut self, guest: &mut impl Guest, head: u16) {
        let ring = self.base + Self::AVAILABLE;
        let slot = u64::from(self.submitted % ENTRIES);
        self.submitted = self.submitted.wrapping_add(1);
        let memory = guest.memory();
        assert!(memory.write(ring + 4 + 2 * slot, &head.to_le_bytes()));
        assert!(memory.write(ring + 2, &self.submitted.to_le_bytes()));
    }

    /// Tells the device to look.
    pub fn notify(&self, guest: &mut impl Guest) {
        guest.write(self.slot, NOTIFY, self.queue);
    }

    /// Takes the next entry of the used ring: head and number of bytes written.
    pub fn used(&mut self, guest: &mut impl Guest) -> Option<(u16, u32)> {
        let ring = self.base + Self::USED;
        let (mut end, mut element) = ([0; 2], [0; 8]);
        assert!(guest.memory().read(ring + 2, &mut end));
        if u16::from_le_bytes(end) == self.seen {
            return None;
        }
        let slot = u64::from(self.seen % ENTRIES);
        self.seen = self.seen.wrapping_add(1);
        assert!(guest.memory().read(ring + 4 + 8 * slot, &mut element));
        let [h0, h1, _, _, len @ ..] = element;
        Some((u16::from_le_bytes([h0, h1]), u32::from_le_bytes(len)))
    }
}

pub fn write_descriptor(
    guest: &mut impl Guest,
    at: u64,
    gpa: u64,
    len: u32,
    flags: u16,
    next: u16,
) {
    let mut bytes = gpa.to_le_bytes().to_vec();
    bytes.extend(len.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(next.to_le_bytes());
    assert!(guest.memory().write(at, &bytes));
}

pub fn bytes_at(guest: &mut impl Guest, gpa: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    assert!(guest.memory().read(gpa, &mut bytes));
    bytes
}

/// Agrees with a device on `low` of the lower features and VERSION_1, and returns whether it did.
pub fn negotiate(guest: &mut impl Guest, slot: usize, low: u32, high: u32) -> bool {
    for status in [0, 1, 3] {
        guest.write(slot, STATUS, status);
    }
    for (half, features) in [(0, low), (1, high)] {
        guest.write(slot, 0x024, half);
        guest.write(slot, 0x020, features);
    }
    guest.write(slot, STATUS, 11);
    guest.read(slot, STATUS) == 11
}

/// The lower features that a device offers.
pub fn offered(guest: &mut impl Guest, slot: usize) -> u32 {
    guest.write(slot, 0x014, 0);
    guest.read(slot, 0x010)
}

/// Makes `queues` queues of a device at `base` and lets it work.
pub fn set_up(
    guest: &mut impl Guest,
    slot: usize,
    features: u32,
    queues: u32,
    base: u64,
) -> Vec<Ring> {
    assert!(negotiate(guest, slot, features, VERSION_1));
    let rings = (0..queues)
        .map(|queue| make_queue(guest, slot, queue, base + u64::from(queue) * 0x2_0000))
        .collect();
    guest.write(slot, STATUS, LIVE);
    rings
}

pub fn make_queue(guest: &mut impl Guest, slot: usize, queue: u32, base: u64) -> Ring {
    guest.write(slot, 0x030, queue);
    guest.write(slot, 0x038, ENTRIES.into());
    for (register, address) in [
        (0x080, base),
        (0x090, base + Ring::AVAILABLE),
        (0x0a0, base + Ring::USED),
    ] {
        guest.write(slot, register, address as u32);
        guest.write(slot, register + 4, (address >> 32) as u32);
    }
    assert!(guest.memory().write(base, &[0; 0x1000]));
    guest.write(slot, 0x044, 1);
    assert_eq!(guest.read(slot, 0x044), 1);
    Ring {
        slot,
        queue,
        base,
        free: 0,
        next_descriptor: 0,
        submitted: 0,
        seen: 0,
    }
}

/// Devices without a machine around them.
pub struct Rig {
    pub ram: GuestRam,
    pub state: VirtioState,
    pub disks: Vec<Disk>,
    pub entropy: Stream,
    pub now: VirtTime,
    pub effects: Vec<Effect>,
}

impl Rig {
    pub fn new(console: bool, entropy: bool, disks: Vec<Disk>, nics: usize) -> Self {
        let nics: Vec<[u8; 6]> = (0..nics).map(|nic| [2, 0, 0, 0, 0, nic as u8]).collect();
        let state = VirtioState::new(&Parts {
            console,
            entropy,
            disks: &disks,
            nics: &nics,
        });
        Self {
            ram: GuestRam::new(4 << 20).unwrap(),
            state,
            disks,
            entropy: Tape::new(1).stream("n/entropy"),
            now: VirtTime(1000),
            effects: Vec::new(),
        }
    }

    pub fn with<T>(
        &mut self,
        step: impl FnOnce(&mut VirtioState, &mut Environment<'_>, &mut Vec<Effect>) -> T,
    ) -> T {
        let mut env = Environment {
            now: self.now,
            memory: &mut self.ram,
            disks: &mut self.disks,
            entropy: &mut self.entropy,
        };
        step(&mut self.state, &mut env, &mut self.effects)
    }

    /// Lets time pass.
    pub fn wait(&mut self, nanos: u64) {
        self.now = self.now.after(nanos);
        self.with(VirtioState::service);
    }

    /// Lets time pass until nothing is under way.
    pub fn finish(&mut self) {
        while let Some(due) = self.state.deadline() {
            self.now = self.now.max(due);
            self.with(VirtioState::service);
        }
    }

    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Acknowledges what a device interrupts for.
    pub fn acknowledge(&mut self, slot: usize) -> u32 {
        let status = self.read(slot, INTERRUPT);
        self.write(slot, ACKNOWLEDGE, status);
        status
    }
}

impl Guest for Rig {
    fn read(&mut self, slot: usize, offset: u64) -> u32 {
        self.state.read(slot, offset, 4) as u32
    }

    fn write(&mut self, slot: usize, offset: u64, value: u32) {
        self.state
            .write(slot, offset, 4, value.into(), &mut self.effects);
        if self.state.is_notified() {
            self.with(VirtioState::service);
        }
    }

    fn memory(&mut self) -> &mut Memory {
        &mut self.ram
    }
}
