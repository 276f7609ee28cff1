//! Tag records: what a module tells about one tag, in a streamed report or from its buffer.

use crate::frame::tag_crc;
use core::fmt;

/// Which metadata fields come before the EPC of each record; in this order, lowest bit first.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Metadata(pub u16);

impl Metadata {
    /// How often the tag was read: 1 octet.
    pub const READ_COUNT: Self = Self(0x0001);
    /// Signal strength in dBm: 1 octet, signed.
    pub const RSSI: Self = Self(0x0002);
    /// Antenna: 1 octet, transmitting port in the high half, receiving port in the low half.
    pub const ANTENNA: Self = Self(0x0004);
    /// Carrier in kHz: 3 octets.
    pub const FREQUENCY: Self = Self(0x0008);
    /// ms since the read cycle began: 4 octets.
    pub const TIMESTAMP: Self = Self(0x0010);
    /// Phase in degrees, 0 to 180: 2 octets.
    pub const PHASE: Self = Self(0x0020);
    /// Tag protocol: 1 octet.
    pub const PROTOCOL: Self = Self(0x0040);
    /// Result of the embedded tag operation: a bit count of 2 octets, then the data.
    pub const EMBEDDED: Self = Self(0x0080);
    /// Outputs in the low half, inputs in the high half: 1 octet.
    pub const GPIO: Self = Self(0x0100);
    /// Gen2 Q: 1 octet.
    pub const Q: Self = Self(0x0200);
    /// Gen2 link frequency: 1 octet.
    pub const LINK_FREQUENCY: Self = Self(0x0400);
    /// Gen2 target: 1 octet.
    pub const TARGET: Self = Self(0x0800);
    /// Brand identifier of the tag's chip: 2 octets.
    pub const BRAND: Self = Self(0x1000);
    /// All fields whose size is known.
    pub const KNOWN: Self = Self(0x1FFF);

    /// Whether all fields of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The fields of both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({:04X})", self.0)
    }
}

/// How a record tells the length of its EPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EpcLength {
    /// Two octets that count bits of PC, EPC and tag CRC: ThingMagic, and every streamed report.
    #[default]
    Bits,
    /// One octet that counts octets of PC, EPC and tag CRC: tag buffers and asynchronous reports of some Silion
    /// modules.
    Octets,
}

/// What an embedded tag operation gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedded<'a> {
    /// Data, in whole octets; empty if there was no operation.
    Data(&'a [u8]),
    /// The operation failed; the module's status.
    Failed(u16),
}

/// One tag. A field of `None` was not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TagRecord<'a> {
    /// Replies since the last report.
    pub read_count: Option<u8>,
    /// Signal strength in dBm.
    pub rssi_dbm: Option<i8>,
    /// Transmitting and receiving port, both from 1 in four bits; see [`tx_port`](Self::tx_port).
    pub antenna: Option<u8>,
    /// Carrier in kHz.
    pub frequency_khz: Option<u32>,
    /// ms since the read cycle began.
    pub timestamp_ms: Option<u32>,
    /// Phase in degrees, 0 to 180: half a turn can't be told from none.
    pub phase_deg: Option<u16>,
    /// Tag protocol, 5 = Gen2.
    pub protocol: Option<u8>,
    /// Result of the embedded operation.
    pub embedded: Option<Embedded<'a>>,
    /// Outputs in the low half, inputs in the high half.
    pub gpio: Option<u8>,
    /// Gen2 Q.
    pub q: Option<u8>,
    /// Gen2 link frequency, as coded by the module.
    pub link_frequency: Option<u8>,
    /// Gen2 target, as coded by the module.
    pub target: Option<u8>,
    /// Brand identifier of the tag's chip.
    pub brand: Option<u16>,
    /// Protocol control word.
    pub pc: u16,
    /// Extended protocol control words, if the PC has its XI bit: 0, 2 or 4 octets.
    pub xpc: &'a [u8],
    /// The EPC.
    pub epc: &'a [u8],
    /// The tag's own checksum.
    pub tag_crc: u16,
}

/// Why a record makes no sense. Offsets count from the first octet of the frame's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// The data ends inside a field.
    #[error("{field} at offset {offset} needs {needed} octets, {left} are left")]
    Short {
        /// Which field.
        field: &'static str,
        /// Where it begins.
        offset: usize,
        /// Octets that it needs.
        needed: usize,
        /// Octets to the end of the data.
        left: usize,
    },
    /// A metadata flag whose field has no known size.
    #[error("metadata flags {flags:04X} name fields of unknown size, known are 1FFF")]
    Flags {
        /// The flags.
        flags: u16,
    },
    /// The EPC's length leaves no room for PC and CRC, or is no whole number of octets.
    #[error("EPC length at offset {offset} is {bits} bits, must be a multiple of 8, at least 32")]
    EpcLength {
        /// Where the length stands.
        offset: usize,
        /// What it says, in bits.
        bits: usize,
    },
    /// Octets after the last record.
    #[error("{count} octets follow the last record at offset {offset}")]
    Trailing {
        /// Where they begin.
        offset: usize,
        /// How many.
        count: usize,
    },
}

impl TagError {
    /// Where in the frame's data the fault lies.
    pub fn offset(&self) -> usize {
        match *self {
            Self::Short { offset, .. } | Self::EpcLength { offset, .. } | Self::Trailing { offset, .. } => offset,
            Self::Flags { .. } => 0,
        }
    }
}

/// Takes fields off the front of a frame's data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    data: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, offset: 0 }
    }

    pub(crate) fn octets(&mut self, field: &'static str, needed: usize) -> Result<&'a [u8], TagError> {
        let left = &self.data[self.offset..];
        let taken =
            left.get(..needed).ok_or(TagError::Short { field, offset: self.offset, needed, left: left.len() })?;
        self.offset += needed;
        Ok(taken)
    }

    /// A big-endian number of one to four octets.
    fn number(&mut self, field: &'static str, octets: usize) -> Result<u32, TagError> {
        Ok(self.octets(field, octets)?.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)))
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, TagError> {
        Ok(self.number(field, 1)? as u8)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, TagError> {
        Ok(self.number(field, 2)? as u16)
    }
}

impl<'a> TagRecord<'a> {
    fn take(from: &mut Fields<'a>, flags: Metadata, length: EpcLength) -> Result<Self, TagError> {
        let mut tag = Self::default();
        let has = |flag| flags.contains(flag);
        if has(Metadata::READ_COUNT) {
            tag.read_count = Some(from.u8("read count")?);
        }
        if has(Metadata::RSSI) {
            tag.rssi_dbm = Some(from.u8("RSSI")? as i8);
        }
        if has(Metadata::ANTENNA) {
            tag.antenna = Some(from.u8("antenna")?);
        }
        if has(Metadata::FREQUENCY) {
            tag.frequency_khz = Some(from.number("frequency", 3)?);
        }
        if has(Metadata::TIMESTAMP) {
            tag.timestamp_ms = Some(from.number("timestamp", 4)?);
        }
        if has(Metadata::PHASE) {
            tag.phase_deg = Some(from.u16("phase")?);
        }
        if has(Metadata::PROTOCOL) {
            tag.protocol = Some(from.u8("protocol")?);
        }
        if has(Metadata::EMBEDDED) {
            tag.embedded = Some(match from.u16("embedded data length")? {
                0x8000 => Embedded::Failed(from.u16("embedded error")?),
                bits => Embedded::Data(from.octets("embedded data", usize::from(bits).div_ceil(8))?),
            });
        }
        if has(Metadata::GPIO) {
            tag.gpio = Some(from.u8("GPIO")?);
        }
        if has(Metadata::Q) {
            tag.q = Some(from.u8("Q")?);
        }
        if has(Metadata::LINK_FREQUENCY) {
            tag.link_frequency = Some(from.u8("link frequency")?);
        }
        if has(Metadata::TARGET) {
            tag.target = Some(from.u8("target")?);
        }
        if has(Metadata::BRAND) {
            tag.brand = Some(from.u16("brand")?);
        }
        let offset = from.offset;
        let bits = match length {
            EpcLength::Bits => usize::from(from.u16("EPC length")?),
            EpcLength::Octets => usize::from(from.u8("EPC length")?) * 8,
        };
        if bits < 32 || bits % 8 != 0 {
            return Err(TagError::EpcLength { offset, bits });
        }
        let mut body = Fields { data: &from.data[..from.offset], offset: from.offset };
        from.octets("EPC", bits / 8)?;
        body.data = &from.data[..from.offset];
        tag.pc = body.u16("PC")?;
        // XI announces a first word; XEB, its top bit, a second (Gen2 2.0.1 §6.3.2.1.2.5).
        let words = match (tag.pc & 0x0200, body.data.get(body.offset)) {
            (0, _) => 0,
            (_, Some(0x80..)) => 2,
            _ => 1,
        };
        tag.xpc = body.octets("XPC", 2 * words)?;
        let epc = (from.offset - body.offset).checked_sub(2).ok_or(TagError::EpcLength { offset, bits })?;
        tag.epc = body.octets("EPC", epc)?;
        tag.tag_crc = body.u16("tag CRC")?;
        Ok(tag)
    }

    /// A record of `epc` with the PC and CRC that a Gen2 tag would send, and no metadata.
    pub fn of_epc(epc: &'a [u8]) -> Self {
        let pc = (epc.len().div_ceil(2) as u16) << 11;
        let tag_crc = tag_crc(pc.to_be_bytes().into_iter().chain(epc.iter().copied()));
        Self { pc, epc, tag_crc, ..Self::default() }
    }

    /// The transmitting antenna port, 1 to 16: the four bits wrap, so 0 is port 16.
    pub fn tx_port(&self) -> Option<u8> {
        self.antenna.map(|ports| if ports >> 4 == 0 { 16 } else { ports >> 4 })
    }

    /// Writes the record with exactly the fields of `flags` (zero where it has none) and the EPC's length in bits;
    /// gives the octets written, `None` if `out` is too short.
    pub fn encode(&self, flags: Metadata, out: &mut [u8]) -> Option<usize> {
        let mut at = 0;
        let mut put = |octets: &[u8]| {
            out.get_mut(at..at + octets.len())?.copy_from_slice(octets);
            at += octets.len();
            Some(())
        };
        let octet = |value: Option<u8>| [value.unwrap_or(0)];
        let has = |flag| flags.contains(flag);
        if has(Metadata::READ_COUNT) {
            put(&octet(self.read_count))?;
        }
        if has(Metadata::RSSI) {
            put(&octet(self.rssi_dbm.map(|dbm| dbm as u8)))?;
        }
        if has(Metadata::ANTENNA) {
            put(&octet(self.antenna))?;
        }
        if has(Metadata::FREQUENCY) {
            put(&self.frequency_khz.unwrap_or(0).to_be_bytes()[1..])?;
        }
        if has(Metadata::TIMESTAMP) {
            put(&self.timestamp_ms.unwrap_or(0).to_be_bytes())?;
        }
        if has(Metadata::PHASE) {
            put(&self.phase_deg.unwrap_or(0).to_be_bytes())?;
        }
        if has(Metadata::PROTOCOL) {
            put(&octet(self.protocol))?;
        }
        if has(Metadata::EMBEDDED) {
            match self.embedded.unwrap_or(Embedded::Data(&[])) {
                Embedded::Data(data) => {
                    put(&u16::try_from(data.len() * 8).ok()?.to_be_bytes())?;
                    put(data)?;
                }
                Embedded::Failed(status) => {
                    put(&0x8000_u16.to_be_bytes())?;
                    put(&status.to_be_bytes())?;
                }
            }
        }
        for (flag, value) in [
            (Metadata::GPIO, self.gpio),
            (Metadata::Q, self.q),
            (Metadata::LINK_FREQUENCY, self.link_frequency),
            (Metadata::TARGET, self.target),
        ] {
            if has(flag) {
                put(&octet(value))?;
            }
        }
        if has(Metadata::BRAND) {
            put(&self.brand.unwrap_or(0).to_be_bytes())?;
        }
        put(&u16::try_from((4 + self.xpc.len() + self.epc.len()) * 8).ok()?.to_be_bytes())?;
        put(&self.pc.to_be_bytes())?;
        put(self.xpc)?;
        put(self.epc)?;
        put(&self.tag_crc.to_be_bytes())?;
        Some(at)
    }
}

/// The tag records in a frame's data, one after the other. After an error nothing follows.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    fields: Fields<'a>,
    flags: Metadata,
    length: EpcLength,
    left: u8,
}

impl<'a> Records<'a> {
    pub(crate) const NONE: Self =
        Self { fields: Fields { data: &[], offset: 0 }, flags: Metadata(0), length: EpcLength::Bits, left: 0 };

    /// The records of a streamed report ([`crate::Opcode::READ_MULTIPLE`]): read option, search flags, metadata
    /// flags and count stand before them.
    ///
    /// # Errors
    /// The data is shorter than these, or a flag has no known size.
    pub fn streamed(data: &'a [u8]) -> Result<Self, TagError> {
        let mut fields = Fields::new(data);
        fields.u8("read option")?;
        fields.u16("search flags")?;
        let flags = Metadata(fields.u16("metadata flags")?);
        Self::counted(fields, flags, EpcLength::Bits)
    }

    /// The records of a tag buffer ([`crate::Opcode::TAG_BUFFER`]): metadata flags, read option and count stand
    /// before them.
    ///
    /// # Errors
    /// The data is shorter than these, or a flag has no known size.
    pub fn buffered(data: &'a [u8], length: EpcLength) -> Result<Self, TagError> {
        let mut fields = Fields::new(data);
        let flags = Metadata(fields.u16("metadata flags")?);
        fields.u8("read option")?;
        Self::counted(fields, flags, length)
    }

    /// The one record of a Silion module's asynchronous report ([`crate::Opcode::SILION`]): metadata flags stand before
    /// it.
    ///
    /// # Errors
    /// The data is shorter than these, or a flag has no known size.
    pub fn asynchronous(data: &'a [u8], length: EpcLength) -> Result<Self, TagError> {
        let mut fields = Fields::new(data);
        let flags = Metadata(fields.u16("metadata flags")?);
        if !Metadata::KNOWN.contains(flags) {
            return Err(TagError::Flags { flags: flags.0 });
        }
        Ok(Self { fields, flags, length, left: 1 })
    }

    fn counted(mut fields: Fields<'a>, flags: Metadata, length: EpcLength) -> Result<Self, TagError> {
        let left = fields.u8("tag count")?;
        if !Metadata::KNOWN.contains(flags) {
            return Err(TagError::Flags { flags: flags.0 });
        }
        Ok(Self { fields, flags, length, left })
    }

    /// Which metadata the records carry.
    pub fn metadata(&self) -> Metadata {
        self.flags
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<TagRecord<'a>, TagError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let Fields { data, offset } = self.fields;
            self.fields.offset = data.len();
            let count = data.len() - offset;
            return (count > 0).then_some(Err(TagError::Trailing { offset, count }));
        }
        self.left -= 1;
        let record = TagRecord::take(&mut self.fields, self.flags, self.length);
        if record.is_err() {
            *self = Self::NONE;
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn report(flags: Metadata, tags: &[TagRecord<'_>]) -> Vec<u8> {
        let mut data = std::vec![0x10, 0, 0x1B];
        data.extend(flags.0.to_be_bytes());
        data.push(tags.len() as u8);
        for tag in tags {
            let mut out = [0; 255];
            let len = tag.encode(flags, &mut out).expect("fits");
            data.extend(&out[..len]);
        }
        data
    }

    #[test]
    fn lengths_beyond_the_frame_are_named() {
        let mut data = report(Metadata(0), &[TagRecord::of_epc(&[1, 2])]);
        data[6..8].copy_from_slice(&[0xFF, 0xF8]);
        let errors: Vec<_> = Records::streamed(&data).expect("has a head").collect();
        assert_eq!(errors, [Err(TagError::Short { field: "EPC", offset: 8, needed: 8191, left: 6 })]);
        data[6..8].copy_from_slice(&[0x00, 0x18]);
        let errors: Vec<_> = Records::streamed(&data).expect("has a head").collect();
        assert_eq!(errors, [Err(TagError::EpcLength { offset: 6, bits: 24 })]);
    }

    #[test]
    fn octets_behind_the_last_record_and_unknown_flags_are_errors() {
        let mut data = report(Metadata::RSSI, &[TagRecord::of_epc(&[1, 2])]);
        data.push(9);
        let records: Vec<_> = Records::streamed(&data).expect("has a head").collect();
        assert_eq!(records.len(), 2);
        assert_eq!(records[1], Err(TagError::Trailing { offset: 15, count: 1 }));
        data[3] = 0x20;
        assert_eq!(Records::streamed(&data).map(|_| ()), Err(TagError::Flags { flags: 0x2002 }));
    }

    #[test]
    fn a_silion_buffer_counts_octets() {
        let data = [0, 0, 0, 1, 6, 0x08, 0x00, 0xAB, 0xCD, 0x12, 0x34];
        let tag = Records::buffered(&data, EpcLength::Octets).expect("head").next().expect("one").expect("whole");
        assert_eq!((tag.pc, tag.epc, tag.tag_crc), (0x0800, &[0xAB, 0xCD][..], 0x1234));
    }

    #[test]
    fn extended_control_words_are_no_part_of_the_epc() {
        let tag = TagRecord { pc: 0x0A00, xpc: &[0x80, 0, 1, 2], ..TagRecord::of_epc(&[0xAB, 0xCD]) };
        let data = report(Metadata(0), &[tag]);
        assert_eq!(Records::streamed(&data).expect("head").next(), Some(Ok(tag)));
        // A PC that announces them in a record too short for them.
        let cut = [0x10, 0, 0x1B, 0, 0, 1, 0, 0x20, 0x0A, 0x00, 0x80, 0x00];
        assert!(Records::streamed(&cut).expect("head").next().expect("an answer").is_err());
    }

    proptest! {
        #[test]
        fn any_record_survives_the_round_trip(
            flags in 0_u16..0x2000, numbers: [u8; 6], rssi: i8, khz in 0_u32..1 << 24, ms: u32, phase: u16, brand: u16,
            embedded in prop::option::of(prop::collection::vec(any::<u8>(), 0..16)), failed: u16,
            epc in prop::collection::vec(any::<u8>(), 0..=62),
        ) {
            let flags = Metadata(flags);
            fn of<T>(flags: Metadata, flag: Metadata, value: T) -> Option<T> { flags.contains(flag).then_some(value) }
            let [read_count, antenna, protocol, gpio, q, target] = numbers;
            let embedded = embedded.as_deref().map_or(Embedded::Failed(failed), Embedded::Data);
            let tag = TagRecord {
                read_count: of(flags, Metadata::READ_COUNT, read_count),
                rssi_dbm: of(flags, Metadata::RSSI, rssi),
                antenna: of(flags, Metadata::ANTENNA, antenna),
                frequency_khz: of(flags, Metadata::FREQUENCY, khz),
                timestamp_ms: of(flags, Metadata::TIMESTAMP, ms),
                phase_deg: of(flags, Metadata::PHASE, phase),
                protocol: of(flags, Metadata::PROTOCOL, protocol),
                embedded: of(flags, Metadata::EMBEDDED, embedded),
                gpio: of(flags, Metadata::GPIO, gpio),
                q: of(flags, Metadata::Q, q),
                link_frequency: of(flags, Metadata::LINK_FREQUENCY, q ^ target),
                target: of(flags, Metadata::TARGET, target),
                brand: of(flags, Metadata::BRAND, brand),
                ..TagRecord::of_epc(&epc)
            };
            let data = report(flags, &[tag, tag]);
            let back: Vec<_> = Records::streamed(&data).expect("head").collect();
            prop_assert_eq!(back, [Ok(tag), Ok(tag)]);
        }

        #[test]
        fn hostile_data_never_panics_and_always_ends(data in prop::collection::vec(any::<u8>(), 0..=255)) {
            for records in [Records::streamed(&data), Records::buffered(&data, EpcLength::Octets)].into_iter().flatten() {
                prop_assert!(records.count() <= 256);
            }
        }
    }
}
