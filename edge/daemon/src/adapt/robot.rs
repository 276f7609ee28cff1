//! Robots: what they tell, and where they are told to drive.

use serde_json::Value;
use stowage_base::{Duration, Timestamp};
use stowage_core::Site;
use stowage_core::input::{ActState, DeviceEvent, Drive, Handling, RobotEvent, RobotReport};
use stowage_protocol::vda5050::model::{
    Action, ActionParameter, ActionStatus, BlockingType, EmergencyStop, ErrorLevel, OperatingMode,
};
use stowage_protocol::vda5050::{Event, Order, Report, Stop};

/// How near to a node a robot has to come, mm: it must be clear at which node it stands.
const DEVIATION_MM: u32 = 250;

/// What a robot can't be told for so long is decided anew.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// One thing that a robot's event is to the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// About its session.
    Device(DeviceEvent),
    /// About itself.
    Robot(RobotEvent),
}

/// Tells `hear` what `event` is to the engine, in order. Positions count on the map `map` alone.
pub fn event(event: Event, map: &str, mut hear: impl FnMut(Said)) {
    let said = match event {
        Event::Up => Said::Device(DeviceEvent::Up),
        Event::Down { why } => {
            hear(Said::Robot(RobotEvent::Gone(why.into())));
            Said::Device(DeviceEvent::Down(why.into()))
        }
        Event::State(report) => Said::Robot(RobotEvent::Told(Box::new(self::report(*report, map)))),
        Event::Position(position) if position.map == map => {
            Said::Robot(RobotEvent::At { x_mm: position.x_mm, y_mm: position.y_mm })
        }
        Event::Rejected { order, update, reason } => {
            let what = format!("it refuses update {update} of {order}: {reason}");
            hear(Said::Device(DeviceEvent::Fault { count: 1, what }));
            Said::Robot(RobotEvent::Refused { drive: order, update, reason })
        }
        Event::Missed { order, update, .. } => Said::Robot(RobotEvent::NotSent { drive: order, update }),
        Event::Cancelled { order } => Said::Robot(RobotEvent::Stopped { drive: order }),
        Event::Malformed { topic, what } => {
            Said::Device(DeviceEvent::Malformed { count: 1, what: format!("on topic {topic}: {what}") })
        }
        // Each state tells all of this as well.
        Event::Position(_)
        | Event::Factsheet(_)
        | Event::Accepted { .. }
        | Event::Lost { .. }
        | Event::NodeReached { .. }
        | Event::Action { .. }
        | Event::Instant { .. } => return,
    };
    hear(said);
}

fn report(report: Report, map: &str) -> RobotReport {
    let hindered = hindrance(&report);
    let act = |status: ActionStatus, result: Option<String>| match status {
        ActionStatus::Finished => ActState::Done,
        ActionStatus::Failed | ActionStatus::Retriable => {
            ActState::Failed(result.filter(|result| !result.is_empty()).unwrap_or_else(|| "it gives no reason".into()))
        }
        ActionStatus::Waiting | ActionStatus::Initializing | ActionStatus::Running | ActionStatus::Paused => {
            ActState::Open
        }
    };
    let acts =
        report.actions.into_iter().map(|action| (action.action_id, act(action.action_status, action.action_result)));
    RobotReport {
        drive: report.order,
        update: report.update,
        idle: report.idle,
        node: report.last_node,
        // Nodes have the even numbers.
        stop: report.last_sequence / 2,
        driving: report.driving,
        hindered,
        charge: report.charge_percent,
        loads: report.loads.map(|loads| u16::try_from(loads.len()).unwrap_or(u16::MAX)),
        position: report.position.filter(|position| position.map == map).map(|position| (position.x_mm, position.y_mm)),
        acts: acts.collect(),
    }
}

/// Why a robot takes no orders.
fn hindrance(report: &Report) -> Option<String> {
    let mode = match report.mode {
        OperatingMode::Automatic | OperatingMode::Semiautomatic => None,
        OperatingMode::Startup => Some("is starting up"),
        OperatingMode::Intervened | OperatingMode::Manual => Some("is driven by hand"),
        OperatingMode::Service => Some("is in service"),
        OperatingMode::TeachIn => Some("is being taught"),
    };
    if let Some(mode) = mode {
        return Some(mode.into());
    }
    if report.emergency_stop != EmergencyStop::None {
        return Some("is stopped in emergency: release it at the robot".into());
    }
    if report.paused {
        return Some("is paused".into());
    }
    let fatal = report.errors.iter().find(|error| error.error_level == ErrorLevel::Fatal)?;
    let words = fatal.error_description.as_ref().map_or_else(String::new, |words| format!(": {words}"));
    Some(format!("reports {}{words}", fatal.error_type))
}

/// The whole way of a robot, in its words.
pub fn order(drive: &Drive, site: &Site, now: Timestamp) -> Order {
    let stop = |stop: &stowage_core::input::Stop| {
        // The core drives on the site's own roadmap: there is such a node.
        let node = site.roadmap.coded(&stop.node).map(|node| site.roadmap.node(node));
        Stop {
            node: stop.node.as_str().into(),
            x_mm: node.map_or(0, |node| node.x_mm),
            y_mm: node.map_or(0, |node| node.y_mm),
            theta_mrad: None,
            deviation_mm: DEVIATION_MM,
            released: stop.released,
            actions: stop.act.iter().map(|(id, handling, station)| action(id, *handling, station)).collect(),
            edge: None,
            speed_mm_s: None,
        }
    };
    Order {
        id: drive.id.clone(),
        update: drive.update,
        first_sequence: drive.first * 2,
        nodes: drive.stops.iter().map(stop).collect(),
        deadline: now + TOLD_WITHIN,
    }
}

fn action(id: &str, handling: Handling, station: &str) -> Action {
    let parameter = |key: &str, value: &str| ActionParameter { key: key.into(), value: Value::from(value) };
    Action {
        action_type: match handling {
            Handling::Pick => "pick".into(),
            Handling::Drop => "drop".into(),
        },
        action_id: id.into(),
        action_descriptor: None,
        blocking_type: BlockingType::Hard,
        action_parameters: vec![parameter("stationType", "floor"), parameter("stationName", station)],
        retriable: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stowage_protocol::vda5050::model::{ActionState, RobotError};
    use stowage_protocol::vda5050::{Position, Version};

    fn told(report: Report) -> RobotReport {
        let mut told = None;
        event(Event::State(Box::new(report)), "floor", |said| told = Some(said));
        match told {
            Some(Said::Robot(RobotEvent::Told(report))) => *report,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_report_counts_stops_and_tells_what_was_done_and_where() {
        let action = |id: &str, status, result: Option<&str>| ActionState {
            action_id: id.into(),
            action_type: None,
            action_descriptor: None,
            action_status: status,
            action_result: result.map(Into::into),
        };
        let position = Position { x_mm: 1, y_mm: 2, theta_mrad: 0, map: "floor".into() };
        let report = Report {
            order: "D-1".into(),
            last_sequence: 6,
            loads: Some(Vec::new()),
            position: Some(position.clone()),
            actions: vec![
                action("a", ActionStatus::Paused, None),
                action("b", ActionStatus::Finished, Some("ok")),
                action("c", ActionStatus::Failed, Some("no load")),
                action("d", ActionStatus::Retriable, None),
            ],
            ..Report::default()
        };
        let told_here = told(report.clone());
        assert_eq!((told_here.stop, told_here.loads, told_here.position), (3, Some(0), Some((1, 2))));
        let acts: Vec<ActState> = told_here.acts.into_iter().map(|(_, act)| act).collect();
        let failed = |why: &str| ActState::Failed(why.into());
        assert_eq!(acts, [ActState::Open, ActState::Done, failed("no load"), failed("it gives no reason")]);
        let elsewhere = Position { map: "cellar".into(), ..position };
        assert_eq!(told(Report { position: Some(elsewhere), ..report }).position, None, "on another map");
    }

    #[test]
    fn whoever_takes_no_orders_tells_why() {
        let error = |level| RobotError {
            error_type: "lost".into(),
            error_references: Vec::new(),
            error_description: Some("no wall in sight".into()),
            error_hint: None,
            error_level: level,
        };
        let why = |report: Report| told(report).hindered.unwrap_or_default();
        assert_eq!(why(Report::default()), "");
        assert_eq!(why(Report { mode: OperatingMode::Manual, ..Report::default() }), "is driven by hand");
        assert_eq!(why(Report { paused: true, ..Report::default() }), "is paused");
        let stopped = Report { emergency_stop: EmergencyStop::Manual, ..Report::default() };
        assert_eq!(why(stopped), "is stopped in emergency: release it at the robot");
        let with = |level| Report { errors: vec![error(level)], ..Report::default() };
        assert_eq!(why(with(ErrorLevel::Fatal)), "reports lost: no wall in sight");
        assert_eq!(why(with(ErrorLevel::Critical)), "", "with another order it can go on");
    }

    #[test]
    fn every_event_is_one_thing_or_none() {
        let said = |event: Event| {
            let mut said = Vec::new();
            self::event(event, "floor", |one| said.push(one));
            said
        };
        assert_eq!(said(Event::Up), [Said::Device(DeviceEvent::Up)]);
        assert_eq!(said(Event::Down { why: "silent" }).len(), 2);
        let refused = Event::Rejected { order: "D-1".into(), update: 2, reason: "no".into() };
        let expected = RobotEvent::Refused { drive: "D-1".into(), update: 2, reason: "no".into() };
        assert_eq!(said(refused).pop(), Some(Said::Robot(expected)));
        let missed = Event::Missed { order: "D-1".into(), update: 2, sent: true };
        assert_eq!(said(missed), [Said::Robot(RobotEvent::NotSent { drive: "D-1".into(), update: 2 })]);
        assert_eq!(said(Event::Lost { order: "D-1".into() }), []);
        assert_eq!(Version::ALL.len(), 3);
    }
}
