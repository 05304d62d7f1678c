//! What is against a rule for good, and why.

use crate::allowed::Allowed;

/// Findings that are let through. There is none: rules say themselves what they are not about.
pub const EXCEPTIONS: &[Allowed] = &[];
