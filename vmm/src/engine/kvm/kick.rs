//! Gets a thread out of the guest after some time, so that a guest that never exits is noticed.
//!
//! Nothing here decides what a guest sees: the timer's only effect is a look at how long the guest has
//! been away. Time is counted as processor time of the thread, so that a busy host does not make a
//! guest look stuck; a vCPU that hangs asleep is noticed by the time on the clock, ten times as long.

use std::cell::Cell;
use std::ptr::null_mut;

use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};

use super::host::HostError;

/// Nanoseconds between two looks.
const TICK: i64 = 50_000_000;

thread_local! {
    /// The `immediate_exit` byte of the vCPU that this thread runs, if it runs one.
    static EXIT: Cell<*mut u8> = const { Cell::new(null_mut()) };
    static TIMER: Timer = Timer::new();
}

/// The signal that the timer sends. Real-time signals are not used by the standard library.
fn signal() -> libc::c_int {
    libc::SIGRTMIN() + 5
}

/// Makes the next entry into the guest return at once, which covers the moment between the last look
/// at the clock and that entry. A signal inside of the guest interrupts it by itself.
extern "C" fn on_signal(_: libc::c_int) {
    let exit = EXIT.get();
    if !exit.is_null() {
        // SAFETY: `Watch` sets the pointer to a mapped byte for as long as the vCPU is borrowed, and
        // the handler runs on the same thread.
        unsafe { exit.write_volatile(1) };
    }
}

/// The timer of one thread. It is libc's: rustix has neither handlers of signals nor timers that send them
/// to a thread.
struct Timer(Option<libc::timer_t>);

impl Timer {
    fn new() -> Self {
        // SAFETY: `sigaction` and `sigevent` are plain data for which zeros are valid; the handler only
        // does what a signal handler may; the pointers are to live locals.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            // Other system calls of the thread go on by themselves; KVM_RUN returns in any case.
            action.sa_flags = libc::SA_RESTART;
            if libc::sigaction(signal(), &action, null_mut()) != 0 {
                return Self(None);
            }
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal();
            event.sigev_notify_thread_id = gettid().as_raw_nonzero().get();
            let mut timer = null_mut();
            let made = libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) == 0;
            Self(made.then_some(timer))
        }
    }

    fn set(&self, nanos: i64) -> bool {
        let Some(timer) = self.0 else {
            return false;
        };
        let interval = libc::timespec {
            tv_sec: 0,
            tv_nsec: nanos,
        };
        let spec = libc::itimerspec {
            it_interval: interval,
            it_value: interval,
        };
        // SAFETY: the timer exists, and `spec` lives through the call.
        unsafe { libc::timer_settime(timer, 0, &spec, null_mut()) == 0 }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(timer) = self.0 {
            // SAFETY: the timer exists and is not used after this.
            unsafe { libc::timer_delete(timer) };
        }
    }
}

/// Nanoseconds on one of the host's clocks.
fn nanos(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// A moment on the host's clocks.
#[derive(Debug, Clone, Copy)]
struct Moment {
    processor: u64,
    clock: u64,
}

impl Moment {
    fn now() -> Self {
        Self {
            processor: nanos(ClockId::ThreadCPUTime),
            clock: nanos(ClockId::Monotonic),
        }
    }
}

/// Interrupts the guest of one vCPU now and then for as long as it lives.
pub(super) struct Watch {
    patience: u64,
    /// When the guest was first found not to have exited since the last time that it did.
    away: Option<Moment>,
}

impl Watch {
    /// Starts to watch. `exit` is the vCPU's `immediate_exit` and must stay mapped as long as the result
    /// lives; a guest may be away for `patience_ms` milliseconds.
    ///
    /// # Errors
    /// If the host has no timer for it.
    pub(super) fn start(exit: *mut u8, patience_ms: u64) -> Result<Self, HostError> {
        let patience = patience_ms.saturating_mul(1_000_000);
        let tick = i64::try_from(patience / 2)
            .unwrap_or(TICK)
            .clamp(1_000_000, TICK);
        EXIT.set(exit);
        if TIMER.with(|timer| timer.set(tick)) {
            Ok(Self {
                patience,
                away: None,
            })
        } else {
            EXIT.set(null_mut());
            Err(HostError::Call {
                what: "have a timer",
                why: std::io::Error::last_os_error().to_string(),
            })
        }
    }

    /// The guest exited by itself.
    pub(super) fn exited(&mut self) {
        self.away = None;
    }

    /// The guest was interrupted. Returns for how many milliseconds it has been away if that is too
    /// long.
    pub(super) fn interrupted(&mut self) -> Option<u64> {
        let now = Moment::now();
        let since = *self.away.get_or_insert(now);
        let processor = now.processor.saturating_sub(since.processor);
        let clock = now.clock.saturating_sub(since.clock);
        let stuck = processor >= self.patience || clock >= self.patience.saturating_mul(10);
        stuck.then_some(processor.max(clock) / 1_000_000)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        TIMER.with(|timer| timer.set(0));
        EXIT.set(null_mut());
    }
}
