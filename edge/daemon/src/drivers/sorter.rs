//! Drives a smart sorter's session over MQTT.

use super::backoff::Backoff;
use crate::adapt::sorter::{self, Said};
use crate::config::Broker;
use crate::mqtt::{Connection, Happened};
use crate::runtime::{Clock, Port};
use std::collections::VecDeque;
use std::sync::Arc;
use stowage_core::input::{DeviceEvent, SorterEvent};
use stowage_core::{Effect, Input};
use stowage_protocol::sorter::{Event, Order};
use stowage_protocol::sorter_mqtt::{Edge, EdgeSettings, Sink, TO_EDGE};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Inputs that wait for credit: past it the newest is dropped and counted, for a sorter never sends so many.
const WAITING_MAX: usize = 4_096;

/// How soon inputs that found no credit are offered again.
const OFFER_AGAIN: std::time::Duration = std::time::Duration::from_millis(5);

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
    port: &'a Port,
    waiting: &'a mut VecDeque<Input>,
}

impl Sink for ToEngine<'_> {
    fn publish(&mut self, topic: &str, payload: Vec<u8>) {
        if let Some(connection) = self.connection {
            // What finds no room is sent again by the session, as long as it makes sense.
            let _ = connection.publish(format!("{}{topic}", self.base), payload, false);
        }
    }

    fn event(&mut self, event: Event) {
        sorter::event(event, |said| match said {
            Said::Device(event) => self.port.tell(event),
            Said::Sorter(event) => self.input(event),
        });
    }
}

impl ToEngine<'_> {
    fn input(&mut self, event: SorterEvent) {
        let input = Input::Sorter { sorter: self.port.device, event };
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

impl Sorter {
    /// Connects and serves, again and again, until told to stop.
    pub(super) async fn run(mut self) {
        let mut session = Edge::new(EdgeSettings::default());
        let mut waiting = VecDeque::new();
        let mut backoff = Backoff::new();
        loop {
            let topics = TO_EDGE.iter().map(|topic| format!("{}{topic}", self.base)).collect();
            let connection = Connection::open(&self.broker, &self.client, topics);
            let why = self.serve(&mut session, connection, &mut waiting, &mut backoff).await;
            let now = self.clock.now();
            session.disconnected(now, &mut self.sink(None, &mut waiting));
            let Some(why) = why else { return };
            self.port.tell(DeviceEvent::Down(format!("broker {}:{}: {why}", self.broker.host, self.broker.port)));
            let pause = tokio::time::sleep(backoff.wait());
            tokio::pin!(pause);
            // Commands for a sorter out of reach still run into their deadlines.
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
                            if let Some(topic) = topic.strip_prefix(&self.base) {
                                session.receive(now, topic, &payload, &mut self.sink(Some(&connection), waiting));
                            }
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
        match effect {
            Effect::Divert { boot, item, chute, deadline, .. } => {
                let order = Order { boot, item, chute, deadline };
                session.divert(self.clock.now(), order, &mut self.sink(connection, waiting));
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

    fn sink<'a>(&'a self, connection: Option<&'a Connection>, waiting: &'a mut VecDeque<Input>) -> ToEngine<'a> {
        ToEngine { connection, base: &self.base, port: &self.port, waiting }
    }
}
