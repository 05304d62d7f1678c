//! Tests of the disk model.
