//! What a tag's identity means to the site.

use crate::site::{Site, Sku, UnknownTag};
use stowage_base::Epc;
use stowage_gs1::epc::{self, Identity, PureUri};

/// Partition lengths of GS1 company prefixes (TDS 2.3 §14.4).
const PREFIX_LENGTHS: std::ops::RangeInclusive<u8> = 6..=12;

/// The tag in its most readable form: its pure identity URI, else its Digital Link, or hex where it has neither.
pub fn name(tag: &Epc) -> String {
    Identity::decode(tag).map_or_else(|_| tag.to_string(), |identity| PureUri(&identity).to_string())
}

/// What the tag is stuck on, if that is stocked here. Goods kept by quantity may have tags too.
pub fn sku<'a>(site: &'a Site, tag: &Epc) -> Option<&'a Sku> {
    site.sku_of_gtin(epc::gtin(tag)?)
}

/// What the site does about an unknown tag.
pub fn policy(site: &Site, tag: &Epc) -> UnknownTag {
    let identity = Identity::decode(tag).ok();
    let fits = |rule: &&crate::site::TagRule| {
        let prefix = rule.company_prefix.as_str();
        prefix.is_empty() || identity.is_some_and(|identity| identity.is_of_company(prefix))
    };
    site.tags.iter().find(fits).map_or(UnknownTag::Ignore, |rule| rule.unknown)
}

/// The tags that `gtin` with `serial` may be written in: a barcode tells neither the length of the company prefix nor
/// the filter value.
pub fn tags_of(gtin: u64, serial: &str) -> impl Iterator<Item = Epc> {
    let serial: Option<u64> = serial.parse().ok().filter(|number: &u64| number.to_string() == serial);
    serial.into_iter().flat_map(move |serial| {
        PREFIX_LENGTHS
            .flat_map(move |length| (0..8).filter_map(move |filter| epc::sgtin96(gtin, length, serial, filter).ok()))
    })
}
