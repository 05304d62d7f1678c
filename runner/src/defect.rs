//! What people are told when chaosrun itself goes wrong: a paragraph that says what to report, and a
//! file with what is known.
//!
//! All is done where the panic begins, so that it does not matter whether somebody catches it, whether
//! the thread can unwind, or whether others wait for it for ever.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::outcome::time::seconds_nanos;
use crate::scenario::wording::clipped;

/// A run of a scenario that is under way.
#[derive(Debug)]
struct About {
    scenario: String,
    plan: String,
    seed: u64,
    /// How far it has come, in nanoseconds of virtual time.
    now_ns: AtomicU64,
}

struct Known {
    command: String,
    /// Prints a paragraph for people.
    print: fn(&str),
    /// Does what has to be done before the process ends, and ends it.
    exit: fn() -> !,
    runs: Vec<Arc<About>>,
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
static HAPPENED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// What runs on this thread.
    static RUN: RefCell<Option<Arc<About>>> = const { RefCell::new(None) };
    /// The details of this thread's last defect.
    static DETAILS: RefCell<Option<File>> = const { RefCell::new(None) };
}

fn known() -> MutexGuard<'static, Option<Known>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, panics are told about. `command` is the command line; `print` prints a paragraph, `exit` ends
/// the process if a thread cannot go on.
pub fn install(command: &[OsString], print: fn(&str), exit: fn() -> !) {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    *known() = Some(Known {
        command: words.join(" "),
        print,
        exit,
        runs: Vec::new(),
    });
    chaosrun_vmm::last_words::listen(append);
    std::panic::set_hook(Box::new(tell));
}

/// Whether there was a panic, caught or not.
#[must_use]
pub fn happened() -> bool {
    HAPPENED.load(Ordering::Relaxed)
}

/// A run that is told about as long as this lives.
#[derive(Debug)]
pub struct Running(Arc<About>);

impl Running {
    /// A run on this thread: the scenario's name, the plan's hash, and the seed.
    #[must_use]
    pub fn new(scenario: &str, plan: String, seed: u64) -> Self {
        let about = Arc::new(About {
            scenario: scenario.to_owned(),
            plan,
            seed,
            now_ns: AtomicU64::new(0),
        });
        if let Some(known) = known().as_mut() {
            known.runs.push(Arc::clone(&about));
        }
        RUN.with_borrow_mut(|run| *run = Some(Arc::clone(&about)));
        Self(about)
    }

    /// It has come so far, in nanoseconds of virtual time.
    pub fn is_at(&self, now_ns: u64) {
        self.0.now_ns.store(now_ns, Ordering::Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(known) = known().as_mut() {
            known.runs.retain(|run| !Arc::ptr_eq(run, &self.0));
        }
        RUN.with_borrow_mut(|run| *run = None);
    }
}

/// The panic hook.
fn tell(info: &PanicHookInfo<'_>) {
    HAPPENED.store(true, Ordering::Relaxed);
    let message = info.payload_as_str().unwrap_or("for an unknown reason");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let details = format!("message: {message}\nat: {place}\n");
    // What the standard library says when a panic may not go further, which ends the process. What it was is
    // told already.
    let cannot_unwind = message.starts_with("panic in a ");
    if cannot_unwind || message == "a scoped thread panicked" {
        append(&details);
    } else {
        first(message, &place, &details);
    }
    if cannot_unwind {
        let exit = known().as_ref().map(|known| known.exit);
        if let Some(exit) = exit {
            exit();
        }
    }
}

/// Tells of a panic.
fn first(message: &str, place: &str, details: &str) {
    let (command, print, runs) = {
        let known = known();
        let Some(known) = known.as_ref() else { return };
        let own = RUN.with_borrow(Clone::clone);
        let runs = own.map_or_else(|| known.runs.clone(), |own| vec![own]);
        (known.command.clone(), known.print, runs)
    };
    let mut text = format!(
        "chaosrun {}, internal error\ncommand: {command}\nthread: {}\n{details}",
        env!("CARGO_PKG_VERSION"),
        std::thread::current().name().unwrap_or("without a name"),
    );
    for run in &runs {
        let (now_ns, plan) = (run.now_ns.load(Ordering::Relaxed), &run.plan);
        let _ = writeln!(
            text,
            "run: scenario {:?}, seed {}, plan {plan}, after {now_ns} ns of virtual time",
            run.scenario, run.seed
        );
    }
    let _ = writeln!(text, "backtrace:\n{}", Backtrace::force_capture());
    let kept = keep(&text);
    print(&paragraph(message, place, &command, &runs, &kept));
    if kept.is_err() {
        print(&text);
    }
}

/// What people are told.
fn paragraph(
    message: &str,
    place: &str,
    command: &str,
    runs: &[Arc<About>],
    kept: &Result<PathBuf, String>,
) -> String {
    let message: Vec<_> = message.split_whitespace().collect();
    let message = clipped(&message.join(" "), 300);
    let mut what = format!("chaosrun {}, `{command}`", env!("CARGO_PKG_VERSION"));
    for run in runs {
        let now_ns = run.now_ns.load(Ordering::Relaxed);
        let _ = write!(
            what,
            ", scenario \"{}\" with seed {} (plan {:.16}) after {} s of virtual time",
            run.scenario,
            run.seed,
            run.plan,
            seconds_nanos(now_ns)
        );
    }
    let file = match kept {
        Ok(path) => format!("the file {}, which has the details", path.display()),
        Err(why) => format!("the details, which follow, as there is no file for them: {why}"),
    };
    format!(
        "chaosrun: internal error: {message} ({place}). This is a defect of chaosrun, not of what it runs. \
         Please report it at {}/issues with {file}. It was {what}.",
        env!("CARGO_PKG_REPOSITORY")
    )
}

/// Writes the details to a file of their own.
fn keep(text: &str) -> Result<PathBuf, String> {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let folder = std::env::temp_dir();
    loop {
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!(
            "chaosrun-internal-error-{}-{number}.txt",
            std::process::id()
        );
        let path = folder.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        match file {
            Ok(mut file) => {
                let written = file.write_all(text.as_bytes());
                written.map_err(|why| format!("{}: {why}", path.display()))?;
                DETAILS.with_borrow_mut(|details| *details = Some(file));
                return Ok(path);
            }
            // Somebody else's process had the same number once.
            Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists && number < 1000 => {}
            Err(why) => return Err(format!("{}: {why}", path.display())),
        }
    }
}

/// Adds to the details of this thread's defect.
fn append(text: &str) {
    DETAILS.with_borrow_mut(|details| {
        if let Some(file) = details {
            // There is nobody to tell that it could not be written.
            let _ = writeln!(file, "{text}");
        }
    });
}

#[cfg(test)]
mod tests;
