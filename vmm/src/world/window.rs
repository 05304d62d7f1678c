//! Lockstep: how far nodes may run without hearing of each other, and what happens at the end.
//!
//! No frame can arrive before its sender has sent it and the link's latency has passed. So all nodes
//! can run, each by itself, up to the least moment at which a frame could arrive that none of them
//! has sent yet. Then what they gave out is merged in the order of time, node and number, and frames
//! go through the fabric in that order. Where windows end makes no difference to the result: a frame
//! that a node sent at or behind the end, within its last instruction, waits for the next window.

use std::sync::Arc;

use super::fabric::Arrival;
use super::node::{Node, Status};
use super::pool::{Done, Job};
use super::{World, WorldError, WorldEvent, WorldEventKind};
use crate::invariant::invariant;
use crate::machine::{Input, Output, OutputKind, Stop};
use crate::time::VirtTime;

/// The longest that any node runs at once, in nanoseconds, even if no frame can reach it.
pub const WINDOW_MAX_NS: u64 = 10_000_000;

/// Something that a node gave out and that has not been merged yet, by world time, node and number.
#[derive(Clone)]
pub(super) struct Pending {
    pub time: VirtTime,
    pub node: usize,
    pub number: u64,
    pub what: Emission,
}

/// What a node gave out.
#[derive(Clone)]
pub(super) enum Emission {
    Frame { nic: usize, bytes: Vec<u8> },
    Event(WorldEventKind),
}

impl World {
    /// Runs all nodes up to the end of one window, at most to `until`. World time is then at its end.
    ///
    /// # Errors
    /// If an engine failed; that node is then down, and the others have run. The world can go on.
    pub fn step(&mut self, until: VirtTime) -> Result<(), WorldError> {
        self.check()?;
        if until <= self.now {
            return Ok(());
        }
        let end = self.horizon(until);
        // A window of no length would be the same one for ever.
        assert!(
            self.now < end && end <= until,
            "a window from {:?} to {end:?}, within {until:?}",
            self.now
        );
        let jobs = self.prepare(end);
        // Code can only settle while none is executed, which hardly ever happens once several threads run.
        self.code.settle_waiting();
        let done = self.pool.run(jobs);
        let mut result = Ok(());
        for done in done {
            result = result.and(self.absorb(done));
        }
        self.now = end;
        self.merge();
        self.settle_late();
        result
    }

    /// The end of the next window.
    fn horizon(&mut self, until: VirtTime) -> VirtTime {
        self.look_ahead();
        let mut end = until;
        self.earliest.clear();
        self.earliest.extend(self.nodes.iter().map(Node::earliest));
        for (index, own) in self.earliest.iter().enumerate() {
            let Some(own) = *own else {
                continue;
            };
            let arrival = self.fabric.next_arrival(index);
            let earliest = arrival
                .map_or(own, |arrival| own.min(arrival))
                .max(self.now);
            let reach = self.reach[index]
                .unwrap_or(WINDOW_MAX_NS)
                .min(WINDOW_MAX_NS);
            end = end.min(earliest.after(reach));
        }
        for pending in &self.pending {
            if let (Emission::Frame { .. }, Some(reach)) = (&pending.what, self.reach[pending.node])
            {
                end = end.min(pending.time.after(reach));
            }
        }
        end
    }

    /// Finds for each node how soon a frame from it can be at another node that runs.
    fn look_ahead(&mut self) {
        if !self.lifecycle_changed {
            return;
        }
        self.lifecycle_changed = false;
        let (nodes, fabric) = (&self.nodes, &self.fabric);
        let runs = |node: usize| nodes[node].status() == Status::Running;
        self.reach = (0..nodes.len())
            .map(|node| fabric.lookahead(node, runs))
            .collect();
    }

    /// Hands out the frames that arrive before `end`, which is the [`Self::horizon`], and collects the
    /// nodes that have something to do until then.
    fn prepare(&mut self, end: VirtTime) -> Vec<Job> {
        let mut jobs = Vec::new();
        for index in 0..self.nodes.len() {
            let arrivals = match self.fabric.next_arrival(index) {
                Some(first) if first < end => self.fabric.take_arrivals(index, end),
                _ => Vec::new(),
            };
            match self.earliest[index] {
                None => self.hold(index, arrivals),
                Some(earliest) if arrivals.is_empty() && earliest >= end => {}
                Some(_) => jobs.extend(self.job(index, arrivals, end)),
            }
        }
        jobs
    }

    /// Frames that were sent in the window that just ended, and have arrived in it as well, go to nodes
    /// that did not run: for those no window is kept short.
    fn settle_late(&mut self) {
        for index in 0..self.nodes.len() {
            let runs = self.nodes[index].status() == Status::Running;
            if !runs
                && self
                    .fabric
                    .next_arrival(index)
                    .is_some_and(|first| first < self.now)
            {
                let arrivals = self.fabric.take_arrivals(index, self.now);
                self.hold(index, arrivals);
            }
        }
    }

    /// Frames come to a node that stands still or is down.
    fn hold(&mut self, index: usize, arrivals: Vec<Arrival>) {
        for Arrival { nic, frame, .. } in arrivals {
            let bytes = frame.bytes.0.to_vec();
            let taken = self.nodes[index].input(Input::Frame { nic, bytes });
            self.fabric.settle(&frame, taken);
        }
    }

    /// Takes the machine of a node out to run up to `end`.
    pub(super) fn job(
        &mut self,
        index: usize,
        arrivals: Vec<Arrival>,
        end: VirtTime,
    ) -> Option<Job> {
        let node = &mut self.nodes[index];
        // The node has run up to now. A frame from before would come late by however long the window before
        // happened to be, and the run would depend on where windows end.
        for Arrival { time, .. } in &arrivals {
            assert!(
                *time >= self.now,
                "a frame arrives at {time:?}, before {:?}",
                self.now
            );
        }
        let body = node.lend()?;
        let inputs = arrivals.iter().map(|Arrival { time, nic, frame }| {
            let bytes = frame.bytes.0.to_vec();
            (node.moment(*time), Input::Frame { nic: *nic, bytes })
        });
        let job = Job {
            node: index,
            inputs: inputs.collect(),
            until: node.moment(end),
            weight: node.weight,
            lane: node.lane,
            pin: Arc::clone(&node.pin),
            body,
        };
        self.arriving[index] = arrivals;
        Some(job)
    }

    /// Puts the machine of a node that has run back and keeps what it gave out.
    pub(super) fn absorb(&mut self, done: Done) -> Result<(), WorldError> {
        let Done {
            node: index,
            body,
            outputs,
            taken,
            ran,
            lane,
            stop,
        } = done;
        let over = self.nodes[index].world(body.now());
        self.nodes[index].give_back(body);
        self.nodes[index].weight = ran;
        self.nodes[index].lane = lane;
        for (number, arrival) in self.arriving[index].drain(..).enumerate() {
            self.fabric.settle(&arrival.frame, number < taken);
        }
        for output in outputs {
            self.keep(index, output);
        }
        match stop {
            Ok(Stop::Reached) => Ok(()),
            Ok(stop) => {
                self.end_node(index);
                self.push(index, over, Emission::Event(WorldEventKind::Stopped(stop)));
                Ok(())
            }
            Err(source) => {
                self.end_node(index);
                let node = self.nodes[index].name.clone();
                Err(WorldError::Engine { node, source })
            }
        }
    }

    fn end_node(&mut self, index: usize) {
        self.nodes[index].stopped();
        self.lifecycle_changed = true;
    }

    /// Keeps an output until it is merged.
    fn keep(&mut self, index: usize, output: Output) {
        let time = self.nodes[index].world(output.time);
        let what = match output.kind {
            OutputKind::Frame { nic, bytes } => Emission::Frame { nic, bytes },
            OutputKind::Event(event) => Emission::Event(WorldEventKind::Machine(event)),
        };
        self.push(index, time, what);
    }

    /// Adds something that happens at `time`, or now if that has passed: a clock that was changed
    /// within an instruction may put the instruction's end before the change.
    pub(super) fn push(&mut self, node: usize, time: VirtTime, what: Emission) {
        self.emitted += 1;
        self.pending.push(Pending {
            time: time.max(self.now),
            node,
            number: self.emitted,
            what,
        });
    }

    /// Sends the frames and tells the events that happened before now, in their order.
    fn merge(&mut self) {
        self.pending
            .sort_by_key(|pending| (pending.time, pending.node, pending.number));
        let ready = self
            .pending
            .partition_point(|pending| pending.time < self.now);
        for Pending {
            time, node, what, ..
        } in self.pending.drain(..ready)
        {
            match what {
                Emission::Frame { nic, bytes } => self.fabric.send(time, node, nic, bytes),
                Emission::Event(kind) => {
                    invariant!(
                        self.events.last().is_none_or(|last| last.time <= time),
                        "an event came before the last one"
                    );
                    self.events.push(WorldEvent {
                        time,
                        node: Some(node),
                        kind,
                    });
                }
            }
        }
    }
}
