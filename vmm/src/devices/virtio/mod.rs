//! The virtio devices of a machine (virtio 1.2), each behind registers in memory.
//!
//! A register access has no RAM at hand: a notification is only noted, and the machine calls
//! [`VirtioState::service`] at the same virtual moment, before anything else is executed. So a
//! device's work happens in one place, whether it was asked for by the guest, by time or from outside.

pub mod block;
pub mod console;
mod entropy;
mod mmio;
pub mod net;
pub mod queue;
#[cfg(test)]
pub(crate) mod tests;

use chaosrun_x86::Memory;
use serde::{Deserialize, Serialize};

use super::{Deadline, Effect};
use crate::disk::Disk;
use crate::ram::map::VIRTIO_GSI;
use crate::tape::Stream;
use crate::time::VirtTime;
use block::BlockState;
use console::ConsoleState;
use mmio::{CONFIG, Transport, Written};
use net::NetState;
use queue::Broken;

/// Device IDs (virtio 1.2, 5).
const ID_NET: u32 = 1;
const ID_BLOCK: u32 = 2;
const ID_CONSOLE: u32 = 3;
const ID_ENTROPY: u32 = 4;

/// The interrupt lines that the devices share in turn.
pub const LINES: u32 = 8;

/// The IOAPIC has a pin for each of the lines.
const _: () = assert!(VIRTIO_GSI + LINES <= super::ioapic::PINS);

/// What a device works with besides its own state.
pub struct Environment<'a> {
    /// The present moment.
    pub now: VirtTime,
    /// The guest's RAM.
    pub memory: &'a mut Memory,
    /// The disks of the machine.
    pub disks: &'a mut [Disk],
    /// The stream of the random numbers that the guest gets.
    pub entropy: &'a mut Stream,
}

/// What lies behind the registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Device {
    Console(ConsoleState),
    Entropy,
    Block(BlockState),
    Net(NetState),
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    transport: Transport,
    device: Device,
}

/// All virtio devices of a machine, in the order of their slots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtioState {
    slots: Vec<Slot>,
    /// Levels of the shared interrupt lines, one bit each.
    lines: u8,
    /// Whether all slots seem to be empty.
    hidden: bool,
}

/// What makes up [`VirtioState`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Parts<'a> {
    /// Whether there is a control console.
    pub console: bool,
    /// Whether there is a source of random numbers.
    pub entropy: bool,
    /// The disks.
    pub disks: &'a [Disk],
    /// The addresses of the network interfaces.
    pub nics: &'a [[u8; 6]],
}

impl Parts<'_> {
    /// How many devices that makes.
    pub fn count(&self) -> usize {
        let singles = usize::from(self.console) + usize::from(self.entropy);
        singles + self.disks.len() + self.nics.len()
    }
}

impl VirtioState {
    /// The devices after reset: console, source of random numbers, disks, network interfaces.
    pub fn new(parts: &Parts<'_>) -> Self {
        let mut slots = Vec::with_capacity(parts.count());
        let mut add = |transport, device| slots.push(Slot { transport, device });
        if parts.console {
            add(
                console::transport(),
                Device::Console(ConsoleState::default()),
            );
        }
        if parts.entropy {
            add(entropy::transport(), Device::Entropy);
        }
        for (index, disk) in parts.disks.iter().enumerate() {
            let device = Device::Block(BlockState::new(index, disk));
            add(block::transport(disk), device);
        }
        for (nic, mac) in parts.nics.iter().enumerate() {
            add(net::transport(), Device::Net(NetState::new(nic, *mac)));
        }
        Self {
            slots,
            lines: 0,
            hidden: false,
        }
    }

    /// From now on all slots seem to be empty, or no longer. Only for devices after reset.
    pub fn set_hidden(&mut self, hidden: bool) {
        self.hidden = hidden;
    }

    /// The number of devices.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no devices.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Network interfaces in their order.
    pub fn nics(&self) -> impl Iterator<Item = &NetState> {
        self.slots.iter().filter_map(|slot| match &slot.device {
            Device::Net(net) => Some(net),
            _ => None,
        })
    }

    /// Whether a device was asked to work, so that [`Self::service`] has to be called now.
    pub fn is_notified(&self) -> bool {
        self.slots.iter().any(|slot| slot.transport.is_notified())
    }

    /// When a device has to be serviced next.
    pub fn deadline(&self) -> Deadline {
        let deadlines = self.slots.iter().filter_map(|slot| match &slot.device {
            Device::Block(block) => block.deadline(),
            _ => None,
        });
        deadlines.min()
    }

    /// Reads `size` bytes (1, 2, 4 or 8) at `offset` in the registers of device `slot`.
    pub fn read(&self, slot: usize, offset: u64, size: u8) -> u64 {
        let Some(slot) = self.slots.get(slot) else {
            return u64::MAX;
        };
        let whole = size == 4 && offset.is_multiple_of(4);
        if self.hidden {
            return if whole {
                mmio::read_placeholder(offset).into()
            } else {
                0
            };
        }
        let Some(start) = offset.checked_sub(CONFIG) else {
            return if whole {
                slot.transport.read(offset).into()
            } else {
                0
            };
        };
        let mut bytes = [0; 8];
        for (at, byte) in (start as usize..).zip(&mut bytes[..usize::from(size.min(8))]) {
            *byte = slot.config(at);
        }
        u64::from_le_bytes(bytes)
    }

    /// Writes `size` bytes (1, 2, 4 or 8) at `offset` in the registers of device `slot`.
    pub fn write(
        &mut self,
        slot: usize,
        offset: u64,
        size: u8,
        value: u64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.slots.get_mut(slot).filter(|_| !self.hidden) else {
            return;
        };
        if let Some(start) = offset.checked_sub(CONFIG) {
            let bytes = value.to_le_bytes();
            for (at, byte) in (start as usize..).zip(&bytes[..usize::from(size.min(8))]) {
                slot.configure(at, *byte);
            }
            return;
        }
        if size != 4 || !offset.is_multiple_of(4) {
            return;
        }
        if slot.transport.write(offset, value as u32) == Written::Reset
            && let Device::Block(block) = &mut slot.device
        {
            block.reset();
        }
        self.update_lines(effects);
    }

    /// Lets the devices do what they were asked for and what is due.
    pub fn service(&mut self, env: &mut Environment<'_>, effects: &mut Vec<Effect>) {
        for slot in &mut self.slots {
            slot.guarded(|slot| slot.service(env, effects));
        }
        self.update_lines(effects);
    }

    /// A frame arrives at network interface `nic`.
    pub fn receive_frame(
        &mut self,
        nic: usize,
        frame: &[u8],
        env: &mut Environment<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let is_net = |slot: &&mut Slot| matches!(slot.device, Device::Net(_));
        if let Some(slot) = self.slots.iter_mut().filter(is_net).nth(nic) {
            slot.guarded(|Slot { transport, device }| match device {
                Device::Net(net) => net.receive(transport, env, frame),
                _ => Ok(()),
            });
        }
        self.update_lines(effects);
    }

    /// Bytes arrive at the control console.
    pub fn receive_control(
        &mut self,
        bytes: &[u8],
        env: &mut Environment<'_>,
        effects: &mut Vec<Effect>,
    ) {
        for slot in &mut self.slots {
            if let Device::Console(console) = &mut slot.device {
                console.receive(bytes);
                slot.guarded(|slot| slot.work(env, effects));
            }
        }
        self.update_lines(effects);
    }

    /// A frame arrives at a network interface that has no driver yet.
    pub fn lose_frame(&mut self, nic: usize) {
        let mut nets = self
            .slots
            .iter_mut()
            .filter_map(|slot| match &mut slot.device {
                Device::Net(net) => Some(net),
                _ => None,
            });
        if let Some(net) = nets.nth(nic) {
            net.lose();
        }
    }

    /// Bytes arrive at a control console that has no driver yet.
    pub fn keep_control(&mut self, bytes: &[u8]) {
        for slot in &mut self.slots {
            if let Device::Console(console) = &mut slot.device {
                console.receive(bytes);
            }
        }
    }

    /// The machine ends: tells the disks of the writes that were under way.
    pub fn interrupt_disks(&mut self, memory: &Memory, disks: &mut [Disk]) {
        for slot in &mut self.slots {
            if let Device::Block(block) = &mut slot.device {
                block.interrupt(memory, disks);
            }
        }
    }

    /// Derives the levels of the shared lines: a line is asserted while one of its devices asserts.
    fn update_lines(&mut self, effects: &mut Vec<Effect>) {
        let mut lines = 0;
        for (index, slot) in (0..).zip(&self.slots) {
            lines |= u8::from(slot.transport.asserted()) << (index % LINES);
        }
        let changed = lines ^ std::mem::replace(&mut self.lines, lines);
        for line in (0..LINES).filter(|line| changed >> line & 1 != 0) {
            effects.push(Effect::Irq {
                line: VIRTIO_GSI + line,
                asserted: lines >> line & 1 != 0,
            });
        }
    }
}

impl Slot {
    /// Lets the device work; it breaks down if the driver broke the rules.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Broken>) {
        if work(self).is_err() {
            self.transport.break_down();
            if let Device::Block(block) = &mut self.device {
                block.reset_pending();
            }
        }
    }

    /// What is due, and then what was asked for.
    fn service(
        &mut self,
        env: &mut Environment<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Broken> {
        let asked = self.transport.take_notified() != 0;
        if asked {
            self.work(env, effects)?;
        }
        if let Device::Block(block) = &mut self.device {
            if self.transport.is_live() {
                block.complete(&mut self.transport, env)?;
            } else {
                block.reset_pending();
            }
        }
        Ok(())
    }

    /// Looks through the queues.
    fn work(&mut self, env: &mut Environment<'_>, effects: &mut Vec<Effect>) -> Result<(), Broken> {
        let Self { transport, device } = self;
        if !transport.is_live() {
            return Ok(());
        }
        match device {
            Device::Console(console) => console.service(transport, env, effects),
            Device::Entropy => entropy::service(transport, env),
            Device::Block(block) => block.submit(transport, env),
            Device::Net(net) => net.service(transport, env, effects),
        }
    }

    /// A byte of the configuration space; there are none behind its end.
    fn config(&self, at: usize) -> u8 {
        let byte = match &self.device {
            Device::Block(block) => block.config().get(at).copied(),
            Device::Net(net) => net.config().get(at).copied(),
            Device::Console(_) | Device::Entropy => None,
        };
        byte.unwrap_or(0)
    }

    fn configure(&mut self, at: usize, value: u8) {
        if let Device::Block(block) = &mut self.device {
            block.configure(&self.transport, at, value);
        }
    }
}
