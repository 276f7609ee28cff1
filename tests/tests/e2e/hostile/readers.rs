//! A reader's two lines: LLRP over TCP, Mercury over a pseudo-terminal.

use super::{FLOOD, MemoryWatch, Worker, count, garbage, grows, rate, shown};
use serde_json::json;
use stowage_tests::goods::MUG;
use stowage_tests::plant::{Plant, free_port};
use stowage_tests::relay::{Borders, Relay, Side};
use stowage_tests::{sgtin96, until};

/// Reads in one go.
const AT_ONCE: usize = 1_000;

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
    let mut worker = Worker::at_the_dock(&plant);
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
    let tag = |n: usize| {
        let mut epc = [0x30, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        epc[8..].copy_from_slice(&(n as u32 % 20_000).to_be_bytes());
        epc
    };
    let ((), took) = worker.scans_during("a flood of reads by LLRP", || {
        for block in 0..FLOOD / AT_ONCE {
            relay.inject(Side::Client, &report((block * AT_ONCE..(block + 1) * AT_ONCE).map(tag)));
        }
        until("every read to be counted, or counted as lost", || {
            let device = edge.device("gate-1");
            let sum = |device| count(device, "count") + count(device, "faults");
            (sum(&device) >= sum(&before) + FLOOD as u64).then_some(())
        });
    });
    println!("{} reads a second: {}", rate(FLOOD, took), edge.device("gate-1"));
    worker.scan();
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
    let mut worker = Worker::at_the_dock(&plant);
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
    let block: Vec<u8> = (0..AT_ONCE)
        .flat_map(|n| {
            let mut other = frame.clone();
            other[at + 8..at + 12].copy_from_slice(&(n as u32).to_be_bytes());
            let crc = mercury_crc(&other[1..body]);
            other[body..].copy_from_slice(&crc.to_be_bytes());
            other
        })
        .collect();
    let before = shown(&edge, "gate-2", "count");
    let ((), took) = worker.scans_during("a flood of reads by Mercury", || {
        for _ in 0..FLOOD / AT_ONCE {
            until("the line to take more", || relay.taken(Side::Client).then_some(()));
            relay.inject(Side::Client, &block);
        }
        // A block may have parted one of the module's own frames: noise, which costs the frames that it hits.
        let enough = before + (FLOOD - FLOOD / 1_000) as u64;
        until("the reads to be counted", || (shown(&edge, "gate-2", "count") >= enough).then_some(()));
    });
    println!("{} reads a second over a pseudo-terminal: {}", rate(FLOOD, took), edge.device("gate-2"));
    watch.end("a flood of reads by Mercury");
    edge.stop();
    plant.verify();
}
