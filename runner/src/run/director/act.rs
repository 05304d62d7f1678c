//! A fault from its beginning to its end: whether it may begin, what it did, and what is undone.

use super::agenda::Item;
use super::prepare::Prepared;
use super::{Active, Deed, Director, Stage};
use crate::outcome::event::Fault as FaultEvent;
use crate::plan::fault::{Action, Fault};
use crate::plan::model::Range;

impl Director<'_> {
    /// Starts a fault, if somebody can be hit and the budget allows it.
    pub(super) fn try_start(&mut self, at: u64, fault: &Fault) -> bool {
        let name = fault.name.clone();
        let Some(prepared) = self.prepare(&name, &fault.action) else {
            return false;
        };
        let (active, down) = (self.active.len(), self.nodes.down());
        if !self.ledger.allows(at, &prepared.cost, active, &down) {
            // Without this, a fault that only the gap forbids would wait for the end of another.
            if let Some(calm) = self.ledger.calm_from().filter(|calm| *calm > at) {
                self.agenda.add(calm, Item::Retry);
            }
            return false;
        }
        let duration = fault
            .duration
            .as_ref()
            .map(|range| self.draw_range(&name, range));
        self.begin(at, &name, &fault.action, prepared, duration);
        true
    }

    fn begin(
        &mut self,
        at: u64,
        source: &str,
        action: &Action,
        prepared: Prepared,
        duration: Option<u64>,
    ) {
        let id = self.fresh_id();
        let event = self.event(action, &prepared, duration);
        let (record, fault) = (self.deeds.len(), event.clone());
        self.follow_up(id, source, &prepared, &event);
        let missed = prepared.missed;
        self.ledger.begin(at, id, prepared.cost);
        self.last_fault = Some(self.last_fault.map_or(at, |last| last.max(at)));
        self.active.insert(
            id,
            Active {
                source: source.to_owned(),
                event: event.clone(),
                undo: Vec::new(),
            },
        );
        let mut undo = Vec::new();
        for effect in prepared.effects {
            undo.extend(self.perform(at, id, effect));
        }
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        active.undo = undo;
        let over = active.undo.is_empty();
        if over {
            self.active.remove(&id);
            self.ledger.end(id);
        } else if let Some(duration) = duration {
            self.agenda.add(at.saturating_add(duration), Item::End(id));
        }
        // The record comes before what is done, and only now it is known whether that lasts.
        let stage = if over { Stage::Moment } else { Stage::Begin };
        let source = source.to_owned();
        self.deeds.insert(
            record,
            Deed::Record {
                id,
                source,
                stage,
                fault,
            },
        );
        for node in missed {
            let why = "it did not take commands";
            self.record_without_effect(id, node, why, false);
        }
    }

    /// Ends a fault and undoes what it did.
    pub(super) fn end(&mut self, at: u64, id: u64) {
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        for undo in std::mem::take(&mut active.undo) {
            self.undo(id, undo);
        }
        self.finish(id);
        self.last_fault = Some(at);
        self.retry(at);
    }

    /// Takes a fault of which nothing is left to undo from the list.
    pub(super) fn finish(&mut self, id: u64) {
        if let Some(Active { source, event, .. }) = self.active.remove(&id) {
            self.ledger.end(id);
            self.deeds.push(Deed::Record {
                id,
                source,
                stage: Stage::End,
                fault: event,
            });
        }
    }

    pub(super) fn leave_out(&mut self, source: &str, action: &Action) {
        let fault = self.event(action, &Prepared::default(), None);
        let id = self.fresh_id();
        self.deeds.push(Deed::Record {
            id,
            source: source.to_owned(),
            stage: Stage::LeftOut,
            fault,
        });
    }

    fn event(&self, action: &Action, prepared: &Prepared, duration: Option<u64>) -> FaultEvent {
        let kind = action.kind();
        let names: Vec<&str> = prepared
            .hit
            .iter()
            .map(|node| self.plan.nodes[*node].name.as_str())
            .collect();
        let mut event = FaultEvent::new(kind.name(), kind.family().name(), &names);
        for (name, value) in &prepared.details {
            event = event.with(name, value.clone());
        }
        match duration {
            Some(duration) => event.lasting(duration),
            None => event,
        }
    }

    pub(super) fn draw_range(&mut self, name: &str, range: &Range) -> u64 {
        self.stream(name).range(range.min_ns, range.max_ns)
    }
}
