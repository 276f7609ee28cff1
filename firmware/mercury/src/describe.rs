//! One frame with all that it says, for tools that print it.

use crate::code::{READ_WITH_METADATA, search};
use crate::frame::{Command, FrameError, Response};
use crate::tag::{EpcLength, Records, TagError};
use crate::{Opcode, Status};

/// What one frame says. All of it is checked: iterating [`tags`](Self::tags) meets no error.
#[derive(Debug, Clone, Copy)]
pub struct Description<'a> {
    /// What is asked or answered.
    pub opcode: Opcode,
    /// How it went; `None` in a command.
    pub status: Option<Status>,
    /// The data as it stands in the frame.
    pub data: &'a [u8],
    /// The tag records in the data, if it is a report of tags.
    pub tags: Records<'a>,
    /// What a Silion module's own command says, if it is one.
    pub silion: Option<Silion<'a>>,
}

/// What [`Opcode::SILION`] carries apart from reports of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silion<'a> {
    /// A subcommand, or its acknowledgement.
    Subcommand {
        /// AA48 starts, AA49 stops.
        code: u16,
        /// What belongs to it.
        data: &'a [u8],
    },
    /// The module lives.
    Heartbeat {
        /// The search flags of its inventory.
        search: u16,
        /// Its state, which those flags choose.
        state: &'a [u8],
    },
}

/// What begins a subcommand.
const MARK: &[u8] = b"Moduletech";

/// What begins a heartbeat.
const HEARTBEAT: &[u8] = b"XTSJ";

/// What ends a subcommand.
const END: u8 = 0xBB;

impl<'a> Silion<'a> {
    /// Reads the data of a frame; `None` if it is neither.
    fn read(data: &'a [u8]) -> Result<Option<Self>, SilionError> {
        if let Some(rest) = data.strip_prefix(HEARTBEAT) {
            let short = SilionError { offset: HEARTBEAT.len(), expected: "two octets of search flags" };
            let (search, state) = rest.split_first_chunk().ok_or(short)?;
            return Ok(Some(Self::Heartbeat { search: u16::from_be_bytes(*search), state }));
        }
        let Some(body) = data.strip_prefix(MARK) else { return Ok(None) };
        let error = |offset, expected| SilionError { offset, expected };
        let short = error(MARK.len(), "a subcommand of two octets, a sum and BB");
        let [rest @ .., sum, end] = body else { return Err(short) };
        let (code, inner) = rest.split_first_chunk().ok_or(short)?;
        if *end != END {
            return Err(error(data.len() - 1, "BB"));
        }
        if rest.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet)) != *sum {
            return Err(error(data.len() - 2, "the sum of the subcommand's octets"));
        }
        Ok(Some(Self::Subcommand { code: u16::from_be_bytes(*code), data: inner }))
    }
}

/// A Silion module's own command makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at offset {offset}: expected {expected}")]
pub struct SilionError {
    /// Octets from the first of the frame's data.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
}

/// Why a frame can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DescribeError {
    /// The octets are no good frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The frame arrived whole, its tag records make no sense.
    #[error(transparent)]
    Tags(#[from] TagError),
    /// The frame arrived whole, what a Silion module's own command carries makes no sense.
    #[error(transparent)]
    Silion(#[from] SilionError),
}

/// Which way a frame travels: nothing in it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Describe {
    /// From the host to the module.
    ToModule,
    /// From the module to the host; how its tag buffer counts EPC lengths.
    FromModule(EpcLength),
}

impl Describe {
    /// Reads `octets`, which must be exactly one frame.
    ///
    /// # Errors
    /// It is no whole frame, is damaged, or its tag records don't agree with its length.
    pub fn frame(self, octets: &[u8]) -> Result<Description<'_>, DescribeError> {
        match self {
            Self::ToModule => {
                let Command { opcode, data } = Command::decode(octets)?;
                let silion = if opcode == Opcode::SILION { Silion::read(data)? } else { None };
                Ok(Description { opcode, status: None, data, tags: Records::NONE, silion })
            }
            Self::FromModule(length) => {
                let response = Response::decode(octets)?;
                let own = response.opcode == Opcode::SILION && response.status == Status::OK;
                let silion = if own { Silion::read(response.data)? } else { None };
                let tags = match silion {
                    Some(_) => Records::NONE,
                    None => tags(&response, length)?,
                };
                for tag in tags {
                    tag?;
                }
                let Response { opcode, status, data } = response;
                Ok(Description { opcode, status: Some(status), data, tags, silion })
            }
        }
    }
}

/// The tag records in `response`, if it is of a kind that has some.
fn tags<'a>(response: &Response<'a>, length: EpcLength) -> Result<Records<'a>, TagError> {
    match (response.opcode, response.status, response.data) {
        (Opcode::READ_MULTIPLE, Status::OK, [option, high, low, ..])
            if option & READ_WITH_METADATA != 0 && u16::from_be_bytes([*high, *low]) & search::STREAMING != 0 =>
        {
            Records::streamed(response.data)
        }
        (Opcode::TAG_BUFFER, Status::OK, [_, ..]) => Records::buffered(response.data, length),
        (Opcode::SILION, Status::OK, [_, ..]) => Records::asynchronous(response.data, length),
        _ => Ok(Records::NONE),
    }
}
