//! The smart sorter's contract, both ends. A line of the data is a message, its first letter the topic; one of digits
//! alone is so many milliseconds that pass; `^` and `!` connect and disconnect.

use crate::steps::START;
use stowage_base::{Code, Duration, Timestamp, code};
use stowage_protocol::sorter::{End, Event, Order, Run, SorterSettings};
use stowage_protocol::sorter_mqtt::{
    ACK, DIVERT, EDGE_HEARTBEAT, Edge, EdgeSettings, HEARTBEAT, LAST_WILL, PAYLOAD_MAX, RESULT, SCAN, STATE, Sink,
    Sorter,
};

enum Line<'a> {
    Wait(Duration),
    Connect,
    Disconnect,
    Message(&'static str, &'a [u8]),
}

fn lines(data: &[u8]) -> impl Iterator<Item = Line<'_>> {
    data.split(|&octet| octet == b'\n').take(512).filter_map(|line| {
        let digits = |line: &[u8]| (1..=5).contains(&line.len()) && line.iter().all(u8::is_ascii_digit);
        let (&first, rest) = line.split_first()?;
        Some(match first {
            _ if digits(line) => {
                let millis = line.iter().fold(0, |millis, digit| millis * 10 + i64::from(digit - b'0'));
                Line::Wait(Duration::from_millis(millis))
            }
            b'^' => Line::Connect,
            b'!' => Line::Disconnect,
            b's' => Line::Message(STATE, rest),
            b'p' => Line::Message(SCAN, rest),
            b'a' => Line::Message(ACK, rest),
            b'r' => Line::Message(RESULT, rest),
            b'h' => Line::Message(HEARTBEAT, rest),
            b'd' => Line::Message(DIVERT, rest),
            b'e' => Line::Message(EDGE_HEARTBEAT, rest),
            _ => Line::Message("other", rest),
        })
    })
}

/// Plays the core: each item that is reported gets a command, each end is recorded.
#[derive(Default)]
struct Core {
    published: usize,
    scanned: Vec<(u32, u32, Timestamp)>,
    ended: Vec<(u32, u32)>,
}

impl Sink for Core {
    fn publish(&mut self, topic: &str, payload: Vec<u8>) {
        assert!(topic == DIVERT || topic == EDGE_HEARTBEAT, "{topic}");
        assert!(payload.len() <= PAYLOAD_MAX);
        self.published += 1;
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Scanned { boot, item, decide_by, .. } => self.scanned.push((boot, item, decide_by)),
            Event::Outcome { boot, item, .. } => self.ended.push((boot, item)),
            _ => {}
        }
    }
}

/// The edge's end, against any sorter.
pub(crate) fn edge(data: &[u8]) {
    let (mut now, mut edge, mut core) = (START, Edge::new(EdgeSettings::default()), Core::default());
    for line in lines(data) {
        match line {
            Line::Wait(time) => {
                now += time;
                edge.tick(now, &mut core);
            }
            Line::Connect => edge.connected(now, &mut core),
            Line::Disconnect => edge.disconnected(now, &mut core),
            Line::Message(topic, payload) => edge.receive(now, topic, payload, &mut core),
        }
        for (boot, item, deadline) in std::mem::take(&mut core.scanned) {
            edge.divert(now, Order { boot, item, chute: short("C1"), deadline }, &mut core);
        }
        for (boot, item) in std::mem::take(&mut core.ended) {
            edge.recorded(boot, item);
        }
        assert!(edge.next_deadline().is_none_or(|next| next > now), "it would spin");
    }
}

/// The sorter's end, against any edge; every few messages something happens on its belt.
pub(crate) fn sorter(data: &[u8]) {
    let span = Duration::from_millis;
    let settings = SorterSettings {
        chutes: ["C1", "C2", "H"].map(short).to_vec(),
        hospital: short("H"),
        to_decision: span(500),
        to_chutes: span(300),
        between_chutes: span(100),
    };
    let (mut now, mut sorter, mut inducted) = (START, Sorter::new(settings), 0);
    let mut out = |topic: &str, payload: &[u8]| {
        assert!([STATE, SCAN, ACK, RESULT, HEARTBEAT].contains(&topic), "{topic}");
        assert!(!payload.is_empty() && payload != LAST_WILL.as_bytes());
    };
    for (n, line) in lines(data).enumerate() {
        match line {
            Line::Wait(time) => {
                now += time;
                sorter.tick(now, &mut out);
            }
            Line::Connect => sorter.connected(now, &mut out),
            Line::Disconnect => sorter.disconnected(now),
            Line::Message(topic, payload) => sorter.receive(now, topic, payload, &mut out),
        }
        match n % 16 {
            0 | 4 | 8 => {
                sorter.induct(now, (n % 3 > 0).then(|| short("P")), &mut out);
                inducted += 1;
            }
            5 => sorter.set_full(now, &short("C2"), n % 32 > 15, &mut out),
            9 => sorter.set_run(now, if n % 32 > 15 { Run::Running } else { Run::Estop }, &mut out),
            10 => sorter.fail(now, n as u32 / 8, [End::Gap, End::Double, End::Lost][n % 3], &mut out),
            15 if n % 64 == 63 => sorter.restart(now, &mut out),
            _ => {}
        }
        assert!(sorter.next_deadline().is_none_or(|next| next > now), "it would spin");
    }
    assert_eq!(sorter.on_belt() + sorter.deliveries().len(), inducted, "each item is on the belt or has its end");
}

fn short(text: &str) -> Code {
    code(text).unwrap_or_default()
}
