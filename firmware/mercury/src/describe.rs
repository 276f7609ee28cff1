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
                Ok(Description { opcode, status: None, data, tags: Records::NONE })
            }
            Self::FromModule(length) => {
                let response = Response::decode(octets)?;
                let tags = tags(&response, length)?;
                for tag in tags {
                    tag?;
                }
                let Response { opcode, status, data } = response;
                Ok(Description { opcode, status: Some(status), data, tags })
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
        _ => Ok(Records::NONE),
    }
}
