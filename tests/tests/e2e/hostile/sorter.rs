//! The sorter's topics at the broker.

use super::{FLOOD, MemoryWatch, Worker, garbage, rate, shown};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use stowage_tests::http::utc_micros;
use stowage_tests::plant::Plant;
use stowage_tests::process::Program;
use stowage_tests::{long, until};

/// Messages that the stranger may be ahead of the edge: the broker keeps them all.
const AHEAD_MAX: usize = 4_000;

/// Items that a stranger makes up, and how often he tells of each.
const ITEMS: usize = 500;
const SAID: usize = 60;

/// An MQTT 3.1.1 client that publishes with QoS 0, and nothing else.
struct Publisher(TcpStream);

impl Publisher {
    fn connect(port: u16) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the broker listens");
        let id = b"stranger";
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, id.len() as u8];
        body.extend(id);
        stream.write_all(&[&[0x10, body.len() as u8], &body[..]].concat()).expect("it is connected");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, [0x20, 2, 0, 0]);
        Self(stream)
    }

    fn publish(&mut self, topic: &str, payload: &[u8]) {
        self.0.write_all(&packet(topic, payload)).expect("the broker takes it");
    }
}

/// A PUBLISH of MQTT 3.1.1 with QoS 0.
fn packet(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x30];
    let mut left = 2 + topic.len() + payload.len();
    loop {
        let octet = (left % 128) as u8;
        left /= 128;
        packet.push(if left > 0 { octet | 0x80 } else { octet });
        if left == 0 {
            break;
        }
    }
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.extend(payload);
    packet
}

/// A parcel goes where it should: the sorter is commanded as ever.
fn sorts(sorter: &mut Program) {
    until("a parcel to be sorted as before", || {
        let mark = sorter.mark();
        sorter.tell(&json!({"parcel": {"code": "EXP-1"}}));
        let delivered = sorter.hear_after(mark, "delivered", |_| true);
        (delivered["chute"] == "C4" && delivered["outcome"] == "diverted").then_some(())
    });
}

#[test]
fn nonsense_and_a_flood_of_messages_on_the_sorters_topics_harm_nobody() {
    let plant = Plant::new();
    let _broker = plant.broker_with("max_queued_messages 0\n");
    let mut sorter = plant.sorter();
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    let mut worker = Worker::at_the_dock(&plant);
    edge.wait_device("sorter-1", true);
    let mut stranger = Publisher::connect(plant.broker);
    let before = shown(&edge, "sorter-1", "malformed");
    let topic = |name: &str| format!("stowage/demo/sorter/sorter-1/{name}");
    let huge = [&b"{\"boot\":1,\"x\":\""[..], &[b'x'; 100_000], b"\"}"].concat();
    for name in ["state", "scan", "ack", "result", "heartbeat"] {
        for payload in
            [&b""[..], b"{", b"null", b"[]", b"{\"boot\":-1}", b"{\"boot\":99999999999}", &garbage(500), &huge]
        {
            stranger.publish(&topic(name), payload);
        }
    }
    until("nonsense to be counted", || (shown(&edge, "sorter-1", "malformed") >= before + 40).then_some(()));
    println!("{}", edge.device("sorter-1")["last_error"]);
    // More than a packet may have: the connection's end, and a new one.
    stranger.publish(&topic("scan"), &vec![b'x'; 2 << 20]);
    edge.wait_device("sorter-1", true);

    let mut flood = |what, counts: &[&str], packets: &[u8], (at_once, times): (usize, usize), worker: &mut Worker| {
        let counted = || counts.iter().map(|of| shown(&edge, "sorter-1", of)).sum::<u64>() as usize;
        let before = counted();
        let ((), took) = worker.scans_during(what, || {
            for sent in 1..=times {
                stranger.0.write_all(packets).expect("the broker takes it");
                let enough = before + (sent * at_once).saturating_sub(AHEAD_MAX);
                until("the edge to follow", || (counted() >= enough).then_some(()));
            }
            until("every message to be counted", || (counted() >= before + times * at_once).then_some(()));
        });
        println!("{what}: {} messages a second", rate(times * at_once, took));
    };
    // The broker is the slow one.
    let junks = if long() { FLOOD } else { FLOOD / 4 };
    let junk = ["scan", "ack", "result", "heartbeat"].map(|name| packet(&topic(name), b"{\"boot\":0}")).concat();
    flood("junk for the sorter", &["malformed"], &junk.repeat(250), (1_000, junks / 1_000), &mut worker);
    assert_eq!(edge.device("sorter-1")["up"], true, "{}", edge.device("sorter-1"));
    sorts(&mut sorter);

    // Items that never were, told again and again: each is recorded and commanded once.
    let boot = &plant.facts_of("command.planned")[0]["data"]["boot"];
    let scan = |item: usize| {
        let scan = json!({"boot": boot, "item": item, "code": "EXP-1", "at_us": utc_micros(), "decide_in_ms": 20_000});
        packet(&topic("scan"), scan.to_string().as_bytes()).repeat(SAID)
    };
    let scans: Vec<u8> = (1_000..1_000 + ITEMS).flat_map(scan).collect();
    flood("items that never were", &["count", "faults"], &scans, (ITEMS, 1), &mut worker);
    println!("{}", edge.device("sorter-1"));
    sorter.tell(&json!({"restart": {}}));
    sorts(&mut sorter);
    watch.end("a flood on the sorter's topics");
    edge.stop();
    plant.verify();
}
