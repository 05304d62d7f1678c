//! One program under supervision.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use chaosrun_protocol::InitReport;
use chaosrun_protocol::node::{self, Restart};

use crate::output::Output;
use crate::report;
use crate::sys::{self, End};

/// The time from a death to the restart by policy. It doubles with each life shorter than a second, so
/// that a program that fails at once does not fill the console.
const FIRST_DELAY_NS: u64 = 100_000_000;
const MAX_DOUBLINGS: u32 = 6;
const SHORT_LIFE_NS: u64 = 1_000_000_000;

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
    /// It starts at this time.
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
    /// A command, which starts it again after this time.
    Restarted { after_ns: u64 },
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
        }
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// When it starts, if it waits for that.
    pub fn starts_at(&self) -> Option<u64> {
        match self.state {
            State::Waiting { at_ns } => Some(at_ns),
            _ => None,
        }
    }

    /// Its process.
    pub fn pid(&self) -> Option<libc::pid_t> {
        match self.state {
            State::Running { pid, .. } => Some(pid),
            _ => None,
        }
    }

    /// Whether it does not run and will not.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// What it says, if that does not go to the console directly.
    pub fn outputs(&mut self) -> &mut Vec<Output> {
        &mut self.outputs
    }

    /// Starts it. A program that cannot be started counts as one that failed.
    pub fn start(&mut self, now_ns: u64) {
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
        if self.shares_console {
            let (output, writer) = Output::new(&config.name)?;
            command.stdout(writer.try_clone()?).stderr(writer);
            self.outputs.push(output);
        }
        // SAFETY: the function makes system calls only, which is allowed between fork and exec.
        unsafe { command.pre_exec(sys::become_leader) };
        Ok(command.spawn()?.id() as libc::pid_t)
    }

    /// Its process ended.
    pub fn ended(&mut self, pid: libc::pid_t, end: End, now_ns: u64) {
        let State::Running { since_ns, .. } = self.state else {
            return;
        };
        let asked = self.asked != Asked::No;
        self.end(end, now_ns.saturating_sub(since_ns), now_ns);
        if self.state != State::Ended {
            // Its descendants must not outlive it, or the next one would find its ports in use.
            let _ = sys::signal_group(pid, libc::SIGKILL);
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

    /// Sends a signal to its process group.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, signal: libc::c_int) -> Result<(), String> {
        let pid = self.pid().ok_or_else(|| self.not_running())?;
        sys::signal_group(pid, signal).map_err(|error| error.to_string())
    }

    /// Kills it; what follows is `asked`.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self, asked: Asked) -> Result<(), String> {
        self.signal(libc::SIGKILL)?;
        self.asked = asked;
        Ok(())
    }

    /// Kills it if it runs, and starts it after the time.
    ///
    /// # Errors
    /// If the kernel refuses the signal.
    pub fn restart(&mut self, after_ns: u64, now_ns: u64) -> Result<(), String> {
        if self.pid().is_some() {
            return self.kill(Asked::Restarted { after_ns });
        }
        self.state = State::Waiting {
            at_ns: now_ns.saturating_add(after_ns),
        };
        Ok(())
    }

    fn not_running(&self) -> String {
        format!("{} does not run", self.config.name)
    }
}

/// The time to the restart of a process that ended, if it is started again.
fn restart_delay(policy: Restart, end: End, asked: Asked, short_lives: u32) -> Option<u64> {
    if let Asked::Restarted { after_ns } = asked {
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
        let asked = Asked::Restarted { after_ns: 7 };
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
