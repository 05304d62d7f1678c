//! Checks short programs against the processor that the test runs on.
//!
//! Single instructions show neither flags that are computed later than they are set, nor
//! comparisons joined with the branch behind them, nor blocks that lead to each other. Each program
//! is executed by the processor and, from the same state, by the emulated CPU four times: an
//! instruction at a time, as a whole, interpreted and compiled, and in random pieces. Everything that
//! the manual defines must be equal, and the emulated runs must agree in everything. `DIFF_SEED`,
//! `DIFF_CASES` and `DIFF_CASE` choose other programs.

mod forms;
mod generate;
mod program;
mod trace;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use forms::Forms;
use program::Program;
use trace::{Reject, Trace};

use crate::emulated::Emulated;
use crate::make::{self, Departure};
use crate::native::Native;
use crate::state::{Case, Outcome};
use crate::values::{self, Gen};
use crate::{DEFAULT_SEED, builder, compare, setting};

/// The stream of random numbers for programs, and that for the pieces they are cut into.
const STREAMS: [u64; 2] = [8, 9];

/// How many programs a run checks. Without optimisation the generator itself takes its time.
const PROGRAMS: u64 = if cfg!(debug_assertions) {
    3_000
} else {
    20_000
};

/// More than any program takes, and its exception with it.
const WHOLE: u64 = 10_000;

/// How often a program is repaired that reads undefined flags.
const REPAIRS: usize = 24;

/// Both sides, and what programs are made of.
struct Bench {
    native: Native,
    emulated: Emulated,
    background: Vec<u8>,
    forms: [Forms; 2],
    /// How many instructions were left out of programs because of what the host is.
    left_out: u64,
}

/// What one program showed.
struct Checked {
    trace: Trace,
    differences: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        Self {
            native: Native::acquire(),
            emulated: Emulated::new(),
            background: values::background(),
            forms: [Forms::new(32), Forms::new(64)],
            left_out: 0,
        }
    }

    /// Makes program `index`, with the flags that it reads defined.
    fn program(&mut self, seed: u64, index: u64) -> Result<Program, Reject> {
        let mut random = Gen::new(seed, STREAMS[0], index);
        let bits = if random.chance(80) { 64 } else { 32 };
        let forms = &self.forms[usize::from(bits == 64)];
        let mut program = generate::generate(&mut random, forms, bits);
        for _ in 0..REPAIRS {
            let Some((case, addresses)) = program.assemble() else {
                return Err(Reject::TooLong);
            };
            self.emulated.load(&case);
            let result = trace::follow(&mut self.emulated, &case, &self.background);
            self.emulated.unload(&case);
            let place = |at| {
                addresses
                    .iter()
                    .position(|address| *address == at)
                    .expect("programs execute their own instructions")
            };
            let position = match result {
                Ok(_) => return Ok(program),
                Err(Reject::ReadsUndefined(at)) => place(at),
                Err(Reject::Departs(at)) => {
                    self.left_out += 1;
                    program = program.without(place(at));
                    continue;
                }
                Err(reject) => return Err(reject),
            };
            let definer = generate::Generator::definer(&mut random, forms, &program);
            program.insert(position, definer);
        }
        Err(Reject::TooLong)
    }

    /// Runs a program in every way.
    fn check(&mut self, program: &Program, mut cuts: Gen) -> Result<Checked, Reject> {
        let (case, _) = program.assemble().ok_or(Reject::TooLong)?;
        let emulated = &mut self.emulated;
        let background = &self.background;
        emulated.load(&case);
        let trace = trace::follow(emulated, &case, background);
        let single = emulated.fingerprint();
        emulated.compile_after(0);
        emulated.load(&case);
        let interpreted = emulated.execute(&case, background, |_| Some(WHOLE));
        let interpreted_print = emulated.fingerprint();
        emulated.compile_after(1);
        emulated.load(&case);
        let whole = emulated.execute(&case, background, |_| Some(WHOLE));
        let print = emulated.fingerprint();
        // Half of the programs find what was decoded for the run before.
        if cuts.chance(50) {
            emulated.load(&case);
        }
        let pieces = emulated.execute(&case, background, |_| Some(1 + cuts.below(5)));
        let pieces_print = emulated.fingerprint();
        emulated.unload(&case);
        let trace = trace?;
        let mut differences = Vec::new();
        compare_runs(
            "single steps",
            &Ok(trace.outcome.clone()),
            &whole,
            &mut differences,
        );
        compare_runs("interpreted", &interpreted, &whole, &mut differences);
        compare_runs("pieces", &pieces, &whole, &mut differences);
        for (name, other) in [
            ("single steps", single),
            ("interpreted", interpreted_print),
            ("pieces", pieces_print),
        ] {
            if differences.is_empty() && other != print {
                differences.push(format!("{name}: the rest of the CPU's state differs"));
            }
        }
        if let Ok(whole) = whole {
            match self.native.run(&case, background) {
                Ok(native) => {
                    let undefined = trace.undefined;
                    let found = compare::compare_sequence(case.bits, &native, &whole, undefined);
                    differences.extend(found.into_iter().map(|difference| difference.detail));
                }
                Err(hang) => differences.push(hang.to_string()),
            }
        }
        Ok(Checked { trace, differences })
    }

    /// As `check`; a panic of the emulated CPU is a difference too.
    fn check_calmly(&mut self, program: &Program, cuts: Gen) -> Result<Vec<String>, Reject> {
        match catch_unwind(AssertUnwindSafe(|| self.check(program, cuts))) {
            Ok(checked) => checked.map(|checked| checked.differences),
            Err(_) => {
                self.emulated = Emulated::new();
                Ok(vec!["the emulated CPU panicked".to_owned()])
            }
        }
    }

    /// Drops instructions from a program that fails, as long as it goes on failing.
    fn shrink(&mut self, mut program: Program, seed: u64, index: u64) -> (Program, Vec<String>) {
        let cuts = || Gen::new(seed, STREAMS[1], index);
        let mut differences = self
            .check_calmly(&program, cuts())
            .expect("this program has been checked before");
        let mut position = program.items.len();
        while position > 0 {
            position -= 1;
            let shorter = program.without(position);
            if let Ok(found) = self.check_calmly(&shorter, cuts())
                && !found.is_empty()
            {
                (program, differences) = (shorter, found);
                // What was needed before may not be now.
                position = program.items.len();
            }
        }
        (program, differences)
    }
}

fn compare_runs(
    name: &str,
    other: &Result<Outcome, String>,
    whole: &Result<Outcome, String>,
    differences: &mut Vec<String>,
) {
    match (other, whole) {
        (Ok(other), Ok(whole)) if other == whole => {}
        (Ok(other), Ok(whole)) => {
            let what = if other.window == whole.window {
                format!("{:x?} instead of {:x?}", other.regs, whole.regs)
            } else {
                "memory".to_owned()
            };
            differences.push(format!("{name} differ from the whole: {what}"));
        }
        _ => differences.push(format!(
            "{name} ended with {:?}, the whole with {:?}",
            other.as_ref().err(),
            whole.as_ref().err()
        )),
    }
}

fn describe(program: &Program, differences: &[String], seed: u64, index: u64) -> String {
    let (case, addresses) = program.assemble().expect("it was checked");
    let Case {
        bits, bytes, regs, ..
    } = &case;
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!("{bits}-bit program [{}]\n", hex.join(" "));
    for address in addresses {
        let instruction = builder::decode(&bytes[(address - regs.rip) as usize..], address, *bits);
        _ = writeln!(text, "    {address:#x}: {instruction}");
    }
    for line in differences {
        _ = writeln!(text, "  - {line}");
    }
    _ = writeln!(text, "  gpr {:x?} rflags {:#x}", regs.gpr, regs.rflags);
    _ = writeln!(
        text,
        "  fs {:#x} gs {:#x} mxcsr {:#x}",
        regs.fs_base, regs.gs_base, regs.fp.mxcsr
    );
    _ = writeln!(text, "  xmm {:x?}", regs.fp.xmm);
    _ = write!(text, "  repeat: DIFF_SEED={seed} DIFF_CASE={index}");
    text
}

/// Failures that are shrunk and reported; the others are only counted.
const REPORTED: usize = 10;

#[test]
fn random_programs_agree_with_the_processor_however_they_are_cut() {
    make::announce();
    let seed = setting("DIFF_SEED").unwrap_or(DEFAULT_SEED);
    let count = setting("DIFF_CASES").unwrap_or(PROGRAMS);
    let range = setting("DIFF_CASE").map_or(0..count, |case| case..case + 1);
    let mut bench = Bench::new();
    let mut reports = Vec::new();
    let (mut programs, mut steps, mut faults, mut rejected) = (0_u64, 0, 0_u64, 0_u64);
    let mut failed = 0;
    for index in range {
        let Ok(program) = bench.program(seed, index) else {
            rejected += 1;
            continue;
        };
        programs += 1;
        let cuts = || Gen::new(seed, STREAMS[1], index);
        let checked = catch_unwind(AssertUnwindSafe(|| bench.check(&program, cuts())));
        if let Ok(Ok(checked)) = &checked {
            steps += checked.trace.steps;
            faults += u64::from(checked.trace.outcome.vector != 3);
            if checked.differences.is_empty() {
                continue;
            }
        }
        failed += 1;
        if reports.len() == REPORTED {
            continue;
        }
        let (program, differences) = bench.shrink(program, seed, index);
        reports.push(describe(&program, &differences, seed, index));
    }
    println!(
        "{programs} programs, {steps} instructions, {faults} ended by a fault; {rejected} attempts dropped; \
         {} instructions left out that would split a lock or meet this: {}",
        bench.left_out,
        Departure::DotProduct.reason(),
    );
    assert!(rejected * 10 <= programs, "the generator fails too often");
    assert!(
        failed == 0,
        "{failed} programs differ\n{}",
        reports.join("\n")
    );
}

#[test]
fn undefined_flags_last_until_they_are_written() {
    let after = |bytes: &[u8], rcx, before| {
        trace::undefined_after(&builder::decode(bytes, 0, 64), rcx, before)
    };
    const AF: u64 = 1 << 4;
    const OF: u64 = 1 << 11;
    assert_eq!(after(&[0x21, 0xc8], 0, 0), AF, "AND");
    assert_eq!(after(&[0xff, 0xc0], 0, AF | 1), 1, "INC leaves CF alone");
    assert_eq!(after(&[0x39, 0xc8], 0, 0x8d5), 0, "CMP");
    assert_eq!(after(&[0xd3, 0xe0], 0, 0x8d5), 0x8d5, "SHL by zero");
    assert_eq!(after(&[0xd3, 0xe0], 5, 0), AF | OF, "SHL by five");
    assert_eq!(after(&[0xd1, 0xc0], 0, 0x8d5), 0xd4, "ROL by one");
}
