//! Tests of the primitives.

mod approximation;
mod coverage;
mod exceptions;
mod inputs;
mod native;
mod processor;
mod strings;
