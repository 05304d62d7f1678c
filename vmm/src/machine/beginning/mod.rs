//! The beginning of a life, which is executed once.
//!
//! What a machine does from power-on until its guest asks who it is follows from its image alone (see
//! [`MachineConfig::identity`]). So that is recorded once, and each machine with this image begins where the
//! record ends. Until then, a [`Begun`] stands for it, which gives out what the machine would have given out,
//! at its moments, and takes what does not reach the guest yet.

mod begun;
mod file;

pub use begun::Begun;
pub use file::FileError;

use super::clock::Clock;
use super::config::{MachineConfig, MachineError};
use super::image::ImageId;
use super::io::Output;
use super::node::Machine;
use super::saved::SavedMachine;
use super::stop::Stop;
use serde::{Deserialize, Serialize};

use crate::disk::{Base, Disk, DiskConfig};
use crate::engine::EngineKind;
use crate::tape::Tape;
use crate::time::VirtTime;

/// How much of a boot is recorded at most, in instructions and in nanoseconds of virtual time. Guests that
/// have not asked by then do not have to be fast.
const INSTRUCTIONS_MAX: u64 = 6_000_000_000;
const TIME_MAX: VirtTime = VirtTime(120_000_000_000);
/// How far a record runs before outputs are taken, so that none is lost.
const STEP_NS: u64 = 10_000_000;

/// What all machines with an image do until their guests ask who they are.
pub struct Beginning {
    /// When the guest asks.
    end: VirtTime,
    /// The machine at that moment, in front of the answer.
    machine: SavedMachine,
    /// How many of its pages are not zero.
    pages: usize,
    /// What it gives out until then, the console byte by byte.
    outputs: Vec<Output>,
    /// The times in which all vCPUs idled, in order; first one of no length at power-on.
    jumps: Vec<Jump>,
}

/// Time passed over because all vCPUs idled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Jump {
    /// When it began.
    pub from: VirtTime,
    /// The deadline of a device that is to end it. The jump itself may have gone less far.
    pub deadline: VirtTime,
    /// The clock behind it.
    pub clock: Clock,
}

/// Where a machine is in its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The moment that it has reached, which may lie within an instruction behind the one asked for.
    now: VirtTime,
    /// Instructions retired.
    retired: u64,
    /// If all vCPUs idle, until when.
    idle_until: Option<VirtTime>,
}

impl Beginning {
    /// Executes the beginning of machines of this configuration, of which only the image matters. `None` if
    /// their guest does not ask who it is, if it takes too long for that, or if the engine is not exact.
    ///
    /// # Errors
    /// If the configuration is not possible, or the engine failed.
    pub fn record(config: &MachineConfig<'_>) -> Result<Option<Self>, MachineError> {
        if config.identity.is_none() || config.engine != EngineKind::Exact {
            return Ok(None);
        }
        let nobody = nobody(config);
        let mut machine = Machine::new(&nobody)?;
        machine.stops_when_asked = true;
        machine.platform.outputs.keep_bytes_apart();
        machine.jumps = Some(vec![Jump {
            from: VirtTime(0),
            deadline: VirtTime(0),
            clock: machine.platform.state.clock.clone(),
        }]);
        let mut outputs = Vec::new();
        loop {
            let stop = machine.run_until(machine.now().after(STEP_NS))?;
            outputs.append(&mut machine.take_outputs());
            let too_long = machine.now() > TIME_MAX || machine.retired() > INSTRUCTIONS_MAX;
            if machine.is_asked()? {
                break;
            }
            if stop != Stop::Reached || too_long {
                return Ok(None);
            }
        }
        let end = machine.now();
        let jumps = machine.jumps.take().unwrap_or_default();
        Ok(Some(Self::new(end, machine.save()?, outputs, jumps)))
    }

    fn new(
        end: VirtTime,
        mut machine: SavedMachine,
        outputs: Vec<Output>,
        jumps: Vec<Jump>,
    ) -> Self {
        machine.ram.settle();
        let mut pages = 0;
        machine.ram.each(&mut |_, _| pages += 1);
        Self {
            end,
            pages,
            machine,
            outputs,
            jumps,
        }
    }

    /// Where a machine is when it has run until `moment`, which lies before the end.
    fn place(&self, moment: VirtTime) -> Place {
        let next = self.jumps.partition_point(|jump| jump.from <= moment);
        // The first is there at power-on.
        let jump = &self.jumps[next.saturating_sub(1)];
        if moment < jump.deadline.max(jump.from.after(1)) && next > 1 {
            return Place {
                now: moment,
                retired: jump.clock.retired(),
                idle_until: Some(jump.deadline),
            };
        }
        let run = jump.clock.instructions_until(moment);
        let retired = jump.clock.retired().saturating_add(run);
        Place {
            now: jump.clock.at(retired).max(moment),
            retired,
            idle_until: None,
        }
    }
}

/// The machine that is nobody in particular.
fn nobody<'a>(config: &MachineConfig<'a>) -> MachineConfig<'a> {
    let blank = || {
        Disk::new(DiskConfig {
            serial: String::new(),
            size: 512,
            base: Base::Blank,
            read_only: true,
            writeback: false,
        })
        .expect("a disk of one sector is possible")
    };
    let plain = MachineConfig::new(config.kernel);
    MachineConfig {
        name: String::new(),
        date_ns: 0,
        moved_ns: 0,
        tape: Tape::default(),
        disks: config.disks.iter().map(|_| blank()).collect(),
        nics: config.nics.iter().map(|_| [0; 6]).collect(),
        identity: Some([].into()),
        image: config.image.or_else(|| Some(ImageId::of(config))),
        external_input: true,
        code: config.code.clone(),
        engine_options: config.engine_options,
        memory: config.memory,
        vcpus: config.vcpus,
        model: config.model.clone(),
        rate: config.rate,
        initrd: config.initrd,
        cmdline: config.cmdline.clone(),
        interleaving: config.interleaving,
        control: config.control,
        entropy: config.entropy,
        ..plain
    }
}
