//! What a program under test tells chaosrun, and asks of it.
