//! Fuzz targets: one body for each parser of outside octets and for each session, both ends.
//!
//! A body takes any octets and panics if something that must hold doesn't. `tests/corpus.rs` runs every body over its
//! corpus (`corpus/NAME/`) and over mutations of it in the ordinary tests; `tests/fuzz/run NAME SECONDS` gives it to
//! libFuzzer. A finding is kept: put its file into the corpus.

mod gs1;
mod link;
mod llrp;
mod mercury;
mod modbus;
mod smart_readers;
mod sorter_mqtt;
mod steps;
mod vda5050;

pub use steps::{Step, Steps};

/// A body: any octets are fine, a panic is a finding.
pub type Body = fn(&[u8]);

/// All bodies by name.
pub const BODIES: &[(&str, Body)] = &[
    ("gs1-element", gs1::element),
    ("gs1-epc", gs1::epc),
    ("gs1-uri", gs1::uri),
    ("impinj-edge", smart_readers::impinj_edge),
    ("impinj-messages", smart_readers::impinj_messages),
    ("impinj-reader", smart_readers::impinj_reader),
    ("link-edge", link::edge),
    ("link-scanner", link::scanner),
    ("llrp-client", llrp::client),
    ("llrp-frame", llrp::frame),
    ("llrp-reader", llrp::reader),
    ("mercury-client", mercury::client),
    ("mercury-frame", mercury::frame),
    ("mercury-module", mercury::module),
    ("modbus-client", modbus::client),
    ("modbus-frame", modbus::frame),
    ("modbus-server", modbus::server),
    ("modbus-sorter-edge", modbus::edge),
    ("modbus-sorter-pair", modbus::pair),
    ("modbus-sorter-plc", modbus::plc),
    ("sorter-mqtt-edge", sorter_mqtt::edge),
    ("sorter-mqtt-sorter", sorter_mqtt::sorter),
    ("vda5050-edge", vda5050::edge),
    ("vda5050-message", vda5050::message),
    ("vda5050-robot", vda5050::robot),
    ("zebra-edge", smart_readers::zebra_edge),
    ("zebra-messages", smart_readers::zebra_messages),
    ("zebra-reader", smart_readers::zebra_reader),
];

/// The body of this name.
pub fn body(name: &str) -> Option<Body> {
    BODIES.iter().find(|(of, _)| *of == name).map(|(_, body)| *body)
}
