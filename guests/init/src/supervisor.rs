//! The loop in which init spends its life: one thread that waits for whatever happens next.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, RawFd};

use chaosrun_protocol::InitReport;
use chaosrun_protocol::control::{Action, Command};
use chaosrun_protocol::node;

use crate::clock::WallClock;
use crate::control::Control;
use crate::full::Disks;
use crate::memory::Holder;
use crate::output::Output;
use crate::workload::{Asked, Workload};
use crate::{report, sys};

/// All workloads, and what may ask something of them.
#[derive(Debug)]
pub struct Supervisor {
    workloads: Vec<Workload>,
    control: Control,
    holders: Vec<Holder>,
    disks: Disks,
    clock: WallClock,
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
    pub fn new(
        workloads: Vec<node::Workload>,
        expected: bool,
        control: Control,
        clock: WallClock,
    ) -> Self {
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
            disks: Disks::new(Vec::new()),
            clock,
            children: report::attempt("watch processes", sys::watch_children()),
        }
    }

    /// With these file systems, which commands fill.
    pub fn with_disks(mut self, disks: Disks) -> Self {
        self.disks = disks;
        self
    }

    /// Supervises for ever.
    pub fn run(mut self) -> ! {
        // A disk that has been full since before the start is full when programs start. All other
        // commands are about programs.
        let is_first = |command: &Command| matches!(command.action, Action::DisksFull { .. });
        let commands = match self.disks.can_be_full() {
            true => self.control.first(),
            false => Vec::new(),
        };
        let (first, others): (Vec<_>, Vec<_>) = commands.into_iter().partition(is_first);
        first.iter().for_each(|command| self.answer(command));
        self.attend();
        report::stage("workloads");
        others.iter().for_each(|command| self.answer(command));
        // Nothing that ends may ever wake it, if nothing could be started.
        self.tell_of_end();
        loop {
            self.wait();
            self.reap();
            for command in self.control.read() {
                self.answer(&command);
            }
            self.attend();
            self.tell_of_end();
        }
    }

    fn attend(&mut self) {
        for workload in &mut self.workloads {
            workload.attend(sys::now_ns());
        }
    }

    /// Waits for the next start, death, command or output, shows the latter and takes notice of deaths.
    fn wait(&mut self) {
        let now = sys::now_ns();
        let due = self
            .workloads
            .iter()
            .filter_map(|workload| workload.due(now));
        let mut timeout = due.min().map(|at| at.saturating_sub(now));
        if self.children.is_none() {
            timeout = Some(timeout.unwrap_or(u64::MAX).min(WITHOUT_NOTICE_NS));
        }
        if let Some(at) = self.held_until() {
            timeout = Some(timeout.unwrap_or(u64::MAX).min(at.saturating_sub(now)));
        }
        let children = self.children.as_ref().map(AsRawFd::as_raw_fd);
        let mut files: Vec<RawFd> = children.into_iter().chain(self.control.file()).collect();
        files.extend(self.holders.iter().filter_map(Holder::awaited));
        files.extend(self.workloads.iter().filter_map(Workload::file));
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
            if workload.file().is_some_and(is_ready) {
                workload.take_news(sys::now_ns());
            }
        }
        self.show_held();
    }

    /// When a line that does not end has to be shown.
    fn held_until(&mut self) -> Option<u64> {
        let workloads = self.workloads.iter_mut();
        let held = workloads.filter_map(|w| w.outputs().iter().filter_map(Output::shows_at).min());
        held.min()
    }

    /// Shows lines that do not end.
    fn show_held(&mut self) {
        let now = sys::now_ns();
        for output in self.workloads.iter_mut().flat_map(|w| w.outputs()) {
            output.show_held(now);
        }
    }

    /// Lets all children go that ended: keepers, holders of memory, and orphans of those.
    fn reap(&mut self) {
        if let Some(children) = &mut self.children {
            let mut notices = [0; 1024];
            while matches!(children.read(&mut notices), Ok(length) if length > 0) {}
        }
        while sys::reap().is_some() {}
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
        let (id, now) = (command.id, sys::now_ns());
        match &command.action {
            Action::ProcessKill {
                process,
                restart_after_ns,
            } => {
                let asked = restart_after_ns.map_or(Asked::Killed, |after_ns| Asked::Restarted {
                    after_ns,
                    by: id,
                });
                self.each(process.as_deref(), |workload| workload.kill(asked, now))
            }
            Action::ProcessPause { process } => {
                self.each(process.as_deref(), |workload| workload.pause(id))
            }
            Action::ProcessResume { of } => {
                self.workloads.iter_mut().for_each(|w| w.resume(*of));
                Ok(true)
            }
            Action::ProcessStart { of } => {
                self.workloads
                    .iter_mut()
                    .for_each(|w| w.start_now(*of, now));
                Ok(true)
            }
            Action::ProcessRestart {
                process,
                restart_after_ns: after_ns,
            } => self.each(process.as_deref(), |workload| {
                let (after_ns, by) = (*after_ns, id);
                workload.restart(Asked::Restarted { after_ns, by }, now);
                Ok(())
            }),
            Action::ClockFollow {} => self.clock.follow().map(|()| true),
            Action::MemoryTake { bytes } => {
                let holder = Holder::start(*bytes, id).map_err(|error| error.to_string())?;
                self.holders.push(holder);
                Ok(false)
            }
            Action::MemoryRelease { of } => {
                let released = self.holders.extract_if(.., |holder| holder.of == *of);
                released.for_each(Holder::release);
                Ok(true)
            }
            Action::DisksFull { disks } => self.disks.fill(disks).map(|()| true),
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
