//! Memory that can be written and executed.
//!
//! All of it lies in one range of addresses that is reserved once, within reach of a relative jump from
//! the handlers, which are this program's own code. A machine takes pieces of it as it compiles and gives
//! them back when it forgets its code.

use std::sync::{Mutex, OnceLock};

/// The size of a piece in bytes.
pub(super) const PIECE: usize = 256 << 10;

/// The range that is reserved, in bytes. It costs addresses only; what machines do not take is not backed
/// by memory.
const RANGE: usize = 1 << 30;

/// How far a relative jump reaches, less than it does so that the program's own size need not be known.
const REACH: usize = (1 << 31) - (1 << 28);

/// The range, and the pieces of it that nobody has.
struct Pool {
    start: usize,
    free: Mutex<Vec<usize>>,
}

static POOL: OnceLock<Option<Pool>> = OnceLock::new();

/// A piece of memory of [`PIECE`] bytes that can be written and executed.
pub(super) struct Piece {
    start: *mut u8,
    index: usize,
}

// SAFETY: the piece is its owner's alone.
unsafe impl Send for Piece {}
// SAFETY: a shared piece gives out its address only.
unsafe impl Sync for Piece {}

impl Piece {
    /// A piece, unless all are taken or the host has none to give.
    pub(super) fn take() -> Option<Self> {
        let pool = POOL.get_or_init(Pool::reserve).as_ref()?;
        let index = pool.free.lock().ok()?.pop()?;
        let start = (pool.start + index * PIECE) as *mut u8;
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        // SAFETY: the piece lies in the reserved range, and nobody else has it.
        let refused = unsafe { libc::mprotect(start.cast(), PIECE, all) } != 0;
        let piece = Self { start, index };
        // A hardened host does not give memory that is both; the interpreter does without. Dropping the
        // piece gives it back.
        (!refused).then_some(piece)
    }

    /// Its first byte.
    pub(super) fn start(&self) -> *mut u8 {
        self.start
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: the piece is ours; its content goes back to the host.
        unsafe {
            libc::madvise(self.start.cast(), PIECE, libc::MADV_DONTNEED);
            libc::mprotect(self.start.cast(), PIECE, libc::PROT_NONE);
        }
        if let Some(Some(pool)) = POOL.get()
            && let Ok(mut free) = pool.free.lock()
        {
            free.push(self.index);
        }
    }
}

impl Pool {
    /// Reserves the range near the program.
    fn reserve() -> Option<Self> {
        let program = Self::reserve as *const () as usize;
        // Below the program there is usually nothing, above it is the heap.
        let below = (1..8).map(|n| program.checked_sub(RANGE + n * (1 << 27)));
        let above = (1..8).map(|n| program.checked_add(n * (1 << 27)));
        below
            .chain(above)
            .flatten()
            .find_map(|wish| Self::reserve_at(wish & !(PIECE - 1), program))
    }

    fn reserve_at(wish: usize, program: usize) -> Option<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let flags = flags | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a new mapping at an address where there is none.
        let start = unsafe { libc::mmap(wish as *mut _, RANGE, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        let first = start as usize;
        let far = first
            .abs_diff(program)
            .max((first + RANGE).abs_diff(program));
        if far > REACH || !first.is_multiple_of(PIECE) {
            // SAFETY: the mapping was just made, and nobody knows of it.
            unsafe { libc::munmap(start, RANGE) };
            return None;
        }
        Some(Self {
            start: first,
            free: Mutex::new((0..RANGE / PIECE).rev().collect()),
        })
    }
}
