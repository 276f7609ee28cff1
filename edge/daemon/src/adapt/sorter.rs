//! Sorters: what they tell, and how a PLC's session is set up.

use crate::config::SorterModbus;
use stowage_core::input::{Belt, DeviceEvent, SortOutcome, SorterEvent};
use stowage_protocol::modbus::ClientSettings;
use stowage_protocol::modbus_sorter;
use stowage_protocol::sorter::{End, Event, Run};

/// One thing that a sorter's event is to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// About its session.
    Device(DeviceEvent),
    /// About its items and chutes.
    Sorter(SorterEvent),
}

/// Tells `hear` what `event` is to the engine, in order.
pub fn event(event: Event, mut hear: impl FnMut(Said)) {
    let said = match event {
        Event::Up { boot, chutes, run } => {
            hear(Said::Device(DeviceEvent::Up));
            hear(Said::Sorter(SorterEvent::Up { boot }));
            hear(Said::Sorter(SorterEvent::Belt(belt(run))));
            for chute in chutes.into_iter().filter(|chute| chute.full) {
                hear(Said::Sorter(SorterEvent::Full { chute: chute.chute, full: true }));
            }
            return;
        }
        // Sent, but not acknowledged: the item's end will tell.
        Event::Missed { sent: true, .. } => return,
        Event::Down { why } => Said::Device(DeviceEvent::Down(why)),
        Event::Run(run) => Said::Sorter(SorterEvent::Belt(belt(run))),
        Event::Malformed { place, what } => {
            Said::Device(DeviceEvent::Malformed { count: 1, what: format!("{place}: {what}") })
        }
        Event::Scanned { boot, item, code, decide_by } => {
            Said::Sorter(SorterEvent::Scanned { boot, item, code, decide_by })
        }
        Event::Sent { boot, item } => Said::Sorter(SorterEvent::Sent { boot, item }),
        Event::Acknowledged { boot, item } => Said::Sorter(SorterEvent::Acknowledged { boot, item }),
        Event::Refused { boot, item, reason } => Said::Sorter(SorterEvent::Refused { boot, item, reason }),
        Event::Missed { boot, item, sent: false } => Said::Sorter(SorterEvent::NotSent { boot, item }),
        Event::Outcome { boot, item, outcome, chute, commanded: _ } => {
            let outcome = match outcome {
                End::Diverted => SortOutcome::Diverted,
                End::Missed => SortOutcome::Missed,
                End::Full => SortOutcome::Full,
                End::Gap => SortOutcome::Gap,
                End::Double => SortOutcome::Double,
                End::Lost => SortOutcome::Lost,
                End::Jammed => SortOutcome::Jammed,
            };
            Said::Sorter(SorterEvent::Ended { boot, item, outcome, chute })
        }
        Event::ChuteFull { chute, full } => Said::Sorter(SorterEvent::Full { chute, full }),
    };
    hear(said);
}

fn belt(run: Run) -> Belt {
    match run {
        Run::Running => Belt::Running,
        Run::Stopped => Belt::Stopped,
        Run::Estop => Belt::Estop,
    }
}

/// A PLC's session as the configuration wants it.
pub fn modbus(sorter: &SorterModbus) -> modbus_sorter::EdgeSettings {
    let framing = sorter.line.framing();
    modbus_sorter::EdgeSettings {
        client: ClientSettings { framing, unit: sorter.unit, response_max: sorter.response_max },
        map: sorter.map,
        chutes: sorter.numbers.clone(),
        poll: sorter.poll,
        latency_margin: sorter.latency_margin,
    }
}
