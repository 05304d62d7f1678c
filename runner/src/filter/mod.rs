//! Which scenarios to run: filtersets, partitions and seeds.
//!
//! A filterset is an expression in the style of nextest's: predicates such as `tag(slow)` joined by
//! `and`, `or` and `not`. It is parsed by a small parser of its own, which bounds depth and length,
//! because an expression may come from a CI system's configuration.

mod error;
mod expression;
mod lexer;
mod matcher;
mod parser;
mod partition;
mod seeds;
mod selection;

pub use error::FilterError;
pub use expression::{Filter, Predicate, Subject};
pub use partition::{Partition, PartitionError};
pub use seeds::{SeedError, Seeds};
pub use selection::{Selection, Selector};
