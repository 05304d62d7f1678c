//! Directed graphs with labelled edges, and their cycles.

/// What an edge between two transactions says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The second appended behind what the first appended.
    WriteWrite,
    /// The second read what the first appended.
    WriteRead,
    /// The second appended behind what the first read.
    ReadWrite,
    /// The first had ended when the second began.
    RealTime,
}

/// An edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Where it goes.
    pub to: u32,
    /// What it says.
    pub kind: Kind,
    /// About which list.
    pub key: u32,
    /// About which value of it, for people.
    pub value: u32,
}

/// A graph; nodes are numbers from 0.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    edges: Vec<Vec<Edge>>,
}

/// A cycle: nodes with the edges that leave them.
pub type Cycle = Vec<(u32, Edge)>;

/// From how many nodes of a strongly connected component a shortest cycle is looked for.
const MAX_STARTS: usize = 64;

impl Graph {
    /// A graph without edges.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self {
            edges: vec![Vec::new(); nodes],
        }
    }

    /// Adds a node.
    pub fn node(&mut self) -> u32 {
        self.edges.push(Vec::new());
        self.edges.len() as u32 - 1
    }

    /// Adds an edge, unless it leads from a node to itself.
    pub fn add(&mut self, from: u32, edge: Edge) {
        if from != edge.to {
            self.edges[from as usize].push(edge);
        }
    }

    /// A shortest cycle of the edges of some kinds; nearly, in large graphs. With `lone_rw`, no two
    /// edges that follow each other in the cycle may be [`Kind::ReadWrite`].
    #[must_use]
    pub fn cycle(&self, kinds: &[Kind], lone_rw: bool) -> Option<Cycle> {
        let walk = Walk {
            graph: self,
            kinds,
            lone_rw,
        };
        walk.components()
            .into_iter()
            .filter(|component| component.len() > 1)
            .min_by_key(|component| (component.len(), component.first().copied()))
            .and_then(|component| walk.shortest(&component))
    }
}

/// A way to go through a graph. Its places are twice the node's number, plus one if the last edge
/// was [`Kind::ReadWrite`] and two of these may not follow each other.
struct Walk<'a> {
    graph: &'a Graph,
    kinds: &'a [Kind],
    lone_rw: bool,
}

impl Walk<'_> {
    fn next(&self, place: u32, at: usize) -> Option<(usize, u32, Edge)> {
        let edges = &self.graph.edges[place as usize / 2];
        for (offset, edge) in edges.iter().enumerate().skip(at) {
            let is_rw = edge.kind == Kind::ReadWrite;
            let follows = self.lone_rw && is_rw && place % 2 == 1;
            if self.kinds.contains(&edge.kind) && !follows {
                let bit = u32::from(self.lone_rw && is_rw);
                return Some((offset + 1, edge.to * 2 + bit, *edge));
            }
        }
        None
    }

    /// The strongly connected components (Tarjan's algorithm, without recursion).
    fn components(&self) -> Vec<Vec<u32>> {
        let places = self.graph.edges.len() * 2;
        let mut index = vec![u32::MAX; places];
        let mut low = vec![0_u32; places];
        let mut on_stack = vec![false; places];
        let mut stack: Vec<u32> = Vec::new();
        let mut calls: Vec<(u32, usize)> = Vec::new();
        let mut count = 0;
        let mut out = Vec::new();
        for root in (0..places as u32).step_by(2) {
            if index[root as usize] != u32::MAX {
                continue;
            }
            calls.push((root, 0));
            while let Some((place, at)) = calls.pop() {
                let here = place as usize;
                if at == 0 && index[here] == u32::MAX {
                    index[here] = count;
                    low[here] = count;
                    count += 1;
                    stack.push(place);
                    on_stack[here] = true;
                }
                if let Some((resume, to, _)) = self.next(place, at) {
                    calls.push((place, resume));
                    if index[to as usize] == u32::MAX {
                        calls.push((to, 0));
                    } else if on_stack[to as usize] {
                        low[here] = low[here].min(index[to as usize]);
                    }
                    continue;
                }
                if let Some((parent, _)) = calls.last() {
                    let parent = *parent as usize;
                    low[parent] = low[parent].min(low[here]);
                }
                if low[here] == index[here] {
                    let from = stack.iter().rposition(|p| *p == place).unwrap_or(0);
                    let mut component = stack.split_off(from);
                    for place in &component {
                        on_stack[*place as usize] = false;
                    }
                    component.sort_unstable();
                    out.push(component);
                }
            }
        }
        out
    }

    /// A shortest cycle through one of the first places of a component.
    fn shortest(&self, component: &[u32]) -> Option<Cycle> {
        let mut best: Option<Cycle> = None;
        for start in component.iter().take(MAX_STARTS) {
            if let Some(cycle) = self.cycle_through(*start, component)
                && best.as_ref().is_none_or(|best| cycle.len() < best.len())
            {
                best = Some(cycle);
            }
        }
        best
    }

    fn cycle_through(&self, start: u32, component: &[u32]) -> Option<Cycle> {
        let mut came: std::collections::BTreeMap<u32, (u32, Edge)> = Default::default();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(place) = queue.pop_front() {
            let mut at = 0;
            while let Some((resume, to, edge)) = self.next(place, at) {
                at = resume;
                if component.binary_search(&to).is_err() || came.contains_key(&to) {
                    continue;
                }
                came.insert(to, (place, edge));
                if to == start {
                    let mut cycle = Vec::new();
                    let mut back = start;
                    while let Some((from, edge)) = came.get(&back) {
                        cycle.push((from / 2, *edge));
                        back = *from;
                        if back == start {
                            break;
                        }
                    }
                    cycle.reverse();
                    return Some(cycle);
                }
                queue.push_back(to);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(to: u32, kind: Kind) -> Edge {
        let (key, value) = (0, 0);
        Edge {
            to,
            kind,
            key,
            value,
        }
    }

    #[test]
    fn the_shortest_cycle_is_found_and_only_of_the_kinds() {
        let mut graph = Graph::new(5);
        for (from, to) in [(0, 1), (1, 2), (2, 3), (3, 0)] {
            graph.add(from, edge(to, Kind::WriteWrite));
        }
        graph.add(2, edge(1, Kind::ReadWrite));
        assert_eq!(graph.cycle(&[Kind::WriteWrite], false).unwrap().len(), 4);
        let both = [Kind::WriteWrite, Kind::ReadWrite];
        assert_eq!(graph.cycle(&both, false).unwrap().len(), 2);
        assert!(graph.cycle(&[Kind::ReadWrite], false).is_none());
    }

    #[test]
    fn two_anti_dependencies_in_a_row_can_be_excluded_even_around_the_end() {
        let mut graph = Graph::new(3);
        graph.add(0, edge(1, Kind::ReadWrite));
        graph.add(1, edge(2, Kind::WriteRead));
        graph.add(2, edge(0, Kind::ReadWrite));
        let kinds = [Kind::ReadWrite, Kind::WriteRead];
        assert!(graph.cycle(&kinds, false).is_some());
        assert!(graph.cycle(&kinds, true).is_none());
        graph.add(2, edge(0, Kind::WriteRead));
        let cycle = graph.cycle(&kinds, true).unwrap();
        assert_eq!(cycle.len(), 3);
    }

    #[test]
    fn a_long_path_needs_no_long_stack() {
        let nodes = 200_000;
        let mut graph = Graph::new(nodes);
        for node in 1..nodes as u32 {
            graph.add(node - 1, edge(node, Kind::WriteWrite));
        }
        assert!(graph.cycle(&[Kind::WriteWrite], false).is_none());
    }
}
