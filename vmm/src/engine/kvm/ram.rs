//! Guest RAM as KVM has it: one slot for each range, with the dirty log on.

use chaosrun_x86::{Memory, PAGE_SIZE};
use kvm_bindings::{KVM_MEM_LOG_DIRTY_PAGES, kvm_userspace_memory_region};
use kvm_ioctls::VmFd;

use super::host::HostError;

/// A range of guest RAM: guest-physical address, host address and size.
type Range = (u64, u64, u64);

/// The slots that KVM knows.
#[derive(Debug, Default)]
pub(super) struct Slots {
    ranges: Vec<Range>,
}

impl Slots {
    /// Tells KVM of `memory`, unless it is what KVM knows already.
    pub(super) fn follow(&mut self, vm: &VmFd, memory: &Memory) -> Result<(), HostError> {
        let same = memory
            .host_ranges()
            .map(|(gpa, host, size)| (gpa, host as u64, size))
            .eq(self.ranges.iter().copied());
        if same {
            return Ok(());
        }
        for (slot, (gpa, host, _)) in self.ranges.drain(..).enumerate() {
            set(vm, slot, (gpa, host, 0))?;
        }
        for (slot, (gpa, host, size)) in memory.host_ranges().enumerate() {
            let range = (gpa, host as u64, size);
            set(vm, slot, range)?;
            self.ranges.push(range);
        }
        Ok(())
    }

    /// Marks in `memory` the pages that vCPUs have written since the last call.
    pub(super) fn collect_dirty(&self, vm: &VmFd, memory: &mut Memory) -> Result<(), HostError> {
        for (slot, &(gpa, _, size)) in self.ranges.iter().enumerate() {
            let log = vm
                .get_dirty_log(slot as u32, size as usize)
                .map_err(HostError::call("give the log of written pages"))?;
            for (word, mut bits) in log.into_iter().enumerate() {
                while bits != 0 {
                    let page = word as u64 * 64 + u64::from(bits.trailing_zeros());
                    bits &= bits - 1;
                    memory.mark_written(gpa + page * PAGE_SIZE, PAGE_SIZE);
                }
            }
        }
        Ok(())
    }
}

fn set(vm: &VmFd, slot: usize, (gpa, host, size): Range) -> Result<(), HostError> {
    let region = kvm_userspace_memory_region {
        slot: slot as u32,
        flags: if size > 0 { KVM_MEM_LOG_DIRTY_PAGES } else { 0 },
        guest_phys_addr: gpa,
        memory_size: size,
        userspace_addr: host,
    };
    // SAFETY: the range comes from a `Memory`, whose mapping lives as long as it does. vCPUs touch it
    // only inside of `Engine::run`, which has the same `Memory` lent and calls `follow` before.
    unsafe { vm.set_user_memory_region(region) }.map_err(HostError::call("map the guest's RAM"))
}
