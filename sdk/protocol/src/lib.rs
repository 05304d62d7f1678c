//! The messages between guests and chaosrun.
