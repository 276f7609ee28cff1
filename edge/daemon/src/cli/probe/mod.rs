//! `stowage probe`: what is at an address, and what it does now. Each protocol has a file of its own.

mod llrp;
mod mercury;
mod modbus;
mod mqtt;

use super::Error;
use super::output::Output;
use crate::config::{self, Broker, ModbusLine};
use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// Say what is at an address and what it does now: a reader, a module, a broker with its devices, a Modbus unit
///
/// Ends by itself within some 5 s. Nothing is set and nothing is stored there; but a UART module that reads is stopped,
/// because it answers no question while it does. A device that an edge uses belongs to that edge: most take one client.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// llrp://HOST, serial:///dev/FILE?protocol=mercury, mqtt://USER:PASSWORD@HOST, modbus://HOST?unit=1 or
    /// serial:///dev/FILE?protocol=modbus&unit=1&baud=19200&parity=even
    #[arg(value_parser = target)]
    url: Target,
    /// With mqtts://…: the PEM file of the authorities that may vouch for the broker
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// What is to be asked, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Llrp { host: String, port: u16 },
    Mercury { path: PathBuf, baud: u32 },
    Mqtt { broker: Box<Broker>, tls: bool },
    Modbus { line: ModbusLine, unit: u8 },
}

fn target(url: &str) -> Result<Target, String> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let mut asked = Query::parse(query)?;
    let target = match address.split_once("://") {
        Some(("llrp" | "llrps", _)) => {
            let (host, port, tls) = config::url::llrp(address)?;
            if tls {
                return Err("TLS isn't spoken here: give llrp://HOST, or have `stowage run` try llrps://".into());
            }
            Target::Llrp { host, port }
        }
        Some(("mqtt" | "mqtts", _)) => {
            let (broker, tls) = config::url::mqtt(address)?;
            Target::Mqtt { broker: Box::new(broker), tls }
        }
        Some(("modbus", _)) => Target::Modbus { unit: asked.unit()?, line: config::url::modbus(address)? },
        Some(("serial", _)) => match asked.take("protocol") {
            Some("mercury") => {
                let baud = asked.take("baud").unwrap_or("115200");
                let (path, baud) = config::url::serial(&format!("{address}?baud={baud}"))?;
                Target::Mercury { path, baud }
            }
            Some("modbus") => {
                let unit = asked.unit()?;
                let settings: Vec<_> = asked.0.drain(..).map(|(key, value)| format!("{key}={value}")).collect();
                Target::Modbus { unit, line: config::url::modbus(&format!("{address}?{}", settings.join("&")))? }
            }
            _ => return Err("a serial port may be anything: add ?protocol=mercury or ?protocol=modbus".into()),
        },
        _ => return Err("not known here: give llrp://, serial://, mqtt://, mqtts:// or modbus://".into()),
    };
    asked.end()?;
    Ok(target)
}

/// The part of a URL behind the question mark.
struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    fn parse(query: &'a str) -> Result<Self, String> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &'a str| pair.split_once('=').ok_or_else(|| format!("{pair:?} is no KEY=VALUE"));
        pairs.map(pair).collect::<Result<_, _>>().map(Self)
    }

    fn take(&mut self, key: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|(name, _)| *name == key)?;
        Some(self.0.remove(at).1)
    }

    fn unit(&mut self) -> Result<u8, String> {
        let unit = self.take("unit").unwrap_or("1").parse().ok().filter(|unit| (1..=247).contains(unit));
        unit.ok_or_else(|| "unit out of range: give 1 to 247".into())
    }

    fn end(self) -> Result<(), String> {
        match self.0.first() {
            Some((key, _)) => Err(format!("{key:?} is not known here")),
            None => Ok(()),
        }
    }
}

/// What was found of one thing, in the order in which a person wants to know it. JSON: an object.
#[derive(Debug, Clone, PartialEq)]
struct Found(Vec<(&'static str, Value)>);

impl Found {
    fn of(kind: &'static str) -> Self {
        Self(vec![("kind", kind.into())])
    }

    fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((key, value.into()));
        self
    }

    /// A table of two columns.
    fn table(&self) -> String {
        let width = self.0.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
        let row = |(key, value): &(&str, Value)| format!("{:width$}  {}", key.replace('_', " "), words(value));
        self.0.iter().map(row).collect::<Vec<_>>().join("\n")
    }
}

impl Serialize for Found {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// A value for a person.
fn words(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(values) if values.is_empty() => "none".into(),
        Value::Array(values) => values.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| format!("{} {}", key.replace('_', " "), words(value));
            members.iter().map(member).collect::<Vec<_>>().join(" ")
        }
    }
}

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_millis(1_500);

/// No probe takes longer.
const ALL_MAX: Duration = Duration::from_secs(5);

pub(super) fn run(args: &Args, out: &mut Output<'_>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Job(format!("no timers to be had: {error}; close other programs")))?;
    let found = runtime.block_on(async {
        let asked = timeout(ALL_MAX, ask(args)).await;
        asked.unwrap_or_else(|_| Err("it answers too slowly: is its line or its network overloaded?".into()))
    });
    for (nth, found) in found.map_err(Error::Job)?.iter().enumerate() {
        let apart = if nth > 0 { "\n" } else { "" };
        out.either(found, &format!("{apart}{}", found.table()))?;
    }
    Ok(())
}

async fn ask(args: &Args) -> Result<Vec<Found>, String> {
    if args.ca.is_some() && !matches!(args.url, Target::Mqtt { tls: true, .. }) {
        return Err("--ca is for mqtts://… only: leave it out".into());
    }
    match &args.url {
        Target::Llrp { host, port } => Ok(vec![llrp::probe(host, *port).await?]),
        Target::Mercury { path, baud } => Ok(vec![mercury::probe(path, *baud).await?]),
        Target::Modbus { line, unit } => Ok(vec![modbus::probe(line, *unit).await?]),
        Target::Mqtt { tls: true, .. } if args.ca.is_none() => {
            Err("with mqtts:// give --ca, the file of the authorities that may vouch for the broker".into())
        }
        Target::Mqtt { broker, .. } => {
            let broker = Broker { ca: args.ca.clone(), ..(**broker).clone() };
            mqtt::probe(&broker).await
        }
    }
}

/// Connects to a host; `what` should listen there, mostly at `port`.
async fn dial(host: &str, port: u16, what: &str) -> Result<tokio::net::TcpStream, String> {
    let mend = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => {
            format!("nobody listens at {host}:{port}: switch the device's {what} on, or give another port")
        }
        _ => format!("{host}:{port} can't be reached: {error}; check name, cable and network"),
    };
    match timeout(CONNECT_MAX, tokio::net::TcpStream::connect((host, port))).await {
        Ok(connected) => connected.map_err(mend),
        Err(_) => Err(format!("{host}:{port} doesn't answer: check address, cable, power and firewall")),
    }
}

/// Reads until `enough` gives something, the time is over (`None`), or the line is closed.
async fn hear<T>(
    line: &mut (impl AsyncRead + Unpin),
    until: Instant,
    mut enough: impl FnMut(&[u8]) -> Option<T>,
) -> Result<Option<T>, String> {
    let mut octets = [0; 4_096];
    loop {
        match timeout_at(until, line.read(&mut octets)).await {
            Err(_) => return Ok(None),
            Ok(Ok(0)) => return Err("it closed the connection".into()),
            Ok(Ok(count)) => {
                if let Some(heard) = enough(&octets[..count]) {
                    return Ok(Some(heard));
                }
            }
            Ok(Err(error)) => return Err(format!("the line is broken: {error}")),
        }
    }
}

async fn say(line: &mut (impl AsyncWrite + Unpin), octets: &[u8]) -> Result<(), String> {
    let said = async {
        line.write_all(octets).await?;
        line.flush().await
    };
    said.await.map_err(|error| format!("the line is broken: {error}"))
}

/// A list of numbers as JSON.
fn list<T: Into<Value>>(values: impl IntoIterator<Item = T>) -> Value {
    Value::Array(values.into_iter().map(Into::into).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::to_json;
    use crate::cli::testing::{at_terminal, stowage};
    use crate::config::Parity;

    #[test]
    fn urls_name_what_is_to_be_asked() {
        let mercury = |baud| Ok(Target::Mercury { path: "/dev/ttyUSB0".into(), baud });
        assert_eq!(target("serial:///dev/ttyUSB0?protocol=mercury"), mercury(115_200));
        assert_eq!(target("serial:///dev/ttyUSB0?baud=9600&protocol=mercury"), mercury(9_600));
        assert_eq!(target("llrp://gate"), Ok(Target::Llrp { host: "gate".into(), port: 5084 }));
        let line = ModbusLine::Tcp { host: "plc".into(), port: 502 };
        assert_eq!(target("modbus://plc?unit=17"), Ok(Target::Modbus { line, unit: 17 }));
        let line = ModbusLine::Serial { path: "/dev/ttyS1".into(), baud: 9_600, parity: Parity::Even, stop_bits: 1 };
        assert_eq!(target("serial:///dev/ttyS1?protocol=modbus&baud=9600"), Ok(Target::Modbus { line, unit: 1 }));
        for (url, words) in [
            ("http://gate", "not known here"),
            ("gate", "not known here"),
            ("serial:///dev/ttyUSB0", "protocol=mercury"),
            ("llrp://gate?unit=1", "\"unit\" is not known"),
            ("modbus://plc?unit=0", "1 to 247"),
            ("modbus://plc?unit", "no KEY=VALUE"),
            ("serial:///dev/x?protocol=mercury&baud=1", "9600 to 921600"),
        ] {
            let (status, out, err) = stowage(&["probe", url], b"");
            assert_eq!((status, out.as_str()), (2, ""), "{url}");
            assert!(err.contains(words), "{url}: {err}");
        }
    }

    #[test]
    fn where_nothing_is_the_message_names_the_mend() {
        for (url, words) in [
            ("serial:///dev/no-such-port?protocol=mercury", "plug the device in"),
            ("serial:///dev/no-such-port?protocol=modbus", "plug the device in"),
            ("llrp://127.0.0.1:9", "nobody listens at 127.0.0.1:9"),
            ("modbus://127.0.0.1:9", "nobody listens at 127.0.0.1:9"),
            ("mqtt://127.0.0.1:9", "nobody listens there"),
            ("mqtts://127.0.0.1:9", "--ca"),
        ] {
            let (status, out, err) = stowage(&["probe", url], b"");
            assert_eq!((status, out.as_str()), (1, ""), "{url}");
            assert!(err.contains(words), "{url}: {err}");
            assert_eq!(at_terminal(&["probe", url], b"").0, 1);
        }
    }

    #[test]
    fn a_table_says_the_same_as_the_json() {
        let found = Found::of("module").with("read_power_dbm", 27).with("in_use", false).with("region", Value::Null);
        let found = found.with("antennas", serde_json::json!([{"port": 1, "connected": true}]));
        assert_eq!(
            to_json(&found),
            r#"{"kind":"module","read_power_dbm":27,"in_use":false,"region":null,"antennas":[{"connected":true,"port":1}]}"#
        );
        let table = found.table();
        assert!(table.starts_with("kind            module\nread power dbm  27\nin use          no\n"), "{table}");
        assert!(table.ends_with("region          –\nantennas        connected yes port 1"), "{table}");
    }
}
