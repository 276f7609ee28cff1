//! Frames: where one begins and ends in the octets of the line, and whether it arrived unharmed.
//!
//! A command is `FF, length, opcode, data, CRC`; a response has a status of two octets after the opcode. The length
//! counts the data only; the CRC covers everything between the header and itself.

use crate::{Opcode, Status};

/// The first octet of every frame. It occurs inside frames too, so it is a hint, not a mark.
pub const HEADER: u8 = 0xFF;

/// Most octets of data in a frame.
pub const DATA_MAX: usize = 255;

/// Octets of a command beside its data.
pub const COMMAND_OVERHEAD: usize = 5;

/// Octets of a response beside its data.
pub const RESPONSE_OVERHEAD: usize = 7;

/// Most octets in a frame.
pub const FRAME_MAX: usize = DATA_MAX + RESPONSE_OVERHEAD;

/// Division by x¹⁶ + x¹² + x⁵ + 1 of each octet followed by sixteen zero bits.
const REMAINDERS: [u16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < table.len() {
        let mut register = (octet as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            register = register << 1 ^ if register & 0x8000 != 0 { 0x1021 } else { 0 };
            bit += 1;
        }
        table[octet] = register;
        octet += 1;
    }
    table
};

/// The frame checksum over `octets` (length octet to last data octet).
///
/// No catalogued CRC-16: polynomial 1021, start FFFF, the message enters at the low end and no zero bits follow it.
pub fn crc(octets: &[u8]) -> u16 {
    octets.iter().fold(0xFFFF, |crc, octet| (crc << 8 | u16::from(*octet)) ^ REMAINDERS[usize::from(crc >> 8)])
}

/// The checksum that a tag sends after PC and EPC (Gen2 2.0.1 §6.3.1.5).
pub fn tag_crc(octets: impl IntoIterator<Item = u8>) -> u16 {
    !octets.into_iter().fold(0xFFFF, |crc: u16, octet| crc << 8 ^ REMAINDERS[usize::from((crc >> 8) as u8 ^ octet)])
}

/// Why octets are not one whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first octet is another.
    #[error("frame begins with {found:02X} instead of FF")]
    Header {
        /// The first octet.
        found: u8,
    },
    /// More or fewer octets than the length octet says.
    #[error("frame has {found} octets, its length octet says {expected}")]
    Length {
        /// Octets there.
        found: usize,
        /// Octets announced; the shortest frame if the length octet is missing.
        expected: usize,
    },
    /// A bit was lost on the line.
    #[error("frame's CRC is {found:04X}, its octets give {computed:04X}")]
    Crc {
        /// CRC in the frame.
        found: u16,
        /// CRC of the frame's octets.
        computed: u16,
    },
}

/// Checks that `octets` are exactly one frame; gives its opcode and what lies between opcode and CRC.
fn check(octets: &[u8], overhead: usize) -> Result<(Opcode, &[u8]), FrameError> {
    let found = octets.len();
    match octets {
        [] => Err(FrameError::Length { found, expected: overhead }),
        [HEADER, length, opcode, body @ .., high, low] if found == usize::from(*length) + overhead => {
            let (crc_found, computed) = (u16::from_be_bytes([*high, *low]), crc(&octets[1..found - 2]));
            if crc_found != computed {
                return Err(FrameError::Crc { found: crc_found, computed });
            }
            Ok((Opcode(*opcode), body))
        }
        [HEADER, rest @ ..] => {
            let data = rest.first().map_or(0, |length| usize::from(*length));
            Err(FrameError::Length { found, expected: data + overhead })
        }
        [other, ..] => Err(FrameError::Header { found: *other }),
    }
}

/// Writes a frame; `None` if the data is longer than [`DATA_MAX`] or `out` too short.
fn encode<'b>(opcode: Opcode, status: &[u8], data: &[u8], out: &'b mut [u8]) -> Option<&'b [u8]> {
    let total = data.len() + status.len() + COMMAND_OVERHEAD;
    let frame = out.get_mut(..total)?;
    frame[..3].copy_from_slice(&[HEADER, u8::try_from(data.len()).ok()?, opcode.0]);
    frame[3..3 + status.len()].copy_from_slice(status);
    frame[3 + status.len()..total - 2].copy_from_slice(data);
    let crc = crc(&frame[1..total - 2]);
    frame[total - 2..].copy_from_slice(&crc.to_be_bytes());
    Some(frame)
}

/// A frame to the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command<'a> {
    /// What is asked.
    pub opcode: Opcode,
    /// Its arguments, at most [`DATA_MAX`] octets.
    pub data: &'a [u8],
}

impl<'a> Command<'a> {
    /// The command that `octets` are, exactly.
    ///
    /// # Errors
    /// The octets are no whole frame, or it is damaged.
    pub fn decode(octets: &'a [u8]) -> Result<Self, FrameError> {
        check(octets, COMMAND_OVERHEAD).map(|(opcode, data)| Self { opcode, data })
    }

    /// Writes the frame into `out` and gives the part written; `None` if the data is longer than [`DATA_MAX`] or
    /// `out` too short ([`FRAME_MAX`] always does).
    pub fn encode<'b>(&self, out: &'b mut [u8]) -> Option<&'b [u8]> {
        encode(self.opcode, &[], self.data, out)
    }
}

/// A frame from the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// The command's opcode; [`Opcode::READ_MULTIPLE`] in streamed reports.
    pub opcode: Opcode,
    /// How it went.
    pub status: Status,
    /// The result, at most [`DATA_MAX`] octets.
    pub data: &'a [u8],
}

impl<'a> Response<'a> {
    /// The response that `octets` are, exactly.
    ///
    /// # Errors
    /// The octets are no whole frame, or it is damaged.
    pub fn decode(octets: &'a [u8]) -> Result<Self, FrameError> {
        let (opcode, body) = check(octets, RESPONSE_OVERHEAD)?;
        match body {
            [high, low, data @ ..] => Ok(Self { opcode, status: Status(u16::from_be_bytes([*high, *low])), data }),
            _ => Err(FrameError::Length { found: octets.len(), expected: RESPONSE_OVERHEAD }),
        }
    }

    /// Writes the frame into `out` and gives the part written; `None` if the data is longer than [`DATA_MAX`] or
    /// `out` too short ([`FRAME_MAX`] always does).
    pub fn encode<'b>(&self, out: &'b mut [u8]) -> Option<&'b [u8]> {
        encode(self.opcode, &self.status.0.to_be_bytes(), self.data, out)
    }

    /// Whether this is the sign of life that a module sends about once a second while it reads.
    pub fn is_keepalive(&self) -> bool {
        self.opcode == Opcode::READ_MULTIPLE && self.status == Status::NO_TAGS && self.data.is_empty()
    }
}

/// Finds the frames of one direction in a stream of octets, whatever its chunks.
///
/// What is no frame is skipped: an octet that is no header, and the header of a frame whose CRC is wrong (only the
/// header, so that a good frame inside is found). Any chunking gives the same frames. The search waits for octets
/// that a false length announces: after a pause on the line call [`give_up`](Self::give_up).
///
/// Fill, then take frames until there are none, and so on:
/// ```
/// # use stowage_mercury::{Opcode, Splitter};
/// let mut splitter = Splitter::new();
/// let mut octets: &[u8] = &[0x55, 0xFF, 0x00, 0x22, 0x04, 0x00, 0x84, 0xE0];
/// while !octets.is_empty() {
///     splitter.fill(&mut octets);
///     while let Some(response) = splitter.next_response() {
///         assert!(response.is_keepalive());
///     }
/// }
/// assert_eq!(splitter.skipped(), 1);
/// ```
#[derive(Debug, Clone)]
pub struct Splitter {
    buffer: [u8; 2 * FRAME_MAX],
    start: usize,
    end: usize,
    skipped: u64,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new()
    }
}

impl Splitter {
    /// An empty one.
    pub const fn new() -> Self {
        Self { buffer: [0; 2 * FRAME_MAX], start: 0, end: 0, skipped: 0 }
    }

    /// Moves as many octets as fit from the front of `octets` into the buffer: at least one, if the frames before
    /// were taken.
    pub fn fill(&mut self, octets: &mut &[u8]) {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let room = &mut self.buffer[self.end..];
        let (taken, rest) = octets.split_at(room.len().min(octets.len()));
        room[..taken.len()].copy_from_slice(taken);
        self.end += taken.len();
        *octets = rest;
    }

    /// The next whole command in the buffer, on the module's side of the line.
    pub fn next_command(&mut self) -> Option<Command<'_>> {
        self.next_frame(COMMAND_OVERHEAD).and_then(|frame| Command::decode(frame).ok())
    }

    /// The next whole response in the buffer, on the client's side of the line.
    pub fn next_response(&mut self) -> Option<Response<'_>> {
        self.next_frame(RESPONSE_OVERHEAD).and_then(|frame| Response::decode(frame).ok())
    }

    fn next_frame(&mut self, overhead: usize) -> Option<&[u8]> {
        loop {
            let waiting = &self.buffer[self.start..self.end];
            let noise = waiting.iter().position(|octet| *octet == HEADER).unwrap_or(waiting.len());
            self.skip(noise);
            let &[_, length, ..] = &self.buffer[self.start..self.end] else { return None };
            let from = self.start;
            let to = from + usize::from(length) + overhead;
            if to > self.end {
                return None;
            }
            if check(&self.buffer[from..to], overhead).is_ok() {
                self.start = to;
                return Some(&self.buffer[from..to]);
            }
            self.skip(1);
        }
    }

    fn skip(&mut self, octets: usize) {
        self.start += octets;
        self.skipped += octets as u64;
    }

    /// Whether a frame has begun and its end is not there yet.
    pub fn is_waiting(&self) -> bool {
        self.start < self.end
    }

    /// The frame that has begun will never end: skips its header. Take frames again afterwards, one may follow.
    pub fn give_up(&mut self) {
        if self.is_waiting() {
            self.skip(1);
        }
    }

    /// Forgets what waits (a new connection); the count of skipped octets stays.
    pub fn clear(&mut self) {
        self.skip(self.end - self.start);
    }

    /// Octets that belonged to no good frame, since the beginning.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const STOP: [u8; 8] = [0xFF, 0x03, 0x2F, 0x00, 0x00, 0x02, 0x5E, 0x86];

    fn frames(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, u64) {
        let (mut splitter, mut found) = (Splitter::new(), Vec::new());
        for mut chunk in chunks.iter().copied() {
            while !chunk.is_empty() {
                splitter.fill(&mut chunk);
                while let Some(command) = splitter.next_command() {
                    found.push([&[command.opcode.0], command.data].concat());
                }
            }
        }
        (found, splitter.skipped())
    }

    #[test]
    fn a_frame_both_ways() {
        let command = Command { opcode: Opcode::CONTINUOUS, data: &[0, 0, 2] };
        let mut out = [0; FRAME_MAX];
        assert_eq!(command.encode(&mut out), Some(&STOP[..]));
        assert_eq!(Command::decode(&STOP), Ok(command));
        assert_eq!(command.encode(&mut [0; 7]), None);
        assert_eq!(Command { data: &[0; 256], ..command }.encode(&mut [0; 300]), None);
    }

    #[test]
    fn errors_say_what_was_found() {
        assert_eq!(Command::decode(&[]), Err(FrameError::Length { found: 0, expected: 5 }));
        assert_eq!(Command::decode(&[0xFE, 0, 3]), Err(FrameError::Header { found: 0xFE }));
        assert_eq!(Command::decode(&STOP[..7]), Err(FrameError::Length { found: 7, expected: 8 }));
        let damaged = [0xFF, 0x03, 0x2F, 0x00, 0x00, 0x03, 0x5E, 0x86];
        assert_eq!(Command::decode(&damaged), Err(FrameError::Crc { found: 0x5E86, computed: 0x5E87 }));
        assert!(Response::decode(&[0xFF, 0, 0x22, 0, 0]).is_err());
    }

    #[test]
    fn noise_costs_only_itself() {
        let stop: &[u8] = &[0x2F, 0, 0, 2];
        assert_eq!(frames(&[&[0x00, 0x55], &STOP, &[0x7E], &STOP]), (std::vec![stop.to_vec(); 2], 3));
        // A header whose length covers the good frame behind it: found as soon as the announced octets are there.
        let found = frames(&[&[0xFF, 0x05], &STOP, &STOP]).0;
        assert_eq!(found, std::vec![stop.to_vec(); 2]);
    }

    #[test]
    fn a_false_length_waits_until_given_up() {
        let mut splitter = Splitter::new();
        splitter.fill(&mut &[&[0xFF, 0xFF][..], &STOP].concat()[..]);
        assert_eq!(splitter.next_command(), None);
        assert!(splitter.is_waiting());
        splitter.give_up(); // FF FF is gone, FF of the second header announces 255 again
        assert_eq!(splitter.next_command(), None);
        splitter.give_up();
        assert_eq!(splitter.next_command().map(|command| command.opcode), Some(Opcode::CONTINUOUS));
        assert!(!splitter.is_waiting());
    }

    proptest! {
        #[test]
        fn any_frame_survives_the_round_trip(opcode: u8, status: u16, data in prop::collection::vec(any::<u8>(), 0..=255)) {
            let mut out = [0; FRAME_MAX];
            let response = Response { opcode: Opcode(opcode), status: Status(status), data: &data };
            prop_assert_eq!(Response::decode(response.encode(&mut out).expect("fits")), Ok(response));
        }

        #[test]
        fn any_chunking_gives_the_same_frames(
            parts in prop::collection::vec((prop::collection::vec(prop_oneof![Just(0xFF), any::<u8>()], 0..8), any::<bool>()), 0..60),
            cuts in prop::collection::vec(1_usize..40, 1..30),
        ) {
            let stream: Vec<u8> =
                parts.iter().flat_map(|(noise, good)| [&noise[..], if *good { &STOP } else { &[] }].concat()).collect();
            let (mut chunks, mut rest, mut cut) = (Vec::new(), &stream[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at((*cut.next().expect("cycles")).min(rest.len()));
                chunks.push(chunk);
                rest = behind;
            }
            prop_assert_eq!(frames(&chunks), frames(&[&stream]));
        }

        #[test]
        fn one_wrong_bit_is_always_noticed(opcode: u8, data in prop::collection::vec(any::<u8>(), 0..64), bit in 8_usize..560) {
            let mut out = [0; FRAME_MAX];
            let len = Command { opcode: Opcode(opcode), data: &data }.encode(&mut out).expect("fits").len();
            let bit = 8 + (bit - 8) % (8 * (len - 1));
            out[bit / 8] ^= 0x80 >> (bit % 8);
            prop_assert!(Command::decode(&out[..len]).is_err());
        }
    }
}
