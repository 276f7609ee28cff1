//! LLRP message framing: finds message boundaries in a stream (LLRP 1.0.1 §16.1).
//!
//! A [`Frame`] borrows the octets that it was found in; an [`Inbox`] keeps those of a message that is not whole yet.
//! What a body means: see [`tree`](super::tree) and [`report`](super::report).

/// Octets of a message header.
pub const HEADER_LEN: usize = 10;

/// Longest message that is taken: far above what readers send, far below what would hurt.
pub const LEN_MAX: u32 = 4 << 20;

/// One message whose header has been checked. The body is still raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Protocol version: 1 for LLRP 1.0.1, 2 for 1.1; others are left to the reader of the frame.
    pub version: u8,
    /// Message type, 0 to 1023: see [`kind`](super::kind).
    pub kind: u16,
    /// Message id; an answer repeats its request's.
    pub id: u32,
    /// What follows the header.
    pub body: &'a [u8],
}

/// The stream has lost its framing and can't be resumed: close it and connect anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length field, which counts the header too, makes no sense.
    #[error("message length {len} is outside {HEADER_LEN} to {LEN_MAX} octets")]
    Length {
        /// What it says.
        len: u32,
    },
}

impl<'a> Frame<'a> {
    /// Splits one frame off the front of `buf`. `Ok(None)` means "read more".
    ///
    /// # Errors
    /// The length field is out of bounds.
    pub fn split(buf: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, FrameError> {
        let Some(([a, b, l0, l1, l2, l3, i0, i1, i2, i3], _)) = buf.split_first_chunk() else { return Ok(None) };
        let len = u32::from_be_bytes([*l0, *l1, *l2, *l3]);
        if !(HEADER_LEN as u32..=LEN_MAX).contains(&len) {
            return Err(FrameError::Length { len });
        }
        let Some((frame, rest)) = buf.split_at_checked(len as usize) else { return Ok(None) };
        let (version, kind) = (a >> 2 & 0b111, u16::from_be_bytes([a & 0b11, *b]));
        Ok(Some((
            Self { version, kind, id: u32::from_be_bytes([*i0, *i1, *i2, *i3]), body: &frame[HEADER_LEN..] },
            rest,
        )))
    }
}

/// Puts the frames of a stream together from chunks of any size.
///
/// Whole frames are handed on where they lie; only a started one is kept. Its buffer is reused, and grows with what
/// has really arrived, never with what a length field promises.
#[derive(Debug, Default)]
pub struct Inbox {
    started: Vec<u8>,
}

impl Inbox {
    /// Takes the next octets of the stream and calls `each` for every frame that is whole now, in order.
    ///
    /// # Errors
    /// Framing is lost; [`clear`](Self::clear) before the next connection.
    pub fn receive(&mut self, mut octets: &[u8], mut each: impl FnMut(Frame<'_>)) -> Result<(), FrameError> {
        while !octets.is_empty() {
            if self.started.is_empty() {
                while let Some((frame, rest)) = Frame::split(octets)? {
                    each(frame);
                    octets = rest;
                }
                self.started.extend_from_slice(octets);
                return Ok(());
            }
            let have = self.started.len();
            let want = match self.started.get(2..6) {
                Some(len) if have >= HEADER_LEN => u32::from_be_bytes([len[0], len[1], len[2], len[3]]) as usize,
                _ => HEADER_LEN,
            };
            let (taken, rest) = octets.split_at(octets.len().min(want.saturating_sub(have)));
            self.started.extend_from_slice(taken);
            octets = rest;
            if let Some((frame, _)) = Frame::split(&self.started)? {
                each(frame);
                self.started.clear();
            }
        }
        Ok(())
    }

    /// Forgets what was started: the connection is another one now.
    pub fn clear(&mut self) {
        self.started.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEEPALIVE: [u8; 10] = [0x04, 0x3E, 0, 0, 0, 10, 0, 0, 0, 7];

    #[test]
    fn splits_one_frame_off_and_leaves_the_rest() {
        let stream = [&KEEPALIVE[..], &[0xFF]].concat();
        let (frame, rest) = Frame::split(&stream).expect("framed").expect("whole");
        assert_eq!(frame, Frame { version: 1, kind: 62, id: 7, body: &[] });
        assert_eq!(rest, [0xFF]);
        assert_eq!(Frame::split(&KEEPALIVE[..9]), Ok(None));
    }

    #[test]
    fn a_hostile_length_is_refused_before_anything_is_kept() {
        for len in [0, 9, LEN_MAX + 1, u32::MAX] {
            let mut header = KEEPALIVE;
            header[2..6].copy_from_slice(&len.to_be_bytes());
            assert_eq!(Frame::split(&header), Err(FrameError::Length { len }));
            let mut inbox = Inbox::default();
            let fed: Result<(), FrameError> = header.iter().try_for_each(|octet| inbox.receive(&[*octet], |_| ()));
            assert_eq!(fed, Err(FrameError::Length { len }));
            assert!(inbox.started.capacity() < 64);
        }
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_frames(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in prop::collection::vec(1_usize..60, 1..20),
        ) {
            let mut stream = Vec::new();
            for (id, body) in bodies.iter().enumerate() {
                stream.extend([0x04, 61]);
                stream.extend(((HEADER_LEN + body.len()) as u32).to_be_bytes());
                stream.extend((id as u32).to_be_bytes());
                stream.extend(body);
            }
            let (mut inbox, mut seen, mut rest) = (Inbox::default(), Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle() {
                let (chunk, after) = rest.split_at(rest.len().min(*cut));
                inbox.receive(chunk, |frame| seen.push((frame.id, frame.body.to_vec()))).expect("framed");
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(seen, bodies.into_iter().enumerate().map(|(i, b)| (i as u32, b)).collect::<Vec<_>>());
        }

        #[test]
        fn hostile_octets_never_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let mut inbox = Inbox::default();
            for chunk in chunks {
                if inbox.receive(&chunk, |_| ()).is_err() {
                    inbox.clear();
                }
            }
        }
    }
}
