//! Frames that an independent implementation built, and bad ones that must be refused.

use serde_json::Value;
use std::path::PathBuf;
use stowage_base::{Duration, Timestamp};
use stowage_protocol::modbus::pdu::{decode_answer, encode_answer};
use stowage_protocol::modbus::{
    Answer, Client, ClientSettings, Exception, Failure, Framing, Request, Response, Serial, Server, rtu, tcp,
};

const SERIAL: Serial = Serial { baud: 19_200, bits: 11 };

/// The lines of the vectors, or nothing (and a word about it) where they aren't.
fn lines() -> Vec<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("STOWAGE_VECTORS").map_or_else(beside, PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("modbus/frames.jsonl")) else {
        eprintln!("SKIPPED: modbus/frames.jsonl is not in {}", folder.display());
        return Vec::new();
    };
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn octets(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("hex digits");
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hex")).collect()
}

/// A line's fields, by name.
struct Fields<'a>(&'a Value);

impl Fields<'_> {
    fn number(&self, name: &str) -> u16 {
        u16::try_from(self.0[name].as_u64().unwrap_or_else(|| panic!("{name} in {}", self.0))).expect("16 bits")
    }

    fn flag(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_else(|| panic!("{name} in {}", self.0))
    }

    fn registers(&self, name: &str) -> Vec<u16> {
        let list = self.0[name].as_array().unwrap_or_else(|| panic!("{name} in {}", self.0));
        list.iter().map(|value| value.as_u64().expect("a number") as u16).collect()
    }

    fn bits(&self) -> Vec<bool> {
        self.registers("bits").iter().map(|bit| *bit == 1).collect()
    }

    fn request(&self, what: &str) -> Request {
        let address = || self.number("address");
        let count = || self.number("count");
        match what {
            "read coils" => Request::ReadCoils { address: address(), count: count() },
            "read discrete inputs" => Request::ReadDiscreteInputs { address: address(), count: count() },
            "read holding registers" => Request::ReadHoldingRegisters { address: address(), count: count() },
            "read input registers" => Request::ReadInputRegisters { address: address(), count: count() },
            "write single coil" => Request::WriteSingleCoil { address: address(), value: self.flag("value") },
            "write single register" => Request::WriteSingleRegister { address: address(), value: self.number("value") },
            "write multiple coils" => Request::WriteMultipleCoils { address: address(), bits: self.bits() },
            "write multiple registers" => {
                Request::WriteMultipleRegisters { address: address(), registers: self.registers("registers") }
            }
            "mask write register" => {
                let (and_mask, or_mask) = (self.number("and_mask"), self.number("or_mask"));
                Request::MaskWriteRegister { address: address(), and_mask, or_mask }
            }
            "read/write multiple registers" => Request::ReadWriteMultipleRegisters {
                read_address: self.number("read_address"),
                read_count: self.number("read_count"),
                write_address: self.number("write_address"),
                write_registers: self.registers("write_registers"),
            },
            other => panic!("a request of a new kind: {other}"),
        }
    }

    fn response(&self, what: &str) -> Response {
        let address = || self.number("address");
        match what {
            "read coils" => Response::ReadCoils(self.bits()),
            "read discrete inputs" => Response::ReadDiscreteInputs(self.bits()),
            "read holding registers" => Response::ReadHoldingRegisters(self.registers("registers")),
            "read input registers" => Response::ReadInputRegisters(self.registers("registers")),
            "write single coil" => Response::WriteSingleCoil { address: address(), value: self.flag("value") },
            "write single register" => {
                Response::WriteSingleRegister { address: address(), value: self.number("value") }
            }
            "write multiple coils" => Response::WriteMultipleCoils { address: address(), count: self.number("count") },
            "write multiple registers" => {
                Response::WriteMultipleRegisters { address: address(), count: self.number("count") }
            }
            "mask write register" => {
                let (and_mask, or_mask) = (self.number("and_mask"), self.number("or_mask"));
                Response::MaskWriteRegister { address: address(), and_mask, or_mask }
            }
            "read/write multiple registers" => Response::ReadWriteMultipleRegisters(self.registers("registers")),
            other => panic!("a response of a new kind: {other}"),
        }
    }
}

#[test]
fn good_frames_mean_what_their_fields_say_and_are_encoded_to_the_same_octets() {
    let mut good = 0;
    for line in lines().iter().filter(|line| line.get("what").is_some()) {
        let what = line["what"].as_str().expect("text");
        let (pdu, fields) = (octets(&line["pdu"]), Fields(&line["fields"]));
        let unit = line["unit"].as_u64().expect("a number") as u8;
        let transaction = line["transaction"].as_u64().expect("a number") as u16;
        let mut again = Vec::new();
        if let Some(what) = what.strip_suffix(" request") {
            let request = fields.request(what);
            assert_eq!(Request::decode(&pdu), Ok(request.clone()), "{line}");
            request.encode(&mut again);
            assert_eq!(rtu::request_length(&octets(&line["rtu"])), rtu::Length::Known(pdu.len() + 3), "{line}");
        } else {
            let answer: (u8, Answer) = match what.strip_suffix(" response") {
                Some("exception") => {
                    (fields.number("function") as u8, Err(Exception(fields.number("exception") as u8)))
                }
                Some(what) => (pdu[0], Ok(fields.response(what))),
                None => panic!("neither request nor response: {line}"),
            };
            assert_eq!(decode_answer(&pdu), Ok(answer.clone()), "{line}");
            encode_answer(answer.0, &answer.1, &mut again);
            assert_eq!(rtu::answer_length(&octets(&line["rtu"])), rtu::Length::Known(pdu.len() + 3), "{line}");
        }
        assert_eq!(again, pdu, "{line}");
        let append = |out: &mut Vec<u8>| out.extend_from_slice(&pdu);
        assert_eq!(rtu::frame(unit, append), octets(&line["rtu"]), "{line}");
        assert_eq!(rtu::open(&octets(&line["rtu"])), Some((unit, &pdu[..])), "{line}");
        assert_eq!(tcp::frame(transaction, unit, append), octets(&line["tcp"]), "{line}");
        let frame = tcp::Frame { transaction, unit, pdu: &pdu };
        assert_eq!(tcp::Frame::split(&octets(&line["tcp"])), Ok(Some((frame, &[][..]))), "{line}");
        good += 1;
    }
    println!("{good} frames agree");
}

/// What a server of `unit` whose registers are all there answers; whether it closes the connection.
fn served(framing: Framing, unit: u8, octets: &[u8]) -> (Vec<u8>, bool) {
    let (mut server, mut out) = (Server::new(framing, unit), Vec::new());
    let obey = &mut |request: &Request| match request {
        Request::ReadHoldingRegisters { count, .. } => Ok(Response::ReadHoldingRegisters(vec![0; usize::from(*count)])),
        Request::ReadCoils { count, .. } => Ok(Response::ReadCoils(vec![false; usize::from(*count)])),
        _ => Err(Exception::ILLEGAL_DATA_ADDRESS),
    };
    let now = Timestamp::from_micros(1_000_000);
    server.receive(now, octets, obey, &mut |octets| out.extend_from_slice(octets));
    server.tick(now + Duration::from_secs(1), obey, &mut |octets| out.extend_from_slice(octets));
    (out, server.over())
}

/// What a client that asked for two holding registers of `unit` in its first transaction makes of `octets`; whether it
/// closes the connection.
fn asked(framing: Framing, unit: u8, octets: &[u8]) -> (Option<Result<Answer, Failure>>, bool) {
    let mut client = Client::new(ClientSettings { framing, unit, response_max: Duration::from_secs(1) });
    let now = Timestamp::from_micros(10_000_000);
    client.connected(now - Duration::from_secs(2));
    client.ask(now, Request::ReadHoldingRegisters { address: 0, count: 2 }).expect("it is ready");
    (client.receive(now, octets), client.over())
}

#[test]
fn bad_frames_are_refused_as_they_should_be() {
    let mut bad = 0;
    for line in lines().iter().filter(|line| line.get("invalid").is_some()) {
        let octets = octets(&line["hex"]);
        let expect = line["expect"].as_str().expect("text");
        let (framing, unit) = match line["invalid"].as_str() {
            Some("rtu") => (Framing::Rtu(SERIAL), octets[0]),
            Some("tcp") => (Framing::Tcp, octets.get(6).copied().unwrap_or(1)),
            other => panic!("framing {other:?}"),
        };
        let (served, server_closes) = served(framing, unit, &octets);
        let (heard, client_closes) = asked(framing, unit, &octets);
        if let Some(code) = expect.strip_prefix("exception ") {
            let code = code.split_whitespace().next().and_then(|code| code.parse().ok()).expect("a number");
            let pdu = [octets[if framing == Framing::Tcp { 7 } else { 1 }] | 0x80, code];
            let answer = match framing {
                Framing::Rtu(_) => rtu::frame(unit, |out| out.extend(pdu)),
                Framing::Tcp => tcp::frame(u16::from_be_bytes([octets[0], octets[1]]), unit, |out| out.extend(pdu)),
            };
            assert_eq!(served, answer, "{line}");
        } else if expect.starts_with("error") {
            assert!(matches!(heard, Some(Err(_))), "{line}: {heard:?}");
        } else if expect.contains("close") {
            assert!(server_closes && client_closes && served.is_empty(), "{line}");
            assert!(matches!(heard, Some(Err(Failure::Framing(_)))), "{line}: {heard:?}");
        } else if ["drop", "ignore", "wait"].iter().any(|word| expect.starts_with(word)) {
            assert_eq!((heard, server_closes, client_closes), (None, false, false), "{line}");
            // What is an answer of another transaction is a broken request to a server.
            assert!(served.is_empty() || expect.starts_with("ignore"), "{line}: {served:02X?}");
        } else {
            panic!("an expectation of a new kind: {line}");
        }
        bad += 1;
    }
    println!("{bad} bad frames are refused");
}
