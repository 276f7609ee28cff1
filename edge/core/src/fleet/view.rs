//! Robots and transports as pages show them.

use super::Fleet;
use crate::input::Handling;
use crate::site::Site;
use crate::state::{Robot, State, TransportState};
use crate::view::{RobotView, TransportView};

impl Fleet {
    /// A picture of each robot, in order of the devices.
    pub fn robots(&self, site: &Site, state: &State) -> Vec<RobotView> {
        let view = |(&robot, live): (&crate::site::DeviceIx, &super::Live)| {
            let code = &site.device(robot).code;
            let row = state.robots.get(code).cloned().unwrap_or_default();
            let report = live.report.as_ref();
            let node = row.node.as_ref().and_then(|node| site.roadmap.coded(node)).map(|node| site.roadmap.node(node));
            let position =
                report.and_then(|report| report.position).or_else(|| node.map(|node| (node.x_mm, node.y_mm)));
            let held = row.drive.iter().flat_map(|drive| drive.stops.iter().take(drive.released as usize));
            let hindered = self.hindrance(robot, &row).or_else(|| {
                let lies = live.report.is_some() && row.node.is_none() && row.drive.is_none();
                lies.then(|| "stands off the roadmap: drive it to a node by hand".to_owned())
            });
            let rests = live.rests_until.map(|_| "refused its last drive, and is left alone for a while".to_owned());
            RobotView {
                code: code.clone(),
                up: live.up,
                position: position.map(|(x, y)| [x, y]),
                node: row.node.clone(),
                held: held.map(|stop| stop.node.clone()).collect(),
                charge: report.map(|report| report.charge),
                carries: row.carries.clone(),
                transport: row.transport.clone(),
                does: does(&row, state, report.is_some_and(|report| report.driving)),
                waits: hindered.or_else(|| live.waits.clone()).or(rests),
            }
        };
        self.live.iter().map(view).collect()
    }

    /// The transports that are not ended, the oldest first.
    pub fn transports(&self, state: &State) -> Vec<TransportView> {
        let mut open: Vec<_> = state.transports.iter().filter(|(_, transport)| !transport.state.ended()).collect();
        open.sort_by_key(|(_, transport)| transport.planned);
        let view = |(id, transport): (&stowage_base::Code, &crate::state::Transport)| TransportView {
            id: id.clone(),
            from: transport.from.clone(),
            to: transport.to.clone(),
            state: transport.state,
            recalled: transport.recalled,
            robot: transport.robot.clone(),
            since: transport.since,
            waits: self.unassigned.filter(|_| transport.state == TransportState::Planned).map(str::to_owned),
        };
        open.into_iter().map(view).collect()
    }
}

/// What a robot is at, in words.
fn does(row: &Robot, state: &State, driving: bool) -> String {
    let transport = row.transport.as_ref().and_then(|id| state.transports.get(id));
    let act = row.drive.as_ref().filter(|drive| drive.stops.len() == 1 || drive.released == 1);
    let act = act.and_then(|drive| drive.stops.first()?.act).filter(|_| !driving);
    match (&row.drive, transport) {
        (Some(drive), _) if drive.recalled => "is to stop".into(),
        (_, Some(transport)) if transport.state == TransportState::Assigned => match act {
            Some(Handling::Pick) => format!("picks up at {}", transport.from),
            _ => format!("fetches a load at {}", transport.from),
        },
        (_, Some(transport)) => match act {
            Some(Handling::Drop) => format!("puts down at {}", transport.to),
            _ => format!("brings a load to {}", transport.to),
        },
        (Some(_), None) if row.carries.is_none() => "goes out of the way".into(),
        _ if row.carries.is_some() => "carries a load that nobody waits for: take it off".into(),
        _ => "has nothing to do".into(),
    }
}
