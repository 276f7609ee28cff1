//! Fields of bits in octets, first bit first.

/// The first 128 bits of an EPC: all that is not text.
pub(super) struct Word(u128);

impl Word {
    /// The first 128 bits of `octets`.
    pub(super) fn new(octets: &[u8]) -> Self {
        let mut word = [0; 16];
        let len = octets.len().min(16);
        word[..len].copy_from_slice(&octets[..len]);
        Self(u128::from_be_bytes(word))
    }

    /// The field of `len` bits, 1 to 64, from bit `at`; `at + len` ≤ 128.
    pub(super) const fn field(&self, at: usize, len: usize) -> u64 {
        (self.0 << at >> (128 - len)) as u64
    }
}

/// The 7 bits from bit `at`. Bits past the end of `octets` are zero.
pub(super) fn seven(octets: &[u8], at: usize) -> u8 {
    let octet = |index: usize| u16::from(octets.get(index).copied().unwrap_or(0));
    let pair = octet(at / 8) << 8 | octet(at / 8 + 1);
    (pair >> (9 - at % 8) & 0x7F) as u8
}

/// Where the first set bit at or after bit `at` is.
pub(super) fn first_set(octets: &[u8], at: usize) -> Option<usize> {
    let start = at / 8;
    octets.get(start..)?.iter().enumerate().find_map(|(index, &octet)| {
        let octet = if index == 0 { octet & 0xFF >> (at % 8) } else { octet };
        (octet != 0).then(|| (start + index) * 8 + octet.leading_zeros() as usize)
    })
}

/// Writes the low `len` bits of `value` from bit `at`, into zeros.
pub(super) fn put(octets: &mut [u8], at: usize, len: usize, value: u64) {
    for index in 0..len {
        octets[(at + index) / 8] |= ((value >> (len - 1 - index) & 1) as u8) << (7 - (at + index) % 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_put_is_read(at in 0usize..64, len in 1usize..=64, value: u64) {
            let value = value >> (64 - len);
            let mut octets = [0; 17];
            put(&mut octets, at, len, value);
            prop_assert_eq!(Word::new(&octets).field(at, len), value);
            prop_assert_eq!(first_set(&octets, 0), (value != 0).then(|| at + len - (64 - value.leading_zeros() as usize)));
            prop_assert_eq!(first_set(&octets, at + len), None);
        }

        #[test]
        fn seven_bits_anywhere(at in 0usize..100, value in 0u8..128) {
            let mut octets = [0; 14];
            put(&mut octets, at, 7, value.into());
            prop_assert_eq!(seven(&octets, at), value);
        }
    }
}
