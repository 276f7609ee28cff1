//! Who may drive where: robots hold nodes, and are given more only so that nobody is shut in by it.
//!
//! A robot holds the node at which it stands and every node of its base, so two that keep to their bases never meet. A
//! base once given can't be taken back; so what counts is where bases *end*: think of each robot as a stone on that
//! node, and of a claim as moving the stone along free nodes. [`decide`] goes through the robots by priority. For each
//! it looks for a way to its goal, and for places where those who stand on it could go (`Board::clear`: first all of
//! them out of the way at once, else one step after another). If there are none, it looks for a place to which the
//! robot itself could step back so that there are. A robot claims a node only if afterwards the way of no robot of
//! higher priority, and not its own, is worse than before. So the first of them always arrives, where the map has room
//! enough at all; then the next is the first.

use crate::roadmap::{NodeIx, Roadmap};
use std::collections::VecDeque;

/// Nodes that a robot holds beyond the one at which it is: enough to drive on while the next is asked for.
pub const AHEAD: usize = 3;

/// A longer way is taken around a robot that stands, up to this much, mm.
const DETOUR_MM: u64 = 15_000;

/// On so many of the next nodes of a robot's way no robot of lower priority may come to stand.
const WINDOW: usize = 6;

/// Places looked at to step back to.
const RETREATS_MAX: usize = 64;

/// Ways looked at from one place to a goal.
const ROUTES_MAX: usize = 4;

/// Whether a robot can be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It takes orders.
    Ready,
    /// It is at work and will be ready by itself.
    Busy,
    /// Nobody knows when: what it holds is closed to the others.
    Stuck,
}

/// A robot on the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mover {
    /// The nodes that it holds: where it is, then its base. Never empty.
    pub held: Vec<NodeIx>,
    /// Where it wants to go.
    pub goal: Option<NodeIx>,
    /// Whether it can be moved.
    pub readiness: Readiness,
}

impl Mover {
    fn end(&self) -> NodeIx {
        // Never empty: it is somewhere.
        self.held.last().copied().unwrap_or(NodeIx(0))
    }
}

/// Why a robot doesn't get further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// This robot holds the next node of its way.
    Robot(usize, NodeIx),
    /// Driving on would shut in a robot that goes first.
    Room,
    /// No way leads there past those that can't be moved.
    Closed,
}

/// What a robot is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Move {
    /// Nodes that it is given, in order; they follow the end of its base.
    pub claims: Vec<NodeIx>,
    /// Its way from the end of its base before the claims to its goal, both included; empty if it has none.
    pub route: Vec<NodeIx>,
    /// Why it isn't given more, where it wants more.
    pub wait: Option<Wait>,
}

/// Decides what each of `movers`, the most important first, is given now. `closed` nodes are entered by nobody.
pub fn decide(map: &Roadmap, closed: &[NodeIx], movers: &[Mover]) -> Vec<Move> {
    let mut board = Board::new(map, closed, movers);
    let mut moves = vec![Move::default(); movers.len()];
    let mut decided = vec![false; movers.len()];
    for robot in 0..movers.len() {
        let Some(goal) = movers[robot].goal.filter(|_| !decided[robot]) else { continue };
        let at = board.ends[robot];
        if at == goal || movers[robot].readiness == Readiness::Stuck {
            continue;
        }
        decided[robot] = true;
        let Some(plan) = board.plan(robot, at, goal) else {
            moves[robot].wait = Some(Wait::Closed);
            continue;
        };
        let way = plan.retreat.as_ref().unwrap_or(&plan.path).clone();
        if movers[robot].readiness == Readiness::Ready {
            let (claims, wait) = board.claim(robot, robot, &way);
            (moves[robot].claims, moves[robot].wait) = (claims, wait);
        }
        let advances = !moves[robot].claims.is_empty();
        moves[robot].route = plan.path.clone();
        board.paths[robot] = plan.path.into_iter().take(WINDOW).collect();
        'told: for shift in plan.shifts {
            // Who makes room for one that doesn't go makes it for nothing.
            let told = |other: usize| !decided[other] && other > robot && movers[other].readiness == Readiness::Ready;
            if !shift.iter().all(|(other, _)| told(*other)) {
                break;
            }
            for (other, chain) in shift {
                if advances && !board.paths[robot].contains(&board.ends[other]) {
                    continue;
                }
                decided[other] = true;
                let (claims, wait) = board.claim(other, robot, &chain);
                let arrived = claims.len() + 1 == chain.len();
                (moves[other].claims, moves[other].wait) = (claims, wait);
                if !arrived {
                    break 'told;
                }
            }
        }
    }
    moves
}

/// How a robot gets to its goal.
struct Plan {
    /// Where it has to step back to first.
    retreat: Option<Vec<NodeIx>>,
    /// Its way to the goal from where it is.
    path: Vec<NodeIx>,
    /// Others that go out of its way, in order.
    shifts: Vec<Shift>,
}

/// Robots that make room, each for the next one, with their ways from where they are.
type Shift = Vec<(usize, Vec<NodeIx>)>;

/// How well a robot's way can be cleared; a higher number is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Prospect {
    Clear,
    AfterRetreat,
    None,
}

struct Board<'a> {
    map: &'a Roadmap,
    movers: &'a [Mover],
    /// Entered by nobody.
    closed: Vec<bool>,
    /// Who holds each node.
    holder: Vec<Option<usize>>,
    /// Where each robot's base ends.
    ends: Vec<NodeIx>,
    /// Nodes of each base beyond the place where the robot is.
    ahead: Vec<usize>,
    /// The next nodes of those who were decided.
    paths: Vec<Vec<NodeIx>>,
}

/// Stones on nodes.
type Stones = Vec<Option<usize>>;

impl<'a> Board<'a> {
    fn new(map: &'a Roadmap, shut: &[NodeIx], movers: &'a [Mover]) -> Self {
        let mut closed = vec![false; map.nodes().len()];
        let mut holder = vec![None; map.nodes().len()];
        for node in shut {
            closed[usize::from(node.0)] = true;
        }
        for (robot, mover) in movers.iter().enumerate() {
            for node in &mover.held {
                holder[usize::from(node.0)] = Some(robot);
                closed[usize::from(node.0)] |= mover.readiness == Readiness::Stuck;
            }
        }
        Self {
            map,
            movers,
            closed,
            holder,
            ends: movers.iter().map(Mover::end).collect(),
            ahead: movers.iter().map(|mover| mover.held.len() - 1).collect(),
            paths: vec![Vec::new(); movers.len()],
        }
    }

    /// Gives `robot` the longest part of `way` (which begins where it is) that is free and that it may end on, with the
    /// priority of `rank`.
    fn claim(&mut self, robot: usize, rank: usize, way: &[NodeIx]) -> (Vec<NodeIx>, Option<Wait>) {
        // Who makes room goes all the way: half of it would be in the way as well.
        let most = if robot == rank { AHEAD.saturating_sub(self.ahead[robot]) } else { way.len() };
        let ahead = &way[1..];
        // Back over a node of its own base it goes once it has left that.
        let taken = |node: &NodeIx| self.holder[usize::from(node.0)];
        let free = ahead.iter().take_while(|node| taken(node).is_none() && !self.closed[usize::from(node.0)]).count();
        let mut wait = match ahead.get(free) {
            Some(node) if free < most => {
                taken(node).filter(|holder| *holder != robot).map(|holder| Wait::Robot(holder, *node))
            }
            _ => None,
        };
        let mut length = free.min(most);
        let before: Vec<Prospect> = (0..=rank).map(|first| self.prospect(first)).collect();
        let start = self.ends[robot];
        while length > 0 {
            let end = ahead[length - 1];
            self.ends[robot] = end;
            if self.may_end(robot, rank, start, end)
                && before.iter().enumerate().all(|(first, before)| self.prospect(first) <= *before)
            {
                break;
            }
            wait = Some(Wait::Room);
            self.ends[robot] = start;
            length -= 1;
        }
        for node in &ahead[..length] {
            self.holder[usize::from(node.0)] = Some(robot);
        }
        self.ahead[robot] += length;
        (ahead[..length].to_vec(), wait)
    }

    /// Whether a robot may come to stand at `end` without being in the way of those that go first; one that is in the
    /// way already may move along it.
    fn may_end(&self, robot: usize, rank: usize, start: NodeIx, end: NodeIx) -> bool {
        let first = if robot == rank { 0..rank } else { 0..rank + 1 };
        self.paths[first].iter().all(|path| !path.contains(&end) || path.contains(&start))
    }

    fn prospect(&self, robot: usize) -> Prospect {
        let (at, Some(goal)) = (self.ends[robot], self.movers[robot].goal) else { return Prospect::Clear };
        if at == goal || self.movers[robot].readiness == Readiness::Stuck {
            return Prospect::Clear;
        }
        match self.plan(robot, at, goal) {
            Some(Plan { retreat: None, .. }) => Prospect::Clear,
            Some(_) => Prospect::AfterRetreat,
            None => Prospect::None,
        }
    }

    fn plan(&self, robot: usize, at: NodeIx, goal: NodeIx) -> Option<Plan> {
        if let Some((path, shifts)) = self.clear(robot, at, goal) {
            return Some(Plan { retreat: None, path, shifts });
        }
        let stones = self.stones(robot);
        let free = |node: NodeIx| stones[usize::from(node.0)].is_none();
        for way in self.around(at, &free).take(RETREATS_MAX) {
            let back = way.last().copied().unwrap_or(at);
            if let Some((path, shifts)) = self.clear(robot, back, goal) {
                return Some(Plan { retreat: Some(way), path, shifts });
            }
        }
        None
    }

    /// Where the others' bases end.
    fn stones(&self, but: usize) -> Stones {
        let mut stones = vec![None; self.map.nodes().len()];
        for (robot, end) in self.ends.iter().enumerate().filter(|(robot, _)| *robot != but) {
            stones[usize::from(end.0)] = Some(robot);
        }
        stones
    }

    /// The way of `robot` from `at` to `goal`, and who goes where to clear it.
    fn clear(&self, robot: usize, at: NodeIx, goal: NodeIx) -> Option<(Vec<NodeIx>, Vec<Shift>)> {
        let stones = self.stones(robot);
        let mut closed = self.closed.clone();
        for _ in 0..ROUTES_MAX {
            let extra = |node: NodeIx| {
                let index = usize::from(node.0);
                (!closed[index]).then(|| if stones[index].is_some() { DETOUR_MM } else { 0 })
            };
            let path = self.map.route(at, goal, extra)?;
            if let Some(shifts) = self.all_aside(&path, stones.clone()) {
                return Some((path, shifts));
            }
            let far = self.one_by_one(&path, stones.clone(), true);
            match far.or_else(|_| self.one_by_one(&path, stones.clone(), false)) {
                Ok(shifts) => return Some((path, shifts)),
                // From there it can't be: whoever stands ahead has no other way out. Perhaps from another side.
                Err(before) if before != at => closed[usize::from(before.0)] = true,
                Err(_) => return None,
            }
        }
        None
    }

    /// Everybody off the path while its robot stands at its beginning.
    fn all_aside(&self, path: &[NodeIx], mut stones: Stones) -> Option<Vec<Shift>> {
        let mut shifts = Vec::new();
        let stands = |stones: &Stones, node: &NodeIx| stones[usize::from(node.0)].is_some();
        while path[1..].iter().any(|node| stands(&stones, node)) {
            let off = |node: NodeIx| !path.contains(&node);
            let chain = path[1..]
                .iter()
                .filter(|node| stands(&stones, node))
                .find_map(|node| self.exit(*node, path[0], &stones, off))?;
            shifts.push(shift(&mut stones, &chain));
        }
        Some(shifts)
    }

    /// Its robot goes on node by node, and whoever stands on the next goes off the rest of the path by preference (`off`)
    /// or just to the nearest free node. Only who has to go first is told.
    ///
    /// # Errors
    /// The node from which its robot finds the next one taken for good.
    fn one_by_one(&self, path: &[NodeIx], mut stones: Stones, off: bool) -> Result<Vec<Shift>, NodeIx> {
        let mut first = None;
        for (index, pair) in path.windows(2).enumerate() {
            let [at, next] = [pair[0], pair[1]];
            if stones[usize::from(next.0)].is_none() {
                continue;
            }
            let out = off.then(|| self.exit(next, at, &stones, |node| !path[index..].contains(&node))).flatten();
            let chain = out.or_else(|| self.exit(next, at, &stones, |node| node != at)).ok_or(at)?;
            let shift = shift(&mut stones, &chain);
            first.get_or_insert(shift);
        }
        Ok(first.into_iter().collect())
    }

    /// The shortest way from `from` to a free node that is `good`, over nodes where others stand if need be, but not
    /// over `avoid`; of equally near ones a parking node.
    fn exit(&self, from: NodeIx, avoid: NodeIx, stones: &Stones, good: impl Fn(NodeIx) -> bool) -> Option<Vec<NodeIx>> {
        let mut best: Option<Vec<NodeIx>> = None;
        for way in self.around(from, &|node| node != avoid) {
            let end = way.last().copied().unwrap_or(from);
            if best.as_ref().is_some_and(|best| best.len() < way.len()) {
                break;
            }
            if stones[usize::from(end.0)].is_some() || !good(end) {
                continue;
            }
            if self.map.node(end).parking {
                return Some(way);
            }
            best.get_or_insert(way);
        }
        best
    }

    /// The ways over `open` nodes from a node to the others, by their number of nodes.
    fn around<'b>(&'b self, from: NodeIx, open: &'b dyn Fn(NodeIx) -> bool) -> impl Iterator<Item = Vec<NodeIx>> + 'b {
        let mut seen = self.closed.clone();
        seen[usize::from(from.0)] = true;
        let mut ways = VecDeque::from([vec![from]]);
        std::iter::from_fn(move || {
            let way = ways.pop_front()?;
            let at = way.last().copied().unwrap_or(from);
            for next in self.map.ways(at).iter().map(|next| next.to) {
                if open(next) && !std::mem::replace(&mut seen[usize::from(next.0)], true) {
                    let mut longer = way.clone();
                    longer.push(next);
                    ways.push_back(longer);
                }
            }
            Some(way)
        })
        .skip(1)
    }
}

/// Moves every stone on the chain one place on: the last to the chain's free end, each before it to where that one was.
fn shift(stones: &mut Stones, chain: &[NodeIx]) -> Shift {
    let mut shift = Vec::new();
    let mut goal = chain.len() - 1;
    for at in (0..goal).rev() {
        if let Some(robot) = stones[usize::from(chain[at].0)].take() {
            stones[usize::from(chain[goal].0)] = Some(robot);
            shift.push((robot, chain[at..=goal].to_vec()));
            goal = at;
        }
    }
    shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roadmap::Node;
    use proptest::prelude::*;

    /// A map of nodes a metre apart in a row by their number; only the ways matter.
    fn map(nodes: u16, ways: &[(u16, u16)]) -> Roadmap {
        let node = |at: u16| Node {
            code: stowage_base::code(&format!("N{at}")).expect("short"),
            x_mm: i32::from(at) * 1_000,
            y_mm: 0,
            station: None,
            parking: false,
        };
        Roadmap::new((0..nodes).map(node).collect(), ways.iter().map(|(a, b)| (NodeIx(*a), NodeIx(*b))))
    }

    fn both(ways: &[(u16, u16)]) -> Vec<(u16, u16)> {
        ways.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect()
    }

    /// Robots that drive as they are told, one node at a time.
    struct Floor {
        map: Roadmap,
        movers: Vec<Mover>,
        /// Goals still to reach by each, the next one last.
        goals: Vec<Vec<NodeIx>>,
        /// Who asked first goes first.
        ranks: Vec<u64>,
        asked: u64,
        /// When each drove last.
        drove: Vec<u64>,
        turn: u64,
    }

    impl Floor {
        fn new(map: Roadmap, starts: &[u16], goals: &[&[u16]]) -> Self {
            let mover = |at: &u16| Mover { held: vec![NodeIx(*at)], goal: None, readiness: Readiness::Ready };
            let goals = goals.iter().map(|list| list.iter().rev().map(|goal| NodeIx(*goal)).collect());
            let ranks = vec![0; starts.len()];
            Self {
                map,
                movers: starts.iter().map(mover).collect(),
                goals: goals.collect(),
                drove: ranks.clone(),
                ranks,
                asked: 0,
                turn: 0,
            }
        }

        fn decide(&mut self) {
            for robot in 0..self.movers.len() {
                let mover = &mut self.movers[robot];
                while mover.goal.is_none_or(|goal| mover.held == [goal]) {
                    mover.goal = self.goals[robot].pop();
                    if mover.goal.is_none() {
                        break;
                    }
                    self.asked += 1;
                    self.ranks[robot] = self.asked;
                }
            }
            let mut order: Vec<usize> = (0..self.movers.len()).collect();
            order.sort_by_key(|robot| (self.movers[*robot].goal.is_none(), self.ranks[*robot]));
            let sorted: Vec<Mover> = order.iter().map(|robot| self.movers[*robot].clone()).collect();
            for (robot, given) in order.into_iter().zip(decide(&self.map, &[], &sorted)) {
                let mover = &mut self.movers[robot];
                for node in given.claims {
                    assert!(self.map.ways(mover.end()).iter().any(|way| way.to == node), "no way to {node:?}");
                    mover.held.push(node);
                }
            }
            let mut held: Vec<NodeIx> = self.movers.iter().flat_map(|mover| mover.held.clone()).collect();
            let count = held.len();
            held.sort();
            held.dedup();
            assert_eq!(held.len(), count, "a node is held twice: {:?}", self.movers);
        }

        /// Lets one robot that can reach its next node; `false` if none can.
        fn drive(&mut self, pick: usize) -> bool {
            let moving: Vec<usize> = (0..self.movers.len()).filter(|at| self.movers[*at].held.len() > 1).collect();
            if moving.is_empty() {
                return false;
            }
            // No robot stands still for ever on a free way.
            self.turn += 1;
            let longest = moving.iter().copied().min_by_key(|at| self.drove[*at]).unwrap_or(0);
            let robot = if self.turn.is_multiple_of(5) { longest } else { moving[pick % moving.len()] };
            self.drove[robot] = self.turn;
            self.movers[robot].held.remove(0);
            true
        }

        fn done(&self) -> bool {
            let arrived = |mover: &Mover| mover.goal.is_none_or(|goal| mover.held == [goal]);
            self.goals.iter().all(Vec::is_empty) && self.movers.iter().all(arrived)
        }

        /// Everything finishes, whatever the order in which the robots drive.
        fn finish(&mut self, mut picks: impl FnMut() -> usize) {
            for _ in 0..4_000 {
                self.decide();
                if self.done() {
                    return;
                }
                assert!(
                    self.drive(picks()),
                    "nobody moves: {:?} map {}",
                    self.movers,
                    self.map
                        .indices()
                        .map(|n| format!("{}:{:?} ", n.0, self.map.ways(n).iter().map(|w| w.to.0).collect::<Vec<_>>()))
                        .collect::<String>()
                );
            }
            panic!(
                "it never ends: {:?} ranks {:?} goals {:?} map {}",
                self.movers,
                self.ranks,
                self.goals,
                self.map
                    .indices()
                    .map(|n| format!("{}:{:?} ", n.0, self.map.ways(n).iter().map(|w| w.to.0).collect::<Vec<_>>()))
                    .collect::<String>()
            );
        }
    }

    #[test]
    fn two_robots_on_a_line_with_a_siding_change_places() {
        // 0 – 1 – 2 – 3 – 4 – 5, and 6 beside 2.
        let ways = both(&[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (2, 6)]);
        for starts in [[0, 5], [1, 3], [3, 4], [4, 5], [2, 5], [6, 0], [0, 1]] {
            for pick in [0, 1] {
                let mut floor = Floor::new(map(7, &ways), &starts, &[&[5, 0], &[0, 5]]);
                floor.finish(|| pick);
            }
        }
    }

    #[test]
    fn an_idle_robot_in_the_way_goes_aside_even_from_a_dead_end() {
        let ways = both(&[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (2, 6)]);
        for idle in 1..6 {
            let mut floor = Floor::new(map(7, &ways), &[0, idle], &[&[5, 0, 5], &[]]);
            floor.finish(|| 0);
            assert_eq!(floor.movers[0].held, [NodeIx(5)], "idle at {idle}");
        }
    }

    #[test]
    fn what_cannot_be_moved_is_gone_around_or_waited_for() {
        let ring = both(&[(0, 1), (1, 2), (2, 3), (3, 0)]);
        let mover =
            |at: u16, goal: Option<u16>, readiness| Mover { held: vec![NodeIx(at)], goal: goal.map(NodeIx), readiness };
        let movers = [mover(0, Some(2), Readiness::Ready), mover(1, None, Readiness::Stuck)];
        let moves = decide(&map(4, &ring), &[], &movers);
        assert_eq!(moves[0].claims, [NodeIx(3), NodeIx(2)]);
        let moves = decide(&map(4, &ring), &[NodeIx(3)], &movers);
        assert_eq!((moves[0].claims.as_slice(), moves[0].wait), (&[][..], Some(Wait::Closed)));
    }

    #[test]
    fn a_robot_at_work_is_waited_for_by_name() {
        let line = both(&[(0, 1), (1, 2), (2, 3)]);
        let movers = [
            Mover { held: vec![NodeIx(0)], goal: Some(NodeIx(3)), readiness: Readiness::Ready },
            Mover { held: vec![NodeIx(2)], goal: None, readiness: Readiness::Busy },
        ];
        let line = map(5, &[line, both(&[(2, 4)])].concat());
        let moves = decide(&line, &[], &movers);
        assert_eq!(moves[0].claims, [NodeIx(1)]);
        assert_eq!(moves[0].wait, Some(Wait::Robot(1, NodeIx(2))));
        assert!(moves[1].claims.is_empty());
    }

    /// A ring, driven one way or both, with ears on it: further ways from one of its nodes to another over new nodes.
    fn with_cycles() -> impl Strategy<Value = Roadmap> {
        let ear = (any::<u16>(), any::<u16>(), 0..3_u16);
        (3..9_u16, any::<bool>(), prop::collection::vec(ear, 0..4)).prop_map(|(ring, one_way, ears)| {
            let mut ways: Vec<(u16, u16)> = (0..ring).map(|at| (at, (at + 1) % ring)).collect();
            let mut nodes = ring;
            for (from, to, length) in ears {
                let (from, to) = (from % nodes, to % nodes);
                // An ear from a node to itself hangs on that one node; it needs two of its own to be a ring.
                let length = if from == to { length + 2 } else { length };
                let between: Vec<u16> = (nodes..nodes + length).collect();
                nodes += length;
                let stops: Vec<u16> = std::iter::once(from).chain(between).chain([to]).collect();
                ways.extend(stops.windows(2).map(|pair| (pair[0], pair[1])));
            }
            map(nodes, &if one_way { ways } else { both(&ways) })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn no_node_is_held_twice_and_everything_finishes_where_ways_form_cycles(
            map in with_cycles(),
            robots in 1..6_usize,
            goals in prop::collection::vec(prop::collection::vec(any::<u16>(), 0..4), 6),
            starts in any::<u16>(),
            picks in prop::collection::vec(any::<usize>(), 1..50),
        ) {
            let nodes = map.nodes().len() as u16;
            // Where all is one-way, nobody can make room backwards: it takes more of it.
            let one_way = map.indices().any(|at| map.ways(at).iter().any(|way| map.ways(way.to).iter().all(|back| back.to != at)));
            let robots = robots.min(usize::from(nodes) / if one_way { 4 } else { 2 }).max(1);
            let starts: Vec<u16> = (0..robots as u16).map(|at| (starts % nodes + at) % nodes).collect();
            let goals: Vec<Vec<u16>> =
                goals.iter().take(robots).map(|list| list.iter().map(|goal| goal % nodes).collect()).collect();
            let goals: Vec<&[u16]> = goals.iter().map(Vec::as_slice).collect();
            let mut floor = Floor::new(map, &starts, &goals);
            let mut turn = 0;
            floor.finish(|| {
                turn += 1;
                picks[turn % picks.len()]
            });
        }
    }
}
