//! The mobile robot at an MQTT broker.

use super::{Client, Clock, Event, Events};
use rumqttc::{
    AsyncClient, ConnectReturnCode, Event as Mqtt, EventLoop, LastWill, MqttOptions, Packet, QoS, SubscribeFilter,
};
use serde::Deserialize;
use std::time::Duration;
use stowage::config::Broker;
use stowage::mqtt;
use stowage_base::Timestamp;
use stowage_protocol::vda5050::{Publish, Qos, Robot, RobotSettings, Trouble};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Pause before the broker is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// The broker publishes the last will when it has heard nothing for one and a half of this.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Messages that may wait for the client's task.
const WAITING_MAX: usize = 256;

/// What may happen to the robot. As JSON: an object with one member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RobotCommand {
    /// Something goes wrong, or is right again.
    Trouble {
        /// What.
        what: Trouble,
        /// It begins; else it ends.
        on: bool,
    },
    /// It loses its connection without a word.
    Offline {
        /// For so long.
        millis: u32,
    },
}

/// What the client's task says.
enum News {
    Up,
    Message(String, Vec<u8>),
    Down,
}

/// Runs a robot until `stop`. Without a broker it goes on to the end of its base, and tries again.
pub async fn robot(
    broker: Broker,
    settings: RobotSettings,
    clock: Clock,
    mut commands: mpsc::Receiver<RobotCommand>,
    events: Events,
    stop: CancellationToken,
) {
    let id = format!("{}-{}", settings.manufacturer, settings.serial);
    let robot = Robot::new(clock.now(), settings);
    let mut machine = Machine { robot, clock, events, violations: 0 };
    loop {
        let mut options = match mqtt::options(&broker, &id) {
            Ok(options) => options,
            Err(why) => return machine.events.tell(Event::Error(why)),
        };
        will(&mut options, machine.step(|robot, now| robot.will(now)));
        let (client, eventloop) = mqtt::client(options, WAITING_MAX);
        let (tell, mut news) = mpsc::channel(WAITING_MAX);
        let topics = machine.robot.subscriptions();
        // In a task of its own: a poll that is dropped half done loses messages.
        let polling = tokio::spawn(poll(client.clone(), eventloop, topics, tell));
        let mut publish = |message| publish(&client, message);
        let (mut up, mut wait) = (false, RETRY_WAIT);
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    publish(machine.step(|robot, now| robot.goodbye(now)));
                    let _ = client.try_disconnect();
                    // Long enough for a broker that is there.
                    let _ = tokio::time::timeout(RETRY_WAIT, polling).await;
                    return;
                }
                heard = news.recv() => match heard {
                    Some(News::Up) => {
                        up = true;
                        machine.events.tell(Event::Client(Client::Connected));
                        machine.step(|robot, now| robot.connected(now, &mut publish));
                    }
                    Some(News::Message(topic, payload)) => {
                        machine.step(|robot, now| robot.receive(now, &topic, &payload, &mut publish));
                    }
                    Some(News::Down) | None => break,
                },
                Some(command) = commands.recv() => if let Some(offline) = machine.obey(&command, &mut publish) {
                    wait = offline;
                    break;
                },
                () = clock.sleep_until(machine.robot.next_deadline()) => {
                    machine.step(|robot, now| robot.tick(now, &mut publish));
                }
            }
        }
        polling.abort();
        machine.step(|robot, now| robot.disconnected(now));
        if up {
            machine.events.tell(Event::Client(Client::Disconnected));
        }
        let mut nobody = |_| {};
        let retry = clock.now() + stowage_base::Duration::from_millis(wait.as_millis() as i64);
        while clock.now() < retry {
            let due = machine.robot.next_deadline().map_or(retry, |due| due.min(retry));
            tokio::select! {
                () = stop.cancelled() => return,
                Some(command) = commands.recv() => drop(machine.obey(&command, &mut nobody)),
                () = clock.sleep_until(Some(due)) => machine.step(|robot, now| robot.tick(now, &mut nobody)),
            }
        }
    }
}

fn will(options: &mut MqttOptions, will: Publish) {
    options.set_keep_alive(KEEP_ALIVE);
    options.set_last_will(LastWill::new(will.topic, will.payload, qos(will.qos), will.retain));
}

fn publish(client: &AsyncClient, message: Publish) {
    // What finds no room is lost, as on a bad line: both ends repeat what matters.
    let _ = client.try_publish(message.topic, qos(message.qos), message.retain, message.payload);
}

const fn qos(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
    }
}

async fn poll(client: AsyncClient, mut eventloop: EventLoop, topics: Vec<(String, Qos)>, tell: mpsc::Sender<News>) {
    loop {
        let news = match eventloop.poll().await {
            Ok(Mqtt::Incoming(Packet::ConnAck(ack))) if ack.code == ConnectReturnCode::Success => {
                let filter = |(topic, of): &(String, Qos)| SubscribeFilter::new(topic.clone(), qos(*of));
                // There is room: the client is new.
                let _ = client.try_subscribe_many(topics.iter().map(filter));
                continue;
            }
            // Nothing that is said because of our state can be missed.
            Ok(Mqtt::Incoming(Packet::SubAck(_))) => News::Up,
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

struct Machine {
    robot: Robot,
    clock: Clock,
    events: Events,
    /// Violations told.
    violations: usize,
}

impl Machine {
    fn step<T>(&mut self, act: impl FnOnce(&mut Robot, Timestamp) -> T) -> T {
        let result = act(&mut self.robot, self.clock.now());
        for happening in self.robot.take_happenings() {
            self.events.tell(Event::Robot(happening));
        }
        for violation in &self.robot.violations()[self.violations..] {
            self.events.tell(Event::Violation(format!("{violation:?}")));
        }
        self.violations = self.robot.violations().len();
        result
    }

    /// Carries out a command; gives for how long the connection is to be lost.
    fn obey(&mut self, command: &RobotCommand, publish: &mut dyn FnMut(Publish)) -> Option<Duration> {
        match *command {
            RobotCommand::Trouble { what, on } => {
                self.step(|robot, now| robot.trouble(now, what, on, publish));
                None
            }
            RobotCommand::Offline { millis } => Some(Duration::from_millis(millis.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker;
    use serde_json::{Value, json};
    use std::net::TcpListener;
    use stowage_protocol::vda5050::{Happening, Version};

    /// The next message on `topic` that `wanted` takes.
    async fn hear(eventloop: &mut EventLoop, topic: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Mqtt::Incoming(Packet::Publish(message)) = eventloop.poll().await.expect("the broker is there")
                && message.topic == topic
            {
                let value = serde_json::from_slice(&message.payload).expect("JSON");
                if wanted(&value) {
                    return value;
                }
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_order_by_hand_is_driven_and_a_lost_connection_is_told_by_the_will() {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        broker::start(free).expect("the port is free");
        let clock = Clock::start();
        let (events, mut told) = Events::new(clock);
        let (give, commands) = mpsc::channel(4);
        let stop = CancellationToken::new();
        let broker = Broker { host: "127.0.0.1".into(), port: free.port(), login: None, ca: None };
        let settings = RobotSettings::carrier(Version::V2_1, "KIT", "0001", "A");
        let running = tokio::spawn(robot(broker, settings, clock, commands, events, stop.clone()));
        assert_eq!(told.recv().await.expect("it runs").event, Event::Client(Client::Connected));

        let mut options = MqttOptions::new("edge", "127.0.0.1", free.port());
        options.set_keep_alive(Duration::from_secs(5));
        let (client, mut eventloop) = AsyncClient::new(options, 10);
        client.subscribe("uagv/v2/KIT/0001/#", QoS::AtLeastOnce).await.expect("room");
        let connection = "uagv/v2/KIT/0001/connection";
        let online = hear(&mut eventloop, connection, |_| true).await;
        assert_eq!(online["connectionState"], "ONLINE");
        let node = |id: &str, sequence: u32, x: f64| {
            let position = json!({"x": x, "y": 0, "mapId": "floor"});
            json!({"nodeId": id, "sequenceId": sequence, "released": true, "actions": [], "nodePosition": position})
        };
        let order = json!({
            "headerId": 0, "timestamp": "2026-11-24T22:10:07.10Z", "version": "2.1.0", "manufacturer": "KIT",
            "serialNumber": "0001", "orderId": "o", "orderUpdateId": 0,
            "nodes": [node("A", 0, 0.0), node("B", 2, 0.3)],
            "edges": [{"edgeId": "A-B", "sequenceId": 1, "released": true, "startNodeId": "A", "endNodeId": "B", "actions": []}],
        });
        let to = "uagv/v2/KIT/0001/order";
        client.publish(to, QoS::AtMostOnce, false, order.to_string()).await.expect("room");
        let there = |state: &Value| state["lastNodeId"] == "B" && state["driving"] == false;
        let state = hear(&mut eventloop, "uagv/v2/KIT/0001/state", there).await;
        assert_eq!((&state["orderId"], &state["agvPosition"]["x"]), (&json!("o"), &json!(0.3)));
        let reached = Happening::Reached { order: "o".into(), sequence: 2, node: "B".into() };
        while told.recv().await.expect("it runs").event != Event::Robot(reached.clone()) {}

        give.send(RobotCommand::Offline { millis: 100 }).await.expect("it runs");
        let broken = hear(&mut eventloop, connection, |_| true).await;
        assert_eq!(broken["connectionState"], "CONNECTIONBROKEN");
        hear(&mut eventloop, connection, |state| state["connectionState"] == "ONLINE").await;
        let polling = tokio::spawn(async move { hear(&mut eventloop, connection, |_| true).await });
        stop.cancel();
        running.await.expect("it ends");
        assert_eq!(polling.await.expect("it polls")["connectionState"], "OFFLINE", "it says that it goes");
    }
}
