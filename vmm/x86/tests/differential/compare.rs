//! Compares what the processor and the emulated CPU made of a case, except for what the manual
//! leaves undefined.

use iced_x86::{Instruction, Mnemonic as M, OpKind, RflagsBits};

use crate::builder::{self, RCX, RSP};
use crate::make::{Make, host};
use crate::state::{Case, Fp, Outcome};

const CF: u64 = 1;
const PF: u64 = 1 << 2;
const AF: u64 = 1 << 4;
const ZF: u64 = 1 << 6;
const SF: u64 = 1 << 7;
const OF: u64 = 1 << 11;

/// What not to compare.
#[derive(Debug, Default)]
struct Ignored {
    flags: u64,
    status_word: u16,
    /// The last bits of x87 results, which each design rounds in its own way.
    last_places: bool,
    /// Ranges of memory: start and length.
    memory: Vec<(u64, u64)>,
    /// Approximations of which only the first bits are specified.
    approximate: bool,
    /// All of memory.
    window: bool,
    /// Bits of the address of a page fault, for instructions that make several accesses in an order
    /// of their own.
    fault_address: u64,
    /// The x87 stack.
    stack: bool,
    /// The general registers.
    general: bool,
}

/// One difference, its kind first so that reports can group by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// A short name: `flags`, `rip`, `xmm`, ...
    pub kind: String,
    /// The two values.
    pub detail: String,
}

/// Lists the differences between two outcomes of a case.
pub fn compare(case: &Case, native: &Outcome, emulated: &Outcome) -> Vec<Difference> {
    let instruction = builder::decode(&case.native_bytes(), case.regs.rip, case.bits);
    if order_of_faults_differs(&instruction, native, emulated) {
        return Vec::new();
    }
    let ignored = ignored(case, &instruction, native);
    differences(case.bits, native, emulated, &ignored)
}

/// Lists the differences between two outcomes of a sequence of instructions, of which the last
/// writers left the flags of `undefined` undefined.
pub fn compare_sequence(
    bits: u32,
    native: &Outcome,
    emulated: &Outcome,
    undefined: u64,
) -> Vec<Difference> {
    let ignored = Ignored {
        flags: undefined,
        ..Ignored::default()
    };
    differences(bits, native, emulated, &ignored)
}

fn differences(
    bits: u32,
    native: &Outcome,
    emulated: &Outcome,
    ignored: &Ignored,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut check = |kind: &str, native: u64, emulated: u64, ignore: u64| {
        if (native ^ emulated) & !ignore != 0 {
            found.push(Difference {
                kind: kind.to_owned(),
                detail: format!("{kind}: processor {native:#x}, emulated {emulated:#x}"),
            });
        }
    };
    check("vector", native.vector.into(), emulated.vector.into(), 0);
    // Linux hides whether pages above those of user mode are present.
    let hidden = if native.vector == 14 && native.cr2 >= 0x7fff_ffff_f000 {
        1
    } else {
        0
    };
    check("error code", native.error, emulated.error, hidden);
    check("cr2", native.cr2, emulated.cr2, ignored.fault_address);
    let (n, e) = (&native.regs, &emulated.regs);
    check("rip", n.rip, e.rip, 0);
    check("rflags", n.rflags, e.rflags, ignored.flags);
    for i in 0..16 {
        // What mode switches do with the upper halves is undefined.
        let ignore = if bits == 32 { !0xffff_ffff } else { 0 };
        let ignore = if ignored.general { u64::MAX } else { ignore };
        check(
            if i == RSP { "rsp" } else { "gpr" },
            n.gpr[i],
            e.gpr[i],
            ignore,
        );
    }
    check("fs base", n.fs_base, e.fs_base, 0);
    check("gs base", n.gs_base, e.gs_base, 0);
    let selectors =
        [n.selectors, e.selectors].map(|s| [s.es, s.cs, s.ss, s.ds, s.fs, s.gs].map(visible));
    for (n, e) in selectors[0].into_iter().zip(selectors[1]) {
        check("selector", n.into(), e.into(), 0);
    }
    compare_fp(&n.fp, &e.fp, ignored, &mut check);
    if !ignored.window {
        compare_window(native, emulated, ignored, &mut check);
    }
    found
}

/// Whether both sides faulted, but where the order of an instruction's accesses or of their checks
/// is the implementation's own (Intel SDM vol. 3, table 7-2).
fn order_of_faults_differs(
    instruction: &Instruction,
    native: &Outcome,
    emulated: &Outcome,
) -> bool {
    let is_access = |vector: u8| matches!(vector, 12..=14 | 17);
    let vectors = [native.vector, emulated.vector];
    let both = vectors.into_iter().all(is_access);
    match instruction.mnemonic() {
        // Two memory operands; with REP, either may be the first to leave its page.
        M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq => both,
        // A masked store may or may not touch the bytes that it does not write.
        M::Maskmovq | M::Maskmovdqu => vectors.contains(&14),
        _ => both && vectors.contains(&17),
    }
}

/// A selector as it is after a return from the kernel, which on AMD processors clears the RPL of a
/// null selector. The native side has been through one.
fn visible(selector: u16) -> u16 {
    if selector <= 3 { 0 } else { selector }
}

fn compare_fp(n: &Fp, e: &Fp, ignored: &Ignored, check: &mut impl FnMut(&str, u64, u64, u64)) {
    check("mxcsr", n.mxcsr.into(), e.mxcsr.into(), 0);
    check("control word", n.control.into(), e.control.into(), 0);
    check(
        "status word",
        n.status.into(),
        e.status.into(),
        ignored.status_word.into(),
    );
    if ignored.stack {
        return compare_vectors(n, e, ignored, check);
    }
    check("tags", n.tags.into(), e.tags.into(), 0);
    for ((n_mantissa, n_top), (e_mantissa, e_top)) in n.st.into_iter().zip(e.st) {
        if ignored.last_places && near(n_mantissa, n_top, e_mantissa, e_top) {
            continue;
        }
        check("st", n_mantissa, e_mantissa, 0);
        check("st", n_top.into(), e_top.into(), 0);
    }
    compare_vectors(n, e, ignored, check);
}

fn compare_vectors(n: &Fp, e: &Fp, ignored: &Ignored, check: &mut impl FnMut(&str, u64, u64, u64)) {
    for (n, e) in n.xmm.into_iter().flatten().zip(e.xmm.into_iter().flatten()) {
        if ignored.approximate && approximately(n, e) {
            continue;
        }
        check("xmm", n, e, 0);
    }
}

/// Whether two x87 values are at most four units in the last place of the smaller one apart. Denormals have
/// the exponent of the least normal numbers.
fn near(a_mantissa: u64, a_top: u16, b_mantissa: u64, b_top: u16) -> bool {
    let (low, high) = (a_top.min(b_top), a_top.max(b_top));
    let value = |mantissa: u64, top: u16| {
        i128::from(mantissa) << u32::from(top != low && low & 0x7fff != 0)
    };
    let close = (value(a_mantissa, a_top) - value(b_mantissa, b_top)).unsigned_abs() <= 4;
    let neighbours = a_mantissa << 1 == 0 || b_mantissa << 1 == 0 || low & 0x7fff == 0;
    close && (low == high || high - low == 1 && neighbours)
}

/// Whether the singles of two quadwords agree within the 1.5 * 2^-12 of RCPPS and RSQRTPS. On
/// either side of the exact value, so twice that between them.
fn approximately(a: u64, b: u64) -> bool {
    [0, 32].into_iter().all(|shift| {
        let (a, b) = (
            f32::from_bits((a >> shift) as u32),
            f32::from_bits((b >> shift) as u32),
        );
        a.to_bits() == b.to_bits() || (a - b).abs() <= a.abs() * 3.0 / 4096.0
    })
}

fn compare_window(
    native: &Outcome,
    emulated: &Outcome,
    ignored: &Ignored,
    check: &mut impl FnMut(&str, u64, u64, u64),
) {
    if native.window == emulated.window {
        return;
    }
    let first = native
        .window
        .iter()
        .zip(&emulated.window)
        .enumerate()
        .find(|(i, (n, e))| {
            let address = crate::layout::WINDOW + *i as u64;
            n != e
                && !ignored
                    .memory
                    .iter()
                    .any(|(start, length)| address.wrapping_sub(*start) < *length)
        });
    if let Some((at, (n, e))) = first {
        check("memory", u64::from(*n), u64::from(*e), 0);
        // The address belongs in the report too: the two sides differ in nothing but the byte.
        check("memory at", crate::layout::WINDOW + at as u64, 0, 0);
    }
}

/// These access their memory in an order of the processor's own, so that which byte of a page faults first
/// is not defined.
const IN_ANY_ORDER: [M; 19] = [
    M::Iret,
    M::Iretd,
    M::Iretq,
    M::Fldenv,
    M::Frstor,
    M::Fnstenv,
    M::Fnsave,
    M::Fxsave,
    M::Fxsave64,
    M::Fxrstor,
    M::Fxrstor64,
    M::Xsave,
    M::Xsave64,
    M::Xrstor,
    M::Xrstor64,
    M::Xsavec,
    M::Xsavec64,
    M::Xsaveopt,
    M::Xsaveopt64,
];

/// These store in several steps, and what was stored before a fault is not defined.
const STORED_IN_STEPS: [M; 9] = [
    M::Fxsave,
    M::Fxsave64,
    M::Xsave,
    M::Xsave64,
    M::Fnstenv,
    M::Fnsave,
    M::Enter,
    M::Pusha,
    M::Pushad,
];

fn ignored(case: &Case, instruction: &Instruction, native: &Outcome) -> Ignored {
    let mut ignored = Ignored {
        flags: undefined_flags(case, instruction),
        status_word: undefined_status(instruction),
        ..Ignored::default()
    };
    let at = builder::memory_address(case, instruction).unwrap_or(0);
    let faulted = !matches!(native.vector, 1 | 3);
    match instruction.mnemonic() {
        M::Rcpps | M::Rcpss | M::Rsqrtps | M::Rsqrtss => ignored.approximate = true,
        M::Fsin
        | M::Fcos
        | M::Fsincos
        | M::Fptan
        | M::Fpatan
        | M::F2xm1
        | M::Fyl2x
        | M::Fyl2xp1 => {
            ignored.last_places = true;
            // C1 tells which way the result was rounded, and precision whether it was.
            ignored.status_word |= 1 << 9 | 1 << 5 | 1 << 7 | 1 << 15;
        }
        // What Intel's processors do to C1, which the SDM has them clear and reports have them keep,
        // and to the flags with an unmasked invalid operation, was not recorded yet.
        M::Fcomi | M::Fcomip | M::Fucomi | M::Fucomip if host() == Make::Intel => {
            ignored.status_word |= 1 << 9;
            let fp = &native.regs.fp;
            if fp.status & !fp.control & 1 != 0 {
                ignored.flags |= CF | PF | ZF;
            }
        }
        // The last opcode and the last pointers, and the mask of MXCSR bits that exist.
        M::Fxsave
        | M::Fxsave64
        | M::Xsave
        | M::Xsave64
        | M::Xsavec
        | M::Xsavec64
        | M::Xsaveopt
        | M::Xsaveopt64 => {
            ignored.memory.push((at + 6, 18));
            ignored.memory.push((at + 28, 4));
        }
        M::Fnstenv | M::Fnsave => {
            let small = matches!(instruction.memory_size().size(), 14 | 94);
            ignored
                .memory
                .push(if small { (at + 6, 8) } else { (at + 12, 16) });
        }
        _ => {}
    }
    if IN_ANY_ORDER.contains(&instruction.mnemonic()) {
        ignored.fault_address = 0xfff;
    }
    let uses_mmx = (0..instruction.op_count())
        .any(|i| instruction.op_kind(i) == OpKind::Register && instruction.op_register(i).is_mm());
    if faulted && uses_mmx {
        // Whether the x87 unit is already in MMX mode when the rest of the instruction faults.
        ignored.stack = true;
        ignored.status_word |= 7 << 11;
    }
    // POPA may have loaded some registers before it faults.
    ignored.general = faulted && matches!(instruction.mnemonic(), M::Popa | M::Popad);
    ignored.window = faulted && STORED_IN_STEPS.contains(&instruction.mnemonic());
    ignored
}

fn undefined_flags(case: &Case, instruction: &Instruction) -> u64 {
    let mut undefined = 0;
    let bits = u64::from(instruction.rflags_undefined());
    for (bit, flag) in [
        (RflagsBits::CF, CF),
        (RflagsBits::PF, PF),
        (RflagsBits::AF, AF),
        (RflagsBits::ZF, ZF),
        (RflagsBits::SF, SF),
        (RflagsBits::OF, OF),
    ] {
        if bits & u64::from(bit) != 0 {
            undefined |= flag;
        }
    }
    undefined | undefined_by_count(case, instruction)
}

/// Shifts and rotates define flags depending on the count (Intel SDM vol. 2, the instructions'
/// pages).
fn undefined_by_count(case: &Case, instruction: &Instruction) -> u64 {
    let count_operand = instruction.op_count().saturating_sub(1);
    let count = match instruction.op_kind(count_operand) {
        OpKind::Immediate8 => u64::from(instruction.immediate8()),
        OpKind::Register => case.regs.gpr[RCX],
        _ => return 0,
    };
    let size = 8 * match instruction.op0_kind() {
        OpKind::Register => instruction.op0_register().size() as u64,
        _ => instruction.memory_size().size() as u64,
    };
    let count = count & if size == 64 { 63 } else { 31 };
    let overflow = if count > 1 { OF } else { 0 };
    match instruction.mnemonic() {
        M::Rol | M::Ror | M::Rcl | M::Rcr => overflow,
        M::Shl | M::Sal | M::Shr if count > 0 => overflow | AF | if count >= size { CF } else { 0 },
        M::Sar if count > 0 => overflow | AF,
        M::Shld | M::Shrd if count > size => CF | PF | AF | ZF | SF | OF,
        M::Shld | M::Shrd if count > 0 => overflow | AF,
        _ => 0,
    }
}

/// The condition codes of the x87 unit that an instruction leaves undefined.
fn undefined_status(instruction: &Instruction) -> u16 {
    const C0: u16 = 1 << 8;
    const C2: u16 = 1 << 10;
    const C3: u16 = 1 << 14;
    let mnemonic = instruction.mnemonic();
    let name = format!("{mnemonic:?}");
    let defines = matches!(
        mnemonic,
        M::Fxam
            | M::Fprem
            | M::Fprem1
            | M::Fldenv
            | M::Frstor
            | M::Fxrstor
            | M::Fxrstor64
            | M::Fninit
            | M::Fnclex
            | M::Fnsave
            | M::Fnstsw
            | M::Fnstcw
            | M::Fnstenv
            | M::Ftst
    ) || name.starts_with("Fcom")
        || name.starts_with("Fucom")
        || name.starts_with("Ficom");
    match mnemonic {
        _ if defines || !name.starts_with('F') => 0,
        M::Fsin | M::Fcos | M::Fsincos | M::Fptan => C0 | C3,
        _ => C0 | C2 | C3,
    }
}
