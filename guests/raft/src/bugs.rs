//! The planted bugs. All are off unless the environment variable `RAFT_BUG` names one.

use std::str::FromStr;

/// A planted bug. Each breaks a property that the tests name; each is a line or two of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A leader commits entries of former terms by counting copies, and starts its term without an
    /// entry of its own (figure 8 of the Raft paper).
    Fig8Commit,
    /// A follower keeps its own entries where the leader's differ.
    SkipTruncate,
    /// A follower takes entries from a leader whose term has passed.
    AcceptStaleTerm,
    /// A leader doesn't mind that there is a higher term.
    LeaderNoStepdown,
    /// A node votes for everyone who asks.
    DoubleVote,
    /// A leader commits with one copy fewer than a majority.
    PrematureCommit,
    /// Entries are acknowledged at once and flushed to the disk only now and then.
    AckBeforeFsync,
    /// A vote is forgotten by a restart.
    VoteNotPersisted,
    /// A term that was learnt from a message is forgotten by a restart.
    TermNotPersisted,
    /// A snapshot lacks the effect of the last entry that it claims to include.
    SnapshotLosesLast,
    /// Reads are served under a lease that is measured with the clock that people set.
    LeaseReadClockSkew,
    /// Recovery takes the last block of the log for good without its checksum.
    TornTailAccepted,
}

impl Bug {
    /// All of them, in the order of their names in the documentation.
    pub const ALL: [Bug; 12] = [
        Bug::Fig8Commit,
        Bug::SkipTruncate,
        Bug::AcceptStaleTerm,
        Bug::LeaderNoStepdown,
        Bug::DoubleVote,
        Bug::PrematureCommit,
        Bug::AckBeforeFsync,
        Bug::VoteNotPersisted,
        Bug::TermNotPersisted,
        Bug::SnapshotLosesLast,
        Bug::LeaseReadClockSkew,
        Bug::TornTailAccepted,
    ];

    /// The name by which `RAFT_BUG` chooses it.
    pub fn name(self) -> &'static str {
        match self {
            Bug::Fig8Commit => "fig8_commit",
            Bug::SkipTruncate => "skip_truncate",
            Bug::AcceptStaleTerm => "accept_stale_term",
            Bug::LeaderNoStepdown => "leader_no_stepdown",
            Bug::DoubleVote => "double_vote",
            Bug::PrematureCommit => "premature_commit",
            Bug::AckBeforeFsync => "ack_before_fsync",
            Bug::VoteNotPersisted => "vote_not_persisted",
            Bug::TermNotPersisted => "term_not_persisted",
            Bug::SnapshotLosesLast => "snapshot_loses_last",
            Bug::LeaseReadClockSkew => "lease_read_clock_skew",
            Bug::TornTailAccepted => "torn_tail_accepted",
        }
    }
}

/// `RAFT_BUG` holds a name that no bug has.
#[derive(Debug, thiserror::Error)]
#[error("there is no bug `{0}`; there are: {names}", names = Bug::ALL.map(Bug::name).join(", "))]
pub struct UnknownBug(String);

impl FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(name: &str) -> Result<Bug, UnknownBug> {
        let found = Bug::ALL.into_iter().find(|bug| bug.name() == name);
        found.ok_or_else(|| UnknownBug(name.to_owned()))
    }
}

/// The bug that is on, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bugs(Option<Bug>);

impl Bugs {
    /// No bug: the program as it should be.
    pub const NONE: Bugs = Bugs(None);

    /// With one bug.
    pub fn with(bug: Bug) -> Bugs {
        Bugs(Some(bug))
    }

    /// What the value of `RAFT_BUG` says: empty or absent is none.
    ///
    /// # Errors
    /// If no bug has that name.
    pub fn parse(value: Option<&str>) -> Result<Bugs, UnknownBug> {
        match value.map(str::trim) {
            None | Some("") => Ok(Bugs::NONE),
            Some(name) => Ok(Bugs::with(name.parse()?)),
        }
    }

    /// Whether this one is on.
    pub fn has(self, bug: Bug) -> bool {
        self.0 == Some(bug)
    }

    /// The name of the one that is on.
    pub fn name(self) -> &'static str {
        self.0.map_or("none", Bug::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_is_found_by_its_name_and_no_other() {
        for bug in Bug::ALL {
            let bugs = Bugs::parse(Some(bug.name())).unwrap();
            assert!(bugs.has(bug));
            assert_eq!(Bug::ALL.iter().filter(|other| bugs.has(**other)).count(), 1);
        }
    }

    #[test]
    fn no_name_is_no_bug_and_a_wrong_name_is_refused() {
        assert_eq!(Bugs::parse(None).unwrap(), Bugs::NONE);
        assert_eq!(Bugs::parse(Some(" ")).unwrap(), Bugs::NONE);
        let message = Bugs::parse(Some("fig9")).unwrap_err().to_string();
        assert!(
            message.contains("fig9") && message.contains("fig8_commit"),
            "{message}"
        );
    }
}
