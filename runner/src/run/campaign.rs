//! Many runs on all cores: seeds of scenarios, and replays that prove that they are functions of
//! their inputs. The results come in the order of the tasks, whatever the number of threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chaosrun_vmm::engine::{EngineError, EngineOptions};
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::world::{Boots, Checkpoint, Crew, WorldError};

use super::cluster::{self, ClusterError, Means};
use super::{Outcome, Progress, RunError, Setup, Watch, run, run_with_jumps};
use crate::artifact::ArtifactError;
use crate::artifact::node_image::NodeImage;
use crate::defect::Running;
use crate::plan::Plan;

/// One run to do.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// What to run.
    pub plan: &'a Plan,
    /// What its nodes boot.
    pub images: &'a [NodeImage],
    /// Seed and overrides of all decisions.
    pub tape: &'a Tape,
    /// What the nodes' engines are told.
    pub engine_options: EngineOptions,
    /// Where the traffic of its networks is written, if anywhere.
    pub captures: Option<&'a std::path::Path>,
    /// The boots that need not be executed again.
    pub boots: &'a Boots,
    /// Whether the run goes back to earlier moments of it again and again, and the number of where to; no
    /// effect on what comes of it.
    pub jumps: Option<u64>,
}

/// Why a run has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The cluster could not be made.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The world failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file under a disk is not what it was when the plan was made, so that the run is one of another
    /// plan.
    #[error("{0}")]
    Disk(ArtifactError),
    /// chaosrun itself has a defect.
    #[error("the run panicked: {0}")]
    Panicked(String),
}

impl TaskError {
    /// The failure of an engine, if it was one.
    #[must_use]
    pub fn engine(&self) -> Option<&EngineError> {
        match self {
            Self::Run(RunError::World(WorldError::Engine { source, .. })) => Some(source),
            _ => None,
        }
    }
}

/// Whoever watches a campaign. It is called from several threads.
pub trait Board: Sync {
    /// A run begins.
    fn begin(&self, task: usize);
    /// A run has come so far. A text ends it and says why.
    fn progress(&self, task: usize, progress: Progress) -> Option<String>;
    /// A run is over. False keeps runs that have not begun from beginning.
    fn end(&self, task: usize, outcome: &Result<Outcome, TaskError>) -> bool;
}

/// Runs `tasks` on `jobs` threads. Those that find no run to begin help inside of the others' worlds, so that
/// all are busy until the last run is over. What is kept of a run is what `keep` makes of it as soon as it is
/// over, so that a long campaign need not hold all that all of its runs said. A run that did not begin has no
/// result.
pub fn campaign<T: Send>(
    tasks: &[Task<'_>],
    jobs: usize,
    board: &dyn Board,
    keep: &(dyn Fn(usize, Result<Outcome, TaskError>) -> T + Sync),
) -> Vec<Option<T>> {
    let crew = Crew::default();
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let results: Vec<Mutex<Option<T>>> = tasks.iter().map(|_| Mutex::new(None)).collect();
    let work = |_shift: Shift<'_>| {
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(index) else {
                break;
            };
            board.begin(index);
            let outcome = guarded(task, index, &crew, board);
            if !board.end(index, &outcome) {
                stop.store(true, Ordering::Relaxed);
            }
            let kept = keep(index, outcome);
            if let Ok(mut slot) = results[index].lock() {
                *slot = Some(kept);
            }
        }
    };
    // More threads than nodes have nothing to do.
    let nodes: usize = tasks.iter().map(|task| task.plan.nodes.len()).sum();
    let begun = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let own = Shift::begin(&begun, &crew);
        for number in 1..jobs.min(nodes) {
            let shift = Shift::begin(&begun, &crew);
            let (crew, work) = (&crew, &work);
            let thread = std::thread::Builder::new().name(format!("run-{number}"));
            let spawned = thread.spawn_scoped(scope, move || {
                work(shift);
                crew.serve();
            });
            if spawned.is_err() {
                // What the host does not give is done without.
                break;
            }
        }
        work(own);
        crew.serve();
    });
    results
        .into_iter()
        .map(|slot| slot.into_inner().unwrap_or_default())
        .collect()
}

/// The time in which a thread has runs of its own. When the last one's is over, however it ends, nobody needs
/// help any more.
struct Shift<'a> {
    begun: &'a AtomicUsize,
    crew: &'a Crew,
}

impl<'a> Shift<'a> {
    fn begin(begun: &'a AtomicUsize, crew: &'a Crew) -> Self {
        begun.fetch_add(1, Ordering::Relaxed);
        Self { begun, crew }
    }
}

impl Drop for Shift<'_> {
    fn drop(&mut self) {
        if self.begun.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.crew.dismiss();
        }
    }
}

/// A defect in one run must not take the results of the others with it.
fn guarded(
    task: &Task<'_>,
    index: usize,
    crew: &Crew,
    board: &dyn Board,
) -> Result<Outcome, TaskError> {
    let attempt = std::panic::AssertUnwindSafe(|| one(task, index, crew, board));
    std::panic::catch_unwind(attempt).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(TaskError::Panicked(
            text.unwrap_or_else(|| "for an unknown reason".to_owned()),
        ))
    })
}

fn one(
    task: &Task<'_>,
    index: usize,
    crew: &Crew,
    board: &dyn Board,
) -> Result<Outcome, TaskError> {
    struct Seat<'a>(usize, &'a dyn Board, Running);
    impl Watch for Seat<'_> {
        fn look(&mut self, progress: Progress) -> Option<String> {
            self.2.is_at(progress.now_ns);
            self.1.progress(self.0, progress)
        }
    }
    let verify = || task.images.iter().try_for_each(NodeImage::verify);
    verify().map_err(TaskError::Disk)?;
    let running = Running::new(&task.plan.name, task.plan.hash(), task.tape.seed());
    let tape = task.tape;
    let means = || Means {
        engine_options: task.engine_options,
        captures: task.captures,
        crew: crew.clone(),
        boots: task.boots.clone(),
    };
    let (plan, images) = (task.plan, task.images);
    let world = cluster::world(plan, images, tape, means())?;
    let setup = Setup {
        plan: task.plan,
        tape,
        world,
    };
    let mut seat = Seat(index, board, running);
    let outcome = match task.jumps {
        None => run(setup, &mut seat),
        Some(number) => {
            let make = |from: &Checkpoint| cluster::fork(plan, images, tape, means(), from);
            let mut choices = tape.stream(&format!("jumps/{number}"));
            run_with_jumps(setup, &make, &mut choices, &mut seat).map(|(outcome, _)| outcome)
        }
    };
    verify().map_err(TaskError::Disk)?;
    Ok(outcome?)
}
