//! The states that power-on, INIT and a start-up IPI leave a CPU in (Intel SDM vol. 3, table 10-1).

use crate::mode::cr0;
use crate::model::CpuModel;
use crate::state::{Activity, CpuState, Msrs, Segment, TableRegister, X87};

/// The value of IA32_PAT after reset.
const PAT: u64 = 0x0007_0406_0007_0406;

/// A real-mode data segment.
const DATA: Segment = Segment {
    selector: 0,
    access: 0x93,
    limit: 0xffff,
    base: 0,
};

/// After power-on.
pub(crate) fn power_on(model: &CpuModel) -> CpuState {
    let mut dr = [0; 8];
    dr[6] = 0xffff_0ff0;
    dr[7] = 0x400;
    let mut gpr = [0; 16];
    gpr[2] = u64::from(crate::cpuid::signature(model));
    let mut segments = [DATA; 6];
    segments[1] = Segment {
        selector: 0xf000,
        access: 0x9b,
        limit: 0xffff,
        base: 0xffff_0000,
    };
    CpuState {
        gpr,
        rip: 0xfff0,
        rflags: 2,
        segments,
        ldtr: Segment {
            access: 0x82,
            limit: 0xffff,
            ..Segment::default()
        },
        tr: Segment {
            access: 0x8b,
            limit: 0xffff,
            ..Segment::default()
        },
        gdtr: TableRegister {
            base: 0,
            limit: 0xffff,
        },
        idtr: TableRegister {
            base: 0,
            limit: 0xffff,
        },
        cr0: cr0::ET | cr0::CD | cr0::NW,
        cr2: 0,
        cr3: 0,
        cr4: 0,
        xcr0: 1,
        dr,
        xmm: [[0; 2]; 16],
        ymm_high: [[0; 2]; 16],
        mxcsr: 0x1f80,
        // After power-on the tags are those of zeros; FNINIT makes them empty.
        x87: X87 {
            control: 0x40,
            tag: 0x5555,
            ..X87::default()
        },
        msrs: Msrs {
            pat: PAT,
            misc_enable: 1,
            ..Msrs::default()
        },
        activity: Activity::Running,
        interrupt_shadow: 0,
        nmi_blocked: false,
        pending_breakpoints: 0,
        retired: 0,
        string_bytes: 0,
    }
}

/// After INIT, which keeps the x87 and SSE state and most MSRs.
pub(crate) fn init(model: &CpuModel, before: &CpuState) -> CpuState {
    let kept = cr0::CD | cr0::NW;
    let mut state = power_on(model);
    state.cr0 = cr0::ET | before.cr0 & kept;
    state.xcr0 = before.xcr0;
    state.xmm = before.xmm;
    state.ymm_high = before.ymm_high;
    state.mxcsr = before.mxcsr;
    state.x87 = before.x87;
    state.msrs = before.msrs.clone();
    state.msrs.efer = 0;
    state.activity = Activity::WaitForSipi;
    state.retired = before.retired;
    state.string_bytes = before.string_bytes;
    state
}

/// After a start-up IPI: real mode at `vector << 12`.
pub(crate) fn start_up(state: &mut CpuState, vector: u8) {
    let cs = &mut state.segments[1];
    cs.selector = u16::from(vector) << 8;
    cs.base = u64::from(vector) << 12;
    state.rip = 0;
    state.activity = Activity::Running;
}
