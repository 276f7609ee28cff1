//! An Impinj reader with its IoT device interface.

use super::{Antenna, Places, broker, llrp, topic, turn};
use crate::config::read::Section;
use crate::config::url::{self, Broker, Control};
use crate::tls;
use stowage_base::Duration;

/// An Impinj reader with its IoT device interface: it publishes to a broker, and is controlled over HTTP.
#[derive(Debug, Clone)]
pub struct ImpinjIot {
    /// The broker at which we listen.
    pub broker: Broker,
    /// The same broker as the reader finds it.
    pub reader_broker: Broker,
    /// Whether the reader speaks TLS with it: then it must have been given the authority's certificate.
    pub reader_tls: bool,
    /// The reader's REST interface.
    pub control: Control,
    /// Where it publishes its events; `None`: `stowage/SITE/reader/ID`.
    pub topic: Option<String>,
    /// The antennas to use, at least one, by port.
    pub antennas: Vec<Antenna>,
    /// In this time each antenna has had its turn.
    pub turn: Duration,
    /// Gen2 inventory session, 0 to 3.
    pub session: u8,
    /// How many tags the reader should expect in view of one antenna, 1 to 65,535.
    pub population: u16,
    /// The reader's RF mode.
    pub rf_mode: u16,
    /// Report a tag that stays again after so many seconds; 0 reports each reading.
    pub interval_s: u16,
    /// Start this preset of the reader's in place of settings from here.
    pub preset: Option<String>,
}

pub(super) fn read(section: &mut Section<'_>, places: &mut Places<'_>) -> ImpinjIot {
    section.require(&[
        ("url", "the broker as mqtt://HOST or mqtts://USER:PASSWORD@HOST:PORT"),
        ("control", "the reader as https://USER:PASSWORD@HOST, or http:// without TLS"),
        ("antennas", llrp::ANTENNAS),
    ]);
    let broker = broker(section);
    let control = control(section);
    let (reader_broker, reader_tls) = reader_broker(section, &broker, &control);
    ImpinjIot {
        broker,
        reader_broker,
        reader_tls,
        control,
        topic: topic(section, "topic"),
        antennas: llrp::antennas(section, places),
        turn: turn(section),
        session: section.number("session", 0..=3).map_or(1, |session| session.value),
        population: section.number("population", 1..=65_535).map_or(32, |population| population.value),
        rf_mode: section.number("rf_mode", 0..=9_999).map_or(1_002, |mode| mode.value),
        interval_s: section.number("interval_s", 0..=3_600).map_or(0, |interval| interval.value),
        preset: preset(section),
    }
}

fn control(section: &mut Section<'_>) -> Control {
    let file = section.file;
    let url = section.url("control");
    let ca = section.text("control_ca");
    let Some(url) = url else { return Control::default() };
    let (control, tls) = match url::control(&url.value) {
        Ok(read) => read,
        Err(message) => {
            file.fault(&url.at, message);
            return Control::default();
        }
    };
    let ca = match (ca, tls) {
        (None, false) => None,
        (None, true) => {
            let mend = "wants to know whom to trust: give `control_ca`, the PEM file with the reader's certificate";
            file.fault(&url.at, mend);
            None
        }
        (Some(ca), false) => {
            file.fault(&ca.at, "is for TLS: give https:// as control, or leave it out");
            None
        }
        (Some(ca), true) => {
            let path = file.path.parent().unwrap_or(&file.path).join(&ca.value);
            if let Err(why) = tls::client(&path) {
                file.fault(&ca.at, why.to_string());
            }
            Some(path)
        }
    };
    Control { ca, ..control }
}

/// Where the reader publishes to, and whether with TLS: what is this machine for us is another one for it.
fn reader_broker(section: &mut Section<'_>, ours: &Broker, control: &Control) -> (Broker, bool) {
    let file = section.file;
    let local = |host: &str| host == "localhost" || host == "::1" || host.starts_with("127.");
    let Some(url) = section.url("reader_broker") else {
        if local(&ours.host) && !local(&control.host) && !control.host.is_empty() {
            let at = section.at.named(format!("{}.reader_broker", section.at.key));
            let mend = "is missing: the reader can't reach the broker at this machine's own address; give mqtt://HOST \
                        with a name or address that it can reach";
            file.fault(&at, mend);
        }
        return (ours.clone(), ours.ca.is_some());
    };
    url::mqtt(&url.value).unwrap_or_else(|message| {
        file.fault(&url.at, message);
        (Broker::default(), false)
    })
}

fn preset(section: &mut Section<'_>) -> Option<String> {
    let preset = section.text("preset")?;
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    if preset.value.is_empty() || !preset.value.bytes().all(fits) {
        section.file.fault(&preset.at, "not a preset's id: use letters, digits, '-', '_' and '.'");
        return None;
    }
    Some(preset.value)
}
