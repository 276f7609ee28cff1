//! `stowage decode reader-mqtt`.

use super::Input;
use crate::cli::Error;
use crate::cli::output::{Line, Output, to_json};
use serde::Serialize;
use std::io::Read;
use stowage_base::{Epc, Timestamp};
use stowage_protocol::reader_mqtt::{Malformed, Tag};
use stowage_protocol::{impinj_iot, zebra_iotc};

/// MQTT messages of smart readers, one a line: their reads, and whatever else they tell
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    input: Input,
    /// Whose messages they are: Impinj's IoT device interface, or Zebra's IoT Connector
    #[arg(long, value_enum)]
    vendor: Vendor,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Vendor {
    Impinj,
    Zebra,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Good { reads: Vec<ReadLine>, events: Vec<Event> },
    Bad { input: String, error: Malformed },
}

#[derive(Debug, Serialize)]
struct ReadLine {
    epc_hex: Epc,
    antenna: Option<u16>,
    rssi_dbm: Option<f64>,
    frequency_khz: Option<u32>,
    phase_deg: Option<f64>,
    at: Timestamp,
    tid_hex: Option<Epc>,
}

impl From<Tag> for ReadLine {
    fn from(tag: Tag) -> Self {
        Self {
            epc_hex: tag.epc,
            antenna: tag.antenna,
            rssi_dbm: tag.rssi_cdbm.map(|cdbm| f64::from(cdbm) / 100.0),
            frequency_khz: tag.frequency_khz,
            phase_deg: tag.phase_deg,
            at: tag.at.at,
            tid_hex: tag.tid,
        }
    }
}

/// What a message tells but for reads.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Event {
    InventoryStatus { status: String, at: Timestamp },
    Antenna { antenna: u16, connected: bool, at: Timestamp },
    AntennaActivation { antenna: u16, at: Timestamp },
    Overflow { lost: u64, at: Timestamp },
    Gpi { pin: u16, high: bool, at: Timestamp },
    Heartbeat { at: Timestamp },
    Complaint { what: String, at: Timestamp },
    Command { command: String, command_id: String },
    Response { command: String, matches: String, ok: bool, error: Option<String> },
    Unknown { what: String, at: Timestamp },
}

impl Line for Answer {
    const COLUMNS: &'static [(&'static str, usize)] = &[("reads", 0), ("events", 0)];

    fn cells(&self) -> Vec<String> {
        match self {
            Self::Good { reads, events } => {
                let read = |read: &ReadLine| match (read.antenna, read.rssi_dbm) {
                    (Some(antenna), Some(rssi)) => format!("{} antenna {antenna} {rssi:.2} dBm", read.epc_hex),
                    (Some(antenna), None) => format!("{} antenna {antenna}", read.epc_hex),
                    (None, Some(rssi)) => format!("{} {rssi:.2} dBm", read.epc_hex),
                    (None, None) => read.epc_hex.to_string(),
                };
                let reads: Vec<_> = reads.iter().map(read).collect();
                let events: Vec<_> = events.iter().map(to_json).collect();
                vec![reads.join(", "), events.join(" ")]
            }
            Self::Bad { error, .. } => vec!["-".into(), error.to_string()],
        }
    }

    fn is_bad(&self) -> bool {
        matches!(self, Self::Bad { .. })
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

pub(super) fn run(args: &Args, stdin: &mut dyn Read, out: &mut Output<'_>) -> Result<(), Error> {
    args.input.lines(stdin, |line| Ok(out.line(&decode(args.vendor, line))?))
}

fn decode(vendor: Vendor, line: &str) -> Answer {
    let (mut reads, mut events, mut fault) = (Vec::new(), Vec::new(), None);
    let payload = line.as_bytes();
    let ended = match vendor {
        Vendor::Impinj => impinj_iot::messages(payload, |message| match message {
            Ok(message) => impinj(message, &mut reads, &mut events),
            Err(error) => drop(fault.get_or_insert(error)),
        }),
        Vendor::Zebra => zebra_iotc::messages(payload, |message| match message {
            Ok(message) => zebra(message, &mut reads, &mut events),
            Err(error) => drop(fault.get_or_insert(error)),
        }),
    };
    match fault.or(ended.err()) {
        None => Answer::Good { reads, events },
        Some(error) => Answer::Bad { input: line.to_owned(), error },
    }
}

fn impinj(message: impinj_iot::Message, reads: &mut Vec<ReadLine>, events: &mut Vec<Event>) {
    use impinj_iot::Event as Told;
    let at = message.at.at;
    events.push(match message.event {
        Told::Tag(tag) => return reads.push(tag.into()),
        Told::Antenna { port, connected } => Event::Antenna { antenna: port, connected, at },
        Told::Activation { port } => Event::AntennaActivation { antenna: port, at },
        Told::Status(status) => Event::InventoryStatus { status: status.as_str().to_owned(), at },
        Told::Overflow { lost } => Event::Overflow { lost, at },
        Told::Gpi { pin, high } => Event::Gpi { pin, high, at },
        Told::Unknown { kind } => Event::Unknown { what: kind, at },
    });
}

fn zebra(message: zebra_iotc::Message, reads: &mut Vec<ReadLine>, events: &mut Vec<Event>) {
    use zebra_iotc::{Event as Told, News};
    events.push(match message.event {
        Told::Tag(tag) => return reads.push(tag.into()),
        Told::Command { command, id } => Event::Command { command, command_id: id },
        Told::Response(response) => Event::Response {
            command: response.command,
            matches: response.id,
            ok: response.outcome.is_ok(),
            error: response.outcome.err(),
        },
        Told::Management(management) => {
            let at = management.at.at;
            match management.news {
                News::Heartbeat => Event::Heartbeat { at },
                News::Gpi { pin, high } => Event::Gpi { pin, high, at },
                News::Complaint(what) => Event::Complaint { what, at },
                News::Unknown { kind } => Event::Unknown { what: kind, at },
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::cli::testing::{at_terminal, json, stowage};
    use serde_json::json;

    #[test]
    fn both_vendors_and_what_is_malformed() {
        let tag = br#"{"timestamp":"2026-11-24T22:10:00.5Z","eventType":"tagInventory","tagInventoryEvent":{"epc":"ikUCJA==","antennaPort":3,"peakRssiCdbm":-7043,"frequency":866900,"phaseAngle":142.92}}"#;
        let (status, out, err) = stowage(&["decode", "reader-mqtt", "--vendor", "impinj"], tag);
        assert_eq!((status, err.as_str()), (0, ""));
        assert_eq!(
            json(&out)[0],
            json!({
                "reads": [{
                    "epc_hex": "8A450224", "antenna": 3, "rssi_dbm": -70.43, "frequency_khz": 866_900,
                    "phase_deg": 142.92, "at": 1_795_558_200_500_000_i64, "tid_hex": null,
                }],
                "events": [],
            })
        );
        let zebra = b"[{\"data\":{\"idHex\":\"e280\"},\"timestamp\":\"2026-11-24T22:10:00.500+0000\",\"type\":\"SIMPLE\"}]\n\
            {\"command\":\"start\",\"command_id\":\"a\",\"response\":\"failure\",\"payload\":{\"code\":4}}\n{\"command\":\"start\"}\n\n";
        let (status, out, _) = stowage(&["decode", "reader-mqtt", "--vendor", "zebra"], zebra);
        let lines = json(&out);
        assert_eq!((status, lines.len()), (0, 4));
        assert_eq!(
            (&lines[0]["reads"][0]["epc_hex"], &lines[0]["reads"][0]["antenna"]),
            (&json!("E280"), &json!(null))
        );
        assert_eq!(
            lines[1]["events"],
            json!([{"kind": "response", "command": "start", "matches": "a", "ok": false, "error": "code 4"}])
        );
        assert_eq!(lines[2]["error"], json!({"reason": "missing field `command_id`", "position": 19}));
        assert_eq!(lines[3]["error"]["reason"], "the payload is empty");
        let shown = at_terminal(&["decode", "reader-mqtt", "--vendor", "impinj"], tag).1;
        assert!(shown.contains("8A450224 antenna 3 -70.43 dBm"), "{shown}");
    }
}
