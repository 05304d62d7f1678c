//! Routes what leaves a CPU to the device that claims it.
//!
//! A read that nobody claims gives all ones and a write that nobody claims is dropped, as on a PC's
//! bus; both are counted.

use chaosrun_x86::{Access, Bus};

use super::platform::{Platform, PlatformState};
use crate::devices::pic::PicState;
use crate::devices::pit::PitState;
use crate::devices::reset::ResetState;
use crate::devices::rtc::RtcState;
use crate::devices::sdk::SdkState;
use crate::devices::serial::SerialState;
use crate::devices::{Effect, ioapic, lapic};
use crate::dlog::{Event, Transfer};
use crate::ram::map;
use crate::time::VirtTime;

/// A register page of 32-bit registers, by the offset in it.
enum Page {
    Lapic(u32),
    Ioapic(u32),
    /// A virtio device and the offset.
    Virtio(usize, u64),
}

impl Platform {
    /// The register page at `gpa` as `vcpu` sees it: each vCPU sees its own local APIC.
    fn page(&self, vcpu: u32, gpa: u64) -> Option<Page> {
        let own = self.state.lapics[vcpu as usize].mmio_base();
        if let Some(base) = own
            && let Some(offset) = gpa.checked_sub(base)
            && offset < lapic::PAGE_SIZE
        {
            return Some(Page::Lapic(offset as u32));
        }
        if let Some(offset) = gpa.checked_sub(ioapic::BASE)
            && offset < ioapic::PAGE_SIZE
        {
            return Some(Page::Ioapic(offset as u32));
        }
        let offset = gpa.checked_sub(map::VIRTIO_MMIO)?;
        let slot = usize::try_from(offset / map::VIRTIO_MMIO_STRIDE).ok()?;
        (slot < self.state.virtio.len())
            .then_some(Page::Virtio(slot, offset % map::VIRTIO_MMIO_STRIDE))
    }

    /// Writes an access to the log.
    fn note_access(&mut self, at: &Access, event: fn(Transfer) -> Event, transfer: Transfer) {
        if self.log.is_some() {
            let (time, retired) = (self.moment(at), self.retired_at(at));
            if let Some(log) = &mut self.log {
                log.write(time, retired, &event(transfer));
            }
        }
    }
}

/// The low `size` bytes set.
fn mask(size: u8) -> u64 {
    if size >= 8 {
        u64::MAX
    } else {
        (1 << (8 * u32::from(size))) - 1
    }
}

impl Bus for Platform {
    fn read_mmio(&mut self, at: &mut Access, gpa: u64, size: u8) -> u64 {
        let vcpu = at.vcpu as usize;
        let value = match self.page(at.vcpu, gpa) {
            // A read of less than a register gives its part; one of more has no upper half.
            Some(Page::Lapic(offset)) => self.serve(at, |state, now, _| {
                u64::from(state.lapics[vcpu].read(offset & !3, now)) >> (8 * (offset & 3))
            }),
            Some(Page::Ioapic(offset)) => self.serve(at, |state, _, _| {
                u64::from(state.ioapic.read(offset & !3)) >> (8 * (offset & 3))
            }),
            Some(Page::Virtio(slot, offset)) => {
                self.serve(at, |state, _, _| state.virtio.read(slot, offset, size))
            }
            None => {
                self.state.unclaimed += 1;
                u64::MAX
            }
        } & mask(size);
        let transfer = Transfer {
            vcpu: at.vcpu,
            write: false,
            address: gpa,
            size,
            value,
        };
        self.note_access(at, Event::Mmio, transfer);
        value
    }

    fn write_mmio(&mut self, at: &mut Access, gpa: u64, size: u8, value: u64) {
        let transfer = Transfer {
            vcpu: at.vcpu,
            write: true,
            address: gpa,
            size,
            value,
        };
        self.note_access(at, Event::Mmio, transfer);
        let vcpu = at.vcpu as usize;
        // The registers of both APICs take 32-bit writes only (SDM vol. 3, 11.4.1); a larger one
        // counts as its lower half.
        let aligned = size >= 4 && gpa.is_multiple_of(4);
        match self.page(at.vcpu, gpa) {
            Some(Page::Virtio(slot, offset)) => self.serve(at, |state, _, effects| {
                state.virtio.write(slot, offset, size, value, effects);
            }),
            Some(_) if !aligned => self.state.unclaimed += 1,
            Some(Page::Lapic(offset)) => self.serve(at, |state, now, effects| {
                state.lapics[vcpu].write(offset, value as u32, now, effects);
            }),
            Some(Page::Ioapic(offset)) => self.serve(at, |state, _, effects| {
                state.ioapic.write(offset, value as u32, effects);
            }),
            None => self.state.unclaimed += 1,
        }
    }

    fn read_port(&mut self, at: &mut Access, port: u16, size: u8) -> u32 {
        let mut value = 0;
        for index in 0..u16::from(size.min(4)) {
            let byte = self.serve(at, |state, now, effects| {
                read_byte(state, port.wrapping_add(index), now, effects)
            });
            value |= u32::from(byte) << (8 * index);
        }
        let transfer = Transfer {
            vcpu: at.vcpu,
            write: false,
            address: port.into(),
            size,
            value: value.into(),
        };
        self.note_access(at, Event::Port, transfer);
        value
    }

    fn write_port(&mut self, at: &mut Access, port: u16, size: u8, value: u32) {
        let transfer = Transfer {
            vcpu: at.vcpu,
            write: true,
            address: port.into(),
            size,
            value: value.into(),
        };
        self.note_access(at, Event::Port, transfer);
        if SdkState::owns(port) {
            self.serve(at, |state, _, _| {
                state.sdk.write(transfer.vcpu, port, size, value);
            });
            return;
        }
        for (index, byte) in (0..).zip(value.to_le_bytes()).take(size.into()) {
            self.serve(at, |state, now, effects| {
                write_byte(state, port.wrapping_add(index), byte, now, effects);
            });
        }
    }

    fn read_msr(&mut self, at: &mut Access, index: u32) -> Option<u64> {
        if !lapic::owns_msr(index) {
            return None;
        }
        let vcpu = at.vcpu as usize;
        let value = self.serve(at, |state, now, _| state.lapics[vcpu].read_msr(index, now))?;
        let transfer = Transfer {
            vcpu: at.vcpu,
            write: false,
            address: index.into(),
            size: 8,
            value,
        };
        self.note_access(at, Event::Msr, transfer);
        Some(value)
    }

    fn write_msr(&mut self, at: &mut Access, index: u32, value: u64) -> bool {
        let transfer = Transfer {
            vcpu: at.vcpu,
            write: true,
            address: index.into(),
            size: 8,
            value,
        };
        self.note_access(at, Event::Msr, transfer);
        let vcpu = at.vcpu as usize;
        lapic::owns_msr(index)
            && self.serve(at, |state, now, effects| {
                state.lapics[vcpu].write_msr(index, value, now, effects)
            })
    }

    fn apic_enabled(&mut self, at: &mut Access) -> bool {
        self.state.lapics[at.vcpu as usize].is_enabled()
    }

    fn read_tsc(&mut self, at: &mut Access) -> u64 {
        self.tsc_reads += 1;
        let now = self.moment(at);
        self.state.tsc_read = Some(now);
        self.state.tsc.tsc(now)
    }

    fn tsc_adjusted(&mut self, at: &mut Access, adjust: u64) {
        let vcpu = at.vcpu as usize;
        let clock = self.state.tsc.shifted(adjust);
        self.serve(at, |state, now, _| state.lapics[vcpu].set_tsc(clock, now));
    }

    fn read_cr8(&mut self, at: &mut Access) -> u64 {
        self.state.lapics[at.vcpu as usize].cr8()
    }

    fn write_cr8(&mut self, at: &mut Access, value: u64) {
        let vcpu = at.vcpu as usize;
        self.serve(at, |state, _, _| state.lapics[vcpu].set_cr8(value));
    }

    fn random(&mut self, _at: &mut Access) -> u64 {
        self.random.any()
    }
}

fn read_byte(state: &mut PlatformState, port: u16, now: VirtTime, effects: &mut Vec<Effect>) -> u8 {
    if SerialState::owns(port) {
        state.serial.read(port, effects)
    } else if PicState::owns(port) {
        state.pic.read(port, effects)
    } else if PitState::owns(port) {
        state.pit.read(port, now)
    } else if RtcState::owns(port) {
        state.rtc.read(port, now, effects)
    } else if ResetState::owns(port) {
        state.reset.read(port)
    } else {
        state.unclaimed += 1;
        u8::MAX
    }
}

fn write_byte(
    state: &mut PlatformState,
    port: u16,
    value: u8,
    now: VirtTime,
    effects: &mut Vec<Effect>,
) {
    if SerialState::owns(port) {
        state.serial.write(port, value, effects);
    } else if PicState::owns(port) {
        state.pic.write(port, value, effects);
    } else if PitState::owns(port) {
        state.pit.write(port, value, now, effects);
    } else if RtcState::owns(port) {
        state.rtc.write(port, value, now, effects);
    } else if ResetState::owns(port) {
        state.reset.write(port, value, effects);
    } else {
        state.unclaimed += 1;
    }
}
