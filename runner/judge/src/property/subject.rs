//! What `always`, `never`, `sometimes` and `eventually` are about: an SDK assertion or consoles.

use std::collections::BTreeSet;

use serde_json::Value;

use super::checker::Line;
use super::judgement::{Judgement, Seen, file_location};
use super::observation::{
    AssertionHit, AssertionKind, AssertionSite, Observation, ObservationKind,
};
use super::pattern::Matcher;
use crate::outcome::FileLocation;

/// An SDK assertion or consoles.
#[derive(Debug, Clone)]
pub enum Watched {
    /// The SDK assertions with a message.
    Assertion(Assertion),
    /// The consoles of some nodes.
    Console {
        /// What is looked for.
        matcher: Matcher,
        /// The nodes.
        nodes: BTreeSet<String>,
    },
}

impl Watched {
    /// Whether a line shows what is looked for; `None` if this is not about the line's console.
    #[must_use]
    pub fn is_in(&self, line: &Line<'_>) -> Option<bool> {
        match self {
            Self::Console { matcher, nodes } if nodes.contains(line.node) => {
                Some(matcher.is_in(line))
            }
            _ => None,
        }
    }
}

/// What is known of the SDK assertions with one message.
#[derive(Debug, Clone)]
pub struct Assertion {
    message: String,
    site: Option<AssertionSite>,
}

impl Assertion {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(message: &str) -> Self {
        Self {
            message: message.to_owned(),
            site: None,
        }
    }

    /// Follows what the guests say; hands out an evaluation of this assertion.
    pub fn observe<'o>(&mut self, seen: &'o Observation<'_>) -> Option<&'o AssertionHit> {
        let (site, hit) = match &seen.kind {
            ObservationKind::Catalog(site) => (site, None),
            ObservationKind::Assert(hit) => (&hit.site, Some(hit)),
            _ => return None,
        };
        if site.message != self.message {
            return None;
        }
        if self.site.is_none() {
            self.site = Some(site.clone());
        }
        hit
    }

    /// What the guest's source asks for, if a guest has the assertion.
    #[must_use]
    pub fn kind(&self) -> Option<AssertionKind> {
        self.site.as_ref().map(|site| site.kind)
    }

    /// Where the guest's source declares it.
    #[must_use]
    pub fn location(&self) -> Option<FileLocation> {
        let location = self.site.as_ref()?.location.as_ref()?;
        Some(file_location(location))
    }

    /// Why it was never seen: it was never reached, or no guest has it.
    #[must_use]
    pub fn absence(&self) -> &'static str {
        if self.site.is_some() {
            "it was never reached"
        } else {
            "no guest has an assertion with this message"
        }
    }
}

/// Where an evaluation was seen, with what the guest said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    /// When and where.
    pub seen: Seen,
    /// A word for the text.
    pub label: &'static str,
    /// What was said, or the line of the console.
    pub text: String,
}

impl Sight {
    /// An evaluation.
    #[must_use]
    pub fn of_hit(observation: &Observation<'_>, hit: &AssertionHit) -> Self {
        Self {
            seen: Seen::of(observation),
            label: "details",
            text: details(&hit.details),
        }
    }

    /// A line.
    #[must_use]
    pub fn of_line(line: &super::checker::Line<'_>) -> Self {
        let seen = Seen {
            seq: line.seq,
            time_ns: line.time_ns,
            node: Some(line.node.to_owned()),
        };
        Self {
            seen,
            label: "console",
            text: line.text.to_owned(),
        }
    }

    /// Puts it into a judgement.
    #[must_use]
    pub fn show(&self, judgement: Judgement) -> Judgement {
        judgement.seen(&self.seen).evidence(self.label, &*self.text)
    }
}

/// What a guest says about something, as readable JSON; empty if it says nothing.
#[must_use]
pub fn details(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(map) if map.is_empty() => String::new(),
        _ => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}
