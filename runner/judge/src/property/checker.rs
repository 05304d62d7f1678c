//! What every checker is: something that looks at observations and decides at the end.

use super::judgement::Judgement;
use super::observation::Observation;

/// How a run ended, as far as judging goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// World time in nanoseconds.
    pub time_ns: u64,
    /// How.
    pub how: EndKind,
}

impl End {
    /// A run that went on for as long as the scenario says.
    #[must_use]
    pub const fn completed(time_ns: u64) -> Self {
        Self {
            time_ns,
            how: EndKind::Completed,
        }
    }

    /// A run that was stopped before its end.
    #[must_use]
    pub fn cut(time_ns: u64, why: &str) -> Self {
        Self {
            time_ns,
            how: EndKind::Cut {
                why: why.to_owned(),
            },
        }
    }

    /// Why the run says nothing about what did not happen in it; nothing if it was complete.
    #[must_use]
    pub fn cut_short(&self) -> Option<String> {
        match &self.how {
            EndKind::Completed => None,
            EndKind::Cut { why } => Some(format!("the run was stopped before its end: {why}")),
            EndKind::NotReady { nodes } => Some(format!(
                "the run did not begin, because {} did not become ready",
                nodes.join(", ")
            )),
            EndKind::NeverReady { nodes } => {
                let names: Vec<&str> = nodes.iter().map(|lost| lost.node.as_str()).collect();
                Some(format!(
                    "the run did not begin, because {} could not become ready",
                    names.join(", ")
                ))
            }
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndKind {
    /// It went on for as long as the scenario says.
    Completed,
    /// It was stopped before that.
    Cut {
        /// Why, as in `another property failed` or `it was interrupted`.
        why: String,
    },
    /// Some nodes did not become ready in time.
    NotReady {
        /// Those.
        nodes: Vec<String>,
    },
    /// Some nodes could not become ready any more.
    NeverReady {
        /// Those.
        nodes: Vec<NeverReady>,
    },
}

/// A node that could not become ready any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeverReady {
    /// The node.
    pub node: String,
    /// Since when, in nanoseconds of world time.
    pub at_ns: u64,
    /// Why, as a clause that names the node.
    pub why: String,
}

/// A piece of a console's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The number of the observation with its last byte.
    pub seq: u64,
    /// World time of its last byte, or of the moment since which it rests, in nanoseconds.
    pub time_ns: u64,
    /// The node.
    pub node: &'a str,
    /// Which of the console's lines it is, from 0.
    pub number: u64,
    /// The text so far, without its end. Bytes that are no UTF-8 are replaced.
    pub text: &'a str,
    /// Whether the line's beginning was in an earlier piece, because the line is very long.
    pub continued: bool,
    /// Whether nothing more can be added to this piece. What is not ended comes again, longer.
    pub ended: bool,
    /// Whether it has ended, or nothing has followed for a while, as with a prompt.
    pub rests: bool,
}

/// A checker of one property, or of one family of assertions.
///
/// It is told everything in the order of time, and keeps what it needs. Memory is bounded for
/// whatever a guest sends, except that histories are kept up to a stated number of operations.
pub trait Checker: CloneChecker + Send {
    /// Something happened. Time has been told by [`Checker::advance`] before.
    fn observe(&mut self, seen: &Observation<'_>);

    /// A console got on.
    fn line(&mut self, _line: &Line<'_>) {}

    /// It is now this time; what should have happened before has not.
    fn advance(&mut self, _now_ns: u64) {}

    /// Whether it is certain that the property is violated.
    fn has_failed(&self) -> bool;

    /// Decides. The run is over.
    fn finish(&mut self, end: &End) -> Vec<Judgement>;
}

/// Checkers can be copied, since runs are forked.
pub trait CloneChecker {
    /// A copy with the same state.
    fn boxed_clone(&self) -> Box<dyn Checker>;
}

impl<T: Checker + Clone + 'static> CloneChecker for T {
    fn boxed_clone(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Checker> {
    fn clone(&self) -> Self {
        self.as_ref().boxed_clone()
    }
}
