//! KDL 2.0 into the document tree, and back into a tidy text.
//!
//! The `kdl` crate reads about 1 MB/s; a scenario of 1,000 nodes and 10,000 faults would take it
//! half a second. This reader follows the same specification (<https://kdl.dev/spec/>, version 2.0.0),
//! is bounded in depth, goes on after a mistake, and can say what a person meant. The tests hold it
//! against the crate, and so does each reading of a text of ordinary length: see `arbiter.rs`.

mod arbiter;
mod format;
mod lexer;
mod parser;
mod strings;

pub use arbiter::arbitrate;
pub use format::format;
pub use parser::parse;
