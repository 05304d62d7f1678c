//! Ends what would not end: a timer whose signal goes to the thread that runs a case.

use std::time::Duration;

use iced_x86::Code;

/// A case that the processor did not end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hang {
    /// The form of its instruction.
    pub form: Code,
    /// How long it was waited for.
    pub patience: Duration,
}

impl std::fmt::Display for Hang {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { form, patience } = self;
        write!(
            f,
            "the processor did not end `{form:?}` within {patience:?}"
        )
    }
}

/// A timer of the thread that made it. The handler of SIGALRM decides what its signal does.
pub struct Watchdog(libc::timer_t);

/// How soon the signal comes again, should it have come a moment too early.
const AGAIN: Duration = Duration::from_secs(1);

impl Watchdog {
    pub fn new() -> Self {
        let mut timer = std::ptr::null_mut();
        // SAFETY: the event is plain data, and the system call writes nothing but the timer's name.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = libc::SIGALRM;
            event.sigev_notify_thread_id = libc::gettid();
            let made = libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer);
            assert_eq!(made, 0, "the host refuses a timer");
        }
        Self(timer)
    }

    /// Has the signal come after `patience`, and again and again from then on.
    pub fn start(&mut self, patience: Duration) {
        self.set(patience, AGAIN);
    }

    /// Has it not come any more.
    pub fn stop(&mut self) {
        self.set(Duration::ZERO, Duration::ZERO);
    }

    fn set(&mut self, first: Duration, again: Duration) {
        let time = |duration: Duration| libc::timespec {
            tv_sec: duration.as_secs() as libc::time_t,
            tv_nsec: duration.subsec_nanos().into(),
        };
        let times = libc::itimerspec {
            it_value: time(first),
            it_interval: time(again),
        };
        // SAFETY: the timer exists as long as `self`, and the times are only read.
        let set = unsafe { libc::timer_settime(self.0, 0, &raw const times, std::ptr::null_mut()) };
        assert_eq!(set, 0, "the host refuses to set a timer");
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // SAFETY: nobody uses the timer any more.
        unsafe { libc::timer_delete(self.0) };
    }
}
