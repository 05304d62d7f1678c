//! The meaning of a filterset.

use super::matcher::{Matcher, Operator};

/// What a filterset looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The scenario's name.
    pub scenario: String,
    /// Its tags, and those of its nodes.
    pub tags: Vec<String>,
    /// The names of its properties.
    pub properties: Vec<String>,
    /// The kinds of its faults, as in `partition`.
    pub faults: Vec<String>,
    /// The names of its nodes.
    pub nodes: Vec<String>,
}

/// What a predicate compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predicate {
    /// `scenario(…)`: the scenario's name.
    Scenario,
    /// `tag(…)`: one of its tags.
    Tag,
    /// `property(…)`: the name of one of its properties.
    Property,
    /// `fault(…)`: the kind of one of its faults.
    Fault,
    /// `node(…)`: the name of one of its nodes.
    Node,
}

impl Predicate {
    /// All predicates.
    pub const ALL: [Self; 5] = [
        Self::Scenario,
        Self::Tag,
        Self::Property,
        Self::Fault,
        Self::Node,
    ];

    /// The word for it in a filterset.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scenario => "scenario",
            Self::Tag => "tag",
            Self::Property => "property",
            Self::Fault => "fault",
            Self::Node => "node",
        }
    }

    /// How it compares if the filterset doesn't say. Names are sentences and are searched in; tags
    /// and faults are single words and are compared whole; nodes come in numbered families.
    pub(super) const fn default_operator(self) -> Operator {
        match self {
            Self::Scenario | Self::Property => Operator::Contains,
            Self::Tag | Self::Fault => Operator::Equals,
            Self::Node => Operator::Glob,
        }
    }

    fn values(self, subject: &Subject) -> &[String] {
        match self {
            Self::Scenario => std::slice::from_ref(&subject.scenario),
            Self::Tag => &subject.tags,
            Self::Property => &subject.properties,
            Self::Fault => &subject.faults,
            Self::Node => &subject.nodes,
        }
    }
}

/// One node of an expression. Chains of one operator are flat, so that only parentheses and `not`
/// nest, whose depth the parser bounds.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    All,
    None,
    Any(Vec<Self>),
    Every(Vec<Self>),
    Not(Box<Self>),
    Test(Predicate, Matcher),
}

impl Expression {
    fn matches(&self, subject: &Subject) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Any(parts) => parts.iter().any(|part| part.matches(subject)),
            Self::Every(parts) => parts.iter().all(|part| part.matches(subject)),
            Self::Not(inner) => !inner.matches(subject),
            Self::Test(predicate, matcher) => predicate
                .values(subject)
                .iter()
                .any(|value| matcher.matches(value)),
        }
    }
}

/// A parsed filterset.
#[derive(Debug, Clone)]
pub struct Filter {
    pub(super) root: Expression,
}

impl Filter {
    /// Whether the filterset selects a subject.
    pub fn matches(&self, subject: &Subject) -> bool {
        self.root.matches(subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raft() -> Subject {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Subject {
            scenario: "raft-partition".to_owned(),
            tags: list(&["slow", "network"]),
            properties: list(&["election safety", "kv is linearizable"]),
            faults: list(&["partition", "kill"]),
            nodes: list(&["n1", "n2", "client"]),
        }
    }

    fn selects(filter: &str) -> bool {
        Filter::parse(filter).expect(filter).matches(&raft())
    }

    #[test]
    fn each_predicate_has_the_default_operator_that_suits_it() {
        assert!(selects("scenario(raft)"));
        assert!(selects("property(safety)"));
        assert!(selects("tag(slow)") && !selects("tag(slo)"));
        assert!(selects("fault(kill)") && !selects("fault(kil)"));
        assert!(selects("node(n*)") && !selects("node(lient)"));
    }

    #[test]
    fn operators_override_the_default() {
        assert!(!selects("scenario(=raft)") && selects("scenario(=raft-partition)"));
        assert!(selects("tag(~slo)") && selects("tag(#{fast,slow})"));
        assert!(selects("scenario(/^raft-.*n$/)") && !selects("scenario(/^partition/)"));
        assert!(selects("node(#n[1-3])") && !selects("node(#n[!12])"));
    }

    #[test]
    fn words_and_signs_mean_the_same() {
        for or in ["or", "|", "+"] {
            assert!(selects(&format!("tag(fast) {or} tag(slow)")), "{or}");
        }
        for and in ["and", "&"] {
            assert!(!selects(&format!("tag(fast) {and} tag(slow)")), "{and}");
        }
        assert!(selects("not tag(fast)") && selects("!tag(fast)") && selects("! ! tag(slow)"));
        assert!(selects("all() - tag(fast)") && !selects("all() - tag(slow)"));
        assert!(!selects("none()"));
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_tighter_than_both() {
        assert!(selects("all() or none() and none()"));
        assert!(!selects("(all() or none()) and none()"));
        assert!(selects("not none() and all()"));
        assert!(!selects("not (none() or all())"));
    }

    #[test]
    fn a_parenthesis_can_be_escaped() {
        let subject = Subject {
            scenario: "a(b)c".to_owned(),
            ..Subject::default()
        };
        let filter = Filter::parse(r"scenario(=a\(b\)c)").expect("it is escaped");
        assert!(filter.matches(&subject));
    }
}
