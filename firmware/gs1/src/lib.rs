#![no_std]
//! What identifies goods: EPCs on tags and GS1 codes in barcodes.
//!
//! - [`epc`]: the bits of a tag ⇄ tag URI ⇄ pure identity URI ⇄ element string ⇄ Digital Link (EPC Tag Data Standard).
//! - [`element`]: GS1 element strings as scanned, bracketed, or as a Digital Link (GS1 General Specifications).
//! - [`barcode`]: sorts a scan into GS1 data, a bare GTIN, a bare SSCC, or some other code.
//!
//! No I/O, no clock, no allocation: values are `Copy` or borrow the text, and print through [`core::fmt`].

pub mod barcode;
pub mod digits;
pub mod element;
pub mod epc;
#[cfg(test)]
mod vectors;

pub use barcode::{Barcode, classify};
pub use element::{ElementError, Elements, Scan};
pub use epc::{CompanyPrefix, DigitalLink, ElementString, EpcError, Identity, PureUri, Scheme, TagUri};
