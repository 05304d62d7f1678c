//! The state of a vCPU between KVM's structures and [`CpuState`].
//!
//! KVM keeps the general and special registers, x87, SSE and AVX, the debug registers and a few
//! model-specific registers. What it does not keep (progress, what the vCPU is doing, the other
//! model-specific registers) is the engine's.

use chaosrun_x86::{CpuState, Segment, TableRegister};
use kvm_bindings::{
    KVM_VCPUEVENT_VALID_NMI_PENDING, KVM_VCPUEVENT_VALID_SHADOW, KVM_X86_SHADOW_INT_MOV_SS,
    KVM_X86_SHADOW_INT_STI, kvm_debugregs, kvm_dtable, kvm_regs, kvm_segment, kvm_sregs,
    kvm_vcpu_events, kvm_xcr, kvm_xcrs,
};
use kvm_ioctls::VcpuFd;

use super::{fpu, host::in_words, msr};

/// What KVM's own idea of IA32_APIC_BASE is, which only tells it that there is a local APIC.
const APIC_BASE: u64 = 0xfee0_0800;
/// The interrupt shadows of [`CpuState::interrupt_shadow`].
const AFTER_STI: u8 = 1;
const AFTER_MOV_SS: u8 = 2;

fn segment_from(kvm: &kvm_segment) -> Segment {
    let kvm_segment {
        base,
        limit,
        selector,
        type_,
        present,
        dpl,
        db,
        s,
        l,
        g,
        avl,
        unusable,
        ..
    } = *kvm;
    let bit = |value: u8, at: u32| u16::from(value & 1) << at;
    let access = u16::from(type_ & 15)
        | bit(s, 4)
        | u16::from(dpl & 3) << 5
        | bit(present, 7)
        | bit(avl, 12)
        | bit(l, 13)
        | bit(db, 14)
        | bit(g, 15);
    Segment {
        selector,
        access: if unusable != 0 { 0 } else { access },
        limit,
        base,
    }
}

fn segment_to(segment: &Segment) -> kvm_segment {
    let Segment {
        selector,
        access,
        limit,
        base,
    } = *segment;
    let bit = |at: u32| (access >> at & 1) as u8;
    kvm_segment {
        base,
        limit,
        selector,
        type_: (access & 15) as u8,
        present: bit(7),
        dpl: (access >> 5 & 3) as u8,
        db: bit(14),
        s: bit(4),
        l: bit(13),
        g: bit(15),
        avl: bit(12),
        unusable: u8::from(access == 0),
        padding: 0,
    }
}

fn table_from(kvm: &kvm_dtable) -> TableRegister {
    TableRegister {
        base: kvm.base,
        limit: kvm.limit,
    }
}

fn table_to(table: &TableRegister) -> kvm_dtable {
    kvm_dtable {
        base: table.base,
        limit: table.limit,
        ..Default::default()
    }
}

fn load_regs(regs: &kvm_regs, state: &mut CpuState) {
    state.gpr = [
        regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi, regs.r8,
        regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
    ];
    state.rip = regs.rip;
    state.rflags = regs.rflags;
}

fn store_regs(state: &CpuState) -> kvm_regs {
    let [
        rax,
        rcx,
        rdx,
        rbx,
        rsp,
        rbp,
        rsi,
        rdi,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
    ] = state.gpr;
    kvm_regs {
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rsp,
        rbp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip: state.rip,
        rflags: state.rflags,
    }
}

fn load_sregs(sregs: &kvm_sregs, state: &mut CpuState) {
    let kvm = [
        &sregs.es, &sregs.cs, &sregs.ss, &sregs.ds, &sregs.fs, &sregs.gs,
    ];
    state.segments = kvm.map(segment_from);
    state.ldtr = segment_from(&sregs.ldt);
    state.tr = segment_from(&sregs.tr);
    state.gdtr = table_from(&sregs.gdt);
    state.idtr = table_from(&sregs.idt);
    state.cr0 = sregs.cr0;
    state.cr2 = sregs.cr2;
    state.cr3 = sregs.cr3;
    state.cr4 = sregs.cr4;
    state.msrs.efer = sregs.efer;
}

fn store_sregs(state: &CpuState, boots: bool) -> kvm_sregs {
    let [es, cs, ss, ds, fs, gs] = state.segments.each_ref().map(segment_to);
    kvm_sregs {
        cs,
        ds,
        es,
        fs,
        gs,
        ss,
        tr: segment_to(&state.tr),
        ldt: segment_to(&state.ldtr),
        gdt: table_to(&state.gdtr),
        idt: table_to(&state.idtr),
        cr0: state.cr0,
        cr2: state.cr2,
        cr3: state.cr3,
        cr4: state.cr4,
        cr8: 0,
        efer: state.msrs.efer,
        apic_base: APIC_BASE | u64::from(boots) << 8,
        interrupt_bitmap: [0; 4],
    }
}

/// Reads everything that KVM keeps of a vCPU into `state` and leaves the rest of it as it is.
///
/// # Errors
/// If KVM does not tell, or is about to deliver an exception or interrupt that a [`CpuState`] has no
/// place for.
pub(super) fn load(fd: &VcpuFd, state: &mut CpuState) -> Result<(), String> {
    let events = fd.get_vcpu_events().map_err(in_words)?;
    if is_busy(&events) {
        return Err("an exception or interrupt is half delivered".to_owned());
    }
    load_regs(&fd.get_regs().map_err(in_words)?, state);
    load_sregs(&fd.get_sregs().map_err(in_words)?, state);
    fpu::load(&fd.get_xsave().map_err(in_words)?, state);
    msr::load(fd, &mut state.msrs)?;
    let debug = fd.get_debug_regs().map_err(in_words)?;
    state.dr[..4].copy_from_slice(&debug.db);
    (state.dr[6], state.dr[7]) = (debug.dr6, debug.dr7);
    let xcrs = fd.get_xcrs().map_err(in_words)?;
    let xcr0 = xcrs.xcrs[..(xcrs.nr_xcrs as usize).min(xcrs.xcrs.len())]
        .iter()
        .find(|register| register.xcr == 0);
    state.xcr0 = xcr0.map_or(state.xcr0, |register| register.value);
    state.nmi_blocked = events.nmi.masked != 0;
    let shadow = u32::from(events.interrupt.shadow);
    let bit = |kvm: u32, ours: u8| if shadow & kvm != 0 { ours } else { 0 };
    state.interrupt_shadow =
        bit(KVM_X86_SHADOW_INT_STI, AFTER_STI) | bit(KVM_X86_SHADOW_INT_MOV_SS, AFTER_MOV_SS);
    state.pending_breakpoints = 0;
    Ok(())
}

/// Gives KVM everything of `state` that it keeps. `boots` is whether this is the first processor.
///
/// # Errors
/// If KVM refuses the state.
pub(super) fn store(fd: &VcpuFd, state: &CpuState, boots: bool) -> Result<(), String> {
    if state.pending_breakpoints != 0 {
        return Err("KVM has no place for breakpoints that wait behind a MOV SS".to_owned());
    }
    fd.set_sregs(&store_sregs(state, boots)).map_err(in_words)?;
    fd.set_regs(&store_regs(state)).map_err(in_words)?;
    let mut xcrs = kvm_xcrs {
        nr_xcrs: 1,
        ..Default::default()
    };
    xcrs.xcrs[0] = kvm_xcr {
        xcr: 0,
        reserved: 0,
        value: state.xcr0,
    };
    fd.set_xcrs(&xcrs).map_err(in_words)?;
    // SAFETY: the structure has 4096 bytes, and no component beyond AVX, which ends at 832, can be
    // enabled, since CPUID announces none: KVM does not read further than that.
    unsafe { fd.set_xsave(&fpu::store(state)) }.map_err(in_words)?;
    msr::store(fd, &state.msrs)?;
    let mut debug = kvm_debugregs {
        dr6: state.dr[6],
        dr7: state.dr[7],
        ..Default::default()
    };
    debug.db.copy_from_slice(&state.dr[..4]);
    fd.set_debug_regs(&debug).map_err(in_words)?;
    fd.set_vcpu_events(&events(state)).map_err(in_words)
}

/// No event under way, with the shadows and the blocking of `state`.
fn events(state: &CpuState) -> kvm_vcpu_events {
    let mut events = kvm_vcpu_events {
        flags: KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING,
        ..Default::default()
    };
    let bit = |ours: u8, kvm: u32| {
        if state.interrupt_shadow & ours != 0 {
            kvm
        } else {
            0
        }
    };
    events.interrupt.shadow = (bit(AFTER_STI, KVM_X86_SHADOW_INT_STI)
        | bit(AFTER_MOV_SS, KVM_X86_SHADOW_INT_MOV_SS)) as u8;
    events.nmi.masked = state.nmi_blocked.into();
    events
}

/// Whether an event is on its way into the guest.
pub(super) fn is_busy(events: &kvm_vcpu_events) -> bool {
    let kvm_vcpu_events {
        exception,
        interrupt,
        nmi,
        ..
    } = events;
    exception.injected != 0
        || exception.pending != 0
        || interrupt.injected != 0
        || nmi.injected != 0
        || nmi.pending != 0
}

#[cfg(test)]
mod tests {
    use chaosrun_x86::{Cpu, CpuModel};

    use super::*;

    #[test]
    fn segments_keep_all_their_bits() {
        for access in [0, 0x93, 0xa09b, 0xc0f3, 0x008b, 0x1082, 0xf0ff] {
            let segment = Segment {
                selector: 0x33,
                access,
                limit: 0xf_ffff,
                base: 1 << 40,
            };
            assert_eq!(segment_from(&segment_to(&segment)), segment);
        }
    }

    #[test]
    fn registers_keep_their_places() {
        let mut state = Cpu::new(0, CpuModel::default()).state();
        state.gpr = std::array::from_fn(|index| 0x1000 + index as u64);
        (state.rip, state.rflags) = (0x1234, 0x202);
        (state.cr0, state.cr2, state.cr3, state.cr4) = (0x8000_0011, 2, 0x3000, 0x20);
        state.msrs.efer = 0x500;
        let mut loaded = Cpu::new(0, CpuModel::default()).state();
        load_regs(&store_regs(&state), &mut loaded);
        load_sregs(&store_sregs(&state, true), &mut loaded);
        assert_eq!(loaded, state);
        assert_eq!(store_regs(&state).rbx, 0x1003);
    }
}
