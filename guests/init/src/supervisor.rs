//! The loop in which init spends its life: one thread that waits for whatever happens next.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};

use chaosrun_protocol::InitReport;
use chaosrun_protocol::control::{Action, Command};
use chaosrun_protocol::node;

use crate::control::Control;
use crate::memory::Holder;
use crate::workload::{Asked, Workload};
use crate::{report, sys};

/// All workloads, and what may ask something of them.
#[derive(Debug)]
pub struct Supervisor {
    workloads: Vec<Workload>,
    control: Control,
    holders: Vec<Holder>,
    children: Option<File>,
    told_of_end: bool,
    /// Whether there should be workloads, even if there are none.
    expected: bool,
    told_of_nothing: bool,
}

/// How often the loop looks for children that ended, should the kernel not tell.
const WITHOUT_NOTICE_NS: u64 = 100_000_000;

impl Supervisor {
    /// The workloads wait for [`Supervisor::run`]. `expected` says whether there should be any, even if there
    /// are none.
    pub fn new(workloads: Vec<node::Workload>, expected: bool, control: Control) -> Self {
        let shares_console = workloads.len() > 1;
        let workloads: Vec<_> = workloads
            .into_iter()
            .map(|workload| Workload::new(workload, shares_console))
            .collect();
        Self {
            // A node without workloads has nothing whose end could be told.
            told_of_end: workloads.is_empty(),
            expected,
            told_of_nothing: false,
            workloads,
            control,
            holders: Vec::new(),
            children: report::attempt("watch processes", sys::watch_children()),
        }
    }

    /// Supervises for ever.
    pub fn run(mut self) -> ! {
        self.start_due();
        report::stage("workloads");
        // Nothing that ends may ever wake it, if nothing could be started.
        self.tell_of_end();
        loop {
            self.wait();
            self.reap();
            for command in self.control.read() {
                self.answer(&command);
            }
            self.start_due();
            self.tell_of_end();
        }
    }

    fn start_due(&mut self) {
        for workload in &mut self.workloads {
            let now = sys::now_ns();
            if workload.starts_at().is_some_and(|at| at <= now) {
                workload.start(now);
            }
        }
    }

    /// Waits for the next start, death, command or output, and shows the latter.
    fn wait(&mut self) {
        let now = sys::now_ns();
        let starts = self.workloads.iter().filter_map(Workload::starts_at);
        let mut timeout = starts.min().map(|at| at.saturating_sub(now));
        if self.children.is_none() {
            timeout = Some(timeout.unwrap_or(u64::MAX).min(WITHOUT_NOTICE_NS));
        }
        let children = self.children.as_ref().map(AsRawFd::as_raw_fd);
        let mut files: Vec<RawFd> = children.into_iter().chain(self.control.file()).collect();
        files.extend(self.holders.iter().filter_map(Holder::awaited));
        for workload in &mut self.workloads {
            files.extend(workload.outputs().iter().map(|output| output.file()));
        }
        let ready = sys::wait_readable(&files, timeout);
        let is_ready = |file: RawFd| {
            let mut both = files.iter().zip(&ready);
            both.any(|(&other, &ready)| ready && other == file)
        };
        for holder in &mut self.holders {
            if holder.awaited().is_some_and(is_ready) {
                holder.answered();
            }
        }
        for workload in &mut self.workloads {
            workload
                .outputs()
                .retain_mut(|output| !is_ready(output.file()) || output.show());
        }
    }

    /// Takes notice of all processes that ended, of workloads and of their orphans.
    fn reap(&mut self) {
        if let Some(children) = &mut self.children {
            let mut notices = [0; 1024];
            while matches!(children.read(&mut notices), Ok(length) if length > 0) {}
        }
        while let Some((pid, end)) = sys::reap() {
            let now = sys::now_ns();
            let mut workloads = self.workloads.iter_mut();
            if let Some(workload) = workloads.find(|workload| workload.pid() == Some(pid)) {
                workload.ended(pid, end, now);
            }
        }
    }

    fn tell_of_end(&mut self) {
        let ended = self.workloads.iter().all(Workload::has_ended);
        if ended && !self.told_of_end {
            report::send(InitReport::AllEnded);
        }
        self.told_of_end = ended;
        let mut workloads = self.workloads.iter_mut();
        let nothing = self.expected
            && ended
            && workloads.all(|workload| workload.outputs().is_empty())
            && !sys::has_children();
        if nothing && !self.told_of_nothing {
            // Whoever waits for something on the console has to see all of it first.
            sys::drain_console();
            report::send(InitReport::NothingLeft);
        }
        self.told_of_nothing = nothing;
    }

    /// Carries out a command, and says how it ended; a command that takes time answers later.
    fn answer(&mut self, command: &Command) {
        let id = command.id;
        match self.carry_out(command) {
            Ok(true) => report::send(InitReport::CommandDone { id }),
            Ok(false) => {}
            Err(reason) => report::send(InitReport::CommandFailed { id, reason }),
        }
    }

    /// Whether it is done.
    fn carry_out(&mut self, command: &Command) -> Result<bool, String> {
        let now = sys::now_ns();
        match &command.action {
            Action::ProcessKill {
                process,
                restart_after_ns,
            } => {
                let asked = restart_after_ns
                    .map_or(Asked::Killed, |after_ns| Asked::Restarted { after_ns });
                self.each(process.as_deref(), |workload| workload.kill(asked))
            }
            Action::ProcessPause { process } => self.each(process.as_deref(), |workload| {
                workload.signal(libc::SIGSTOP)
            }),
            Action::ProcessResume { process } => self.each(process.as_deref(), |workload| {
                workload.signal(libc::SIGCONT)
            }),
            Action::ProcessRestart {
                process,
                restart_after_ns,
            } => self.each(process.as_deref(), |workload| {
                workload.restart(*restart_after_ns, now)
            }),
            Action::ClockStep { by_ns } => done(sys::step_clock(*by_ns)),
            Action::MemoryTake { bytes } => {
                let holder =
                    Holder::start(*bytes, command.id).map_err(|error| error.to_string())?;
                self.holders.push(holder);
                Ok(false)
            }
            Action::MemoryRelease {} => {
                self.holders.drain(..).for_each(Holder::release);
                Ok(true)
            }
        }
    }

    /// Does something to the workload of this name, or to each. Of all workloads, one that can do it is
    /// enough.
    fn each(
        &mut self,
        process: Option<&str>,
        mut action: impl FnMut(&mut Workload) -> Result<(), String>,
    ) -> Result<bool, String> {
        let chosen = |workload: &&mut Workload| process.is_none_or(|name| name == workload.name());
        let results: Vec<_> = self
            .workloads
            .iter_mut()
            .filter(chosen)
            .map(&mut action)
            .collect();
        if results.iter().any(Result::is_ok) {
            return Ok(true);
        }
        Err(results
            .into_iter()
            .find_map(Result::err)
            .unwrap_or_else(|| format!("there is no workload {:?}", process.unwrap_or("at all"))))
    }
}

fn done(result: io::Result<()>) -> Result<bool, String> {
    result.map(|()| true).map_err(|error| error.to_string())
}
