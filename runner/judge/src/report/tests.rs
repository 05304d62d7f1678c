//! Tests of the writers on the sample reports.

mod junit_schema;
mod writers;
