//! One program under supervision.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use chaosrun_protocol::InitReport;
use chaosrun_protocol::node::{self, Restart};

use crate::family::{self, PASSES, Progress, Stopped};
use crate::keeper::{Keeper, News};
use crate::output::Output;
use crate::report;
use crate::sys::{self, End};

/// The time from a death to the restart by policy. It doubles with each life shorter than a second, so
/// that a program that fails at once does not fill the console.
const FIRST_DELAY_NS: u64 = 100_000_000;
const MAX_DOUBLINGS: u32 = 6;
const SHORT_LIFE_NS: u64 = 1_000_000_000;
/// When those are looked at again that have not ended or stood still at once.
const AGAIN_NS: u64 = 10_000_000;

const ENVIRONMENT: [(&str, &str); 3] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("HOME", "/"),
    ("TERM", "linux"),
];

/// What a workload is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It starts at this time, or when the last of what was left of it has ended.
    Waiting {
        at_ns: u64,
    },
    Running {
        pid: libc::pid_t,
        since_ns: u64,
    },
    Ended,
}

/// Who wanted a process to end, and what is to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nobody.
    No,
    /// A command, which leaves the rest to the policy.
    Killed,
    /// A command of this number, which starts it again after this time.
    Restarted { after_ns: u64, by: u64 },
}

/// What holds a workload still.
#[derive(Debug, Default)]
struct Pause {
    /// The commands that paused it and are not undone.
    by: BTreeSet<u64>,
    stopped: Vec<Stopped>,
    /// Whether some did not stand still yet when it was last looked.
    more: bool,
}

/// A program under supervision.
#[derive(Debug)]
pub struct Workload {
    config: node::Workload,
    state: State,
    attempt: u32,
    short_lives: u32,
    asked: Asked,
    shares_console: bool,
    outputs: Vec<Output>,
    /// There while anything lives that the program started.
    keeper: Option<Keeper>,
    /// Whether all of that has to end.
    clears: bool,
    pause: Pause,
}

impl Workload {
    /// A program that starts at once.
    pub fn new(config: node::Workload, shares_console: bool) -> Self {
        Self {
            config,
            state: State::Waiting { at_ns: 0 },
            attempt: 0,
            short_lives: 0,
            asked: Asked::No,
            shares_console,
            outputs: Vec::new(),
            keeper: None,
            clears: false,
            pause: Pause::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// When there is something to do besides waiting for news, at the earliest.
    pub fn due(&self, now_ns: u64) -> Option<u64> {
        let again = (self.clears && self.keeper.is_some() || self.pause.more)
            .then(|| now_ns.saturating_add(AGAIN_NS));
        let start = match self.state {
            State::Waiting { at_ns } if self.keeper.is_none() => Some(at_ns),
            _ => None,
        };
        again.into_iter().chain(start).min()
    }

    /// Whether it does not run and will not.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// What it says, if that does not go to the console directly.
    pub fn outputs(&mut self) -> &mut Vec<Output> {
        &mut self.outputs
    }

    /// What becomes readable when there is news of it.
    pub fn file(&self) -> Option<RawFd> {
        self.keeper.as_ref().map(Keeper::file)
    }

    /// Does what is due: it starts, and what has not ended or stood still yet is asked once more.
    pub fn attend(&mut self, now_ns: u64) {
        if let Some(keeper) = self.keeper.as_ref().map(|keeper| keeper.pid) {
            if self.clears {
                family::kill(keeper, 1);
            } else if self.pause.more {
                self.pause.more =
                    family::stop(keeper, &mut self.pause.stopped, 1) == Progress::More;
            }
        } else if matches!(self.state, State::Waiting { at_ns } if at_ns <= now_ns) {
            self.start(now_ns);
        }
    }

    /// Starts it. A program that cannot be started counts as one that failed.
    fn start(&mut self, now_ns: u64) {
        self.attempt += 1;
        self.asked = Asked::No;
        let process = self.config.name.clone();
        match self.spawn() {
            Ok(pid) => {
                self.state = State::Running {
                    pid,
                    since_ns: now_ns,
                };
                report::send(InitReport::ProcessStarted {
                    process,
                    pid: pid as u32,
                    attempt: self.attempt,
                });
            }
            Err(error) => {
                eprintln!(
                    "init: can't start {process} ({}): {error}",
                    self.config.program
                );
                let reason = error.to_string();
                report::send(InitReport::ProcessNotStarted { process, reason });
                self.end(End::Code(127), 0, now_ns);
            }
        }
    }

    fn spawn(&mut self) -> io::Result<libc::pid_t> {
        let config = &self.config;
        let mut command = Command::new(&config.program);
        command.args(&config.args).env_clear().envs(ENVIRONMENT);
        command.envs(&config.env).stdin(Stdio::null());
        command.current_dir(config.directory.as_deref().unwrap_or("/"));
        if let Some((user, group)) = config.user {
            command.uid(user).gid(group);
        }
        let mut output = None;
        if self.shares_console {
            let (ours, writer) = Output::new(&config.name)?;
            command.stdout(writer.try_clone()?).stderr(writer);
            output = Some(ours);
        }
        // SAFETY: the function makes system calls only, which is allowed between fork and exec.
        unsafe { command.pre_exec(sys::become_leader) };
        let (keeper, pid) = Keeper::start(move || Ok(command.spawn()?.id() as libc::pid_t))?;
        self.outputs.extend(output);
        self.keeper = Some(keeper);
        Ok(pid)
    }

    /// Takes notice of what has become of it.
    pub fn take_news(&mut self, now_ns: u64) {
        match self.keeper.as_mut().map_or(News::None, Keeper::news) {
            News::None => {}
            News::Ended(end) => self.ended(end, now_ns),
            News::Gone => {
                // A keeper goes last, unless somebody killed it; what it kept is then init's, and nobody
                // knows whose it was.
                self.ended(End::Signal(libc::SIGKILL), now_ns);
                self.keeper = None;
                self.clears = false;
                self.pause = Pause::default();
            }
        }
    }

    /// Its process ended, if it was running.
    fn ended(&mut self, end: End, now_ns: u64) {
        let State::Running { pid, since_ns } = self.state else {
            return;
        };
        let asked = self.asked != Asked::No;
        self.end(end, now_ns.saturating_sub(since_ns), now_ns);
        if self.state != State::Ended {
            // Its descendants must not outlive it, or the next one would find its ports in use.
            self.clear();
        }
        let (code, signal) = match end {
            End::Code(code) => (Some(code), None),
            End::Signal(signal) => (None, Some(signal)),
        };
        report::send(InitReport::ProcessExited {
            process: self.config.name.clone(),
            pid: pid as u32,
            code,
            signal,
            asked,
            restarts: self.state != State::Ended,
        });
    }

    fn end(&mut self, end: End, lived_ns: u64, now_ns: u64) {
        self.short_lives = if lived_ns < SHORT_LIFE_NS && self.asked == Asked::No {
            self.short_lives.saturating_add(1)
        } else {
            0
        };
        let delay = restart_delay(self.config.restart, end, self.asked, self.short_lives);
        self.state = delay.map_or(State::Ended, |delay| State::Waiting {
            at_ns: now_ns.saturating_add(delay),
        });
    }

    /// Kills all that there is of it.
    fn clear(&mut self) {
        if let Some(keeper) = &self.keeper {
            family::kill(keeper.pid, PASSES);
            self.clears = true;
        }
    }

    /// Whether anything lives that it started, and itself.
    fn lives(&self) -> bool {
        let keeper = self.keeper.as_ref().filter(|_| !self.clears);
        keeper.is_some_and(|keeper| family::lives(keeper.pid))
    }

    /// Stops it and all that it started, for the command of this number.
    ///
    /// # Errors
    /// If none of that lives.
    pub fn pause(&mut self, by: u64) -> Result<(), String> {
        if !self.lives() {
            return Err(self.not_running());
        }
        let Some(keeper) = &self.keeper else {
            return Err(self.not_running());
        };
        self.pause.by.insert(by);
        self.pause.more =
            family::stop(keeper.pid, &mut self.pause.stopped, PASSES) == Progress::More;
        Ok(())
    }

    /// Lets it go on, if that command paused it and no other does.
    pub fn resume(&mut self, of: u64) {
        if self.pause.by.remove(&of) && self.pause.by.is_empty() {
            family::go_on(&self.pause.stopped);
            self.pause = Pause::default();
        }
    }

    /// Kills it and all that it started; what follows is `asked`.
    ///
    /// # Errors
    /// If none of that lives.
    pub fn kill(&mut self, asked: Asked, now_ns: u64) -> Result<(), String> {
        if !self.lives() {
            return Err(self.not_running());
        }
        self.asked = asked;
        if self.state == State::Ended
            && let Asked::Restarted { after_ns, .. } = asked
        {
            self.state = State::Waiting {
                at_ns: now_ns.saturating_add(after_ns),
            };
        }
        self.clear();
        Ok(())
    }

    /// Kills it and all that it started, if anything of that lives, and starts it after the time.
    pub fn restart(&mut self, asked: Asked, now_ns: u64) {
        if self.kill(asked, now_ns).is_err()
            && let Asked::Restarted { after_ns, .. } = asked
        {
            self.asked = asked;
            self.state = State::Waiting {
                at_ns: now_ns.saturating_add(after_ns),
            };
        }
    }

    /// Starts it at once, if it waits for that because of the command of this number.
    pub fn start_now(&mut self, of: u64, now_ns: u64) {
        let Asked::Restarted { after_ns, by } = &mut self.asked else {
            return;
        };
        if *by == of {
            *after_ns = 0;
            if let State::Waiting { at_ns } = &mut self.state {
                *at_ns = (*at_ns).min(now_ns);
            }
        }
    }

    fn not_running(&self) -> String {
        format!("{} does not run", self.config.name)
    }
}

/// The time to the restart of a process that ended, if it is started again.
fn restart_delay(policy: Restart, end: End, asked: Asked, short_lives: u32) -> Option<u64> {
    if let Asked::Restarted { after_ns, .. } = asked {
        return Some(after_ns);
    }
    let again = match policy {
        Restart::Never => false,
        Restart::OnFailure => end != End::Code(0),
        Restart::Always => true,
    };
    again.then(|| FIRST_DELAY_NS << short_lives.saturating_sub(1).min(MAX_DOUBLINGS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: End = End::Signal(9);

    #[test]
    fn policy_decides_about_restarts() {
        let restarts = |policy, end| restart_delay(policy, end, Asked::No, 0).is_some();
        assert!(!restarts(Restart::Never, KILLED));
        assert!(!restarts(Restart::OnFailure, End::Code(0)));
        assert!(restarts(Restart::OnFailure, End::Code(1)));
        assert!(restarts(Restart::OnFailure, KILLED));
        assert!(restarts(Restart::Always, End::Code(0)));
    }

    #[test]
    fn commands_overrule_the_policy() {
        let asked = Asked::Restarted { after_ns: 7, by: 1 };
        assert_eq!(restart_delay(Restart::Never, KILLED, asked, 3), Some(7));
        assert_eq!(
            restart_delay(Restart::Never, KILLED, Asked::Killed, 0),
            None
        );
        assert!(restart_delay(Restart::Always, KILLED, Asked::Killed, 0).is_some());
    }

    #[test]
    fn short_lives_delay_the_restart() {
        let delay = |lives| restart_delay(Restart::Always, KILLED, Asked::No, lives).unwrap();
        assert_eq!(delay(0), FIRST_DELAY_NS);
        assert_eq!(delay(1), FIRST_DELAY_NS);
        assert_eq!(delay(3), 4 * FIRST_DELAY_NS);
        assert_eq!(delay(u32::MAX), FIRST_DELAY_NS << MAX_DOUBLINGS);
    }
}
