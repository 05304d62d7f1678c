//! What this host's KVM does otherwise than a processor, as `chaosrun doctor` finds it out. The suite is
//! expected to print exactly that.

use std::io::Write;
use std::sync::OnceLock;

use chaosrun_vmm::engine::EngineKind;
use chaosrun_vmm::engine::doctor::{self, Grade};

/// The lines of the suite that a measurement changes: the probe, what it then measures, the beginning of the
/// line, and its end.
const DEPARTURES: [(&str, &str, &str, &str); 1] = [(
    "addresses",
    "LSTAR",
    "address register that is not canonical",
    ": no exception",
)];

/// The console that the suite has, of which `exact` is the exact engine's and `engine` says which engine runs
/// after so many marks.
pub fn console(exact: &str, engine: impl Fn(usize) -> EngineKind) -> String {
    with(departures(), exact, engine)
}

/// A line of the suite, by its beginning, and how it ends on this host's KVM.
type Departure = (&'static str, &'static str);

fn with(departures: &[Departure], exact: &str, engine: impl Fn(usize) -> EngineKind) -> String {
    let mut mark = 0;
    let mut console = String::new();
    for line in exact.lines() {
        let departure = departures
            .iter()
            .find(|(name, _)| engine(mark) == EngineKind::Kvm && line.starts_with(name));
        match departure {
            Some((name, end)) => console += &format!("{name}{end}\n"),
            None => console += &format!("{line}\n"),
        }
        if line.starts_with('(') {
            mark += 1;
        }
    }
    console
}

/// The lines that are others on this host, found out once.
fn departures() -> &'static [Departure] {
    static FOUND: OnceLock<Vec<Departure>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = Vec::new();
        for (probe, what, line, end) in DEPARTURES {
            let measurement = doctor::run(probe).expect("there is this probe");
            assert_ne!(
                measurement.grade,
                Grade::Unknown,
                "{}",
                measurement.measured
            );
            let _ = writeln!(
                std::io::stderr(),
                "KVM on {}, {}: {}",
                make(),
                measurement.subject,
                measurement.measured
            );
            if measurement.grade != Grade::Good && measurement.measured.contains(what) {
                found.push((line, end));
            }
        }
        found
    })
}

/// The make of this host's processor, as it says itself.
fn make() -> String {
    let leaf = std::arch::x86_64::__cpuid(0);
    let bytes = [leaf.ebx, leaf.edx, leaf.ecx]
        .map(u32::to_le_bytes)
        .concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_measurement_changes_its_line_and_no_other_and_only_on_kvm() {
    let (_, _, line, end) = DEPARTURES[0];
    let found = [(line, end)];
    let exact =
        format!("{line}: exception d error 0\n(first)\n{line}: exception d error 0\nother\n");
    let passes = format!("{line}: no exception\n");
    let refused = format!("{line}: exception d error 0\n");
    assert_eq!(with(&[], &exact, |_| EngineKind::Kvm), exact);
    assert_eq!(with(&found, &exact, |_| EngineKind::Exact), exact);
    assert_eq!(
        with(&found, &exact, |_| EngineKind::Kvm),
        format!("{passes}(first)\n{passes}other\n")
    );
    let kinds = [EngineKind::Kvm, EngineKind::Exact];
    assert_eq!(
        with(&found, &exact, |mark| kinds[mark]),
        format!("{passes}(first)\n{refused}other\n")
    );
}
