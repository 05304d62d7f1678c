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
use super::hash::PageHashes;
use super::image::ImageId;
use super::io::Output;
use super::node::Machine;
use super::saved::SavedMachine;
use super::stop::Stop;
use crate::disk::{Base, Disk, DiskConfig};
use crate::engine::EngineKind;
use crate::ram::Pages;
use crate::tape::Tape;
use crate::time::VirtTime;

/// How much of a boot is recorded at most, in instructions and in nanoseconds of virtual time. Guests that have
/// not asked by then do not have to be fast.
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
    /// The hashes of its pages.
    hashes: PageHashes,
    /// What it gives out until then, the console byte by byte.
    outputs: Vec<Output>,
    /// Its clock at power-on and after each jump over time in which all vCPUs idled.
    clocks: Vec<Clock>,
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
        machine.jumps = Some(vec![machine.platform.state.clock.clone()]);
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
        let clocks = machine.jumps.take().unwrap_or_default();
        Ok(Some(Self::new(end, machine.save()?, outputs, clocks)))
    }

    fn new(end: VirtTime, machine: SavedMachine, outputs: Vec<Output>, clocks: Vec<Clock>) -> Self {
        Self {
            end,
            hashes: hashes(&machine.ram),
            machine,
            outputs,
            clocks,
        }
    }

    /// The moment at which the guest asks who it is.
    pub fn end(&self) -> VirtTime {
        self.end
    }

    /// Instructions until then.
    pub fn instructions(&self) -> u64 {
        self.machine.clock().retired()
    }

    /// Pages of RAM that are not zero then.
    pub fn pages(&self) -> usize {
        self.hashes.count()
    }

    /// The instructions that have been retired at a moment before the end.
    fn retired_at(&self, moment: VirtTime) -> u64 {
        // The clock of the last jump that had ended by then; the first is that of power-on.
        let next = self.clocks.partition_point(|clock| clock.now() <= moment);
        let clock = &self.clocks[next.saturating_sub(1)];
        let run = clock
            .retired()
            .saturating_add(clock.instructions_until(moment));
        let idle = self.clocks.get(next).map_or(u64::MAX, Clock::retired);
        run.min(idle)
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

fn hashes(pages: &Pages) -> PageHashes {
    let mut hashes = PageHashes::new(pages.count() as u64);
    pages.each(&mut |index, bytes| {
        hashes.update(index.into(), bytes);
    });
    hashes
}
