//! The flags that select scenarios, shared by every subcommand that takes scenario files.

use super::error::FilterError;
use super::expression::{Filter, Subject};
use super::partition::Partition;
use crate::plan::Plan;

/// Which of the scenarios are meant.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Selection {
    /// Only scenarios that this filterset selects, e.g. `tag(slow) and not fault(kill)`.
    ///
    /// The predicates are scenario(), tag(), property(), fault() and node(); their arguments are
    /// ~part, =exact, #glob* or /regex/. They are joined by `and`, `or`, `not`, `-` and parentheses.
    /// Given several times, one of the filtersets has to select a scenario.
    #[arg(short = 'E', long = "filterset", value_name = "EXPRESSION")]
    filtersets: Vec<String>,
    /// Only one share of the scenarios, `hash:1/4` or `slice:1/4`, for several CI jobs.
    #[arg(long, value_name = "SHARE")]
    partition: Option<Partition>,
}

/// Flags that were parsed.
#[derive(Debug, Clone)]
pub struct Selector {
    filters: Vec<Filter>,
    partition: Option<Partition>,
}

impl Selection {
    /// Parses the filtersets.
    ///
    /// # Errors
    /// The first filterset that is not valid.
    pub fn parse(&self) -> Result<Selector, FilterError> {
        let filters: Result<Vec<Filter>, FilterError> = self
            .filtersets
            .iter()
            .map(|text| Filter::parse(text))
            .collect();
        Ok(Selector {
            filters: filters?,
            partition: self.partition,
        })
    }
}

impl Selector {
    /// Keeps what is selected, in order. `subject` says what there is to know about an item.
    ///
    /// A share is cut from what the filtersets select, so that the shares stay of similar size.
    pub fn select<T>(&self, items: Vec<T>, subject: impl Fn(&T) -> Subject) -> Vec<T> {
        let mut index = 0;
        let mut chosen = Vec::new();
        for item in items {
            let subject = subject(&item);
            let wanted =
                self.filters.is_empty() || self.filters.iter().any(|f| f.matches(&subject));
            if !wanted {
                continue;
            }
            let mine = self
                .partition
                .is_none_or(|share| share.contains(&subject.scenario, index));
            index += 1;
            if mine {
                chosen.push(item);
            }
        }
        chosen
    }
}

impl Subject {
    /// What a plan tells about its scenario.
    pub fn of_plan(plan: &Plan) -> Self {
        let mut tags: Vec<String> = plan.tags.clone();
        tags.extend(plan.nodes.iter().flat_map(|node| node.tags.iter().cloned()));
        let scheduled = plan
            .faults
            .schedule
            .iter()
            .flat_map(|scheduled| &scheduled.faults);
        let mut faults: Vec<String> = scheduled
            .map(|fault| fault.action.kind().name().to_owned())
            .collect();
        faults.extend(
            plan.faults
                .random
                .iter()
                .flat_map(|generator| &generator.kinds)
                .map(|kind| kind.name().to_owned()),
        );
        Self {
            scenario: title(plan),
            tags: distinct(tags),
            properties: plan
                .properties
                .iter()
                .map(|property| property.name.clone())
                .collect(),
            faults: distinct(faults),
            nodes: plan.nodes.iter().map(|node| node.name.clone()).collect(),
        }
    }
}

/// The scenario's name, with the combination of its matrix.
fn title(plan: &Plan) -> String {
    if plan.variant.is_empty() {
        return plan.name.clone();
    }
    format!("{}[{}]", plan.name, plan.variant)
}

fn distinct(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &&str) -> Subject {
        Subject {
            scenario: (*name).to_owned(),
            ..Subject::default()
        }
    }

    fn select(selection: &Selection) -> Vec<&'static str> {
        let names = vec!["raft", "raft-disk", "boot", "queue"];
        selection.parse().expect("it is valid").select(names, named)
    }

    #[test]
    fn several_filtersets_are_joined_by_or() {
        let filtersets = vec!["scenario(=boot)".to_owned(), "scenario(=queue)".to_owned()];
        assert_eq!(
            select(&Selection {
                filtersets,
                partition: None
            }),
            ["boot", "queue"]
        );
    }

    #[test]
    fn slices_count_only_what_the_filterset_selects() {
        let filtersets = vec!["scenario(raft) or scenario(queue)".to_owned()];
        let partition = "slice:2/3".parse().ok();
        assert_eq!(
            select(&Selection {
                filtersets,
                partition
            }),
            ["raft-disk"]
        );
    }

    #[test]
    fn without_flags_everything_is_selected() {
        assert_eq!(select(&Selection::default()).len(), 4);
    }
}
