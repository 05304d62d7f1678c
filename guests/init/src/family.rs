//! A program and all that it started, whatever sessions and groups they are in.
//!
//! Each program has a [keeper](crate::keeper), to which the kernel gives whoever loses its parent, so that
//! all descendants of the program are descendants of the keeper for as long as they live. They are found
//! in /proc. New ones appear while one looks, so it is looked again and again until none is left that could
//! make more.

use std::collections::BTreeMap;
use std::fs;

use crate::sys;

/// How often it is looked at once, at most, before the rest is left for later.
pub const PASSES: u32 = 100;
/// The time between two looks, in which those that were sent a signal take it.
const PASS_US: u64 = 100;

/// A process as /proc shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: libc::pid_t,
    parent: libc::pid_t,
    state: u8,
    threads: u64,
    /// When it started, by which it differs from another one with its number.
    since: u64,
}

/// A process that was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    pid: libc::pid_t,
    since: u64,
}

/// What has become of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is done.
    Done,
    /// Some are still on their way, and it has to be tried again.
    More,
}

/// Stops all members of the keeper's family that run, and adds them to `stopped`, parents before their
/// children. What stands still by itself is left alone, so that it does not go on later either.
pub fn stop(keeper: libc::pid_t, stopped: &mut Vec<Stopped>, passes: u32) -> Progress {
    for pass in 0..passes {
        if pass > 0 {
            sys::sleep_us(PASS_US);
        }
        if members(keeper).is_some_and(|members| stop_all(&members, stopped)) {
            return Progress::Done;
        }
    }
    Progress::More
}

/// Whether all stand still and none had to be told.
fn stop_all(members: &[Process], stopped: &mut Vec<Stopped>) -> bool {
    let mut at_rest = true;
    for member in members.iter().filter(|member| member.lives()) {
        if member.stands_still() {
            continue;
        }
        at_rest = false;
        let mark = Stopped {
            pid: member.pid,
            since: member.since,
        };
        // One that was told and runs may not have taken the signal yet, or somebody has let it go on.
        if sys::signal(member.pid, libc::SIGSTOP).is_ok() && !stopped.contains(&mark) {
            stopped.push(mark);
        }
    }
    at_rest
}

/// Lets those go on that were stopped and are still there, children before their parents: so no parent
/// runs that could see a child that stands still.
pub fn go_on(stopped: &[Stopped]) {
    for mark in stopped.iter().rev() {
        // Another process may have got the number.
        if process(mark.pid).is_some_and(|process| process.since == mark.since) {
            let _ = sys::signal(mark.pid, libc::SIGCONT);
        }
    }
}

/// Kills all members of the keeper's family.
pub fn kill(keeper: libc::pid_t, passes: u32) {
    for pass in 0..passes {
        if pass > 0 {
            sys::sleep_us(PASS_US);
        }
        let Some(members) = members(keeper) else {
            continue;
        };
        let mut living = members.iter().filter(|member| member.lives()).peekable();
        if living.peek().is_none() {
            return;
        }
        for member in living {
            let _ = sys::signal(member.pid, libc::SIGKILL);
        }
    }
}

/// Whether anybody of the keeper's family lives.
pub fn lives(keeper: libc::pid_t) -> bool {
    members(keeper).is_none_or(|members| members.iter().any(Process::lives))
}

/// The keeper's descendants, each behind its parent. None if somebody ended while /proc was read, so that it
/// is not known whose children its children are.
fn members(keeper: libc::pid_t) -> Option<Vec<Process>> {
    let all: BTreeMap<libc::pid_t, Process> = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(process)
        .map(|process| (process.pid, process))
        .collect();
    descendants(keeper, &all)
}

fn descendants(of: libc::pid_t, all: &BTreeMap<libc::pid_t, Process>) -> Option<Vec<Process>> {
    let mut children: BTreeMap<libc::pid_t, Vec<Process>> = BTreeMap::new();
    for process in all.values() {
        if process.parent != 0 && !all.contains_key(&process.parent) {
            return None;
        }
        children.entry(process.parent).or_default().push(*process);
    }
    let mut found = children.remove(&of).unwrap_or_default();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|process| process.pid) {
        found.extend(children.remove(&parent).unwrap_or_default());
        next += 1;
    }
    Some(found)
}

fn process(pid: libc::pid_t) -> Option<Process> {
    parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// A line of /proc/PID/stat (proc_pid_stat(5)). The name, which may contain anything, is in parentheses.
fn parse(line: &[u8]) -> Option<Process> {
    let close = line.iter().rposition(|&byte| byte == b')')?;
    let pid = std::str::from_utf8(&line[..line.iter().position(|&byte| byte == b' ')?]).ok()?;
    let rest = std::str::from_utf8(&line[close + 1..]).ok()?;
    // The first of these is field 3.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Process {
        pid: pid.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        state: *fields.first()?.as_bytes().first()?,
        threads: number(20)?,
        since: number(22)?,
    })
}

impl Process {
    /// Whether it has not ended. One whose first thread has ended lives in the others.
    fn lives(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x') || self.threads > 1
    }

    /// Whether none of its threads runs or is about to.
    fn stands_still(&self) -> bool {
        let stands = |state: u8| matches!(state, b'T' | b't' | b'Z' | b'X' | b'x');
        if self.threads <= 1 {
            return stands(self.state);
        }
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return true;
        };
        threads.flatten().all(|thread| {
            let line = fs::read(thread.path().join("stat"));
            line.ok()
                .and_then(|line| parse(&line))
                .is_none_or(|thread| stands(thread.state))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pid: libc::pid_t, parent: libc::pid_t) -> (libc::pid_t, Process) {
        let process = Process {
            pid,
            parent,
            state: b'S',
            threads: 1,
            since: 7,
        };
        (pid, process)
    }

    #[test]
    fn a_line_of_proc_is_read_whatever_the_name_is() {
        let line = b"412 (a) R (b) S 17 412 412 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 9876 1 2 3";
        let process = parse(line).unwrap();
        assert_eq!((process.pid, process.parent), (412, 17));
        assert_eq!((process.state, process.threads), (b'S', 3));
        assert_eq!(process.since, 9876);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"1 (x"), None);
        assert_eq!(parse(b"1 (x) S 0"), None);
    }

    #[test]
    fn descendants_are_found_at_any_depth_behind_their_parents() {
        let all = BTreeMap::from([
            of(1, 0),
            of(2, 0),
            of(9, 1),
            of(5, 9),
            of(7, 5),
            of(6, 9),
            of(8, 1),
        ]);
        let pids = |of| -> Vec<libc::pid_t> {
            let found = descendants(of, &all).unwrap();
            found.iter().map(|process| process.pid).collect()
        };
        assert_eq!(pids(9), [5, 6, 7]);
        assert_eq!(pids(7), [0; 0]);
        assert_eq!(pids(1), [8, 9, 5, 6, 7]);
    }

    #[test]
    fn with_a_parent_that_ended_meanwhile_it_is_not_known_who_belongs_to_whom() {
        let all = BTreeMap::from([of(1, 0), of(9, 1), of(5, 77)]);
        assert_eq!(descendants(9, &all), None);
    }

    #[test]
    fn the_dead_are_told_from_those_that_live_in_other_threads() {
        let (_, mut process) = of(5, 1);
        assert!(process.lives());
        process.state = b'Z';
        assert!(!process.lives());
        process.threads = 2;
        assert!(process.lives());
    }
}
