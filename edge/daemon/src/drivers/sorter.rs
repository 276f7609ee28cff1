//! Drives a smart sorter's session over MQTT.

use super::backoff::Backoff;
use super::outlet::Outlet;
use crate::config::Broker;
use crate::mqtt::{Connection, Happened};
use crate::runtime::{Clock, Port};
use rumqttc::QoS;
use std::sync::Arc;
use stowage_core::Effect;
use stowage_core::input::DeviceEvent;
use stowage_protocol::sorter::{Event, Order};
use stowage_protocol::sorter_mqtt::{Edge, EdgeSettings, Sink, TO_EDGE};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(super) struct Sorter {
    pub(super) broker: Broker,
    /// `stowage/SITE/sorter/ID/`.
    pub(super) base: String,
    /// Unique at the broker.
    pub(super) client: String,
    pub(super) port: Port,
    pub(super) effects: mpsc::Receiver<Effect>,
    pub(super) clock: Arc<Clock>,
    pub(super) stop: CancellationToken,
}

struct ToEngine<'a> {
    connection: Option<&'a Connection>,
    base: &'a str,
    outlet: &'a mut Outlet,
}

impl Sink for ToEngine<'_> {
    fn publish(&mut self, topic: &str, payload: Vec<u8>) {
        if let Some(connection) = self.connection {
            // What finds no room is sent again by the session, as long as it makes sense.
            let _ = connection.publish(format!("{}{topic}", self.base), payload, QoS::AtLeastOnce, false);
        }
    }

    fn event(&mut self, event: Event) {
        self.outlet.event(event);
    }
}

impl Sorter {
    /// Connects and serves, again and again, until told to stop.
    pub(super) async fn run(mut self) {
        let mut session = Edge::new(EdgeSettings::default());
        let mut outlet = Outlet::new(self.port.clone());
        let mut backoff = Backoff::new();
        loop {
            let topics = TO_EDGE.iter().map(|topic| format!("{}{topic}", self.base)).collect();
            let connection = Connection::open(&self.broker, &self.client, topics);
            let why = self.serve(&mut session, connection, &mut outlet, &mut backoff).await;
            let now = self.clock.now();
            session.disconnected(now, &mut self.sink(None, &mut outlet));
            let Some(why) = why else { return };
            outlet.down(format!("broker {}:{}: {why}", self.broker.host, self.broker.port));
            let pause = tokio::time::sleep(backoff.wait());
            tokio::pin!(pause);
            // Commands for a sorter out of reach still run into their deadlines.
            loop {
                outlet.drain();
                let deadline = session.next_deadline();
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = &mut pause => break,
                    Some(effect) = self.effects.recv() => self.effect(&mut session, None, &mut outlet, effect),
                    () = self.clock.sleep_until(deadline) => {
                        let now = self.clock.now();
                        session.tick(now, &mut self.sink(None, &mut outlet));
                    }
                }
            }
        }
    }

    /// One connection, to its end; `None` when told to stop.
    async fn serve(
        &mut self,
        session: &mut Edge,
        mut connection: Connection,
        outlet: &mut Outlet,
        backoff: &mut Backoff,
    ) -> Option<String> {
        loop {
            outlet.drain();
            let deadline = session.next_deadline();
            tokio::select! {
                () = self.stop.cancelled() => return None,
                happened = connection.happened.recv() => {
                    let now = self.clock.now();
                    match happened {
                        Some(Happened::Up) => {
                            backoff.reset();
                            session.connected(now, &mut self.sink(Some(&connection), outlet));
                        }
                        Some(Happened::Message { topic, payload }) => {
                            if let Some(topic) = topic.strip_prefix(&self.base) {
                                session.receive(now, topic, &payload, &mut self.sink(Some(&connection), outlet));
                            }
                        }
                        Some(Happened::TooLong(what)) => self.port.tell(DeviceEvent::Malformed { count: 1, what }),
                        Some(Happened::Acknowledged) => {}
                        Some(Happened::Over(why)) => return Some(why),
                        None => return Some("the connection ended".into()),
                    }
                }
                Some(effect) = self.effects.recv() => self.effect(session, Some(&connection), outlet, effect),
                () = self.clock.sleep_until(deadline) => {
                    let now = self.clock.now();
                    session.tick(now, &mut self.sink(Some(&connection), outlet));
                }
                () = outlet.room() => {}
            }
        }
    }

    fn effect(&self, session: &mut Edge, connection: Option<&Connection>, outlet: &mut Outlet, effect: Effect) {
        match effect {
            Effect::Divert { boot, item, chute, deadline, .. } => {
                let order = Order { boot, item, chute, deadline };
                session.divert(self.clock.now(), order, &mut self.sink(connection, outlet));
            }
            Effect::Recorded { boot, item, .. } => session.recorded(boot, item),
            Effect::Answer { .. }
            | Effect::Refuse { .. }
            | Effect::Drive { .. }
            | Effect::CancelDrive { .. }
            | Effect::AddTask { .. }
            | Effect::RemoveTask { .. }
            | Effect::Reply { .. } => {}
        }
    }

    fn sink<'a>(&'a self, connection: Option<&'a Connection>, outlet: &'a mut Outlet) -> ToEngine<'a> {
        ToEngine { connection, base: &self.base, outlet }
    }
}
