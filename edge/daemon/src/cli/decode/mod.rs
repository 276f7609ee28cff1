//! `stowage decode`: what codes and frames say. What can't be decoded is an answer too.

mod epc;
mod gs1;
mod llrp;
mod mercury;
mod pcap;
mod reader_mqtt;
mod vda5050;

use super::Error;
use super::output::Output;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// EPCs in hex, one a line: scheme, URIs, GS1 elements
    Epc(Input),
    /// Barcodes as scanned, bracketed element strings or Digital Links, one a line: application identifiers
    Gs1(Input),
    Llrp(llrp::Args),
    Mercury(mercury::Args),
    ReaderMqtt(reader_mqtt::Args),
    Vda5050(vda5050::Args),
}

/// Where the octets come from.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Input {
    /// What to read; standard input if left out
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Input {
    fn open<'a>(&self, stdin: &'a mut dyn Read) -> Result<Box<dyn Read + 'a>, Error> {
        match &self.file {
            None => Ok(Box::new(stdin)),
            Some(path) => match File::open(path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => Err(self.error(&error)),
            },
        }
    }

    /// Hands on each line, without its end.
    pub(in crate::cli) fn lines(
        &self,
        stdin: &mut dyn Read,
        mut each: impl FnMut(&str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut lines = BufReader::new(self.open(stdin)?);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(|error| self.error(&error))? > 0 {
            each(String::from_utf8_lossy(&line).trim())?;
            line.clear();
        }
        Ok(())
    }

    fn error(&self, error: &io::Error) -> Error {
        let name = self.file.as_ref().map_or("standard input".into(), |path| path.display().to_string());
        Error::Job(format!("{name}: {error}"))
    }
}

pub(super) fn run(command: &Command, stdin: &mut dyn Read, out: &mut Output<'_>) -> Result<(), Error> {
    match command {
        Command::Epc(input) => input.lines(stdin, |line| Ok(out.line(&epc::decode(line))?)),
        Command::Gs1(input) => input.lines(stdin, |line| Ok(out.line(&gs1::decode(line))?)),
        Command::Llrp(args) => llrp::run(args, stdin, out),
        Command::Mercury(args) => mercury::run(args, stdin, out),
        Command::ReaderMqtt(args) => reader_mqtt::run(args, stdin, out),
        Command::Vda5050(args) => vda5050::run(args, stdin, out),
    }
}

/// Upper-case hex.
fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

/// The octets that hex digits spell; else what is wrong, and at which character, from 0.
fn octets(hex: &str) -> Result<Vec<u8>, (String, usize)> {
    if let Some((at, c)) = hex.chars().enumerate().find(|(_, c)| !c.is_ascii_hexdigit()) {
        return Err((format!("{c:?} is no hex digit"), at));
    }
    if !hex.len().is_multiple_of(2) {
        return Err((format!("{} hex digits: each octet has two", hex.len()), hex.len()));
    }
    let digit = |octet: u8| char::from(octet).to_digit(16).unwrap_or_default() as u8;
    Ok(hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect())
}
