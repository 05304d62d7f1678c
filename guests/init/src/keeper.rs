//! A process between init and a program, to which the kernel gives the program's orphans.
//!
//! Without it they would become init's children, and nobody could say any more which program they come
//! from: neither sessions nor process groups tell, because a daemon leaves both. The keeper ends when the
//! last of them has ended.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::sys::{self, End};

/// What the keeper tells: a letter, and a number.
const STARTED: u8 = b's';
const NOT_STARTED: u8 = b'n';
const CODE: u8 = b'c';
const SIGNAL: u8 = b'k';
const REPORT: usize = 5;

/// A program's keeper.
#[derive(Debug)]
pub struct Keeper {
    /// Its process.
    pub pid: libc::pid_t,
    reports: PipeReader,
}

/// What became of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing new.
    None,
    /// The program ended; what it started may live on.
    Ended(End),
    /// The keeper ended, and with it the last of the family.
    Gone,
}

impl Keeper {
    /// Starts a keeper and lets it start the program. Returns the program's process as well.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(
        spawn: impl FnOnce() -> io::Result<libc::pid_t>,
    ) -> io::Result<(Self, libc::pid_t)> {
        let (mut reports, answer) = io::pipe()?;
        let pid = sys::fork(|| keep(answer, spawn))?;
        let (what, number) = read(&mut reports)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if what != STARTED {
            return Err(io::Error::from_raw_os_error(number));
        }
        let file = std::fs::File::from(OwnedFd::from(reports.try_clone()?));
        sys::make_nonblocking(&file)?;
        Ok((Self { pid, reports }, number))
    }

    /// What becomes readable when there is news.
    pub fn file(&self) -> RawFd {
        self.reports.as_raw_fd()
    }

    /// What has happened.
    pub fn news(&mut self) -> News {
        match read(&mut self.reports) {
            Ok(Some((CODE, number))) => News::Ended(End::Code(number)),
            Ok(Some((SIGNAL, number))) => News::Ended(End::Signal(number)),
            Ok(None) => News::Gone,
            Ok(Some(_)) | Err(_) => News::None,
        }
    }
}

/// A report; none if the keeper has ended.
fn read(reports: &mut PipeReader) -> io::Result<Option<(u8, i32)>> {
    let mut report = [0; REPORT];
    // A report is written at once, so that it is never read in parts.
    let length = reports.read(&mut report)?;
    let [what, number @ ..] = report;
    Ok((length == REPORT).then_some((what, i32::from_le_bytes(number))))
}

/// The life of a keeper; its exit code.
fn keep(mut answer: io::PipeWriter, spawn: impl FnOnce() -> io::Result<libc::pid_t>) -> i32 {
    let started = sys::keep_orphans().and_then(|()| spawn());
    let mut tell = |what: u8, number: i32| {
        let [a, b, c, d] = number.to_le_bytes();
        answer.write_all(&[what, a, b, c, d]).is_ok()
    };
    let program = match started {
        Ok(pid) => pid,
        Err(error) => {
            tell(NOT_STARTED, error.raw_os_error().unwrap_or(libc::EINVAL));
            return 1;
        }
    };
    // If that fails, the kernel may end it before the program, which is then taken for killed.
    let _ = sys::outlive_want();
    tell(STARTED, program);
    while let Some((pid, end)) = sys::wait_for_child() {
        if pid == program {
            match end {
                End::Code(code) => tell(CODE, code),
                End::Signal(signal) => tell(SIGNAL, signal),
            };
        }
    }
    0
}
