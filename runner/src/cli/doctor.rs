//! `chaosrun doctor`: what can this host run?

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use chaosrun_vmm::engine::EngineKind;
use chaosrun_vmm::engine::doctor::{self, Diagnosis, Grade, Measurement};
use miette::Diagnostic;
use thiserror::Error;

use super::{Exit, Failure, OrExit};

/// How long a probe may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(2);
/// The width of the table's text, in characters.
const WIDTH: usize = 100;

/// Find out by trying what this host's KVM can do, and which engine suits it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Run one probe in this process and print its measurement as JSON. A probe may hang.
    #[arg(long, value_name = "NAME", hide = true)]
    probe: Option<String>,
}

/// The host can't be examined.
#[derive(Debug, Error, Diagnostic)]
enum DoctorError {
    /// There is no such probe.
    #[error("there is no probe `{name}`")]
    #[diagnostic(code(chaosrun::doctor::probe), help("there are: {known}"))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The program can't find itself.
    #[error("chaosrun can't find its own executable, which it runs once for each probe")]
    #[diagnostic(code(chaosrun::doctor::executable))]
    Executable {
        /// What the operating system says.
        source: std::io::Error,
    },
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        if let Some(name) = self.probe {
            return one_probe(&name);
        }
        let report = examine(doctor::names(), |_| false)?;
        if self.json {
            super::print(&format!("{}\n", json(&report)));
        } else {
            super::print(&table(&report));
        }
        Ok(Exit::Passed)
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("measurements have a JSON form")
}

fn one_probe(name: &str) -> Result<Exit, Failure> {
    let known = || doctor::names().collect::<Vec<_>>().join(", ");
    let measurement = doctor::run(name)
        .ok_or_else(|| DoctorError::Unknown {
            name: name.to_owned(),
            known: known(),
        })
        .or_exit(Exit::Usage)?;
    super::print(&json(&measurement));
    Ok(Exit::Passed)
}

/// Why this host's KVM can't run even a guest without an operating system; `None` if it can.
///
/// # Errors
/// If it can't be found out.
pub(super) fn against_bare() -> Result<Option<String>, Failure> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    once(&FOUND, || {
        Ok(examine(doctor::names_for_bare(), |_| false)?.against_bare())
    })
}

/// Why this host's KVM can't run Linux; `None` if it can.
///
/// # Errors
/// If it can't be found out.
pub(super) fn against_linux() -> Result<Option<String>, Failure> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    once(&FOUND, || {
        Ok(examine(doctor::names_for_linux(), |_| false)?.against_linux())
    })
}

/// The engine that suits this host. The first thing that stands against KVM decides.
///
/// # Errors
/// If it can't be found out.
pub(super) fn auto() -> Result<EngineKind, Failure> {
    static FOUND: OnceLock<EngineKind> = OnceLock::new();
    once(&FOUND, || {
        let decides = |measurement: &Measurement| !measurement.blocks.is_empty();
        Ok(examine(doctor::names(), decides)?.auto)
    })
}

/// What a host can do does not change while a program runs.
fn once<T: Clone>(
    place: &OnceLock<T>,
    find: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    match place.get() {
        Some(found) => Ok(found.clone()),
        None => {
            let found = find()?;
            Ok(place.get_or_init(|| found).clone())
        }
    }
}

/// Runs probes, each in a process of its own, up to one whose measurement is `enough`. If the first one says
/// that there is nothing to try, the others are left out.
fn examine(
    names: impl Iterator<Item = &'static str>,
    enough: impl Fn(&Measurement) -> bool,
) -> Result<Diagnosis, Failure> {
    let program = std::env::current_exe()
        .map_err(|source| DoctorError::Executable { source })
        .or_exit(Exit::HostCannot)?;
    let mut measurements = Vec::new();
    for name in names {
        measurements.extend(probe(&program, name));
        let nothing_to_try = measurements.len() == 1 && measurements[0].grade == Grade::Bad;
        if nothing_to_try || measurements.last().is_some_and(&enough) {
            break;
        }
    }
    Ok(Diagnosis::new(measurements))
}

/// Runs one probe in a process of its own. Whatever becomes of that, there is a measurement.
fn probe(program: &PathBuf, name: &str) -> Option<Measurement> {
    let spawned = Command::new(program)
        .args(["doctor", "--probe", name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return doctor::lost(name, &format!("its process can't be started: {error}")),
    };
    if let Err(why) = wait(&mut child) {
        return doctor::lost(name, &why);
    }
    let mut output = String::new();
    let read = child
        .stdout
        .take()
        .map(|mut out| out.read_to_string(&mut output));
    match (read, serde_json::from_str(&output)) {
        (Some(Ok(_)), Ok(measurement)) => Some(measurement),
        _ => doctor::lost(name, "its process said nothing that makes sense"),
    }
}

/// Waits for the end of a process, but not for ever. A process that can't even be killed is left
/// behind. What a probe prints fits in a pipe, so that it is read afterwards.
fn wait(child: &mut Child) -> Result<(), String> {
    let mut looks = PATIENCE.as_millis() / LOOK.as_millis();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("its process ended with {status}")),
            Ok(None) if looks > 0 => looks -= 1,
            Ok(None) => {
                let killed = child.kill().is_ok();
                std::thread::sleep(LOOK * 50);
                let gone = killed && matches!(child.try_wait(), Ok(Some(_)));
                let end = if gone {
                    "it was killed"
                } else {
                    "it can't be killed"
                };
                return Err(format!("no answer in {} s; {end}", PATIENCE.as_secs()));
            }
            Err(error) => return Err(format!("its process can't be waited for: {error}")),
        }
        std::thread::sleep(LOOK);
    }
}

fn mark(grade: Grade) -> &'static str {
    match grade {
        Grade::Good => "good",
        Grade::Limited => "limited",
        Grade::Bad => "BAD",
        Grade::Unknown => "unknown",
    }
}

/// The report for people.
fn table(report: &Diagnosis) -> String {
    let mut text = String::new();
    for measurement in &report.measurements {
        let Measurement {
            subject,
            grade,
            measured,
            means,
            ..
        } = measurement;
        text += &format!("{:<8} {subject}\n", mark(*grade));
        text += &wrapped(measured, "         ");
        text += &wrapped(&format!("-> {means}"), "         ");
    }
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let auto = match report.auto {
        EngineKind::Exact => "exact",
        EngineKind::Kvm => "kvm",
    };
    text += &format!(
        "\nthe kvm engine on this host\n  runs bare guests:    {}\n  runs Linux:          {}\n  \
         deterministic:       {}\n  preempts exactly:    {}\n`auto` chooses {auto}: {}\n",
        yes(report.runs_bare),
        yes(report.runs_linux),
        yes(report.deterministic),
        yes(report.preempts),
        report.why,
    );
    text
}

/// A text in lines of bounded width, each after `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always a line");
        if !last.is_empty() && indent.len() + last.chars().count() + word.chars().count() >= WIDTH {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
        .iter()
        .map(|line| format!("{indent}{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_wrapped_between_words() {
        let text = "word ".repeat(60);
        let wrapped = wrapped(&text, "  ");
        assert!(
            wrapped
                .lines()
                .all(|line| line.len() <= WIDTH && line.starts_with("  word"))
        );
        assert_eq!(wrapped.split_whitespace().count(), 60);
    }

    #[test]
    fn a_process_that_fails_or_talks_nonsense_is_a_bad_measurement() {
        let measurement = probe(&PathBuf::from("/bin/false"), "device").unwrap();
        assert_eq!(measurement.grade, Grade::Bad);
        let measurement = probe(&PathBuf::from("/bin/true"), "device").unwrap();
        assert_eq!(measurement.grade, Grade::Bad);
        let measurement = probe(&PathBuf::from("/nonexistent"), "device").unwrap();
        assert!(
            measurement.measured.contains("started"),
            "{}",
            measurement.measured
        );
    }

    #[test]
    fn the_table_has_every_measurement_and_the_choice() {
        let measurement = doctor::lost("device", "no answer").unwrap();
        let table = table(&Diagnosis::new(vec![measurement]));
        assert!(table.contains("BAD      KVM\n"), "{table}");
        assert!(table.contains("no answer"), "{table}");
        assert!(table.contains("`auto` chooses exact"), "{table}");
    }
}
