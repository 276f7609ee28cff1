//! Framing: finds frames in an octet stream that may lose, tear, flip or repeat octets.
//!
//! On the wire a frame is COBS(content, CRC-32 of the content, least octet first), then a zero octet. COBS removes
//! zeros, so whatever noise did, the next zero octet starts afresh. The CRC is that of IEEE 802.3: it tells noise
//! from forgery, so that a bad line never looks like an attack (what a content means is sealed besides).

use heapless::Vec;

/// Most octets of a frame on the wire, its closing zero counted.
pub const WIRE_LEN_MAX: usize = 256;

/// Most octets inside a frame: what COBS can hold in one block, less the CRC.
pub(crate) const CONTENT_LEN_MAX: usize = WIRE_LEN_MAX - 2 - CRC_LEN;

const CRC_LEN: usize = 4;

/// The content of one frame.
pub(crate) type Content = Vec<u8, CONTENT_LEN_MAX>;

/// A frame as it goes out.
pub(crate) type Wire = Vec<u8, WIRE_LEN_MAX>;

/// The frame of `content`.
pub(crate) fn encode(content: &Content) -> Wire {
    let mut wire = Wire::new();
    let mut code_at = 0;
    // At most CONTENT_LEN_MAX + CRC_LEN octets and two more: the pushes fit, and no run is longer than a code says.
    let _ = wire.push(0);
    for &octet in content.iter().chain(&crc(content).to_le_bytes()) {
        if octet == 0 {
            wire[code_at] = (wire.len() - code_at) as u8;
            code_at = wire.len();
        }
        let _ = wire.push(octet);
    }
    wire[code_at] = (wire.len() - code_at) as u8;
    let _ = wire.push(0);
    wire
}

/// Collects octets until a zero, then checks what it has.
#[derive(Default)]
pub(crate) struct Deframer {
    raw: Vec<u8, { WIRE_LEN_MAX - 1 }>,
    overrun: bool,
}

/// What came before a zero octet is no frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Noise;

impl Deframer {
    /// Takes one octet; at a zero that ends something, says what it was.
    pub(crate) fn push(&mut self, octet: u8) -> Option<Result<Content, Noise>> {
        if octet != 0 {
            self.overrun |= self.raw.push(octet).is_err();
            return None;
        }
        let frame = if self.overrun { Err(Noise) } else { decode(&self.raw).ok_or(Noise) };
        let idle = self.raw.is_empty();
        *self = Self::default();
        (!idle).then_some(frame)
    }
}

/// The content in `raw`, which has no zeros.
fn decode(raw: &[u8]) -> Option<Content> {
    let mut checked: Vec<u8, { CONTENT_LEN_MAX + CRC_LEN }> = Vec::new();
    let mut rest = raw;
    while let Some((&code, tail)) = rest.split_first() {
        let (run, next) = tail.split_at_checked(usize::from(code).checked_sub(1)?)?;
        checked.extend_from_slice(run).ok()?;
        if !next.is_empty() && code != u8::MAX {
            checked.push(0).ok()?;
        }
        rest = next;
    }
    let (content, sum) = checked.split_last_chunk::<CRC_LEN>()?;
    (crc(content).to_le_bytes() == *sum).then(|| Content::from_slice(content).ok())?
}

/// CRC-32 of IEEE 802.3 (reflected, initially and finally inverted).
fn crc(octets: &[u8]) -> u32 {
    !octets.iter().fold(!0, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    fn content(octets: &[u8]) -> Content {
        Content::from_slice(octets).expect("short")
    }

    #[test]
    fn crc_has_the_published_check_value() {
        assert_eq!(crc(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_frame_looks_like_this() {
        assert_eq!(encode(&content(&[0x11, 0x00, 0x22]))[..], [2, 0x11, 6, 0x22, 0xB1, 0x51, 0xC5, 0x37, 0]);
    }

    #[test]
    fn the_longest_frame_fits_the_wire() {
        for fill in [0, 1, 255] {
            assert!(encode(&content(&[fill; CONTENT_LEN_MAX])).len() <= WIRE_LEN_MAX);
        }
    }

    #[test]
    fn silence_is_not_noise() {
        let mut deframer = Deframer::default();
        assert_eq!(deframer.push(0), None);
        assert_eq!(deframer.push(0), None);
    }

    proptest! {
        #[test]
        fn round_trip(octets in prop::collection::vec(any::<u8>(), 0..=CONTENT_LEN_MAX)) {
            let wire = encode(&content(&octets));
            let (last, body) = wire.split_last().expect("never empty");
            prop_assert!(*last == 0 && !body.contains(&0));
            let mut deframer = Deframer::default();
            let found: std::vec::Vec<_> = wire.iter().filter_map(|octet| deframer.push(*octet)).collect();
            prop_assert_eq!(found, [Ok(content(&octets))]);
        }

        #[test]
        fn after_any_noise_the_next_zero_starts_afresh(
            noise in prop::collection::vec(any::<u8>(), 0..600),
            octets in prop::collection::vec(any::<u8>(), 0..=CONTENT_LEN_MAX),
        ) {
            let mut deframer = Deframer::default();
            for octet in noise.iter().chain(&[0]) {
                let _ = deframer.push(*octet);
            }
            let wire = encode(&content(&octets));
            prop_assert_eq!(wire.iter().find_map(|octet| deframer.push(*octet)), Some(Ok(content(&octets))));
        }

        #[test]
        fn a_flipped_bit_is_noise(
            octets in prop::collection::vec(any::<u8>(), 1..=CONTENT_LEN_MAX), at in any::<prop::sample::Index>(), bit in 0..8_u8,
        ) {
            let mut wire = encode(&content(&octets));
            let at = at.index(wire.len());
            wire[at] ^= 1 << bit;
            let mut deframer = Deframer::default();
            for octet in wire.iter().chain(&[0]) {
                prop_assert!(!matches!(deframer.push(*octet), Some(Ok(_))));
            }
        }
    }
}
