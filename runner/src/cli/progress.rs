//! What is seen of runs while they are under way: bars on a terminal, a line per run elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::outcome::model::{Verdict, WallClock};
use crate::outcome::time::{counted, seconds_millis};
use crate::plan::Plan;
use crate::run::campaign::{Board, Task, TaskError};
use crate::run::{End, Outcome, Progress};

/// How often a bar is redrawn at most.
const REDRAW: Duration = Duration::from_millis(100);

/// Host time of runs, in the order of the tasks.
pub(super) type Walls = Vec<WallClock>;

/// The bars of one scenario's runs, and the clock of each.
pub(super) struct Bars {
    seats: Vec<Seat>,
    all: MultiProgress,
    /// How many runs are done.
    done: Option<ProgressBar>,
    plain: bool,
    fail_fast: bool,
    wall_limit: Duration,
    interrupted: &'static AtomicBool,
}

struct Seat {
    label: String,
    bar: Mutex<Option<ProgressBar>>,
    started: Mutex<Option<(Instant, u64)>>,
    wall: Mutex<WallClock>,
    /// When it was drawn last, in milliseconds since it began.
    drawn: AtomicU64,
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is host time, which is shown to people only"
)]
fn now() -> Instant {
    Instant::now()
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is host time, which is shown to people only"
)]
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The bars that are on the terminal now.
static SCREEN: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Prints a line to stderr, above the bars if there are any. One that nobody takes, as when a pager ended,
/// is no reason to end a run.
pub(super) fn say(line: &str) {
    let print = || {
        let _ = writeln!(std::io::stderr(), "{line}");
    };
    // Whoever holds the lock may be about to be told of a panic of its own.
    let screen = SCREEN.try_lock().ok().and_then(|screen| screen.clone());
    match screen {
        Some(bars) => bars.suspend(print),
        None => print(),
    }
}

fn show(screen: Option<MultiProgress>) {
    if let Ok(mut slot) = SCREEN.lock() {
        *slot = screen;
    }
}

/// The bar that counts runs, if there are enough to count.
fn count(all: &MultiProgress, runs: usize) -> Option<ProgressBar> {
    let style = ProgressStyle::with_template("{pos} of {len} runs done").ok()?;
    if runs <= 2 {
        return None;
    }
    let bar = all.add(ProgressBar::new(runs as u64).with_style(style));
    bar.tick();
    Some(bar)
}

impl Bars {
    pub fn new(
        plan: &Plan,
        tasks: &[Task<'_>],
        fail_fast: bool,
        interrupted: &'static AtomicBool,
    ) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = match terminal {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let mut seen = std::collections::BTreeSet::new();
        let name = match plan.variant.as_str() {
            "" => plan.name.clone(),
            variant => format!("{}[{variant}]", plan.name),
        };
        let all = MultiProgress::with_draw_target(target);
        show(terminal.then(|| all.clone()));
        let done = count(&all, tasks.len());
        let seats = tasks.iter().map(|task| {
            let again = if seen.insert(task.tape.seed()) {
                ""
            } else {
                " again"
            };
            Seat {
                label: format!("{name} seed {}{again}", task.tape.seed()),
                bar: Mutex::new(None),
                started: Mutex::new(None),
                wall: Mutex::new(WallClock::default()),
                drawn: AtomicU64::new(0),
            }
        });
        Self {
            seats: seats.collect(),
            all,
            done,
            plain: !terminal,
            fail_fast,
            wall_limit: Duration::from_nanos(plan.run.wall_limit_ns),
            interrupted,
        }
    }

    /// Removes the bars and tells the host time of each run.
    pub fn finish(self) -> Walls {
        show(None);
        // A bar that can't be removed from the screen is no reason to lose a result.
        let _ = self.all.clear();
        let wall = |seat: Seat| seat.wall.into_inner().unwrap_or_default();
        self.seats.into_iter().map(wall).collect()
    }
}

impl Board for Bars {
    fn begin(&self, task: usize) {
        let seat = &self.seats[task];
        if self.plain {
            say(&format!("chaosrun: {} begins", seat.label));
        }
        let style = ProgressStyle::with_template("{prefix:24} [{bar:30}] {msg}");
        let bar = ProgressBar::new(1000);
        let bar = match &self.done {
            Some(done) => self.all.insert_before(done, bar),
            None => self.all.add(bar),
        };
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(seat.label.clone());
        bar.set_message("boots");
        if let Ok(mut slot) = seat.bar.lock() {
            *slot = Some(bar);
        }
        if let Ok(mut started) = seat.started.lock() {
            *started = Some((now(), unix_ms()));
        }
    }

    fn progress(&self, task: usize, progress: Progress) -> Option<String> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Some("interrupted".to_owned());
        }
        let seat = &self.seats[task];
        let started = seat
            .started
            .lock()
            .ok()?
            .as_ref()
            .map(|(started, _)| *started)?;
        let elapsed = started.elapsed();
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        if elapsed_ms < seat.drawn.load(Ordering::Relaxed) + REDRAW.as_millis() as u64 {
            return None;
        }
        seat.drawn.store(elapsed_ms, Ordering::Relaxed);
        if elapsed > self.wall_limit {
            return Some("its `wall-limit` was reached".to_owned());
        }
        if let Ok(slot) = seat.bar.lock()
            && let Some(bar) = slot.as_ref()
        {
            let begin = progress.ready_ns.unwrap_or(0);
            let (done, whole) = (progress.now_ns - begin, (progress.end_ns - begin).max(1));
            let part = u128::from(done) * 1000 / u128::from(whole);
            bar.set_position(if progress.ready_ns.is_some() {
                part as u64
            } else {
                0
            });
            bar.set_message(message(&progress, elapsed));
        }
        None
    }

    fn end(&self, task: usize, outcome: &Result<Outcome, TaskError>) -> bool {
        let seat = &self.seats[task];
        if let Ok(started) = seat.started.lock()
            && let Some((began, started_unix_ms)) = *started
            && let Ok(mut wall) = seat.wall.lock()
        {
            let duration_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            *wall = WallClock {
                started_unix_ms,
                duration_ns,
            };
        }
        if let Ok(mut slot) = seat.bar.lock()
            && let Some(bar) = slot.take()
        {
            bar.finish_and_clear();
        }
        if let Some(done) = &self.done {
            done.inc(1);
        }
        if self.plain {
            say(&format!("chaosrun: {} {}", seat.label, ending(outcome)));
        }
        !self.interrupted.load(Ordering::Relaxed) && (!self.fail_fast || passed(outcome))
    }
}

fn message(progress: &Progress, elapsed: Duration) -> String {
    let micros = elapsed.as_micros().max(1);
    let mips = u128::from(progress.instructions) / micros;
    match progress.ready_ns {
        None => format!("boots, {} s, {mips} MIPS", seconds_millis(progress.now_ns)),
        Some(ready) => format!(
            "{} of {} s, {mips} MIPS",
            seconds_millis(progress.now_ns - ready),
            seconds_millis(progress.end_ns - ready)
        ),
    }
}

fn passed(outcome: &Result<Outcome, TaskError>) -> bool {
    let failed = |o: &Outcome| o.judgements.iter().any(|j| j.verdict == Verdict::Fail);
    outcome.as_ref().is_ok_and(|outcome| !failed(outcome))
}

/// How a run ended, as the end of a line about it.
fn ending(outcome: &Result<Outcome, TaskError>) -> String {
    match outcome {
        Err(error) => format!("could not be run: {error}"),
        Ok(outcome) => {
            let failed = outcome
                .judgements
                .iter()
                .filter(|j| j.verdict == Verdict::Fail)
                .count();
            match &outcome.end {
                End::NotReady(_) => "did not get ready".to_owned(),
                End::NeverReady(_) => "could not become ready any more".to_owned(),
                End::Stopped(why) => format!("was ended: {why}"),
                End::Unimplemented(what) => format!("was ended: {what}"),
                _ if failed > 0 => {
                    let failed = counted(failed as u64, "property", "properties");
                    format!("ended, {failed} failed")
                }
                _ => "ended".to_owned(),
            }
        }
    }
}
