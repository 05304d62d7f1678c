//! Memory pressure: a process that holds memory, and that the kernel takes last when it runs out.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};

use chaosrun_protocol::InitReport;

use crate::{report, sys};

/// The process that holds memory.
#[derive(Debug)]
pub struct Holder {
    pid: libc::pid_t,
    /// The command that took the memory.
    pub of: u64,
    /// Says one byte when it holds all, and ends when the process ends.
    answers: io::PipeReader,
    /// The command that is still to be answered.
    command: Option<u64>,
}

impl Holder {
    /// Starts to take memory, for this command.
    ///
    /// # Errors
    /// If there is not that much memory, or no process can be started.
    pub fn start(bytes: u64, command: u64) -> io::Result<Self> {
        let total = sys::total_memory()?;
        // The kernel would end all others in vain, and then give up itself.
        if bytes >= total {
            let text = format!("the node has {total} bytes of memory, and {bytes} are to be taken");
            return Err(io::Error::other(text));
        }
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
        let (answers, mut answer) = io::pipe()?;
        let pid = sys::fork(|| {
            // The kernel must end others for want of memory, and not this one.
            let _ = sys::outlive_want();
            if let Err(error) = sys::hold_memory(bytes) {
                return error.raw_os_error().unwrap_or(1);
            }
            let _ = io::Write::write_all(&mut answer, b"!");
            loop {
                sys::pause();
            }
        })?;
        Ok(Self {
            pid,
            of: command,
            answers,
            command: Some(command),
        })
    }

    /// What becomes readable when it has answered; nothing once it has.
    pub fn awaited(&self) -> Option<RawFd> {
        self.command.map(|_| self.answers.as_raw_fd())
    }

    /// It has answered, or is no more.
    pub fn answered(&mut self) {
        let mut byte = [0];
        let holds = matches!(self.answers.read(&mut byte), Ok(1));
        if let Some(id) = self.command.take() {
            report::send(if holds {
                InitReport::CommandDone { id }
            } else {
                let reason = "the kernel does not give that much memory".into();
                InitReport::CommandFailed { id, reason }
            });
        }
    }

    /// Gives the memory back.
    pub fn release(self) {
        // A process that is gone needs no signal.
        let _ = sys::signal(self.pid, libc::SIGKILL);
    }
}
