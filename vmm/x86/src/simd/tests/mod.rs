//! Tests of the primitives.

mod approximation;
mod coverage;
mod dot;
mod exceptions;
mod golden;
mod inputs;
mod native;
mod processor;
mod strings;
