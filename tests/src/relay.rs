//! A wire in the middle: passes octets on between the edge and a device, and slips in what nobody sent.

use crate::{FOR_EVER, within};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, symlink};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a quiet wire looks for something to slip in.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Who hears what is slipped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one who dials.
    Client = 0,
    /// The one who is dialled.
    Server = 1,
}

/// Whether octets may be slipped in anywhere, or between messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Borders {
    /// Anywhere.
    None,
    /// Between LLRP messages.
    Llrp,
}

/// How long connections last, drawn by a seed.
struct Flaps {
    state: u64,
    millis: RangeInclusive<u64>,
}

impl Flaps {
    /// SplitMix64.
    fn draw(&mut self) -> Duration {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        let span = self.millis.end() - self.millis.start() + 1;
        Duration::from_millis(self.millis.start() + (mixed ^ mixed >> 31) % span)
    }
}

#[derive(Default)]
struct Shared {
    flaps: Mutex<Option<Flaps>>,
    /// How many connections there were.
    connections: AtomicU64,
    stop: AtomicBool,
    /// Ends the connection.
    cut: AtomicBool,
    /// For each side: octets to be slipped in, and octets passed on so far.
    inject: [Mutex<Vec<u8>>; 2],
    passed: [Mutex<Vec<u8>>; 2],
}

/// A wire that passes everything on, one connection at a time.
pub struct Relay {
    shared: Arc<Shared>,
}

impl Relay {
    /// Listens on `port`, and dials `server` for each connection.
    ///
    /// # Panics
    /// The port is taken.
    pub fn tcp(port: u16, server: u16, borders: Borders) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port was free a moment ago");
        listener.set_nonblocking(true).expect("a socket can be told so");
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            while !of_thread.stop.load(Ordering::Relaxed) {
                wait(&listener);
                let Ok((client, _)) = listener.accept() else { continue };
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { continue };
                let plain = |stream: &TcpStream| {
                    stream.set_nonblocking(false).expect("a socket can be told so");
                    stream.set_nodelay(true).expect("a socket can be told so");
                    File::from(OwnedFd::from(stream.try_clone().expect("a socket can be cloned")))
                };
                of_thread.cut.store(false, Ordering::Relaxed);
                of_thread.connections.fetch_add(1, Ordering::Relaxed);
                join(&of_thread, plain(&client), plain(&server), borders, true);
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            }
        });
        Self { shared }
    }

    /// Makes a pseudo-terminal with a link at `link` for the client, and opens the server's at `server`.
    ///
    /// # Panics
    /// There is no pseudo-terminal to be had.
    pub fn pty(link: &Path, server: &Path) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("it is ours");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let name = Path::new(OsStr::from_bytes(name.as_bytes()));
        symlink(name, link).expect("nothing is there");
        let open = |path: &Path| {
            let noctty = OFlags::NOCTTY.bits() as i32;
            let port = OpenOptions::new().read(true).write(true).custom_flags(noctty).open(path);
            let port = port.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let mut attributes = tcgetattr(&port).expect("it is a terminal");
            attributes.make_raw();
            tcsetattr(&port, OptionalActions::Now, &attributes).expect("it is ours");
            port
        };
        // Held open, so that the client may come and go.
        let held = open(name);
        let (client, server) = (File::from(master), open(server));
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            join(&of_thread, client, server, Borders::None, false);
            drop(held);
        });
        Self { shared }
    }

    /// Slips in octets for `side`, as if the other one had sent them.
    pub fn inject(&self, side: Side, octets: &[u8]) {
        lock(&self.shared.inject[side as usize]).extend_from_slice(octets);
    }

    /// Whether everything slipped in was taken.
    pub fn taken(&self, side: Side) -> bool {
        lock(&self.shared.inject[side as usize]).is_empty()
    }

    /// All octets that one side has sent the other so far: what `side` has heard.
    pub fn heard(&self, side: Side) -> Vec<u8> {
        lock(&self.shared.passed[side as usize]).clone()
    }

    /// From now on each connection lasts only so many milliseconds, drawn by the seed.
    pub fn flap(&self, seed: u64, millis: RangeInclusive<u64>) {
        *lock(&self.shared.flaps) = Some(Flaps { state: seed, millis });
    }

    /// Connections last again.
    pub fn steady(&self) {
        *lock(&self.shared.flaps) = None;
    }

    /// How many connections there were.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Ends the connection.
    pub fn cut(&self) {
        self.shared.cut.store(true, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until there is something to read, or a moment has passed. Whether there is.
fn wait(fd: &impl AsFd) -> bool {
    poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&LOOK_EVERY)).is_ok_and(|ready| ready > 0)
}

/// Whether nobody has the other end of a terminal open.
fn hung_up(fd: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|_| fds[0].revents().contains(PollFlags::HUP))
}

/// Passes on both ways until one of the ends is closed, or the connection is cut.
fn join(shared: &Arc<Shared>, client: File, server: File, borders: Borders, ends: bool) {
    let clone = |file: &File| file.try_clone().expect("a file can be cloned");
    let until = lock(&shared.flaps).as_mut().map(|flaps| Instant::now() + flaps.draw());
    let (from_client, to_client) = (clone(&client), client);
    let (from_server, to_server) = (clone(&server), server);
    let other = Arc::clone(shared);
    let back =
        std::thread::spawn(move || pass(&other, from_client, to_server, Side::Server, Borders::None, ends, until));
    pass(shared, from_server, to_client, Side::Client, borders, ends, until);
    back.join().expect("it only passes on");
}

fn pass(
    shared: &Shared,
    mut from: File,
    mut to: File,
    side: Side,
    borders: Borders,
    ends: bool,
    until: Option<Instant>,
) {
    let (mut octets, mut messages) = (vec![0; 65_536], Messages::default());
    let late = || until.is_some_and(|until| Instant::now() >= until);
    let over = || shared.stop.load(Ordering::Relaxed) || shared.cut.load(Ordering::Relaxed) || late();
    while !over() {
        if wait(&from) {
            match from.read(&mut octets) {
                Ok(count @ 1..) => {
                    lock(&shared.passed[side as usize]).extend_from_slice(&octets[..count]);
                    messages.follow(&octets[..count]);
                    if to.write_all(&octets[..count]).is_err() {
                        break;
                    }
                }
                Ok(_) | Err(_) if ends => break,
                // Nobody has the other end open now.
                Ok(_) | Err(_) => within(FOR_EVER, "the other end", || (over() || !hung_up(&from)).then_some(())),
            }
        }
        let mut inject = lock(&shared.inject[side as usize]);
        if !inject.is_empty() && (borders == Borders::None || messages.between()) {
            // Held while it is written, so that it is taken once it is gone.
            if to.write_all(&inject).is_err() {
                inject.clear();
                break;
            }
            inject.clear();
        }
    }
    if ends {
        shared.cut.store(true, Ordering::Relaxed);
    }
}

/// Where a stream of LLRP messages stands.
#[derive(Default)]
struct Messages {
    head: Vec<u8>,
    left: usize,
}

impl Messages {
    fn follow(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            if self.left == 0 {
                let count = octets.len().min(10 - self.head.len());
                self.head.extend_from_slice(&octets[..count]);
                octets = &octets[count..];
                if let [_, _, a, b, c, d, ..] = self.head[..]
                    && self.head.len() == 10
                {
                    self.left = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(10);
                    self.head.clear();
                }
            } else {
                let count = octets.len().min(self.left);
                self.left -= count;
                octets = &octets[count..];
            }
        }
    }

    fn between(&self) -> bool {
        self.left == 0 && self.head.is_empty()
    }
}
