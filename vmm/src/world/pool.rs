//! Runs nodes through a window, several at once if there are threads for it.
//!
//! What a node does in a window depends on nothing outside of it, so that it makes no difference
//! which thread runs it and when. Whether it is worth waking other threads is estimated from what
//! the nodes did before; the estimate has no effect on results.

use std::panic;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::body::Body;
use super::crew::{Crew, Lane};
use super::node::Node;
use crate::affinity::Bound;
use crate::engine::EngineError;
use crate::last_words::LastWords;
use crate::machine::{Input, Output, Stop};
use crate::time::VirtTime;

/// Instructions that others have to be expected to run before a thread is woken for them: about as
/// many as run while a thread wakes up.
const WORTH_WAKING: u64 = 20_000;

/// The same if a thread looks for work anyhow: about as many as run while a node's state moves from the
/// caches of one core to those of another.
const WORTH_SHOWING: u64 = 5_000;

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
    /// Who ran it last.
    pub lane: Lane,
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
    /// Who ran it.
    pub lane: Lane,
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
            // An input that comes too soon comes at another instruction than on another host.
            assert!(
                self.body.now() >= moment,
                "node {} has not reached {moment:?}",
                self.node
            );
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
            lane: self.lane,
            taken,
            stop,
        }
    }
}

/// The crew of a world, and the threads that it has of its own.
pub(super) struct Pool {
    crew: Crew,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool with which `jobs` nodes run at once. Threads that the host does not give are done
    /// without.
    pub fn new(jobs: usize) -> Self {
        let crew = Crew::default();
        let spawn = |number| {
            let crew = crew.clone();
            thread::Builder::new()
                .name(format!("node-runner-{number}"))
                .spawn(move || crew.serve())
                .ok()
        };
        let threads = (1..jobs).map_while(spawn).collect();
        Self { crew, threads }
    }

    /// A pool with the threads of a crew.
    pub fn with_crew(crew: Crew) -> Self {
        let threads = Vec::new();
        Self { crew, threads }
    }

    /// Runs all `jobs` and returns them in the order of the nodes.
    pub fn run(&self, mut jobs: Vec<Job>) -> Vec<Done> {
        let helpers = self.helpers(&jobs);
        if helpers == 0 {
            return jobs.into_iter().map(Job::run).collect();
        }
        // Long ones first, so that no thread waits for a long one that was begun last.
        jobs.sort_by_key(|job| std::cmp::Reverse(job.weight));
        let jobs = jobs.into_iter().map(|job| (job.lane, job)).collect();
        let results = self.crew.run(jobs, helpers, Job::run).into_iter();
        let result = |(lane, result): (Lane, thread::Result<Done>)| Done {
            lane,
            ..finished(result)
        };
        let mut done: Vec<Done> = results.map(result).collect();
        done.sort_by_key(|done| done.node);
        done
    }

    /// Does something with all nodes, several at once if there are threads for it. It is worth that.
    pub fn each<R: Send + 'static>(
        &self,
        nodes: Vec<Node>,
        work: fn(&mut Node) -> R,
    ) -> Vec<(Node, R)> {
        let things: Vec<_> = nodes
            .into_iter()
            .map(|node| (node.lane, (node, work)))
            .collect();
        let worked = |(mut node, work): (Node, fn(&mut Node) -> R)| {
            let result = work(&mut node);
            (node, result)
        };
        if things.len() < 2 || self.is_alone() {
            return things.into_iter().map(|(_, thing)| worked(thing)).collect();
        }
        let helpers = things.len() - 1;
        let results = self.crew.run(things, helpers, worked).into_iter();
        results
            .map(|(lane, result)| {
                let (mut node, result) = finished(result);
                node.lane = lane;
                (node, result)
            })
            .collect()
    }

    /// Whether there are no threads that could help.
    fn is_alone(&self) -> bool {
        self.threads.is_empty() && self.crew.serving() == 0
    }

    /// How many others are to help: as many as are expected to save more than they cost.
    fn helpers(&self, jobs: &[Job]) -> usize {
        if jobs.len() < 2 || self.is_alone() {
            return 0;
        }
        let heaviest = jobs.iter().map(|job| job.weight).max().unwrap_or(0);
        let all: u64 = jobs.iter().map(|job| job.weight).sum();
        let others = all - heaviest;
        if self.crew.is_looking() && (WORTH_SHOWING..WORTH_WAKING).contains(&others) {
            return 1;
        }
        let worth = usize::try_from(others / WORTH_WAKING).unwrap_or(usize::MAX);
        worth.min(jobs.len() - 1)
    }
}

/// A panic on another thread is one here.
fn finished<R>(result: thread::Result<R>) -> R {
    result.unwrap_or_else(|cause| panic::resume_unwind(cause))
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.crew.dismiss();
        }
        for thread in self.threads.drain(..) {
            // A panic in a job was caught; there is nothing to tell.
            let _ = thread.join();
        }
    }
}
