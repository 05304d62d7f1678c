//! The machine around the CPU: a scripted bus that records what reaches it.

use chaosrun_x86::{Access, Bus};

/// A write to this port stops the CPU. The exception handlers use it to report.
pub const STOP_PORT: u16 = 0xf4;

/// A model-specific register that the bus owns (IA32_APIC_BASE).
pub const BUS_MSR: u32 = 0x1b;

/// The ticks of the time stamp counter per retired instruction.
pub const TSC_RATE: u64 = 3;

/// Something that reached the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A read of a port: number and size.
    In(u16, u8),
    /// A write to a port: number, size and value.
    Out(u16, u8, u32),
    /// A read of an address that is not RAM: address and size.
    Load(u64, u8),
    /// A write to such an address: address, size and value.
    Store(u64, u8, u64),
}

/// The bus. Its answers depend on nothing but the accesses so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What reached the bus, without the handlers' reports.
    pub seen: Vec<Seen>,
    /// What ports and addresses outside RAM read as.
    pub answer: u64,
    /// The register behind [`BUS_MSR`].
    pub msr: u64,
    /// The task priority.
    pub cr8: u64,
    /// Random numbers handed out so far.
    pub draws: u64,
    /// Whether every port access stops the CPU.
    pub stops_at_ports: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            seen: Vec::new(),
            answer: 0,
            // On, as after a reset.
            msr: 0xfee0_0900,
            cr8: 0,
            draws: 0,
            stops_at_ports: false,
        }
    }
}

impl Script {
    /// The `n`th random number.
    pub fn random_number(n: u64) -> u64 {
        (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Bus for Script {
    fn read_mmio(&mut self, _: &mut Access, gpa: u64, size: u8) -> u64 {
        self.seen.push(Seen::Load(gpa, size));
        self.answer & u64::MAX >> (64 - 8 * u32::from(size))
    }

    fn write_mmio(&mut self, _: &mut Access, gpa: u64, size: u8, value: u64) {
        self.seen.push(Seen::Store(gpa, size, value));
    }

    fn read_port(&mut self, at: &mut Access, port: u16, size: u8) -> u32 {
        at.stop = self.stops_at_ports;
        self.seen.push(Seen::In(port, size));
        (self.answer & u64::MAX >> (64 - 8 * u32::from(size))) as u32
    }

    fn write_port(&mut self, at: &mut Access, port: u16, size: u8, value: u32) {
        if port == STOP_PORT {
            at.stop = true;
            return;
        }
        at.stop = self.stops_at_ports;
        self.seen.push(Seen::Out(port, size, value));
    }

    fn read_msr(&mut self, _: &mut Access, index: u32) -> Option<u64> {
        (index == BUS_MSR).then_some(self.msr)
    }

    fn write_msr(&mut self, _: &mut Access, index: u32, value: u64) -> bool {
        if index == BUS_MSR {
            self.msr = value;
        }
        index == BUS_MSR
    }

    fn apic_enabled(&mut self, _: &mut Access) -> bool {
        self.msr & 1 << 11 != 0
    }

    fn read_tsc(&mut self, at: &mut Access) -> u64 {
        at.retired * TSC_RATE
    }

    fn tsc_adjusted(&mut self, _: &mut Access, _: u64) {}

    fn read_cr8(&mut self, _: &mut Access) -> u64 {
        self.cr8
    }

    fn write_cr8(&mut self, _: &mut Access, value: u64) {
        self.cr8 = value;
    }

    fn random(&mut self, _: &mut Access) -> u64 {
        self.draws += 1;
        Self::random_number(self.draws - 1)
    }
}
