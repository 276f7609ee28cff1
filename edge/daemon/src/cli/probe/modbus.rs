//! A Modbus unit, over TCP or a serial line.

use super::{Found, dial, hear, list, say};
use crate::config::ModbusLine;
use crate::serial;
use serde_json::Value;
use std::time::Duration;
use stowage_protocol::modbus::pdu::{self, Request, Response};
use stowage_protocol::modbus::{rtu, tcp};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// How long a unit may take for an answer.
const ANSWER_WAIT: Duration = Duration::from_millis(900);

/// Registers that are read where a unit doesn't say what it is, from address 0.
const REGISTERS: u16 = 8;

/// Read Device Identification (MODBUS Application Protocol V1.1b3 §6.21): the basic objects, from the first.
const IDENTIFY: [u8; 4] = [0x2B, 0x0E, 0x01, 0x00];

/// The bit of a function code that marks an exception.
const EXCEPTION: u8 = 0x80;

/// Asks a unit what it is, and its first registers.
pub(super) async fn probe(line: &ModbusLine, unit: u8) -> Result<Found, String> {
    let found = Found::of("modbus");
    match line {
        ModbusLine::Tcp { host, port } => {
            let stream = dial(host, *port, "Modbus TCP").await?;
            let found = found.with("address", format!("{host}:{port}"));
            survey(Line { stream, envelope: Envelope::Tcp { transaction: 0 }, unit }, found).await
        }
        ModbusLine::Serial { path, baud, parity, stop_bits } => {
            let stream = serial::open_bus(path, *baud, *parity, *stop_bits).map_err(|error| error.to_string())?;
            let found = found.with("port", path.display().to_string()).with("baud", *baud);
            survey(Line { stream, envelope: Envelope::Rtu, unit }, found).await
        }
    }
}

async fn survey<T: AsyncRead + AsyncWrite + Unpin>(mut line: Line<T>, found: Found) -> Result<Found, String> {
    let identity = line.ask(&IDENTIFY).await?;
    let holding = line.registers(&Request::ReadHoldingRegisters { address: 0, count: REGISTERS }).await?;
    let input = line.registers(&Request::ReadInputRegisters { address: 0, count: REGISTERS }).await?;
    if identity.is_none() && holding.is_null() && input.is_null() {
        return Err(format!(
            "unit {} doesn't answer: check its number{}, and that nobody else asks on this line",
            line.unit,
            if matches!(line.envelope, Envelope::Rtu) { ", speed and parity, A and B of the bus" } else { "" }
        ));
    }
    let objects = identity.as_deref().map(objects).unwrap_or_default();
    let object = |id: u8| objects.iter().find(|(of, _)| *of == id).map(|(_, text)| text.clone());
    Ok(found
        .with("unit", line.unit)
        .with("vendor", object(0))
        .with("product", object(1))
        .with("revision", object(2))
        .with("holding_registers", holding)
        .with("input_registers", input))
}

/// The objects in an answer to [`IDENTIFY`]: id and text. Whatever makes no sense ends the list.
fn objects(pdu: &[u8]) -> Vec<(u8, String)> {
    let &[0x2B, 0x0E, _, _, _, _, count, ref objects @ ..] = pdu else { return Vec::new() };
    let mut rest = objects;
    let mut objects = Vec::new();
    for _ in 0..count {
        let [id, len, after @ ..] = rest else { break };
        let Some((text, after)) = after.split_at_checked((*len).into()) else { break };
        objects.push((*id, String::from_utf8_lossy(text).into_owned()));
        rest = after;
    }
    objects
}

enum Envelope {
    Tcp { transaction: u16 },
    Rtu,
}

struct Line<T> {
    stream: T,
    envelope: Envelope,
    unit: u8,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Line<T> {
    /// The values from address 0 on, or why there are none; null: no answer.
    async fn registers(&mut self, request: &Request) -> Result<Value, String> {
        let mut asked = Vec::new();
        request.encode(&mut asked);
        let Some(answer) = self.ask(&asked).await? else { return Ok(Value::Null) };
        Ok(match pdu::decode_answer(&answer) {
            Ok((_, Ok(Response::ReadHoldingRegisters(values) | Response::ReadInputRegisters(values)))) => list(values),
            Ok((_, Err(exception))) => exception.to_string().into(),
            Ok(_) => "another function's answer".into(),
            Err(error) => error.to_string().into(),
        })
    }

    /// The PDU that answers `asked`; `None`: none in time.
    async fn ask(&mut self, asked: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let unit = self.unit;
        let frame = match &mut self.envelope {
            Envelope::Tcp { transaction } => {
                *transaction += 1;
                tcp::frame(*transaction, unit, |out| out.extend_from_slice(asked))
            }
            Envelope::Rtu => rtu::frame(unit, |out| out.extend_from_slice(asked)),
        };
        say(&mut self.stream, &frame).await?;
        let (envelope, mut heard) = (&self.envelope, Vec::new());
        let answers = |pdu: &[u8]| pdu.first().is_some_and(|function| function & !EXCEPTION == asked[0]);
        let answer = hear(&mut self.stream, Instant::now() + ANSWER_WAIT, |octets| {
            heard.extend_from_slice(octets);
            match envelope {
                Envelope::Tcp { transaction } => loop {
                    let (frame, rest) = match tcp::Frame::split(&heard) {
                        Err(error) => break Some(Err(format!("its octets are no Modbus TCP: {error}"))),
                        Ok(None) => break None,
                        Ok(Some(split)) => split,
                    };
                    if frame.transaction == *transaction && frame.unit == unit && answers(frame.pdu) {
                        break Some(Ok(frame.pdu.to_vec()));
                    }
                    heard = rest.to_vec();
                },
                Envelope::Rtu => {
                    let (of, pdu) = rtu::open(&heard)?;
                    (of == unit && answers(pdu)).then(|| Ok(pdu.to_vec()))
                }
            }
        });
        answer.await?.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stowage_protocol::modbus::Exception;

    #[test]
    fn what_a_unit_is_is_told_as_far_as_it_makes_sense() {
        let pdu = b"\x2B\x0E\x01\x01\x00\x00\x03\x00\x04Acme\x01\x02S7\x02\x031.2";
        let all = [(0, "Acme"), (1, "S7"), (2, "1.2")].map(|(id, text)| (id, text.to_owned()));
        assert_eq!(objects(pdu), all);
        assert_eq!(objects(&pdu[..18]), all[..2]);
        assert_eq!(objects(&[0xAB, 0x01]), []);
        assert!(Exception::ILLEGAL_FUNCTION.to_string().contains("function"), "told in words");
    }
}
