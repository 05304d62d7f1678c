//! How much was done, for tests and for whoever wants to know whether it pays.

/// What a machine did with compiled code since it was made. It depends on what other machines did, too,
/// and has no effect on any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeCounts {
    /// Blocks that it compiled.
    pub compiled: u64,
    /// Blocks of its own that got compiled code, its own or another machine's.
    pub adopted: u64,
    /// Pages that it bound to pages of the store.
    pub bound: u64,
    /// Pages that it unbound, because they were written to.
    pub unbound: u64,
    /// Times that the store had forgotten all code.
    pub starts_over: u64,
    /// Returns that arrived behind another call than their own.
    pub foreign_returns: u64,
    /// Landings that were forgotten because a page was unbound.
    pub landings_forgotten: u64,
}
