//! What a reader is, and how it is configured.

use super::status::{Refusal, code};
use crate::llrp::tree::Tree;
use crate::llrp::{IMPINJ, ZEBRA};
use stowage_base::Duration;

/// What kind of reader it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Antenna ports, 1 to 64.
    pub antennas: u16,
    /// Transmit powers in 1/100 dBm, rising; the first has index 1.
    pub powers_cdbm: Vec<i16>,
    /// The hop table in kHz.
    pub channels_khz: Vec<u32>,
    /// Who made it.
    pub vendor: Vendor,
    /// The newest version that it speaks: 1 for LLRP 1.0.1, 2 for 1.1, 3 for 2.0.
    pub version: u8,
    /// Inputs and outputs.
    pub gpios: (u16, u16),
}

/// Makers whose readers differ in what they can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// Nobody in particular: as the standard has it.
    Plain,
    /// One ROSpec; mode numbers far apart; phase and fine RSSI once its extensions are on.
    Impinj,
    /// One ROSpec of at most 16 specs, no levels of priority; powers in steps of 0.1 dB; modes from 1 on.
    Zebra,
}

impl Vendor {
    fn number(self) -> u32 {
        match self {
            Self::Plain => 0,
            Self::Impinj => IMPINJ,
            Self::Zebra => ZEBRA,
        }
    }

    /// The RF modes: number, and M (0 for FM0, then Miller 2, 4, 8).
    fn modes(self) -> &'static [(u16, u8)] {
        match self {
            Self::Plain => &[(0, 0), (1, 1), (2, 2), (3, 3)],
            Self::Impinj => &[(0, 0), (1, 1), (2, 2), (3, 3), (4, 2), (1000, 2), (1002, 2), (1003, 2)],
            Self::Zebra => &[(1, 0), (2, 1), (3, 2), (4, 3), (5, 2), (6, 3)],
        }
    }

    /// Most ROSpecs that are held.
    pub(super) fn rospecs_max(self) -> usize {
        match self {
            Self::Plain => 16,
            Self::Impinj | Self::Zebra => 1,
        }
    }

    /// Most AISpecs in an ROSpec.
    pub(super) fn specs_max(self) -> usize {
        match self {
            Self::Plain => 64,
            Self::Impinj => 32,
            Self::Zebra => 16,
        }
    }

    /// Levels of an ROSpec's priority.
    pub(super) fn priorities(self) -> u8 {
        match self {
            Self::Plain | Self::Impinj => 8,
            Self::Zebra => 1,
        }
    }
}

impl Profile {
    /// A reader for North America: 10 to 30 dBm in steps of 0.25 dB, 50 channels from 902.75 to 927.25 MHz.
    pub fn fcc(antennas: u16) -> Self {
        Self {
            antennas: antennas.clamp(1, 64),
            powers_cdbm: (0..=80).map(|step| 1_000 + 25 * step).collect(),
            // Neighbours in time lie apart in frequency.
            channels_khz: (0..50).map(|hop| 902_750 + 500 * (hop * 7 % 50)).collect(),
            vendor: Vendor::Plain,
            version: 1,
            gpios: (4, 4),
        }
    }

    /// The same as `vendor` makes it.
    pub fn of(vendor: Vendor, antennas: u16) -> Self {
        let plain = Self::fcc(antennas);
        match vendor {
            Vendor::Plain => plain,
            Vendor::Impinj => Self { vendor, ..plain },
            Vendor::Zebra => {
                Self { vendor, powers_cdbm: (0..=200).map(|step| 1_000 + 10 * step).collect(), gpios: (2, 2), ..plain }
            }
        }
    }

    /// An answer to GET_READER_CAPABILITIES for `requested` data.
    pub(super) fn capabilities(&self, requested: i64) -> Tree {
        let wants = |part: i64| requested == 0 || requested == part;
        let general = || {
            let air = (1..=self.antennas)
                .map(|antenna| Tree::new("PerAntennaAirProtocol").set("AntennaID", antenna).set("ProtocolID", vec![1]));
            Tree::new("GeneralDeviceCapabilities")
                .set("MaxNumberOfAntennaSupported", self.antennas)
                .set("HasUTCClockCapability", true)
                .set("DeviceManufacturerName", self.vendor.number())
                .set("ModelName", 1)
                .set("ReaderFirmwareVersion", env!("CARGO_PKG_VERSION"))
                .with(Tree::new("ReceiveSensitivityTableEntry").set("Index", 1))
                .with(Tree::new("GPIOCapabilities").set("NumGPIs", self.gpios.0).set("NumGPOs", self.gpios.1))
                .with_all(air)
        };
        let llrp = || {
            Tree::new("LLRPCapabilities")
                .set("SupportsEventAndReportHolding", true)
                .set("MaxNumPriorityLevelsSupported", self.vendor.priorities())
                .set("MaxNumROSpecs", self.vendor.rospecs_max() as u32)
                .set("MaxNumSpecsPerROSpec", self.vendor.specs_max() as u32)
                .set("MaxNumInventoryParameterSpecsPerAISpec", 1)
                .set("MaxNumAccessSpecs", super::access::ACCESSSPECS_MAX as u32)
                .set("MaxNumOpSpecsPerAccessSpec", super::access::OPS_MAX as u32)
        };
        let rules = || {
            let powers = self.powers_cdbm.iter().zip(1_u16..).map(|(power, index)| {
                Tree::new("TransmitPowerLevelTableEntry").set("Index", index).set("TransmitPowerValue", *power)
            });
            let channels = self.channels_khz.iter().map(|khz| u64::from(*khz)).collect::<Vec<_>>();
            let hops = Tree::new("FrequencyHopTable").set("HopTableID", 1).set("Frequency", channels);
            let modes = self.vendor.modes().iter().map(|(mode, m)| {
                // FM0 at 640 kHz; Miller 2 and 4 at 320 and 250; Miller 8 at 160.
                let rate = [640_000, 320_000, 250_000, 160_000_u32][usize::from(*m)];
                Tree::new("C1G2UHFRFModeTableEntry")
                    .set("ModeIdentifier", *mode)
                    .set("DRValue", 1)
                    .set("MValue", *m)
                    .set("SpectralMaskIndicator", 3)
                    .set("BDRValue", rate)
                    .set("PIEValue", 1_500)
                    .set("MinTariValue", 6_250)
                    .set("MaxTariValue", 25_000)
            });
            let band = Tree::new("UHFBandCapabilities")
                .with_all(powers)
                .with(Tree::new("FrequencyInformation").set("Hopping", true).with(hops))
                .with(Tree::new("C1G2UHFRFModeTable").with_all(modes));
            Tree::new("RegulatoryCapabilities").set("CountryCode", 840).set("CommunicationsStandard", 1).with(band)
        };
        Tree::new("GET_READER_CAPABILITIES_RESPONSE")
            .with(Tree::new("LLRPStatus"))
            .with_all(wants(1).then(general))
            .with_all(wants(2).then(llrp))
            .with_all(wants(3).then(rules))
            .with_all(wants(4).then(|| {
                Tree::new("C1G2LLRPCapabilities")
                    .set("CanSupportBlockErase", true)
                    .set("CanSupportBlockWrite", true)
                    .set("MaxNumSelectFiltersPerQuery", 2)
            }))
    }

    /// The antennas that an AntennaID stands for: 0 for all.
    fn antenna(&self, tree: &Tree) -> Result<std::ops::RangeInclusive<u16>, Refusal> {
        match tree.int("AntennaID") as u16 {
            0 => Ok(1..=self.antennas),
            port if (1..=self.antennas).contains(&port) => Ok(port..=port),
            _ => Err(Refusal::field(tree, "AntennaID", code::OUT_OF_RANGE, "is no antenna of this reader")),
        }
    }

    /// Takes an AntennaConfiguration: sets the powers, by antenna, that it gives.
    pub(super) fn configure(&self, configuration: &Tree, powers: &mut [i16]) -> Result<(), Refusal> {
        let antennas = self.antenna(configuration)?;
        if let Some(transmitter) = configuration.child("RFTransmitter") {
            let refuse = |field, what| {
                let refusal = Refusal::field(transmitter, field, code::OUT_OF_RANGE, what);
                Err(refusal.within(transmitter.number()))
            };
            if transmitter.int("HopTableID") != 1 {
                return refuse("HopTableID", "is not in the capabilities");
            }
            let index = usize::try_from(transmitter.int("TransmitPower") - 1).ok();
            let Some(power) = index.and_then(|index| self.powers_cdbm.get(index)) else {
                return refuse("TransmitPower", "is not in the capabilities");
            };
            for antenna in antennas {
                powers[usize::from(antenna) - 1] = *power;
            }
        }
        for inventory in configuration.all("C1G2InventoryCommand") {
            if let Some(rf) = inventory.child("C1G2RFControl")
                && !self.vendor.modes().iter().any(|(mode, _)| i64::from(*mode) == rf.int("ModeIndex"))
            {
                let refusal = Refusal::field(rf, "ModeIndex", code::OUT_OF_RANGE, "is not in the capabilities");
                return Err(refusal.within(rf.number()).within(inventory.number()));
            }
        }
        Ok(())
    }
}

/// Events that a client can switch on, by their NotificationEventType.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Input = 1,
    Rospec = 2,
    BufferWarning = 3,
    Aispec = 6,
    Antenna = 8,
    /// Always told.
    Connection = 15,
}

#[derive(Debug, Clone)]
pub(super) struct Config {
    /// A bit for each NotificationEventType.
    events: u16,
    pub(super) keepalive: Option<Duration>,
    /// Hold reports after a reconnect.
    pub(super) hold: bool,
    /// In 1/100 dBm, by antenna.
    pub(super) powers: Vec<i16>,
    /// Which inputs are looked at.
    inputs: Vec<bool>,
    /// The outputs.
    pub(super) outputs: Vec<bool>,
    /// What a ROSpec without an ROReportSpec of its own reports.
    pub(super) report: Tree,
}

impl Config {
    /// As delivered: full power, no keepalives, no events but those of connections and exceptions.
    pub(super) fn new(profile: &Profile) -> Self {
        let everything = ["ROSpecID", "SpecIndex", "InventoryParameterSpecID", "AntennaID", "ChannelIndex", "PeakRSSI"]
            .into_iter()
            .chain(["FirstSeenTimestamp", "LastSeenTimestamp", "TagSeenCount", "AccessSpecID"])
            .fold(Tree::new("TagReportContentSelector"), |tree, field| tree.set(&["Enable", field].concat(), true));
        Self {
            events: 1 << 4 | 1 << Event::Connection as u16,
            keepalive: None,
            hold: false,
            powers: vec![profile.powers_cdbm.last().copied().unwrap_or(3_000); usize::from(profile.antennas)],
            inputs: vec![true; usize::from(profile.gpios.0)],
            outputs: vec![false; usize::from(profile.gpios.1)],
            report: Tree::new("ROReportSpec").set("ROReportTrigger", 2).with(everything),
        }
    }

    pub(super) fn tells(&self, event: Event) -> bool {
        self.events >> event as u16 & 1 == 1
    }

    /// Takes a SET_READER_CONFIG: all of it or, refused, nothing.
    pub(super) fn set(&mut self, message: &Tree, profile: &Profile) -> Result<(), Refusal> {
        let mut new = self.clone();
        if message.int("ResetToFactoryDefault") != 0 {
            new = Self::new(profile);
        }
        for spec in message.all("ReaderEventNotificationSpec") {
            for state in spec.all("EventNotificationState") {
                let bit = 1 << state.int("EventType");
                new.events = if state.int("NotificationState") != 0 { new.events | bit } else { new.events & !bit };
            }
        }
        if let Some(tree) = message.child("AntennaProperties") {
            let what = "AntennaProperties can't be set on this reader".to_owned();
            return Err(Refusal::message(code::UNSUPPORTED_PARAMETER, what).within(tree.number()));
        }
        let port = |tree: &Tree, field: &str, ports: &[bool]| {
            let index = usize::try_from(tree.int(field) - 1).ok().filter(|index| *index < ports.len());
            let refusal = || Refusal::field(tree, field, code::OUT_OF_RANGE, "is not in the capabilities");
            index.ok_or_else(|| refusal().within(tree.number()))
        };
        for output in message.all("GPOWriteData") {
            let index = port(output, "GPOPortNumber", &new.outputs)?;
            new.outputs[index] = output.int("GPOData") != 0;
        }
        for input in message.all("GPIPortCurrentState") {
            let index = port(input, "GPIPortNum", &new.inputs)?;
            new.inputs[index] = input.int("Config") != 0;
        }
        for configuration in message.all("AntennaConfiguration") {
            let within = |refusal: Refusal| refusal.within(configuration.number());
            profile.configure(configuration, &mut new.powers).map_err(within)?;
        }
        if let Some(report) = message.child("ROReportSpec") {
            new.report = report.clone();
        }
        if let Some(keepalive) = message.child("KeepaliveSpec") {
            let period = Duration::from_millis(keepalive.int("PeriodicTriggerValue"));
            new.keepalive = match keepalive.int("KeepaliveTriggerType") {
                0 => None,
                _ if period == Duration::ZERO => {
                    let refusal =
                        Refusal::field(keepalive, "PeriodicTriggerValue", code::OUT_OF_RANGE, "ms is no period");
                    return Err(refusal.within(keepalive.number()));
                }
                _ => Some(period),
            };
        }
        if let Some(hold) = message.child("EventsAndReports") {
            new.hold = hold.int("HoldEventsAndReportsUponReconnect") != 0;
        }
        *self = new;
        Ok(())
    }

    /// Whether the input at `port` is looked at.
    pub(super) fn listens(&self, port: u16) -> bool {
        usize::from(port).checked_sub(1).and_then(|index| self.inputs.get(index)).is_some_and(|on| *on)
    }

    /// Answers a GET_READER_CONFIG; `connected` are the antennas, `high` the inputs.
    pub(super) fn get(
        &self,
        message: &Tree,
        profile: &Profile,
        connected: &[bool],
        high: &[bool],
    ) -> Result<Tree, Refusal> {
        let antennas = profile.antenna(message)?;
        let requested = message.int("RequestedData");
        let wants = |part: i64| requested == 0 || requested == part;
        let properties = |port: u16| {
            let connected = connected.get(usize::from(port) - 1).copied();
            Tree::new("AntennaProperties").set("AntennaConnected", connected.unwrap_or(false)).set("AntennaID", port)
        };
        let configuration = |port: u16| {
            let power = self.powers.get(usize::from(port) - 1);
            let index = profile.powers_cdbm.iter().position(|known| Some(known) == power).map_or(0, |index| index + 1);
            let transmitter = Tree::new("RFTransmitter").set("HopTableID", 1).set("TransmitPower", index as u16);
            let inventory = Tree::new("C1G2InventoryCommand")
                .with(Tree::new("C1G2RFControl"))
                .with(Tree::new("C1G2SingulationControl").set("TagPopulation", 32));
            Tree::new("AntennaConfiguration")
                .set("AntennaID", port)
                .with(Tree::new("RFReceiver").set("ReceiverSensitivity", 1))
                .with(transmitter)
                .with(inventory)
        };
        let events = || {
            let state = |event: u16| {
                let on = self.events >> event & 1;
                Tree::new("EventNotificationState").set("EventType", event).set("NotificationState", on)
            };
            Tree::new("ReaderEventNotificationSpec").with_all((0..9).map(state))
        };
        let keepalive = || {
            Tree::new("KeepaliveSpec")
                .set("KeepaliveTriggerType", self.keepalive.is_some())
                .set("PeriodicTriggerValue", self.keepalive.unwrap_or(Duration::ZERO).millis())
        };
        // A MAC address that no vendor has: locally administered.
        let identification = || Tree::new("Identification").set("ReaderID", vec![0x02, 0, 0, 0xFF, 0xFE, 0, 0, 1]);
        let chosen = |field: &str, port: u16| matches!(message.int(field), 0) || message.int(field) == i64::from(port);
        let inputs = self.inputs.iter().zip(high).zip(1_u16..).filter(|(_, port)| chosen("GPIPortNum", *port));
        let inputs = inputs.map(|((on, high), port)| {
            Tree::new("GPIPortCurrentState").set("GPIPortNum", port).set("Config", *on).set("State", *high)
        });
        let outputs = self.outputs.iter().zip(1_u16..).filter(|(_, port)| chosen("GPOPortNum", *port));
        let outputs =
            outputs.map(|(on, port)| Tree::new("GPOWriteData").set("GPOPortNumber", port).set("GPOData", *on));
        let hold = || Tree::new("EventsAndReports").set("HoldEventsAndReportsUponReconnect", self.hold);
        Ok(Tree::new("GET_READER_CONFIG_RESPONSE")
            .with(Tree::new("LLRPStatus"))
            .with_all(wants(1).then(identification))
            .with_all(antennas.clone().filter(|_| wants(2)).map(properties))
            .with_all(antennas.filter(|_| wants(3)).map(configuration))
            .with_all(wants(5).then(events))
            .with_all(wants(4).then(|| self.report.clone()))
            .with_all(wants(6).then(|| Tree::new("AccessReportSpec")))
            .with_all(wants(7).then(|| Tree::new("LLRPConfigurationStateValue")))
            .with_all(wants(8).then(keepalive))
            .with_all(inputs.filter(|_| wants(9)))
            .with_all(outputs.filter(|_| wants(10)))
            .with_all(wants(11).then(hold)))
    }
}
