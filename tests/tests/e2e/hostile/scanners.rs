//! The scanners' port.

use super::{FLOOD, MemoryWatch, Worker, garbage, grows, rate, shown};
use serde_json::Value;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use stowage_tests::link::{self, Line};
use stowage_tests::plant::{Edge, Handheld, Plant, free_port, scanner_key};
use stowage_tests::relay::{Borders, Relay, Side};
use stowage_tests::{until, within};

/// Intents in a flood of them: each is opened, decided and answered, so fewer than a million fit into a test's time.
const SENT: usize = FLOOD / 100;

/// Different ones among them; the rest are repeats.
const INTENTS: u32 = 1_000;

/// Frames in one go.
const AT_ONCE: usize = 100;

fn key(n: u8) -> [u8; 32] {
    let hex = scanner_key(n);
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
}

/// What the edge has logged of strangers in all: the sum of a field.
fn logged(edge: &Edge, field: &str) -> u64 {
    let log = edge.program.complaints();
    let field = format!(" {field}=");
    let values = log.split(&field).skip(1);
    values.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()).sum()
}

/// Sends `block` so many times, over as many connections as that takes.
fn pour(port: u16, block: &[u8], times: usize) {
    let mut line = Line::open(port);
    for _ in 0..times {
        while line.as_mut().map_or(true, |line| line.send(block).is_err()) {
            line = Line::open(port);
        }
    }
}

#[test]
fn nonsense_at_the_scanners_port_harms_nobody() {
    let mut plant = Plant::new();
    let listens = plant.scanners;
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    for octets in [garbage(1 << 20), vec![0; 100_000], vec![0xFF; 100_000], b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        // It may be sent away before it has said everything.
        let _ = Line::open(listens).expect("the edge listens").send(&octets);
    }
    // A good scanner on a bad line.
    plant.scanners = free_port();
    let relay = Relay::tcp(plant.scanners, listens, Borders::None);
    let mut worker = Worker::at_the_dock(&plant);
    let before = edge.device("scan-1");
    relay.inject(Side::Server, &[&[0][..], &garbage(200), &[0]].concat());
    grows(&edge, "scan-1", "malformed", &before);
    worker.scan();
    assert_eq!(plant.facts_of("stock.received").len() as u64, worker.serial);
    watch.end("nonsense at the scanners' port");
    edge.stop();
    plant.verify();
}

#[test]
fn a_million_frames_of_strangers_harm_no_scanner() {
    let plant = Plant::new();
    let port = plant.scanners;
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    let mut worker = Worker::at_the_dock(&plant);

    let noise = b"\x05no frame\0".repeat(AT_ONCE);
    let ((), took) = worker.scans_during("damaged frames", || {
        pour(port, &noise, FLOOD / AT_ONCE);
        until("damaged frames to be counted", || (logged(&edge, "damaged") >= FLOOD as u64 * 9 / 10).then_some(()));
    });
    println!("{} damaged frames a second", rate(FLOOD, took));

    // They look right, but nobody has said hello.
    let early = link::frame(&[&[1, 1, 1, 0, 0, 0][..], &garbage(40)].concat()).repeat(AT_ONCE);
    let frames = FLOOD / 4;
    let ((), took) = worker.scans_during("sealed frames without a session", || {
        pour(port, &early, frames / AT_ONCE);
        until("early frames to be counted", || (logged(&edge, "early") >= frames as u64 * 9 / 10).then_some(()));
    });
    println!("{} sealed frames a second without a session", rate(frames, took));

    let stranger = link::frame(&link::hello("scan-9", &[1; 16])).repeat(AT_ONCE);
    let before = edge.program.complaints().len();
    let ((), took) = worker.scans_during("hellos of a stranger", || {
        pour(port, &stranger, frames / AT_ONCE);
        until("strangers to be counted", || (logged(&edge, "unenrolled") >= frames as u64 * 9 / 10).then_some(()));
    });
    println!("{} hellos a second", rate(frames, took));
    let log = edge.program.complaints().split_off(before);
    assert!(log.contains("scan-9") && log.len() < 10_000, "{} octets of log: {log:.2000}", log.len());

    // The second handheld's name with another key: three frames end each session.
    let before = edge.device("scan-2");
    let sessions = 5_000;
    let ((), took) = worker.scans_during("a wrong key", || {
        for _ in 0..sessions {
            until("a session", || {
                let mut line = Line::open(port).ok()?;
                line.greet("scan-2", &[0x66; 32]).ok()?;
                let frames: Vec<u8> = (0..4).flat_map(|_| line.seal(&link::READY)).collect();
                let _ = line.send(&frames);
                Some(())
            });
        }
    });
    println!("{} sessions a second with a wrong key", rate(sessions, took));
    // A session may be put out by the next one before its last frame was looked at.
    let before = before["malformed"].as_u64().expect("a number");
    until("every session to be told", || {
        (shown(&edge, "scan-2", "malformed") >= before + 2 * sessions as u64).then_some(())
    });
    println!("{}", edge.device("scan-2")["last_error"]);
    worker.scan();
    watch.end("frames of strangers");
    edge.stop();
    plant.verify();
}

#[test]
fn connections_that_never_say_who_they_are_keep_no_scanner_out() {
    let mut plant = Plant::new();
    let listens = plant.scanners;
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    plant.scanners = free_port();
    let relay = Relay::tcp(plant.scanners, listens, Borders::None);
    let mut worker = Worker::at_the_dock(&plant);
    // All that it takes, and then some, for as long as the test lasts.
    let mut silent: VecDeque<io::Result<Line>> = (0..2_000).map(|_| Line::open(listens)).collect();
    let connections = 10_000;
    let ((), took) = worker.scans_during("connections that never say who they are", || {
        for _ in 0..connections {
            silent.pop_front();
            silent.push_back(Line::open(listens));
        }
    });
    println!("{} connections a second", rate(connections, took));
    plant.scanners = listens;
    let mut second = Handheld::start(&plant, 2);
    second.key("receive");
    second.at("RECV-1");
    edge.wait_device("scan-2", true);
    let before = edge.device("scan-1");
    relay.cut();
    grows(&edge, "scan-1", "downs", &before);
    within(Duration::from_secs(10), "the first scanner to be back", || {
        (edge.device("scan-1")["up"] == true).then_some(())
    });
    worker.scan();
    until("those turned away to be told", || (logged(&edge, "turned_away") >= connections as u64).then_some(()));
    watch.end("connections that never say who they are");
    edge.stop();
    plant.verify();
}

#[test]
fn a_scanner_that_sends_as_fast_as_it_can_and_repeats_delays_nobody() {
    let plant = Plant::new();
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    let mut worker = Worker::at_the_dock(&plant);
    let mut line = Line::open(plant.scanners).expect("the edge listens");
    line.greet("scan-2", &key(2)).expect("it is enrolled");
    let ready = line.seal(&link::READY);
    line.send(&ready).expect("it is welcome");
    let (mut next, mut answered, mut answers, mut refusals) = (1, 0, 0, 0);
    let ((), took) = worker.scans_during("a scanner that sends as fast as it can", || {
        let mut sent = 0;
        while sent < SENT || answered < INTENTS {
            let mut frames = Vec::new();
            for _ in 0..AT_ONCE {
                // Once everything is sent, it begins again.
                frames.extend(line.seal(&link::receive(next, "worker-7", 9_521_321_001_077, 1, "RECV-1")));
                next = next % INTENTS + 1;
                sent += 1;
            }
            line.send(&frames).expect("it may send");
            for message in line.messages().expect("it stays connected") {
                let (kind, rest) = link::number(&message);
                let seq = || u32::try_from(link::number(rest).0).expect("32 bits");
                match kind {
                    1 => (answers, answered) = (answers + 1, answered.max(seq())),
                    2 => (refusals, next) = (refusals + 1, seq()),
                    _ => {}
                }
            }
        }
    });
    println!("{} frames a second: {answers} answers, {refusals} refusals", rate(SENT, took));
    edge.wait_units(u64::from(INTENTS) + worker.serial);
    worker.scan();
    watch.end("a scanner that sends as fast as it can");
    edge.stop();
    plant.verify();
    let ours = |fact: &&Value| fact["cause"]["intent"].as_str().is_some_and(|intent| intent.starts_with("scan-2/"));
    assert_eq!(plant.facts_of("stock.received").iter().filter(ours).count(), INTENTS as usize, "each once");
}
