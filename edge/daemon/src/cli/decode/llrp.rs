//! `stowage decode llrp`.

use super::{Input, hex, octets, pcap};
use crate::cli::Error;
use crate::cli::output::{Line, Output, to_json};
use serde::Serialize;
use std::io::Read;
use stowage_protocol::llrp::PORT;
use stowage_protocol::llrp::frame::Frame;
use stowage_protocol::llrp::tree::{DecodeError, Described, describe};

/// LLRP messages of a reader's connection: a binary stream, hex lines, or a capture of the network
///
/// A malformed message is one answer, and the stream goes on; where the framing itself is lost, it ends.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    input: Input,
    /// The input is lines of hex, each of one or more whole messages
    #[arg(long)]
    hex: bool,
    /// The input is a capture (pcap or pcapng) of TCP connections with the reader
    #[arg(long, conflicts_with = "hex")]
    pcap: bool,
    /// The reader's TCP port in the capture
    #[arg(long, default_value_t = PORT, requires = "pcap")]
    port: u16,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Good(Box<Described>),
    /// A message that makes no sense; its header does.
    BadMessage {
        r#type: u16,
        id: u32,
        version: u8,
        error: DecodeError,
    },
    /// Octets that are no message.
    BadOctets {
        input: String,
        error: Fault,
    },
}

#[derive(Debug, Serialize)]
struct Fault {
    layer: &'static str,
    /// Octet of the input where the bad message begins, from 0; where the input isn't hex, the character.
    offset: usize,
    field: Option<&'static str>,
    expectation: String,
}

impl Line for Answer {
    const COLUMNS: &'static [(&'static str, usize)] = &[("message", 30), ("id", 10), ("version", 7), ("body", 0)];

    fn cells(&self) -> Vec<String> {
        match self {
            Self::Good(message) => {
                let Described { name, id, version, body, .. } = &**message;
                vec![(*name).into(), id.to_string(), version.to_string(), to_json(body)]
            }
            Self::BadMessage { r#type, id, version, error } => {
                vec![format!("type {}", r#type), id.to_string(), version.to_string(), error.to_string()]
            }
            Self::BadOctets { input, error } => {
                vec!["-".into(), "-".into(), "-".into(), format!("{} at {}: {input}", error.expectation, error.offset)]
            }
        }
    }

    fn is_bad(&self) -> bool {
        !matches!(self, Self::Good(_))
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

/// Octets of a bad stream's rest that are shown.
const SHOWN_MAX: usize = 32;

pub(super) fn run(args: &Args, stdin: &mut dyn Read, out: &mut Output<'_>) -> Result<(), Error> {
    if args.hex {
        return args.input.lines(stdin, |line| match octets(line) {
            Ok(octets) => whole(&octets, out),
            Err((expectation, offset)) => {
                let error = Fault { layer: "frame", offset, field: None, expectation };
                Ok(out.line(&Answer::BadOctets { input: line.to_owned(), error })?)
            }
        });
    }
    let mut input = args.input.open(stdin)?;
    if args.pcap {
        let mut capture = Vec::new();
        input.read_to_end(&mut capture).map_err(|error| args.input.error(&error))?;
        let streams = pcap::streams(&capture, args.port).map_err(Error::Job)?;
        return streams.iter().try_for_each(|stream| whole(stream, out));
    }
    let (mut buffer, mut done) = (Vec::new(), 0);
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = input.read(&mut chunk).map_err(|error| args.input.error(&error))?;
        if read == 0 {
            return end(&buffer, done, out);
        }
        buffer.extend_from_slice(&chunk[..read]);
        let (taken, lost) = messages(&buffer, out)?;
        buffer.drain(..taken);
        done += taken;
        if lost {
            return end(&buffer, done, out);
        }
    }
}

/// A stream that is all here.
fn whole(stream: &[u8], out: &mut Output<'_>) -> Result<(), Error> {
    let (taken, _) = messages(stream, out)?;
    end(&stream[taken..], taken, out)
}

/// Answers every whole message; how many octets they took, and whether the framing is lost after them.
fn messages(stream: &[u8], out: &mut Output<'_>) -> Result<(usize, bool), Error> {
    let mut rest = stream;
    loop {
        let (frame, after) = match Frame::split(rest) {
            Ok(Some(split)) => split,
            Ok(None) => return Ok((stream.len() - rest.len(), false)),
            Err(_) => return Ok((stream.len() - rest.len(), true)),
        };
        let answer = match describe(&rest[..rest.len() - after.len()]) {
            Ok((message, _)) => Answer::Good(Box::new(message)),
            Err(error) => Answer::BadMessage { r#type: frame.kind, id: frame.id, version: frame.version, error },
        };
        out.line(&answer)?;
        rest = after;
    }
}

/// Answers what is left at a stream's end, from its octet `offset` on: nothing, or what is no whole message.
fn end(rest: &[u8], offset: usize, out: &mut Output<'_>) -> Result<(), Error> {
    if rest.is_empty() {
        return Ok(());
    }
    let expectation = match Frame::split(rest) {
        Err(error) => error.to_string(),
        Ok(_) => format!("{} octets are no whole message", rest.len()),
    };
    let error = Fault { layer: "frame", offset, field: None, expectation };
    Ok(out.line(&Answer::BadOctets { input: hex(&rest[..rest.len().min(SHOWN_MAX)]), error })?)
}

#[cfg(test)]
mod tests {
    use crate::cli::testing::{at_terminal, json, stowage};
    use serde_json::json;

    const EVENT: &str = "043F000000200000000000F600160080000C00042B1923A01BDA010000060000";
    const KEEPALIVE: &str = "043E0000000A00000007";

    fn octets(hex: &str) -> Vec<u8> {
        super::octets(hex).expect("hex")
    }

    #[test]
    fn a_stream_gives_a_line_for_each_message() {
        let stream = octets(&[EVENT, KEEPALIVE].concat());
        let (status, out, err) = stowage(&["decode", "llrp"], &stream);
        let lines = json(&out);
        assert_eq!((status, err.as_str(), lines.len()), (0, "", 2));
        assert_eq!((&lines[0]["type"], &lines[0]["name"]), (&json!(63), &json!("READER_EVENT_NOTIFICATION")));
        assert_eq!((&lines[0]["reencodes"], &lines[0]["version"]), (&json!(true), &json!(1)));
        assert!(lines[0]["body"]["ReaderEventNotificationData"].is_object(), "{out}");
        assert_eq!((&lines[1]["name"], &lines[1]["id"]), (&json!("KEEPALIVE"), &json!(7)));
        let hex = format!("{EVENT}{KEEPALIVE}\n{KEEPALIVE}\nno hex\n");
        let hexed = json(&stowage(&["decode", "llrp", "--hex"], hex.as_bytes()).1);
        assert_eq!((&hexed[..2], hexed.len()), (&lines[..], 4));
        assert_eq!(hexed[3]["error"]["expectation"], "'n' is no hex digit");
        assert!(at_terminal(&["decode", "llrp"], &stream).1.contains("KEEPALIVE"));
    }

    #[test]
    fn a_bad_message_costs_itself_and_lost_framing_the_rest() {
        let unknown = "0400000A0000000A00000001".replacen("0400000A", "0432", 1);
        let stream = octets(&[&unknown, KEEPALIVE, "043E00000003FFFF"].concat());
        let lines = json(&stowage(&["decode", "llrp"], &stream).1);
        assert_eq!((&lines[0]["type"], &lines[0]["error"]["layer"]), (&json!(50), &json!("message")), "{lines:?}");
        assert_eq!(lines[1]["name"], "KEEPALIVE");
        assert_eq!((&lines[2]["error"]["layer"], &lines[2]["error"]["offset"]), (&json!("frame"), &json!(20)));
        let cut = json(&stowage(&["decode", "llrp"], &octets("043E0000000A00")).1);
        assert_eq!(cut[0]["error"]["expectation"], "7 octets are no whole message");
        let lost = json(&stowage(&["decode", "llrp"], &octets("043E0000000300000007")).1);
        assert_eq!(lost[0]["error"]["expectation"], "message length 3 is outside 10 to 4194304 octets");
    }

    #[test]
    fn options_that_contradict_are_wrong_usage() {
        assert_eq!(stowage(&["decode", "llrp", "--hex", "--pcap"], b"").0, 2);
        assert_eq!(stowage(&["decode", "llrp", "--port", "1"], b"").0, 2);
        assert_eq!(stowage(&["decode", "llrp", "--pcap"], b"neither").0, 1);
    }
}
