//! Real machines as the bodies of nodes.

use std::sync::{Arc, OnceLock};

use chaosrun_x86::CodeStore;

use super::Blueprint;
use super::body::{Body, Life, Maker, SavedBody};
use super::boots::Boots;
use super::config::NodeConfig;
use super::life::Living;
use crate::disk::Disk;
use crate::machine::{ImageId, MachineConfig, MachineError};
use crate::tape::Tape;
use crate::time::VirtTime;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A node's configuration and the tape, from which its machines are made.
pub(super) struct Factory {
    config: NodeConfig,
    pub(super) tape: Arc<Tape>,
    code: CodeStore,
    pub(super) boots: Boots,
    /// What its machines boot, once that is known.
    pub(super) image: OnceLock<ImageId>,
}

impl NodeConfig {
    /// The node as the parts of a world see it. `code` is where it shares compiled code.
    pub(super) fn blueprint(
        mut self,
        tape: &Arc<Tape>,
        code: &CodeStore,
        boots: &Boots,
    ) -> Blueprint {
        Blueprint {
            name: self.name.clone(),
            nics: self.nics.iter().map(|nic| nic.network).collect(),
            drift_ppb: self.drift_ppb,
            pin: Arc::from(self.pin.as_slice()),
            disks: std::mem::take(&mut self.disks),
            maker: Box::new(Arc::new(Factory {
                config: self,
                tape: Arc::clone(tape),
                code: code.clone(),
                boots: boots.clone(),
                image: OnceLock::new(),
            })),
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
    /// The configuration of the machine at the beginning of a life, with all of its disks.
    pub(super) fn newborn(&self, life: Life, disks: Vec<Disk>) -> MachineConfig<'_> {
        let mut machine = self.machine(life, disks);
        if machine.identity.is_some() {
            machine.image = Some(*self.image.get_or_init(|| ImageId::of(&machine)));
        }
        machine
    }

    /// The configuration of the machine of a life in which somebody else has the disks.
    pub(super) fn machine(&self, life: Life, disks: Vec<Disk>) -> MachineConfig<'_> {
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
            disks,
            nics: config.nics.iter().map(|nic| nic.mac).collect(),
            control: config.control,
            entropy: config.entropy,
            identity: config.identity.clone(),
            image: self.image.get().copied(),
            // Interrupts can come from outside at any time, whatever devices there are.
            external_input: true,
            ..MachineConfig::new(&config.kernel)
        }
    }
}

impl Maker for Arc<Factory> {
    fn make(&self, life: Life, disks: Vec<Disk>) -> Result<Box<dyn Body>, MachineError> {
        Ok(Box::new(Living::new(self, life, disks)?))
    }

    fn resume(&self, life: Life, saved: &SavedBody) -> Result<Box<dyn Body>, MachineError> {
        Ok(Box::new(Living::resume(self, life, saved)?))
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
