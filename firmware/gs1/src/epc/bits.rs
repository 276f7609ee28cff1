//! Fields of bits in octets, first bit first.

use stowage_base::epc::LEN_MAX;

/// Octets to read bits from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits<'a> {
    octets: &'a [u8],
    /// The first 128 bits: all of most tags.
    word: u128,
}

impl<'a> Bits<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self { octets, word: load(octets, 0) }
    }

    /// How many bits there are.
    pub(super) const fn len(&self) -> usize {
        self.octets.len() * 8
    }

    /// The field of `len` bits, 1 to 64, from bit `at`. Bits past the end are zero.
    pub(super) fn field(&self, at: usize, len: usize) -> u64 {
        if at + len <= 128 {
            return (self.word << at >> (128 - len)) as u64;
        }
        (load(self.octets, at / 8) << (at % 8) >> (128 - len)) as u64
    }

    /// Where the first set bit at or after bit `at` is.
    pub(super) fn first_set(&self, at: usize) -> Option<usize> {
        let start = at / 8;
        self.octets.get(start..)?.iter().enumerate().find_map(|(index, &octet)| {
            let octet = if index == 0 { octet & 0xFF >> (at % 8) } else { octet };
            (octet != 0).then(|| (start + index) * 8 + octet.leading_zeros() as usize)
        })
    }
}

/// 16 octets from octet `start`; those past the end are zero.
fn load(octets: &[u8], start: usize) -> u128 {
    let mut word = [0; 16];
    let rest = octets.get(start..).unwrap_or_default();
    let len = rest.len().min(16);
    word[..len].copy_from_slice(&rest[..len]);
    u128::from_be_bytes(word)
}

/// Writes fields one after another.
pub(super) struct Writer {
    octets: [u8; LEN_MAX],
    /// Bits written; may be more than fit, then they are not kept.
    at: usize,
}

impl Writer {
    pub(super) const fn new() -> Self {
        Self { octets: [0; LEN_MAX], at: 0 }
    }

    /// Where the next field begins.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Writes the low `len` bits of `value`, 0 to 64.
    pub(super) fn put(&mut self, len: usize, value: u64) {
        for index in 0..len {
            if let Some(octet) = self.octets.get_mut((self.at + index) / 8) {
                *octet |= ((value >> (len - 1 - index) & 1) as u8) << (7 - (self.at + index) % 8);
            }
        }
        self.at += len;
    }

    /// Leaves zeros up to bit `at`.
    pub(super) const fn skip_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The octets, filled up to whole words of 16 bits; `None` if they are more than an EPC holds.
    pub(super) fn words(&self) -> Option<&[u8]> {
        self.octets.get(..self.at.div_ceil(16) * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_put_is_read(at in 0usize..400, len in 1usize..=64, value: u64) {
            let value = value >> (64 - len);
            let mut writer = Writer::new();
            writer.skip_to(at);
            writer.put(len, value);
            let octets = writer.words().expect("fits");
            let bits = Bits::new(octets);
            prop_assert_eq!(bits.field(at, len), value);
            prop_assert_eq!(bits.first_set(0), (value != 0).then(|| at + len - (64 - value.leading_zeros() as usize)));
            prop_assert_eq!(bits.first_set(at + len), None);
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let mut writer = Writer::new();
        writer.skip_to(LEN_MAX * 8 - 1);
        writer.put(1, 1);
        assert!(writer.words().is_some());
        writer.put(1, 1);
        assert!(writer.words().is_none());
    }
}
