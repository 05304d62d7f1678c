//! Tests of the primitives.

mod coverage;
