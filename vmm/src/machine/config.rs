//! What a machine is made of.

use std::sync::Arc;

use chaosrun_x86::{CodeStore, CpuModel};

use super::acpi::{AcpiError, IOAPIC_ID, VirtioSlot};
use super::attention::AttentionState;
use super::boot::BootError;
use super::clock::Clock;
use super::image::ImageId;
use super::platform::{PlatformState, Signals};
use super::sched::{Interleaving, VCPUS_MAX};
use crate::devices::ioapic::IoapicState;
use crate::devices::lapic::LapicState;
use crate::devices::pic::PicState;
use crate::devices::pit::PitState;
use crate::devices::reset::ResetState;
use crate::devices::rtc::{self, RtcState};
use crate::devices::sdk::{SdkState, WallClock};
use crate::devices::serial::SerialState;
use crate::devices::virtio::{Parts, VirtioState};
use crate::disk::Disk;
use crate::engine::{EngineError, EngineKind, EngineOptions};
use crate::ram::MemoryError;
use crate::tape::Tape;
use crate::time::{TscClock, VirtTime};

/// What the CMOS clock shows at power-on as long as the guest has not asked who it is.
pub(super) const IMAGE_DATE_NS: i64 = rtc::DEFAULT_EPOCH * 1_000_000_000;

/// What a machine is made of.
#[derive(Debug, Clone)]
pub struct MachineConfig<'a> {
    /// The machine's name, which is part of the names of its streams of decisions.
    pub name: String,
    /// What executes its instructions.
    pub engine: EngineKind,
    /// Its settings.
    pub engine_options: EngineOptions,
    /// Where the exact engine keeps compiled code. Machines that are given clones of one store share what
    /// they have in common, which changes nothing but the time that things take.
    pub code: CodeStore,
    /// RAM in bytes.
    pub memory: u64,
    /// The number of vCPUs, 1 to 8.
    pub vcpus: u32,
    /// The identity of the processors; its `cpus` is taken from `vcpus`.
    pub model: CpuModel,
    /// Instructions per microsecond of virtual time.
    pub rate: u64,
    /// The date at power-on without what faults do to it, in nanoseconds since 1970, UTC. The CMOS clock
    /// shows its seconds.
    pub date_ns: i64,
    /// How far faults have moved the clock at power-on, in nanoseconds.
    pub moved_ns: i64,
    /// An ELF executable or a bzImage.
    pub kernel: &'a [u8],
    /// The initial RAM disk.
    pub initrd: Option<&'a [u8]>,
    /// The kernel's command line.
    pub cmdline: String,
    /// Seed and overrides of all decisions.
    pub tape: Tape,
    /// How the vCPUs take turns.
    pub interleaving: Interleaving,
    /// The disks, in the order of /dev/vda, /dev/vdb and so on. The machine gets copies, which share
    /// all pages with these until they write.
    pub disks: Vec<Disk>,
    /// The Ethernet addresses of the network interfaces, in the order of eth0, eth1 and so on.
    pub nics: Vec<[u8; 6]>,
    /// Whether there is a control console, /dev/hvc0.
    pub control: bool,
    /// Whether there is a source of random numbers, /dev/hwrng.
    pub entropy: bool,
    /// What the machine tells a guest that asks at the SDK's port who it is. Until it asks for anything that
    /// only this node or life has, all that it could see of them is what the image has for all of them:
    /// random numbers and turns of vCPUs are drawn from a tape of the image, the CMOS clock shows the default
    /// date, and the slots of virtio devices seem to be empty. Without this, the machine knows itself from
    /// power-on.
    pub identity: Option<Arc<[u8]>>,
    /// The image, if it is known already.
    pub image: Option<ImageId>,
    /// Whether something outside can still send it input, so that waiting without a timer is not
    /// the end.
    pub external_input: bool,
}

impl<'a> MachineConfig<'a> {
    /// A machine with one vCPU and 256 MiB of RAM that boots `kernel`.
    pub fn new(kernel: &'a [u8]) -> Self {
        Self {
            name: "node".to_owned(),
            engine: EngineKind::default(),
            engine_options: EngineOptions::default(),
            code: CodeStore::default(),
            memory: 256 << 20,
            vcpus: 1,
            model: CpuModel::default(),
            rate: 1000,
            date_ns: IMAGE_DATE_NS,
            moved_ns: 0,
            kernel,
            initrd: None,
            cmdline: String::new(),
            tape: Tape::default(),
            interleaving: Interleaving::default(),
            disks: Vec::new(),
            nics: Vec::new(),
            control: false,
            entropy: false,
            identity: None,
            image: None,
            external_input: false,
        }
    }
}

impl MachineConfig<'_> {
    /// The disks, with faults that are decided by the machine's tape.
    pub(super) fn attached_disks(&self) -> Vec<Disk> {
        let mut disks = self.disks.clone();
        for (index, disk) in disks.iter_mut().enumerate() {
            disk.attach(&self.tape, &format!("{}/disk{index}/faults", self.name));
        }
        disks
    }

    /// The image that the machine boots without knowing more, if it does.
    pub(super) fn anonymous(&self) -> Option<ImageId> {
        self.identity.as_ref()?;
        Some(self.image.unwrap_or_else(|| ImageId::of(self)))
    }

    /// The virtio devices: control console, source of random numbers, disks, network interfaces.
    fn parts(&self) -> Parts<'_> {
        Parts {
            console: self.control,
            entropy: self.entropy,
            disks: &self.disks,
            nics: &self.nics,
        }
    }

    /// The identity of its processors.
    pub(super) fn processor(&self) -> CpuModel {
        CpuModel {
            cpus: self.vcpus,
            ..self.model.clone()
        }
    }

    /// Where the firmware announces them.
    pub(super) fn virtio(&self) -> Vec<VirtioSlot> {
        let count = self.parts().count();
        (0..)
            .take(count)
            .map(|index| VirtioSlot { index })
            .collect()
    }
}

/// Why a machine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The number of vCPUs is not possible.
    #[error("a machine has 1 to {VCPUS_MAX} vCPUs, not {vcpus}")]
    Vcpus {
        /// The number asked for.
        vcpus: u32,
    },
    /// The guest RAM could not be made.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Kernel, initrd or command line can't be booted.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The ACPI tables don't fit.
    #[error(transparent)]
    Acpi(#[from] AcpiError),
    /// This host can't run the engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The devices after power-on.
pub(super) fn power_on(config: &MachineConfig<'_>) -> PlatformState {
    let tsc = TscClock::new(config.model.tsc_khz);
    let lapic = |index| LapicState::new(index, config.model.crystal_hz, tsc);
    let mut lapics: Vec<LapicState> = (0..config.vcpus).map(lapic).collect();
    lapics[0].wire_virtual();
    let wall = WallClock::new(config.date_ns, config.moved_ns);
    let introduced = config.identity.is_none();
    let shown = if introduced {
        wall.at(VirtTime(0))
    } else {
        IMAGE_DATE_NS
    };
    let mut virtio = VirtioState::new(&config.parts());
    virtio.set_hidden(!introduced);
    PlatformState {
        clock: Clock::new(config.rate),
        tsc,
        lapics,
        ioapic: IoapicState::new(IOAPIC_ID),
        pic: PicState::new(),
        pit: PitState::new(),
        rtc: RtcState::at(shown),
        wall,
        serial: SerialState::new(),
        virtio,
        sdk: SdkState::new(&config.name),
        reset: ResetState::new(),
        signals: vec![Signals::default(); config.vcpus as usize],
        shutdown: None,
        unclaimed: 0,
        timer_delay: 0,
        attention: AttentionState::default(),
        tsc_read: None,
        introduced,
    }
}
