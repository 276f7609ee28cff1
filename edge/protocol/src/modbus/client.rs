//! The client: one request at a time, and an answer only ever to the request that is under way.
//!
//! 1. [`Client::ask`] sends a request once [`Client::ready_at`] has come.
//! 2. The answer comes out of [`Client::receive`], or from [`Client::tick`] the news that none came in time.
//! 3. On a serial line, what comes after a time-out belongs to nobody, but looks like any answer. So the line is drained:
//!    nothing is asked for as long again as an answer may take, and 3.5 characters of silence more. A server that answers
//!    within twice that time is never misheard; one that is slower still must pass for an answer of the same unit,
//!    function and length. Over TCP the transaction number tells late answers; they are ignored at once.

use super::pdu::{self, Answer, PduError, Request};
use super::rtu::{self, Length};
use super::tcp::{self, FrameError};
use super::{Framing, Serial};
use stowage_base::{Duration, Timestamp};

/// How a client treats its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSettings {
    /// The envelope.
    pub framing: Framing,
    /// Which unit is asked, 1 to 247; over TCP mostly 1 or 255.
    pub unit: u8,
    /// The longest that the server takes to begin its answer.
    pub response_max: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// None came in time.
    #[error("no answer in time; {octets} octets came that are none")]
    Silence {
        /// Octets that came instead.
        octets: usize,
    },
    /// One came that breaks the standard, or is not what was asked for.
    #[error("an answer that breaks the standard: {0}")]
    Malformed(PduError),
    /// One came that fits another request.
    #[error("an answer to another request: function {function}, or another address or count")]
    Foreign {
        /// Its function code.
        function: u8,
    },
    /// The stream has lost its framing: the connection must be closed.
    #[error("not Modbus: {0}")]
    Framing(FrameError),
}

/// What a client makes of an answer, or of its lack.
pub type Outcome = Result<Answer, Failure>;

#[derive(Debug)]
enum State {
    /// There is no line, or the stream on it has lost its framing.
    Closed,
    /// The next request may leave then.
    Ready(Timestamp),
    Asked {
        request: Request,
        until: Timestamp,
    },
}

/// One client of one unit. Driven like every session: tell it when the line opens, closes and brings octets, and call
/// [`tick`](Self::tick) at or after [`next_deadline`](Self::next_deadline).
#[derive(Debug)]
pub struct Client {
    settings: ClientSettings,
    state: State,
    /// TCP: the number of the last request.
    transaction: u16,
    /// What has come since the request, or is no whole frame yet.
    buffer: Vec<u8>,
    over: bool,
    strays: u64,
}

impl Client {
    /// A client without a line.
    pub const fn new(settings: ClientSettings) -> Self {
        Self { settings, state: State::Closed, transaction: 0, buffer: Vec::new(), over: false, strays: 0 }
    }

    /// The line is open. What an earlier user of a serial line asked may still be answered: it is drained first.
    pub fn connected(&mut self, now: Timestamp) {
        self.buffer.clear();
        self.over = false;
        self.state = State::Ready(match self.settings.framing {
            Framing::Rtu(serial) => now + self.settings.response_max + serial.gap(),
            Framing::Tcp => now,
        });
    }

    /// The line is closed; a request under way is answered no more.
    pub fn disconnected(&mut self) {
        self.state = State::Closed;
        self.buffer.clear();
    }

    /// The connection must be closed: the stream has lost its framing.
    pub const fn over(&self) -> bool {
        self.over
    }

    /// Octets and frames that answered nothing.
    pub const fn strays(&self) -> u64 {
        self.strays
    }

    /// When the next request may leave; `None` while one is under way, or there is no line.
    pub const fn ready_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Ready(at) => Some(at),
            State::Closed | State::Asked { .. } => None,
        }
    }

    /// The octets that ask `request`, which is then under way; `None` before [`ready_at`](Self::ready_at).
    pub fn ask(&mut self, now: Timestamp, request: Request) -> Option<Vec<u8>> {
        if self.ready_at().is_none_or(|at| now < at) {
            return None;
        }
        let ClientSettings { framing, unit, response_max } = self.settings;
        let (octets, until) = match framing {
            Framing::Rtu(serial) => {
                let octets = rtu::frame(unit, |out| request.encode(out));
                // Unit and checksum around the answer.
                let on_the_line = serial.octets(octets.len() + request.response_len() + 3);
                (octets, now + on_the_line + response_max)
            }
            Framing::Tcp => {
                self.transaction = self.transaction.wrapping_add(1);
                (tcp::frame(self.transaction, unit, |out| request.encode(out)), now + response_max)
            }
        };
        self.state = State::Asked { request, until };
        Some(octets)
    }

    /// Octets have come. Gives the answer if they complete it.
    pub fn receive(&mut self, now: Timestamp, octets: &[u8]) -> Option<Outcome> {
        match self.settings.framing {
            Framing::Rtu(serial) => self.receive_rtu(now, octets, serial),
            Framing::Tcp => self.receive_tcp(now, octets),
        }
    }

    /// Time has passed. Gives the failure if the answer's time is over.
    pub fn tick(&mut self, now: Timestamp) -> Option<Outcome> {
        match self.state {
            State::Asked { until, .. } if until <= now => {}
            State::Asked { .. } | State::Ready(_) | State::Closed => return None,
        }
        self.strays += u64::from(!self.buffer.is_empty());
        let octets = match self.settings.framing {
            Framing::Rtu(serial) => {
                self.state = State::Ready(now + self.settings.response_max + serial.gap());
                std::mem::take(&mut self.buffer).len()
            }
            Framing::Tcp => {
                // The buffer stays: the rest of a frame may follow.
                self.state = State::Ready(now);
                0
            }
        };
        Some(Err(Failure::Silence { octets }))
    }

    /// When to call [`tick`](Self::tick) if nothing else happens.
    pub const fn next_deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Asked { until, .. } => Some(until),
            State::Ready(_) | State::Closed => None,
        }
    }

    fn receive_rtu(&mut self, now: Timestamp, octets: &[u8], serial: Serial) -> Option<Outcome> {
        let gap = serial.gap();
        let request = match &mut self.state {
            State::Closed => return None,
            State::Ready(at) => {
                // Late, or noise: it belongs to nobody, and the line is not silent yet.
                *at = (*at).max(now + gap);
                self.strays += 1;
                return None;
            }
            State::Asked { request, .. } => request,
        };
        self.buffer.extend_from_slice(octets);
        if self.buffer.len() > 2 * rtu::FRAME_MAX {
            // Chatter: only the end could be an answer.
            self.buffer.drain(..self.buffer.len() - rtu::FRAME_MAX);
        }
        // A transceiver that changes direction may put an octet before the answer, but nothing comes after it.
        let ends_here = |from: &usize| {
            let frame = &self.buffer[*from..];
            frame[0] == self.settings.unit
                && frame.get(1).is_some_and(|code| code & !pdu::EXCEPTION_BIT == request.function())
                && rtu::answer_length(frame) == Length::Known(frame.len())
        };
        let answer = (0..self.buffer.len()).filter(ends_here).find_map(|from| {
            let (_, pdu) = rtu::open(&self.buffer[from..])?;
            let (_, answer) = pdu::decode_answer(pdu).ok()?;
            answer.as_ref().map_or(true, |response| response.answers(request)).then_some(answer)
        })?;
        self.state = State::Ready(now + gap);
        self.buffer.clear();
        Some(Ok(answer))
    }

    fn receive_tcp(&mut self, now: Timestamp, octets: &[u8]) -> Option<Outcome> {
        if matches!(self.state, State::Closed) {
            return None;
        }
        self.buffer.extend_from_slice(octets);
        let (mut outcome, mut at) = (None, 0);
        loop {
            match tcp::Frame::split(&self.buffer[at..]) {
                Ok(None) => break,
                Ok(Some((frame, rest))) => {
                    match &self.state {
                        State::Asked { request, .. }
                            if frame.transaction == self.transaction && frame.unit == self.settings.unit =>
                        {
                            outcome = Some(heard(request, frame.pdu));
                            self.state = State::Ready(now);
                        }
                        State::Asked { .. } | State::Ready(_) | State::Closed => self.strays += 1,
                    }
                    at = self.buffer.len() - rest.len();
                }
                Err(error) => {
                    let waiting = matches!(self.state, State::Asked { .. });
                    self.disconnected();
                    self.over = true;
                    return outcome.or_else(|| waiting.then_some(Err(Failure::Framing(error))));
                }
            }
        }
        self.buffer.drain(..at);
        outcome
    }
}

/// What a frame with the right number says to `request`.
fn heard(request: &Request, pdu: &[u8]) -> Outcome {
    let (function, answer) = pdu::decode_answer(pdu).map_err(Failure::Malformed)?;
    let fits = function == request.function() && answer.as_ref().map_or(true, |response| response.answers(request));
    if fits { Ok(answer) } else { Err(Failure::Foreign { function }) }
}

#[cfg(test)]
mod tests {
    use super::super::{Exception, Response, Server};
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const START: Timestamp = Timestamp::from_micros(1_795_558_200_000_000);
    const SERIAL: Serial = Serial { baud: 19_200, bits: 11 };
    const RESPONSE_MAX: Duration = Duration::from_millis(100);

    fn ms(millis: i64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A client whose line is open and silent at `START`.
    fn client(framing: Framing) -> Client {
        let mut client = Client::new(ClientSettings { framing, unit: 7, response_max: RESPONSE_MAX });
        client.connected(START - ms(200));
        client
    }

    fn read(address: u16) -> Request {
        Request::ReadHoldingRegisters { address, count: 1 }
    }

    /// Unit 7's answer to [`read`]: the register's value is its address.
    fn value(address: u16) -> Vec<u8> {
        rtu::frame(7, |out| Response::ReadHoldingRegisters(vec![address]).encode(out))
    }

    fn good(address: u16) -> Option<Outcome> {
        Some(Ok(Ok(Response::ReadHoldingRegisters(vec![address]))))
    }

    #[test]
    fn a_late_answer_is_drained_and_never_the_next_requests() {
        let mut client = client(Framing::Rtu(SERIAL));
        client.ask(START, read(500)).expect("the line is silent");
        assert_eq!(client.ask(START, read(501)), None, "one at a time");
        let late = client.next_deadline().expect("it waits");
        assert_eq!((late - START).micros(), SERIAL.octets(8 + 7).micros() + 100_000);
        assert_eq!(client.tick(late - ms(1)), None);
        assert_eq!(client.tick(late), Some(Err(Failure::Silence { octets: 0 })));
        assert_eq!(client.ask(late + ms(100), read(20)), None, "something could still come");
        assert_eq!(client.receive(late + ms(101), &value(500)), None);
        assert_eq!(client.ready_at(), Some(late + ms(101) + SERIAL.gap()), "silence is waited for");
        let at = late + ms(104);
        client.ask(at, read(20)).expect("the line is silent");
        assert_eq!(client.receive(at + ms(9), &value(20)), good(20));
        assert_eq!(client.strays(), 1);
    }

    #[test]
    fn an_answer_is_heard_in_pieces_and_behind_noise_but_not_before_it() {
        let mut client = client(Framing::Rtu(SERIAL));
        client.ask(START, read(1)).expect("silent");
        let answer = value(1);
        assert_eq!(client.receive(START + ms(1), &[0x00]), None);
        assert_eq!(client.receive(START + ms(2), &answer[..4]), None);
        assert_eq!(client.receive(START + ms(3), &answer[4..]), good(1));
        let next = START + ms(10);
        client.ask(next, read(2)).expect("silent");
        assert_eq!(client.receive(next, &[&value(2)[..], &[0x55]].concat()), None, "no frame goes on after its end");
        for wrong in [rtu::frame(8, |out| out.extend([3, 2, 0, 2])), rtu::frame(7, |out| out.extend([4, 2, 0, 2]))] {
            assert_eq!(client.receive(next + ms(1), &wrong), None);
        }
        let refused = rtu::frame(7, |out| pdu::encode_answer(3, &Err(Exception::ILLEGAL_DATA_ADDRESS), out));
        assert_eq!(client.receive(next + ms(2), &refused), Some(Ok(Err(Exception::ILLEGAL_DATA_ADDRESS))));
    }

    #[test]
    fn over_tcp_the_transaction_number_decides() {
        let mut client = client(Framing::Tcp);
        let asked = client.ask(START, read(1)).expect("ready");
        assert_eq!(asked, [0, 1, 0, 0, 0, 6, 7, 3, 0, 1, 0, 1]);
        let answer = |transaction, address| {
            let response = Response::ReadHoldingRegisters(vec![address]);
            tcp::frame(transaction, 7, |out| response.encode(out))
        };
        assert_eq!(client.receive(START + ms(1), &answer(2, 9)), None, "of another request");
        assert_eq!(client.tick(START + ms(100)), Some(Err(Failure::Silence { octets: 0 })));
        client.ask(START + ms(100), read(5)).expect("at once");
        let both = [answer(1, 1), answer(2, 5)].concat();
        let (early, rest) = both.split_at(15);
        assert_eq!(client.receive(START + ms(101), early), None);
        assert_eq!(client.receive(START + ms(102), rest), good(5));
        client.ask(START + ms(103), read(6)).expect("ready");
        let two = tcp::frame(3, 7, |out| Response::ReadHoldingRegisters(vec![6, 6]).encode(out));
        assert_eq!(client.receive(START + ms(104), &two), Some(Err(Failure::Foreign { function: 3 })));
        client.ask(START + ms(105), read(6)).expect("ready");
        let odd = [0, 4, 0, 0, 0, 4, 7, 3, 1, 6];
        let malformed = PduError::Odd { function: 3, octets: 1 };
        assert_eq!(client.receive(START + ms(106), &odd), Some(Err(Failure::Malformed(malformed))));
        client.ask(START + ms(107), read(6)).expect("ready");
        let framing = FrameError::Length(0xFFFF);
        assert_eq!(client.receive(START + ms(108), &[0, 5, 0, 0, 0xFF, 0xFF]), Some(Err(Failure::Framing(framing))));
        assert!(client.over() && client.ready_at().is_none());
    }

    proptest! {
        /// A server that answers each request with its address, after any time up to twice what was agreed, or never.
        #[test]
        fn no_answer_is_ever_taken_for_anothers(
            delays in proptest::collection::vec((0_i64..205, 0_u8..10, 1_usize..9), 1..40),
            tcp: bool,
        ) {
            let framing = if tcp { Framing::Tcp } else { Framing::Rtu(SERIAL) };
            let mut client = client(framing);
            let mut server = Server::new(framing, 7);
            let (mut now, mut line) = (START, VecDeque::<(Timestamp, Vec<u8>)>::new());
            let (mut in_time, mut answered) = (0, 0);
            for (address, (delay, dice, piece)) in delays.into_iter().enumerate() {
                let request = read(address as u16);
                now = now.max(client.ready_at().expect("the line is open"));
                // What is due by now has come before.
                while let Some((at, octets)) = line.pop_front_if(|(at, _)| *at <= now) {
                    prop_assert_eq!(client.receive(at, &octets), None, "it answers nothing");
                }
                now = now.max(client.ready_at().expect("the line is open"));
                let asked = client.ask(now, request).expect("ready");
                let arrival = now + SERIAL.octets(asked.len()) + ms(delay);
                let mut answer = Vec::new();
                let obey = &mut |request: &Request| match request {
                    Request::ReadHoldingRegisters { address, .. } => Ok(Response::ReadHoldingRegisters(vec![*address])),
                    other => panic!("{other:?}"),
                };
                server.receive(now, &asked, obey, &mut |octets| answer.extend_from_slice(octets));
                if dice > 0 {
                    in_time += usize::from(delay <= 90 && line.is_empty());
                    // A server answers in the order in which it is asked.
                    let arrival = line.back().map_or(arrival, |(last, _)| arrival.max(*last + ms(1)));
                    line.extend(answer.chunks(piece).map(|octets| (arrival, octets.to_vec())));
                }
                loop {
                    let until = client.next_deadline().expect("it waits");
                    let outcome = match line.pop_front_if(|(at, _)| *at <= until) {
                        Some((at, octets)) => {
                            now = now.max(at);
                            client.receive(now, &octets)
                        }
                        None => {
                            now = until;
                            client.tick(until)
                        }
                    };
                    match outcome {
                        None => {}
                        Some(Err(Failure::Silence { .. })) => break,
                        Some(outcome) => {
                            prop_assert_eq!(Some(outcome), good(address as u16));
                            answered += 1;
                            break;
                        }
                    }
                }
            }
            // Those in time are taken: none is lost by caution.
            prop_assert!(answered >= in_time, "{answered} of {in_time}");
        }

        #[test]
        fn any_octets_at_any_time_do_no_harm(
            chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), 0_i64..300), 0..30),
            tcp: bool,
        ) {
            let mut client = client(if tcp { Framing::Tcp } else { Framing::Rtu(SERIAL) });
            let mut now = START;
            for (octets, wait) in chunks {
                let _ = client.ask(now, read(3));
                now += ms(wait);
                client.tick(now);
                client.receive(now, &octets);
                prop_assert!(client.buffer.len() <= 2 * rtu::FRAME_MAX + 300);
                if client.over() {
                    client.connected(now);
                }
            }
        }
    }
}
