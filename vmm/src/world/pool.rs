//! Runs nodes through a window, several at once if there are threads for it.
//!
//! What a node does in a window depends on nothing outside of it, so that it makes no difference
//! which thread runs it and when. Whether it is worth waking other threads is estimated from what
//! the nodes did before; the estimate has no effect on results.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::body::Body;
use crate::affinity::Bound;
use crate::engine::EngineError;
use crate::last_words::LastWords;
use crate::machine::{Input, Output, Stop};
use crate::time::VirtTime;

/// Instructions that others have to be expected to run before a thread is woken for them: about as
/// many as run while a thread wakes up.
const WORTH_WAKING: u64 = 20_000;

/// A node that has to run.
pub(super) struct Job {
    /// Its index.
    pub node: usize,
    /// Its machine.
    pub body: Box<dyn Body>,
    /// What comes to it, each at a moment of the machine, in order.
    pub inputs: Vec<(VirtTime, Input)>,
    /// The machine's moment at which the window ends.
    pub until: VirtTime,
    /// About how many instructions it will run.
    pub weight: u64,
    /// The host's processors that it is to run on; none for any.
    pub pin: Arc<[u32]>,
}

/// A node that has run.
pub(super) struct Done {
    /// Its index.
    pub node: usize,
    /// Its machine.
    pub body: Box<dyn Body>,
    /// What it gave out.
    pub outputs: Vec<Output>,
    /// How many of the inputs it took.
    pub taken: usize,
    /// How many instructions it ran.
    pub ran: u64,
    /// Whether it reached the end.
    pub stop: Result<Stop, EngineError>,
}

impl Job {
    /// Runs it.
    pub fn run(mut self) -> Done {
        // The host allowed it when the world was made. Where that is no longer so, the node runs
        // elsewhere, which has no effect on results.
        let _bound = Bound::new(&self.pin).ok();
        let _words = LastWords::new((self.node, self.until), |(node, until)| {
            format!("node {node}, in the window until {until:?} of its time")
        });
        let before = self.body.retired();
        let mut taken = 0;
        let mut stop = Ok(Stop::Reached);
        for (moment, input) in self.inputs {
            stop = self.body.run_until(moment);
            if !matches!(stop, Ok(Stop::Reached)) {
                break;
            }
            self.body.input(input);
            taken += 1;
        }
        if matches!(stop, Ok(Stop::Reached)) {
            stop = self.body.run_until(self.until);
        }
        Done {
            node: self.node,
            outputs: self.body.take_outputs(),
            ran: self.body.retired() - before,
            body: self.body,
            taken,
            stop,
        }
    }
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    board: Mutex<Board>,
    /// There are jobs, or it is over.
    work: Condvar,
    /// The last job is done.
    finished: Condvar,
}

#[derive(Default)]
struct Board {
    jobs: VecDeque<Job>,
    done: Vec<thread::Result<Done>>,
    /// Jobs that nobody has finished.
    open: usize,
    closed: bool,
}

impl Shared {
    /// Nothing that panics holds the lock, so that it is never poisoned in a way that matters.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs jobs until none is left.
    fn help<'a>(&'a self, mut board: MutexGuard<'a, Board>) {
        while let Some(job) = board.jobs.pop_front() {
            drop(board);
            let done = panic::catch_unwind(AssertUnwindSafe(|| job.run()));
            board = self.board();
            board.done.push(done);
            board.open -= 1;
            if board.open == 0 {
                self.finished.notify_all();
            }
        }
    }

    fn serve(&self) {
        loop {
            let mut board = self.board();
            while board.jobs.is_empty() {
                if board.closed {
                    return;
                }
                board = self
                    .work
                    .wait(board)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            self.help(board);
        }
    }
}

/// The threads besides the one that asks.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool with which `jobs` nodes run at once. Threads that the host does not give are done
    /// without.
    pub fn new(jobs: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let spawn = |number| {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("node-runner-{number}"))
                .spawn(move || shared.serve())
                .ok()
        };
        let threads = (1..jobs).map_while(spawn).collect();
        Self { shared, threads }
    }

    /// Runs all `jobs` and returns them in the order of the nodes.
    pub fn run(&self, mut jobs: Vec<Job>) -> Vec<Done> {
        let heaviest = jobs.iter().map(|job| job.weight).max().unwrap_or(0);
        let all: u64 = jobs.iter().map(|job| job.weight).sum();
        if self.threads.is_empty() || jobs.len() < 2 || all - heaviest < WORTH_WAKING {
            return jobs.into_iter().map(Job::run).collect();
        }
        // Long ones first, so that nobody has to wait for one that was begun last.
        jobs.sort_by_key(|job| std::cmp::Reverse(job.weight));
        let count = jobs.len();
        let mut board = self.shared.board();
        board.open = count;
        board.jobs.extend(jobs);
        for _ in 0..self.threads.len().min(count - 1) {
            self.shared.work.notify_one();
        }
        self.shared.help(board);
        let mut board = self.shared.board();
        while board.open > 0 {
            board = self
                .shared
                .finished
                .wait(board)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let results = std::mem::take(&mut board.done);
        drop(board);
        let mut done: Vec<Done> = results
            .into_iter()
            .map(|result| result.unwrap_or_else(|cause| panic::resume_unwind(cause)))
            .collect();
        done.sort_by_key(|done| done.node);
        done
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.board().closed = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A panic in a job was caught; there is nothing to tell.
            let _ = thread.join();
        }
    }
}
