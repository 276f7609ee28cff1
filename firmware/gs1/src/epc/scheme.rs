//! The schemes: one row says all that tells a scheme from the others.

/// How a scheme codes what follows its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SerialKind {
    /// Nothing follows; the bits are reserved, zero.
    None,
    /// A whole number without leading zeros, in all bits that are left.
    Number,
    /// 1 to so many digits that may begin with zeros, coded as a number with a 1 in front (TDS §14.3, numeric string).
    Digits(usize),
    /// 1 to so many characters of 7 bits, then zeros (TDS §14.3, string).
    Text(usize),
}

/// One scheme. The bits are: header 8, filter 3, partition 3, key (company prefix and reference), serial (the rest).
#[derive(Debug)]
pub(super) struct Row {
    pub(super) header: u8,
    /// Bits of the whole scheme, without padding.
    pub(super) bits: usize,
    /// Name in a tag URI.
    pub(super) tag: &'static str,
    /// Name in a pure identity URI.
    pub(super) pure: &'static str,
    /// Digits of the key without check digit; 0 if the key is the company prefix alone, and the serial follows it.
    pub(super) key_digits: u8,
    /// Bits of company prefix and reference together; 0 as above.
    pub(super) key_bits: usize,
    /// Whether the reference's first digit stands before the company prefix in the key (indicator, extension digit).
    pub(super) leading: bool,
    /// The key's AI, and what stands before the key in its value.
    pub(super) ai: &'static str,
    pub(super) before: &'static str,
    pub(super) serial: SerialKind,
    /// The serial's AI; `None` if the serial stands behind the key in the same value.
    pub(super) serial_ai: Option<&'static str>,
}

/// Bits of the company prefix for partitions 0 to 6, whose prefixes have 12 to 6 digits: the same in every scheme.
pub(super) const PREFIX_BITS: [usize; 7] = [40, 37, 34, 30, 27, 24, 20];

macro_rules! schemes {
    ($($(#[$doc:meta])* $scheme:ident: $header:literal, $bits:literal, $tag:literal, $pure:literal,
       $digits:literal in $key_bits:literal $leading:ident, $before:literal $ai:literal, $serial:expr, $serial_ai:expr;)*) => {
        /// How an EPC is coded (TDS 1.13 and 2.3, §14).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scheme { $($(#[$doc])* $scheme,)* }

        impl Scheme {
            /// Every scheme that is read and written here; of those with the same pure identity, the shortest first.
            pub const ALL: &[Self] = &[$(Self::$scheme),*];

            pub(super) const fn row(self) -> &'static Row {
                const FIRST: bool = true;
                const AFTER: bool = false;
                match self {
                    $(Self::$scheme => &Row {
                        header: $header, bits: $bits, tag: $tag, pure: $pure, key_digits: $digits, key_bits: $key_bits,
                        leading: $leading, ai: $ai, before: $before, serial: $serial, serial_ai: $serial_ai,
                    },)*
                }
            }

            pub(super) const fn of_header(header: u8) -> Option<Self> {
                match header {
                    $($header => Some(Self::$scheme),)*
                    _ => None,
                }
            }
        }
    };
}

use SerialKind::{Digits, None as Nothing, Number, Text};

// Header, bits, names, digits in bits of the key, AI, serial, AI of the serial.
schemes! {
    /// Serialised trade item, serial number below 2³⁸.
    Sgtin96: 0x30, 96, "sgtin-96", "sgtin", 13 in 44 FIRST, "" "01", Number, Some("21");
    /// Serialised trade item, serial of up to 20 characters.
    Sgtin198: 0x36, 198, "sgtin-198", "sgtin", 13 in 44 FIRST, "" "01", Text(20), Some("21");
    /// Handling unit.
    Sscc96: 0x31, 96, "sscc-96", "sscc", 17 in 58 FIRST, "" "00", Nothing, None;
    /// Location, extension below 2⁴¹; 0 means no extension.
    Sgln96: 0x32, 96, "sgln-96", "sgln", 12 in 41 AFTER, "" "414", Number, Some("254");
    /// Location, extension of up to 20 characters; `0` means no extension.
    Sgln195: 0x39, 195, "sgln-195", "sgln", 12 in 41 AFTER, "" "414", Text(20), Some("254");
    /// Returnable asset, serial number below 2³⁸.
    Grai96: 0x33, 96, "grai-96", "grai", 12 in 44 AFTER, "0" "8003", Number, None;
    /// Returnable asset, serial of up to 16 characters.
    Grai170: 0x37, 170, "grai-170", "grai", 12 in 44 AFTER, "0" "8003", Text(16), None;
    /// Individual asset, numeric reference.
    Giai96: 0x34, 96, "giai-96", "giai", 0 in 0 AFTER, "" "8004", Number, None;
    /// Individual asset, reference of characters: up to 30 together with the company prefix.
    Giai202: 0x38, 202, "giai-202", "giai", 0 in 0 AFTER, "" "8004", Text(30), None;
    /// Document, serial number below 2⁴¹.
    Gdti96: 0x2C, 96, "gdti-96", "gdti", 12 in 41 AFTER, "" "253", Number, None;
    /// Document, serial of up to 17 characters.
    Gdti174: 0x3E, 174, "gdti-174", "gdti", 12 in 41 AFTER, "" "253", Text(17), None;
    /// Service relation, recipient.
    Gsrn96: 0x2D, 96, "gsrn-96", "gsrn", 17 in 58 AFTER, "" "8018", Nothing, None;
    /// Service relation, provider.
    Gsrnp96: 0x2E, 96, "gsrnp-96", "gsrnp", 17 in 58 AFTER, "" "8017", Nothing, None;
    /// Coupon, serial of up to 12 digits.
    Sgcn96: 0x3F, 96, "sgcn-96", "sgcn", 12 in 41 AFTER, "" "255", Digits(12), None;
}

impl Scheme {
    /// The name in tag URIs: `sgtin-96`.
    pub const fn name(self) -> &'static str {
        self.row().tag
    }

    /// Length in bits, without the padding to whole words.
    pub const fn bits(self) -> usize {
        self.row().bits
    }

    /// Bits of the reference behind a company prefix of `prefix_bits` bits.
    pub(super) const fn reference_bits(self, prefix_bits: usize) -> usize {
        self.row().key_bits.saturating_sub(prefix_bits)
    }

    /// Digits of the reference behind a company prefix of `prefix_len` digits.
    pub(super) const fn reference_digits(self, prefix_len: u8) -> u8 {
        self.row().key_digits.saturating_sub(prefix_len)
    }

    /// Most characters of a text serial behind a company prefix of `prefix_len` digits.
    pub(super) const fn serial_max(self, max: usize, prefix_len: u8) -> usize {
        if self.row().key_digits == 0 { max - prefix_len as usize } else { max }
    }
}
