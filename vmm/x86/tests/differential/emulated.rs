//! Runs a case on the emulated CPU, in a machine whose user mode looks like that of the native
//! side: the same addresses, selectors and control bits.

use chaosrun_x86::{
    Access, Activity, Bus, CodeCache, Cpu, CpuModel, CpuState, Exit, F80, Memory, Segment,
    TableRegister, X87,
};

use crate::layout::{CODE, CODE_SIZE, PAGE, READ_ONLY, WINDOW, WINDOW_SIZE};
use crate::state::{Case, Fp, Outcome, Regs, Selectors, apply_patches};

/// Guest-physical addresses.
mod physical {
    pub const SIZE: u64 = 0x20_0000;
    pub const GDT: u64 = 0x1000;
    pub const IDT: u64 = 0x2000;
    pub const TSS: u64 = 0x3000;
    pub const STACK_TOP: u64 = 0x5000;
    pub const HANDLERS: u64 = 0x6000;
    pub const PML4: u64 = 0x1_0000;
    pub const PDPT_LOW: u64 = 0x1_1000;
    pub const PD_LOW: u64 = 0x1_2000;
    pub const PT_LOW: u64 = 0x1_3000;
    pub const PDPT_HIGH: u64 = 0x1_4000;
    pub const PD_HIGH: u64 = 0x1_5000;
    pub const CODE: u64 = 0x2_0000;
    pub const WINDOW: u64 = 0x3_0000;
    pub const READ_ONLY: u64 = 0x3_4000;
}

/// Where the supervisor sees physical address zero.
const KERNEL: u64 = 0xffff_8000_0000_0000;

/// The distance between the handlers of two vectors.
const HANDLER_STEP: u64 = 16;

/// More than any case takes, and little enough that one that never ends is noticed soon.
const BUDGET: u64 = 100_000;

/// The descriptors that Linux gives to user mode, at the same places.
const DESCRIPTORS: [(u64, u64); 6] = [
    (1, 0x00cf_9b00_0000_ffff),
    (2, 0x00af_9b00_0000_ffff),
    (3, 0x00cf_9300_0000_ffff),
    (4, 0x00cf_fb00_0000_ffff),
    (5, 0x00cf_f300_0000_ffff),
    (6, 0x00af_fb00_0000_ffff),
];

/// A bus on which there is nothing. A case that reaches it is wrong.
#[derive(Debug, Default)]
struct Nothing {
    reached: Option<String>,
}

impl Nothing {
    fn reach(&mut self, what: String) {
        self.reached.get_or_insert(what);
    }
}

impl Bus for Nothing {
    fn read_mmio(&mut self, _: &mut Access, gpa: u64, _: u8) -> u64 {
        self.reach(format!("read of {gpa:#x}"));
        0
    }
    fn write_mmio(&mut self, _: &mut Access, gpa: u64, _: u8, _: u64) {
        self.reach(format!("write of {gpa:#x}"));
    }
    fn read_port(&mut self, _: &mut Access, port: u16, _: u8) -> u32 {
        self.reach(format!("read of port {port:#x}"));
        0
    }
    fn write_port(&mut self, _: &mut Access, port: u16, _: u8, _: u32) {
        self.reach(format!("write of port {port:#x}"));
    }
    fn read_msr(&mut self, _: &mut Access, index: u32) -> Option<u64> {
        self.reach(format!("read of MSR {index:#x}"));
        None
    }
    fn write_msr(&mut self, _: &mut Access, index: u32, _: u64) -> bool {
        self.reach(format!("write of MSR {index:#x}"));
        false
    }
    fn read_tsc(&mut self, _: &mut Access) -> u64 {
        self.reach("read of the TSC".to_owned());
        0
    }
    fn tsc_adjusted(&mut self, _: &mut Access, _: u64) {
        self.reach("a write to IA32_TSC_ADJUST".to_owned());
    }
    fn read_cr8(&mut self, _: &mut Access) -> u64 {
        self.reach("read of CR8".to_owned());
        0
    }
    fn write_cr8(&mut self, _: &mut Access, _: u64) {
        self.reach("write of CR8".to_owned());
    }
    fn random(&mut self, _: &mut Access) -> u64 {
        self.reach("a random number".to_owned());
        0
    }
}

/// The emulated CPU as an executor of cases.
pub struct Emulated {
    cpu: Cpu,
    memory: Memory,
    code: CodeCache,
    base: CpuState,
    // The mapping that `memory` points into.
    _ram: Box<[Page]>,
}

#[repr(align(4096))]
#[derive(Clone, Copy)]
struct Page(
    #[expect(dead_code, reason = "only the CPU looks at it, through the `Memory`")]
    [u8; PAGE as usize],
);

impl Emulated {
    /// Sets up the machine.
    pub fn new() -> Self {
        let mut ram =
            vec![Page([0; PAGE as usize]); (physical::SIZE / PAGE) as usize].into_boxed_slice();
        // SAFETY: the pages live as long as the `Memory`, in the same struct, and only the CPU and
        // this struct touch them.
        let mut memory = unsafe { Memory::new(ram.as_mut_ptr().cast(), physical::SIZE, 0) };
        set_up_tables(&mut memory);
        let cpu = Cpu::new(0, CpuModel::default());
        let base = kernel_state(cpu.state());
        Self {
            cpu,
            memory,
            code: CodeCache::new(),
            base,
            _ram: ram,
        }
    }

    /// Sets after how many executions code is compiled that is loaded from now on; 0 for never.
    pub fn compile_after(&mut self, executions: u8) {
        self.code.compile_after(executions);
    }

    /// Runs a case. The error says why the emulated machine did not end in an exception.
    pub fn run(&mut self, case: &Case, background: &[u8]) -> Result<Outcome, String> {
        self.load(case);
        let outcome = self.execute(case, background, |_| Some(BUDGET));
        self.unload(case);
        outcome
    }

    /// Puts a case's code into memory.
    pub fn load(&mut self, case: &Case) {
        let offset = case.regs.rip - CODE;
        let visible = case.bytes.len().min((CODE_SIZE - offset) as usize);
        self.put(physical::CODE + offset, &case.bytes[..visible]);
    }

    /// Takes a case's code out of memory again.
    pub fn unload(&mut self, case: &Case) {
        let offset = case.regs.rip - CODE;
        let visible = case.bytes.len().min((CODE_SIZE - offset) as usize);
        self.put(physical::CODE + offset, &vec![0xcc; visible]);
    }

    /// Runs a case whose code is in memory, in pieces: `piece` sees the state before each of them
    /// and says how many instructions it has, or that this goes too far.
    pub fn execute(
        &mut self,
        case: &Case,
        background: &[u8],
        mut piece: impl FnMut(&CpuState) -> Option<u64>,
    ) -> Result<Outcome, String> {
        self.execute_seeing(case, background, |state, _| piece(state))
    }

    /// As `execute`; `piece` sees the data window, too.
    pub fn execute_seeing(
        &mut self,
        case: &Case,
        background: &[u8],
        mut piece: impl FnMut(&CpuState, &dyn Fn(u64) -> [u64; 2]) -> Option<u64>,
    ) -> Result<Outcome, String> {
        let mut window = background.to_vec();
        apply_patches(case, &mut window);
        self.put(physical::WINDOW, &window);
        self.cpu.set_state(&self.user_state(case));
        let mut bus = Nothing::default();
        let mut exit = Exit::Budget;
        let mut total = 0;
        while exit == Exit::Budget && total < BUDGET {
            let memory = &self.memory;
            let window = |address: u64| {
                let mut bytes = [0; 16];
                memory.read(physical::WINDOW + address.wrapping_sub(WINDOW), &mut bytes);
                [0, 8].map(|at| {
                    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
                })
            };
            let Some(budget) = piece(&self.cpu.state(), &window) else {
                return Err(format!("given up at {:#x}", self.cpu.state().rip));
            };
            exit = self
                .cpu
                .run(&mut self.memory, &mut self.code, &mut bus, budget);
            total += budget;
        }
        if let Some(what) = bus.reached {
            return Err(format!("reached the bus: {what}"));
        }
        match exit {
            Exit::Halt => self.outcome(),
            Exit::Unimplemented(what) => Err(format!("unimplemented: {}", what.what)),
            other => Err(format!("{other:?} at {:#x}", self.cpu.state().rip)),
        }
    }

    /// Everything that decides what the CPU would do next.
    pub fn fingerprint(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.cpu
            .hash_into(&mut |part| bytes.extend_from_slice(part));
        bytes
    }

    fn put(&mut self, gpa: u64, bytes: &[u8]) {
        assert!(self.memory.write(gpa, bytes), "{gpa:#x} is RAM");
    }

    fn user_state(&self, case: &Case) -> CpuState {
        let mut state = self.base.clone();
        let regs = &case.regs;
        state.gpr = regs.gpr;
        state.rip = regs.rip;
        state.rflags = regs.rflags;
        let Selectors {
            es,
            ds,
            fs,
            gs,
            cs,
            ss,
        } = regs.selectors;
        state.segments = [es, cs, ss, ds, fs, gs].map(segment);
        state.segments[4].base = regs.fs_base;
        state.segments[5].base = regs.gs_base;
        state.xmm = regs.fp.xmm;
        state.mxcsr = regs.fp.mxcsr;
        state.x87 = x87_of(&regs.fp);
        state
    }

    /// Reads the state that the exception saved, as the handler that halted would see it.
    fn outcome(&self) -> Result<Outcome, String> {
        let state = self.cpu.state();
        let handler = state.rip.wrapping_sub(KERNEL + physical::HANDLERS + 1);
        let vector = (handler / HANDLER_STEP) as u8;
        if handler >= 256 * HANDLER_STEP {
            return Err(format!("halted at {:#x}", state.rip));
        }
        let has_error = matches!(vector, 8 | 10..=14 | 17 | 21);
        let mut frame = state.gpr[4];
        let error = if has_error {
            self.kernel_word(frame)
        } else {
            0
        };
        frame += if has_error { 8 } else { 0 };
        let [rip, cs, rflags, rsp, ss] =
            std::array::from_fn(|i| self.kernel_word(frame + 8 * i as u64));
        let mut gpr = state.gpr;
        gpr[4] = rsp;
        let [es, _, _, ds, fs, gs] = state.segments.map(|segment| segment.selector);
        let mut window = vec![0; WINDOW_SIZE as usize];
        self.memory.read(physical::WINDOW, &mut window);
        Ok(Outcome {
            vector,
            error,
            cr2: if vector == 14 { state.cr2 } else { 0 },
            regs: Regs {
                gpr,
                rip,
                rflags,
                fs_base: state.segments[4].base,
                gs_base: state.segments[5].base,
                selectors: Selectors {
                    es,
                    ds,
                    fs,
                    gs,
                    cs: cs as u16,
                    ss: ss as u16,
                },
                fp: fp_of(&state),
            },
            window,
        })
    }

    fn kernel_word(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        self.memory.read(address.wrapping_sub(KERNEL), &mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The hidden part of a segment that a user-mode selector loads.
fn segment(selector: u16) -> Segment {
    let index = u64::from(selector >> 3);
    match DESCRIPTORS.iter().find(|(at, _)| *at == index) {
        Some((_, descriptor)) => Segment {
            selector,
            access: (descriptor >> 40) as u16 & 0xf0ff,
            limit: u32::MAX,
            base: 0,
        },
        None => Segment {
            selector,
            ..Segment::default()
        },
    }
}

fn kernel_state(mut state: CpuState) -> CpuState {
    // PE, MP, ET, NE, WP, AM and PG, as Linux sets them.
    state.cr0 = 0x8005_0033;
    state.cr3 = physical::PML4;
    // PAE, PGE, OSFXSR, OSXMMEXCPT, FSGSBASE and OSXSAVE.
    state.cr4 = 1 << 5 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 16 | 1 << 18;
    state.xcr0 = 3;
    // SCE, LME, LMA and NXE.
    state.msrs.efer = 0xd01;
    state.gdtr = TableRegister {
        base: KERNEL + physical::GDT,
        limit: 127,
    };
    state.idtr = TableRegister {
        base: KERNEL + physical::IDT,
        limit: 0xfff,
    };
    state.tr = Segment {
        selector: 0x40,
        access: 0x8b,
        limit: 0x67,
        base: KERNEL + physical::TSS,
    };
    state.ldtr = Segment::default();
    state.activity = Activity::Running;
    state
}

fn set_up_tables(memory: &mut Memory) {
    let mut put = |gpa: u64, bytes: &[u8]| assert!(memory.write(gpa, bytes), "{gpa:#x} is RAM");
    for (index, descriptor) in DESCRIPTORS {
        put(physical::GDT + 8 * index, &descriptor.to_le_bytes());
    }
    let tss = KERNEL + physical::TSS;
    let low = 0x67 | (tss & 0xff_ffff) << 16 | 0x8b << 40 | (tss >> 24 & 0xff) << 56;
    put(physical::GDT + 0x40, &low.to_le_bytes());
    put(physical::GDT + 0x48, &(tss >> 32).to_le_bytes());
    put(
        physical::TSS + 4,
        &(KERNEL + physical::STACK_TOP).to_le_bytes(),
    );
    // An I/O map base beyond the limit denies every port.
    put(physical::TSS + 0x66, &0x68_u16.to_le_bytes());
    for vector in 0..256 {
        let handler = KERNEL + physical::HANDLERS + vector * HANDLER_STEP;
        let access = if matches!(vector, 3 | 4) { 0xee } else { 0x8e };
        let low = handler & 0xffff | 0x10 << 16 | access << 40 | (handler >> 16 & 0xffff) << 48;
        put(physical::IDT + 16 * vector, &low.to_le_bytes());
        put(
            physical::IDT + 16 * vector + 8,
            &(handler >> 32).to_le_bytes(),
        );
        put(physical::HANDLERS + vector * HANDLER_STEP, &[0xf4]);
    }
    for (table, index, entry) in page_tables() {
        put(table + 8 * index, &entry.to_le_bytes());
    }
    put(physical::CODE, &[0xcc; CODE_SIZE as usize]);
    put(physical::READ_ONLY, &crate::values::read_only_page());
}

/// The entries of the page tables: table, index, value. Accessed and dirty are set from the start,
/// so that no walk writes.
fn page_tables() -> Vec<(u64, u64, u64)> {
    const PRESENT: u64 = 1;
    const WRITABLE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    const USED: u64 = 1 << 5 | 1 << 6;
    const LARGE: u64 = 1 << 7;
    const NO_EXECUTE: u64 = 1 << 63;
    const TABLE: u64 = PRESENT | WRITABLE | USER | USED;
    let mut entries = vec![
        (physical::PML4, 0, physical::PDPT_LOW | TABLE),
        (physical::PDPT_LOW, 0, physical::PD_LOW | TABLE),
        (physical::PD_LOW, WINDOW >> 21, physical::PT_LOW | TABLE),
        (
            physical::PML4,
            256,
            physical::PDPT_HIGH | PRESENT | WRITABLE | USED,
        ),
        (
            physical::PDPT_HIGH,
            0,
            physical::PD_HIGH | PRESENT | WRITABLE | USED,
        ),
        (physical::PD_HIGH, 0, PRESENT | WRITABLE | USED | LARGE),
    ];
    let mut map = |linear: u64, physical: u64, flags: u64| {
        entries.push((
            physical::PT_LOW,
            linear >> 12 & 0x1ff,
            physical | PRESENT | USER | USED | flags,
        ));
    };
    for page in (0..WINDOW_SIZE).step_by(PAGE as usize) {
        map(
            WINDOW + page,
            physical::WINDOW + page,
            WRITABLE | NO_EXECUTE,
        );
    }
    map(READ_ONLY, physical::READ_ONLY, NO_EXECUTE);
    for page in (0..CODE_SIZE).step_by(PAGE as usize) {
        map(CODE + page, physical::CODE + page, 0);
    }
    entries
}

/// The x87 unit with an FXRSTOR image loaded: full tags are derived from the contents.
fn x87_of(fp: &Fp) -> X87 {
    let top = fp.status >> 11 & 7;
    let mut x87 = X87 {
        control: fp.control,
        status: fp.status,
        tag: 0,
        ..X87::default()
    };
    for physical in 0..8_u16 {
        let (mantissa, sign_exponent) = fp.st[usize::from(physical.wrapping_sub(top) & 7)];
        x87.regs[usize::from(physical)] = F80 {
            mantissa,
            sign_exponent,
        };
        let tag = match (fp.tags >> physical & 1, sign_exponent & 0x7fff) {
            (0, _) => 3,
            (_, 0) if mantissa == 0 => 1,
            (_, 0 | 0x7fff) => 2,
            _ if mantissa >> 63 == 0 => 2,
            _ => 0,
        };
        x87.tag |= tag << (2 * physical);
    }
    x87
}

fn fp_of(state: &CpuState) -> Fp {
    let x87 = &state.x87;
    let top = x87.status >> 11 & 7;
    let tags = (0..8)
        .filter(|i| x87.tag >> (2 * i) & 3 != 3)
        .fold(0, |tags, i| tags | 1 << i);
    let st = std::array::from_fn(|i| {
        let F80 {
            mantissa,
            sign_exponent,
        } = x87.regs[(i + usize::from(top)) & 7];
        (mantissa, sign_exponent)
    });
    Fp {
        control: x87.control,
        status: x87.status,
        tags,
        st,
        mxcsr: state.mxcsr,
        xmm: state.xmm,
    }
}
