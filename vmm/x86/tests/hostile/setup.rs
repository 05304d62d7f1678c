//! What a hostile machine's memory and registers hold at the start: tables that mostly work, so
//! that code gets somewhere, with damage all over.

use chaosrun_x86::{CpuState, F80, Memory, Segment, TableRegister};

use crate::code::HEADER;
use crate::machine::{HIGH, HIGH_START, LOW};
use crate::values::Values;

const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PD: u64 = 0x3000;
const PT: u64 = 0x4000;
const PD32: u64 = 0x5000;
const PT32: u64 = 0x6000;
const PDPT_PAE: u64 = 0x7000;
const GDT: u64 = 0x8000;
const IDT: u64 = 0x9000;
const TSS: u64 = 0xa000;
const LDT: u64 = 0xb000;
const CODE: u64 = 0x1_0000;
const CODE_PAGES: u64 = 8;
const STACK: u64 = 0x2_0800;

/// Present, writable, for users, accessed and dirty.
const MAPPED: u64 = 0x67;
const LARGE: u64 = 1 << 7;

const CODE32: (u16, u64) = (0x08, 0x00cf_9b00_0000_ffff);
const CODE64: (u16, u64) = (0x10, 0x00af_9b00_0000_ffff);
const DATA: (u16, u64) = (0x18, 0x00cf_9300_0000_ffff);
const USER_CODE32: (u16, u64) = (0x23, 0x00cf_fb00_0000_ffff);
const USER_DATA: (u16, u64) = (0x2b, 0x00cf_f300_0000_ffff);
const USER_CODE64: (u16, u64) = (0x33, 0x00af_fb00_0000_ffff);
const CODE16: (u16, u64) = (0x48, 0x0000_9b00_0000_ffff);
const DATA16: (u16, u64) = (0x50, 0x0000_9300_0000_ffff);

const CR0_PE: u64 = 1;
const CR0_PG: u64 = 1 << 31;
const CR0_NE: u64 = 1 << 5;
const CR0_ET: u64 = 1 << 4;
/// CR0 bits that only change what is allowed: MP, EM, TS, WP, AM, NW, CD.
const CR0_RANDOM: u64 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 16 | 1 << 18 | 1 << 29 | 1 << 30;
/// TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT, OSXSAVE.
const CR4_KNOWN: u64 = 0x1fc | 1 << 9 | 1 << 10 | 1 << 18;
const CR4_PAE: u64 = 1 << 5;
const CR4_PSE: u64 = 1 << 4;
const EFER_LONG: u64 = 1 << 8 | 1 << 10;
const EFER_NXE: u64 = 1 << 11;
const EFER_SCE: u64 = 1;

/// Fills RAM: noise, tables, and the case's code in several places.
pub fn fill_memory(memory: &mut Memory, values: &mut Values, data: &[u8]) {
    let mut put = |gpa: u64, bytes: &[u8]| assert!(memory.write(gpa, bytes), "{gpa:#x} is RAM");
    for page in 0..(LOW + HIGH) / 4096 {
        let start = page * 4096;
        let gpa = if start < LOW {
            start
        } else {
            start - LOW + HIGH_START
        };
        // Noise everywhere would take too long; what code finds there hardly matters.
        for _ in 0..16 {
            put(gpa + values.below(511) * 8, &values.bits().to_le_bytes());
        }
    }
    long_tables(&mut put, values);
    short_tables(&mut put, values);
    descriptors(&mut put, values);
    gates(&mut put, values);
    let code = &data[data.len().min(HEADER)..];
    for page in 0..CODE_PAGES {
        let at = CODE + page * 4096;
        let length = code.len().min(4096);
        put(at, &code[..length]);
        // The page's end, so that instructions reach into the next page.
        put(at + 4096 - length as u64 / 2, &code[..length / 2]);
    }
}

fn long_tables(put: &mut impl FnMut(u64, &[u8]), values: &mut Values) {
    for index in [0, 1, 255, 256, 511] {
        put(PML4 + 8 * index, &(PDPT | MAPPED).to_le_bytes());
    }
    let gigabytes = [
        PD | MAPPED,
        MAPPED | LARGE,
        PD | MAPPED,
        0xc000_0000 | MAPPED | LARGE,
    ];
    for (index, entry) in gigabytes.into_iter().enumerate() {
        put(PDPT + 8 * index as u64, &entry.to_le_bytes());
    }
    put(PDPT + 32, &(HIGH_START | MAPPED | LARGE).to_le_bytes());
    put(PD, &(PT | MAPPED).to_le_bytes());
    put(PD + 8, &(MAPPED | LARGE).to_le_bytes());
    put(PD + 16, &(HIGH_START | MAPPED | LARGE).to_le_bytes());
    put(PD + 24, &(0xfee0_0000 | MAPPED | LARGE).to_le_bytes());
    for page in 0..512 {
        put(PT + 8 * page, &(page << 12 | MAPPED).to_le_bytes());
    }
    for index in 0..4 {
        put(PDPT_PAE + 8 * index, &(PD | 1).to_le_bytes());
    }
    for table in [PML4, PDPT, PD, PT, PT, PT, PDPT_PAE] {
        for _ in 0..values.below(3) {
            let index = match table {
                PT => values.below(80),
                _ => values.below(6),
            };
            put(table + 8 * index, &odd_entry(values).to_le_bytes());
        }
    }
}

/// An entry that is wrong in some way, or leads to somewhere unexpected.
fn odd_entry(values: &mut Values) -> u64 {
    let page = values.below(LOW >> 12) << 12;
    match values.below(12) {
        0 => values.bits(),
        1 => 0,
        2 => page | values.below(0x200) | values.bits() << 63,
        3 => page | MAPPED | 1 << (46 + values.below(18)),
        4 => (LOW - 0x1000) | MAPPED,
        5 => LOW | MAPPED,
        6 => (HIGH_START + HIGH - 0x1000) | MAPPED,
        7 => (HIGH_START + HIGH) | MAPPED,
        8 => (values.bits() & 0x3fff_ffff_f000) | MAPPED,
        9 => values.pick(&[PML4, PDPT, PD, PT]) | MAPPED,
        10 => page | MAPPED | LARGE,
        _ => page | MAPPED & !0x60,
    }
}

fn short_tables(put: &mut impl FnMut(u64, &[u8]), values: &mut Values) {
    for index in 0..1024_u32 {
        let entry = match index {
            0 | 512 => PT32 as u32 | MAPPED as u32,
            1 => (MAPPED | LARGE) as u32,
            _ if values.chance(2) => values.bits() as u32,
            _ => 0,
        };
        put(PD32 + 4 * u64::from(index), &entry.to_le_bytes());
    }
    for page in 0..1024_u32 {
        let entry = if values.chance(2) {
            odd_entry(values) as u32
        } else {
            page << 12 | MAPPED as u32
        };
        put(PT32 + 4 * u64::from(page), &entry.to_le_bytes());
    }
}

fn descriptors(put: &mut impl FnMut(u64, &[u8]), values: &mut Values) {
    for index in 0..64 {
        for table in [GDT, LDT] {
            put(table + 8 * index, &odd_descriptor(values).to_le_bytes());
        }
    }
    put(GDT, &[0; 8]);
    let good = [
        CODE32,
        CODE64,
        DATA,
        USER_CODE32,
        USER_DATA,
        USER_CODE64,
        CODE16,
        DATA16,
    ];
    for (selector, descriptor) in good {
        if !values.chance(3) {
            put(GDT + u64::from(selector & !7), &descriptor.to_le_bytes());
        }
    }
    // A 64-bit TSS and a call gate, each of 16 bytes.
    put(GDT + 0x38, &(0x67 | TSS << 16 | 0x89 << 40).to_le_bytes());
    put(GDT + 0x40, &[0; 8]);
    let target = code_address(values);
    let gate = target & 0xffff | 0x10 << 16 | 0xec << 40 | (target >> 16 & 0xffff) << 48;
    put(GDT + 0x60, &gate.to_le_bytes());
    put(GDT + 0x68, &[0; 8]);
    for offset in (4..0x68).step_by(8) {
        let stack = pointer(values);
        put(TSS + offset, &stack.to_le_bytes());
    }
    put(
        TSS + 0x66,
        &(values.pick(&[0x68, 0x68, 0, 0xffff, 0x60]) as u16).to_le_bytes(),
    );
}

/// A descriptor with random rights, mostly with a base and a limit that make some sense.
fn odd_descriptor(values: &mut Values) -> u64 {
    if values.chance(20) {
        return values.bits();
    }
    let base = values.pick(&[0, 0, CODE, STACK, 0xffff_f000]);
    let limit = values.pick(&[0xfffff, 0xffff, 0, 0xfff, 0x7f]);
    let rights = values.bits() & 0xf0ff | 0x80;
    limit & 0xffff
        | (base & 0xff_ffff) << 16
        | rights << 40
        | (limit >> 16 & 0xf) << 48
        | (base >> 24 & 0xff) << 56
}

fn gates(put: &mut impl FnMut(u64, &[u8]), values: &mut Values) {
    for vector in 0..256 {
        let target = code_address(values);
        let selector = if values.chance(5) {
            values.bits() & 0xffff
        } else {
            CODE64.0.into()
        };
        let ist = if values.chance(15) {
            values.below(8)
        } else {
            0
        };
        let rights = match values.below(30) {
            0 => values.bits() & 0xff,
            1..10 => 0xee,
            10..14 => 0x8f,
            _ => 0x8e,
        };
        let low = target & 0xffff
            | selector << 16
            | ist << 32
            | rights << 40
            | (target >> 16 & 0xffff) << 48;
        let high = if values.chance(2) {
            values.bits()
        } else {
            target >> 32
        };
        put(IDT + 16 * vector, &low.to_le_bytes());
        put(IDT + 16 * vector + 8, &high.to_le_bytes());
        let segment = (CODE >> 4) as u16;
        let real = [target as u16 & 0x7fff, segment].map(u16::to_le_bytes);
        put(4 * vector, real.as_flattened());
    }
}

fn code_address(values: &mut Values) -> u64 {
    match values.below(8) {
        0 => CODE + 4096 * (1 + values.below(CODE_PAGES - 1)) - values.below(20),
        _ => CODE + values.below(CODE_PAGES) * 4096 + values.below(400),
    }
}

/// An address that code can do something with.
fn pointer(values: &mut Values) -> u64 {
    match values.below(20) {
        0..6 => STACK + values.below(0x4000),
        6 | 7 => code_address(values),
        8 => values.below(0xc000),
        9 => LOW - values.below(32),
        10 => HIGH_START + HIGH - values.below(32),
        11 => HIGH_START + values.below(HIGH),
        12 => (STACK & !0xfff) + 0x1000 - values.below(16),
        13 => 0x8000_0000_0000_u64.wrapping_sub(values.below(16)),
        14 => values.below(64).wrapping_sub(32),
        15 => 0xffff_8000_0000_0000 + values.below(LOW),
        16 => values.below(256),
        17 => 0xffff_ffff - values.below(64),
        18 => 0x20_0000 * values.below(5) + values.below(0x100),
        _ => values.bits(),
    }
}

/// The state that the case's first byte and its numbers choose, starting from that after reset.
pub fn state(mut state: CpuState, values: &mut Values, data: &[u8]) -> CpuState {
    let mode = data.first().copied().unwrap_or(0);
    state.gpr = std::array::from_fn(|_| pointer(values));
    state.gpr[4] = STACK + values.below(0x4000);
    state.gdtr = TableRegister {
        base: GDT,
        limit: 0x1ff,
    };
    state.idtr = TableRegister {
        base: IDT,
        limit: 0xfff,
    };
    state.tr = Segment {
        selector: 0x38,
        access: 0x8b,
        limit: 0x67,
        base: TSS,
    };
    state.ldtr = Segment {
        selector: 0x58,
        access: 0x82,
        limit: 0x1ff,
        base: LDT,
    };
    state.rflags = 2 | values.bits() & 0xcd5 | (values.bits() & 0x200);
    state.rip = code_address(values);
    state.cr4 = values.bits() & CR4_KNOWN & !(CR4_PAE | CR4_PSE) | 1 << 9;
    state.cr0 = CR0_ET | CR0_NE | CR0_PE;
    if values.chance(30) {
        state.cr0 |= values.bits() & CR0_RANDOM;
    }
    state.xcr0 = values.pick(&[1, 3, 3]);
    match mode % 9 {
        0 | 6 => long(&mut state, CODE64, DATA),
        1 => long(&mut state, USER_CODE64, USER_DATA),
        2 => {
            protected(&mut state, CODE32, DATA);
            paging(&mut state, values);
        }
        3 => {
            protected(&mut state, USER_CODE32, USER_DATA);
            paging(&mut state, values);
        }
        4 => real(&mut state),
        5 => protected(&mut state, CODE16, DATA16),
        7 => long(&mut state, CODE32, DATA),
        _ => {
            long(&mut state, CODE64, DATA);
            anything(&mut state, values);
        }
    }
    floating_point(&mut state, values);
    model_specific(&mut state, values);
    damage(&mut state, values);
    state
}

fn flat((selector, descriptor): (u16, u64)) -> Segment {
    let granular = descriptor >> 55 & 1 != 0;
    Segment {
        selector,
        access: (descriptor >> 40) as u16 & 0xf0ff,
        limit: if granular { u32::MAX } else { 0xffff },
        base: 0,
    }
}

fn protected(state: &mut CpuState, code: (u16, u64), data: (u16, u64)) {
    state.segments = [flat(data); 6];
    state.segments[1] = flat(code);
    if code == CODE16 {
        for segment in &mut state.segments {
            segment.base = CODE;
        }
        state.rip &= 0x7fff;
        state.gpr[4] &= 0xffff;
    }
}

fn long(state: &mut CpuState, code: (u16, u64), data: (u16, u64)) {
    protected(state, code, data);
    state.cr0 |= CR0_PG;
    state.cr3 = PML4;
    state.cr4 |= CR4_PAE;
    state.msrs.efer = EFER_LONG | EFER_NXE | EFER_SCE;
}

fn paging(state: &mut CpuState, values: &mut Values) {
    match values.below(4) {
        0 => {}
        1 => {
            state.cr0 |= CR0_PG;
            state.cr3 = PDPT_PAE;
            state.cr4 |= CR4_PAE;
            state.msrs.efer = values.bits() & EFER_NXE;
        }
        _ => {
            state.cr0 |= CR0_PG;
            state.cr3 = PD32;
            state.cr4 |= values.bits() & CR4_PSE;
        }
    }
}

fn real(state: &mut CpuState) {
    state.cr0 &= !CR0_PE;
    let selector = (CODE >> 4) as u16;
    let segment = Segment {
        selector,
        access: 0x93,
        limit: 0xffff,
        base: CODE,
    };
    state.segments = [segment; 6];
    state.segments[1].access = 0x9b;
    state.idtr = TableRegister {
        base: 0,
        limit: 0x3ff,
    };
    state.rip &= 0x7fff;
    state.gpr[4] &= 0xffff;
}

/// Bits that no sane system would combine.
fn anything(state: &mut CpuState, values: &mut Values) {
    if values.chance(50) {
        state.cr0 ^= values.bits() & (CR0_RANDOM | CR0_PE | CR0_PG);
    }
    if values.chance(50) {
        state.cr4 = values.bits() & CR4_KNOWN;
    }
    if values.chance(50) {
        state.msrs.efer = values.bits() & 0xd01;
    }
    if values.chance(30) {
        state.cr3 = values.bits() & 0x3fff_ffff_f000;
    }
    for index in 0..6 {
        if values.chance(40) {
            state.segments[index] = odd_segment(values);
        }
    }
}

fn odd_segment(values: &mut Values) -> Segment {
    let base = pointer(values);
    Segment {
        selector: values.bits() as u16,
        access: values.bits() as u16 & 0xf0ff,
        limit: values.pick(&[u32::MAX, 0xffff, 0, 0xfff]),
        base: if values.chance(70) {
            base & 0xffff_ffff
        } else {
            canonical(base)
        },
    }
}

fn canonical(address: u64) -> u64 {
    ((address << 16) as i64 >> 16) as u64
}

fn floating_point(state: &mut CpuState, values: &mut Values) {
    state.xmm = std::array::from_fn(|_| [values.bits(), values.bits()]);
    state.mxcsr = if values.chance(70) {
        0x1f80
    } else {
        values.bits() as u32 & 0xffff
    };
    let x87 = &mut state.x87;
    for register in &mut x87.regs {
        let any = values.bits() as u16;
        *register = F80 {
            mantissa: values.bits() | values.below(2) << 63,
            sign_exponent: values.pick(&[0, 0x3fff, 0x7fff, 0xc000, 0x4010, any]),
        };
    }
    x87.tag = values.pick(&[0xffff, 0, 0x1b2d]);
    if values.chance(30) {
        x87.control = values.bits() as u16;
        x87.status = values.bits() as u16;
    } else {
        x87.control = 0x37f;
    }
}

fn model_specific(state: &mut CpuState, values: &mut Values) {
    let selector = u64::from(CODE32.0);
    let msrs = &mut state.msrs;
    msrs.star = selector << 32 | u64::from(USER_CODE32.0 - 8) << 48;
    if values.chance(20) {
        msrs.star = values.bits();
    }
    msrs.lstar = canonical(if values.chance(80) {
        code_address(values)
    } else {
        values.bits()
    });
    msrs.cstar = canonical(code_address(values));
    msrs.sfmask = values.bits() & 0xffff_ffff;
    msrs.kernel_gs_base = canonical(pointer(values));
    msrs.sysenter_cs = values.pick(&[0, 8, 0x10, 0xffff]);
    msrs.sysenter_esp = canonical(pointer(values));
    msrs.sysenter_eip = canonical(code_address(values));
    msrs.tsc_adjust = values.bits();
}

/// Changes a few things that a program could have changed itself.
fn damage(state: &mut CpuState, values: &mut Values) {
    if values.chance(25) {
        // TF, IOPL, NT, RF, AC, ID, and once in a while VM.
        state.rflags |= values.bits() & 0x25_7100;
    }
    if values.chance(2) {
        state.rflags |= 1 << 17;
    }
    if values.chance(15) {
        for index in 0..4 {
            state.dr[index] = canonical(pointer(values));
        }
        state.dr[7] = 0x400 | values.bits() & 0xffff_00ff;
    }
    if values.chance(10) {
        let index = values.below(6) as usize;
        state.segments[index].base = canonical(pointer(values));
        state.segments[index].limit = values.pick(&[0, 1, 0xfff, 0xffff]);
    }
    if values.chance(8) {
        state.idtr.limit = values.pick(&[0, 7, 15, 0xef, 0x7f]);
        state.gdtr.limit = values.pick(&[0, 7, 0x1f, 0xffff]);
    }
    if values.chance(5) {
        state.idtr.base = canonical(pointer(values));
        state.gdtr.base = canonical(pointer(values));
    }
    if values.chance(5) {
        state.tr.base = canonical(pointer(values));
        state.tr.limit = values.pick(&[0, 3, 0x25, 0x66, 0x1fff]);
    }
    if values.chance(10) {
        state.gpr[4] = pointer(values);
    }
    if values.chance(5) {
        state.rip = pointer(values);
    }
    if values.chance(20) {
        state.interrupt_shadow = values.below(4) as u8;
    }
    state.nmi_blocked = values.chance(10);
    if values.chance(10) {
        state.retired = values.pick(&[u64::MAX - 100, 1 << 63, u64::MAX >> 1]);
    }
    state.string_bytes = values.below(64);
}
