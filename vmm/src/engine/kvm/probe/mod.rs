//! What this host's KVM really does.

/// What a guest on this engine gets from the host's processor without anybody in between.
pub const NATIVE: [&str; 1] =
    ["RDTSC reads the host's time stamp counter: no stock KVM lets a program trap it"];

/// Whether KVM leaves the guest at the very instruction at which interrupts become acceptable.
pub(super) fn windows_are_exact() -> bool {
    false
}
