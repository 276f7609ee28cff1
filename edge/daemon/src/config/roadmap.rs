//! `[[node]]`, `[[edge]]` and `[[transport]]`: where robots drive, and what they bring by themselves.

use super::device::{Chutes, DeviceKind, Devices};
use super::read::{At, File, Found, Names, Section};
use super::site::PLAN_MM_MAX;
use std::collections::BTreeSet;
use stowage_base::Code;
use stowage_core::roadmap::{Node, NodeIx, Roadmap, distance_mm};
use stowage_core::site::{TransportRule, TransportWhen};

/// Nodes, and an edge and a node beside it, are at least this far apart, mm: robots that hold different nodes must not
/// touch, and by its position it must be clear at which node a robot stands.
const APART_MM: u64 = 1_000;

/// A roadmap as read, with where its nodes stand in the file.
pub(super) struct Read {
    pub(super) map: Roadmap,
    pub(super) names: Names,
}

/// Reads the roadmap; `is_place` says whether there is a location of a code, and faults if not.
pub(super) fn read(root: &mut Section<'_>, is_place: &dyn Fn(&File, &Found<Code>) -> bool) -> Read {
    let file = root.file;
    let mut names = Names::new("node");
    let mut stations = Names::new("station");
    let mut nodes: Vec<(Node, At)> = Vec::new();
    for (index, mut section) in root.sections("node").into_iter().enumerate() {
        section.require(&[
            ("code", "a short name, as the robots know it"),
            ("x_mm", "how far to the right on the plan"),
            ("y_mm", "how far down on the plan"),
        ]);
        let code = section.code("code").unwrap_or_default();
        names.add(file, &code, index);
        let station = section.code("station").filter(|station| is_place(file, station));
        if let Some(station) = &station {
            stations.add(file, station, index);
        }
        let mut mm = |key| section.number(key, -PLAN_MM_MAX..=PLAN_MM_MAX).map_or(0, |mm: Found<i32>| mm.value);
        let (x_mm, y_mm) = (mm("x_mm"), mm("y_mm"));
        let parking = section.flag("parking").is_some_and(|parking| parking.value);
        let station = station.map(|station| station.value);
        nodes.push((Node { code: code.value, x_mm, y_mm, station, parking }, section.at.clone()));
        section.end();
    }
    let edges = edges(root, &names);
    if !file.is_faulty() {
        apart(file, &nodes, &edges);
    }
    if !file.is_faulty() {
        connected(file, &nodes, &edges);
    }
    let pairs = edges.iter().flat_map(|edge| {
        let back = (!edge.one_way).then_some((edge.to, edge.from));
        [Some((edge.from, edge.to)), back].into_iter().flatten()
    });
    let map = Roadmap::new(nodes.iter().map(|(node, _)| node.clone()).collect(), pairs);
    Read { map, names }
}

struct Edge {
    from: NodeIx,
    to: NodeIx,
    one_way: bool,
    at: At,
}

fn edges(root: &mut Section<'_>, names: &Names) -> Vec<Edge> {
    let file = root.file;
    let mut edges = Vec::new();
    let mut seen = BTreeSet::new();
    for mut section in root.sections("edge") {
        section.require(&[("between", "two nodes, [\"A\", \"B\"]")]);
        let one_way = section.flag("one_way").is_some_and(|one_way| one_way.value);
        let between = section.codes("between");
        match &between[..] {
            [a, b] => {
                if let (Some(from), Some(to)) = (names.find(file, a), names.find(file, b)) {
                    if from == to {
                        file.fault(&b.at, "is the same node twice: give two");
                    } else if !seen.insert((from.min(to), from.max(to))) {
                        let message = format!("{} and {} have an edge already", a.value, b.value);
                        file.fault_of_key(&section.at, message);
                    }
                    let (from, to) = (NodeIx(from as u16), NodeIx(to as u16));
                    edges.push(Edge { from, to, one_way, at: section.at.clone() });
                }
            }
            [] => {}
            others => {
                let key = format!("{}.between", section.at.key);
                file.fault_of_key(&others[0].at.named(key), format!("has {} nodes: give two", others.len()));
            }
        }
        section.end();
    }
    edges
}

/// Robots that hold different nodes must not touch.
fn apart(file: &File, nodes: &[(Node, At)], edges: &[Edge]) {
    let point = |at: usize| (nodes[at].0.x_mm, nodes[at].0.y_mm);
    for (index, (node, at)) in nodes.iter().enumerate() {
        let near = (0..index).find(|other| distance_mm(point(index), point(*other)) < APART_MM);
        if let Some(other) = near {
            let far = distance_mm(point(index), point(other));
            let other = &nodes[other].0.code;
            let message =
                format!("{} is {far} mm from {other}: robots there would touch; {APART_MM} mm are needed", node.code);
            file.fault_of_key(at, message);
        }
    }
    if file.is_faulty() {
        return;
    }
    let ends = |edge: &Edge| [usize::from(edge.from.0), usize::from(edge.to.0)];
    let name = |edge: &Edge| ends(edge).map(|end| nodes[end].0.code.to_string()).join(" – ");
    for (index, edge) in edges.iter().enumerate() {
        let [a, b] = ends(edge);
        let beside = (0..nodes.len())
            .filter(|node| *node != a && *node != b)
            .find(|node| beside_mm(point(*node), point(a), point(b)) < APART_MM as f64);
        if let Some(node) = beside {
            let message = format!(
                "node {} lies less than {APART_MM} mm beside edge {}: let the edge end there",
                nodes[node].0.code,
                name(edge)
            );
            file.fault_of_key(&edge.at, message);
        }
        let crossed = edges[..index].iter().find(|other| {
            let [c, d] = ends(other);
            ![c, d].contains(&a) && ![c, d].contains(&b) && cross(point(a), point(b), point(c), point(d))
        });
        if let Some(other) = crossed {
            let message = format!(
                "{} crosses edge {}: robots could meet there; give the crossing a node",
                name(edge),
                name(other)
            );
            file.fault_of_key(&edge.at, message);
        }
    }
}

/// How far a point is from the line between two others, mm.
fn beside_mm(point: (i32, i32), from: (i32, i32), to: (i32, i32)) -> f64 {
    let to_f = |(x, y): (i32, i32)| (f64::from(x), f64::from(y));
    let ((px, py), (ax, ay), (bx, by)) = (to_f(point), to_f(from), to_f(to));
    let (dx, dy) = (bx - ax, by - ay);
    let along = (((px - ax) * dx + (py - ay) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
    (px - ax - along * dx).hypot(py - ay - along * dy)
}

/// Whether two lines cross.
fn cross(a: (i32, i32), b: (i32, i32), c: (i32, i32), d: (i32, i32)) -> bool {
    let side = |p: (i32, i32), q: (i32, i32), r: (i32, i32)| {
        let [px, py, qx, qy, rx, ry] = [p.0, p.1, q.0, q.1, r.0, r.1].map(i128::from);
        ((qx - px) * (ry - py) - (qy - py) * (rx - px)).signum()
    };
    side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0
}

/// From each node a robot must get to each other, or it could be sent where it never comes back from.
fn connected(file: &File, nodes: &[(Node, At)], edges: &[Edge]) {
    let Some((first, _)) = nodes.first() else { return };
    let reached = |backwards: bool| {
        let mut reached = vec![false; nodes.len()];
        let mut open = vec![0_usize];
        while let Some(at) = open.pop() {
            if std::mem::replace(&mut reached[at], true) {
                continue;
            }
            for edge in edges {
                let (from, to) = (usize::from(edge.from.0), usize::from(edge.to.0));
                let forth = if backwards { (to, from) } else { (from, to) };
                let back = (forth.1, forth.0);
                for (from, to) in [Some(forth), (!edge.one_way).then_some(back)].into_iter().flatten() {
                    if from == at {
                        open.push(to);
                    }
                }
            }
        }
        reached
    };
    let (there, back) = (reached(false), reached(true));
    for (index, (node, at)) in nodes.iter().enumerate() {
        let message = match (there[index], back[index]) {
            (true, true) => continue,
            (false, false) => format!("no edge joins {} to {}: add one, or take it out", node.code, first.code),
            (false, true) => format!("no way leads from {} to {}: add an edge", first.code, node.code),
            (true, false) => format!("no way leads from {} back to {}: add an edge", node.code, first.code),
        };
        file.fault_of_key(at, message);
    }
}

/// Reads what is brought by itself.
pub(super) fn transports(root: &mut Section<'_>, map: &Roadmap, devices: Option<&Devices>) -> Vec<TransportRule> {
    #[derive(Clone, Copy)]
    struct Full;
    let file = root.file;
    let mut rules = Vec::new();
    for mut section in root.sections("transport") {
        section.require(&[("from", "the station where loads come up"), ("to", "the station to bring them to")]);
        let (from, to) = (section.code("from"), section.code("to"));
        let full = section.choice("when", &[("full", Full)]);
        let parcels = section.number("parcels", 1..=100_000);
        for station in [&from, &to].into_iter().flatten() {
            if map.station(&station.value).is_none() {
                file.fault(&station.at, "is no station: give a node `station` with this location's code");
            }
        }
        if let (Some(from), Some(to)) = (&from, &to)
            && from.value == to.value
        {
            file.fault(&to.at, "is where the load is already: give another station");
        }
        let when = match (&full, &parcels) {
            (Some(_), None) => TransportWhen::Full,
            (None, Some(parcels)) => TransportWhen::Parcels(parcels.value),
            _ => {
                let message = "needs one of: when = \"full\" (a chute that tells that it is full), parcels = NUMBER";
                file.fault_of_key(&section.at, message);
                TransportWhen::Full
            }
        };
        if let (Some(_), Some(devices), Some(from)) = (&full, devices, &from) {
            let chutes = |kind: &Option<DeviceKind>| match kind.as_ref().and_then(DeviceKind::chutes) {
                Some(Chutes { all, .. }) => all.contains(&from.value),
                None => false,
            };
            if !devices.list.iter().any(|(_, kind)| chutes(kind)) {
                file.fault(
                    &from.at,
                    "is no sorter's chute: nobody tells that it is full; give `parcels` instead of `when`",
                );
            }
        }
        section.end();
        if let (Some(from), Some(to)) = (from, to) {
            rules.push(TransportRule { from: from.value, to: to.value, when });
        }
    }
    rules
}
