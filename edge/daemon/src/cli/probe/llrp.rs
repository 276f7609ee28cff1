//! A fixed reader.

use super::{Found, dial, hear, list, say};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use stowage_protocol::llrp::frame::Inbox;
use stowage_protocol::llrp::{IMPINJ, Tree, VERSION, kind, tree};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long the reader may take to greet, and for each answer.
const ANSWER_WAIT: Duration = Duration::from_millis(1_500);

/// Makers by their vendor number (IANA PEN).
const MAKERS: &[(u32, &str)] =
    &[(IMPINJ, "Impinj"), (161, "Zebra (Motorola)"), (26_554, "ThingMagic"), (17_996, "Alien")];

/// Asks a reader all that it tells. Its settings stay as they are.
pub(super) async fn probe(host: &str, port: u16) -> Result<Found, String> {
    let mut line = Line { stream: dial(host, port, "LLRP").await?, inbox: Inbox::default(), waiting: VecDeque::new() };
    let found = Found::of("reader").with("address", format!("{host}:{port}"));
    let greeting = line.next(|message| message.name() == "READER_EVENT_NOTIFICATION").await?;
    let Some(greeting) = greeting else {
        return Err(format!("{host}:{port} takes connections and doesn't greet as an LLRP reader does: is it one?"));
    };
    let attempt = greeting.child("ReaderEventNotificationData").and_then(|data| data.child("ConnectionAttemptEvent"));
    match attempt.map(|attempt| attempt.int("Status")) {
        Some(0) => {}
        // A reader or a client has the one connection that there is.
        Some(1 | 2 | 4) => return Ok(found.with("in_use", true)),
        _ => return Err(format!("{host}:{port} refuses the connection: start the reader anew")),
    }
    let capabilities = line.ask(&Tree::new("GET_READER_CAPABILITIES"), kind::GET_READER_CAPABILITIES).await?;
    let general = capabilities.child("GeneralDeviceCapabilities");
    let regulatory = capabilities.child("RegulatoryCapabilities");
    let powers: Vec<i64> = regulatory
        .and_then(|regulatory| regulatory.child("UHFBandCapabilities"))
        .map(|band| band.all("TransmitPowerLevelTableEntry").map(|entry| entry.int("TransmitPowerValue")).collect())
        .unwrap_or_default();
    let dbm = |cdbm: Option<&i64>| cdbm.map(|cdbm| *cdbm as f64 / 100.0);
    let antennas = line.ask(&Tree::new("GET_READER_CONFIG").set("RequestedData", 2), kind::GET_READER_CONFIG).await?;
    let rospecs = line.ask(&Tree::new("GET_ROSPECS"), kind::GET_ROSPECS).await?;
    // An orderly end; what the reader makes of it no longer matters.
    let _ = line.ask(&Tree::new("CLOSE_CONNECTION"), kind::CLOSE_CONNECTION).await;
    let text = |tree: Option<&Tree>, field: &str| tree.map_or(Value::Null, |tree| json!(tree)[field].clone());
    let maker = general.map(|general| general.int("DeviceManufacturerName") as u32);
    Ok(found
        .with("in_use", false)
        .with(
            "maker",
            maker.map(|pen| {
                MAKERS.iter().find(|(of, _)| *of == pen).map_or(format!("vendor {pen}"), |(_, name)| (*name).into())
            }),
        )
        .with("model", general.map(|general| general.int("ModelName")))
        .with("firmware", text(general, "ReaderFirmwareVersion"))
        .with("antenna_ports", general.map(|general| general.int("MaxNumberOfAntennaSupported")))
        .with(
            "antennas",
            list(antennas.all("AntennaProperties").map(
                |antenna| json!({"port": antenna.int("AntennaID"), "connected": antenna.int("AntennaConnected") != 0}),
            )),
        )
        .with("region", text(regulatory, "CommunicationsStandard"))
        .with("country_code", regulatory.map(|regulatory| regulatory.int("CountryCode")))
        .with("power_min_dbm", dbm(powers.iter().min()))
        .with("power_max_dbm", dbm(powers.iter().max()))
        .with("power_steps", powers.len())
        .with(
            "rospecs",
            list(
                rospecs
                    .all("ROSpec")
                    .map(|spec| json!({"id": spec.int("ROSpecID"), "state": json!(spec)["CurrentState"]})),
            ),
        ))
}

struct Line {
    stream: TcpStream,
    inbox: Inbox,
    /// Messages that have come and were not looked at.
    waiting: VecDeque<Tree>,
}

impl Line {
    /// The next message that `fits`; others are dropped. `None`: there is none in time.
    async fn next(&mut self, fits: impl Fn(&Tree) -> bool) -> Result<Option<Tree>, String> {
        let until = Instant::now() + ANSWER_WAIT;
        loop {
            while let Some(message) = self.waiting.pop_front() {
                if fits(&message) {
                    return Ok(Some(message));
                }
            }
            let Self { stream, inbox, waiting } = self;
            let heard = hear(stream, until, |octets| {
                let received = inbox.receive(octets, |frame| waiting.extend(tree::decode(&frame).ok()));
                (received.is_err() || !waiting.is_empty()).then_some(received)
            });
            match heard.await? {
                None => return Ok(None),
                Some(received) => received.map_err(|error| format!("its octets are no LLRP: {error}"))?,
            }
        }
    }

    /// The answer to a request of type `request`.
    async fn ask(&mut self, message: &Tree, request: u16) -> Result<Tree, String> {
        let mut octets = Vec::new();
        message.encode(VERSION, request.into(), &mut octets);
        say(&mut self.stream, &octets).await?;
        let wanted = kind::response(request);
        let refused = |answer: &Tree| answer.number() == kind::ERROR_MESSAGE;
        let answer = self.next(|answer| Some(answer.number()) == wanted || refused(answer)).await?;
        match answer {
            None => Err(format!("the reader doesn't answer {}: start it anew", message.name())),
            Some(answer) if refused(&answer) => Err(format!("the reader refuses {}", message.name())),
            Some(answer) => Ok(answer),
        }
    }
}
