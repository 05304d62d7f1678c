//! Takes the state hash of a machine.

use super::hash::{Component, StateHash, digest_fed, digest_of};
use super::image::ImageId;
use super::node::Machine;
use super::platform::PlatformState;
use crate::disk::Disk;
use crate::dlog::Event;
use crate::engine::EngineError;
use crate::tape::StreamState;
use crate::time::VirtTime;

impl Machine {
    /// Takes the next link of the chain of state hashes.
    ///
    /// # Errors
    /// If the engine itself failed.
    pub fn state_hash(&mut self) -> Result<StateHash, EngineError> {
        if self.poisoned {
            return Err(EngineError::Poisoned);
        }
        let mut parts: Vec<Component> = Vec::new();
        let mut part = |name: String, digest| parts.push(Component { name, digest });
        for vcpu in 0..self.engine.vcpus() {
            let digest = digest_fed(|sink| self.engine.hash_into(vcpu, sink))?;
            part(format!("vcpu{vcpu}"), digest);
        }
        for (name, digest) in platform_digests(&self.platform.state) {
            part(name, digest);
        }
        for (index, disk) in self.platform.disks.iter_mut().enumerate() {
            part(format!("disk{index}"), disk.digest());
        }
        part("scheduler".to_owned(), digest_of(&self.scheduler.state()));
        part("rdrand".to_owned(), digest_of(self.platform.random.state()));
        part(
            "entropy".to_owned(),
            digest_of(self.platform.entropy.state()),
        );
        part("ram".to_owned(), self.hash_ram()?);
        let hash = StateHash::chained(self.chain, self.now(), parts);
        self.chain = hash.chain;
        self.log_registers()?;
        self.platform.note(|| Event::Hash { chain: hash.chain });
        Ok(hash)
    }

    /// Rehashes the pages that were written and returns the digest of RAM.
    fn hash_ram(&mut self) -> Result<u128, EngineError> {
        self.engine.collect_dirty(&mut self.ram)?;
        let logging = self.platform.log.is_some();
        let mut changed = Vec::new();
        let digest = self.ram.digest(|index, hash| {
            if logging {
                changed.push((index, hash));
            }
        });
        self.platform.note(|| Event::Pages(changed));
        Ok(digest)
    }

    fn log_registers(&mut self) -> Result<(), EngineError> {
        if self.platform.log.is_some() {
            for vcpu in 0..self.engine.vcpus() {
                let state = Box::new(self.engine.state(vcpu)?);
                self.platform.note(|| Event::Registers { vcpu, state });
            }
        }
        Ok(())
    }
}

/// A machine whose guest has not asked yet who it is.
pub(super) struct Early<'a> {
    pub image: ImageId,
    pub now: VirtTime,
    pub retired: u64,
    pub devices: &'a PlatformState,
    pub disks: &'a mut [Disk],
    pub entropy: &'a StreamState,
}

/// The digests of such a machine: all that is executed follows from the image, so that only what waits for
/// the guest to ask has to be looked at.
pub(super) fn early_components(early: Early<'_>) -> Vec<Component> {
    let Early {
        image,
        now,
        retired,
        devices,
        disks,
        entropy,
    } = early;
    let mut parts = Vec::new();
    let mut part = |name: String, digest| parts.push(Component { name, digest });
    part("boot".to_owned(), digest_of(&(image, now, retired)));
    part("wall".to_owned(), digest_of(&devices.wall));
    part("virtio".to_owned(), digest_of(&devices.virtio));
    part("sdk".to_owned(), digest_of(&devices.sdk));
    for (index, disk) in disks.iter_mut().enumerate() {
        part(format!("disk{index}"), disk.digest());
    }
    part("entropy".to_owned(), digest_of(entropy));
    parts
}

/// The digests of the devices. Every field of the state appears, or this does not compile.
fn platform_digests(state: &PlatformState) -> Vec<(String, u128)> {
    let PlatformState {
        clock,
        tsc,
        lapics,
        ioapic,
        pic,
        pit,
        rtc,
        serial,
        virtio,
        sdk,
        reset,
        signals,
        shutdown,
        unclaimed,
        timer_delay,
        attention,
        wall,
        tsc_read,
        introduced,
    } = state;
    let mut digests: Vec<(String, u128)> = lapics
        .iter()
        .enumerate()
        .map(|(index, lapic)| (format!("lapic{index}"), digest_of(lapic)))
        .collect();
    let mut add = |name: &str, digest| digests.push((name.to_owned(), digest));
    add(
        "clock",
        digest_of(&(clock, tsc, timer_delay, tsc_read, introduced)),
    );
    add("ioapic", digest_of(ioapic));
    add("pic", digest_of(pic));
    add("pit", digest_of(pit));
    add("rtc", digest_of(rtc));
    add("wall", digest_of(wall));
    add("serial", digest_of(serial));
    add("virtio", digest_of(virtio));
    add("sdk", digest_of(sdk));
    add("reset", digest_of(&(reset, shutdown)));
    add("signals", digest_of(&(signals, unclaimed)));
    add("attention", digest_of(attention));
    digests
}
