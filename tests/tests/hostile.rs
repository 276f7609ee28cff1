//! Garbage, cut frames, impossible lengths and floods at every door: counted, shown, survived, and a scan is answered
//! all the while.

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use stowage_tests::goods::{LAMP, MUG, SNEAKERS};
use stowage_tests::http::{request, timed};
use stowage_tests::plant::{Edge, Handheld, Plant, free_port};
use stowage_tests::process::Program;
use stowage_tests::relay::{Borders, Relay, Side};
use stowage_tests::{sgtin96, until};

/// The edge may never have more memory, KiB.
const RESIDENT_MAX_KIB: u64 = 200 * 1024;

/// A scan is answered within this, whatever else goes on.
const ANSWER_MAX: Duration = Duration::from_secs(2);

const FLOOD: u64 = 1_000_000;

/// Watches a process's memory on a thread of its own.
struct MemoryWatch {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl MemoryWatch {
    fn over(program: &Program) -> Self {
        let (stop, most) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (until, max, path) = (Arc::clone(&stop), Arc::clone(&most), format!("/proc/{}/status", program.id()));
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                let status = std::fs::read_to_string(&path).unwrap_or_default();
                let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
                let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
                max.fetch_max(kib, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { stop, most, thread: Some(thread) }
    }

    fn end(&mut self, during: &str) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(std::thread::JoinHandle::join).transpose().expect("it only looks");
        let most = self.most.load(Ordering::Relaxed);
        println!("{during}: at most {} MiB", most / 1024);
        assert!((1..RESIDENT_MAX_KIB).contains(&most), "{during}: {most} KiB");
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A worker's scan, in the middle of whatever goes on.
fn scan_is_answered(worker: &mut Handheld, serial: u64, during: &str) {
    let ((), took) = timed(|| {
        let mark = worker.program.mark();
        worker.program.tell(&json!({"tag": sgtin96(LAMP, serial)}));
        let verdict = worker.program.hear_after(mark, "verdict", |_| true);
        assert_eq!(verdict["level"], "ok", "{verdict}");
    });
    println!("{during}: a scan is answered after {} ms", took.as_millis());
    assert!(took < ANSWER_MAX, "{during}: {took:?}");
}

fn worker_at_the_dock(plant: &Plant) -> Handheld {
    let mut worker = Handheld::start(plant, 1);
    worker.key("receive");
    worker.at("RECV-1");
    worker
}

/// Octets that mean nothing, the same each time.
fn garbage(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(next).collect()
}

/// Waits until the edge shows more of `what` of a device than before.
fn grows(edge: &Edge, device: &str, what: &str, before: &Value) {
    let count = |of: &Value| of[what].as_u64().unwrap_or(0);
    until(&format!("{what} of {device} to grow"), || (count(&edge.device(device)) > count(before)).then_some(()));
}

/// An RO_ACCESS_REPORT of LLRP 1.0.1 with a tag report for each EPC: EPC-96, antenna 1, −55 dBm.
fn report(epcs: impl Iterator<Item = [u8; 12]>) -> Vec<u8> {
    let mut message = vec![0x04, 61, 0, 0, 0, 0, 0, 0, 0, 9];
    for epc in epcs {
        message.extend([0, 240, 0, 22, 0x8D]);
        message.extend(epc);
        message.extend([0x81, 0, 1, 0x86, (-55_i8) as u8]);
    }
    let len = message.len() as u32;
    message[2..6].copy_from_slice(&len.to_be_bytes());
    message
}

#[test]
fn an_llrp_reader_that_sends_nonsense_and_a_million_reads_harms_nobody() {
    let mut plant = Plant::new();
    let reader_port = free_port();
    let edge_dials = std::mem::replace(&mut plant.reader, reader_port);
    let _reader = plant.reader(41);
    plant.reader = edge_dials;
    let relay = Relay::tcp(edge_dials, reader_port, Borders::Llrp);
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    let mut worker = worker_at_the_dock(&plant);
    edge.wait_device("gate-1", true);

    let four_gib = [0x04, 61, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 1];
    let half = [0x04, 61, 0, 0, 0, 200, 0, 0, 0, 1, 0, 240];
    let bad_tag = [&report(std::iter::once([0x30; 12]))[..16], &[0xFF; 16]].concat();
    for (what, octets, cut) in [
        ("garbage", garbage(5_000), false),
        ("a length of 4 GiB", four_gib.to_vec(), false),
        ("half a message", half.to_vec(), true),
        ("a tag report that isn't one", bad_tag, false),
    ] {
        let before = edge.device("gate-1");
        relay.inject(Side::Client, &octets);
        until("it to be sent", || relay.taken(Side::Client).then_some(()));
        if cut {
            relay.cut();
            grows(&edge, "gate-1", "downs", &before);
        } else {
            grows(&edge, "gate-1", "malformed", &before);
        }
        println!("{what}: {}", edge.device("gate-1")["last_error"]);
        until("the reader to be up again", || {
            let device = edge.device("gate-1");
            (device["up"] == true).then_some(())
        });
    }

    let before = edge.device("gate-1");
    let tag = |n: u64| {
        let mut epc = [0x30, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        epc[8..].copy_from_slice(&(n as u32 % 20_000).to_be_bytes());
        epc
    };
    const AT_ONCE: u64 = 1_000;
    for block in 0..FLOOD / AT_ONCE {
        relay.inject(Side::Client, &report((block * AT_ONCE..(block + 1) * AT_ONCE).map(tag)));
        if block == FLOOD / AT_ONCE / 2 {
            scan_is_answered(&mut worker, 1, "a flood of reads by LLRP");
        }
    }
    let sum = |device: &Value| device["count"].as_u64().unwrap_or(0) + device["faults"].as_u64().unwrap_or(0);
    let ((), took) = timed(|| {
        until("every read to be counted, or counted as lost", || {
            (sum(&edge.device("gate-1")) >= sum(&before) + FLOOD).then_some(())
        });
    });
    println!("all reads are counted {} ms after the last was on its way: {}", took.as_millis(), edge.device("gate-1"));
    scan_is_answered(&mut worker, 2, "after the flood");
    watch.end("a flood of reads by LLRP");
    edge.stop();
    plant.verify();
}

/// The checksum of Mercury frames, over length, opcode and so on.
fn mercury_crc(octets: &[u8]) -> u16 {
    octets.iter().fold(0xFFFF, |crc, octet| {
        (0..8).rev().fold(crc, |crc: u16, bit| {
            let carry = crc & 0x8000 != 0;
            let next = crc << 1 | u16::from(octet >> bit & 1);
            if carry { next ^ 0x1021 } else { next }
        })
    })
}

#[test]
fn a_module_that_sends_nonsense_and_a_million_reads_harms_nobody() {
    let plant = Plant::new();
    let mut module = plant.module(42);
    let port = std::fs::read_link(plant.path("gate-2")).expect("the module's link");
    std::fs::remove_file(plant.path("gate-2")).expect("it is ours");
    let relay = Relay::pty(&plant.path("gate-2"), &port);
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    let mut worker = worker_at_the_dock(&plant);
    edge.wait_device("gate-2", true);

    let epc = sgtin96(MUG, 7);
    let epc_octets = (0..24).step_by(2).map(|at| u8::from_str_radix(&epc[at..at + 2], 16).expect("hex"));
    let epc_octets: Vec<u8> = epc_octets.collect();
    module.tell(&json!({"place": {"epc": epc, "antenna": 1, "distance_mm": 1000}}));
    // FF, length, 22, status 0000: a tag that the module streams.
    let frame = until("the module to stream the tag", || {
        let heard = relay.heard(Side::Client);
        let starts =
            (0..heard.len()).filter(|&at| heard[at] == 0xFF && heard.get(at + 2..at + 5) == Some(&[0x22, 0, 0]));
        let frame = |at: usize| heard.get(at..at + usize::from(heard[at + 1]) + 7).map(<[u8]>::to_vec);
        starts.filter_map(frame).find(|frame| frame.windows(12).any(|part| part == epc_octets))
    });
    module.tell(&json!({"remove": {"epc": epc}}));
    let body = frame.len() - 2;
    let right = mercury_crc(&frame[1..body]);
    assert_eq!(frame[body..], right.to_be_bytes(), "the frame is understood here");

    let mut damaged = frame.clone();
    damaged[10] ^= 0x40;
    for (what, octets) in [
        ("garbage", garbage(5_000)),
        ("half a frame, then a pause", frame[..20].to_vec()),
        ("frames of the greatest length that never come", [0xFF; 300].to_vec()),
        ("a frame with a wrong checksum", damaged),
    ] {
        let before = edge.device("gate-2");
        relay.inject(Side::Client, &octets);
        // What comes after noise is what shows it.
        relay.inject(Side::Client, &frame);
        grows(&edge, "gate-2", "malformed", &before);
        println!("{what}: {}", edge.device("gate-2")["last_error"]);
        let before = edge.device("gate-2");
        until("reads to go on", || {
            relay.inject(Side::Client, &frame);
            (edge.device("gate-2")["count"].as_u64() > before["count"].as_u64()).then_some(())
        });
    }
    assert_eq!(edge.device("gate-2")["up"], true, "noise costs frames, not the session");

    let at = frame.windows(12).position(|part| part == epc_octets).expect("it is in there");
    const AT_ONCE: u64 = 1_000;
    let block: Vec<u8> = (0..AT_ONCE)
        .flat_map(|n| {
            let mut other = frame.clone();
            other[at + 8..at + 12].copy_from_slice(&(n as u32).to_be_bytes());
            let crc = mercury_crc(&other[1..body]);
            other[body..].copy_from_slice(&crc.to_be_bytes());
            other
        })
        .collect();
    let before = edge.device("gate-2")["count"].as_u64().expect("a number");
    let ((), took) = timed(|| {
        for n in 0..FLOOD / AT_ONCE {
            until("the line to take more", || relay.taken(Side::Client).then_some(()));
            relay.inject(Side::Client, &block);
            if n == FLOOD / AT_ONCE / 2 {
                scan_is_answered(&mut worker, 1, "a flood of reads by Mercury");
            }
        }
        // A block may have parted one of the module's own frames: noise, which costs the frames that it hits.
        until("the reads to be counted", || {
            (edge.device("gate-2")["count"].as_u64() >= Some(before + FLOOD - FLOOD / 1_000)).then_some(())
        });
    });
    println!("{FLOOD} reads over a pseudo-terminal took {} ms: {}", took.as_millis(), edge.device("gate-2"));
    watch.end("a flood of reads by Mercury");
    edge.stop();
    plant.verify();
}

/// An MQTT 3.1.1 client that publishes with QoS 0, and nothing else.
struct Publisher(TcpStream);

impl Publisher {
    fn connect(port: u16) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the broker listens");
        let id = b"stranger";
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, id.len() as u8];
        body.extend(id);
        stream.write_all(&[&[0x10, body.len() as u8], &body[..]].concat()).expect("it is connected");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, [0x20, 2, 0, 0]);
        Self(stream)
    }

    fn publish(&mut self, topic: &str, payload: &[u8]) {
        let mut packet = vec![0x30];
        let mut left = 2 + topic.len() + payload.len();
        loop {
            let octet = (left % 128) as u8;
            left /= 128;
            packet.push(if left > 0 { octet | 0x80 } else { octet });
            if left == 0 {
                break;
            }
        }
        packet.extend((topic.len() as u16).to_be_bytes());
        packet.extend(topic.as_bytes());
        packet.extend(payload);
        self.0.write_all(&packet).expect("the broker takes it");
    }
}

#[test]
fn nonsense_on_the_sorters_topics_harms_nobody() {
    let plant = Plant::new();
    let _broker = plant.broker();
    let mut sorter = plant.sorter();
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    let mut worker = worker_at_the_dock(&plant);
    edge.wait_device("sorter-1", true);
    let mut stranger = Publisher::connect(plant.broker);
    let before = edge.device("sorter-1");
    let topic = |name: &str| format!("stowage/demo/sorter/sorter-1/{name}");
    let huge = [&b"{\"boot\":1,\"x\":\""[..], &[b'x'; 100_000], b"\"}"].concat();
    for name in ["state", "scan", "ack", "result", "heartbeat"] {
        for payload in
            [&b""[..], b"{", b"null", b"[]", b"{\"boot\":-1}", b"{\"boot\":99999999999}", &garbage(500), &huge]
        {
            stranger.publish(&topic(name), payload);
        }
    }
    until("nonsense to be counted", || {
        let malformed = |device: &Value| device["malformed"].as_u64().unwrap_or(0);
        (malformed(&edge.device("sorter-1")) >= malformed(&before) + 40).then_some(())
    });
    println!("{}", edge.device("sorter-1")["last_error"]);
    // More than a packet may have: the connection's end, and a new one.
    stranger.publish(&topic("scan"), &vec![b'x'; 2 << 20]);
    let (count, parallel) = (20_000, 4);
    for n in 0..count {
        stranger.publish(&topic(["scan", "ack", "result", "heartbeat"][n % parallel]), b"{\"boot\":0}");
        if n == count / 2 {
            scan_is_answered(&mut worker, 1, "a flood of messages");
        }
    }
    edge.wait_device("sorter-1", true);
    until("a parcel to be sorted as before", || {
        let mark = sorter.mark();
        sorter.tell(&json!({"parcel": {"code": "EXP-1"}}));
        let delivered = sorter.hear_after(mark, "delivered", |_| true);
        (delivered["chute"] == "C4" && delivered["outcome"] == "diverted").then_some(())
    });
    watch.end("nonsense by MQTT");
    edge.stop();
    plant.verify();
}

#[test]
fn nonsense_at_the_scanners_port_harms_nobody() {
    let mut plant = Plant::new();
    let listens = plant.scanners;
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    for octets in [garbage(1 << 20), vec![0; 100_000], vec![0xFF; 100_000], b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut stranger = TcpStream::connect((Ipv4Addr::LOCALHOST, listens)).expect("the edge listens");
        // It may be sent away before it has said everything.
        let _ = stranger.write_all(&octets);
        let _ = stranger.shutdown(Shutdown::Write);
    }
    // Strangers who connect and say nothing.
    let silent = |_| TcpStream::connect((Ipv4Addr::LOCALHOST, listens)).expect("the edge listens");
    let _silent: Vec<TcpStream> = (0..50).map(silent).collect();
    // A good scanner on a bad line.
    let scanner_dials = free_port();
    plant.scanners = scanner_dials;
    let relay = Relay::tcp(scanner_dials, listens, Borders::None);
    let mut worker = worker_at_the_dock(&plant);
    scan_is_answered(&mut worker, 1, "garbage at the scanners' port");
    let before = edge.device("scan-1");
    relay.inject(Side::Server, &[&[0][..], &garbage(200), &[0]].concat());
    grows(&edge, "scan-1", "malformed", &before);
    scan_is_answered(&mut worker, 2, "a bad line");
    assert_eq!(plant.facts_of("stock.received").len(), 2);
    watch.end("nonsense at the scanners' port");
    edge.stop();
    plant.verify();
}

#[test]
fn nonsense_at_the_page_harms_nobody() {
    let plant = Plant::new();
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    let mut worker = worker_at_the_dock(&plant);
    let long_header = [&b"GET / HTTP/1.1\r\nx: "[..], &[b'x'; 1 << 20], b"\r\n\r\n"].concat();
    let lies = b"POST /api/parcels HTTP/1.1\r\nhost: x\r\ncontent-length: 4294967296\r\n\r\n{".to_vec();
    let endless = [
        &b"POST /api/parcels HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFF\r\n"[..],
        &[b' '; 1 << 20],
    ];
    let mut open = Vec::new();
    for octets in [garbage(100_000), long_header, lies, endless.concat(), b"GET /".to_vec()] {
        let mut stranger = TcpStream::connect(edge.page).expect("the page listens");
        // It may be sent away before it has said everything.
        let _ = stranger.write_all(&octets);
        open.push(stranger);
    }
    for (method, path, body, status) in [
        ("POST", "/api/parcels", "", 400),
        ("POST", "/api/parcels", "{\"code\":1}", 422),
        ("POST", "/api/parcels", "{\"code\":\"\",\"route\":\"DE\"}", 400),
        ("POST", "/api/discrepancies/99/settle", "", 404),
        ("POST", "/api/discrepancies/x/settle", "", 400),
        ("DELETE", "/api/view", "", 405),
        ("GET", "/../../etc/passwd", "", 404),
        ("GET", "/api/facts?limit=-1", "", 400),
    ] {
        let (got, body) = request(edge.page, method, path, body).expect("an answer");
        assert_eq!(got, status, "{method} {path}: {body}");
    }
    let (status, _) = request(edge.page, "POST", "/api/parcels", &"x".repeat(1 << 20)).unwrap_or((413, String::new()));
    assert_eq!(status, 413);
    scan_is_answered(&mut worker, 1, "junk at the page");
    assert_eq!(edge.get("/healthz")["status"], "ok");
    // The other door is open as well.
    worker.tag(&sgtin96(SNEAKERS, 1));
    watch.end("nonsense at the page");
    edge.stop();
    plant.verify();
}
