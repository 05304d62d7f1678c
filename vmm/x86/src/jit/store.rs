//! Compiled code that machines share.
//!
//! The machines of a cluster boot the same kernel and run the same programs, each out of memory of its own.
//! One copy of the compiled code for all of them takes a fraction of the host's caches, which is what the
//! speed of a cluster depends on: its machines take turns every millisecond or so. So code knows nothing of
//! the machine that it was made for. It belongs to a page of the guest's code, and pages are told apart by
//! their content. A machine may execute the code of a page as long as the page that it executes has that
//! content (see [`super::bind`]).
//!
//! Code that may be executed is changed only while nobody executes any. What wants to change it waits in a
//! list until then.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError};

use super::compile::Made;
use super::region::Region;
use super::{Lead, Site, set_jump};
use crate::block::Shape;
use crate::memory::{PAGE_SIZE, PageBytes};
use crate::op::OpFn;

/// The most pages whose content is kept.
const CONTENTS: usize = 8192;

/// The most pages. A place in one of them has 31 bits, as compiled code compares it with a constant.
const PAGES: u32 = 1 << 19;

/// Compiled code for all machines that it is given to, on any threads. Which machines share code, and when
/// code is compiled, has no effect on what the machines do.
#[derive(Clone)]
pub struct CodeStore(Arc<Shared>);

struct Shared {
    /// Held for reading by whoever executes code, and for writing by whoever changes it.
    gate: RwLock<()>,
    /// Whether a change waits for nobody to execute code.
    waiting: AtomicBool,
    /// What no other code has had.
    generation: AtomicU64,
    /// How many blocks there are.
    blocks: AtomicUsize,
    inner: Mutex<Inner>,
}

/// See [`CodeStore`].
#[derive(Default)]
pub(super) struct Inner {
    /// What is usually executed.
    hot: Region,
    /// What is not.
    cold: Region,
    #[expect(
        clippy::vec_box,
        reason = "code points to the elements, so they must not move"
    )]
    sites: Vec<Box<Site>>,
    /// The pages that any machine may be bound to, by their content.
    contents: BTreeMap<Box<PageBytes>, u32>,
    /// The last page's number; there is no page 0.
    last_page: u32,
    /// The blocks by their numbers.
    blocks: Vec<Compiled>,
    /// Their numbers by their places: see [`Compiled::place`].
    places: BTreeMap<u32, u32>,
    /// The blocks by where the code ends that is usually executed of them.
    ends: BTreeMap<usize, u32>,
    /// Jumps that are to lead to blocks.
    aims: Vec<(*const Site, u32)>,
    /// Whether all is to be forgotten.
    outlived: bool,
}

// SAFETY: the pointers lead to what this owns.
unsafe impl Send for Inner {}

/// What is known of a compiled block.
pub(super) struct Compiled {
    /// Where jumps from other blocks lead.
    pub entry: *const u8,
    /// The number of its page, shifted left by the binary logarithm of a page's size, and its position there.
    pub place: u32,
    /// What the block is like that it was made from, and every block that has its code.
    pub shape: Shape,
    /// What the handlers of its operations are before it is compiled.
    pub handlers: Arc<[OpFn]>,
    /// What they are then.
    pub entries: Box<[(usize, OpFn)]>,
    /// Where stubs come back to that may fail, from the entry, and whose handlers take over then.
    returns: Box<[(usize, usize)]>,
}

/// A number that is given out once in this process.
pub(super) fn new_generation() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Default for CodeStore {
    fn default() -> Self {
        Self(Arc::new(Shared {
            gate: RwLock::new(()),
            waiting: AtomicBool::new(false),
            generation: AtomicU64::new(new_generation()),
            blocks: AtomicUsize::new(0),
            inner: Mutex::default(),
        }))
    }
}

impl std::fmt::Debug for CodeStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeStore")
            .field("blocks", &self.blocks())
            .finish_non_exhaustive()
    }
}

impl CodeStore {
    /// Code is executed only by whoever has what this returns.
    pub(crate) fn enter(&self) -> RwLockReadGuard<'_, ()> {
        self.0.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether [`Self::settle`] has something to do.
    #[inline]
    pub(crate) fn waiting(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Makes the changes that wait, unless others execute code. The caller does not.
    #[cold]
    pub(crate) fn settle(&self) {
        let _gate = match self.0.gate.try_write() {
            Ok(gate) => gate,
            Err(TryLockError::Poisoned(gate)) => gate.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.0.waiting.store(false, Ordering::Relaxed);
        let mut inner = self.inner();
        if inner.outlived {
            *inner = Inner::default();
            self.0.blocks.store(0, Ordering::Relaxed);
            self.0.generation.store(new_generation(), Ordering::Relaxed);
            return;
        }
        for (site, number) in std::mem::take(&mut inner.aims) {
            // SAFETY: sites live as long as their code.
            inner.aim(unsafe { &*site }, number);
        }
    }

    /// Forgets all code as soon as nobody executes any, so that what is executed from now on is laid out
    /// together: while a machine boots, much is compiled that is hardly executed afterwards.
    pub fn begin_afresh(&self) {
        self.overflow(&mut self.inner());
    }

    /// Makes the changes that wait for nobody to execute code, if nobody does. The caller does not.
    pub fn settle_waiting(&self) {
        if self.waiting() {
            self.settle();
        }
    }

    /// What changes when code is forgotten, and differs from any other store's.
    pub(crate) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Relaxed)
    }

    /// How many blocks there are.
    pub(super) fn blocks(&self) -> usize {
        self.0.blocks.load(Ordering::Relaxed)
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Aims the jump at `site` straight at the block `number` as soon as nobody executes code.
    pub(super) fn aim(&self, site: &Site, number: u32) {
        if site.ask() {
            self.inner().aims.push((site, number));
            self.0.waiting.store(true, Ordering::Relaxed);
        }
    }

    /// Forgets everything as soon as nobody executes code: there may be no room for more.
    pub(super) fn overflow(&self, inner: &mut Inner) {
        inner.outlived = true;
        self.0.waiting.store(true, Ordering::Relaxed);
    }

    /// Notes how many blocks there are.
    pub(super) fn grown(&self, inner: &Inner) {
        self.0.blocks.store(inner.blocks.len(), Ordering::Relaxed);
    }
}

impl Inner {
    /// The page with this content, if there is one.
    pub(super) fn known(&self, content: &PageBytes) -> Option<u32> {
        self.contents.get(content).copied()
    }

    /// The page with this content.
    pub(super) fn page(&mut self, content: &PageBytes) -> Option<u32> {
        if let Some(page) = self.known(content) {
            return Some(page);
        }
        if self.contents.len() >= CONTENTS {
            return None;
        }
        let page = self.new_page()?;
        self.contents.insert(Box::new(*content), page);
        Some(page)
    }

    /// A page for one machine alone.
    pub(super) fn new_page(&mut self) -> Option<u32> {
        (self.last_page + 1 < PAGES).then(|| {
            self.last_page += 1;
            self.last_page
        })
    }

    /// The number of the block at a place.
    pub(super) fn number(&self, place: u32) -> Option<u32> {
        self.places.get(&place).copied()
    }

    /// The block with a number.
    pub(super) fn block(&self, number: u32) -> &Compiled {
        &self.blocks[number as usize]
    }

    /// The number of the block, and the index of the operation there, that a stub would come back to at an
    /// address.
    pub(super) fn caller(&self, address: usize) -> (u32, usize) {
        let (_, &number) = self
            .ends
            .range(address..)
            .next()
            .expect("a stub is called from a block");
        let block = self.block(number);
        let position = address - block.entry as usize;
        let found = block.returns.binary_search_by_key(&position, |&(at, _)| at);
        (
            number,
            block.returns[found.expect("a stub returns there")].1,
        )
    }

    /// The number of the next block.
    pub(super) fn next_number(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// Room for the hot and the cold code of a block.
    pub(super) fn room(&mut self) -> Option<(*mut u8, *mut u8)> {
        Some((self.hot.place()?, self.cold.place()?))
    }

    /// Puts the code of a block into the room that there is for it.
    pub(super) fn add(
        &mut self,
        made: Made,
        (hot, cold): (*mut u8, *mut u8),
        place: u32,
        (shape, handlers): (Shape, Arc<[OpFn]>),
    ) {
        self.hot.fill(&made.hot);
        self.cold.fill(&made.cold);
        for (behind, tail) in made.jumps {
            // SAFETY: the positions are in the code, behind jumps, and nobody executes it yet.
            unsafe { set_jump(hot.add(behind), cold as usize + tail) };
        }
        for mut exit in made.exits {
            // SAFETY: both are positions in the code.
            unsafe {
                exit.site.jump = hot.add(exit.jump);
                if let Some(offset) = exit.offset {
                    exit.site.offset = hot.add(offset);
                }
            }
            self.sites.push(exit.site);
        }
        let entry = |(index, position)| {
            // SAFETY: the entries are positions in the code, which keeps to the calling convention of
            // handlers.
            let entry = unsafe { std::mem::transmute::<*const u8, OpFn>(cold.add(position)) };
            (index, entry)
        };
        let number = self.next_number();
        let first = self.places.insert(place, number);
        let last = self.ends.insert(hot as usize + made.hot.len(), number);
        assert!(
            first.is_none() && last.is_none(),
            "a place has one block, and each block has code of its own"
        );
        self.blocks.push(Compiled {
            entry: hot,
            place,
            shape,
            handlers,
            entries: made.entries.into_iter().map(entry).collect(),
            returns: made.returns.into(),
        });
    }

    /// Lets the jump at `site` lead straight to a block. Nobody executes code.
    fn aim(&self, site: &Site, number: u32) {
        site.done();
        let target = self.block(number);
        if let Lead::Place(place) = site.lead {
            assert_eq!(place, target.place, "a jump leads where it says");
        }
        if site.offset.is_null() {
            // All blocks of a page may be executed as long as one may.
            let from = self.block(site.number).place;
            assert_eq!(
                from / PAGE_SIZE as u32,
                target.place / PAGE_SIZE as u32,
                "a jump that does not look stays in its page"
            );
            // SAFETY: a site's positions are in its code.
            unsafe { set_jump(site.jump, target.entry as usize) };
            return;
        }
        // SAFETY: as above.
        unsafe {
            set_jump(site.jump, target.entry as usize);
            let operand = site.offset.sub(4).cast::<i32>();
            operand.write_unaligned(target.place as i32);
        }
    }
}
