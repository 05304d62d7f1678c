//! Collects the differences by form and prints them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use iced_x86::Code;

use crate::state::Case;

/// The differences of one form.
#[derive(Debug, Default)]
struct Entry {
    cases: u64,
    failed: u64,
    kinds: BTreeMap<String, u64>,
    first: Option<String>,
}

/// What a run found, by form.
#[derive(Debug, Default)]
pub struct Report {
    forms: BTreeMap<u32, Entry>,
}

impl Report {
    /// Counts a case of `form`.
    pub fn count(&mut self, form: Code) {
        self.forms.entry(form as u32).or_default().cases += 1;
    }

    /// Adds a case that failed, the kinds of its differences and their description.
    pub fn fail(&mut self, case: &Case, index: u64, seed: u64, kinds: &[String], details: &str) {
        let entry = self.forms.entry(case.form as u32).or_default();
        entry.failed += 1;
        for kind in kinds {
            *entry.kinds.entry(kind.clone()).or_default() += 1;
        }
        entry
            .first
            .get_or_insert_with(|| describe(case, index, seed, details));
    }

    /// How many forms had a difference.
    pub fn failed_forms(&self) -> usize {
        self.forms.values().filter(|entry| entry.failed > 0).count()
    }

    /// How many cases were run.
    pub fn cases(&self) -> u64 {
        self.forms.values().map(|entry| entry.cases).sum()
    }

    /// A line per failing form, and the first failing case of each in full.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (form, entry) in self.forms.iter().filter(|(_, entry)| entry.failed > 0) {
            let form = Code::try_from(*form as usize).expect("it was a code");
            let kinds: Vec<String> = entry
                .kinds
                .iter()
                .map(|(kind, count)| format!("{kind} {count}"))
                .collect();
            _ = writeln!(
                text,
                "{form:?}: {} of {} cases ({})",
                entry.failed,
                entry.cases,
                kinds.join(", ")
            );
            _ = writeln!(text, "{}", entry.first.as_deref().unwrap_or_default());
        }
        text
    }
}

fn describe(case: &Case, index: u64, seed: u64, details: &str) -> String {
    let instruction = crate::builder::decode(&case.bytes, case.regs.rip, case.bits);
    let bytes: Vec<String> = case
        .bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let regs = &case.regs;
    let mut text = format!(
        "    {instruction}   [{}] {}-bit, rip {:#x}\n",
        bytes.join(" "),
        case.bits,
        regs.rip
    );
    for line in details.lines() {
        _ = writeln!(text, "    - {line}");
    }
    _ = writeln!(text, "    gpr {:x?} rflags {:#x}", regs.gpr, regs.rflags);
    _ = writeln!(
        text,
        "    fs {:#x} gs {:#x} patches {:x?}",
        regs.fs_base, regs.gs_base, case.patches
    );
    let fp = &regs.fp;
    _ = writeln!(
        text,
        "    mxcsr {:#x} fcw {:#x} fsw {:#x} tags {:#x} st {:x?}",
        fp.mxcsr, fp.control, fp.status, fp.tags, fp.st
    );
    _ = writeln!(text, "    xmm {:x?}", fp.xmm);
    _ = write!(
        text,
        "    repeat: DIFF_SEED={seed} DIFF_FORM={:?} DIFF_CASE={index}",
        case.form
    );
    text
}
