//! The hot path: walks tag reports and events where they lie, without allocation.
//!
//! What isn't known is skipped by its length and counted. A tag report names its antenna, channel and times only if
//! the ROSpec's TagReportContentSelector asks for them, so anything but the EPC may be absent. Since it asks for the same
//! each time, reports look alike: [`Layouts`] remembers where the fields of the last ones lay, and a report is walked
//! through only if one of the octets that make up its layout is another.

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
    let (mut walked, mut layouts) = (Walked::default(), Layouts::default());
    while let Some((frame, rest)) = Frame::split(stream)? {
        stream = rest;
        walked.messages += 1;
        if frame.kind == kind::RO_ACCESS_REPORT {
            let mut reports = Reports::new(frame.body, &mut layouts);
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
#[derive(Debug)]
pub struct Reports<'a, 'l> {
    parameters: Parameters<'a>,
    layouts: &'l mut Layouts,
    /// Parameters beside the tag reports that were skipped so far.
    pub unknown: u32,
}

impl<'a, 'l> Reports<'a, 'l> {
    /// Over the `body` of an RO_ACCESS_REPORT; `layouts` is best kept from one to the next.
    #[inline]
    pub fn new(body: &'a [u8], layouts: &'l mut Layouts) -> Self {
        Self { parameters: Parameters { octets: body, offset: 0 }, layouts, unknown: 0 }
    }
}

impl<'a> Iterator for Reports<'a, '_> {
    type Item = Result<TagReport<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let parameter = match self.parameters.next()? {
                Ok(parameter) => parameter,
                Err(malformed) => return Some(Err(malformed)),
            };
            if parameter.kind != TAG_REPORT_DATA {
                self.unknown += 1;
                continue;
            }
            let layout = match self.layouts.of(&parameter) {
                Ok(layout) => layout,
                Err(malformed) => {
                    self.parameters.octets = &[];
                    return Some(Err(malformed));
                }
            };
            return Some(Ok(layout.read(parameter.body)));
        }
    }
}

const TAG_REPORT_DATA: u16 = 240;
const EPC_DATA: u16 = 241;
const CUSTOM: u16 = 1023;

/// Longest report whose layout is remembered; with everything that a reader can be asked for they have about 110
/// octets.
const REMEMBERED_MAX: usize = 128;

/// How many layouts are remembered: a site has tags of a few lengths.
const LAYOUTS: usize = 4;

/// The layouts of the last tag reports.
#[derive(Debug, Clone)]
pub struct Layouts {
    known: [Layout; LAYOUTS],
    /// The place of the one that fitted last.
    last: usize,
    /// The place of the one that was learnt last.
    learnt: usize,
}

impl Default for Layouts {
    fn default() -> Self {
        Self { known: [const { Layout::NONE }; LAYOUTS], last: 0, learnt: 0 }
    }
}

impl Layouts {
    /// The layout of a TagReportData.
    #[inline]
    fn of(&mut self, data: &Parameter<'_>) -> Result<&Layout, Malformed> {
        if !self.known[self.last].fits(data.body) {
            self.last = match self.known.iter().position(|layout| layout.fits(data.body)) {
                Some(place) => place,
                None => self.learn(data)?,
            };
        }
        Ok(&self.known[self.last])
    }

    #[cold]
    fn learn(&mut self, data: &Parameter<'_>) -> Result<usize, Malformed> {
        let place = (self.learnt + 1) % LAYOUTS;
        self.known[place] = Layout::learn(data)?;
        self.learnt = place;
        Ok(place)
    }
}

/// Where the fields of a tag report lie, from the first octet of its body; 0 for one that it hasn't, for the first octet
/// is always a parameter's type.
#[derive(Debug, Clone)]
struct Layout {
    /// Octets of the report. One that is too long is read by this layout once, and fits none.
    len: usize,
    /// The octets that make up the layout: types, lengths, vendors.
    pattern: [u8; REMEMBERED_MAX],
    /// All ones for each of them.
    mask: [u8; REMEMBERED_MAX],
    epc: (usize, usize),
    epc_bits: u16,
    rospec_id: usize,
    spec_index: usize,
    antenna: usize,
    peak_rssi: usize,
    fine_rssi: usize,
    phase: usize,
    channel: usize,
    first_seen: usize,
    last_seen: usize,
    seen_count: usize,
    unknown: u16,
}

impl Layout {
    const NONE: Self = Self {
        len: 0,
        pattern: [0; REMEMBERED_MAX],
        mask: [0; REMEMBERED_MAX],
        epc: (0, 0),
        epc_bits: 0,
        rospec_id: 0,
        spec_index: 0,
        antenna: 0,
        peak_rssi: 0,
        fine_rssi: 0,
        phase: 0,
        channel: 0,
        first_seen: 0,
        last_seen: 0,
        seen_count: 0,
        unknown: 0,
    };

    /// Whether a report is laid out so.
    #[inline]
    fn fits(&self, report: &[u8]) -> bool {
        let len = report.len();
        // Shorter than an EPC-96 alone is no report.
        if len != self.len || !(8..=REMEMBERED_MAX).contains(&len) {
            return false;
        }
        let word = |octets: &[u8]| octets.first_chunk().map_or(0, |octets| u64::from_ne_bytes(*octets));
        let differs = |at: usize| (word(&report[at..]) ^ word(&self.pattern[at..])) & word(&self.mask[at..]);
        // The last word overlaps the one before it.
        let words = (0..len / 8).fold(0, |differing, at| differing | differs(8 * at));
        words | differs(len - 8) == 0
    }

    /// Walks through a TagReportData. TV parameters are nearly all there is in one.
    fn learn(data: &Parameter<'_>) -> Result<Self, Malformed> {
        let mut layout = Self { len: data.body.len(), ..Self::NONE };
        let (report, mut at, mut epcs) = (data.body, 0, 0);
        // Where the layout can't be known from here on, it is not remembered.
        let mut whole = report.len() <= REMEMBERED_MAX;
        while let Some(first) = report.get(at) {
            let short = Malformed { offset: data.offset + at, what: "a parameter within its tag report" };
            if first & 0x80 == 0 {
                let rest = Parameters { octets: &report[at..], offset: data.offset + at }.next();
                let Some(parameter) = rest else { break };
                let Parameter { kind, body, .. } = parameter?;
                layout.mark(report, at, 4);
                let inner = at + 4;
                match kind {
                    EPC_DATA => {
                        layout.mark(report, inner, 2);
                        layout.epc_bits = u16(body).ok_or(short)?;
                        let len = usize::from(layout.epc_bits).div_ceil(8);
                        if body.len() < 2 + len {
                            return Err(short);
                        }
                        layout.epc = (inner + 2, len);
                        epcs += 1;
                    }
                    CUSTOM => {
                        layout.mark(report, inner, body.len().min(8));
                        layout.custom(body, inner);
                    }
                    // Results of access operations: whoever waits for one looks at the whole message.
                    349..=354 | 360..=362 => {}
                    // Whatever else there is, is newer.
                    _ => layout.unknown = layout.unknown.saturating_add(1),
                }
                at = inner + body.len();
                continue;
            }
            layout.mark(report, at, 1);
            let value = at + 1;
            let (place, len) = match first & 0x7F {
                1 => (Some(&mut layout.antenna), 2),
                2 | 3 => (Some(&mut layout.first_seen), 8),
                4 | 5 => (Some(&mut layout.last_seen), 8),
                6 => (Some(&mut layout.peak_rssi), 1),
                7 => (Some(&mut layout.channel), 2),
                8 => (Some(&mut layout.seen_count), 2),
                9 => (Some(&mut layout.rospec_id), 4),
                13 => {
                    (layout.epc, layout.epc_bits) = ((value, 12), 96);
                    epcs += 1;
                    (None, 12)
                }
                14 => (Some(&mut layout.spec_index), 2),
                // Inventory parameter spec, CRC, PC, operation ids, XPC: known, and not needed.
                10 | 11 | 12 | 15 | 17 | 19 | 20 => (None, 2),
                16 | 18 => (None, 4),
                // Its length can't be known, so what follows in this report can't be found.
                _ => {
                    layout.unknown = layout.unknown.saturating_add(1);
                    whole = false;
                    break;
                }
            };
            if let Some(place) = place {
                *place = value;
            }
            at = value + len;
            if at > report.len() {
                return Err(short);
            }
        }
        if epcs != 1 {
            return Err(Malformed { offset: data.offset, what: "one EPC in a tag report" });
        }
        if !whole {
            layout.len = 0;
        }
        Ok(layout)
    }

    /// Notes that `count` octets from `at` on make up the layout.
    fn mark(&mut self, report: &[u8], at: usize, count: usize) {
        let range = at..at + count;
        if let (Some(pattern), Some(mask), Some(octets)) =
            (self.pattern.get_mut(range.clone()), self.mask.get_mut(range.clone()), report.get(range))
        {
            pattern.copy_from_slice(octets);
            mask.fill(0xFF);
        }
    }

    /// A vendor's parameter whose `body` lies at `at`.
    fn custom(&mut self, body: &[u8], at: usize) {
        let words = body.first_chunk::<4>().zip(body.get(4..).and_then(<[u8]>::first_chunk::<4>));
        let known = words.map(|(vendor, subtype)| (u32::from_be_bytes(*vendor), u32::from_be_bytes(*subtype)));
        match known.filter(|_| body.len() >= 10) {
            Some((IMPINJ, 56)) => self.phase = at + 8,
            Some((IMPINJ, 57)) => self.fine_rssi = at + 8,
            _ => self.unknown = self.unknown.saturating_add(1),
        }
    }

    /// The fields of a report that is laid out so.
    #[inline]
    fn read<'a>(&self, report: &'a [u8]) -> TagReport<'a> {
        let at = |place: usize| if place == 0 { None } else { report.get(place..) };
        TagReport {
            epc: report.get(self.epc.0..self.epc.0 + self.epc.1).unwrap_or_default(),
            epc_bits: self.epc_bits,
            rospec_id: at(self.rospec_id).and_then(|octets| octets.first_chunk()).map(|id| u32::from_be_bytes(*id)),
            spec_index: at(self.spec_index).and_then(u16),
            antenna: at(self.antenna).and_then(u16),
            peak_rssi_dbm: at(self.peak_rssi).and_then(|octets| octets.first()).map(|dbm| *dbm as i8),
            peak_rssi_cdbm: at(self.fine_rssi).and_then(u16).map(|cdbm| cdbm as i16),
            phase: at(self.phase).and_then(u16).map(|phase| phase & 0x0FFF),
            channel_index: at(self.channel).and_then(u16),
            first_seen: at(self.first_seen).and_then(u64),
            last_seen: at(self.last_seen).and_then(u64),
            seen_count: at(self.seen_count).and_then(u16),
            unknown: self.unknown,
        }
    }
}

#[inline]
fn u16(octets: &[u8]) -> Option<u16> {
    octets.first_chunk().map(|octets| u16::from_be_bytes(*octets))
}

#[inline]
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

    #[inline]
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
        let reports: Vec<_> =
            Reports::new(&body, &mut Layouts::default()).map(|report| report.expect("readable")).collect();
        assert_eq!(reports.len(), 2);
        assert_eq!((reports[1].peak_rssi_dbm, reports[1].antenna, reports[1].unknown), (Some(-64), None, 1));
    }

    #[test]
    fn a_malformed_report_ends_its_message() {
        let body = [0, 240, 0, 6, 0x8D, 1, 0, 240, 0, 4];
        let reports: Vec<_> = Reports::new(&body, &mut Layouts::default()).collect();
        assert_eq!(reports, [Err(Malformed { offset: 4, what: "a parameter within its tag report" })]);
        assert!(matches!(Reports::new(&[0, 240, 0, 4], &mut Layouts::default()).next(), Some(Err(_))), "no EPC");
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
        fn remembered_layouts_change_nothing(
            kinds in prop::collection::vec(prop::collection::vec(0_usize..14, 0..10), 1..6),
            order in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
            noise in prop::collection::vec(any::<u8>(), 40),
        ) {
            // Reports of a few kinds, each with other values, some cut or with an octet changed.
            let mut body = Vec::new();
            for (nth, index) in order.iter().enumerate() {
                let noise = |at: usize| noise[(at * 7 + nth) % noise.len()];
                let mut report = vec![0x8D];
                report.extend((0..12).map(noise));
                for (at, kind) in index.get(&kinds).iter().enumerate() {
                    let (first, len) = [
                        (0x81, 2), (0x82, 8), (0x84, 8), (0x86, 1), (0x87, 2), (0x88, 2), (0x89, 4), (0x8A, 2),
                        (0x8E, 2), (0x90, 4), (0x91, 2), (0x93, 2), (0, 0), (1, 0),
                    ][*kind];
                    match first {
                        0 => report.extend([3, 0xFF, 0, 14, 0, 0, 0x65, 0x1A, 0, 0, 0, 56 + (noise(at) & 1), 1, noise(at)]),
                        1 => report.extend([noise(at) & 3, noise(at), 0, 6, 1, 2]),
                        first => {
                            report.push(first);
                            report.extend((0..len).map(|octet| noise(at + octet)));
                        }
                    }
                }
                if noise(1) < 40 {
                    let place = usize::from(noise(2)) % report.len();
                    report[place] = noise(3);
                }
                body.extend([0, 240]);
                body.extend(((4 + report.len()) as u16).to_be_bytes());
                body.extend(report);
            }
            let told: Vec<_> = Reports::new(&body, &mut Layouts::default()).collect();
            let parameters = Parameters { octets: &body, offset: 0 };
            let fresh = parameters.map(|data| data.and_then(|data| Ok(Layout::learn(&data)?.read(data.body))));
            let mut walked = Vec::new();
            for report in fresh {
                walked.push(report);
                if report.is_err() {
                    break;
                }
            }
            prop_assert_eq!(told, walked);
        }

        #[test]
        fn hostile_octets_never_panic(body in prop::collection::vec(any::<u8>(), 0..80)) {
            Reports::new(&body, &mut Layouts::default()).for_each(drop);
            let data = [&[0, 240, 0, (4 + body.len()) as u8][..], &body].concat();
            Reports::new(&data, &mut Layouts::default()).for_each(drop);
            let event = [&[0, 246, 0, (4 + body.len()) as u8][..], &body].concat();
            let _ = (Events::parse(&body), Events::parse(&event));
        }
    }
}
