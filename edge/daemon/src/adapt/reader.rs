//! Readers: settings of their sessions, read points of their antennas, their events.

use crate::config::{Antenna, ImpinjIot, Llrp, Mercury, ZebraIotc};
use stowage_base::access::Op;
use stowage_base::{Code, Duration, ReaderCommand, ReaderEvent, TagOp};
use stowage_core::Site;
use stowage_core::input::DeviceEvent;
use stowage_core::site::{DeviceIx, ReadPointIx};
use stowage_protocol::reader_mqtt::{self, Watch};
use stowage_protocol::{impinj_iot, llrp, zebra_iotc};

/// What reports that were held for too long are.
const LATE: &str = "reports came too late to say where tags are now: they move nothing";

/// How often an LLRP reader says that it lives.
pub const LLRP_KEEPALIVE: Duration = Duration::from_secs(2);

/// What an LLRP reader is asked to do.
pub fn llrp(reader: &Llrp) -> llrp::client::Settings {
    let antenna =
        |antenna: &Antenna| llrp::client::AntennaSettings { port: antenna.port, power_cdbm: Some(antenna.power_cdbm) };
    llrp::client::Settings {
        dwell: reader.dwell,
        keepalive: LLRP_KEEPALIVE,
        session: reader.session,
        population: reader.population,
        mode: reader.mode,
        region: reader.region,
        gate: reader.gate,
        lamp: reader.lamp,
        ..llrp::client::Settings::new(reader.antennas.iter().map(antenna).collect())
    }
}

/// What a UART module is asked to do.
pub fn mercury(module: &Mercury) -> stowage_mercury::Settings {
    stowage_mercury::Settings {
        baud: module.baud,
        region: module.region,
        read_power_cdbm: module.power_cdbm,
        antennas: module.antennas,
    }
}

/// What an Impinj reader with its IoT device interface, the device `id`, is asked to do.
pub fn impinj(reader: &ImpinjIot, site: &Code, id: &Code) -> impinj_iot::Settings {
    let topic = reader.topic.clone().unwrap_or_else(|| format!("stowage/{site}/reader/{id}"));
    let login = reader.reader_broker.login.as_ref();
    impinj_iot::Settings {
        watch: watch(&reader.antennas, reader.turn, Duration::from_secs(reader.interval_s.into())),
        session: reader.session,
        population: reader.population,
        rf_mode: reader.rf_mode,
        interval_s: reader.interval_s,
        preset: reader.preset.clone(),
        mqtt: impinj_iot::MqttSettings {
            host: reader.reader_broker.host.clone(),
            port: reader.reader_broker.port,
            tls: reader.reader_tls,
            client: format!("{site}-{id}"),
            login: login.map(|(user, password)| (user.clone(), password.expose().clone())),
            will_topic: format!("{topic}/will"),
            event_topic: topic,
        },
    }
}

/// What a Zebra reader with its IoT Connector, the device `id`, is asked to do; `boot` differs at each start.
pub fn zebra(reader: &ZebraIotc, site: &Code, id: &Code, boot: u32) -> zebra_iotc::Settings {
    zebra_iotc::Settings {
        watch: watch(&reader.antennas, reader.turn, reader.batch + Duration::from_secs(reader.interval_s.into())),
        topics: reader.topics.clone(),
        session: reader.session,
        population: reader.population,
        interval_s: reader.interval_s,
        command_prefix: format!("stowage-{site}-{id}-{boot}"),
    }
}

fn watch(antennas: &[Antenna], turn: Duration, delay: Duration) -> Watch {
    let antenna =
        |antenna: &Antenna| reader_mqtt::AntennaSettings { port: antenna.port, power_cdbm: antenna.power_cdbm };
    Watch { antennas: antennas.iter().map(antenna).collect(), turn, delay }
}

/// Which read point each antenna of one reader is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Points(Vec<Option<ReadPointIx>>);

impl Points {
    /// Those of the reader `device`.
    pub fn of(site: &Site, device: DeviceIx) -> Self {
        let most = site.read_points.iter().filter(|point| point.device == device).map(|point| point.antenna).max();
        Self((0..=most.unwrap_or(0)).map(|antenna| site.read_point(device, antenna)).collect())
    }

    /// The read point of the antenna at port `antenna`; `None`: the site has no place for it.
    pub fn get(&self, antenna: u16) -> Option<ReadPointIx> {
        self.0.get(usize::from(antenna)).copied().flatten()
    }
}

/// What a reader's event is to the engine.
pub fn event(event: ReaderEvent) -> DeviceEvent {
    match event {
        ReaderEvent::Up => DeviceEvent::Up,
        ReaderEvent::Down(why) => DeviceEvent::Down(why.into()),
        ReaderEvent::Antenna { port, connected: true } => fault(format!("antenna {port} is connected again")),
        ReaderEvent::Antenna { port, connected: false } => {
            fault(format!("antenna {port} is not connected: check it and its cable"))
        }
        ReaderEvent::ClockJump => fault("its clock jumped: reads are stamped on arrival".into()),
        ReaderEvent::Fault { what, code: 0 } => fault(what.into()),
        ReaderEvent::Fault { what, code } => fault(format!("{what} (code {code}, in hex {code:04X})")),
        ReaderEvent::Speed { found, now } if found == now => {
            fault(format!("it answers at {found} Bd and can't be set to another speed: put baud={found} into its url"))
        }
        ReaderEvent::Speed { found, now } => DeviceEvent::Note(format!("found at {found} Bd, set to {now} Bd")),
        ReaderEvent::Input { port, high } => {
            DeviceEvent::Note(format!("input {port} is {}", if high { "high" } else { "low" }))
        }
        ReaderEvent::Late { count } => DeviceEvent::Fault { count: count.into(), what: LATE.into() },
        ReaderEvent::Temperature(celsius) => DeviceEvent::Temperature(celsius),
        ReaderEvent::Malformed { what, offset } => {
            DeviceEvent::Malformed { count: 1, what: format!("at octet {offset}: expected {what}") }
        }
    }
}

/// What the journal is to keep of a command that was done: what it changed for good. No password is in it.
pub fn note(command: &ReaderCommand) -> Option<String> {
    let ReaderCommand::Tag(TagOp { tag, op, .. }) = command else { return None };
    match op {
        Op::Read { .. } => None,
        Op::Write { bank, word, data } => Some(format!(
            "tag {tag}: {} words written to bank {} from word {word} on",
            data.as_slice().len(),
            *bank as u8
        )),
        Op::WriteEpc(epc) => Some(format!("tag {tag}: its EPC is {epc} from now on")),
        Op::Lock { field, lock } => Some(format!("tag {tag}: {field:?} is set to {lock:?}")),
        Op::Kill { .. } => Some(format!("tag {tag}: killed")),
    }
}

/// What a smart reader's event is to the engine; `None`: nothing.
pub fn smart_event(event: reader_mqtt::Event) -> Option<DeviceEvent> {
    use reader_mqtt::Event;
    Some(match event {
        Event::Up => DeviceEvent::Up,
        Event::Down(why) => DeviceEvent::Down(why),
        Event::Antenna { port, connected } => self::event(ReaderEvent::Antenna { port, connected }),
        Event::Gpi { .. } => return None,
        Event::ClockJump => fault("its clock jumped: reports are mapped by its next answer".into()),
        Event::Fault(what) => fault(what),
        Event::Late { count } => DeviceEvent::Fault { count, what: LATE.into() },
        Event::Skipped { count, last } => {
            DeviceEvent::Fault { count, what: format!("skipped what isn't known here, the last {last:?}") }
        }
        Event::Malformed { source, what } => DeviceEvent::Malformed { count: 1, what: format!("{source}: {what}") },
    })
}

fn fault(what: String) -> DeviceEvent {
    DeviceEvent::Fault { count: 1, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_tells_is_told_in_words_with_the_mend() {
        let told = |happened| match event(happened) {
            DeviceEvent::Fault { what, .. } | DeviceEvent::Note(what) => what,
            other => format!("{other:?}"),
        };
        let hot = stowage_mercury::Status::TOO_HOT;
        let fault = told(ReaderEvent::Fault { what: hot.advice(), code: hot.0.into() });
        assert!(fault.starts_with("the module is too hot") && fault.ends_with("(code 1284, in hex 0504)"), "{fault}");
        assert_eq!(told(ReaderEvent::Fault { what: "it restarted", code: 0 }), "it restarted");
        assert_eq!(told(ReaderEvent::Speed { found: 9_600, now: 115_200 }), "found at 9600 Bd, set to 115200 Bd");
        assert!(told(ReaderEvent::Speed { found: 9_600, now: 9_600 }).contains("baud=9600"));
        assert!(told(ReaderEvent::Antenna { port: 2, connected: false }).contains("antenna 2"));
    }
}
