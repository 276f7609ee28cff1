//! `stowage decode mercury`.

use super::{Input, hex, octets};
use crate::cli::Error;
use crate::cli::output::{Line, Output, to_json};
use serde::Serialize;
use std::io::Read;
use stowage_mercury::{Describe, Embedded, EpcLength, Opcode, Silion, Status, TagRecord};

/// Frames of UART reader modules in hex, one a line: opcode, status, tags
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    input: Input,
    /// Which way the frames travel: to the module, or from it
    #[arg(long, value_enum)]
    dir: Dir,
    /// How records of the tag buffer tell the length of an EPC; octets: some Silion modules
    #[arg(long, value_enum, default_value_t = Length::Bits)]
    epc_length: Length,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Dir {
    To,
    From,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Length {
    Bits,
    Octets,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Good {
        dir: Dir,
        opcode: u8,
        status: Option<u16>,
        data: String,
        tags: Vec<Tag>,
        #[serde(skip_serializing_if = "Option::is_none")]
        silion: Option<Own>,
    },
    Bad {
        dir: Dir,
        input: String,
        error: Fault,
    },
}

#[derive(Debug, Serialize)]
struct Fault {
    reason: String,
    /// Octet of the frame's data where a tag record breaks; character where the input isn't hex; else null.
    position: Option<usize>,
}

/// What a Silion module's own command says.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Own {
    Subcommand { subcommand: String, data: String },
    Heartbeat { search_flags: String, state: String },
}

impl Own {
    fn of(silion: Silion<'_>) -> Self {
        match silion {
            Silion::Subcommand { code, data } => {
                Self::Subcommand { subcommand: format!("{code:04X}"), data: hex(data) }
            }
            Silion::Heartbeat { search, state } => {
                Self::Heartbeat { search_flags: format!("{search:04X}"), state: hex(state) }
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct Tag {
    epc_hex: String,
    pc: String,
    xpc: String,
    tag_crc: String,
    read_count: Option<u8>,
    rssi_dbm: Option<f32>,
    antenna: Option<u8>,
    frequency_khz: Option<u32>,
    timestamp_ms: Option<u32>,
    phase_deg: Option<u16>,
    protocol: Option<u8>,
    data: Option<String>,
    data_status: Option<u16>,
    gpio: Option<u8>,
    q: Option<u8>,
    link_frequency: Option<u8>,
    target: Option<u8>,
    brand: Option<u16>,
}

impl Tag {
    fn of(record: &TagRecord<'_>) -> Self {
        let (data, data_status) = match record.embedded {
            None => (None, None),
            Some(Embedded::Data(data)) => (Some(hex(data)), None),
            Some(Embedded::Failed(status)) => (None, Some(status)),
        };
        Self {
            epc_hex: hex(record.epc),
            pc: hex(&record.pc.to_be_bytes()),
            xpc: hex(record.xpc),
            tag_crc: hex(&record.tag_crc.to_be_bytes()),
            read_count: record.read_count,
            rssi_dbm: record.rssi_dbm.map(f32::from),
            antenna: record.tx_port(),
            frequency_khz: record.frequency_khz,
            timestamp_ms: record.timestamp_ms,
            phase_deg: record.phase_deg,
            protocol: record.protocol,
            data,
            data_status,
            gpio: record.gpio,
            q: record.q,
            link_frequency: record.link_frequency,
            target: record.target,
            brand: record.brand,
        }
    }
}

impl Line for Answer {
    const COLUMNS: &'static [(&'static str, usize)] = &[("opcode", 32), ("status", 24), ("data", 24), ("tags", 0)];

    fn cells(&self) -> Vec<String> {
        match self {
            Self::Good { opcode, status, data, tags, .. } => {
                let tag = |tag: &Tag| match tag.rssi_dbm {
                    Some(rssi) => format!("{} {rssi:.2} dBm", tag.epc_hex),
                    None => tag.epc_hex.clone(),
                };
                let tags: Vec<_> = tags.iter().map(tag).collect();
                let status = status.map_or_else(|| "-".into(), |status| Status(status).to_string());
                vec![Opcode(*opcode).to_string(), status, data.clone(), tags.join(", ")]
            }
            Self::Bad { input, error, .. } => vec!["-".into(), "-".into(), input.clone(), error.reason.clone()],
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
    let describe = match (args.dir, args.epc_length) {
        (Dir::To, _) => Describe::ToModule,
        (Dir::From, Length::Bits) => Describe::FromModule(EpcLength::Bits),
        (Dir::From, Length::Octets) => Describe::FromModule(EpcLength::Octets),
    };
    args.input.lines(stdin, |line| Ok(out.line(&decode(args.dir, describe, line))?))
}

fn decode(dir: Dir, describe: Describe, line: &str) -> Answer {
    let bad = |reason, position| Answer::Bad { dir, input: line.to_owned(), error: Fault { reason, position } };
    let octets = match octets(line) {
        Ok(octets) => octets,
        Err((reason, position)) => return bad(reason, Some(position)),
    };
    match describe.frame(&octets) {
        Ok(frame) => Answer::Good {
            dir,
            opcode: frame.opcode.0,
            status: frame.status.map(|status| status.0),
            data: hex(frame.data),
            // Checked by `frame`: none of them is an error.
            tags: frame.tags.flatten().map(|record| Tag::of(&record)).collect(),
            silion: frame.silion.map(Own::of),
        },
        Err(error) => {
            let position = match &error {
                stowage_mercury::DescribeError::Tags(tags) => Some(tags.offset()),
                stowage_mercury::DescribeError::Silion(own) => Some(own.offset),
                stowage_mercury::DescribeError::Frame(_) => None,
            };
            bad(error.to_string(), position)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::testing::{at_terminal, json, stowage};
    use serde_json::{Value, json};

    #[test]
    fn frames_both_ways() {
        let (status, out, err) = stowage(&["decode", "mercury", "--dir", "to"], b"FF00031D0C\nFF00031D0D\nFF0\n");
        let lines = json(&out);
        assert_eq!((status, err.as_str()), (0, ""));
        assert_eq!(lines[0], json!({"dir": "to", "opcode": 3, "status": null, "data": "", "tags": []}));
        assert_eq!(lines[1]["error"]["reason"], "frame's CRC is 1D0D, its octets give 1D0C");
        assert_eq!((&lines[2]["error"]["position"], &lines[2]["input"]), (&json!(3), &json!("FF0")));
        let report = b"FF2422000010001B01FF0133B7110D8872000038D2007A050000060060200037823322CB46CE3C2C7B0843\n";
        let out = stowage(&["decode", "mercury", "--dir", "from"], report).1;
        let line = &json(&out)[0];
        assert_eq!((&line["opcode"], &line["status"]), (&json!(34), &json!(0)));
        let tag = &line["tags"][0];
        assert_eq!(
            (&tag["epc_hex"], &tag["rssi_dbm"], &tag["antenna"]),
            (&json!("37823322CB46CE3C"), &json!(-73.0), &json!(1))
        );
        assert_eq!((&tag["frequency_khz"], &tag["phase_deg"], &tag["q"]), (&json!(886_898), &json!(122), &Value::Null));
        // Silion: a stop command, one with a bad sum, a heartbeat, a report with the EPC's length in one octet.
        let stop = b"FF0EAA4D6F64756C6574656368AA49F3BB0391\n";
        let line = &json(&stowage(&["decode", "mercury", "--dir", "to"], stop).1)[0];
        assert_eq!(line["silion"], json!({"subcommand": "AA49", "data": ""}));
        let pushed = "FF07AA00005854534A800001AEF4\nFF0EAA00004D6F64756C6574656368AA4800BB44ED\nFF14AA00000002C41030000102030405060708090A0B0CABCDA580\n";
        let args = ["decode", "mercury", "--dir", "from", "--epc-length", "octets"];
        let lines = json(&stowage(&args, pushed.as_bytes()).1);
        assert_eq!(lines[0]["silion"], json!({"search_flags": "8000", "state": "01"}));
        assert_eq!(
            lines[1]["error"],
            json!({"reason": "at offset 12: expected the sum of the subcommand's octets", "position": 12})
        );
        assert_eq!(
            (&lines[2]["tags"][0]["epc_hex"], &lines[2]["tags"][0]["rssi_dbm"]),
            (&json!("0102030405060708090A0B0C"), &json!(-60.0))
        );
        let shown = at_terminal(&["decode", "mercury", "--dir", "from"], report).1;
        assert!(shown.contains("37823322CB46CE3C -73.00 dBm"), "{shown}");
    }
}
