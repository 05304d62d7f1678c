//! Threads that help worlds with work on many nodes.
//!
//! Worlds that run beside each other share a crew, so that a thread which has nothing to do in one helps in
//! another, and no more threads are busy than there are supposed to be. A world always does the work on
//! its own thread as well and needs no help: a helper that comes late finds nothing left to do.
//!
//! What belongs to a node lies in the caches of the core that had it last, and in the part of the allocator's
//! memory that is its thread's. So a thread that looks for work prefers the nodes that it had before, and
//! takes others when none of those is left.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// How often a thread looks for work, or for the end of another thread's work, before it goes to sleep: the
/// least if it has lately looked in vain, and at most for about ten microseconds. A thread that sleeps
/// takes longer than that to wake up, and windows often follow each other sooner.
const LOOKS_MIN: u32 = 32;
const LOOKS_MAX: u32 = 512;

/// How many things a thread looks through for one that it had before.
const LOOK_AHEAD: usize = 64;

/// Threads that help whichever world has something to do. Copies are the same crew.
#[derive(Clone, Default)]
pub struct Crew(Arc<Shared>);

#[derive(Default)]
struct Shared {
    board: Mutex<Board>,
    /// There is work, or it is over.
    work: Condvar,
    /// How many batches were begun; looked at without the lock.
    begun: AtomicUsize,
    /// How many threads serve.
    serving: AtomicUsize,
    /// How many ever did.
    served: AtomicUsize,
    /// How many of them look for work at the moment and need not be woken.
    looking: AtomicUsize,
}

#[derive(Default)]
struct Board {
    /// What worlds want to have done.
    batches: Vec<Arc<dyn Help>>,
    /// How many threads sleep.
    asleep: usize,
    dismissed: bool,
}

/// Which of the threads that help a world had a node last: 0 is the world's own, and each thread that
/// serves a crew has a number of its own.
pub(super) type Lane = usize;

/// The lane of a world's own thread.
const OWN: Lane = 0;

/// What the crew sees of a batch.
trait Help: Send + Sync {
    /// Whether something is left to begin.
    fn has_work(&self) -> bool;
    /// Works until nothing is left to begin.
    fn help(&self, lane: Lane);
}

/// Things with which something is to be done.
struct Batch<T, R> {
    items: Mutex<VecDeque<Item<T>>>,
    work: fn(T) -> R,
    done: Mutex<Vec<(usize, Lane, thread::Result<R>)>>,
    /// How many things are not done yet.
    open: AtomicUsize,
    /// The world's own thread, which waits for the last.
    owner: Thread,
}

struct Item<T> {
    number: usize,
    lane: Lane,
    thing: T,
}

/// Nothing that panics holds a lock, so that none is ever poisoned in a way that matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crew")
            .field("serving", &self.serving())
            .finish_non_exhaustive()
    }
}

impl Crew {
    /// Has the calling thread help until the crew is dismissed.
    pub fn serve(&self) {
        let shared = &*self.0;
        shared.serving.fetch_add(1, Ordering::Relaxed);
        let lane = 1 + shared.served.fetch_add(1, Ordering::Relaxed);
        let mut looks = LOOKS_MIN;
        loop {
            let seen = shared.begun.load(Ordering::Acquire);
            match shared.find() {
                Found::Batch(batch) => batch.help(lane),
                Found::Dismissed => break,
                Found::Nothing => shared.rest(seen, &mut looks),
            }
        }
        shared.serving.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sends all threads that serve away as soon as nothing is left to do.
    pub fn dismiss(&self) {
        let mut board = lock(&self.0.board);
        board.dismissed = true;
        self.0.begun.fetch_add(1, Ordering::Release);
        self.0.work.notify_all();
    }

    /// How many threads serve.
    pub fn serving(&self) -> usize {
        self.0.serving.load(Ordering::Relaxed)
    }

    /// Whether a thread looks for work at this moment, so that having it help costs little.
    pub(super) fn is_looking(&self) -> bool {
        self.0.looking.load(Ordering::Relaxed) > 0
    }

    /// Does `work` with all `things`, beginning with the first, each of which comes with the lane that had it
    /// last. Besides the calling thread, `helpers` may help. Results are in the order of the things, each
    /// with the lane that had it now, or with why there is none.
    pub(super) fn run<T: Send + 'static, R: Send + 'static>(
        &self,
        things: Vec<(Lane, T)>,
        helpers: usize,
        work: fn(T) -> R,
    ) -> Vec<(Lane, thread::Result<R>)> {
        let count = things.len();
        let item = |(number, (lane, thing))| Item {
            number,
            lane,
            thing,
        };
        let batch = Arc::new(Batch {
            items: Mutex::new(things.into_iter().enumerate().map(item).collect()),
            work,
            done: Mutex::new(Vec::with_capacity(count)),
            open: AtomicUsize::new(count),
            owner: thread::current(),
        });
        let shown: Arc<dyn Help> = Arc::clone(&batch) as _;
        self.0.begin(&shown, helpers);
        batch.help(OWN);
        self.0.end(&shown);
        batch.wait();
        let mut done = std::mem::take(&mut *lock(&batch.done));
        assert_eq!(done.len(), count, "not all that was begun is done");
        done.sort_by_key(|(number, ..)| *number);
        done.into_iter()
            .map(|(_, lane, result)| (lane, result))
            .collect()
    }
}

/// What there is to do.
enum Found {
    Batch(Arc<dyn Help>),
    Nothing,
    Dismissed,
}

impl Shared {
    fn find(&self) -> Found {
        let board = lock(&self.board);
        let mut batches = board.batches.iter();
        match batches.find(|batch| batch.has_work()) {
            Some(batch) => Found::Batch(Arc::clone(batch)),
            None if board.dismissed => Found::Dismissed,
            None => Found::Nothing,
        }
    }

    /// Waits until something was begun after `seen`: looks for that a while, and then sleeps.
    fn rest(&self, seen: usize, looks: &mut u32) {
        self.looking.fetch_add(1, Ordering::Relaxed);
        let came = (0..*looks).any(|_| {
            std::hint::spin_loop();
            self.begun.load(Ordering::Acquire) != seen
        });
        self.looking.fetch_sub(1, Ordering::Relaxed);
        if came {
            *looks = (*looks * 2).min(LOOKS_MAX);
        } else {
            *looks = (*looks / 2).max(LOOKS_MIN);
            let mut board = lock(&self.board);
            board.asleep += 1;
            while self.begun.load(Ordering::Acquire) == seen {
                board = self
                    .work
                    .wait(board)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            board.asleep -= 1;
        }
    }

    /// Shows a batch to the crew, of which `wanted` threads could help.
    fn begin(&self, batch: &Arc<dyn Help>, wanted: usize) {
        let mut board = lock(&self.board);
        board.batches.push(Arc::clone(batch));
        // Under the lock, so that nobody falls asleep in between.
        self.begun.fetch_add(1, Ordering::Release);
        let looking = self.looking.load(Ordering::Relaxed);
        for _ in 0..wanted.saturating_sub(looking).min(board.asleep) {
            self.work.notify_one();
        }
    }

    /// Takes a batch back of which nothing is left to begin.
    fn end(&self, batch: &Arc<dyn Help>) {
        lock(&self.board)
            .batches
            .retain(|other| !Arc::ptr_eq(other, batch));
    }
}

impl<T: Send, R: Send> Help for Batch<T, R> {
    fn has_work(&self) -> bool {
        !lock(&self.items).is_empty()
    }

    fn help(&self, lane: Lane) {
        while let Some(item) = self.take(lane) {
            let result = panic::catch_unwind(AssertUnwindSafe(|| (self.work)(item.thing)));
            lock(&self.done).push((item.number, lane, result));
            if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.owner.unpark();
            }
        }
    }
}

impl<T, R> Batch<T, R> {
    /// What the thread of `lane` begins next: the first thing that it had before, or else the first of all.
    fn take(&self, lane: Lane) -> Option<Item<T>> {
        let mut items = lock(&self.items);
        let before = items
            .iter()
            .take(LOOK_AHEAD)
            .position(|item| item.lane == lane);
        items.remove(before.unwrap_or(0))
    }

    /// Waits, on the owner's thread, until all is done.
    fn wait(&self) {
        let is_over = || self.open.load(Ordering::Acquire) == 0;
        let soon = (0..LOOKS_MAX).any(|_| {
            std::hint::spin_loop();
            is_over()
        });
        while !soon && !is_over() {
            thread::park();
        }
    }
}
