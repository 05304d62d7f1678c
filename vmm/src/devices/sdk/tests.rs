//! Tests of the SDK port.
