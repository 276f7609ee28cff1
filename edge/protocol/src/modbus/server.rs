//! The server: obeys requests for its unit, one after another.

use super::pdu::{self, Answer, Request};
use super::rtu::{self, Length};
use super::tcp;
use super::{BROADCAST, Framing};
use stowage_base::{Duration, Timestamp};

/// How long a frame may pause in its middle. The standard's 1.5 characters are not to be had behind an operating system.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// What a request does.
pub type Obey<'a> = &'a mut dyn FnMut(&Request) -> Answer;

/// One server on one line. Driven like every session.
#[derive(Debug)]
pub struct Server {
    framing: Framing,
    unit: u8,
    buffer: Vec<u8>,
    /// When the last octets came.
    heard: Timestamp,
    /// RTU: what comes until the line is silent is not for us.
    deaf: bool,
    over: bool,
    malformed: u64,
}

impl Server {
    /// A server of `unit`, 1 to 247. Over TCP it also answers for units 0 and 255, which mean "whoever is there".
    pub const fn new(framing: Framing, unit: u8) -> Self {
        let heard = Timestamp::EPOCH;
        Self { framing, unit, buffer: Vec::new(), heard, deaf: false, over: false, malformed: 0 }
    }

    /// A client has come: nothing of an earlier one counts.
    pub fn connected(&mut self) {
        (self.deaf, self.over) = (false, false);
        self.buffer.clear();
    }

    /// The connection must be closed: the stream has lost its framing.
    pub const fn over(&self) -> bool {
        self.over
    }

    /// How many requests broke the standard, damaged frames aside.
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Octets have come. Each whole request goes to `obey`, its answer to `out`.
    pub fn receive(&mut self, now: Timestamp, octets: &[u8], obey: Obey<'_>, out: &mut dyn FnMut(&[u8])) {
        match self.framing {
            Framing::Rtu(serial) => {
                let pause = if self.deaf { serial.gap() } else { PAUSE_MAX.max(serial.gap()) };
                if now - self.heard >= pause {
                    self.end_of_silence(obey, out);
                }
                self.heard = now;
                if !self.deaf {
                    self.buffer.extend_from_slice(octets);
                    self.requests_rtu(obey, out);
                }
            }
            Framing::Tcp => self.receive_tcp(octets, obey, out),
        }
    }

    /// Time has passed: a frame whose end only silence tells may be over.
    pub fn tick(&mut self, now: Timestamp, obey: Obey<'_>, out: &mut dyn FnMut(&[u8])) {
        if self.next_deadline().is_some_and(|at| at <= now) {
            self.end_of_silence(obey, out);
        }
    }

    /// When to call [`tick`](Self::tick) if nothing else happens.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let Framing::Rtu(serial) = self.framing else { return None };
        (!self.buffer.is_empty()).then(|| self.heard + PAUSE_MAX.max(serial.gap()))
    }

    /// The line was silent: what came before is a frame, or none.
    fn end_of_silence(&mut self, obey: Obey<'_>, out: &mut dyn FnMut(&[u8])) {
        self.deaf = false;
        let frame = std::mem::take(&mut self.buffer);
        if let Some((unit, pdu)) = rtu::open(&frame) {
            self.answer_rtu(unit, pdu, obey, out);
        }
    }

    fn requests_rtu(&mut self, obey: Obey<'_>, out: &mut dyn FnMut(&[u8])) {
        while let Length::Known(length) = rtu::request_length(&self.buffer) {
            if self.buffer.len() < length {
                return;
            }
            let rest = self.buffer.split_off(length);
            let frame = std::mem::replace(&mut self.buffer, rest);
            match rtu::open(&frame) {
                Some((unit, pdu)) if unit == self.unit || unit == BROADCAST => self.answer_rtu(unit, pdu, obey, out),
                // Damaged, or for another: its answer may follow and look like a request.
                Some(_) | None => {
                    self.buffer.clear();
                    self.deaf = true;
                    return;
                }
            }
        }
        if self.buffer.len() > rtu::FRAME_MAX {
            self.buffer.clear();
            self.deaf = true;
        }
    }

    fn answer_rtu(&mut self, unit: u8, pdu: &[u8], obey: Obey<'_>, out: &mut dyn FnMut(&[u8])) {
        if unit != self.unit && unit != BROADCAST {
            return;
        }
        let answer = self.answer(pdu, obey);
        if unit != BROADCAST {
            out(&rtu::frame(unit, |out| pdu::encode_answer(pdu[0], &answer, out)));
        }
    }

    fn receive_tcp(&mut self, octets: &[u8], obey: Obey<'_>, out: &mut dyn FnMut(&[u8])) {
        if self.over {
            return;
        }
        self.buffer.extend_from_slice(octets);
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = &buffer[..];
        loop {
            match tcp::Frame::split(rest) {
                Ok(None) => break,
                Ok(Some((frame, after))) => {
                    let ours = [self.unit, BROADCAST, 255].contains(&frame.unit);
                    let answer =
                        if ours { self.answer(frame.pdu, obey) } else { Err(pdu::Exception::GATEWAY_TARGET_FAILED) };
                    // A frame has at least a function code.
                    let function = frame.pdu[0];
                    out(&tcp::frame(frame.transaction, frame.unit, |out| pdu::encode_answer(function, &answer, out)));
                    rest = after;
                }
                Err(_) => {
                    self.over = true;
                    return;
                }
            }
        }
        self.buffer = rest.to_vec();
    }

    fn answer(&mut self, pdu: &[u8], obey: Obey<'_>) -> Answer {
        match Request::decode(pdu) {
            Ok(request) => obey(&request),
            Err(error) => {
                self.malformed += 1;
                Err(error.exception())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pdu::tests::{request, response};
    use super::super::{Exception, Serial};
    use super::*;
    use proptest::prelude::*;

    const SERIAL: Serial = Serial { baud: 19_200, bits: 11 };

    fn at(millis: i64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_millis(1_000 + millis)
    }

    /// What the server answers to `octets` at `now`, obeying all with value 5.
    fn hear(server: &mut Server, now: Timestamp, octets: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        server
            .receive(now, octets, &mut |request| Ok(response(request, 5)), &mut |octets| out.extend_from_slice(octets));
        out
    }

    fn ask(unit: u8) -> Vec<u8> {
        rtu::frame(unit, |out| Request::ReadHoldingRegisters { address: 1, count: 1 }.encode(out))
    }

    fn answer() -> Vec<u8> {
        rtu::frame(7, |out| out.extend([3, 2, 0, 5]))
    }

    #[test]
    fn it_answers_its_own_unit_and_obeys_a_broadcast_in_silence() {
        let mut server = Server::new(Framing::Rtu(SERIAL), 7);
        assert_eq!(hear(&mut server, at(0), &ask(7)), answer());
        let write = rtu::frame(0, |out| Request::WriteSingleRegister { address: 1, value: 2 }.encode(out));
        let mut obeyed = 0;
        let obey = &mut |request: &Request| {
            obeyed += 1;
            Ok(response(request, 5))
        };
        server.receive(at(10), &write, obey, &mut |_| panic!("nobody answers a broadcast"));
        assert_eq!(obeyed, 1);
        // A neighbour's request and its answer, which looks like a request for us; then ours after a silence.
        let theirs = [ask(8), rtu::frame(8, |out| out.extend([3, 2, 7, 3]))].concat();
        assert_eq!(hear(&mut server, at(20), &theirs), b"");
        assert_eq!(hear(&mut server, at(21), &ask(7)), b"", "the line was not silent");
        assert_eq!(hear(&mut server, at(24), &ask(7)), answer());
    }

    #[test]
    fn half_a_frame_is_forgotten_after_a_silence() {
        let mut server = Server::new(Framing::Rtu(SERIAL), 7);
        assert_eq!(hear(&mut server, at(0), &ask(7)[..5]), b"");
        assert_eq!(server.next_deadline(), Some(at(20)));
        assert_eq!(hear(&mut server, at(60), &ask(7)), answer());
        assert_eq!(hear(&mut server, at(70), &ask(7)[..5]), b"");
        assert_eq!(hear(&mut server, at(80), &ask(7)[5..]), answer(), "a pause that bursts make is none");
    }

    #[test]
    fn a_function_that_nobody_has_is_refused_once_the_line_is_silent() {
        let mut server = Server::new(Framing::Rtu(SERIAL), 7);
        assert_eq!(hear(&mut server, at(0), &rtu::frame(7, |out| out.extend([43, 14, 1, 0]))), b"");
        let mut out = Vec::new();
        let due = server.next_deadline().expect("it waits");
        server.tick(due, &mut |request| panic!("{request:?}"), &mut |octets| out.extend_from_slice(octets));
        assert_eq!(out, rtu::frame(7, |out| out.extend([0xAB, 1])));
        let mut server = Server::new(Framing::Tcp, 7);
        assert_eq!(hear(&mut server, at(0), &[0, 9, 0, 0, 0, 3, 7, 43, 14]), [0, 9, 0, 0, 0, 3, 7, 0xAB, 1]);
        assert_eq!(hear(&mut server, at(0), &[0, 9, 0, 0, 0, 3, 6, 43, 14]), [0, 9, 0, 0, 0, 3, 6, 0xAB, 11]);
        assert_eq!(server.malformed(), 1);
        assert_eq!(Exception(11).to_string(), "the gateway got no answer from the unit (exception 11)");
    }

    proptest! {
        #[test]
        fn any_chunking_of_requests_gives_the_same_answers(
            requests in proptest::collection::vec(request(), 1..5),
            cut in 1_usize..64,
            tcp: bool,
        ) {
            let framing = if tcp { Framing::Tcp } else { Framing::Rtu(SERIAL) };
            let mut server = Server::new(framing, 7);
            let (mut expected, mut heard, mut now) = (Vec::new(), Vec::new(), at(0));
            for (number, request) in requests.iter().enumerate() {
                let response = response(request, 5);
                let (asked, answer) = match framing {
                    Framing::Tcp => {
                        let number = number as u16;
                        let asked = tcp::frame(number, 7, |out| request.encode(out));
                        (asked, tcp::frame(number, 7, |out| response.encode(out)))
                    }
                    Framing::Rtu(_) => {
                        let asked = rtu::frame(7, |out| request.encode(out));
                        (asked, rtu::frame(7, |out| response.encode(out)))
                    }
                };
                for chunk in asked.chunks(cut) {
                    now += Duration::from_millis(1);
                    heard.extend(hear(&mut server, now, chunk));
                }
                expected.extend(answer);
            }
            prop_assert_eq!(heard, expected);
        }

        #[test]
        fn any_octets_at_any_time_do_no_harm(
            chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), 0_i64..50), 0..30),
            tcp: bool,
        ) {
            let framing = if tcp { Framing::Tcp } else { Framing::Rtu(SERIAL) };
            let mut server = Server::new(framing, 7);
            let mut now = at(0);
            for (octets, wait) in chunks {
                now += Duration::from_millis(wait);
                hear(&mut server, now, &octets);
                prop_assert!(server.buffer.len() <= rtu::FRAME_MAX + 300);
            }
            // After a silence it hears a good request, unless its stream is broken for good.
            if !tcp {
                prop_assert!(hear(&mut server, now + Duration::from_secs(1), &ask(7)).ends_with(&answer()));
            }
        }
    }
}
