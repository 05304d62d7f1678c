//! Looks for what a level of consistency forbids.
//!
//! Names are those of Adya's "Weak Consistency" (MIT, 1999), and the way to see them from appends and
//! reads is that of Kingsbury and Alvaro's "Elle" (VLDB 2020): since a read shows the whole list, the
//! longest one tells in which order the values were appended, and each value tells who appended it.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Cycle, Edge, Graph, Kind};
use super::txn::{Micro, Names, Txn};
use crate::property::history::Outcome;
use chaosrun_language::plan::property::ConsistencyLevel as Level;

/// How many edges from readers of a list's end to appenders that nobody read are made at most.
const MAX_TAIL_EDGES: usize = 1_000_000;

/// Something that is forbidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// Its name, as in `G1a`.
    pub name: &'static str,
    /// What happened, in words.
    pub why: String,
    /// The transactions, as places in the slice that was judged.
    pub txns: Vec<usize>,
    /// The steps of the proof, one line each.
    pub proof: Vec<String>,
}

/// What is known of a list.
#[derive(Debug, Clone, Default)]
struct List {
    /// The longest read, which is the order of appending.
    order: Vec<u32>,
    /// Who read it.
    reader: usize,
}

/// Who appended a value.
#[derive(Debug, Clone, Copy)]
struct Writer {
    txn: usize,
    /// How many values the transaction appended to the list before it.
    index: usize,
    /// Whether the transaction appended nothing to the list after it.
    last: bool,
}

/// Judges transactions.
///
/// # Errors
/// If they cannot be judged, with the reason.
pub fn judge(txns: &[Txn], names: &Names, level: Level) -> Result<Option<Anomaly>, String> {
    let writers = writers(txns, names)?;
    let analysis = Analysis {
        txns,
        names,
        writers,
    };
    if let Some(anomaly) = analysis.inside(level).or_else(|| analysis.dirty()) {
        return Ok(Some(anomaly));
    }
    let lists = match analysis.lists() {
        Ok(lists) => lists,
        Err(anomaly) => return Ok(Some(anomaly)),
    };
    let graph = analysis.graph(&lists, level);
    Ok(analysis.cycle(&graph, level))
}

fn writers(txns: &[Txn], names: &Names) -> Result<BTreeMap<(u32, u32), Writer>, String> {
    let mut writers: BTreeMap<(u32, u32), Writer> = BTreeMap::new();
    for (at, txn) in txns.iter().enumerate() {
        // By list: how many values it appended so far, and the last of them.
        let mut so_far: BTreeMap<u32, (usize, u32)> = BTreeMap::new();
        for (key, value) in txn.appends() {
            let index = match so_far.get(&key) {
                None => 0,
                Some((count, earlier)) => {
                    if let Some(writer) = writers.get_mut(&(key, *earlier)) {
                        writer.last = false;
                    }
                    *count
                }
            };
            so_far.insert(key, (index + 1, value));
            let writer = Writer {
                txn: at,
                index,
                last: true,
            };
            if writers.insert((key, value), writer).is_some() {
                return Err(format!(
                    "{} was appended to {} twice, so that reads do not tell who did it",
                    names.text(value),
                    names.text(key)
                ));
            }
        }
    }
    Ok(writers)
}

struct Analysis<'a> {
    txns: &'a [Txn],
    names: &'a Names,
    writers: BTreeMap<(u32, u32), Writer>,
}

impl Analysis<'_> {
    fn done(&self) -> impl Iterator<Item = (usize, &Txn)> {
        let done = |(_, txn): &(usize, &Txn)| txn.outcome == Outcome::Ok;
        self.txns.iter().enumerate().filter(done)
    }

    /// Reads that do not fit to the transaction's own steps before.
    fn inside(&self, level: Level) -> Option<Anomaly> {
        for (at, txn) in self.done() {
            // What is known to be in a list, and whether that is all of it.
            let mut known: BTreeMap<u32, (Vec<u32>, bool)> = BTreeMap::new();
            for micro in &txn.micros {
                match micro {
                    Micro::Append { key, value } => {
                        known.entry(*key).or_default().0.push(*value);
                    }
                    Micro::Read { list: None, .. } => {}
                    Micro::Read {
                        key,
                        list: Some(list),
                    } => {
                        let fits = known.get(key).is_none_or(|(own, all)| match all {
                            true => list == own,
                            false => list.ends_with(own),
                        });
                        if !fits {
                            return Some(self.inside_anomaly(at, *key, list));
                        }
                        // Under read committed, others' appends may come in between.
                        if level != Level::ReadCommitted {
                            known.insert(*key, (list.clone(), true));
                        }
                    }
                }
            }
        }
        None
    }

    fn inside_anomaly(&self, at: usize, key: u32, list: &[u32]) -> Anomaly {
        Anomaly {
            name: "internal",
            why: format!(
                "a transaction read {} from {}, which does not fit to its own steps before",
                self.names.list(list),
                self.names.text(key)
            ),
            txns: vec![at],
            proof: Vec::new(),
        }
    }

    /// Reads of what was never appended, of what was taken back (G1a), of what was not the last word
    /// of its transaction (G1b), and of what one transaction appended in another order.
    fn dirty(&self) -> Option<Anomaly> {
        for (at, txn) in self.done() {
            for (key, list) in txn.reads() {
                let mut seen = BTreeSet::new();
                // How many values of each transaction were in the list so far.
                let mut of_txn: BTreeMap<usize, usize> = BTreeMap::new();
                for (place, value) in list.iter().enumerate() {
                    let text = self.names.text(*value);
                    let of = self.names.text(key);
                    let anomaly = |name, why, writer: Option<usize>| {
                        let mut txns = vec![at];
                        txns.extend(writer);
                        let proof = Vec::new();
                        Some(Anomaly {
                            name,
                            why,
                            txns,
                            proof,
                        })
                    };
                    let Some(writer) = self.writers.get(&(key, *value)) else {
                        let why = format!("{text} was read from {of}, and nobody appended it");
                        return anomaly("garbage read", why, None);
                    };
                    if !seen.insert(*value) {
                        let why = format!("{text} is twice in a read of {of}");
                        return anomaly("duplicate", why, Some(writer.txn));
                    }
                    let before = of_txn.entry(writer.txn).or_default();
                    if *before != writer.index {
                        let why = format!(
                            "{text} was read from {of} without what the same transaction appended before it"
                        );
                        return anomaly("disordered appends", why, Some(writer.txn));
                    }
                    *before += 1;
                    if self.txns[writer.txn].outcome == Outcome::Fail {
                        let why = format!(
                            "{text} was read from {of}, and the transaction that appended it failed"
                        );
                        return anomaly("G1a", why, Some(writer.txn));
                    }
                    if place + 1 == list.len() && !writer.last && writer.txn != at {
                        let why = format!(
                            "{text} was read as the last of {of}, and the \
                             transaction that appended it appended more"
                        );
                        return anomaly("G1b", why, Some(writer.txn));
                    }
                }
            }
        }
        None
    }

    /// The orders of the lists; an anomaly if reads contradict each other.
    fn lists(&self) -> Result<BTreeMap<u32, List>, Anomaly> {
        let mut lists: BTreeMap<u32, List> = BTreeMap::new();
        for (at, txn) in self.done() {
            for (key, list) in txn.reads() {
                let known = lists.entry(key).or_default();
                if list.len() > known.order.len() {
                    known.order = list.to_vec();
                    known.reader = at;
                }
            }
        }
        for (at, txn) in self.done() {
            for (key, list) in txn.reads() {
                let known = &lists[&key];
                if !known.order.starts_with(list) {
                    return Err(Anomaly {
                        name: "incompatible order",
                        why: format!(
                            "{} and {} were both read from {}, and neither is the beginning of the other",
                            self.names.list(list),
                            self.names.list(&known.order),
                            self.names.text(key)
                        ),
                        txns: vec![at, known.reader],
                        proof: Vec::new(),
                    });
                }
            }
        }
        Ok(lists)
    }

    /// The graph of what must have come before what.
    fn graph(&self, lists: &BTreeMap<u32, List>, level: Level) -> Graph {
        let mut graph = Graph::new(self.txns.len());
        for (key, list) in lists {
            for pair in list.order.windows(2) {
                let (first, second) = (self.writer(*key, pair[0]), self.writer(*key, pair[1]));
                graph.add(first, edge(second, Kind::WriteWrite, *key, pair[1]));
            }
        }
        let mut at_the_end: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (at, txn) in self.done() {
            let reader = at as u32;
            for (key, list) in txn.reads() {
                if let Some(value) = list.last() {
                    let writer = self.writer(key, *value);
                    graph.add(writer, edge(reader, Kind::WriteRead, key, *value));
                }
                match lists[&key].order.get(list.len()) {
                    Some(next) => {
                        let writer = self.writer(key, *next);
                        graph.add(reader, edge(writer, Kind::ReadWrite, key, *next));
                    }
                    None => at_the_end.entry(key).or_default().push(reader),
                }
            }
        }
        self.unread(&mut graph, lists, &at_the_end);
        if level == Level::StrictSerializable {
            self.real_time(&mut graph);
        }
        graph
    }

    fn writer(&self, key: u32, value: u32) -> u32 {
        self.writers
            .get(&(key, value))
            .map_or(0, |writer| writer.txn as u32)
    }

    /// What was certainly appended and never read comes behind all that was read.
    fn unread(
        &self,
        graph: &mut Graph,
        lists: &BTreeMap<u32, List>,
        at_the_end: &BTreeMap<u32, Vec<u32>>,
    ) {
        let read: BTreeSet<(u32, u32)> = lists
            .iter()
            .flat_map(|(key, list)| list.order.iter().map(|value| (*key, *value)))
            .collect();
        // Who appended something that was read was done, whatever its client knows.
        let mut sure: BTreeSet<usize> = self.done().map(|(at, _)| at).collect();
        sure.extend(read.iter().filter_map(|at| Some(self.writers.get(at)?.txn)));
        let mut made = 0;
        for ((key, value), writer) in &self.writers {
            if !sure.contains(&writer.txn) || read.contains(&(*key, *value)) {
                continue;
            }
            let to = writer.txn as u32;
            if let Some(last) = lists.get(key).and_then(|list| list.order.last()) {
                let from = self.writer(*key, *last);
                graph.add(from, edge(to, Kind::WriteWrite, *key, *value));
            }
            for reader in at_the_end.get(key).into_iter().flatten() {
                // These edges find more than is usually looked for; leaving some out is no loss.
                made += 1;
                if made > MAX_TAIL_EDGES {
                    return;
                }
                graph.add(*reader, edge(to, Kind::ReadWrite, *key, *value));
            }
        }
    }

    /// Adds a node for each end of a transaction, so that the edges of real time are few: from a
    /// transaction to its end, from end to end, and from the last end before it to a transaction.
    fn real_time(&self, graph: &mut Graph) {
        let mut ends: Vec<(u64, usize)> = self
            .done()
            .filter_map(|(at, txn)| Some((txn.end_ns?, at)))
            .collect();
        ends.sort_unstable();
        let nodes: Vec<u32> = ends.iter().map(|_| graph.node()).collect();
        for (place, (_, at)) in ends.iter().enumerate() {
            graph.add(*at as u32, edge(nodes[place], Kind::RealTime, 0, 0));
            if let Some(next) = nodes.get(place + 1) {
                graph.add(nodes[place], edge(*next, Kind::RealTime, 0, 0));
            }
        }
        for (at, txn) in self.txns.iter().enumerate() {
            let before = ends.partition_point(|(end, _)| *end < txn.begin_ns);
            if let Some(place) = before.checked_sub(1) {
                graph.add(nodes[place], edge(at as u32, Kind::RealTime, 0, 0));
            }
        }
    }

    /// The worst cycle that the level forbids.
    fn cycle(&self, graph: &Graph, level: Level) -> Option<Anomaly> {
        use Kind::{ReadWrite, RealTime, WriteRead, WriteWrite};
        let mut tries: Vec<(&[Kind], bool)> =
            vec![(&[WriteWrite], false), (&[WriteWrite, WriteRead], false)];
        let all: &[Kind] = &[WriteWrite, WriteRead, ReadWrite];
        if level != Level::ReadCommitted {
            tries.push((all, true));
        }
        if matches!(level, Level::Serializable | Level::StrictSerializable) {
            tries.push((all, false));
        }
        if level == Level::StrictSerializable {
            tries.push((&[WriteWrite, RealTime], false));
            tries.push((&[WriteWrite, WriteRead, RealTime], false));
            tries.push((&[WriteWrite, WriteRead, ReadWrite, RealTime], true));
            tries.push((&[WriteWrite, WriteRead, ReadWrite, RealTime], false));
        }
        let found = tries
            .into_iter()
            .find_map(|(kinds, lone)| graph.cycle(kinds, lone));
        found.map(|cycle| self.describe(&cycle))
    }

    fn describe(&self, cycle: &Cycle) -> Anomaly {
        let count = |kind| cycle.iter().filter(|(_, edge)| edge.kind == kind).count();
        let real_time = count(Kind::RealTime) > 0;
        let name = match (count(Kind::ReadWrite), count(Kind::WriteRead), real_time) {
            (0, 0, false) => "G0",
            (0, 0, true) => "G0-realtime",
            (0, _, false) => "G1c",
            (0, _, true) => "G1c-realtime",
            (1, _, false) => "G-single",
            (1, _, true) => "G-single-realtime",
            (_, _, false) => "G2-item",
            (_, _, true) => "G2-item-realtime",
        };
        // The nodes of real time are left out: a path through them is one edge.
        let is_txn = |node: u32| (node as usize) < self.txns.len();
        let start = cycle
            .iter()
            .position(|(node, _)| is_txn(*node))
            .unwrap_or(0);
        let turned = || cycle[start..].iter().chain(&cycle[..start]);
        let txns: Vec<usize> = turned()
            .filter(|(node, _)| is_txn(*node))
            .map(|(node, _)| *node as usize)
            .collect();
        let number = |txn: usize| txns.iter().position(|t| *t == txn).unwrap_or(0) + 1;
        let edges: Vec<&(u32, Edge)> = turned().filter(|(node, _)| is_txn(*node)).collect();
        let mut proof = Vec::new();
        for (at, (from, edge)) in edges.iter().enumerate() {
            let to = edges[(at + 1) % edges.len()].0 as usize;
            let (from, to) = (number(*from as usize), number(to));
            proof.push(self.words(edge, from, to));
        }
        let why = format!(
            "{name}: {} transactions each come before the next one, and the last before the first",
            txns.len()
        );
        Anomaly {
            name,
            why,
            txns,
            proof,
        }
    }

    fn words(&self, edge: &Edge, from: usize, to: usize) -> String {
        let (key, value) = (self.names.text(edge.key), self.names.text(edge.value));
        match edge.kind {
            Kind::WriteWrite => {
                format!("T{from} before T{to}: T{to} appended {value} to {key} behind T{from} (ww)")
            }
            Kind::WriteRead => {
                format!("T{from} before T{to}: T{to} read {value} in {key} from T{from} (wr)")
            }
            Kind::ReadWrite => {
                format!("T{from} before T{to}: T{from} read {key} without {value} of T{to} (rw)")
            }
            Kind::RealTime => {
                format!("T{from} before T{to}: T{from} had ended when T{to} began (rt)")
            }
        }
    }
}

const fn edge(to: u32, kind: Kind, key: u32, value: u32) -> Edge {
    Edge {
        to,
        kind,
        key,
        value,
    }
}
