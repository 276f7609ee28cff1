//! A tag report of a smart reader allocates nothing on its way from the payload to the sink: counted.

#![allow(unsafe_code, reason = "the counting allocator has to implement GlobalAlloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use stowage_base::{Duration, TagRead, Timestamp, Visit};
use stowage_protocol::reader_mqtt::{AntennaSettings, Event, Session, Sink, Watch};
use stowage_protocol::{impinj_iot, zebra_iotc};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches a thread's own cell, which needs no
// allocation itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, size) }
    }
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[derive(Default)]
struct Counts {
    reads: u64,
    visits: u64,
}

impl<Out> Sink<Out> for Counts {
    fn send(&mut self, _: Out) {}
    fn read(&mut self, _: &TagRead) {
        self.reads += 1;
    }
    fn visit(&mut self, _: &Visit) {
        self.visits += 1;
    }
    fn event(&mut self, event: Event) {
        assert_eq!(event, Event::Up);
    }
}

fn watch() -> Watch {
    let antennas = [1, 2].map(|port| AntennaSettings { port, power_cdbm: 3_000 });
    Watch { antennas: antennas.to_vec(), turn: Duration::from_millis(200), delay: Duration::ZERO }
}

/// A thousand reports, one each 10 ms, written beforehand.
fn count<S: Session>(session: &mut S, begin: Timestamp, topic: &str, report: impl Fn(Timestamp) -> String) -> u64 {
    let mut told = Counts::default();
    let at = |n: i64| begin + Duration::from_millis(10 * n);
    let payloads: Vec<String> = (0..1_000).map(|n| report(at(n))).collect();
    let before = ALLOCATIONS.with(Cell::get);
    for (payload, n) in payloads.iter().zip(0..) {
        session.receive(at(n), topic, payload.as_bytes(), &mut told);
    }
    let counted = ALLOCATIONS.with(Cell::get) - before;
    assert_eq!(told.reads, 1_000);
    assert!(told.visits >= 2 * 48, "{}", told.visits);
    counted
}

#[test]
fn reports_allocate_nothing() {
    let begin = Timestamp::from_micros(1_795_558_200_000_000);
    // In these ten seconds the reader is asked for its state twice: the only things that allocate.
    const POLLS: u64 = 2;

    let mqtt = impinj_iot::MqttSettings {
        event_topic: "events".into(),
        will_topic: "will".into(),
        ..impinj_iot::MqttSettings::default()
    };
    let settings = impinj_iot::Settings {
        watch: watch(),
        session: 1,
        population: 32,
        rf_mode: 1002,
        interval_s: 0,
        preset: None,
        mqtt,
    };
    let mut session = impinj_iot::Edge::new(settings);
    let (mut told, mut answers) = (Counts::default(), 0);
    session.connected(begin, &mut told);
    for answer in
        [r#"{"status":"idle","time":"2026-11-24T22:10:00.000000Z"}"#, "{}", "", "", "", r#"{"status":"running"}"#]
    {
        answers += 1;
        session.answered(begin, answers, Ok((200, answer.as_bytes())), &mut told);
    }
    let counted = count(&mut session, begin, "events", |at| {
        format!(
            r#"{{"timestamp":"{at}","eventType":"tagInventory","tagInventoryEvent":{{"epc":"MbgAAwAAAAAAAAAA","antennaPort":2,"peakRssiCdbm":-7043,"frequency":902750,"lastSeenTime":"{at}","phaseAngle":142.92}}}}"#
        )
    });
    assert!(counted <= 8 * POLLS, "{counted} allocations for a thousand reports of Impinj's");

    let settings = zebra_iotc::Settings {
        watch: watch(),
        topics: zebra_iotc::Topics::below("zebra"),
        session: 1,
        population: 32,
        interval_s: 0,
        command_prefix: "e".into(),
    };
    let mut session = zebra_iotc::Edge::new(settings);
    session.connected(begin, &mut told);
    for (id, command) in (1..).zip(["get_status", "stop", "set_mode", "start"]) {
        let payload = if id == 1 { r#"{"systemTime":"2026-11-24T22:10:00.000000Z"}"# } else { "{}" };
        let response =
            format!(r#"{{"command":"{command}","command_id":"e-{id}","response":"success","payload":{payload}}}"#);
        session.receive(begin, "zebra/ctrl/res", response.as_bytes(), &mut told);
    }
    let counted = count(&mut session, begin, "zebra/data", |at| {
        let at = at.to_string();
        let at = at.trim_end_matches('Z');
        format!(
            r#"{{"data":{{"eventNum":7,"format":"epc","idHex":"3408d942d5596a70b2564e38","antenna":1,"peakRssi":-65,"channel":865.7,"phase":34.563,"reads":4}},"timestamp":"{at}+0000","type":"CUSTOM"}}"#
        )
    });
    assert!(counted <= 24 * POLLS, "{counted} allocations for a thousand reports of Zebra's");
}
