//! What the world around a machine does to it.

use super::io::{Input, Output};
use super::node::Machine;
use crate::devices::ioapic;
use crate::disk::Disk;
use crate::time::VirtTime;

impl Machine {
    /// Takes what the machine gave out since the last call, in the order of the times.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        self.platform.outputs.take()
    }

    /// Outputs besides console output that were dropped because too many waited to be taken.
    pub fn outputs_dropped(&self) -> u64 {
        self.platform.outputs.dropped()
    }

    /// Gives the machine an input at the present moment. One for a part that it does not have is
    /// ignored.
    pub fn input(&mut self, input: Input) {
        match input {
            Input::Frame { nic, bytes } => {
                self.platform
                    .with_virtio(&mut self.ram, |virtio, env, effects| {
                        virtio.receive_frame(nic, &bytes, env, effects);
                    });
            }
            Input::Control(bytes) => {
                self.platform
                    .with_virtio(&mut self.ram, |virtio, env, effects| {
                        virtio.receive_control(&bytes, env, effects);
                    });
            }
            Input::Irq { line } => self.platform.pulse(line),
            Input::Nmi { vcpu } => {
                if let Some(signals) = self.platform.state.signals.get_mut(vcpu as usize) {
                    signals.nmi = true;
                }
            }
            Input::TimerNow { vcpu } => {
                if let Some(lapic) = self.platform.state.lapics.get_mut(vcpu as usize) {
                    lapic.fire_timer();
                }
            }
        }
    }

    /// From now on, virtual time advances by a microsecond for so many instructions; zero counts
    /// as one.
    pub fn set_rate(&mut self, instructions_per_us: u64) {
        self.platform.state.clock.set_rate(instructions_per_us);
    }

    /// Stands still until `moment`: time passes and nothing is executed. What becomes due in between
    /// happens afterwards. A moment in the past changes nothing.
    pub fn skip_to(&mut self, moment: VirtTime) {
        self.platform.state.clock.jump(moment);
        let now = self.now();
        self.platform.state.attention.stood_still(now);
    }

    /// From now on, timers of the local APICs expire `by_ns` nanoseconds late; zero ends that.
    pub fn delay_timers(&mut self, by_ns: u64) {
        self.platform.state.timer_delay = by_ns;
    }

    /// From now on faults have moved the date so many nanoseconds from what it would be without them, and
    /// the CMOS clock as well. A kernel that runs looks at neither by itself.
    pub fn move_wall(&mut self, moved_ns: i64) {
        self.platform.step(|state, effects| {
            let by = state.wall.set_moved(moved_ns);
            if state.introduced {
                state.rtc.shift(by, state.clock.now(), effects);
            }
        });
    }

    /// Disk number `index`.
    pub fn disk_mut(&mut self, index: usize) -> Option<&mut Disk> {
        self.platform.disks.get_mut(index)
    }

    /// Ends the machine and gives back its disks. Writes under way are interrupted.
    pub fn into_disks(mut self) -> Vec<Disk> {
        self.platform.with_virtio(&mut self.ram, |virtio, env, _| {
            virtio.interrupt_disks(env.memory, env.disks);
        });
        self.platform.disks
    }

    /// When something happens in the machine next if it gets no input: `None` if a vCPU runs now,
    /// the end of time if nothing is due.
    pub fn next_event(&self) -> Option<VirtTime> {
        if self.is_over() {
            return Some(VirtTime(u64::MAX));
        }
        if self.is_busy() {
            return None;
        }
        Some(self.platform.deadline().unwrap_or(VirtTime(u64::MAX)))
    }
}

impl super::platform::Platform {
    /// A pulse on an interrupt line, unless a device asserts it.
    fn pulse(&mut self, line: u32) {
        if line >= ioapic::PINS || self.state.ioapic.asserted(ioapic::pin_of_line(line)) {
            return;
        }
        self.step(|_, effects| {
            for asserted in [true, false] {
                effects.push(crate::devices::Effect::Irq { line, asserted });
            }
        });
    }
}
