//! Properties: what a run is judged by.
//!
//! A [`observation::Observation`] is one thing that happened. The run feeds them to the judge in
//! the order of virtual time, and gets verdicts at the end.

pub mod observation;
