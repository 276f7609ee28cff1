//! The TCP streams in a capture of the network: classic pcap and pcapng, IPv4 and IPv6 over Ethernet, Linux "any",
//! loopback or bare.
//!
//! As tolerant as a tool for captures must be: what isn't TCP of the wanted port is passed over, a cut packet or
//! capture gives what is there. A hole in a stream ends it, for what follows can't be framed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Sender and receiver of one direction of a connection.
type Flow = ((IpAddr, u16), (IpAddr, u16));

/// The streams to and from `port`, each direction by itself, in order of their first packets.
///
/// # Errors
/// The octets are no capture.
pub(super) fn streams(capture: &[u8], port: u16) -> Result<Vec<Vec<u8>>, String> {
    let mut order = Vec::new();
    let mut flows: BTreeMap<Flow, Stream> = BTreeMap::new();
    packets(capture, &mut |link, packet| {
        let Some((flow, segment)) = network(link, packet).and_then(|packet| tcp(&packet)) else { return };
        if flow.0.1 != port && flow.1.1 != port {
            return;
        }
        let stream = flows.entry(flow).or_insert_with(|| {
            order.push(flow);
            Stream::default()
        });
        stream.take(&segment);
    })?;
    Ok(order.iter().filter_map(|flow| flows.remove(flow)).flat_map(Stream::finish).collect())
}

/// Hands on each packet with its link type.
fn packets(capture: &[u8], each: &mut dyn FnMut(u32, &[u8])) -> Result<(), String> {
    match capture {
        [0xA1, 0xB2, 0xC3, 0xD4, ..] | [0xA1, 0xB2, 0x3C, 0x4D, ..] => classic(capture, u32::from_be_bytes, each),
        [0xD4, 0xC3, 0xB2, 0xA1, ..] | [0x4D, 0x3C, 0xB2, 0xA1, ..] => classic(capture, u32::from_le_bytes, each),
        [0x0A, 0x0D, 0x0D, 0x0A, ..] => next_generation(capture, each),
        _ => return Err("the input is no capture: neither pcap nor pcapng".into()),
    }
    Ok(())
}

fn word(octets: &[u8], at: usize, order: fn([u8; 4]) -> u32) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|octets| order(*octets))
}

fn classic(capture: &[u8], order: fn([u8; 4]) -> u32, each: &mut dyn FnMut(u32, &[u8])) {
    let Some(link) = word(capture, 20, order) else { return };
    let mut rest = capture.get(24..).unwrap_or_default();
    while let Some(len) = word(rest, 8, order) {
        let Some(packet) = rest.get(16..).and_then(|rest| rest.get(..len as usize)) else { return };
        each(link & 0xFFFF, packet);
        rest = &rest[16 + packet.len()..];
    }
}

fn next_generation(capture: &[u8], each: &mut dyn FnMut(u32, &[u8])) {
    let mut order: fn([u8; 4]) -> u32 = u32::from_le_bytes;
    let mut links = Vec::new();
    let mut rest = capture;
    while rest.len() >= 12 {
        // A section header: its own octet order holds from here on.
        if rest.starts_with(&[0x0A, 0x0D, 0x0D, 0x0A]) {
            order = if rest[8..12] == [0x1A, 0x2B, 0x3C, 0x4D] { u32::from_be_bytes } else { u32::from_le_bytes };
            links.clear();
        }
        let (Some(kind), Some(len)) = (word(rest, 0, order), word(rest, 4, order)) else { return };
        let Some((block, after)) = rest.split_at_checked((len as usize).max(12)) else { return };
        match kind {
            // Interface description: the link type is the first half-word.
            1 => links.push(
                word(block, 8, order).map_or(
                    0,
                    |word| {
                        if order([0, 0, 0, 1]) == 1 { word >> 16 } else { word & 0xFFFF }
                    },
                ),
            ),
            // Enhanced packet.
            6 => {
                let interface = word(block, 8, order).and_then(|index| links.get(index as usize));
                let packet = word(block, 20, order).and_then(|len| block.get(28..)?.get(..len as usize));
                if let (Some(link), Some(packet)) = (interface, packet) {
                    each(*link, packet);
                }
            }
            _ => {}
        }
        rest = after;
    }
}

struct Packet<'a> {
    from: IpAddr,
    to: IpAddr,
    body: &'a [u8],
}

fn half(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|octets| u16::from_be_bytes(*octets))
}

/// The TCP segment's carrier, by the link types of tcpdump.org.
fn network(link: u32, packet: &[u8]) -> Option<Packet<'_>> {
    let ip = match link {
        0 => packet.get(4..)?,
        1 => {
            let mut at = 12;
            // VLAN tags.
            while matches!(half(packet, at)?, 0x8100 | 0x88A8) {
                at += 4;
            }
            packet.get(at + 2..)?
        }
        12 | 14 | 101 | 228 | 229 => packet,
        113 => packet.get(16..)?,
        276 => packet.get(20..)?,
        _ => return None,
    };
    match ip.first()? >> 4 {
        4 => {
            let (header, len) = (usize::from(ip[0] & 0xF) * 4, usize::from(half(ip, 2)?));
            // Neither fragments nor anything but TCP. A length of 0 is left to the network card: take all.
            if half(ip, 6)? & 0x3FFF != 0 || *ip.get(9)? != 6 {
                return None;
            }
            let address = |at: usize| ip.get(at..)?.first_chunk::<4>().map(|a| IpAddr::V4(Ipv4Addr::from(*a)));
            let end = if len == 0 { ip.len() } else { len.min(ip.len()) };
            Some(Packet { from: address(12)?, to: address(16)?, body: ip.get(header..end)? })
        }
        6 if *ip.get(6)? == 6 => {
            let address = |at: usize| ip.get(at..)?.first_chunk::<16>().map(|a| IpAddr::V6(Ipv6Addr::from(*a)));
            let end = (40 + usize::from(half(ip, 4)?)).min(ip.len());
            Some(Packet { from: address(8)?, to: address(24)?, body: ip.get(40..end)? })
        }
        _ => None,
    }
}

struct Segment<'a> {
    seq: u32,
    opens: bool,
    data: &'a [u8],
}

fn tcp<'a>(packet: &Packet<'a>) -> Option<(Flow, Segment<'a>)> {
    let segment = packet.body;
    let header = usize::from(*segment.get(12)? >> 4) * 4;
    let seq = word(segment, 4, u32::from_be_bytes)?;
    let flow = ((packet.from, half(segment, 0)?), (packet.to, half(segment, 2)?));
    Some((flow, Segment { seq, opens: *segment.get(13)? & 0x02 != 0, data: segment.get(header..)? }))
}

/// One direction of a connection, put together.
#[derive(Default)]
struct Stream {
    /// The number of the octet after the last one in order.
    next: Option<u32>,
    octets: Vec<u8>,
    /// What came before its turn, by distance from the first octet.
    early: BTreeMap<u32, Vec<u8>>,
    first: u32,
    /// Earlier connections between the same ports.
    closed: Vec<Vec<u8>>,
}

impl Stream {
    fn take(&mut self, segment: &Segment<'_>) {
        if segment.opens {
            let start = segment.seq.wrapping_add(1);
            if self.next.is_some_and(|_| start != self.first) {
                self.closed.push(std::mem::take(&mut self.octets));
                self.early.clear();
            }
            if self.next.is_none() || start != self.first {
                (self.first, self.next) = (start, Some(start));
            }
            return;
        }
        if segment.data.is_empty() {
            return;
        }
        if self.next.is_none() {
            // The capture begins in the middle of the connection.
            (self.first, self.next) = (segment.seq, Some(segment.seq));
        }
        if !self.append(segment.seq, segment.data) {
            self.early.entry(segment.seq.wrapping_sub(self.first)).or_insert_with(|| segment.data.to_vec());
            return;
        }
        while let Some((at, data)) = self.early.pop_first() {
            if !self.append(self.first.wrapping_add(at), &data) {
                self.early.insert(at, data);
                return;
            }
        }
    }

    /// Appends what is new of a segment, unless something before it is missing.
    fn append(&mut self, seq: u32, data: &[u8]) -> bool {
        let Some(next) = self.next else { return false };
        // A segment may lie up to half the number space before or after what is expected.
        let ahead = seq.wrapping_sub(next).cast_signed();
        if ahead > 0 {
            return false;
        }
        if let Some(new) = data.get(ahead.unsigned_abs() as usize..) {
            self.octets.extend_from_slice(new);
            self.next = Some(next.wrapping_add(new.len() as u32));
        }
        true
    }

    fn finish(self) -> impl Iterator<Item = Vec<u8>> {
        self.closed.into_iter().chain([self.octets]).filter(|octets| !octets.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ethernet(seq: u32, flags: u8, data: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 12];
        packet.extend([0x81, 0, 0, 1, 0x08, 0]);
        let len = (40 + data.len()) as u16;
        packet.extend([0x45, 0, len.to_be_bytes()[0], len.to_be_bytes()[1], 0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend([10, 0, 0, 30, 10, 0, 0, 1]);
        packet.extend(PORT.to_be_bytes());
        packet.extend(40_000_u16.to_be_bytes());
        packet.extend(seq.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        packet.extend(data);
        packet.extend([0; 3]); // Ethernet's padding is not the stream's.
        packet
    }

    const PORT: u16 = 5084;

    fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut capture = vec![0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
        for packet in packets {
            capture.extend([0; 8]);
            capture.extend((packet.len() as u32).to_le_bytes());
            capture.extend((packet.len() as u32).to_le_bytes());
            capture.extend(packet);
        }
        capture
    }

    fn pcapng(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut capture = Vec::new();
        let mut block = |kind: u32, body: &[u8]| {
            let len = 12 + body.len().next_multiple_of(4);
            capture.extend(kind.to_be_bytes());
            capture.extend((len as u32).to_be_bytes());
            capture.extend(body);
            capture.resize(capture.len().next_multiple_of(4), 0);
            capture.extend((len as u32).to_be_bytes());
        };
        block(0x0A0D_0D0A, &[0x1A, 0x2B, 0x3C, 0x4D, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
        block(1, &[0, 1, 0, 0, 0, 4, 0, 0]);
        for packet in packets {
            let mut body = vec![0; 12];
            body.extend((packet.len() as u32).to_be_bytes());
            body.extend((packet.len() as u32).to_be_bytes());
            body.extend(packet);
            block(6, &body);
        }
        capture
    }

    #[test]
    fn segments_are_put_in_order_once() {
        let start = u32::MAX - 2;
        let packets = [
            ethernet(start.wrapping_sub(1), 0x02, b""),
            ethernet(start.wrapping_add(3), 0x10, b"DEF"),
            ethernet(start, 0x10, b"ABC"),
            ethernet(start, 0x10, b"ABC"),
            ethernet(start.wrapping_add(5), 0x10, b"FGH"),
            ethernet(start.wrapping_add(9), 0x10, b"lost is what came before"),
            ethernet(7, 0x02, b""),
            ethernet(8, 0x18, b"second"),
        ];
        let expected = Ok(vec![b"ABCDEFGH".to_vec(), b"second".to_vec()]);
        assert_eq!(streams(&pcap(&packets), PORT), expected);
        assert_eq!(streams(&pcapng(&packets), PORT), expected);
        assert_eq!(streams(&pcap(&packets), 80), Ok(Vec::new()));
    }

    #[test]
    fn a_capture_may_begin_in_the_middle() {
        assert_eq!(streams(&pcap(&[ethernet(99, 0x18, b"xyz")]), PORT), Ok(vec![b"xyz".to_vec()]));
    }

    proptest! {
        #[test]
        fn hostile_octets_never_panic(
            start in prop::sample::select(vec![pcap(&[]), pcapng(&[]), vec![]]),
            octets in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = streams(&[start, octets].concat(), PORT);
        }

        #[test]
        fn hostile_packets_never_panic(link in prop::sample::select(vec![0_u32, 1, 101, 113, 276]), packet in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = network(link, &packet).and_then(|packet| tcp(&packet).map(|(flow, _)| flow));
        }

        #[test]
        fn any_order_of_segments_gives_the_same_stream(order in Just((0..6_u32).collect::<Vec<_>>()).prop_shuffle()) {
            let mut packets = vec![ethernet(99, 0x02, b"")];
            packets.extend(order.iter().map(|i| ethernet(100 + i * 2, 0x10, &[*i as u8, 0xFF])));
            let expected: Vec<u8> = (0..6).flat_map(|i| [i, 0xFF]).collect();
            prop_assert_eq!(streams(&pcap(&packets), PORT), Ok(vec![expected]));
        }
    }
}
