//! One plan, one tape, one world: a run, from power-on to its outcome.
//!
//! A run is a loop over virtual time. The world runs a window; what it did becomes observations, which
//! go to the judges, to the director and to the record; and what the director decides goes back to the
//! world. Nothing here looks at the host's clock: whoever watches the run may, and may end it.

mod allowance;
pub mod campaign;
pub mod cluster;
pub mod compare;
pub mod director;
mod drive;
mod faults;
mod jumps;
mod lines;
mod lives;
mod mind;
mod notes;
mod outcome;
mod prospects;
mod readiness;
mod record;
pub mod report;

pub use drive::{Progress, RunError, Setup, Unwatched, Watch, run};
pub use jumps::run_with_jumps;
pub use outcome::{End, Lost, Outcome};
