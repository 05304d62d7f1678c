//! Scenarios: text in KDL or TOML, checked, with every value's place kept.
//!
//! The way of a file: [`source`] reads it, [`kdl`] or [`toml`] parses it into one [`tree`],
//! [`shape`] checks that against the [`vocab`] and makes [`block::Block`]s of it, [`load`] joins the
//! included files and [`variant`] makes one scenario per combination of the matrix. What names refer
//! to is the business of [`crate::plan`].

pub mod block;
pub mod codes;
pub mod diag;
pub mod fuzz;
pub mod kdl;
mod load;
pub mod print;
pub mod scalar;
mod shape;
pub mod source;
pub mod suggest;
pub mod toml;
pub mod toml_format;
pub mod tree;
pub mod units;
mod values;
mod variant;
pub mod vocab;
pub mod wording;

pub use load::{Loaded, Scenario, load, load_found, load_text};
pub use wording::{describe, example_value};
