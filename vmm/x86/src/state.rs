//! The architectural state of one virtual CPU, as plain data that can be copied, compared and
//! hashed. Both engines use it, so that a snapshot does not depend on what executed it.

use serde::{Deserialize, Serialize};

/// A segment register with its hidden part (Intel SDM vol. 3, 3.4.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The visible selector.
    pub selector: u16,
    /// Access rights in the layout of a descriptor's bytes 5 and 6: type in bits 0-3, S 4, DPL 5-6,
    /// P 7, AVL 12, L 13, D/B 14, G 15. Zero means unusable.
    pub access: u16,
    /// The limit in bytes, granularity already applied.
    pub limit: u32,
    /// The linear base address.
    pub base: u64,
}

impl Segment {
    /// What loading a selector makes of its descriptor (Intel SDM vol. 3, 3.4.5).
    pub(crate) fn described(selector: u16, descriptor: u64) -> Self {
        let limit = (descriptor & 0xffff | descriptor >> 32 & 0xf_0000) as u32;
        let granular = descriptor >> 55 & 1 != 0;
        Self {
            selector,
            access: (descriptor >> 40 & 0xf0ff) as u16,
            limit: if granular { limit << 12 | 0xfff } else { limit },
            base: descriptor >> 16 & 0xff_ffff | descriptor >> 32 & 0xff00_0000,
        }
    }
}

/// GDTR or IDTR.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRegister {
    /// The linear base address.
    pub base: u64,
    /// The limit in bytes: the offset of the last valid byte.
    pub limit: u16,
}

/// What a CPU is doing (the SDM calls it the activity state).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Activity {
    /// It executes instructions.
    #[default]
    Running,
    /// It executed HLT or MWAIT and waits for an interrupt.
    Halted,
    /// An application processor after INIT, waiting for a start-up IPI.
    WaitForSipi,
    /// It shut down after a triple fault.
    Shutdown,
}

/// One x87 register: 64 bits of significand, 16 bits of sign and exponent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct F80 {
    /// The significand with its explicit integer bit.
    pub mantissa: u64,
    /// Sign in bit 15, biased exponent in bits 0-14.
    pub sign_exponent: u16,
}

/// The x87 unit (Intel SDM vol. 1, 8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct X87 {
    /// The physical registers R0-R7 (not relative to the top of the stack).
    pub regs: [F80; 8],
    /// Control word.
    pub control: u16,
    /// Status word, with the top of the stack in bits 11-13.
    pub status: u16,
    /// Tag word in the full two-bit form: 0 valid, 1 zero, 2 special, 3 empty.
    pub tag: u16,
    /// Last opcode (11 bits).
    pub opcode: u16,
    /// Last instruction pointer.
    pub ip: u64,
    /// Last data pointer.
    pub dp: u64,
}

impl Default for X87 {
    /// The state after FNINIT.
    fn default() -> Self {
        Self {
            regs: [F80::default(); 8],
            control: 0x37f,
            status: 0,
            tag: 0xffff,
            opcode: 0,
            ip: 0,
            dp: 0,
        }
    }
}

/// Model-specific registers that the CPU itself owns. IA32_APIC_BASE, the TSC and the deadline
/// register belong to the machine, FS.base and GS.base to the segment registers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Msrs {
    /// IA32_EFER (C000_0080).
    pub efer: u64,
    /// IA32_STAR (C000_0081).
    pub star: u64,
    /// IA32_LSTAR (C000_0082).
    pub lstar: u64,
    /// IA32_CSTAR (C000_0083).
    pub cstar: u64,
    /// IA32_FMASK (C000_0084).
    pub sfmask: u64,
    /// IA32_KERNEL_GS_BASE (C000_0102).
    pub kernel_gs_base: u64,
    /// IA32_TSC_AUX (C000_0103).
    pub tsc_aux: u64,
    /// IA32_TSC_ADJUST (3B).
    pub tsc_adjust: u64,
    /// IA32_SYSENTER_CS (174).
    pub sysenter_cs: u64,
    /// IA32_SYSENTER_ESP (175).
    pub sysenter_esp: u64,
    /// IA32_SYSENTER_EIP (176).
    pub sysenter_eip: u64,
    /// IA32_PAT (277).
    pub pat: u64,
    /// IA32_MISC_ENABLE (1A0).
    pub misc_enable: u64,
    /// IA32_SPEC_CTRL (48).
    pub spec_ctrl: u64,
    /// IA32_MTRR_DEF_TYPE (2FF).
    pub mtrr_def_type: u64,
    /// IA32_MTRR_PHYSBASE0, PHYSMASK0, ... (200-20F).
    pub mtrr_variable: [u64; 16],
    /// The fixed-range MTRRs: 250, 258, 259, 268-26F.
    pub mtrr_fixed: [u64; 11],
}

/// Everything of one virtual CPU that a program can observe or that decides what it does next,
/// except its translation caches, which [`crate::Tlb`] holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuState {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8-R15: the encoding's order.
    pub gpr: [u64; 16],
    /// The instruction pointer.
    pub rip: u64,
    /// RFLAGS, all of it materialised.
    pub rflags: u64,
    /// ES, CS, SS, DS, FS, GS: the encoding's order.
    pub segments: [Segment; 6],
    /// The local descriptor table.
    pub ldtr: Segment,
    /// The task register.
    pub tr: Segment,
    /// The global descriptor table.
    pub gdtr: TableRegister,
    /// The interrupt descriptor table.
    pub idtr: TableRegister,
    /// Control register 0.
    pub cr0: u64,
    /// Control register 2: the last page-fault address.
    pub cr2: u64,
    /// Control register 3: the page-table root.
    pub cr3: u64,
    /// Control register 4.
    pub cr4: u64,
    /// XCR0, the enabled extended states.
    pub xcr0: u64,
    /// DR0-DR7; 4 and 5 stay zero.
    pub dr: [u64; 8],
    /// XMM0-XMM15 as low and high quadwords.
    pub xmm: [[u64; 2]; 16],
    /// The upper halves of YMM0-YMM15 as low and high quadwords; zero without AVX.
    pub ymm_high: [[u64; 2]; 16],
    /// The SSE control and status register.
    pub mxcsr: u32,
    /// The x87 unit.
    pub x87: X87,
    /// Model-specific registers.
    pub msrs: Msrs,
    /// Running, halted, waiting or shut down.
    pub activity: Activity,
    /// Interrupts are held off for one instruction: after STI (bit 0) or MOV SS / POP SS (bit 1).
    pub interrupt_shadow: u8,
    /// NMIs are blocked until the next IRET.
    pub nmi_blocked: bool,
    /// Data breakpoints (bits 0-3 as in DR6) that a MOV SS or POP SS has hit, which holds their trap
    /// off until behind the next instruction.
    pub pending_breakpoints: u8,
    /// Retired instructions since power-on. A repeated string instruction counts one for itself and
    /// one more for every 64 bytes that such instructions have processed. A fault that was delivered
    /// counts one.
    pub retired: u64,
    /// Bytes processed by repeated string instructions since the last one that was counted.
    pub string_bytes: u64,
}

impl CpuState {
    /// Feeds all of the state to `sink`. Equal states feed equal bytes.
    pub fn hash_into(&self, sink: &mut dyn FnMut(&[u8])) {
        feed(self, sink);
    }
}

/// Feeds a state to `sink` as bytes, every field of it.
fn feed(state: &CpuState, sink: &mut dyn FnMut(&[u8])) {
    // Taken apart without `..`, so that a new field does not compile until it is fed.
    let CpuState {
        gpr,
        rip,
        rflags,
        segments,
        ldtr,
        tr,
        gdtr,
        idtr,
        cr0,
        cr2,
        cr3,
        cr4,
        xcr0,
        dr,
        xmm,
        ymm_high,
        mxcsr,
        x87,
        msrs,
        activity,
        interrupt_shadow,
        nmi_blocked,
        pending_breakpoints,
        retired,
        string_bytes,
    } = state;
    let mut put = |value: u64| sink(&value.to_le_bytes());
    gpr.iter()
        .chain(dr)
        .chain(xmm.as_flattened())
        .chain(ymm_high.as_flattened())
        .copied()
        .for_each(&mut put);
    [
        *rip,
        *rflags,
        *cr0,
        *cr2,
        *cr3,
        *cr4,
        *xcr0,
        *retired,
        *string_bytes,
    ]
    .into_iter()
    .for_each(&mut put);
    for segment in segments.iter().chain([ldtr, tr]) {
        let Segment {
            selector,
            access,
            limit,
            base,
        } = *segment;
        put(u64::from(selector) | u64::from(access) << 16 | u64::from(limit) << 32);
        put(base);
    }
    for table in [gdtr, idtr] {
        let TableRegister { base, limit } = *table;
        put(base);
        put(u64::from(limit));
    }
    put(u64::from(*mxcsr) | (*activity as u64) << 32);
    put(u64::from(*interrupt_shadow)
        | u64::from(*nmi_blocked) << 8
        | u64::from(*pending_breakpoints) << 16);
    feed_x87(x87, &mut put);
    feed_msrs(msrs, &mut put);
}

fn feed_x87(x87: &X87, put: &mut dyn FnMut(u64)) {
    let X87 {
        regs,
        control,
        status,
        tag,
        opcode,
        ip,
        dp,
    } = x87;
    for F80 {
        mantissa,
        sign_exponent,
    } in regs
    {
        put(*mantissa);
        put(u64::from(*sign_exponent));
    }
    put(u64::from(*control)
        | u64::from(*status) << 16
        | u64::from(*tag) << 32
        | u64::from(*opcode) << 48);
    put(*ip);
    put(*dp);
}

fn feed_msrs(msrs: &Msrs, put: &mut dyn FnMut(u64)) {
    let Msrs {
        efer,
        star,
        lstar,
        cstar,
        sfmask,
        kernel_gs_base,
        tsc_aux,
        tsc_adjust,
        sysenter_cs,
        sysenter_esp,
        sysenter_eip,
        pat,
        misc_enable,
        spec_ctrl,
        mtrr_def_type,
        mtrr_variable,
        mtrr_fixed,
    } = msrs;
    let single = [
        efer,
        star,
        lstar,
        cstar,
        sfmask,
        kernel_gs_base,
        tsc_aux,
        tsc_adjust,
        sysenter_cs,
        sysenter_esp,
        sysenter_eip,
        pat,
        misc_enable,
        spec_ctrl,
        mtrr_def_type,
    ];
    single
        .into_iter()
        .chain(mtrr_variable)
        .chain(mtrr_fixed)
        .for_each(|&value| put(value));
}
