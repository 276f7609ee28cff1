//! Every fact on an MQTT broker, under `PREFIX/facts/KIND`, with quality of service 1 (MQTT 3.1.1).
//!
//! The journal is the outbox and the broker's acknowledgement moves the cursor. The client library forgets what it
//! holds when a broker forgets the session, so nothing is left to it: after any error comes a new client, fed from the
//! cursor again.

use super::{Destination, Feed};
use crate::config::Broker;
use crate::journal::{Key, Recorded};
use crate::mqtt;
use rumqttc::{AsyncClient, Event, EventLoop, Outgoing, Packet, QoS};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How many facts are out without an acknowledgement at most.
const WINDOW: usize = 64;

/// How often the cursor is written down; a restart repeats at most what this time brought.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Which broker, and what the topics begin with.
#[derive(Clone, PartialEq, Eq)]
pub struct MqttSettings {
    /// The broker.
    pub broker: Broker,
    /// The client's id: one of its own for each edge.
    pub client_id: String,
    /// What the topics begin with, without a slash at the end.
    pub prefix: String,
}

/// Without the password.
impl std::fmt::Debug for MqttSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}:{} as {}", self.prefix, self.broker.host, self.broker.port, self.client_id)
    }
}

/// Mirrors facts to an MQTT broker.
#[derive(Debug)]
pub struct MqttMirror {
    settings: MqttSettings,
    /// Where the cursor is written down.
    path: PathBuf,
    window: Window,
    saved: Key,
}

impl MqttMirror {
    /// A mirror that keeps its cursor in the file `cursor`, in the data folder. Where there is no such file, every
    /// fact is sent from the first.
    pub fn new(settings: MqttSettings, cursor: &Path) -> Self {
        Self { settings, path: cursor.to_owned(), window: Window::default(), saved: Key::START }
    }

    /// Hands a fact to the client; true if it is too large for any packet and was left out.
    fn publish(&mut self, client: &AsyncClient, fact: &Recorded) -> Result<bool, String> {
        let (topic, payload) = self.render(fact);
        let too_large = topic.len() + payload.len() > mqtt::MESSAGE_MAX;
        if too_large {
            self.window.skip(fact.key);
        } else {
            // There is always room: the client's channel is as long as the window.
            let sent = client.try_publish(topic, QoS::AtLeastOnce, false, payload);
            sent.map_err(|error| self.trouble(error))?;
            self.window.queue(fact.key);
        }
        Ok(too_large)
    }

    fn save(&mut self) -> Result<(), String> {
        if self.window.cursor != self.saved {
            save(&self.path, self.window.cursor).map_err(|error| format!("{}: {error}", self.path.display()))?;
            self.saved = self.window.cursor;
        }
        Ok(())
    }

    fn trouble(&self, error: impl std::fmt::Display) -> String {
        format!("broker {}:{}: {error}", self.settings.broker.host, self.settings.broker.port)
    }
}

impl Destination for MqttMirror {
    /// Topic and payload.
    type Message = (String, String);

    fn render(&self, fact: &Recorded) -> (String, String) {
        (format!("{}/facts/{}", self.settings.prefix, fact.kind), fact.line.clone())
    }

    fn cursor(&mut self, _site: &str) -> Result<Key, String> {
        if self.window.cursor == Key::START {
            self.saved = load(&self.path)?;
            self.window.cursor = self.saved;
        }
        Ok(self.window.cursor)
    }

    async fn follow(&mut self, feed: &mut Feed, cursor: Key) -> Result<Infallible, String> {
        self.window = Window { cursor, out: VecDeque::new() };
        let MqttSettings { broker, client_id, .. } = &self.settings;
        let mut options = mqtt::options(broker, client_id).map_err(|why| self.trouble(why))?;
        options.set_keep_alive(Duration::from_secs(10)).set_inflight(WINDOW as u16);
        let (client, events) = mqtt::client(options, WINDOW);
        let (say, mut heard) = unbounded_channel();
        // Polled by a task of its own, never dropped halfway: the library would lose what it is about to send. The set
        // ends the task when this function ends.
        let mut polling = JoinSet::new();
        polling.spawn(poll(events, broker.clone(), say));
        let mut save_at = Instant::now();
        loop {
            let room = WINDOW - self.window.out.len();
            tokio::select! {
                event = heard.recv() => match event {
                    Some(Heard::Connected) => feed.well(),
                    Some(Heard::Sent(id)) => self.window.sent(id),
                    Some(Heard::Acknowledged(id)) => self.window.acknowledged(id),
                    Some(Heard::Lost(error)) => return Err(self.trouble(error)),
                    None => return Err(self.trouble("the client has stopped")),
                },
                page = feed.next(self.window.last(), room), if room > 0 => for fact in &page? {
                    if self.publish(&client, fact)? {
                        feed.left_out(fact.key);
                    }
                },
                () = tokio::time::sleep_until(save_at), if self.window.cursor != self.saved => {
                    self.save()?;
                    save_at = Instant::now() + SAVE_EVERY;
                }
            }
            let facts = self.window.advance();
            if facts > 0 {
                feed.delivered(self.window.cursor, facts);
            }
        }
    }

    fn leave(&mut self) {
        // If it can't be written down, the next start repeats a little.
        let _ = self.save();
    }
}

/// What the client's event loop tells.
enum Heard {
    Connected,
    /// The next of the queued facts went out under this packet id.
    Sent(u16),
    Acknowledged(u16),
    Lost(String),
}

async fn poll(mut events: EventLoop, broker: Broker, say: UnboundedSender<Heard>) {
    loop {
        let heard = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => Heard::Connected,
            Ok(Event::Incoming(Packet::PubAck(ack))) => Heard::Acknowledged(ack.pkid),
            Ok(Event::Outgoing(Outgoing::Publish(id))) => Heard::Sent(id),
            Ok(_) => continue,
            Err(error) => Heard::Lost(mqtt::words(&error, &broker)),
        };
        let lost = matches!(heard, Heard::Lost(_));
        if say.send(heard).is_err() || lost {
            return;
        }
    }
}

/// The facts that are on their way, in order.
#[derive(Debug, Default)]
struct Window {
    /// Every fact up to here is acknowledged.
    cursor: Key,
    out: VecDeque<(Key, Way)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Queued,
    Sent(u16),
    Done,
}

impl Window {
    /// The last fact on its way.
    fn last(&self) -> Key {
        self.out.back().map_or(self.cursor, |(key, _)| *key)
    }

    fn queue(&mut self, key: Key) {
        self.out.push_back((key, Way::Queued));
    }

    fn skip(&mut self, key: Key) {
        self.out.push_back((key, Way::Done));
    }

    fn sent(&mut self, id: u16) {
        self.set(Way::Queued, Way::Sent(id));
    }

    fn acknowledged(&mut self, id: u16) {
        self.set(Way::Sent(id), Way::Done);
    }

    /// The first that is at `from` goes on to `to`.
    fn set(&mut self, from: Way, to: Way) {
        if let Some((_, way)) = self.out.iter_mut().find(|(_, way)| *way == from) {
            *way = to;
        }
    }

    /// Moves the cursor over what is done without a gap; returns by how many facts.
    fn advance(&mut self) -> u64 {
        let mut facts = 0;
        while let Some((key, Way::Done)) = self.out.front() {
            self.cursor = *key;
            self.out.pop_front();
            facts += 1;
        }
        facts
    }
}

fn load(path: &Path) -> Result<Key, String> {
    match fs::read_to_string(path) {
        Ok(text) => Key::parse(text.trim_end())
            .ok_or_else(|| format!("{}: is no cursor: delete it to send every fact again", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Key::START),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Written aside and renamed, so that a power cut leaves the old one or the new one.
fn save(path: &Path, cursor: Key) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    writeln!(file, "{cursor}")?;
    file.sync_data()?;
    fs::rename(aside, path)
}

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::super::testing::{Edge, until};
    use super::*;
    use rumqttc::{Client, MqttOptions, SubscribeFilter};
    use std::io::Read;
    use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;
    use tempfile::TempDir;

    const PREFIX: &str = "stowage/test";

    /// A broker of its own on a free port.
    struct Mosquitto {
        process: Child,
        port: u16,
        _dir: TempDir,
    }

    impl Mosquitto {
        /// `None`, and said so, where it isn't installed.
        fn start() -> Option<Self> {
            let programs = ["mosquitto", "/usr/sbin/mosquitto"];
            let found = |program: &&str| Command::new(program).arg("-h").stdout(Stdio::null()).status().is_ok();
            let Some(program) = programs.into_iter().find(found) else {
                eprintln!("SKIPPED: mosquitto is not installed");
                return None;
            };
            let dir = tempfile::tempdir().expect("a temporary folder");
            let port = free_port();
            let config = dir.path().join("mosquitto.conf");
            let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser root\n");
            fs::write(&config, text).expect("writes");
            let mut command = Command::new(program);
            command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
            let broker = Self { process: command.spawn().expect("starts"), port, _dir: dir };
            until("the broker listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
            Some(broker)
        }

        /// Topic and payload of whatever comes under the prefix from now on.
        fn subscribe(&self) -> Receiver<(String, String)> {
            let mut options = MqttOptions::new("witness", "127.0.0.1", self.port);
            options.set_max_packet_size(1 << 20, 1 << 20);
            let (client, mut connection) = Client::new(options, 10);
            let filter = SubscribeFilter::new(format!("{PREFIX}/#"), QoS::AtLeastOnce);
            client.subscribe_many([filter]).expect("asks");
            let (say, heard) = channel();
            let (ready, subscribed) = channel();
            thread::spawn(move || {
                let _alive = client;
                let mut up = false;
                for event in connection.iter() {
                    match event {
                        Ok(Event::Incoming(Packet::SubAck(_))) => {
                            up = true;
                            ready.send(()).expect("waited for");
                        }
                        Ok(Event::Incoming(Packet::Publish(publish))) => {
                            let payload = String::from_utf8(publish.payload.to_vec()).expect("text");
                            if say.send((publish.topic, payload)).is_err() {
                                return;
                            }
                        }
                        Ok(_) => {}
                        Err(_) if up => return,
                        // A broker that has just begun to listen may not serve yet.
                        Err(_) => thread::sleep(Duration::from_millis(20)),
                    }
                }
            });
            subscribed.recv_timeout(Duration::from_secs(60)).expect("subscribed");
            heard
        }
    }

    impl Drop for Mosquitto {
        fn drop(&mut self) {
            self.process.kill().expect("kills");
            self.process.wait().expect("ends");
        }
    }

    /// A port that nobody has, and that the system gives to nobody: below those for outgoing connections, where a
    /// connection attempt may even meet itself. Each call another one.
    fn free_port() -> u16 {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        loop {
            let call = CALLS.fetch_add(1, Ordering::Relaxed);
            let port = 10_000 + ((std::process::id() * 61 + call * 7) % 20_000) as u16;
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return port;
            }
        }
    }

    fn mirror(edge: &Edge, port: u16) -> MqttMirror {
        let broker = Broker { host: "127.0.0.1".to_owned(), port, ..Broker::default() };
        let settings = MqttSettings { broker, client_id: "mirror".to_owned(), prefix: PREFIX.to_owned() };
        MqttMirror::new(settings, &edge.dir.path().join("mqtt.cursor"))
    }

    /// Receives until `last` comes; each line once, in the order of first receipt.
    fn receive(heard: &Receiver<(String, String)>, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let (topic, line) = heard.recv_timeout(Duration::from_secs(60)).expect("a fact within a minute");
            assert_eq!(topic, format!("{PREFIX}/facts/device.up"));
            if !lines.contains(&line) {
                lines.push(line.clone());
            }
            if line == last {
                return lines;
            }
        }
    }

    #[test]
    fn facts_reach_the_broker_in_order_and_a_restart_goes_on_where_it_was() {
        let Some(broker) = Mosquitto::start() else { return };
        let heard = broker.subscribe();
        let mut edge = Edge::new();
        edge.record(200);
        let follower = edge.follow(mirror(&edge, broker.port));
        let first = edge.lines();
        assert_eq!(receive(&heard, &first[199]), first);
        edge.record(1);
        assert_eq!(receive(&heard, &edge.lines()[200]), edge.lines()[200..]);
        until("all is acknowledged", || follower.gauge().standing().behind == 0);
        assert_eq!(follower.gauge().standing().trouble, None);
        drop(follower);
        assert_eq!(fs::read_to_string(edge.dir.path().join("mqtt.cursor")).expect("saved"), "1/201\n");
        edge.record(2);
        let follower = edge.follow(mirror(&edge, broker.port));
        assert_eq!(receive(&heard, &edge.lines()[202]), edge.lines()[201..], "nothing is sent again");
        until("all is acknowledged", || follower.gauge().standing().behind == 0);
    }

    #[test]
    fn a_dead_broker_is_told_and_caught_up_with_when_it_lives() {
        let Some(broker) = Mosquitto::start() else { return };
        let heard = broker.subscribe();
        let mut edge = Edge::new();
        edge.record(3);
        // Nobody listens on this port yet.
        let port = free_port();
        let follower = edge.follow(mirror(&edge, port));
        until("it is told", || follower.gauge().standing().trouble.is_some());
        let standing = follower.gauge().standing();
        assert_eq!(standing.behind, 3);
        let trouble = standing.trouble.expect("told");
        assert!(trouble.starts_with(&format!("broker 127.0.0.1:{port}: ")), "{trouble}");
        link(port, broker.port, usize::MAX);
        assert_eq!(receive(&heard, &edge.lines()[2]), edge.lines());
        until("all is well", || follower.gauge().standing() == Standing { behind: 0, left_out: 0, trouble: None });
    }

    /// Forwards connections on `port` to the broker, and cuts each after so many octets to it.
    fn link(port: u16, broker: u16, cut_after: usize) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("binds");
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)) else { return };
                let (mut from, mut to) = (server.try_clone().expect("clones"), client.try_clone().expect("clones"));
                let back = thread::spawn(move || io::copy(&mut from, &mut to));
                let _ = io::copy(&mut (&client).take(cut_after as u64), &mut &server);
                let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
                let _ = back.join();
            }
        });
    }

    #[test]
    fn a_link_that_is_cut_again_and_again_loses_nothing() {
        let Some(broker) = Mosquitto::start() else { return };
        let heard = broker.subscribe();
        let mut edge = Edge::new();
        edge.record(300);
        let port = free_port();
        link(port, broker.port, 20_000);
        let follower = edge.follow(mirror(&edge, port));
        assert_eq!(receive(&heard, &edge.lines()[299]), edge.lines());
        until("all is acknowledged", || follower.gauge().standing().behind == 0);
    }

    #[test]
    fn a_damaged_cursor_is_told_with_the_mend() {
        let mut edge = Edge::new();
        edge.record(1);
        fs::write(edge.dir.path().join("mqtt.cursor"), "elsewhere").expect("writes");
        let follower = edge.follow(mirror(&edge, free_port()));
        until("it is told", || follower.gauge().standing().trouble.is_some());
        let trouble = follower.gauge().standing().trouble.expect("told");
        assert!(trouble.ends_with("is no cursor: delete it to send every fact again"), "{trouble}");
    }

    #[test]
    fn a_fact_that_fits_in_no_packet_is_left_out_and_holds_up_nobody() {
        let mut mirror = mirror(&Edge::new(), 1);
        let (client, _events) = AsyncClient::new(MqttOptions::new("mirror", "127.0.0.1", 1), WINDOW);
        let fact = |seq, octets| Recorded {
            key: Key { epoch: 1, seq },
            kind: "device.up".to_owned(),
            line: "x".repeat(octets),
        };
        let topic = "stowage/test/facts/device.up".len();
        assert_eq!(mirror.publish(&client, &fact(1, mqtt::MESSAGE_MAX + 1 - topic)), Ok(true));
        assert_eq!(mirror.publish(&client, &fact(2, mqtt::MESSAGE_MAX - topic)), Ok(false));
        assert_eq!((mirror.window.advance(), mirror.window.last().seq), (1, 2));
    }

    #[test]
    fn the_cursor_moves_over_acknowledged_facts_without_a_gap_only() {
        let key = |seq| Key { epoch: 1, seq };
        let mut window = Window { cursor: key(4), out: VecDeque::new() };
        assert_eq!(window.last(), key(4));
        (5..=8).for_each(|seq| window.queue(key(seq)));
        window.skip(key(9));
        assert_eq!(window.last(), key(9));
        window.sent(1);
        window.sent(2);
        window.acknowledged(2);
        assert_eq!((window.advance(), window.cursor), (0, key(4)));
        window.acknowledged(3);
        window.acknowledged(1);
        assert_eq!((window.advance(), window.cursor), (2, key(6)));
        window.sent(1);
        window.sent(2);
        window.acknowledged(2);
        window.acknowledged(1);
        assert_eq!((window.advance(), window.cursor), (3, key(9)));
        assert_eq!(window.last(), key(9));
    }
}
