//! Checks every implemented instruction form against the processor that the test runs on.
//!
//! Each case is one instruction with random operands, registers and memory. It is executed twice,
//! in this process and by the emulated CPU, and whatever the manual defines must be equal:
//! registers, flags, memory, and the exception that ends it. Environment variables choose other
//! cases: `DIFF_FORM` (an iced-x86 code), `DIFF_CASES` (how many per form), `DIFF_SEED`,
//! `DIFF_CASE` (only this one), `DIFF_LENIENT` (no single-stepping, no comparison of RF) and
//! `DIFF_REPORT` (a file for the whole report).

mod builder;
mod compare;
mod emulated;
mod exceptions;
mod fixups;
mod forms;
mod layout;
#[path = "../../src/make.rs"]
mod make;
mod makes;
mod native;
mod obstacles;
mod operands;
mod recorded;
mod report;
mod sequences;
mod state;
mod values;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use std::time::Duration;

use iced_x86::Code;

use emulated::Emulated;
use exceptions::Plan;
use make::Met;
use native::Native;
use report::Report;
use state::{Case, Outcome};

/// The seed of a run that nobody chose one for.
const DEFAULT_SEED: u64 = 1;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number"))
    })
}

/// Whether the CPU implements an encoding of the form, of the few that are tried.
fn is_implemented(form: Code) -> bool {
    (0..8)
        .filter_map(|index| builder::generate(form, DEFAULT_SEED, index))
        .any(|case| {
            let instruction = builder::decode(&case.bytes, case.regs.rip, case.bits);
            chaosrun_x86::is_implemented(&instruction, &case.bytes, case.bits as u8)
        })
}

fn implemented() -> Vec<Code> {
    Code::values()
        .filter(|code| is_implemented(*code))
        .collect()
}

/// Both sides of the comparison.
struct Pair {
    native: Native,
    emulated: Emulated,
    background: Vec<u8>,
    /// In what the host's processor is expected to depart from Intel's.
    met: Met,
    /// How many cases were not given to the host's processor, by reason.
    obstacles: BTreeMap<&'static str, u64>,
}

impl Pair {
    fn new() -> Self {
        Self {
            native: Native::acquire(),
            emulated: Emulated::new(),
            background: values::background(),
            met: Met::default(),
            obstacles: BTreeMap::new(),
        }
    }

    /// The kinds of the differences, and their description; both empty if there are none. The case is
    /// interpreted first and compiled then.
    fn differences(&mut self, case: &Case, absent: bool) -> (Vec<String>, String) {
        if !absent && let Some(why) = obstacles::obstacle(case, &self.background) {
            *self.obstacles.entry(why).or_default() += 1;
            return (vec![], String::new());
        }
        let mut native = None;
        for compiled in [false, true] {
            self.emulated.compile_after(compiled.into());
            let (kinds, details) = self.differences_once(case, absent, &mut native);
            if !kinds.is_empty() {
                let how = if compiled { "compiled" } else { "interpreted" };
                return (kinds, format!("{how}:\n{details}"));
            }
        }
        (vec![], String::new())
    }

    /// As `differences`, for code that is compiled or not as the emulated CPU is set. `native` keeps what
    /// the processor does.
    fn differences_once(
        &mut self,
        case: &Case,
        absent: bool,
        native: &mut Option<Outcome>,
    ) -> (Vec<String>, String) {
        let run = catch_unwind(AssertUnwindSafe(|| {
            self.emulated.run(case, &self.background)
        }));
        let emulated = match run {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(why)) => return (vec![first_words(&why)], why),
            Err(_) => {
                self.emulated = Emulated::new();
                return (
                    vec!["panic".to_owned()],
                    "the emulated CPU panicked".to_owned(),
                );
            }
        };
        if absent {
            let refused =
                emulated.vector == 6 || emulated.vector == 14 && emulated.error & 0x10 != 0;
            let kinds = if refused {
                vec![]
            } else {
                vec!["not #UD".to_owned()]
            };
            return (kinds, format!("ended with vector {}", emulated.vector));
        }
        if native.is_none() {
            match self.native.run(case, &self.background) {
                Ok(outcome) => *native = Some(outcome),
                Err(hang) => return (vec!["hang".to_owned()], hang.to_string()),
            }
        }
        let native = native.as_ref().expect("it was run just now");
        let (expected, departure) = makes::expected(case, &self.background, &emulated);
        if let Some(departure) = departure {
            self.met.note(departure);
        }
        let found = compare::compare(case, native, &expected);
        let mut kinds: Vec<String> = found
            .iter()
            .map(|difference| difference.kind.clone())
            .collect();
        kinds.dedup();
        let details: Vec<String> = found
            .into_iter()
            .map(|difference| difference.detail)
            .collect();
        (kinds, details.join("\n"))
    }
}

fn first_words(text: &str) -> String {
    text.split([':', ' ']).next().unwrap_or_default().to_owned()
}

/// Runs `cases` cases of every form that can be tested; returns what was found, the forms for which no case
/// could be made, and what was particular about the host.
fn run(forms: &[Code], cases: u64) -> (Report, Vec<Code>, String) {
    let seed = setting("DIFF_SEED").unwrap_or(DEFAULT_SEED);
    let only = std::env::var("DIFF_FORM").ok();
    let cases = setting("DIFF_CASES").unwrap_or(cases);
    let range = setting("DIFF_CASE").map_or(0..cases, |case| case..case + 1);
    let mut pair = Pair::new();
    let mut report = Report::default();
    let mut impossible = Vec::new();
    for form in forms {
        if only
            .as_ref()
            .is_some_and(|only| *only != format!("{form:?}"))
        {
            continue;
        }
        let plan = exceptions::plan(*form);
        if matches!(plan, Plan::Excluded(_)) {
            continue;
        }
        let range = if plan == Plan::Absent {
            range.start..range.end.min(range.start + 3)
        } else {
            range.clone()
        };
        for index in range {
            let Some(case) = builder::generate(*form, seed, index) else {
                impossible.push(*form);
                break;
            };
            report.count(*form);
            let (kinds, details) = pair.differences(&case, plan == Plan::Absent);
            if !kinds.is_empty() {
                report.fail(&case, index, seed, &kinds, &details);
            }
            if kinds == ["hang"] {
                // One case of a form that hangs is waited for, not all.
                break;
            }
        }
    }
    let mut particular = pair.met.text();
    for (why, count) in &pair.obstacles {
        particular += &format!("    not run on this host, {count} times: {why}\n");
    }
    (report, impossible, particular)
}

fn check(cases: u64) {
    let forms = implemented();
    make::announce();
    let (report, impossible, particular) = run(&forms, cases);
    let excluded: Vec<(Code, &str)> = forms
        .iter()
        .filter_map(|form| match exceptions::plan(*form) {
            Plan::Excluded(why) => Some((*form, why)),
            _ => None,
        })
        .collect();
    let absent = forms
        .iter()
        .filter(|form| exceptions::plan(**form) == Plan::Absent)
        .count();
    let refused = forms
        .iter()
        .filter(|form| exceptions::plan(**form) == Plan::Refusal)
        .count();
    let implemented = forms.len() - absent;
    let tested = implemented - excluded.len() - impossible.len();
    println!(
        "{implemented} forms implemented, {tested} tested in {} cases (of {refused} \
         only that user mode may not), {absent} absent forms raise #UD, {} excluded:",
        report.cases(),
        excluded.len(),
    );
    for (form, why) in &excluded {
        println!("    {form:?}: {why}");
    }
    println!("where this host's processor is expected to depart from Intel's:\n{particular}");
    if let Ok(path) = std::env::var("DIFF_REPORT") {
        std::fs::write(path, report.text()).expect("the report can be written");
    }
    assert!(
        impossible.is_empty(),
        "implemented, but neither tested nor excepted: {impossible:?}"
    );
    assert!(
        report.failed_forms() == 0,
        "{} forms differ\n{}",
        report.failed_forms(),
        report.text()
    );
}

/// A case with nothing but an instruction and two registers.
fn plain_case(bytes: &[u8], rax: u64, rcx: u64) -> Case {
    let mut case = builder::generate(Code::Nopd, DEFAULT_SEED, 0).expect("NOP can be made");
    case.bytes = bytes.to_vec();
    case.regs.rip = layout::CODE;
    case.regs.rflags = 0x202;
    case.regs.gpr[0] = rax;
    case.regs.gpr[1] = rcx;
    case
}

fn run_natively(case: &Case) -> Outcome {
    let outcome = Native::acquire().run(case, &values::background());
    outcome.expect("it ends at once")
}

#[test]
fn a_case_that_never_ends_is_ended_by_the_watchdog() {
    let case = plain_case(&[0xeb, 0xfe], 0, 0);
    let mut native = Native::acquire();
    let hang = native.run_for(&case, &values::background(), Duration::from_millis(20));
    assert_eq!(
        hang.expect_err("it jumps to itself").to_string(),
        "the processor did not end `Nopd` within 20ms"
    );
    // The processor is as it was.
    let case = plain_case(&[0x48, 0x01, 0xc8], 1, 1);
    let outcome = native.run(&case, &values::background());
    assert_eq!(outcome.expect("it ends at once").regs.gpr[0], 2);
}

#[test]
fn native_addition_overflows_into_sign_and_overflow_flags() {
    let case = plain_case(&[0x48, 0x01, 0xc8], i64::MAX as u64, 1);
    let outcome = run_natively(&case);
    assert_eq!((outcome.vector, outcome.regs.rip), (3, layout::CODE + 4));
    assert_eq!(outcome.regs.gpr[0], 1 << 63);
    assert_eq!(outcome.regs.rflags & 0x8d5, 0x894);
}

#[test]
fn native_load_behind_the_window_reports_the_page_fault() {
    let case = plain_case(
        &[0x48, 0x8b, 0x01],
        7,
        layout::WINDOW + layout::WINDOW_SIZE - 4,
    );
    let outcome = run_natively(&case);
    assert_eq!((outcome.vector, outcome.error), (14, 4));
    assert_eq!(outcome.cr2, layout::WINDOW + layout::WINDOW_SIZE);
    assert_eq!((outcome.regs.rip, outcome.regs.gpr[0]), (layout::CODE, 7));
}

#[test]
fn comparison_sees_a_wrong_register_and_a_wrong_byte() {
    let mut pair = Pair::new();
    let case = plain_case(&[0x48, 0x89, 0x01], 7, layout::WINDOW + 64);
    let right = pair
        .native
        .run(&case, &pair.background)
        .expect("it ends at once");
    let mut wrong = right.clone();
    wrong.regs.gpr[2] ^= 1;
    wrong.window[64] ^= 1;
    let kinds: Vec<String> = compare::compare(&case, &right, &wrong)
        .into_iter()
        .map(|found| found.kind)
        .collect();
    assert_eq!(kinds, ["gpr", "memory", "memory at"]);
    assert!(compare::compare(&case, &right, &right).is_empty());
}

#[test]
fn every_implemented_form_agrees_with_the_processor() {
    check(60);
}

#[test]
#[ignore = "takes minutes"]
fn every_implemented_form_agrees_with_the_processor_in_many_cases() {
    check(2000);
}

#[test]
fn every_form_of_the_modelled_processor_is_implemented() {
    let missing: Vec<Code> = forms::expected()
        .into_iter()
        .filter(|code| !is_implemented(*code))
        .collect();
    assert!(
        missing.is_empty(),
        "{} forms are not implemented: {missing:?}",
        missing.len()
    );
}
