//! Smart readers at an MQTT broker; Impinj's with its REST interface on a TCP port.

use super::{Client, DeviceError, Event, Events, Stage};
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use rumqttc::{AsyncClient, ConnectReturnCode, Event as Mqtt, EventLoop, LastWill, Packet, QoS};
use serde::Deserialize;
use std::net::SocketAddr;
use std::time::Duration;
use stowage::config::{Broker, Secret};
use stowage::mqtt;
use stowage_base::{Air, Timestamp};
use stowage_core::site::DeviceIx;
use stowage_protocol::{impinj_iot, zebra_iotc};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Pause before the broker is tried again.
const RETRY_WAIT: stowage_base::Duration = stowage_base::Duration::from_millis(500);

/// How long the last words may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// Messages that may wait for the client's task: a whole backlog, and what is read meanwhile.
const WAITING_MAX: usize = 8_192;

/// What may happen to a smart reader. As JSON: an object with one member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SmartReaderCommand {
    /// An antenna's cable is plugged in, or pulled.
    Antenna {
        /// The port.
        port: u16,
        /// In, or out.
        connected: bool,
    },
    /// A digital input changes.
    Gpi {
        /// Which, from 1.
        pin: u16,
        /// The level that it has then.
        high: bool,
    },
    /// Its clock is set.
    Clock {
        /// How far it is ahead of the true time from now on.
        ahead_ms: i64,
    },
    /// Its network is gone for so long: it goes on reading, and keeps what it can't deliver.
    Unplug {
        /// How long.
        for_ms: u32,
    },
    /// It loses power, and is back after so long.
    Restart {
        /// How long.
        for_ms: u32,
    },
}

/// The way to a broker, as a reader knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    broker: Broker,
    client: String,
    keep_alive: Duration,
    /// Topic and message.
    will: Option<(String, String)>,
    subscriptions: Vec<String>,
}

/// Where messages for the broker go.
type Out<'a> = &'a mut dyn FnMut(&str, &[u8]);

/// A reader's own end, whatever the vendor.
trait Far: Send {
    fn link(&self) -> Option<Link>;
    /// What it says when it leaves of its own.
    fn farewell(&self) -> Option<(String, String)>;
    fn online(&mut self, now: Timestamp, out: Out<'_>);
    fn offline(&mut self);
    fn receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], out: Out<'_>);
    fn tick(&mut self, now: Timestamp, air: &mut dyn Air, out: Out<'_>);
    fn next_deadline(&self) -> Option<Timestamp>;
    fn running(&self) -> bool;
    fn antenna(&mut self, now: Timestamp, port: u16, connected: bool, out: Out<'_>);
    fn gpi(&mut self, now: Timestamp, pin: u16, high: bool, out: Out<'_>);
    fn clock(&mut self, ahead: stowage_base::Duration);
    fn restart(&mut self);
    fn request(&mut self, now: Timestamp, asked: &Asked, out: Out<'_>) -> impinj_iot::Response;
    /// What was wrong since `told`, which becomes the count of all.
    fn violations_from(&self, told: &mut usize) -> Vec<String>;
}

impl Far for impinj_iot::Reader {
    fn link(&self) -> Option<Link> {
        let impinj_iot::Link { host, port, client, login: (user, password), keep_alive_s, will } = Self::link(self)?;
        let login = (!user.is_empty()).then(|| (user, Secret::new(password)));
        Some(Link {
            broker: Broker { host, port, login, ca: None },
            client,
            // The library takes no less.
            keep_alive: Duration::from_secs(keep_alive_s.max(5).into()),
            will: (!will.0.is_empty()).then_some(will),
            subscriptions: Vec::new(),
        })
    }
    fn farewell(&self) -> Option<(String, String)> {
        Self::farewell(self)
    }
    fn online(&mut self, now: Timestamp, out: Out<'_>) {
        self.connected(now, out);
    }
    fn offline(&mut self) {
        self.disconnected();
    }
    fn receive(&mut self, _: Timestamp, _: &str, _: &[u8], _: Out<'_>) {}
    fn tick(&mut self, now: Timestamp, air: &mut dyn Air, out: Out<'_>) {
        Self::tick(self, now, air, out);
    }
    fn next_deadline(&self) -> Option<Timestamp> {
        Self::next_deadline(self)
    }
    fn running(&self) -> bool {
        self.is_running()
    }
    fn antenna(&mut self, now: Timestamp, port: u16, connected: bool, out: Out<'_>) {
        self.set_antenna(now, port, connected, out);
    }
    fn gpi(&mut self, now: Timestamp, pin: u16, high: bool, out: Out<'_>) {
        self.set_gpi(now, pin, high, out);
    }
    fn clock(&mut self, ahead: stowage_base::Duration) {
        self.set_clock_offset(ahead);
    }
    fn restart(&mut self) {
        Self::restart(self);
    }
    fn request(&mut self, now: Timestamp, asked: &Asked, out: Out<'_>) -> impinj_iot::Response {
        let Asked { method, path, login, body, .. } = asked;
        Self::request(self, now, method, path, login.as_deref(), body, out)
    }
    fn violations_from(&self, told: &mut usize) -> Vec<String> {
        let new = self.violations().get(*told..).unwrap_or_default();
        *told = self.violations().len();
        new.iter().map(|violation| format!("{}: {}", violation.request, violation.what)).collect()
    }
}

/// A Zebra reader, which its installer has told the broker.
struct Zebra {
    reader: zebra_iotc::Reader,
    site: ZebraSite,
}

impl Far for Zebra {
    fn link(&self) -> Option<Link> {
        Some(Link {
            broker: self.site.broker.clone(),
            client: self.site.client.clone(),
            keep_alive: Duration::from_secs(5),
            will: self.farewell(),
            subscriptions: self.reader.subscriptions().map(str::to_owned).into(),
        })
    }
    fn farewell(&self) -> Option<(String, String)> {
        self.reader.will().map(|(topic, message)| (topic.to_owned(), message.to_owned()))
    }
    fn online(&mut self, now: Timestamp, out: Out<'_>) {
        self.reader.connected(now, out);
    }
    fn offline(&mut self) {
        self.reader.disconnected();
    }
    fn receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], out: Out<'_>) {
        self.reader.receive(now, topic, payload, out);
    }
    fn tick(&mut self, now: Timestamp, air: &mut dyn Air, out: Out<'_>) {
        self.reader.tick(now, air, out);
    }
    fn next_deadline(&self) -> Option<Timestamp> {
        self.reader.next_deadline()
    }
    fn running(&self) -> bool {
        self.reader.is_running()
    }
    fn antenna(&mut self, _: Timestamp, port: u16, connected: bool, _: Out<'_>) {
        self.reader.set_antenna(port, connected);
    }
    fn gpi(&mut self, now: Timestamp, pin: u16, high: bool, out: Out<'_>) {
        self.reader.set_gpi(now, pin, high, out);
    }
    fn clock(&mut self, ahead: stowage_base::Duration) {
        self.reader.set_clock_offset(ahead);
    }
    fn restart(&mut self) {
        self.reader.restart();
    }
    fn request(&mut self, _: Timestamp, _: &Asked, _: Out<'_>) -> impinj_iot::Response {
        impinj_iot::Response { status: 404, body: Vec::new() }
    }
    fn violations_from(&self, told: &mut usize) -> Vec<String> {
        let new = self.reader.violations().get(*told..).unwrap_or_default();
        *told = self.reader.violations().len();
        new.iter().map(|violation| format!("{}: {}", violation.command, violation.what)).collect()
    }
}

/// A request that came over HTTP, and where its answer goes.
struct Asked {
    method: String,
    path: String,
    login: Option<String>,
    body: Bytes,
    answer: oneshot::Sender<impinj_iot::Response>,
}

/// A TCP port for a reader's REST interface.
#[derive(Debug)]
pub struct RestPort(TcpListener);

impl RestPort {
    /// Listens on `address`.
    ///
    /// # Errors
    /// The port is taken, or not ours to take.
    pub async fn listen(address: SocketAddr) -> Result<Self, DeviceError> {
        let listener = TcpListener::bind(address).await;
        listener.map(Self).map_err(|error| DeviceError::Listen { what: "the smart reader", address, error })
    }

    /// Where it listens, with the port that the system chose if 0 was asked for.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }

    async fn serve(self, ask: mpsc::Sender<Asked>, stop: CancellationToken) {
        async fn handle(State(ask): State<mpsc::Sender<Asked>>, request: Request) -> Response {
            let (head, body) = request.into_parts();
            let Ok(body) = to_bytes(body, 1 << 20).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
            let login = head.headers.get(AUTHORIZATION).and_then(|login| login.to_str().ok()).map(str::to_owned);
            let (answer, answered) = oneshot::channel();
            let (method, path) = (head.method.to_string(), head.uri.path().to_owned());
            let _ = ask.send(Asked { method, path, login, body, answer }).await;
            // Without its network the reader takes no question.
            let Ok(impinj_iot::Response { status, body }) = answered.await else {
                return std::future::pending().await;
            };
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, [(CONTENT_TYPE, "application/json")], body).into_response()
        }
        let routes = Router::new().fallback(handle).with_state(ask);
        tokio::select! {
            () = stop.cancelled() => {}
            _ = axum::serve(self.0, routes) => {}
        }
    }
}

/// Runs an Impinj reader until `stop`: it serves its REST interface on `port`, and publishes where it is told to there.
pub async fn impinj(
    port: RestPort,
    profile: impinj_iot::Profile,
    stage: Stage,
    device: DeviceIx,
    commands: mpsc::Receiver<SmartReaderCommand>,
    events: Events,
    stop: CancellationToken,
) {
    let (ask, asked) = mpsc::channel(16);
    let serving = tokio::spawn(port.serve(ask, stop.clone()));
    run(impinj_iot::Reader::new(profile), asked, stage, device, commands, events, stop).await;
    // It waits for nobody.
    serving.abort();
}

/// What the installer has told a Zebra reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZebraSite {
    /// The broker.
    pub broker: Broker,
    /// The reader's name there.
    pub client: String,
}

/// Runs a Zebra reader at its broker until `stop`.
pub async fn zebra(
    site: ZebraSite,
    profile: zebra_iotc::Profile,
    stage: Stage,
    device: DeviceIx,
    commands: mpsc::Receiver<SmartReaderCommand>,
    events: Events,
    stop: CancellationToken,
) {
    let (_, asked) = mpsc::channel(1);
    let far = Zebra { reader: zebra_iotc::Reader::new(profile), site };
    run(far, asked, stage, device, commands, events, stop).await;
}

/// What the client's task says.
enum News {
    Up,
    Message(String, Vec<u8>),
    Down,
}

/// A connection to the broker, or an attempt at one. Dropping it is pulling the cable.
struct Connection {
    link: Link,
    client: AsyncClient,
    news: mpsc::Receiver<News>,
    polling: JoinHandle<()>,
    up: bool,
}

impl Connection {
    fn open(link: Link) -> Result<Self, String> {
        let mut options = mqtt::options(&link.broker, &link.client)?;
        options.set_keep_alive(link.keep_alive);
        if let Some((topic, message)) = &link.will {
            options.set_last_will(LastWill::new(topic, message.as_bytes(), QoS::AtLeastOnce, false));
        }
        let (client, eventloop) = mqtt::client(options, WAITING_MAX);
        let (tell, news) = mpsc::channel(WAITING_MAX);
        // In a task of its own: a poll that is dropped half done loses messages.
        let polling = tokio::spawn(poll(client.clone(), eventloop, link.subscriptions.clone(), tell));
        Ok(Self { link, client, news, polling, up: false })
    }

    fn publish(&self, topic: &str, payload: &[u8]) {
        // What finds no room is lost, as on a bad line.
        let _ = self.client.try_publish(topic, QoS::AtLeastOnce, false, payload);
    }

    async fn leave(mut self, farewell: Option<(String, String)>) {
        if let Some((topic, message)) = farewell {
            self.publish(&topic, message.as_bytes());
        }
        let _ = self.client.try_disconnect();
        // Long enough for a broker that is there.
        let _ = tokio::time::timeout(FAREWELL, &mut self.polling).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.polling.abort();
    }
}

async fn poll(client: AsyncClient, mut eventloop: EventLoop, subscriptions: Vec<String>, tell: mpsc::Sender<News>) {
    let mut unconfirmed = subscriptions.len();
    loop {
        let news = match eventloop.poll().await {
            Ok(Mqtt::Incoming(Packet::ConnAck(ack))) if ack.code == ConnectReturnCode::Success => {
                for topic in &subscriptions {
                    // There is room: the client is new.
                    let _ = client.try_subscribe(topic, QoS::AtLeastOnce);
                }
                if unconfirmed > 0 {
                    continue;
                }
                News::Up
            }
            Ok(Mqtt::Incoming(Packet::SubAck(_))) => {
                unconfirmed = unconfirmed.saturating_sub(1);
                if unconfirmed > 0 {
                    continue;
                }
                News::Up
            }
            Ok(Mqtt::Incoming(Packet::Publish(message))) => News::Message(message.topic, message.payload.to_vec()),
            Ok(_) => continue,
            Err(_) => News::Down,
        };
        let over = matches!(news, News::Down);
        if tell.send(news).await.is_err() || over {
            return;
        }
    }
}

async fn run(
    far: impl Far,
    mut asked: mpsc::Receiver<Asked>,
    stage: Stage,
    device: DeviceIx,
    mut commands: mpsc::Receiver<SmartReaderCommand>,
    events: Events,
    stop: CancellationToken,
) {
    let mut live = Live { far, stage, device, events, connection: None, told: 0, running: false };
    // Neither network nor power before.
    let (mut dark_until, mut dial_at) = (Timestamp::EPOCH, Timestamp::EPOCH);
    loop {
        let now = live.stage.clock.now();
        let dark = dark_until > now;
        let wanted = live.far.link().filter(|_| !dark);
        if live.connection.as_ref().is_some_and(|connection| Some(&connection.link) != wanted.as_ref()) {
            live.hang_up();
        }
        if let (None, Some(link)) = (&live.connection, wanted)
            && dial_at <= now
        {
            dial_at = now + RETRY_WAIT;
            live.connection = Connection::open(link).ok();
        }
        let (deadline, clock) = (live.far.next_deadline(), live.stage.clock);
        let dial = live.connection.is_none().then(|| dial_at.max(dark_until)).filter(|at| *at > now);
        let wake = deadline.into_iter().chain(dial).min();
        tokio::select! {
            () = stop.cancelled() => {
                if let Some(connection) = live.connection.take() {
                    connection.leave(live.far.farewell()).await;
                }
                return;
            }
            Some(asked) = asked.recv() => if !dark {
                let answer = live.step(|far, now, _, out| far.request(now, &asked, out));
                let _ = asked.answer.send(answer);
            },
            news = live.news() => match news {
                News::Up => {
                    if let Some(connection) = &mut live.connection {
                        connection.up = true;
                    }
                    live.events.tell(Event::Client(Client::Connected));
                    live.step(|far, now, _, out| far.online(now, out));
                }
                News::Message(topic, payload) => {
                    live.step(|far, now, _, out| far.receive(now, &topic, &payload, out));
                }
                News::Down => live.hang_up(),
            },
            Some(command) = commands.recv() => match command {
                SmartReaderCommand::Antenna { port, connected } => {
                    live.step(|far, now, _, out| far.antenna(now, port, connected, out));
                }
                SmartReaderCommand::Gpi { pin, high } => live.step(|far, now, _, out| far.gpi(now, pin, high, out)),
                SmartReaderCommand::Clock { ahead_ms } => {
                    live.far.clock(stowage_base::Duration::from_millis(ahead_ms));
                }
                SmartReaderCommand::Unplug { for_ms } => {
                    dark_until = now + stowage_base::Duration::from_millis(for_ms.into());
                    live.hang_up();
                }
                SmartReaderCommand::Restart { for_ms } => {
                    dark_until = now + stowage_base::Duration::from_millis(for_ms.into());
                    live.hang_up();
                    live.step(|far, _, _, _| far.restart());
                }
            },
            () = clock.sleep_until(wake) => live.step(|far, now, air, out| far.tick(now, air, out)),
        }
    }
}

/// A reader with its share of the world.
struct Live<F> {
    far: F,
    stage: Stage,
    device: DeviceIx,
    events: Events,
    connection: Option<Connection>,
    /// Violations told.
    told: usize,
    /// Told last: whether the inventory runs.
    running: bool,
}

impl<F: Far> Live<F> {
    fn step<T>(&mut self, act: impl FnOnce(&mut F, Timestamp, &mut dyn Air, Out<'_>) -> T) -> T {
        let Self { far, stage, device, connection, .. } = self;
        let connection = connection.as_ref().filter(|connection| connection.up);
        let result = act(far, stage.clock.now(), &mut stage.world().air(*device), &mut |topic, payload| {
            if let Some(connection) = connection {
                connection.publish(topic, payload);
            }
        });
        for violation in self.far.violations_from(&mut self.told) {
            self.events.tell(Event::Violation(violation));
        }
        let running = self.far.running();
        if std::mem::replace(&mut self.running, running) != running {
            self.events.tell(Event::Running(running));
        }
        result
    }

    /// The next news of the connection; never without one.
    async fn news(&mut self) -> News {
        match &mut self.connection {
            Some(connection) => connection.news.recv().await.unwrap_or(News::Down),
            None => std::future::pending().await,
        }
    }

    /// Ends the connection without a word: the broker tells the will.
    fn hang_up(&mut self) {
        self.far.offline();
        if self.connection.take().is_some_and(|connection| connection.up) {
            self.events.tell(Event::Client(Client::Disconnected));
        }
    }
}
