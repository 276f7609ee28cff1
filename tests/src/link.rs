//! A handheld's side of the link, spoken octet by octet as `stowage-link` documents it: for what no handheld of ours
//! would say.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

/// `Ready` of a handheld that has nothing: no answer, no catalogue, no tasks.
pub const READY: [u8; 6] = [0; 6];

/// A connection to the scanners' port.
pub struct Line {
    stream: TcpStream,
    session: Option<Session>,
    heard: Vec<u8>,
}

struct Session {
    cipher: ChaCha20Poly1305,
    sent: u32,
}

impl Line {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens, or the edge sends it away.
    pub fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, session: None, heard: Vec::new() })
    }

    /// Says hello as `device` and takes the edge's welcome: a session under `key`.
    ///
    /// # Errors
    /// The edge doesn't answer.
    ///
    /// # Panics
    /// Its answer isn't a welcome.
    pub fn greet(&mut self, device: &str, key: &[u8; 32]) -> io::Result<()> {
        let ours = [7; 16];
        self.send(&frame(&hello(device, &ours)))?;
        let welcome = loop {
            if let Some(frame) = self.hear(true)?.pop() {
                break frame;
            }
        };
        let [1, 0, 1, theirs @ ..] = &welcome[..] else { panic!("no welcome: {welcome:?}") };
        assert_eq!(theirs[16..], ours, "a welcome to this hello");
        let salt = [&ours, &theirs[..16]].concat();
        let info = [b"stowage link 1 ", device.as_bytes()].concat();
        let mut fresh = [0; 32];
        Hkdf::<Sha256>::new(Some(&salt), key).expand(&info, &mut fresh).expect("one hash is enough");
        self.session = Some(Session { cipher: ChaCha20Poly1305::new(&fresh.into()), sent: 0 });
        Ok(())
    }

    /// The sealed frame of `message`, which nobody has sent before.
    ///
    /// # Panics
    /// There is no session.
    pub fn seal(&mut self, message: &[u8]) -> Vec<u8> {
        let Session { cipher, sent } = self.session.as_mut().expect("greeted");
        *sent += 1;
        let header = [&[1, 1], &sent.to_le_bytes()[..]].concat();
        let mut body = message.to_vec();
        let nonce = nonce(0, *sent);
        let tag = cipher.encrypt_inout_detached(&nonce, &header, body.as_mut_slice().into()).expect("short");
        frame(&[&header[..], &body, &tag].concat())
    }

    /// Sends octets.
    ///
    /// # Errors
    /// The edge has closed the connection.
    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets)
    }

    /// The messages that have come since the last call, opened.
    ///
    /// # Errors
    /// The edge has closed the connection.
    ///
    /// # Panics
    /// A frame isn't the edge's.
    pub fn messages(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let frames = self.hear(false)?;
        let cipher = &self.session.as_ref().expect("greeted").cipher;
        let open = |frame: Vec<u8>| {
            let (header, rest) = frame.split_at(6);
            let (body, tag) = rest.split_at(rest.len() - 16);
            let nonce = nonce(1, u32::from_le_bytes(header[2..].try_into().expect("four")));
            let (mut body, tag) = (body.to_vec(), <[u8; 16]>::try_from(tag).expect("sixteen"));
            let opened = cipher.decrypt_inout_detached(&nonce, header, body.as_mut_slice().into(), &tag.into());
            opened.expect("the edge has the key");
            body
        };
        // A welcome comes in the clear.
        Ok(frames.into_iter().filter(|frame| frame[1] == 1).map(open).collect())
    }

    /// The frames that have come; waits for some if asked to.
    fn hear(&mut self, wait: bool) -> io::Result<Vec<Vec<u8>>> {
        let mut octets = [0; 65_536];
        self.stream.set_nonblocking(!wait)?;
        let count = match self.stream.read(&mut octets) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.stream.set_nonblocking(false)?;
        self.heard.extend_from_slice(&octets[..count]);
        let Some(end) = self.heard.iter().rposition(|octet| *octet == 0) else { return Ok(Vec::new()) };
        let whole: Vec<u8> = self.heard.drain(..=end).collect();
        Ok(whole.split(|octet| *octet == 0).filter(|frame| !frame.is_empty()).map(content).collect())
    }
}

/// From the scanner 0, from the edge 1; seven zeros, the counter.
fn nonce(from: u8, counter: u32) -> Nonce {
    let mut nonce = [0; 12];
    nonce[0] = from;
    nonce[8..].copy_from_slice(&counter.to_le_bytes());
    nonce.into()
}

/// The content of a hello.
pub fn hello(device: &str, random: &[u8; 16]) -> Vec<u8> {
    [&[1, 0, 0, device.len() as u8], device.as_bytes(), random].concat()
}

/// The message of intent `seq`: `worker` receives `quantity` of a GTIN at a location.
pub fn receive(seq: u32, worker: &str, gtin: u64, quantity: u32, at: &str) -> Vec<u8> {
    let mut message = vec![1];
    varint(&mut message, seq.into());
    // When: by its own clock, which was never set.
    varint(&mut message, 0);
    text(&mut message, worker);
    message.extend([0, 1]);
    varint(&mut message, gtin);
    message.extend([0, 0, 0]);
    varint(&mut message, quantity.into());
    text(&mut message, at);
    message
}

fn text(message: &mut Vec<u8>, text: &str) {
    varint(message, text.len() as u64);
    message.extend_from_slice(text.as_bytes());
}

/// Seven bits an octet, least first, the top bit on all but the last.
fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// The number that begins `message`, and what follows it.
pub fn number(message: &[u8]) -> (u64, &[u8]) {
    let len = message.iter().take_while(|octet| **octet > 0x7F).count() + 1;
    let (octets, rest) = message.split_at(len.min(message.len()));
    (octets.iter().rev().fold(0, |value, octet| value << 7 | u64::from(octet & 0x7F)), rest)
}

/// The frame of `content`: COBS of it and its CRC-32, then a zero.
pub fn frame(content: &[u8]) -> Vec<u8> {
    let octets = [content, &crc(content).to_le_bytes()].concat();
    let runs = octets.split(|octet| *octet == 0).flat_map(|run| {
        assert!(run.len() < 254, "no run of a frame is longer");
        std::iter::once(run.len() as u8 + 1).chain(run.iter().copied())
    });
    runs.chain([0]).collect()
}

/// What is in a frame (without its zero), the CRC checked.
fn content(frame: &[u8]) -> Vec<u8> {
    let (mut octets, mut rest) = (Vec::new(), frame);
    while let [code, tail @ ..] = rest {
        let (run, next) = tail.split_at(usize::from(*code) - 1);
        octets.extend_from_slice(run);
        if !next.is_empty() {
            octets.push(0);
        }
        rest = next;
    }
    let (content, sum) = octets.split_at(octets.len() - 4);
    assert_eq!(sum, crc(content).to_le_bytes(), "the edge's checksum");
    content.to_vec()
}

/// CRC-32 of IEEE 802.3.
fn crc(octets: &[u8]) -> u32 {
    !octets.iter().fold(!0, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}
