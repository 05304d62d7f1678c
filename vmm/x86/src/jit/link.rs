//! What compiled code calls when it does not know yet where a jump leads.

use super::{Lead, Site, resolve, rip_of};
use crate::cpu::Cpu;
use crate::exec::control;
use crate::memory::PAGE_SIZE;
use crate::op::Flow;
use crate::tlb;

/// Goes on at `rip`, where compiled code returns to a place that was not noted at any call.
pub(super) extern "sysv64-unwind" fn search(cpu: &mut Cpu, rip: u64) -> Flow {
    let block = cpu.locate(rip).and_then(|key| cpu.code().blocks.fast(key));
    control::arrive(cpu, block, rip)
}

/// The same, for what is likely to come again.
fn search_and_remember(cpu: &mut Cpu, rip: u64) -> Flow {
    let block = cpu.locate(rip).and_then(|key| cpu.code().blocks.fast(key));
    if let Some(block) = block {
        cpu.remember(block);
    }
    control::arrive(cpu, block, rip)
}

/// Goes on behind a jump within the page that leads to no compiled block yet.
pub(super) fn link_near(cpu: &mut Cpu, site: &Site) -> Flow {
    let Lead::Place(place) = site.lead else {
        unreachable!("a jump within the page has a place");
    };
    let rip = rip_of(cpu, place);
    cpu.block = resolve(cpu, site.number);
    // SAFETY: the site's block is the block being executed.
    let next = unsafe { (&(*cpu.block).links)[site.link].get() };
    // SAFETY: links lead to blocks of the cache, which is not cleared while a chain runs.
    if !next.is_null() && unsafe { (*next).valid.get() } {
        cpu.code().jit.aim(site, next);
        return control::enter(cpu, next, rip);
    }
    cpu.rip = rip;
    cpu.link = Some(site.link);
    Flow::Block
}

/// Goes on behind a jump to another page that leads to no compiled block, or not to the right one.
pub(super) fn link_far(cpu: &mut Cpu, site: &Site, rip: u64) -> Flow {
    if !belongs(cpu, site.lead, rip) {
        // The return belongs to another call: somebody switched stacks, or both have the same hash.
        cpu.code().jit.counts.foreign_returns += 1;
        return search_and_remember(cpu, rip);
    }
    cpu.block = resolve(cpu, site.number);
    match control::destination(cpu, rip, cpu.block, site.link) {
        Some(block) => {
            if site.may_be_aimed() {
                cpu.code().jit.aim(site, block);
            } else {
                cpu.remember(block);
            }
            control::enter(cpu, block, rip)
        }
        None => {
            cpu.rip = rip;
            Flow::Block
        }
    }
}

/// Whether a jump to `rip` may have come to compiled code with this lead.
fn belongs(cpu: &mut Cpu, lead: Lead, rip: u64) -> bool {
    match lead {
        Lead::Place(place) => u64::from(place) == rip.wrapping_add(cpu.code_place),
        Lead::Behind(page) => {
            let before = rip.wrapping_sub(PAGE_SIZE);
            // SAFETY: the tables have `tlb::ENTRIES` entries and `index` is smaller than that.
            let entry = unsafe { *cpu.tlb_execute.add(tlb::index(before)) };
            let index = before.wrapping_add(entry.add) / PAGE_SIZE;
            // One that the TLB does not have may be any.
            entry.tag == before && cpu.code().jit.bound(index) == page
        }
        Lead::Anywhere => true,
    }
}
