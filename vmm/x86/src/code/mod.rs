//! DecodedBlock code: basic blocks, and what finds them by physical address.

mod arena;
mod build;
mod cache;
mod decoded;

pub(crate) use build::{build, cut, text};
pub(crate) use cache::Blocks;
pub(crate) use decoded::DecodedBlock;
