//! A UART module.

use super::{Found, hear, list, say};
use crate::serial;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use stowage_mercury::code::{POWER_WITH_LIMITS, antenna};
use stowage_mercury::frame::FRAME_MAX;
use stowage_mercury::{Command, Opcode, Region, Splitter, Status, Version, speed};
use tokio::time::Instant;
use tokio_serial::SerialStream;

/// How long a module may take for an answer at a speed that may be wrong.
const SEARCH_WAIT: Duration = Duration::from_millis(150);

/// How often it is asked there: noise may hit once.
const SEARCH_TRIES: u32 = 2;

/// How long it may take once it is found.
const ANSWER_WAIT: Duration = Duration::from_millis(400);

/// Looks for a module at every speed, and asks it all that it tells.
pub(super) async fn probe(path: &Path, configured: u32) -> Result<Found, String> {
    let port = serial::open(path, configured).map_err(|error| error.to_string())?;
    let mut line = Line { port, splitter: Splitter::new(), reads: false };
    let Some(baud) = line.find(configured).await? else {
        return Err(format!(
            "no module answers at {} at any speed: check that it has power, that its TX and RX are not interchanged, \
             and that this is its port",
            path.display()
        ));
    };
    let version = line.ask(Opcode::VERSION, &[]).await?.and_then(|data| Version::parse(&data));
    // The low two bits: 1 the bootloader, 2 the application.
    let program = line.ask(Opcode::PROGRAM, &[]).await?.and_then(|data| Some(data.first()? & 3));
    let region = line.ask(Opcode::GET_REGION, &[]).await?.and_then(|data| data.first().copied());
    let regions = line.ask(Opcode::REGIONS, &[]).await?;
    let power = line.ask(Opcode::GET_READ_POWER, &[POWER_WITH_LIMITS]).await?;
    let power = power.as_deref().and_then(|data| data.get(1..7)).map(|data| {
        let cdbm = |at: usize| f64::from(i16::from_be_bytes([data[at], data[at + 1]])) / 100.0;
        [cdbm(0), cdbm(2), cdbm(4)]
    });
    let detected = line.ask(Opcode::GET_ANTENNA, &[antenna::DETECTED]).await?.unwrap_or_default();
    let losses = line.ask(Opcode::GET_ANTENNA, &[antenna::RETURN_LOSS]).await?.unwrap_or_default();
    let temperature = line.ask(Opcode::TEMPERATURE, &[]).await?.and_then(|data| Some(*data.first()? as i8));
    Ok(Found::of("module")
        .with("port", path.display().to_string())
        .with("baud", baud)
        .with(
            "program",
            match program {
                Some(1) => "bootloader: it is started by the edge, and tells the rest then",
                Some(2) => "application",
                _ => "unknown",
            },
        )
        .with("was_reading", line.reads)
        .with("hardware", version.map(|version| dotted(version.hardware)))
        .with("firmware", version.map(|version| dotted(version.firmware)))
        .with("firmware_date", version.map(|version| dotted(version.firmware_date).replace('.', "")))
        .with("bootloader", version.map(|version| dotted(version.bootloader)))
        .with("gen2", version.map(|version| version.protocols & 0x10 != 0))
        .with("region", region.filter(|region| *region != 0).map(|region| Region(region).to_string()))
        .with("regions", regions.map(|regions| list(regions.into_iter().map(|region| Region(region).to_string()))))
        .with("read_power_dbm", power.map(|[now, ..]| now))
        .with("read_power_max_dbm", power.map(|[_, most, _]| most))
        .with("read_power_min_dbm", power.map(|[.., least]| least))
        .with("antennas", antennas(&detected, &losses))
        .with("temperature_c", temperature))
}

/// Each of four parts in hex, as the maker prints it.
fn dotted(parts: [u8; 4]) -> String {
    let [a, b, c, d] = parts;
    format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}")
}

/// What hangs at each port, from two answers of pairs behind the octet that was asked.
fn antennas(detected: &[u8], losses: &[u8]) -> Value {
    let pairs = |data: &[u8]| -> Vec<(u8, u8)> {
        data.get(1..).unwrap_or_default().chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
    };
    let (detected, losses) = (pairs(detected), pairs(losses));
    let of = |list: &[(u8, u8)], port: u8| list.iter().find(|(other, _)| *other == port).map(|(_, value)| *value);
    let mut ports: Vec<u8> = detected.iter().chain(&losses).map(|(port, _)| *port).collect();
    ports.sort_unstable();
    ports.dedup();
    list(ports.into_iter().map(|port| {
        let loss = of(&losses, port);
        json!({
            "port": port,
            "connected": of(&detected, port).map(|value| value != 0),
            "return_loss_db": loss,
            "good": loss.map(|db| db >= antenna::RETURN_LOSS_MIN_DB),
        })
    }))
}

struct Line {
    port: SerialStream,
    splitter: Splitter,
    /// It streamed what it read when it was found.
    reads: bool,
}

impl Line {
    /// The speed that the module answers at.
    async fn find(&mut self, configured: u32) -> Result<Option<u32>, String> {
        for baud in speed::search(configured) {
            serial::set_baud(&mut self.port, baud).map_err(|error| error.to_string())?;
            self.splitter.clear();
            for _ in 0..SEARCH_TRIES {
                // Stop: what an earlier client left running would answer nothing else.
                if self.exchange(Opcode::CONTINUOUS, &[0, 0, 2], SEARCH_WAIT).await?.is_some() {
                    return Ok(Some(baud));
                }
            }
        }
        Ok(None)
    }

    /// The data of a good answer; `None`: it refuses, or is silent.
    async fn ask(&mut self, opcode: Opcode, data: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let answer = self.exchange(opcode, data, ANSWER_WAIT).await?;
        Ok(answer.filter(|(status, _)| *status == Status::OK).map(|(_, data)| data))
    }

    async fn exchange(
        &mut self,
        opcode: Opcode,
        data: &[u8],
        wait: Duration,
    ) -> Result<Option<(Status, Vec<u8>)>, String> {
        let mut out = [0; FRAME_MAX];
        let command = Command { opcode, data };
        say(&mut self.port, command.encode(&mut out).unwrap_or_default()).await?;
        let Self { port, splitter, reads } = self;
        let heard = hear(port, Instant::now() + wait, |mut octets| {
            let mut answer = None;
            while !octets.is_empty() {
                splitter.fill(&mut octets);
                while let Some(response) = splitter.next_response() {
                    *reads |= response.opcode == Opcode::READ_MULTIPLE;
                    if response.opcode == opcode {
                        answer = Some((response.status, response.data.to_vec()));
                    }
                }
            }
            answer
        });
        let heard = heard.await?;
        if heard.is_none() {
            // What was cut short will not be completed.
            self.splitter.clear();
        }
        Ok(heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn antennas_are_told_by_port_from_whatever_the_module_can_measure() {
        let told = antennas(&[5, 1, 1, 2, 0], &[6, 2, 1, 1, 18]);
        assert_eq!(told[0], json!({"port": 1, "connected": true, "return_loss_db": 18, "good": true}));
        assert_eq!(told[1], json!({"port": 2, "connected": false, "return_loss_db": 1, "good": false}));
        assert_eq!(antennas(&[], &[]), json!([]));
        assert_eq!(antennas(&[5, 7, 1, 9], &[])[0]["return_loss_db"], Value::Null);
    }
}
