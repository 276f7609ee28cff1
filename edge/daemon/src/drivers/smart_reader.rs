//! Drives a smart reader's session over MQTT, and over HTTP where it is controlled so.

use super::backoff::Backoff;
use crate::adapt::reader::{self, Points};
use crate::config::{Broker, Control};
use crate::http;
use crate::mqtt::{Connection, Happened};
use crate::runtime::{Clock, Hearing, Port};
use rumqttc::QoS;
use std::sync::Arc;
use stowage_base::{TagRead, Timestamp, Visit};
use stowage_core::input::DeviceEvent;
use stowage_protocol::reader_mqtt::{Event, Session, Sink};
use stowage_protocol::{impinj_iot, zebra_iotc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Requests are few, and one at a time.
const ANSWERS_MAX: usize = 16;

/// The answer to a request, or why there is none.
pub(super) struct Answer {
    id: u32,
    answer: Result<(u16, Vec<u8>), String>,
}

/// Carries what a session sends to its reader. What can't be sent is dropped: the session asks again.
pub(super) trait Carry<Out> {
    fn carry(&mut self, connection: Option<&Connection>, out: Out);
}

/// Publishes commands.
pub(super) struct Publish;

impl Carry<zebra_iotc::Command> for Publish {
    fn carry(&mut self, connection: Option<&Connection>, out: zebra_iotc::Command) {
        if let Some(connection) = connection {
            let _ = connection.publish(out.topic, out.payload, QoS::AtLeastOnce, false);
        }
    }
}

/// Makes requests, each in a task of its own.
pub(super) struct Rest {
    control: Arc<Control>,
    say: mpsc::Sender<Answer>,
    tasks: TaskTracker,
}

impl Rest {
    /// Requests to `control`, and where their answers arrive.
    pub(super) fn new(control: Control, tasks: TaskTracker) -> (Self, mpsc::Receiver<Answer>) {
        let (say, answers) = mpsc::channel(ANSWERS_MAX);
        (Self { control: Arc::new(control), say, tasks }, answers)
    }
}

impl Carry<impinj_iot::Request> for Rest {
    fn carry(&mut self, _: Option<&Connection>, out: impinj_iot::Request) {
        let (control, say) = (Arc::clone(&self.control), self.say.clone());
        self.tasks.spawn(async move {
            let impinj_iot::Request { id, method, path, body } = out;
            let answer = http::request(&control, method.as_str(), &path, body.unwrap_or_default()).await;
            // Without a driver the daemon is stopping.
            let _ = say.send(Answer { id, answer }).await;
        });
    }
}

/// Puts what a session makes of one message where it belongs.
struct ToEngine<'a, C> {
    carry: &'a mut C,
    connection: Option<&'a Connection>,
    hearing: Hearing<'a>,
    points: &'a Points,
    /// Set once the session is up.
    up: &'a mut bool,
}

impl<Out, C: Carry<Out>> Sink<Out> for ToEngine<'_, C> {
    fn send(&mut self, out: Out) {
        self.carry.carry(self.connection, out);
    }

    fn read(&mut self, read: &TagRead) {
        if let Some(point) = self.points.get(read.antenna) {
            self.hearing.reads().read(point, read);
        }
    }

    fn visit(&mut self, visit: &Visit) {
        if let Some(point) = self.points.get(visit.antenna) {
            self.hearing.reads().visit(point, visit);
        }
    }

    fn event(&mut self, event: Event) {
        *self.up |= event == Event::Up;
        if let Some(event) = reader::smart_event(event) {
            self.hearing.event(event);
        }
    }
}

pub(super) struct SmartReader<S, C> {
    pub(super) session: S,
    pub(super) carry: C,
    pub(super) answers: mpsc::Receiver<Answer>,
    pub(super) broker: Broker,
    /// Unique at the broker.
    pub(super) client: String,
    pub(super) port: Port,
    pub(super) points: Points,
    pub(super) clock: Arc<Clock>,
    pub(super) stop: CancellationToken,
}

impl<S: Session, C: Carry<S::Out>> SmartReader<S, C> {
    /// Connects and serves, again and again, until told to stop.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let connection = Connection::open(&self.broker, &self.client, self.session.topics());
            let why = self.serve(connection, &mut backoff).await;
            self.feed(None, &mut false, |session, now, sink| session.disconnected(now, sink));
            let Some(why) = why else { return };
            self.port.tell(DeviceEvent::Down(format!("broker {}:{}: {why}", self.broker.host, self.broker.port)));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(backoff.wait()) => {}
            }
        }
    }

    /// One connection, to its end; `None` when told to stop.
    async fn serve(&mut self, mut connection: Connection, backoff: &mut Backoff) -> Option<String> {
        let mut up = false;
        loop {
            let deadline = self.session.next_deadline();
            tokio::select! {
                () = self.stop.cancelled() => return None,
                happened = connection.happened.recv() => match happened {
                    Some(Happened::Up) => {
                        self.feed(Some(&connection), &mut up, |session, now, sink| session.connected(now, sink));
                    }
                    Some(Happened::Message { topic, payload }) => {
                        self.feed(Some(&connection), &mut up, |session, now, sink| {
                            session.receive(now, &topic, &payload, sink);
                        });
                    }
                    Some(Happened::TooLong(what)) => self.port.tell(DeviceEvent::Malformed { count: 1, what }),
                    Some(Happened::Acknowledged) => {}
                    Some(Happened::Over(why)) => return Some(why),
                    None => return Some("the connection ended".into()),
                },
                Some(Answer { id, answer }) = self.answers.recv() => {
                    let answer = answer.as_ref().map(|(status, body)| (*status, &body[..])).map_err(String::as_str);
                    self.feed(Some(&connection), &mut up, |session, now, sink| session.answered(now, id, answer, sink));
                }
                () = self.clock.sleep_until(deadline) => {
                    self.feed(Some(&connection), &mut up, |session, now, sink| session.tick(now, sink));
                }
            }
            if up {
                backoff.reset();
            }
        }
    }

    fn feed(
        &mut self,
        connection: Option<&Connection>,
        up: &mut bool,
        step: impl FnOnce(&mut S, Timestamp, &mut ToEngine<'_, C>),
    ) {
        let Self { session, carry, port, points, clock, .. } = self;
        let mut sink = ToEngine { carry, connection, hearing: port.hear(), points, up };
        step(session, clock.now(), &mut sink);
    }
}
