//! An Electronic Product Code as the bits that a tag sent.

use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Most octets in an EPC: the PC word counts at most 31 words of 16 bits (Gen2 2.0.1 §6.3.2.1.2.2).
pub const LEN_MAX: usize = 62;

/// The EPC of a tag: 0 to 496 bits, in whole octets, first bit first. What they mean is read by `stowage-gs1`.
///
/// Prints and serialises (in JSON) as upper-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epc {
    // Octets past `len` are zero, so the derived comparisons hold.
    octets: [u8; LEN_MAX],
    len: u8,
}

impl Epc {
    /// The EPC of `octets`, or `None` if there are more than [`LEN_MAX`].
    pub fn new(octets: &[u8]) -> Option<Self> {
        let mut epc = Self { octets: [0; LEN_MAX], len: u8::try_from(octets.len()).ok()? };
        epc.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(epc)
    }

    /// The EPC written as hex digits, two for each octet, in upper or lower case.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if !digits.len().is_multiple_of(2) || digits.len() > 2 * LEN_MAX {
            return None;
        }
        let mut epc = Self { octets: [0; LEN_MAX], len: (digits.len() / 2) as u8 };
        for (octet, pair) in epc.octets.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |d: u8| (d as char).to_digit(16);
            *octet = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Some(epc)
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.len as usize]
    }

    /// A hash that is the same on every machine and cheap enough for every read. Tags choose EPCs, so a table that
    /// uses it must bear collisions.
    pub fn hash64(&self) -> u64 {
        let mut hash = 0x9E37_79B9_7F4A_7C15 ^ u64::from(self.len);
        let mut chunks = self.octets().chunks_exact(8);
        let mut mix = |word: u64| hash = (hash.rotate_left(23) ^ word).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        for chunk in &mut chunks {
            mix(u64::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7]]));
        }
        mix(chunks.remainder().iter().fold(0, |word, octet| word << 8 | u64::from(*octet)));
        hash ^ hash >> 32
    }
}

impl fmt::Display for Epc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.octets().iter().try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}

impl fmt::Debug for Epc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epc({self})")
    }
}

impl Serialize for Epc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(self.octets())
        }
    }
}

impl<'de> Deserialize<'de> for Epc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Epc;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an EPC: at most {LEN_MAX} octets, or twice as many hex digits")
            }
            fn visit_str<E: de::Error>(self, hex: &str) -> Result<Epc, E> {
                Epc::from_hex(hex).ok_or_else(|| E::invalid_value(de::Unexpected::Str(hex), &self))
            }
            fn visit_bytes<E: de::Error>(self, octets: &[u8]) -> Result<Epc, E> {
                Epc::new(octets).ok_or_else(|| E::invalid_length(octets.len(), &self))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Visitor)
        } else {
            deserializer.deserialize_bytes(Visitor)
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn hex_both_ways() {
        let epc = Epc::from_hex("30395dfa81b7d84000000001").expect("24 digits");
        assert_eq!(epc.to_string(), "30395DFA81B7D84000000001");
        assert_eq!(epc.octets().len(), 12);
        assert_eq!(Epc::from_hex("303"), None, "half an octet");
        assert_eq!(Epc::from_hex("3G"), None);
        assert_eq!(Epc::new(&[0; 63]), None);
    }

    #[test]
    fn length_tells_apart_what_padding_does_not() {
        let (short, long) = (Epc::new(&[0; 12]).expect("fits"), Epc::new(&[0; 16]).expect("fits"));
        assert_ne!(short, long);
        assert_ne!(short.hash64(), long.hash64());
    }
}
