//! Garbage, cut frames, impossible lengths and floods at every door: counted, shown, survived, and a worker's scans are
//! answered all the while as before.

mod page;
mod readers;
mod scanners;
mod sorter;

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use stowage_tests::goods::LAMP;
use stowage_tests::http::timed;
use stowage_tests::plant::{Edge, Handheld, Plant};
use stowage_tests::process::{Program, resident_kib};
use stowage_tests::{FOR_EVER, sgtin96, until, within};

/// The edge may never have more memory, KiB.
const RESIDENT_MAX_KIB: u64 = 200 * 1024;

/// Every scan is answered within this, whatever else goes on.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What a flood may add to the median scan: the flood and the programs under test share two cores here.
const DELAY_MAX: Duration = Duration::from_millis(250);

/// Scans that tell what one takes while nothing else goes on.
const QUIET_SCANS: usize = 9;

const FLOOD: usize = 1_000_000;

/// Watches a process's memory on a thread of its own.
struct MemoryWatch {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl MemoryWatch {
    fn over(program: &Program) -> Self {
        let (stop, most) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (until, max, id) = (Arc::clone(&stop), Arc::clone(&most), program.id());
        let thread = std::thread::spawn(move || {
            within(FOR_EVER, "the test's end", || {
                max.fetch_max(resident_kib(id), Ordering::Relaxed);
                until.load(Ordering::Relaxed).then_some(())
            });
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

/// A worker who goes on scanning whatever happens.
struct Worker {
    handheld: Handheld,
    serial: u64,
    /// What the median scan took while nothing else went on.
    quiet: Duration,
}

impl Worker {
    fn at_the_dock(plant: &Plant) -> Self {
        let mut handheld = Handheld::start(plant, 1);
        handheld.key("receive");
        handheld.at("RECV-1");
        let mut worker = Self { handheld, serial: 0, quiet: Duration::ZERO };
        worker.quiet = median((0..QUIET_SCANS).map(|_| worker.scan()).collect());
        worker
    }

    /// Scans a tag that nobody has scanned before. Returns how long the edge's answer took.
    fn scan(&mut self) -> Duration {
        self.serial += 1;
        let program = &mut self.handheld.program;
        let (verdict, took) = timed(|| {
            let mark = program.mark();
            program.tell(&json!({"tag": sgtin96(LAMP, self.serial)}));
            program.hear_after(mark, "verdict", |_| true)
        });
        assert_eq!(verdict["level"], "ok", "{verdict}");
        took
    }

    /// Scans, again and again, until `flood` is over, and at least twice before it is. Returns what the flood returns,
    /// and how long it took.
    fn scans_during<T: Send>(&mut self, what: &str, flood: impl FnOnce() -> T + Send) -> (T, Duration) {
        let (result, scans) = std::thread::scope(|scope| {
            let flood = scope.spawn(|| timed(flood));
            let mut scans = Vec::new();
            loop {
                let took = self.scan();
                if flood.is_finished() {
                    return (flood.join(), scans);
                }
                scans.push(took);
            }
        });
        let (result, lasted) = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(scans.len() >= 2, "{what}: the flood was over after {lasted:?} and {} scans", scans.len());
        let (count, slowest, median) = (scans.len(), scans.iter().max().copied().unwrap_or_default(), median(scans));
        println!(
            "{what}: in {} s {count} scans were answered, half of them within {} ms, all within {} ms; {} ms when quiet",
            lasted.as_secs(),
            median.as_millis(),
            slowest.as_millis(),
            self.quiet.as_millis()
        );
        assert!(median < self.quiet + DELAY_MAX && slowest < ANSWER_MAX, "{what}: {median:?}, {slowest:?}");
        (result, lasted)
    }
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

/// So many in that time, a second.
fn rate(count: usize, took: Duration) -> u64 {
    (count as f64 / took.as_secs_f64()) as u64
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

/// A number that the edge shows of a device.
fn shown(edge: &Edge, device: &str, what: &str) -> u64 {
    count(&edge.device(device), what)
}

/// A number in what the edge shows of a device.
fn count(device: &Value, what: &str) -> u64 {
    device[what].as_u64().unwrap_or_else(|| panic!("no {what} in {device}"))
}

/// Waits until the edge shows more of `what` of a device than before.
fn grows(edge: &Edge, device: &str, what: &str, before: &Value) {
    until(&format!("{what} of {device} to grow"), || (shown(edge, device, what) > count(before, what)).then_some(()));
}
