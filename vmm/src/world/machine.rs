//! Real machines as the bodies of nodes.

use std::sync::Arc;

use chaosrun_x86::CodeStore;

use super::Blueprint;
use super::body::{Body, Life, Maker, SavedBody};
use super::config::NodeConfig;
use crate::disk::Disk;
use crate::engine::EngineError;
use crate::machine::{
    Component, Input, Machine, MachineConfig, MachineError, Output, SavedMachine, Stop,
};
use crate::tape::Tape;
use crate::time::VirtTime;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

impl Body for Machine {
    fn now(&self) -> VirtTime {
        Machine::now(self)
    }

    fn run_until(&mut self, until: VirtTime) -> Result<Stop, EngineError> {
        Machine::run_until(self, until)
    }

    fn next_event(&self) -> Option<VirtTime> {
        Machine::next_event(self)
    }

    fn take_outputs(&mut self) -> Vec<Output> {
        Machine::take_outputs(self)
    }

    fn input(&mut self, input: Input) {
        Machine::input(self, input);
    }

    fn skip_to(&mut self, moment: VirtTime) {
        Machine::skip_to(self, moment);
    }

    fn set_rate(&mut self, instructions_per_us: u64) {
        Machine::set_rate(self, instructions_per_us);
    }

    fn delay_timers(&mut self, by_ns: u64) {
        Machine::delay_timers(self, by_ns);
    }

    fn move_wall(&mut self, moved_ns: i64) {
        Machine::move_wall(self, moved_ns);
    }

    fn disk_mut(&mut self, index: usize) -> Option<&mut Disk> {
        Machine::disk_mut(self, index)
    }

    fn into_disks(self: Box<Self>) -> Vec<Disk> {
        Machine::into_disks(*self)
    }

    fn save(&mut self) -> Result<SavedBody, EngineError> {
        Ok(Arc::new(Machine::save(self)?))
    }

    fn restore(&mut self, saved: &SavedBody) -> Result<(), EngineError> {
        Machine::restore(self, machine_of(saved))
    }

    fn components(&mut self) -> Result<Vec<Component>, EngineError> {
        Ok(self.state_hash()?.components)
    }

    fn retired(&self) -> u64 {
        Machine::retired(self)
    }

    fn caveats(&self) -> Vec<String> {
        Machine::caveats(self)
    }

    fn lost(&self) -> (u64, u64) {
        (self.outputs_dropped(), self.console_lost())
    }
}

/// What was saved of a machine.
fn machine_of(saved: &SavedBody) -> &SavedMachine {
    saved
        .downcast_ref()
        .expect("what is put back into a machine was saved of one")
}

/// A node's configuration and the tape, from which its machines are made.
struct Factory {
    config: NodeConfig,
    tape: Arc<Tape>,
    code: CodeStore,
}

impl NodeConfig {
    /// The node as the parts of a world see it. `code` is where it shares compiled code.
    pub(super) fn blueprint(mut self, tape: &Arc<Tape>, code: &CodeStore) -> Blueprint {
        Blueprint {
            name: self.name.clone(),
            nics: self.nics.iter().map(|nic| nic.network).collect(),
            drift_ppb: self.drift_ppb,
            pin: Arc::from(self.pin.as_slice()),
            disks: std::mem::take(&mut self.disks),
            maker: Box::new(Factory {
                config: self,
                tape: Arc::clone(tape),
                code: code.clone(),
            }),
        }
    }

    /// The date when the node's clock shows `local`, without what faults do to it, in nanoseconds since
    /// 1970.
    fn date_at(&self, local: VirtTime) -> i64 {
        let nanos = i128::from(self.epoch) * NANOS_PER_SECOND
            + i128::from(self.skew_ns)
            + i128::from(local.0);
        nanos.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

impl Factory {
    /// The configuration of the machine of a life, but for its disks.
    fn machine(&self, life: Life) -> MachineConfig<'_> {
        let config = &self.config;
        let name = match life.number {
            0 => config.name.clone(),
            number => format!("{}#{}", config.name, number + 1),
        };
        MachineConfig {
            name,
            engine: config.engine,
            engine_options: config.engine_options,
            code: self.code.clone(),
            memory: config.memory,
            vcpus: config.vcpus,
            model: config.model.clone(),
            rate: config.rate,
            date_ns: config.date_at(life.born),
            moved_ns: life.moved_ns,
            initrd: config.initrd.as_deref(),
            cmdline: config.cmdline.clone(),
            tape: (*self.tape).clone(),
            interleaving: config.interleaving,
            nics: config.nics.iter().map(|nic| nic.mac).collect(),
            control: config.control,
            entropy: config.entropy,
            // Interrupts can come from outside at any time, whatever devices there are.
            external_input: true,
            ..MachineConfig::new(&config.kernel)
        }
    }
}

impl Maker for Factory {
    fn make(&self, life: Life, disks: Vec<Disk>) -> Result<Box<dyn Body>, MachineError> {
        let machine = Machine::new(&MachineConfig {
            disks,
            ..self.machine(life)
        })?;
        Ok(Box::new(machine))
    }

    fn resume(&self, life: Life, saved: &SavedBody) -> Result<Box<dyn Body>, MachineError> {
        let machine = Machine::resume(&self.machine(life), machine_of(saved))?;
        Ok(Box::new(machine))
    }

    fn rate(&self) -> u64 {
        self.config.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_a_restarted_node_has_gone_on() {
        let mut config = NodeConfig::new("n", Arc::from([]));
        config.epoch = 1000;
        let second = NANOS_PER_SECOND as i64;
        assert_eq!(config.date_at(VirtTime(0)), 1000 * second);
        let local = VirtTime(5_000_000_007);
        assert_eq!(config.date_at(local), 1005 * second + 7);
        config.skew_ns = 20_000_000;
        assert_eq!(config.date_at(local), 1005 * second + 20_000_007);
        config.skew_ns = -1;
        assert_eq!(config.date_at(VirtTime(0)), 1000 * second - 1);
        config.skew_ns = i64::MAX;
        assert_eq!(config.date_at(VirtTime(u64::MAX)), i64::MAX);
    }
}
