//! LLRP, the Low Level Reader Protocol of fixed RFID readers (EPCglobal 1.0.1; 1.1 is decoded as well).
//!
//! [`frame`] finds messages in a stream. [`definition`] knows every message and parameter; [`tree`] decodes and
//! encodes by it, for all but the hot path. [`report`] walks tag reports in place. [`client`] is the edge's end of a
//! session, [`reader`] a simulated reader's. A session begins with version 1.0.1, which every reader takes; both ends
//! go on with 1.1 where the reader has it.

pub mod client;
mod clock;
pub mod definition;
pub mod frame;
pub mod reader;
pub mod report;
pub mod tree;

pub use client::Client;
pub use frame::Frame;
pub use reader::Reader;
pub use tree::Tree;

/// TCP port for LLRP without TLS.
pub const PORT: u16 = 5084;

/// TCP port for LLRP over TLS.
pub const TLS_PORT: u16 = 5085;

/// The version octet of LLRP 1.0.1, with which every session begins.
pub const VERSION: u8 = 1;

/// The version octet of LLRP 1.1, the newest that is spoken here.
pub const VERSION_MAX: u8 = 2;

/// Vendor number (IANA PEN) of Zebra, formerly Motorola.
pub const ZEBRA: u32 = 161;

/// Vendor number (IANA PEN) of Impinj, whose extensions tell phase and finer RSSI.
pub const IMPINJ: u32 = 25_882;

/// Message types (LLRP 1.0.1 §16.1) that the sessions speak.
pub mod kind {
    #![allow(missing_docs, reason = "named as in the standard, which tells what each is")]
    pub const GET_READER_CAPABILITIES: u16 = 1;
    pub const GET_READER_CONFIG: u16 = 2;
    pub const SET_READER_CONFIG: u16 = 3;
    pub const CLOSE_CONNECTION_RESPONSE: u16 = 4;
    pub const CLOSE_CONNECTION: u16 = 14;
    pub const ADD_ROSPEC: u16 = 20;
    pub const DELETE_ROSPEC: u16 = 21;
    pub const START_ROSPEC: u16 = 22;
    pub const STOP_ROSPEC: u16 = 23;
    pub const ENABLE_ROSPEC: u16 = 24;
    pub const DISABLE_ROSPEC: u16 = 25;
    pub const GET_ROSPECS: u16 = 26;
    pub const ADD_ACCESSSPEC: u16 = 40;
    pub const DELETE_ACCESSSPEC: u16 = 41;
    pub const ENABLE_ACCESSSPEC: u16 = 42;
    pub const DISABLE_ACCESSSPEC: u16 = 43;
    pub const GET_ACCESSSPECS: u16 = 44;
    pub const GET_SUPPORTED_VERSION: u16 = 46;
    pub const SET_PROTOCOL_VERSION: u16 = 47;
    pub const GET_REPORT: u16 = 60;
    pub const RO_ACCESS_REPORT: u16 = 61;
    pub const KEEPALIVE: u16 = 62;
    pub const READER_EVENT_NOTIFICATION: u16 = 63;
    pub const ENABLE_EVENTS_AND_REPORTS: u16 = 64;
    pub const KEEPALIVE_ACK: u16 = 72;
    pub const ERROR_MESSAGE: u16 = 100;
    pub const CUSTOM_MESSAGE: u16 = 1023;

    /// The type of the answer to a request of type `request`, if it has one of its own.
    pub fn response(request: u16) -> Option<u16> {
        match request {
            CLOSE_CONNECTION => Some(CLOSE_CONNECTION_RESPONSE),
            1..=3 | 20..=26 | 40..=47 => Some(request + 10),
            CUSTOM_MESSAGE => Some(CUSTOM_MESSAGE),
            _ => None,
        }
    }
}
