//! The registers of a virtio device in memory (virtio 1.2, 4.2), the modern interface only.

use chaosrun_x86::Memory;
use serde::{Deserialize, Serialize};

use super::queue::{Broken, Chain, Queue, SIZE_MAX};
use crate::invariant::invariant;

/// "virt"
const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
/// "CRUN", since no vendor is registered for MMIO.
const VENDOR: u32 = 0x4e55_5243;

/// What the register at `offset` shows where no device is: a placeholder without a function (4.2.3.1.1).
pub fn read_placeholder(offset: u64) -> u32 {
    match offset {
        0x000 => MAGIC,
        0x004 => VERSION,
        0x00c => VENDOR,
        _ => 0,
    }
}

/// Features of every device.
const INDIRECT_DESCRIPTORS: u64 = 1 << 28;
const VERSION_1: u64 = 1 << 32;

/// Bits of the device status.
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
const NEEDS_RESET: u32 = 64;
const FAILED: u32 = 128;

/// Bits of the interrupt status.
const USED_BUFFER: u32 = 1;
const CONFIG_CHANGE: u32 = 2;

/// Where a device's own registers start.
pub const CONFIG: u64 = 0x100;

/// What a write to a register means to the device behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Nothing.
    Nothing,
    /// The driver has work for it.
    Work,
    /// It has to forget everything.
    Reset,
}

/// The state of a device's registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transport {
    device: u32,
    offered: u64,
    accepted: u64,
    offered_half: u32,
    accepted_half: u32,
    selected: u32,
    queues: Vec<Queue>,
    status: u32,
    interrupt: u32,
    generation: u32,
    /// The queues that the driver has notified since they were last looked at, one bit each.
    notified: u32,
}

impl Transport {
    /// The registers of a device with this ID after reset.
    pub fn new(device: u32, features: u64, queues: usize) -> Self {
        Self {
            device,
            offered: features | INDIRECT_DESCRIPTORS | VERSION_1,
            accepted: 0,
            offered_half: 0,
            accepted_half: 0,
            selected: 0,
            queues: vec![Queue::default(); queues],
            status: 0,
            interrupt: 0,
            generation: 0,
            notified: 0,
        }
    }

    /// Whether driver and device agreed on all of `features`.
    pub fn has(&self, features: u64) -> bool {
        self.accepted & features == features
    }

    /// Whether the device asserts its interrupt.
    pub fn asserted(&self) -> bool {
        self.interrupt != 0
    }

    /// Whether the driver lets the device work.
    pub fn is_live(&self) -> bool {
        self.status & (DRIVER_OK | NEEDS_RESET | FAILED) == DRIVER_OK
    }

    /// Whether a queue was notified.
    pub fn is_notified(&self) -> bool {
        self.notified != 0
    }

    /// Takes the set of notified queues, which is empty unless the device is live.
    pub fn take_notified(&mut self) -> u32 {
        let notified = std::mem::take(&mut self.notified);
        if self.is_live() { notified } else { 0 }
    }

    /// Queue `index`.
    pub fn queue(&mut self, index: usize) -> &mut Queue {
        &mut self.queues[index]
    }

    /// Takes the next request of queue `index`.
    ///
    /// # Errors
    /// If the queue makes no sense.
    pub fn pop(&mut self, memory: &Memory, index: usize) -> Result<Option<Chain>, Broken> {
        self.queues[index].pop(memory)
    }

    /// Gives a request of queue `index` back, with an interrupt if the driver wants one.
    ///
    /// # Errors
    /// If the queue makes no sense.
    pub fn push(
        &mut self,
        memory: &mut Memory,
        index: usize,
        head: u16,
        written: u32,
    ) -> Result<(), Broken> {
        if self.queues[index].push(memory, head, written)? {
            self.interrupt |= USED_BUFFER;
        }
        Ok(())
    }

    /// The driver broke the rules: nothing happens any more until it resets the device.
    pub fn break_down(&mut self) {
        self.status |= NEEDS_RESET;
        self.interrupt |= CONFIG_CHANGE;
    }

    /// Reads the register at `offset`, which is below [`CONFIG`]. Registers are 32 bits wide.
    pub fn read(&self, offset: u64) -> u32 {
        let queue = self.queues.get(self.selected as usize);
        match offset {
            0x000 => MAGIC,
            0x004 => VERSION,
            0x008 => self.device,
            0x00c => VENDOR,
            0x010 => half(self.offered, self.offered_half),
            0x034 => queue.map_or(0, |_| SIZE_MAX.into()),
            0x044 => queue.map_or(0, |queue| queue.ready.into()),
            0x060 => self.interrupt,
            0x070 => self.status,
            // There is no shared memory, which a length of all ones tells (4.2.2.1).
            0x0b0..=0x0bc => u32::MAX,
            0x0fc => self.generation,
            _ => 0,
        }
    }

    /// Writes the register at `offset`, which is below [`CONFIG`].
    pub fn write(&mut self, offset: u64, value: u32) -> Written {
        match offset {
            0x014 => self.offered_half = value,
            0x020 if self.status & FEATURES_OK == 0 => {
                set_half(&mut self.accepted, self.accepted_half, value);
            }
            0x024 => self.accepted_half = value,
            0x030 => self.selected = value,
            0x050 => return self.notify(value),
            0x064 => self.interrupt &= !value,
            0x070 => return self.set_status(value),
            0x038..=0x0a4 => self.configure(offset, value),
            _ => {}
        }
        Written::Nothing
    }

    fn notify(&mut self, queue: u32) -> Written {
        if queue as usize >= self.queues.len() {
            return Written::Nothing;
        }
        self.notified |= 1 << queue;
        Written::Work
    }

    fn set_status(&mut self, value: u32) -> Written {
        if value == 0 {
            let queues = self.queues.len();
            *self = Self {
                offered: self.offered,
                generation: self.generation.wrapping_add(1),
                ..Self::new(self.device, 0, queues)
            };
            return Written::Reset;
        }
        let was_live = self.is_live();
        self.status = value & 0xff & !NEEDS_RESET | self.status & NEEDS_RESET;
        if self.accepted & !self.offered != 0 || !self.has(VERSION_1) {
            self.status &= !FEATURES_OK;
        }
        invariant!(
            self.status & FEATURES_OK == 0 || self.accepted & !self.offered == 0,
            "the driver has features that the device did not offer"
        );
        if self.is_live() && !was_live {
            // What the driver put into the queues before counts from here on.
            self.notified = (1 << self.queues.len()) - 1;
            return Written::Work;
        }
        Written::Nothing
    }

    /// Writes a register of the selected queue.
    fn configure(&mut self, offset: u64, value: u32) {
        let Some(queue) = self.queues.get_mut(self.selected as usize) else {
            return;
        };
        if offset == 0x044 {
            queue.ready = value & 1 != 0 && queue.is_possible();
            return;
        }
        // A queue in use stays as it is.
        if queue.ready {
            return;
        }
        match offset {
            0x038 => queue.size = u16::try_from(value).unwrap_or(0),
            0x080 => set_half(&mut queue.descriptors, 0, value),
            0x084 => set_half(&mut queue.descriptors, 1, value),
            0x090 => set_half(&mut queue.available, 0, value),
            0x094 => set_half(&mut queue.available, 1, value),
            0x0a0 => set_half(&mut queue.used, 0, value),
            0x0a4 => set_half(&mut queue.used, 1, value),
            _ => {}
        }
    }
}

fn half(value: u64, which: u32) -> u32 {
    match which {
        0 => value as u32,
        1 => (value >> 32) as u32,
        _ => 0,
    }
}

fn set_half(value: &mut u64, which: u32, half: u32) {
    match which {
        0 => *value = *value & !0xffff_ffff | u64::from(half),
        1 => *value = *value & 0xffff_ffff | u64::from(half) << 32,
        _ => {}
    }
}
