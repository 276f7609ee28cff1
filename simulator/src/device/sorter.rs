//! The smart sorter at an MQTT broker.

use super::{Client, Clock, Event, Events};
use rumqttc::{AsyncClient, ConnectReturnCode, Event as Mqtt, EventLoop, LastWill, Packet, QoS};
use serde::Deserialize;
use std::time::Duration;
use stowage::config::Broker;
use stowage::mqtt;
use stowage_base::{Code, Timestamp};
use stowage_protocol::sorter::{End, Run};
use stowage_protocol::sorter_mqtt::{Delivery, LAST_WILL, STATE, Sorter, SorterSettings, TO_SORTER};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Pause before the broker is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// Messages that may wait for the client's task: more than the sorter sends in a second.
const WAITING_MAX: usize = 256;

/// The way to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SorterLink {
    /// The broker.
    pub broker: Broker,
    /// The site's code.
    pub site: Code,
    /// The sorter's id.
    pub id: Code,
}

/// What may happen to the sorter. As JSON: an object with one member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SorterCommand {
    /// A parcel passes the scan point.
    Parcel {
        /// What is read; null is a no-read.
        code: Option<Code>,
    },
    /// A chute is full, or was emptied.
    Full {
        /// Which.
        chute: Code,
        /// Full, or not.
        full: bool,
    },
    /// The belt runs, or stands.
    Run(Run),
    /// A parcel falls off (`lost`), gets stuck (`jammed`), is too near to its neighbour (`gap`) or two (`double`).
    Fail {
        /// Its number.
        item: u32,
        /// What happens to it.
        how: End,
    },
    /// The sorter loses power and gets it again.
    Restart {},
}

/// What the client's task says.
enum News {
    Up,
    Message(String, Vec<u8>),
    Down,
}

/// Runs a sorter until `stop`. Without a broker it goes on by its safe plan, and tries again.
pub async fn sorter(
    link: SorterLink,
    settings: SorterSettings,
    clock: Clock,
    mut commands: mpsc::Receiver<SorterCommand>,
    events: Events,
    stop: CancellationToken,
) {
    let base = format!("stowage/{}/sorter/{}/", link.site, link.id);
    // Differs at each start, rises, and fits until 2106.
    let boot = (clock.now().micros() / 1_000_000) as u32;
    let mut machine = Machine { sorter: Sorter::new(settings).with_boot(boot), clock, events, violations: 0 };
    loop {
        let (client, eventloop) = match client(&link, &base) {
            Ok(client) => client,
            Err(why) => return machine.events.tell(Event::Error(why)),
        };
        let (tell, mut news) = mpsc::channel(WAITING_MAX);
        // In a task of its own: a poll that is dropped half done loses messages.
        let polling = tokio::spawn(poll(client.clone(), eventloop, base.clone(), tell));
        let mut publish = |topic: &str, payload: &[u8]| {
            // What finds no room is lost, as on a bad line: both ends repeat what matters.
            let _ = client.try_publish(format!("{base}{topic}"), QoS::AtLeastOnce, topic == STATE, payload);
        };
        let mut up = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    let _ = client.try_publish(format!("{base}{STATE}"), QoS::AtLeastOnce, true, LAST_WILL);
                    let _ = client.try_disconnect();
                    // Long enough for a broker that is there.
                    let _ = tokio::time::timeout(RETRY_WAIT, polling).await;
                    return;
                }
                heard = news.recv() => match heard {
                    Some(News::Up) => {
                        up = true;
                        machine.events.tell(Event::Client(Client::Connected));
                        machine.step(|sorter, now| sorter.connected(now, &mut publish));
                    }
                    Some(News::Message(topic, payload)) => {
                        machine.step(|sorter, now| sorter.receive(now, &topic, &payload, &mut publish));
                    }
                    Some(News::Down) | None => break,
                },
                Some(command) = commands.recv() => machine.obey(command, &mut publish),
                () = clock.sleep_until(machine.sorter.next_deadline()) => {
                    machine.step(|sorter, now| sorter.tick(now, &mut publish));
                }
            }
        }
        polling.abort();
        machine.step(|sorter, now| sorter.disconnected(now));
        if up {
            machine.events.tell(Event::Client(Client::Disconnected));
        }
        let mut nobody = |_: &str, _: &[u8]| {};
        let retry = clock.now() + stowage_base::Duration::from_millis(RETRY_WAIT.as_millis() as i64);
        while clock.now() < retry {
            let due = machine.sorter.next_deadline().map_or(retry, |due| due.min(retry));
            tokio::select! {
                () = stop.cancelled() => return,
                Some(command) = commands.recv() => machine.obey(command, &mut nobody),
                () = clock.sleep_until(Some(due)) => machine.step(|sorter, now| sorter.tick(now, &mut nobody)),
            }
        }
    }
}

fn client(link: &SorterLink, base: &str) -> Result<(AsyncClient, EventLoop), String> {
    let mut options = mqtt::options(&link.broker, &format!("{}-{}", link.site, link.id))?;
    options.set_keep_alive(Duration::from_secs(5));
    options.set_last_will(LastWill::new(format!("{base}{STATE}"), LAST_WILL, QoS::AtLeastOnce, true));
    Ok(mqtt::client(options, WAITING_MAX))
}

async fn poll(client: AsyncClient, mut eventloop: EventLoop, base: String, tell: mpsc::Sender<News>) {
    loop {
        let news = match eventloop.poll().await {
            Ok(Mqtt::Incoming(Packet::ConnAck(ack))) if ack.code == ConnectReturnCode::Success => {
                for topic in TO_SORTER {
                    // There is room: the client is new.
                    let _ = client.try_subscribe(format!("{base}{topic}"), QoS::AtLeastOnce);
                }
                News::Up
            }
            Ok(Mqtt::Incoming(Packet::Publish(message))) => match message.topic.strip_prefix(&base) {
                Some(topic) => News::Message(topic.to_owned(), message.payload.to_vec()),
                None => continue,
            },
            Ok(_) => continue,
            Err(_) => News::Down,
        };
        let over = matches!(news, News::Down);
        if tell.send(news).await.is_err() || over {
            return;
        }
    }
}

struct Machine {
    sorter: Sorter,
    clock: Clock,
    events: Events,
    /// Violations told.
    violations: usize,
}

impl Machine {
    fn step<T>(&mut self, act: impl FnOnce(&mut Sorter, Timestamp) -> T) -> T {
        let result = act(&mut self.sorter, self.clock.now());
        for delivery in self.sorter.take_deliveries() {
            let Delivery { item, code, chute, outcome, .. } = delivery;
            self.events.tell(Event::Delivered { item, code, chute, outcome });
        }
        for violation in &self.sorter.violations()[self.violations..] {
            self.events.tell(Event::Violation(format!("{violation:?}")));
        }
        self.violations = self.sorter.violations().len();
        result
    }

    fn obey(&mut self, command: SorterCommand, publish: &mut dyn FnMut(&str, &[u8])) {
        match command {
            SorterCommand::Parcel { code } => {
                let item = self.step(|sorter, now| sorter.induct(now, code.clone(), publish));
                self.events.tell(Event::Inducted { item, code });
            }
            SorterCommand::Full { chute, full } => self.step(|sorter, now| sorter.set_full(now, &chute, full, publish)),
            SorterCommand::Run(run) => self.step(|sorter, now| sorter.set_run(now, run, publish)),
            SorterCommand::Fail { item, how } => self.step(|sorter, now| sorter.fail(now, item, how, publish)),
            SorterCommand::Restart {} => self.step(|sorter, now| sorter.restart(now, publish)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker;
    use crate::device::Told;
    use rumqttc::MqttOptions;
    use std::net::TcpListener;
    use stowage_base::code;
    use stowage_protocol::sorter_mqtt::{DIVERT, Divert, EDGE_HEARTBEAT, EdgeHeartbeat, SCAN, Scan, command_id};

    fn short(text: &str) -> Code {
        code(text).expect("short")
    }

    async fn delivered(told: &mut mpsc::UnboundedReceiver<Told>) -> (u32, Option<Code>, End) {
        loop {
            match told.recv().await.expect("the sorter runs").event {
                Event::Delivered { item, chute, outcome, .. } => return (item, chute, outcome),
                Event::Violation(what) => panic!("{what}"),
                _ => {}
            }
        }
    }

    /// The next message on `topic`.
    async fn hear(eventloop: &mut EventLoop, topic: &str) -> Vec<u8> {
        loop {
            if let Mqtt::Incoming(Packet::Publish(message)) = eventloop.poll().await.expect("the broker is there")
                && message.topic == topic
            {
                return message.payload.to_vec();
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_item_goes_where_the_edge_says_or_by_the_safe_plan() {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        broker::start(free).expect("the port is free");
        let span = |millis| stowage_base::Duration::from_millis(millis);
        let settings = SorterSettings {
            chutes: vec![short("C1"), short("HOSPITAL")],
            hospital: short("HOSPITAL"),
            to_decision: span(400),
            to_chutes: span(20),
            between_chutes: span(20),
        };
        let clock = Clock::start();
        let (events, mut told) = Events::new(clock);
        let (give, commands) = mpsc::channel(4);
        let stop = CancellationToken::new();
        let broker = Broker { host: "127.0.0.1".into(), port: free.port(), ..Broker::default() };
        let link = SorterLink { broker, site: short("s"), id: short("i") };
        let running = tokio::spawn(sorter(link, settings, clock, commands, events, stop.clone()));
        assert_eq!(told.recv().await.expect("it runs").event, Event::Client(Client::Connected));

        give.send(SorterCommand::Parcel { code: None }).await.expect("it runs");
        assert_eq!(delivered(&mut told).await, (1, Some(short("HOSPITAL")), End::Missed), "there is no edge");

        let mut options = MqttOptions::new("edge", "127.0.0.1", free.port());
        options.set_keep_alive(Duration::from_secs(5));
        let (client, mut eventloop) = AsyncClient::new(options, 10);
        client.subscribe("stowage/s/sorter/i/#", QoS::AtLeastOnce).await.expect("room");
        // Retained: so the subscription holds.
        let state = hear(&mut eventloop, "stowage/s/sorter/i/state").await;
        assert!(state.starts_with(br#"{"online":true"#), "{}", String::from_utf8_lossy(&state));
        give.send(SorterCommand::Parcel { code: Some(short("P1")) }).await.expect("it runs");
        let scan = hear(&mut eventloop, &format!("stowage/s/sorter/i/{SCAN}")).await;
        let Scan { boot, item, code, .. } = serde_json::from_slice(&scan).expect("a scan");
        assert_eq!((item, code), (2, Some(short("P1"))));
        let alive = serde_json::to_vec(&EdgeHeartbeat { boot: Some(boot), results_to: 1 }).expect("plain");
        let divert = Divert { command: command_id(boot, item), chute: short("C1"), valid_for_ms: 400 };
        let divert = serde_json::to_vec(&divert).expect("plain");
        for (topic, payload) in [(EDGE_HEARTBEAT, alive), (DIVERT, divert)] {
            client
                .publish(format!("stowage/s/sorter/i/{topic}"), QoS::AtLeastOnce, false, payload)
                .await
                .expect("room");
        }
        let polling = tokio::spawn(async move { hear(&mut eventloop, "stowage/s/sorter/i/state").await });
        assert_eq!(delivered(&mut told).await, (2, Some(short("C1")), End::Diverted));
        stop.cancel();
        running.await.expect("it ends");
        assert_eq!(polling.await.expect("it polls"), LAST_WILL.as_bytes(), "it says that it goes");
    }
}
