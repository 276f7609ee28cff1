//! The schemes: one row says all that tells a scheme from the others.

use super::field::Field;
use super::field::Field::{Cage, Chars, Digits, Filter, Fixed, Number, Prefix, Reference, Rest, Tail, Text};
use super::field::{is_adi_part, is_adi_serial, is_component};

/// One scheme; its header, always 8 bits, comes first.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) header: u8,
    /// Name in a tag URI; that of the coding table where there is no URI.
    pub(super) tag: &'static str,
    /// Name in a pure identity URI; empty if there is none.
    pub(super) pure: &'static str,
    pub(super) layout: Layout,
    /// The AIs, each with a template of its value, in which each letter stands for a part of the URI: `p` company
    /// prefix; `a` `b` `d` `e` the parts behind it; `f` the first digit of `a`, `r` its others; `z` a zero; `x` the
    /// check digit of all before it. Coded schemes have values as they are, and no template.
    pub(super) keys: &'static [(&'static str, &'static str)],
}

/// How a scheme's bits are laid out.
#[derive(Debug)]
pub(super) enum Layout {
    /// Field after field, as in the URI; in so many bits, or as many as it takes.
    Fields(Option<usize>, &'static [Field]),
    /// '+' schemes: toggle, filter, values coded by their AIs, more of them if the toggle is set.
    Coded {
        /// Whether a date stands before the values.
        dated: bool,
        /// Whether a host name stands behind them ('++').
        host: bool,
    },
}

const PLAIN: Layout = Layout::Coded { dated: false, host: false };
const HOST: Layout = Layout::Coded { dated: false, host: true };

macro_rules! schemes {
    ($($(#[$doc:meta])* $scheme:ident: $header:literal $tag:literal $pure:literal $layout:expr, $keys:expr;)*) => {
        /// How an EPC is coded (TDS 2.3 §14; GDTI-113 of TDS 1.8).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scheme { $($(#[$doc])* $scheme,)* }

        impl Scheme {
            /// Every scheme; of those with the same pure identity, the shortest first.
            pub const ALL: &[Self] = &[$(Self::$scheme),*];

            pub(super) const fn row(self) -> &'static Row {
                match self {
                    $(Self::$scheme => const {
                        &Row { header: $header, tag: $tag, pure: $pure, layout: $layout, keys: &$keys }
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

const fn bits(bits: usize, fields: &'static [Field]) -> Layout {
    Layout::Fields(Some(bits), fields)
}

const fn any(fields: &'static [Field]) -> Layout {
    Layout::Fields(None, fields)
}

/// A key of 13, 17 or 12 digits without check digit: filter, company prefix, and the rest of it in so many bits.
macro_rules! key {
    ($bits:literal, $digits:literal $(, $more:expr)*) => { &[Filter(3), Prefix, Reference($bits, $digits) $(, $more)*] };
}

schemes! {
    /// Serialised trade item, serial number below 2³⁸.
    Sgtin96: 0x30 "sgtin-96" "sgtin" bits(96, key!(44, 13, Tail)), [("01", "fprx"), ("21", "b")];
    /// Serialised trade item, serial of up to 20 characters.
    Sgtin198: 0x36 "sgtin-198" "sgtin" bits(198, key!(44, 13, Text(20))), [("01", "fprx"), ("21", "b")];
    /// Handling unit.
    Sscc96: 0x31 "sscc-96" "sscc" bits(96, key!(58, 17)), [("00", "fprx")];
    /// Location, extension below 2⁴¹; 0 means no extension.
    Sgln96: 0x32 "sgln-96" "sgln" bits(96, key!(41, 12, Tail)), [("414", "pax"), ("254", "b")];
    /// Location, extension of up to 20 characters; `0` means no extension.
    Sgln195: 0x39 "sgln-195" "sgln" bits(195, key!(41, 12, Text(20))), [("414", "pax"), ("254", "b")];
    /// Returnable asset, serial number below 2³⁸.
    Grai96: 0x33 "grai-96" "grai" bits(96, key!(44, 12, Tail)), [("8003", "zpaxb")];
    /// Returnable asset, serial of up to 16 characters.
    Grai170: 0x37 "grai-170" "grai" bits(170, key!(44, 12, Text(16))), [("8003", "zpaxb")];
    /// Individual asset, numeric reference.
    Giai96: 0x34 "giai-96" "giai" bits(96, &[Filter(3), Prefix, Tail]), [("8004", "pa")];
    /// Individual asset, reference of characters: up to 30 together with the company prefix.
    Giai202: 0x38 "giai-202" "giai" bits(202, &[Filter(3), Prefix, Text(30)]), [("8004", "pa")];
    /// Document, serial number below 2⁴¹.
    Gdti96: 0x2C "gdti-96" "gdti" bits(96, key!(41, 12, Tail)), [("253", "paxb")];
    /// Document, serial of up to 17 digits that may begin with zeros; no longer to be written.
    Gdti113: 0x3A "gdti-113" "gdti" bits(113, key!(41, 12, Digits(58, 17))), [("253", "paxb")];
    /// Document, serial of up to 17 characters.
    Gdti174: 0x3E "gdti-174" "gdti" bits(174, key!(41, 12, Text(17))), [("253", "paxb")];
    /// Service relation, recipient.
    Gsrn96: 0x2D "gsrn-96" "gsrn" bits(96, key!(58, 17)), [("8018", "pax")];
    /// Service relation, provider.
    Gsrnp96: 0x2E "gsrnp-96" "gsrnp" bits(96, key!(58, 17)), [("8017", "pax")];
    /// Coupon, serial of up to 12 digits.
    Sgcn96: 0x3F "sgcn-96" "sgcn" bits(96, key!(41, 12, Digits(41, 12))), [("255", "paxb")];
    /// Component or part, numeric reference, serial number below 2³¹.
    Cpi96: 0x3C "cpi-96" "cpi" bits(96, &[Filter(3), Prefix, Rest(51, 15), Tail]), [("8010", "pa"), ("8011", "b")];
    /// Component or part: up to 30 characters together with the company prefix, serial number of up to 12 digits.
    CpiVar: 0x3D "cpi-var" "cpi" any(&[Filter(3), Prefix, Chars(1, 30, is_component), Number(40, 12)]),
        [("8010", "pa"), ("8011", "b")];
    /// Piece of a trade item, serial number below 2³⁸.
    Itip110: 0x40 "itip-110" "itip" bits(110, key!(44, 13, Fixed(7, 2), Fixed(7, 2), Tail)),
        [("8006", "fprxbd"), ("21", "e")];
    /// Piece of a trade item, serial of up to 20 characters.
    Itip212: 0x41 "itip-212" "itip" bits(212, key!(44, 13, Fixed(7, 2), Fixed(7, 2), Text(20))),
        [("8006", "fprxbd"), ("21", "e")];
    /// General identifier: manager, class, serial number; no GS1 key.
    Gid96: 0x35 "gid-96" "gid" bits(96, &[Number(28, 9), Number(24, 8), Number(36, 11)]), [];
    /// United States Department of Defense: supplier's code and serial number; no GS1 key.
    Usdod96: 0x2F "usdod-96" "usdod" bits(96, &[Filter(4), Cage(8), Number(36, 11)]), [];
    /// Aerospace and defence: supplier's code, part number, serial; no GS1 key.
    AdiVar: 0x3B "adi-var" "adi" any(&[Filter(6), Cage(6), Chars(0, 32, is_adi_part), Chars(1, 30, is_adi_serial)]),
        [];
    /// Serialised trade item, as in a barcode.
    SgtinPlus: 0xF7 "SGTIN+" "" PLAIN, [("01", ""), ("21", "")];
    /// Serialised trade item with a date before it.
    DsgtinPlus: 0xFB "DSGTIN+" "" Layout::Coded { dated: true, host: false }, [("01", ""), ("21", "")];
    /// Handling unit, as in a barcode.
    SsccPlus: 0xF9 "SSCC+" "" PLAIN, [("00", "")];
    /// Location, as in a barcode; an extension `0` means that there is none.
    SglnPlus: 0xF2 "SGLN+" "" PLAIN, [("414", ""), ("254", "")];
    /// Returnable asset, as in a barcode.
    GraiPlus: 0xF1 "GRAI+" "" PLAIN, [("8003", "")];
    /// Individual asset, as in a barcode.
    GiaiPlus: 0xFA "GIAI+" "" PLAIN, [("8004", "")];
    /// Service relation, recipient, as in a barcode.
    GsrnPlus: 0xF4 "GSRN+" "" PLAIN, [("8018", "")];
    /// Service relation, provider, as in a barcode.
    GsrnpPlus: 0xF5 "GSRNP+" "" PLAIN, [("8017", "")];
    /// Document, as in a barcode.
    GdtiPlus: 0xF6 "GDTI+" "" PLAIN, [("253", "")];
    /// Component or part, as in a barcode.
    CpiPlus: 0xF0 "CPI+" "" PLAIN, [("8010", ""), ("8011", "")];
    /// Coupon, as in a barcode.
    SgcnPlus: 0xF8 "SGCN+" "" PLAIN, [("255", "")];
    /// Piece of a trade item, as in a barcode.
    ItipPlus: 0xF3 "ITIP+" "" PLAIN, [("8006", ""), ("21", "")];
    /// [`Self::SgtinPlus`] and a host name.
    SgtinHost: 0xFD "SGTIN++" "" HOST, [("01", ""), ("21", "")];
    /// [`Self::DsgtinPlus`] and a host name.
    DsgtinHost: 0xFC "DSGTIN++" "" Layout::Coded { dated: true, host: true }, [("01", ""), ("21", "")];
    /// [`Self::SsccPlus`] and a host name.
    SsccHost: 0xEF "SSCC++" "" HOST, [("00", "")];
    /// [`Self::SglnPlus`] and a host name.
    SglnHost: 0xE9 "SGLN++" "" HOST, [("414", ""), ("254", "")];
    /// [`Self::GraiPlus`] and a host name.
    GraiHost: 0xEB "GRAI++" "" HOST, [("8003", "")];
    /// [`Self::GiaiPlus`] and a host name.
    GiaiHost: 0xEE "GIAI++" "" HOST, [("8004", "")];
    /// [`Self::GsrnPlus`] and a host name.
    GsrnHost: 0xE7 "GSRN++" "" HOST, [("8018", "")];
    /// [`Self::GsrnpPlus`] and a host name.
    GsrnpHost: 0xE8 "GSRNP++" "" HOST, [("8017", "")];
    /// [`Self::GdtiPlus`] and a host name.
    GdtiHost: 0xEA "GDTI++" "" HOST, [("253", "")];
    /// [`Self::CpiPlus`] and a host name.
    CpiHost: 0xE6 "CPI++" "" HOST, [("8010", ""), ("8011", "")];
    /// [`Self::SgcnPlus`] and a host name.
    SgcnHost: 0xEC "SGCN++" "" HOST, [("255", "")];
    /// [`Self::ItipPlus`] and a host name.
    ItipHost: 0xED "ITIP++" "" HOST, [("8006", ""), ("21", "")];
}

impl Scheme {
    /// The name: `sgtin-96` as in tag URIs, `SGTIN+` for the schemes that have none.
    pub const fn name(self) -> &'static str {
        self.row().tag
    }

    /// The scheme of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|scheme| scheme.name() == name).copied()
    }

    /// The AIs of its key and serial, in their order; none for the schemes outside GS1.
    pub fn ais(self) -> impl Iterator<Item = &'static str> {
        self.row().keys.iter().map(|(ai, _)| *ai)
    }

    /// Whether it codes a GS1 key.
    pub const fn is_gs1(self) -> bool {
        !self.row().keys.is_empty()
    }

    /// Whether it needs to be told where the company prefix ends.
    pub const fn is_partitioned(self) -> bool {
        matches!(self.row().layout, Layout::Fields(_, [_, Prefix, ..]))
    }

    /// Whether it carries a host name.
    pub const fn has_host(self) -> bool {
        matches!(self.row().layout, Layout::Coded { host: true, .. })
    }

    /// Its fields and its length, if it is of that kind.
    pub(super) const fn fields(self) -> Option<(Option<usize>, &'static [Field])> {
        match self.row().layout {
            Layout::Fields(bits, fields) => Some((bits, fields)),
            Layout::Coded { .. } => None,
        }
    }
}
