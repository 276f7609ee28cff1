//! PDUs on a serial line: unit, PDU, checksum, low octet first (V1.02 §2.5.1).
//!
//! A frame ends by 3.5 characters of silence. A program behind an operating system can't time that: octets come in
//! bursts, up to 16 ms late from some USB adapters. So a frame's end is where its function code and counts say; silence
//! only tells that what came before it is not part of what comes after.

use super::pdu::{EXCEPTION_BIT, PDU_MAX, function};
use stowage_base::Duration;

/// Most octets in a frame.
pub const FRAME_MAX: usize = PDU_MAX + 3;

/// A serial line's speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serial {
    /// Bits per second, at least 1.
    pub baud: u32,
    /// Bits of a character: start, 8 of data, parity, stop. 11 by the standard, 10 without parity and with one stop bit.
    pub bits: u8,
}

impl Serial {
    /// How long so many octets are on the line.
    pub fn octets(self, count: usize) -> Duration {
        let bits = i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(i64::from(self.bits));
        Duration::from_micros(bits.saturating_mul(1_000_000).div_euclid(i64::from(self.baud.max(1))))
    }

    /// The silence between frames: 3.5 characters, 1.75 ms from 19,200 Bd on (V1.02 §2.5.1.1).
    pub fn gap(self) -> Duration {
        if self.baud > 19_200 {
            return Duration::from_micros(1_750);
        }
        Duration::from_micros(self.octets(7).micros() / 2)
    }
}

/// CRC-16/MODBUS.
pub fn crc(octets: &[u8]) -> u16 {
    octets.iter().fold(0xFFFF, |crc, octet| {
        (0..8).fold(crc ^ u16::from(*octet), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 })
    })
}

/// A frame of `unit`, whose PDU `pdu` appends.
pub fn frame(unit: u8, pdu: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = vec![unit];
    pdu(&mut frame);
    frame.extend(crc(&frame).to_le_bytes());
    frame
}

/// Unit and PDU of a whole frame; `None` if it is too short or its checksum is wrong.
pub fn open(frame: &[u8]) -> Option<(u8, &[u8])> {
    let (body, check) = frame.split_last_chunk()?;
    let (unit, pdu) = body.split_first()?;
    (!pdu.is_empty() && frame.len() <= FRAME_MAX && crc(body).to_le_bytes() == *check).then_some((*unit, pdu))
}

/// How long the frame is that begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many octets.
    Known(usize),
    /// The octets so far don't tell yet.
    More,
    /// Its function code doesn't tell: only silence does.
    Unknown,
}

/// The length of the request that begins with `octets`.
pub fn request_length(octets: &[u8]) -> Length {
    let counted = |at: usize| octets.get(at).map_or(Length::More, |count| Length::Known(at + 3 + usize::from(*count)));
    match octets.get(1) {
        None => Length::More,
        Some(&(function::READ_COILS..=function::WRITE_SINGLE_REGISTER)) => Length::Known(8),
        Some(&(function::WRITE_MULTIPLE_COILS | function::WRITE_MULTIPLE_REGISTERS)) => counted(6),
        Some(&function::MASK_WRITE_REGISTER) => Length::Known(10),
        Some(&function::READ_WRITE_MULTIPLE_REGISTERS) => counted(10),
        Some(_) => Length::Unknown,
    }
}

/// The length of the answer that begins with `octets`.
pub fn answer_length(octets: &[u8]) -> Length {
    match octets.get(1) {
        None => Length::More,
        Some(code) if code & EXCEPTION_BIT != 0 => Length::Known(5),
        Some(&(function::READ_COILS..=function::READ_INPUT_REGISTERS | function::READ_WRITE_MULTIPLE_REGISTERS)) => {
            octets.get(2).map_or(Length::More, |count| Length::Known(5 + usize::from(*count)))
        }
        Some(
            &(function::WRITE_SINGLE_COIL
            | function::WRITE_SINGLE_REGISTER
            | function::WRITE_MULTIPLE_COILS
            | function::WRITE_MULTIPLE_REGISTERS),
        ) => Length::Known(8),
        Some(&function::MASK_WRITE_REGISTER) => Length::Known(10),
        Some(_) => Length::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::pdu::tests::{request, response};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_is_the_standards() {
        assert_eq!(crc(b"123456789"), 0x4B37);
        // V1.02 appendix B: unit 2, function 7 has checksum 0x1241, sent as 41 12.
        assert_eq!(frame(2, |out| out.push(7)), [2, 7, 0x41, 0x12]);
        assert_eq!(open(&[2, 7, 0x41, 0x12]), Some((2, &[7][..])));
        assert_eq!(open(&[2, 7, 0x12, 0x41]), None, "high octet first");
        assert_eq!(open(&[2, 0x41, 0x12]), None);
    }

    #[test]
    fn silence_is_three_and_a_half_characters_or_1750_us() {
        let gap = |baud| Serial { baud, bits: 11 }.gap().micros();
        assert_eq!((gap(9_600), gap(19_200), gap(38_400), gap(115_200)), (4_010, 2_005, 1_750, 1_750));
        assert_eq!(Serial { baud: 9_600, bits: 10 }.octets(96).millis(), 100);
    }

    proptest! {
        #[test]
        fn lengths_are_known_from_the_front_of_a_frame(request in request(), seed: u16, unit: u8) {
            let asked = frame(unit, |out| request.encode(out));
            prop_assert_eq!(request_length(&asked), Length::Known(asked.len()));
            let answered = frame(unit, |out| response(&request, seed).encode(out));
            prop_assert_eq!(answer_length(&answered), Length::Known(answered.len()));
            for cut in 0..asked.len() {
                prop_assert!(matches!(request_length(&asked[..cut]), Length::More | Length::Known(_)));
                prop_assert!(!matches!(request_length(&asked[..cut]), Length::Known(short) if short <= cut));
            }
            prop_assert_eq!(open(&asked).map(|(of, _)| of), Some(unit));
        }

        #[test]
        fn one_wrong_bit_is_noticed(request in request(), bit in any::<proptest::sample::Index>()) {
            let mut octets = frame(1, |out| request.encode(out));
            let bit = bit.index(8 * octets.len());
            octets[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(open(&octets), None);
        }
    }
}
