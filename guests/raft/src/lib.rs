//! A replicated key-value store to be tested.
