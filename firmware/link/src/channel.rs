//! Frames in and out, sealed once there is a key: what both ends share.
//!
//! Content of a frame: version octet, kind octet; then a greeting in postcard, or a counter (four octets, least
//! first), the sealed postcard body and its tag of 16 octets.
//!
//! Key: HKDF-SHA-256 (RFC 5869) of the enrolment key, salted with both sides' randoms, for this device: either random
//! being fresh makes the key fresh. Cipher: ChaCha20-Poly1305 (RFC 8439); the nonce is the direction and the counter,
//! the six octets before the body are authenticated with it. Counters only rise, so a frame replayed is dropped.

use crate::frame::{self, CONTENT_LEN_MAX, Content, Deframer};
use crate::message::{Greeting, Random};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use heapless::Vec;
use hkdf::Hkdf;
use serde::Serialize;
use sha2::Sha256;

const VERSION: u8 = 1;
const GREETING: u8 = 0;
const SEALED: u8 = 1;
const HEADER_LEN: usize = 6;
const TAG_LEN: usize = 16;

/// Forged frames in a row that end a session.
const STRIKES_MAX: u8 = 3;

/// Most octets of a sealed message before it is sealed.
pub(crate) const BODY_LEN_MAX: usize = CONTENT_LEN_MAX - HEADER_LEN - TAG_LEN;

pub(crate) type Body = Vec<u8, BODY_LEN_MAX>;

/// The secret that a scanner and its edge share since enrolment.
pub type EnrolmentKey = [u8; 32];

/// What was received and dropped, since the end was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// No frame: noise on the line.
    pub noise: u32,
    /// A frame that this session's key does not open.
    pub forged: u32,
    /// A frame of this session again, or of one before it.
    pub stale: u32,
    /// A good frame with a version, kind or message that this end does not know.
    pub unknown: u32,
}

/// A frame that passed every check there is for it.
pub(crate) enum Incoming {
    Greeting(Greeting),
    Message(Body),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Scanner,
    Edge,
}

struct Session {
    cipher: ChaCha20Poly1305,
    /// The counter last sent, and the highest received.
    sent: u32,
    heard: u32,
    /// Forged frames since the last good one.
    strikes: u8,
}

pub(crate) struct Channel {
    side: Side,
    deframer: Deframer,
    session: Option<Session>,
    pub(crate) counters: Counters,
}

impl Channel {
    pub(crate) fn new(side: Side) -> Self {
        Self { side, deframer: Deframer::default(), session: None, counters: Counters::default() }
    }

    /// Forgets the connection; the counters stay.
    pub(crate) fn reset(&mut self) {
        *self = Self { counters: self.counters, ..Self::new(self.side) };
    }

    /// Both randoms are known: whatever is sealed from here on is under their key.
    pub(crate) fn start(&mut self, key: &EnrolmentKey, device: &str, scanner: &Random, edge: &Random) {
        let cipher = ChaCha20Poly1305::new(&session_key(key, device, scanner, edge).into());
        self.session = Some(Session { cipher, sent: 0, heard: 0, strikes: 0 });
    }

    /// Too many forged frames in a row, or no counter left: this session must end.
    pub(crate) fn broken(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.strikes >= STRIKES_MAX || session.sent == u32::MAX)
    }

    pub(crate) fn greet(&self, greeting: &Greeting, send: impl FnOnce(&[u8])) {
        let mut content = [VERSION, GREETING].into_iter().collect::<Content>();
        if postcard_onto(&mut content, greeting) {
            send(&frame::encode(&content));
        }
    }

    /// Seals and sends `message`; nothing happens without a session.
    pub(crate) fn seal<T: Serialize>(&mut self, message: &T, send: impl FnOnce(&[u8])) {
        let Some(session) = &mut self.session else { return };
        let Some(counter) = session.sent.checked_add(1) else { return };
        let mut content = [VERSION, SEALED].into_iter().chain(counter.to_le_bytes()).collect::<Content>();
        if !postcard_onto(&mut content, message) {
            return;
        }
        let (header, body) = content.split_at_mut(HEADER_LEN);
        let Ok(tag) = session.cipher.encrypt_inout_detached(&nonce(self.side, counter), header, body.into()) else {
            return;
        };
        if content.extend_from_slice(&tag).is_ok() {
            session.sent = counter;
            send(&frame::encode(&content));
        }
    }

    /// Takes one octet; says what it completes.
    pub(crate) fn push(&mut self, octet: u8) -> Option<Incoming> {
        let Ok(content) = self.deframer.push(octet)? else {
            count(&mut self.counters.noise);
            return None;
        };
        match content.split_first_chunk() {
            Some(([VERSION, GREETING], body)) => match postcard::from_bytes(body) {
                Ok(greeting) => Some(Incoming::Greeting(greeting)),
                Err(_) => self.unknown(),
            },
            Some(([VERSION, SEALED], _)) => self.open(&content).map(Incoming::Message),
            _ => self.unknown(),
        }
    }

    /// Counts a message that this end does not know.
    pub(crate) fn unknown<T>(&mut self) -> Option<T> {
        count(&mut self.counters.unknown);
        None
    }

    fn open(&mut self, content: &[u8]) -> Option<Body> {
        let Some((header, rest)) = content.split_first_chunk::<HEADER_LEN>() else { return self.unknown() };
        let Some(session) = &mut self.session else {
            count(&mut self.counters.stale);
            return None;
        };
        let [_, _, counter @ ..] = *header;
        let counter = u32::from_le_bytes(counter);
        let opened = rest.split_last_chunk::<TAG_LEN>().and_then(|(sealed, tag)| {
            let mut body = Body::from_slice(sealed).ok()?;
            let nonce = nonce(self.side.other(), counter);
            let tag = Tag::from(*tag);
            session.cipher.decrypt_inout_detached(&nonce, header, body.as_mut_slice().into(), &tag).ok()?;
            Some(body)
        });
        if opened.is_none() {
            count(&mut self.counters.forged);
            session.strikes = session.strikes.saturating_add(1);
            return None;
        }
        session.strikes = 0;
        if counter <= session.heard {
            count(&mut self.counters.stale);
            return None;
        }
        session.heard = counter;
        opened
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Scanner => Self::Edge,
            Self::Edge => Self::Scanner,
        }
    }
}

/// A counter stays at its greatest value rather than begin anew.
fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

fn session_key(key: &EnrolmentKey, device: &str, scanner: &Random, edge: &Random) -> EnrolmentKey {
    let mut salt = [0; 32];
    salt[..16].copy_from_slice(scanner);
    salt[16..].copy_from_slice(edge);
    let mut fresh = [0; 32];
    // RFC 5869 §2.3 bounds the output at 255 hashes; this is one, so it can't be refused.
    let expanded =
        Hkdf::<Sha256>::new(Some(&salt), key).expand_multi_info(&[b"stowage link 1 ", device.as_bytes()], &mut fresh);
    debug_assert!(expanded.is_ok());
    fresh
}

/// Direction (0 from the scanner, 1 from the edge), seven zeros, the counter with its least octet first.
fn nonce(from: Side, counter: u32) -> Nonce {
    let mut nonce = [0; 12];
    nonce[0] = (from == Side::Edge).into();
    nonce[8..].copy_from_slice(&counter.to_le_bytes());
    nonce.into()
}

/// Appends `message` in postcard; false if there is no room, which the bounds of the messages rule out (tested).
fn postcard_onto<T: Serialize, const N: usize>(content: &mut Vec<u8, N>, message: &T) -> bool {
    let mut body = [0; BODY_LEN_MAX];
    let written = postcard::to_slice(message, &mut body).is_ok_and(|body| content.extend_from_slice(body).is_ok());
    debug_assert!(written, "a message is longer than a frame");
    written
}
