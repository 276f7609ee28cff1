//! The hot path: walks tag reports and events where they lie, without allocation.
//!
//! What isn't known is skipped by its length and counted. A tag report names its antenna, channel and times only if
//! the ROSpec's TagReportContentSelector asks for them, so anything but the EPC may be absent.

use super::frame::{Frame, FrameError};
use super::{IMPINJ, kind};

/// A parameter breaks the encoding; the rest of its message can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("octet {offset} of the body: {what}")]
pub struct Malformed {
    /// Octets from the start of the message's body.
    pub offset: usize,
    /// What was expected.
    pub what: &'static str,
}

/// One TagReportData (LLRP 1.0.1 §14.2.3.1), borrowed from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TagReport<'a> {
    /// The EPC, filled up to whole octets.
    pub epc: &'a [u8],
    /// How many bits of it count.
    pub epc_bits: u16,
    /// The ROSpec that found it.
    pub rospec_id: Option<u32>,
    /// Which of that ROSpec's specs found it, from 1.
    pub spec_index: Option<u16>,
    /// The antenna's port, from 1.
    pub antenna: Option<u16>,
    /// Strongest reply in dBm.
    pub peak_rssi_dbm: Option<i8>,
    /// Impinj: the same in 1/100 dBm.
    pub peak_rssi_cdbm: Option<i16>,
    /// Impinj: phase of the last reply, 4096 to a turn.
    pub phase: Option<u16>,
    /// The last reply's channel: a place in the hop table, from 1.
    pub channel_index: Option<u16>,
    /// First reply by the reader's clock, µs: since 1970 UTC, or since start-up of a reader without UTC.
    pub first_seen: Option<u64>,
    /// Last reply by the same clock.
    pub last_seen: Option<u64>,
    /// Replies that the report stands for.
    pub seen_count: Option<u16>,
    /// Parameters that were skipped as unknown.
    pub unknown: u16,
}

/// What a walk came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Walked {
    /// Tag reports.
    pub tags: u64,
    /// Parameters that were skipped as unknown.
    pub unknown: u64,
    /// Messages of any type.
    pub messages: u64,
    /// Messages that were malformed and cut short.
    pub malformed: u64,
}

/// Calls `each` for every tag report in a stream of messages; messages of other types are passed over.
/// The stream may end within a message.
///
/// # Errors
/// Framing is lost.
pub fn walk(mut stream: &[u8], mut each: impl FnMut(&TagReport<'_>)) -> Result<Walked, FrameError> {
    let mut walked = Walked::default();
    while let Some((frame, rest)) = Frame::split(stream)? {
        stream = rest;
        walked.messages += 1;
        if frame.kind == kind::RO_ACCESS_REPORT {
            let mut reports = Reports::new(frame.body);
            for report in &mut reports {
                match report {
                    Ok(report) => {
                        walked.tags += 1;
                        walked.unknown += u64::from(report.unknown);
                        each(&report);
                    }
                    Err(_) => walked.malformed += 1,
                }
            }
            walked.unknown += u64::from(reports.unknown);
        }
    }
    Ok(walked)
}

/// The tag reports of an RO_ACCESS_REPORT's body. Ends with the first error.
#[derive(Debug, Clone)]
pub struct Reports<'a> {
    parameters: Parameters<'a>,
    /// Parameters beside the tag reports that were skipped so far.
    pub unknown: u32,
}

impl<'a> Reports<'a> {
    /// Over the `body` of an RO_ACCESS_REPORT.
    pub fn new(body: &'a [u8]) -> Self {
        Self { parameters: Parameters { octets: body, offset: 0 }, unknown: 0 }
    }
}

impl<'a> Iterator for Reports<'a> {
    type Item = Result<TagReport<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let parameter = match self.parameters.next()? {
                Ok(parameter) => parameter,
                Err(malformed) => return Some(Err(malformed)),
            };
            if parameter.kind == TAG_REPORT_DATA {
                let report = TagReport::parse(parameter);
                if report.is_err() {
                    self.parameters.octets = &[];
                }
                return Some(report);
            }
            self.unknown += 1;
        }
    }
}

const TAG_REPORT_DATA: u16 = 240;
const EPC_DATA: u16 = 241;
const CUSTOM: u16 = 1023;

impl<'a> TagReport<'a> {
    fn parse(data: Parameter<'a>) -> Result<Self, Malformed> {
        let mut report = Self::default();
        let mut epcs = 0;
        let (mut rest, mut offset) = (data.body, data.offset);
        // TV parameters first and by hand: they are nearly all there is.
        while let [first, after @ ..] = rest {
            let short = Malformed { offset, what: "a parameter within its tag report" };
            if first & 0x80 == 0 {
                let mut parameters = Parameters { octets: rest, offset };
                let Some(parameter) = parameters.next() else { break };
                let parameter = parameter?;
                match parameter.kind {
                    EPC_DATA => {
                        let Some((bits, epc)) = parameter.body.split_first_chunk() else { return Err(short) };
                        report.epc_bits = u16::from_be_bytes(*bits);
                        report.epc = epc.get(..usize::from(report.epc_bits).div_ceil(8)).ok_or(short)?;
                        epcs += 1;
                    }
                    CUSTOM => report.custom(parameter.body),
                    // Results of access operations: whoever waits for one looks at the whole message.
                    349..=354 | 360..=362 => {}
                    // Whatever else there is, is newer.
                    _ => report.unknown = report.unknown.saturating_add(1),
                }
                (rest, offset) = (parameters.octets, parameters.offset);
                continue;
            }
            let len = match first & 0x7F {
                1 => {
                    report.antenna = Some(u16(after).ok_or(short)?);
                    2
                }
                2 | 3 => {
                    report.first_seen = Some(u64(after).ok_or(short)?);
                    8
                }
                4 | 5 => {
                    report.last_seen = Some(u64(after).ok_or(short)?);
                    8
                }
                6 => {
                    report.peak_rssi_dbm = Some(*after.first().ok_or(short)? as i8);
                    1
                }
                7 => {
                    report.channel_index = Some(u16(after).ok_or(short)?);
                    2
                }
                8 => {
                    report.seen_count = Some(u16(after).ok_or(short)?);
                    2
                }
                9 => {
                    let octets = after.first_chunk().ok_or(short)?;
                    report.rospec_id = Some(u32::from_be_bytes(*octets));
                    4
                }
                13 => {
                    (report.epc, report.epc_bits) = (after.get(..12).ok_or(short)?, 96);
                    epcs += 1;
                    12
                }
                14 => {
                    report.spec_index = Some(u16(after).ok_or(short)?);
                    2
                }
                // Inventory parameter spec, CRC, PC, operation ids, XPC: known, and not needed.
                10 | 11 | 12 | 15 | 17 | 19 | 20 => 2,
                16 | 18 => 4,
                // Its length can't be known, so what follows in this report can't be found.
                _ => {
                    report.unknown = report.unknown.saturating_add(1);
                    break;
                }
            };
            rest = after.get(len..).ok_or(short)?;
            offset += 1 + len;
        }
        match epcs {
            1 => Ok(report),
            _ => Err(Malformed { offset: data.offset, what: "one EPC in a tag report" }),
        }
    }

    fn custom(&mut self, body: &[u8]) {
        let words = body.first_chunk::<4>().zip(body.get(4..).and_then(<[u8]>::first_chunk::<4>));
        let Some((vendor, subtype)) = words else { return self.unknown = self.unknown.saturating_add(1) };
        match (u32::from_be_bytes(*vendor), u32::from_be_bytes(*subtype), u16(&body[8..])) {
            (IMPINJ, 56, Some(phase)) => self.phase = Some(phase & 0x0FFF),
            (IMPINJ, 57, Some(rssi)) => self.peak_rssi_cdbm = Some(rssi as i16),
            _ => self.unknown = self.unknown.saturating_add(1),
        }
    }
}

fn u16(octets: &[u8]) -> Option<u16> {
    octets.first_chunk().map(|octets| u16::from_be_bytes(*octets))
}

fn u64(octets: &[u8]) -> Option<u64> {
    octets.first_chunk().map(|octets| u64::from_be_bytes(*octets))
}

#[derive(Clone, Copy)]
struct Parameter<'a> {
    kind: u16,
    /// Where `body` lies in the message's body.
    offset: usize,
    body: &'a [u8],
}

/// TLV parameters side by side. A TV parameter ends them with an error.
#[derive(Debug, Clone)]
struct Parameters<'a> {
    octets: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<Parameter<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.octets.is_empty() {
            return None;
        }
        let split = self.octets.split_first_chunk().and_then(|([a, b, c, d], rest)| {
            let len = usize::from(u16::from_be_bytes([*c, *d])).checked_sub(4)?;
            let (body, rest) = rest.split_at_checked(len)?;
            (a & 0x80 == 0).then(|| (u16::from_be_bytes([a & 0b11, *b]), body, rest))
        });
        let Some((kind, body, rest)) = split else {
            self.octets = &[];
            return Some(Err(Malformed { offset: self.offset, what: "a whole TLV parameter" }));
        };
        let parameter = Parameter { kind, offset: self.offset + 4, body };
        self.octets = rest;
        self.offset += 4 + body.len();
        Some(Ok(parameter))
    }
}

/// What a READER_EVENT_NOTIFICATION tells, as far as a session acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Events {
    /// The reader's clock, µs: since 1970 UTC, or since start-up.
    pub clock: Option<u64>,
    /// ConnectionAttemptEvent: its status, 0 for success.
    pub connection: Option<u16>,
    /// AISpecEvent, the end of an AISpec: ROSpec id and spec index.
    pub aispec_end: Option<(u32, u16)>,
    /// AntennaEvent: port, and whether it is connected now.
    pub antenna: Option<(u16, bool)>,
    /// ROSpecEvent: type (0 start, 1 end, 2 preempted) and ROSpec id.
    pub rospec: Option<(u8, u32)>,
    /// ReaderExceptionEvent.
    pub exception: bool,
    /// GPIEvent: port, and whether it is high now.
    pub input: Option<(u16, bool)>,
    /// ReportBufferLevelWarningEvent: how full, in per cent.
    pub filling: Option<u8>,
    /// ReportBufferOverflowErrorEvent: the reader lost reports.
    pub overflow: bool,
    /// ConnectionCloseEvent: the reader is about to close the connection.
    pub closing: bool,
}

impl Events {
    /// Of the `body` of a READER_EVENT_NOTIFICATION.
    ///
    /// # Errors
    /// It breaks the encoding.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut events = Self::default();
        let data = Parameters { octets: body, offset: 0 }.next();
        let data = data.unwrap_or(Err(Malformed { offset: 0, what: "ReaderEventNotificationData" }))?;
        for parameter in (Parameters { octets: data.body, offset: data.offset }) {
            let Parameter { kind, offset, body } = parameter?;
            match (kind, body) {
                (128 | 129, _) => events.clock = u64(body),
                (249, [event, a, b, c, d, ..]) => {
                    events.rospec = Some((*event, u32::from_be_bytes([*a, *b, *c, *d])));
                }
                (248, [a, b, level, ..]) => events.input = Some((u16::from_be_bytes([*a, *b]), level & 0x80 != 0)),
                (250, [full, ..]) => events.filling = Some(*full),
                (251, _) => events.overflow = true,
                (252, _) => events.exception = true,
                (254, [_, a, b, c, d, index @ ..]) if index.len() >= 2 => {
                    events.aispec_end = u16(index).map(|index| (u32::from_be_bytes([*a, *b, *c, *d]), index));
                }
                (255, [event, port @ ..]) if port.len() >= 2 => {
                    events.antenna = u16(port).map(|port| (port, *event == 1));
                }
                (256, [_, _, ..]) => events.connection = u16(body),
                (257, _) => events.closing = true,
                (248..=250 | 254..=256, _) => return Err(Malformed { offset, what: "a whole event" }),
                _ => {}
            }
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llrp::Tree;
    use proptest::prelude::*;

    fn message(tree: &Tree) -> Vec<u8> {
        let mut octets = Vec::new();
        tree.encode(1, 1, &mut octets);
        octets
    }

    fn tag(epc: [u8; 12]) -> Tree {
        Tree::new("TagReportData").with(Tree::new("EPC_96").set("EPC", &epc[..]))
    }

    #[test]
    fn a_report_is_read_where_it_lies() {
        let data = tag([7; 12])
            .with(Tree::new("AntennaID").set("AntennaID", 3))
            .with(Tree::new("PeakRSSI").set("PeakRSSI", -61))
            .with(Tree::new("ChannelIndex").set("ChannelIndex", 12))
            .with(Tree::new("FirstSeenTimestampUTC").set("Microseconds", 1_000_u64))
            .with(Tree::new("LastSeenTimestampUTC").set("Microseconds", 2_000_u64))
            .with(Tree::new("TagSeenCount").set("TagCount", 9))
            .with(Tree::new("C1G2_PC").set("PC_Bits", 0x3000))
            .with(Tree::custom(IMPINJ, 56, &[0x08, 0x00]))
            .with(Tree::custom(IMPINJ, 57, &(-6_125_i16).to_be_bytes()))
            .with(Tree::custom(1, 1, &[]));
        let stream = message(&Tree::new("RO_ACCESS_REPORT").with(data));
        let mut seen = Vec::new();
        let walked = walk(&stream, |report| seen.push(TagReport { epc: &[], ..*report })).expect("framed");
        assert_eq!(walked, Walked { tags: 1, unknown: 1, messages: 1, malformed: 0 });
        let expected = TagReport {
            epc_bits: 96,
            antenna: Some(3),
            peak_rssi_dbm: Some(-61),
            peak_rssi_cdbm: Some(-6_125),
            phase: Some(2_048),
            channel_index: Some(12),
            first_seen: Some(1_000),
            last_seen: Some(2_000),
            seen_count: Some(9),
            unknown: 1,
            ..TagReport::default()
        };
        assert_eq!(seen, [expected]);
    }

    #[test]
    fn an_unknown_tv_parameter_costs_only_what_follows_it_in_its_report() {
        let mut body = vec![0, 240, 0, 22, 0x8D];
        body.extend([1; 12]);
        body.extend([0x86, 0xC0, 0xFF, 0x81, 0]);
        let first = body.clone();
        body.extend(&first);
        let reports: Vec<_> = Reports::new(&body).map(|report| report.expect("readable")).collect();
        assert_eq!(reports.len(), 2);
        assert_eq!((reports[1].peak_rssi_dbm, reports[1].antenna, reports[1].unknown), (Some(-64), None, 1));
    }

    #[test]
    fn a_malformed_report_ends_its_message() {
        let body = [0, 240, 0, 6, 0x8D, 1, 0, 240, 0, 4];
        let reports: Vec<_> = Reports::new(&body).collect();
        assert_eq!(reports, [Err(Malformed { offset: 4, what: "a parameter within its tag report" })]);
        assert!(matches!(Reports::new(&[0, 240, 0, 4]).next(), Some(Err(_))), "no EPC");
    }

    #[test]
    fn events_are_told_by_kind() {
        let event = |tree: Tree| {
            let data = Tree::new("ReaderEventNotificationData")
                .with(Tree::new("UTCTimestamp").set("Microseconds", 5_u64))
                .with(tree);
            let octets = message(&Tree::new("READER_EVENT_NOTIFICATION").with(data));
            Events::parse(&octets[10..]).expect("well formed")
        };
        let blank = Events { clock: Some(5), ..Events::default() };
        let end = Tree::new("AISpecEvent").set("ROSpecID", 77).set("SpecIndex", 2);
        assert_eq!(event(end), Events { aispec_end: Some((77, 2)), ..blank });
        let gone = Tree::new("AntennaEvent").set("AntennaID", 4);
        assert_eq!(event(gone), Events { antenna: Some((4, false)), ..blank });
        let refused = Tree::new("ConnectionAttemptEvent").set("Status", 2);
        assert_eq!(event(refused), Events { connection: Some(2), ..blank });
    }

    proptest! {
        #[test]
        fn hostile_octets_never_panic(body in prop::collection::vec(any::<u8>(), 0..80)) {
            Reports::new(&body).for_each(drop);
            let data = [&[0, 240, 0, (4 + body.len()) as u8][..], &body].concat();
            Reports::new(&data).for_each(drop);
            let event = [&[0, 246, 0, (4 + body.len()) as u8][..], &body].concat();
            let _ = (Events::parse(&body), Events::parse(&event));
        }
    }
}
