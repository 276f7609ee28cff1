//! PDUs in a TCP stream: transaction, protocol 0, length, unit (MBAP header, V1.0b §3.1.3), PDU.

use super::pdu::PDU_MAX;

/// One frame of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Chosen by the client, repeated by the server.
    pub transaction: u16,
    /// Which device behind the address, where there are several.
    pub unit: u8,
    /// Function code and data.
    pub pdu: &'a [u8],
}

/// The stream has lost its framing: close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It is not Modbus.
    #[error("protocol {0} in the header, Modbus is 0")]
    Protocol(u16),
    /// A length that no frame has.
    #[error("length {0} in the header, allowed are 2 to 254")]
    Length(u16),
}

impl<'a> Frame<'a> {
    /// Splits one frame off the front of `octets`. `Ok(None)` means "read more".
    ///
    /// # Errors
    /// The stream has lost its framing.
    pub fn split(octets: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, FrameError> {
        // Looked at as soon as they are there: a length that can't be is not waited for.
        if let [_, _, high, low, ..] = *octets
            && (high, low) != (0, 0)
        {
            return Err(FrameError::Protocol(u16::from_be_bytes([high, low])));
        }
        let Some(([t0, t1, _, _, l0, l1], rest)) = octets.split_first_chunk() else { return Ok(None) };
        let length = u16::from_be_bytes([*l0, *l1]);
        if !(2..=1 + PDU_MAX as u16).contains(&length) {
            return Err(FrameError::Length(length));
        }
        let Some((body, rest)) = rest.split_at_checked(usize::from(length)) else { return Ok(None) };
        // At least two octets, by its length.
        let (unit, pdu) = (body[0], &body[1..]);
        Ok(Some((Self { transaction: u16::from_be_bytes([*t0, *t1]), unit, pdu }, rest)))
    }
}

/// A frame whose PDU `pdu` appends.
pub fn frame(transaction: u16, unit: u8, pdu: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let [t0, t1] = transaction.to_be_bytes();
    let mut frame = vec![t0, t1, 0, 0, 0, 0, unit];
    pdu(&mut frame);
    let length = (frame.len() - 6) as u16;
    frame[4..6].copy_from_slice(&length.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::super::pdu::tests::request;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_stream_that_is_no_modbus_is_closed_and_never_waited_for() {
        assert_eq!(Frame::split(&[0x56, 0xE7, 0, 1]), Err(FrameError::Protocol(1)));
        assert_eq!(Frame::split(&[0x56, 0xE7, 0, 0, 0xFF, 0xFF]), Err(FrameError::Length(65_535)));
        assert_eq!(Frame::split(&[0x56, 0xE7, 0, 0, 0, 1]), Err(FrameError::Length(1)));
        assert_eq!(Frame::split(&[0x56, 0xE7, 0, 0, 0]), Ok(None));
        assert_eq!(Frame::split(&[]), Ok(None));
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_frames(
            requests in proptest::collection::vec((request(), any::<u16>(), any::<u8>()), 1..6),
            cut in 1_usize..64,
        ) {
            let stream: Vec<u8> = requests
                .iter()
                .flat_map(|(request, transaction, unit)| frame(*transaction, *unit, |out| request.encode(out)))
                .collect();
            let (mut buffer, mut heard) = (Vec::new(), Vec::new());
            for chunk in stream.chunks(cut) {
                buffer.extend_from_slice(chunk);
                while let Some((frame, rest)) = Frame::split(&buffer).expect("good") {
                    let request = super::super::Request::decode(frame.pdu).expect("good");
                    heard.push((request, frame.transaction, frame.unit));
                    buffer = rest.to_vec();
                }
            }
            prop_assert_eq!(heard, requests);
        }
    }
}
