//! Modbus: PDUs and frames, both ends, and both ends of a PLC's session.

use crate::steps::{START, Step, Steps};
use stowage_base::{Code, Duration, Timestamp};
use stowage_protocol::modbus::pdu::{decode_answer, encode_answer};
use stowage_protocol::modbus::{Answer, Client, ClientSettings, Exception, Framing, Request, Serial, Server, rtu, tcp};
use stowage_protocol::modbus_sorter::{Edge, EdgeSettings, Halves, Map, Numbered, Plc, PlcSettings, Sink};
use stowage_protocol::sorter::{Event, Order};

const RTU: Framing = Framing::Rtu(Serial { baud: 19_200, bits: 11 });
const PATIENCE: Duration = Duration::from_millis(100);

/// What is understood is encoded to something that is understood the same; frames open as they were closed.
pub(crate) fn frame(data: &[u8]) {
    if let Ok(request) = Request::decode(data) {
        let mut pdu = Vec::new();
        request.encode(&mut pdu);
        assert_eq!(Request::decode(&pdu), Ok(request));
    }
    if let Ok((function, answer)) = decode_answer(data) {
        let mut pdu = Vec::new();
        encode_answer(function, &answer, &mut pdu);
        assert_eq!(pdu, data, "an answer has one spelling");
    }
    if let Some((unit, pdu)) = rtu::open(data) {
        assert_eq!(rtu::frame(unit, |out| out.extend_from_slice(pdu)), data);
    }
    if let Ok(Some((frame, rest))) = tcp::Frame::split(data) {
        let again = tcp::frame(frame.transaction, frame.unit, |out| out.extend_from_slice(frame.pdu));
        assert_eq!([&again, rest].concat(), data);
    }
    let _ = (rtu::request_length(data), rtu::answer_length(data));
}

/// A client bears whatever a server says, on either line.
pub(crate) fn client(data: &[u8]) {
    for framing in [RTU, Framing::Tcp] {
        let mut client = Client::new(ClientSettings { framing, unit: 1, response_max: PATIENCE });
        let mut now = START;
        client.connected(now);
        for step in Steps(data) {
            let _ = client.ask(now, Request::ReadHoldingRegisters { address: 0, count: 2 });
            match step {
                Step::Octets(octets) => drop(client.receive(now, octets)),
                Step::Wait(wait) => {
                    now += wait;
                    client.tick(now);
                    assert!(client.next_deadline().is_none_or(|due| due > now), "due at once again");
                }
            }
            if client.over() {
                client.connected(now);
            }
        }
    }
}

/// A server bears whatever a client says, on either line, and whatever it answers is an answer.
pub(crate) fn server(data: &[u8]) {
    for framing in [RTU, Framing::Tcp] {
        let mut server = Server::new(framing, 1);
        let obey = &mut |_: &Request| -> Answer { Err(Exception::SERVER_DEVICE_BUSY) };
        let answered = &mut |octets: &[u8]| {
            let pdu = match framing {
                Framing::Rtu(_) => rtu::open(octets).map(|(_, pdu)| pdu),
                Framing::Tcp => tcp::Frame::split(octets).ok().flatten().map(|(frame, _)| frame.pdu),
            };
            assert!(pdu.is_some_and(|pdu| decode_answer(pdu).is_ok()), "{octets:02X?}");
        };
        let mut now = START;
        for step in Steps(data) {
            match step {
                Step::Octets(octets) => server.receive(now, octets, obey, answered),
                Step::Wait(wait) => {
                    now += wait;
                    server.tick(now, obey, answered);
                    assert!(server.next_deadline().is_none_or(|due| due > now), "due at once again");
                }
            }
            if server.over() {
                server.connected();
            }
        }
    }
}

const MAP: Map = Map {
    status: 0,
    edge: 20,
    command: 30,
    ring: 40,
    slots: 4,
    code_octets: 8,
    words: Halves::HighFirst,
    text: Halves::HighFirst,
};

fn chute(name: &str) -> Code {
    stowage_base::code(name).unwrap_or_default()
}

fn chutes() -> Vec<Numbered> {
    [("C1", 1), ("H", 2)].map(|(name, number)| Numbered { code: chute(name), number }).to_vec()
}

/// Orders whatever is scanned, and records whatever ends.
#[derive(Default)]
struct Core {
    out: Vec<u8>,
    events: Vec<Event>,
}

impl Sink for Core {
    fn send(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

impl Core {
    fn decide(&mut self, now: Timestamp, edge: &mut Edge) {
        for event in std::mem::take(&mut self.events) {
            match event {
                Event::Scanned { boot, item, decide_by, .. } => {
                    edge.divert(now, Order { boot, item, chute: chute("C1"), deadline: decide_by }, self);
                }
                Event::Outcome { boot, item, .. } => edge.recorded(now, boot, item, self),
                _ => {}
            }
        }
    }
}

fn edge_of(framing: Framing) -> Edge {
    Edge::new(EdgeSettings {
        client: ClientSettings { framing, unit: 1, response_max: PATIENCE },
        map: MAP,
        chutes: chutes(),
        poll: Duration::from_millis(50),
        latency_margin: Duration::from_millis(20),
    })
}

fn plc_of(framing: Framing) -> Plc {
    let settings = PlcSettings {
        framing,
        unit: 1,
        map: MAP,
        chutes: chutes(),
        hospital: chute("H"),
        to_decision: Duration::from_millis(500),
        to_chutes: Duration::from_millis(200),
        between_chutes: Duration::from_millis(100),
    };
    Plc::new(settings, 1, START)
}

/// The edge's end bears a PLC whose answers are the data's: the first octet says on which line.
pub(crate) fn edge(data: &[u8]) {
    let Some((&line, data)) = data.split_first() else { return };
    let framing = if line & 1 == 0 { RTU } else { Framing::Tcp };
    let (mut edge, mut core, mut now) = (edge_of(framing), Core::default(), START);
    edge.connected(now, &mut core);
    for step in Steps(data) {
        match step {
            // As the answer to what was asked last: else hardly one would be looked at.
            Step::Octets(pdu) => {
                let asked = std::mem::take(&mut core.out);
                let append = |out: &mut Vec<u8>| out.extend_from_slice(pdu);
                let octets = match framing {
                    Framing::Rtu(_) => rtu::frame(1, append),
                    Framing::Tcp => {
                        tcp::frame(asked.get(..2).map_or(0, |id| u16::from_be_bytes([id[0], id[1]])), 1, append)
                    }
                };
                edge.receive(now, &octets, &mut core);
            }
            Step::Wait(wait) => {
                now += wait;
                edge.tick(now, &mut core);
            }
        }
        core.decide(now, &mut edge);
        if edge.over() {
            edge.disconnected(now, &mut core);
            edge.connected(now, &mut core);
        }
    }
    edge.disconnected(now, &mut core);
}

/// The PLC's end bears whatever a client says, between whose words parcels come.
pub(crate) fn plc(data: &[u8]) {
    for framing in [RTU, Framing::Tcp] {
        let (mut plc, mut now) = (plc_of(framing), START);
        plc.connected();
        for step in Steps(data) {
            match step {
                Step::Octets(pdu) => {
                    let append = |out: &mut Vec<u8>| out.extend_from_slice(pdu);
                    let octets = match framing {
                        Framing::Rtu(_) => rtu::frame(1, append),
                        Framing::Tcp => tcp::frame(1, 1, append),
                    };
                    plc.receive(now, &octets, &mut |_| ());
                    plc.receive(now, pdu, &mut |_| ());
                }
                Step::Wait(wait) => {
                    now += wait;
                    plc.tick(now, &mut |_| ());
                    plc.induct(now, Some(chute("P")));
                }
            }
            if plc.over() {
                plc.connected();
            }
        }
    }
}

/// Both ends with a line between them that the data breaks, silences and disturbs: the PLC is never told anything wrong.
pub(crate) fn pair(data: &[u8]) {
    let Some((&line, data)) = data.split_first() else { return };
    let framing = if line & 1 == 0 { RTU } else { Framing::Tcp };
    let (mut edge, mut plc, mut core, mut now) = (edge_of(framing), plc_of(framing), Core::default(), START);
    edge.connected(now, &mut core);
    plc.connected();
    for &octet in data.iter().take(64) {
        match octet % 16 {
            0 => drop(plc.induct(now, Some(chute("P")))),
            1 => {
                (edge, core) = (edge_of(framing), Core::default());
                edge.connected(now, &mut core);
                plc.connected();
            }
            2 => plc.set_silent(octet & 16 == 0),
            3 => plc.restart(now),
            4 => plc.set_full(now, &chute("C1"), octet & 16 == 0),
            _ => now += Duration::from_millis(i64::from(octet)),
        }
        edge.tick(now, &mut core);
        // What is sent arrives before time goes on, or never.
        let mut lost = octet % 16 == 5;
        for exchanges in 0.. {
            if core.out.is_empty() {
                break;
            }
            assert!(exchanges < 100, "they talk without end while no time passes");
            let asked = std::mem::take(&mut core.out);
            let mut answers = Vec::new();
            if !std::mem::take(&mut lost) {
                plc.receive(now, &asked, &mut |octets| answers.extend_from_slice(octets));
            }
            edge.receive(now, &answers, &mut core);
            core.decide(now, &mut edge);
        }
        plc.tick(now, &mut |_| ());
        if edge.over() {
            edge.disconnected(now, &mut core);
            edge.connected(now, &mut core);
            plc.connected();
        }
    }
    assert_eq!(plc.violations(), [], "told something wrong");
}
