//! Where robots drive: nodes at which they may stand, and ways between them.
//!
//! All in whole millimetres, and of equal ways the one over the earlier nodes of the file: the same map gives the same
//! routes everywhere.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use stowage_base::Code;

/// Index into [`Roadmap::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIx(pub u16);

/// A place at which a robot may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Short code, as the robots know it.
    pub code: Code,
    /// To the right on the plan, mm.
    pub x_mm: i32,
    /// Down on the plan, mm.
    pub y_mm: i32,
    /// The location whose goods a robot picks up or drops here.
    pub station: Option<Code>,
    /// Robots that stand in the way are sent here by preference.
    pub parking: bool,
}

/// A way from a node to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Where it leads.
    pub to: NodeIx,
    /// How far, mm.
    pub length_mm: u64,
}

/// Nodes and ways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roadmap {
    nodes: Vec<Node>,
    /// By node, in order of their ends.
    ways: Vec<Vec<Way>>,
}

impl Roadmap {
    /// A map of `nodes` with a way for each of `pairs`, from the first to the second; other than between its nodes there
    /// are none.
    pub fn new(nodes: Vec<Node>, pairs: impl IntoIterator<Item = (NodeIx, NodeIx)>) -> Self {
        let mut map = Self { ways: nodes.iter().map(|_| Vec::new()).collect(), nodes };
        for (from, to) in pairs {
            let (Some(a), Some(b)) = (map.nodes.get(usize::from(from.0)), map.nodes.get(usize::from(to.0))) else {
                continue;
            };
            let length_mm = distance_mm((a.x_mm, a.y_mm), (b.x_mm, b.y_mm)).max(1);
            map.ways[usize::from(from.0)].push(Way { to, length_mm });
        }
        for ways in &mut map.ways {
            ways.sort_by_key(|way| way.to);
            ways.dedup_by_key(|way| way.to);
        }
        map
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Indices of all nodes.
    pub fn indices(&self) -> impl Iterator<Item = NodeIx> + use<> {
        (0..self.nodes.len()).map(|at| NodeIx(at as u16))
    }

    /// The node of index `ix`.
    pub fn node(&self, ix: NodeIx) -> &Node {
        &self.nodes[usize::from(ix.0)]
    }

    /// The ways that begin at a node.
    pub fn ways(&self, from: NodeIx) -> &[Way] {
        &self.ways[usize::from(from.0)]
    }

    /// The node coded `code`.
    pub fn coded(&self, code: &str) -> Option<NodeIx> {
        self.indices().find(|ix| self.node(*ix).code == code)
    }

    /// The node at which the goods of a location are picked up and dropped.
    pub fn station(&self, location: &str) -> Option<NodeIx> {
        self.indices().find(|ix| self.node(*ix).station.as_ref().is_some_and(|station| station == location))
    }

    /// The node nearest to a point of the plan, and how far it is, mm.
    pub fn nearest(&self, point: (i32, i32)) -> Option<(NodeIx, u64)> {
        let far = |ix: &NodeIx| distance_mm(point, (self.node(*ix).x_mm, self.node(*ix).y_mm));
        self.indices().map(|ix| (ix, far(&ix))).min_by_key(|(_, far)| *far)
    }

    /// How far each node is from `from`, where entering a node costs `extra_mm` more than the way there, and `None`
    /// closes it. `None`: it can't be reached.
    pub fn distances(&self, from: NodeIx, extra_mm: impl Fn(NodeIx) -> Option<u64>) -> Vec<Option<u64>> {
        self.search(from, extra_mm).into_iter().map(|reached| Some(reached?.0)).collect()
    }

    /// The cheapest way from `from` to `to`, both included; costs as in [`distances`](Self::distances).
    pub fn route(&self, from: NodeIx, to: NodeIx, extra_mm: impl Fn(NodeIx) -> Option<u64>) -> Option<Vec<NodeIx>> {
        let reached = self.search(from, extra_mm);
        let mut route = vec![to];
        let mut at = to;
        while at != from {
            at = reached[usize::from(at.0)]?.1;
            route.push(at);
        }
        route.reverse();
        Some(route)
    }

    /// Dijkstra's: for each node its cost and the node before.
    fn search(&self, from: NodeIx, extra_mm: impl Fn(NodeIx) -> Option<u64>) -> Vec<Option<(u64, NodeIx)>> {
        let mut reached: Vec<Option<(u64, NodeIx)>> = vec![None; self.nodes.len()];
        let mut done = vec![false; self.nodes.len()];
        let mut open = BinaryHeap::from([Reverse((0, from))]);
        reached[usize::from(from.0)] = Some((0, from));
        while let Some(Reverse((cost, at))) = open.pop() {
            if std::mem::replace(&mut done[usize::from(at.0)], true) {
                continue;
            }
            for way in self.ways(at) {
                let Some(extra) = extra_mm(way.to) else { continue };
                let next = (cost + way.length_mm + extra, at);
                let before = &mut reached[usize::from(way.to.0)];
                if before.is_none_or(|before| next < before) && !done[usize::from(way.to.0)] {
                    *before = Some(next);
                    open.push(Reverse((next.0, way.to)));
                }
            }
        }
        reached
    }
}

/// How far two points are apart, mm, rounded down.
pub fn distance_mm(a: (i32, i32), b: (i32, i32)) -> u64 {
    let [x, y] = [i64::from(a.0) - i64::from(b.0), i64::from(a.1) - i64::from(b.1)].map(i64::unsigned_abs);
    // At most 2^32 each: their squares fit.
    (u128::from(x) * u128::from(x) + u128::from(y) * u128::from(y)).isqrt() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(code: &str, x_mm: i32, y_mm: i32) -> Node {
        Node { code: stowage_base::code(code).expect("short"), x_mm, y_mm, station: None, parking: false }
    }

    /// A square with a one-way shortcut from A to C.
    fn square() -> Roadmap {
        let nodes = vec![node("A", 0, 0), node("B", 3_000, 0), node("C", 3_000, 4_000), node("D", 0, 4_000)];
        let ring = (0..4_u16).flat_map(|at| [(at, (at + 1) % 4), ((at + 1) % 4, at)]);
        Roadmap::new(nodes, ring.chain([(0, 2)]).map(|(from, to)| (NodeIx(from), NodeIx(to))))
    }

    #[test]
    fn the_shortest_way_is_taken_and_of_equal_ones_that_over_earlier_nodes() {
        let map = square();
        let way = |from, to| map.route(NodeIx(from), NodeIx(to), |_| Some(0)).expect("connected");
        assert_eq!(way(0, 2), [NodeIx(0), NodeIx(2)], "5 m straight");
        assert_eq!(way(2, 0), [NodeIx(2), NodeIx(1), NodeIx(0)], "the shortcut is one-way; by B or by D is 7 m");
        assert_eq!(way(1, 1), [NodeIx(1)]);
        assert_eq!(map.distances(NodeIx(0), |_| Some(0))[2], Some(5_000));
    }

    #[test]
    fn closed_and_dear_nodes_are_gone_around() {
        let map = square();
        let dear = |node: NodeIx| if node == NodeIx(1) { Some(10_000) } else { Some(0) };
        assert_eq!(map.route(NodeIx(2), NodeIx(0), dear), Some(vec![NodeIx(2), NodeIx(3), NodeIx(0)]));
        let closed = |node: NodeIx| (node != NodeIx(1) && node != NodeIx(3)).then_some(0);
        assert_eq!(map.route(NodeIx(2), NodeIx(0), closed), None);
    }

    #[test]
    fn the_nearest_node_is_found_at_any_distance() {
        assert_eq!(square().nearest((100, 3_000)), Some((NodeIx(3), 1_004)));
        assert_eq!(distance_mm((i32::MIN, i32::MIN), (i32::MAX, i32::MAX)), 6_074_000_998);
    }
}
