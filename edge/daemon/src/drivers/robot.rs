//! Drives a robot's VDA 5050 session over MQTT.

use super::backoff::Backoff;
use crate::adapt::robot::{self, Said};
use crate::config;
use crate::mqtt::{Connection, Happened};
use crate::runtime::{Clock, Port};
use rumqttc::QoS;
use std::collections::VecDeque;
use std::sync::Arc;
use stowage_core::input::{DeviceEvent, RobotEvent};
use stowage_core::{Effect, Input, Site};
use stowage_protocol::vda5050::{Edge, EdgeSettings, Event, Qos, Sink};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Inputs that wait for credit: past it the newest is dropped and counted, for a robot never sends so many.
const WAITING_MAX: usize = 256;

/// How soon inputs that found no credit are offered again.
const OFFER_AGAIN: std::time::Duration = std::time::Duration::from_millis(5);

pub(super) struct Robot {
    pub(super) settings: config::Robot,
    /// Unique at the broker.
    pub(super) client: String,
    pub(super) site: Arc<Site>,
    pub(super) port: Port,
    pub(super) effects: mpsc::Receiver<Effect>,
    pub(super) clock: Arc<Clock>,
    pub(super) stop: CancellationToken,
}

struct ToEngine<'a> {
    connection: Option<&'a Connection>,
    map: &'a str,
    port: &'a Port,
    waiting: &'a mut VecDeque<Input>,
}

impl Sink for ToEngine<'_> {
    fn publish(&mut self, topic: &str, payload: Vec<u8>, qos: Qos, retain: bool) {
        if let Some(connection) = self.connection {
            let qos = match qos {
                Qos::AtMostOnce => QoS::AtMostOnce,
                Qos::AtLeastOnce => QoS::AtLeastOnce,
            };
            // What finds no room is sent again by the session, as long as it makes sense.
            let _ = connection.publish(topic.into(), payload, qos, retain);
        }
    }

    fn event(&mut self, event: Event) {
        robot::event(event, self.map, |said| match said {
            Said::Device(event) => self.port.tell(event),
            Said::Robot(event) => self.input(event),
        });
    }
}

impl ToEngine<'_> {
    fn input(&mut self, event: RobotEvent) {
        let input = Input::Robot { robot: self.port.device, event };
        if self.waiting.is_empty() {
            if let Err(input) = self.port.offer(input) {
                self.waiting.push_back(*input);
            }
        } else if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(input);
        } else {
            let what = "more messages than can be handled: the newest were dropped".into();
            self.port.tell(DeviceEvent::Fault { count: 1, what });
        }
    }
}

impl Robot {
    /// Connects and serves, again and again, until told to stop.
    pub(super) async fn run(mut self) {
        let config::Robot { broker, version, interface, manufacturer, serial, map, .. } = self.settings.clone();
        let mut session = Edge::new(EdgeSettings { version, interface, manufacturer, serial, map });
        let mut waiting = VecDeque::new();
        let mut backoff = Backoff::new();
        loop {
            let topics = session.subscriptions().into_iter().map(|(topic, _)| topic).collect();
            let connection = Connection::open(&broker, &self.client, topics);
            let why = self.serve(&mut session, connection, &mut waiting, &mut backoff).await;
            let now = self.clock.now();
            session.disconnected(now, &mut self.sink(None, &mut waiting));
            let Some(why) = why else { return };
            self.port.tell(DeviceEvent::Down(format!("broker {}:{}: {why}", broker.host, broker.port)));
            let pause = tokio::time::sleep(backoff.wait());
            tokio::pin!(pause);
            loop {
                self.drain(&mut waiting);
                let deadline = session.next_deadline();
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = &mut pause => break,
                    Some(effect) = self.effects.recv() => self.effect(&mut session, None, &mut waiting, effect),
                    () = self.clock.sleep_until(deadline) => {
                        let now = self.clock.now();
                        session.tick(now, &mut self.sink(None, &mut waiting));
                    }
                }
            }
        }
    }

    /// Offers what waits for credit, as far as there is some.
    fn drain(&self, waiting: &mut VecDeque<Input>) {
        while let Some(input) = waiting.pop_front() {
            if let Err(input) = self.port.offer(input) {
                waiting.push_front(*input);
                return;
            }
        }
    }

    /// One connection, to its end; `None` when told to stop.
    async fn serve(
        &mut self,
        session: &mut Edge,
        mut connection: Connection,
        waiting: &mut VecDeque<Input>,
        backoff: &mut Backoff,
    ) -> Option<String> {
        loop {
            self.drain(waiting);
            let deadline = session.next_deadline();
            tokio::select! {
                () = self.stop.cancelled() => return None,
                happened = connection.happened.recv() => {
                    let now = self.clock.now();
                    match happened {
                        Some(Happened::Up) => {
                            backoff.reset();
                            session.connected(now, &mut self.sink(Some(&connection), waiting));
                        }
                        Some(Happened::Message { topic, payload }) => {
                            session.receive(now, &topic, &payload, &mut self.sink(Some(&connection), waiting));
                        }
                        Some(Happened::TooLong(what)) => self.port.tell(DeviceEvent::Malformed { count: 1, what }),
                        Some(Happened::Acknowledged) => {}
                        Some(Happened::Over(why)) => return Some(why),
                        None => return Some("the connection ended".into()),
                    }
                }
                Some(effect) = self.effects.recv() => self.effect(session, Some(&connection), waiting, effect),
                () = self.clock.sleep_until(deadline) => {
                    let now = self.clock.now();
                    session.tick(now, &mut self.sink(Some(&connection), waiting));
                }
                () = tokio::time::sleep(OFFER_AGAIN), if !waiting.is_empty() => {}
            }
        }
    }

    fn effect(
        &self,
        session: &mut Edge,
        connection: Option<&Connection>,
        waiting: &mut VecDeque<Input>,
        effect: Effect,
    ) {
        let now = self.clock.now();
        match effect {
            Effect::Drive { drive, .. } => {
                let order = robot::order(&drive, &self.site, now);
                session.order(now, order, &mut self.sink(connection, waiting));
            }
            Effect::CancelDrive { drive, .. } => {
                session.cancel(now, &drive, &mut self.sink(connection, waiting));
            }
            Effect::Answer { .. }
            | Effect::Refuse { .. }
            | Effect::Divert { .. }
            | Effect::Recorded { .. }
            | Effect::AddTask { .. }
            | Effect::RemoveTask { .. }
            | Effect::Reply { .. } => {}
        }
    }

    fn sink<'a>(&'a self, connection: Option<&'a Connection>, waiting: &'a mut VecDeque<Input>) -> ToEngine<'a> {
        ToEngine { connection, map: &self.settings.map, port: &self.port, waiting }
    }
}
