//! Decoded code: basic blocks, and what finds them by physical address.

mod arena;
mod block;
mod build;
mod cache;

pub(crate) use block::{Block, Decoded, Extra, Rare, Shape};
pub(crate) use build::{build, cut, text};
pub(crate) use cache::Blocks;
