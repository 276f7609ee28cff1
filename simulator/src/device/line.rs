//! Lines on which a reader waits for its client: a TCP port, a pseudo-terminal.

use super::uart::{BITS_OF_AN_OCTET, heard};
use super::{Client, DeviceError, Event, Events};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, symlink};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};
use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use stowage_protocol::llrp::reader::{Profile, Reader};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream};

/// How often to look whether someone has opened a pseudo-terminal: Linux has no event for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often a reader dials a client that doesn't take it.
const DIAL_EVERY: Duration = Duration::from_millis(250);

/// A line with one client at a time.
pub(super) trait Line: Send + Sync {
    /// A client has come.
    fn opened(&mut self) -> impl Future<Output = ()> + Send;
    /// Octets have come; none: the client is gone. Loses nothing when it is dropped.
    fn read(&self, octets: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
    /// Sends what there is room for. Loses nothing when it is dropped.
    fn write(&self, octets: &[u8]) -> impl Future<Output = io::Result<usize>> + Send;
    /// Sends the client away, or forgets one that is gone.
    fn close(&mut self);
    /// As if the cable were pulled and put back: the client finds its end closed.
    fn cut(&mut self) {
        self.close();
    }
    /// The device talks and hears at this speed in Bd from now on.
    fn set_baud(&mut self, _baud: Option<u32>) {}
    /// The line is pulled out of the client's machine, and is back after so long; `false`: it can't be.
    fn unplug(&mut self, _back_after: Duration) -> bool {
        false
    }
}

/// A TCP port that takes one client; others are told so in LLRP, unless the device speaks something else, and sent away.
#[derive(Debug)]
pub struct TcpPort {
    listener: TcpListener,
    client: Option<TcpStream>,
    events: Events,
    llrp: bool,
}

impl TcpPort {
    /// Listens on `address` as `what`.
    ///
    /// # Errors
    /// The port is taken, or not ours to take.
    pub async fn listen(what: &'static str, address: SocketAddr, events: Events) -> Result<Self, DeviceError> {
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self { listener, client: None, events, llrp: true }),
            Err(error) => Err(DeviceError::Listen { what, address, error }),
        }
    }

    /// The same for a device that doesn't speak LLRP: sends others away without a word.
    pub fn without_a_word(self) -> Self {
        Self { llrp: false, ..self }
    }

    /// Where it listens, with the port that the system chose if 0 was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    async fn accept(&self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Nagle would hold back small reports; a socket that can't be told so serves all the same.
                    let _ = stream.set_nodelay(true);
                    return stream;
                }
                // Mostly too many open files: some will be closed.
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    fn refuse(&self, mut stream: TcpStream) {
        self.events.tell(Event::Client(Client::Refused));
        if !self.llrp {
            return;
        }
        let refusal = Reader::new(Profile::fcc(1)).busy(self.events.now());
        tokio::spawn(async move {
            // It may be gone already.
            let _ = stream.write_all(&refusal).await;
            let _ = stream.shutdown().await;
        });
    }
}

impl Line for TcpPort {
    async fn opened(&mut self) {
        self.client = Some(self.accept().await);
    }

    async fn read(&self, octets: &mut [u8]) -> io::Result<usize> {
        let Some(client) = &self.client else { return Ok(0) };
        loop {
            tokio::select! {
                ready = client.readable() => ready?,
                rival = self.accept() => {
                    self.refuse(rival);
                    continue;
                }
            }
            match client.try_read(octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    async fn write(&self, octets: &[u8]) -> io::Result<usize> {
        let Some(client) = &self.client else { return Ok(octets.len()) };
        loop {
            client.writable().await?;
            match client.try_write(octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
    }

    fn close(&mut self) {
        self.client = None;
    }
}

/// The line of a reader that dials its client, again and again until somebody takes it.
#[derive(Debug)]
pub struct Dialler {
    to: SocketAddr,
    client: Option<TcpStream>,
    /// When to dial again.
    next: Instant,
}

impl Dialler {
    /// Dials `to`.
    pub fn new(to: SocketAddr) -> Self {
        Self { to, client: None, next: Instant::now() }
    }
}

impl Line for Dialler {
    async fn opened(&mut self) {
        loop {
            tokio::time::sleep_until(self.next.into()).await;
            self.next = Instant::now() + DIAL_EVERY;
            if let Ok(stream) = TcpStream::connect(self.to).await {
                let _ = stream.set_nodelay(true);
                self.client = Some(stream);
                return;
            }
        }
    }

    async fn read(&self, octets: &mut [u8]) -> io::Result<usize> {
        let Some(client) = &self.client else { return Ok(0) };
        loop {
            client.readable().await?;
            match client.try_read(octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    async fn write(&self, octets: &[u8]) -> io::Result<usize> {
        let Some(client) = &self.client else { return Ok(octets.len()) };
        loop {
            client.writable().await?;
            match client.try_write(octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
    }

    fn close(&mut self) {
        self.client = None;
    }
}

/// One direction of a line: how far it is behind.
#[derive(Debug)]
struct Pace(Mutex<Instant>);

impl Pace {
    /// Octets go over the line in parts of this length in time.
    const PART: Duration = Duration::from_millis(5);

    fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Waits until the line is free.
    async fn free(&self) {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if until > Instant::now() {
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// The line carries `octets` more.
    fn carry(&self, octets: usize, baud: u32) {
        let micros = octets as u64 * BITS_OF_AN_OCTET * 1_000_000 / u64::from(baud.max(1));
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(Instant::now()) + Duration::from_micros(micros);
    }

    /// How many octets go at once.
    fn part(baud: u32) -> usize {
        (u64::from(baud) / BITS_OF_AN_OCTET * Self::PART.as_millis() as u64 / 1_000).max(1) as usize
    }
}

/// A pseudo-terminal, of which the client opens the other end as it would a serial port: as often as it likes.
///
/// With a speed it is a UART's line: octets take their time, and arrive as others where the client's end has another
/// speed.
#[derive(Debug)]
pub struct Pty {
    port: Option<Port>,
    path: PathBuf,
    link: Option<PathBuf>,
    /// When a line that was pulled out is back.
    back_at: Instant,
    baud: Option<u32>,
    /// To and from the device.
    paces: [Pace; 2],
}

#[derive(Debug)]
struct Port {
    master: OwnedFd,
    /// The master's end while someone has the other open. Made anew for each: a line that hung up once would count as
    /// closed for ever.
    line: Option<(pipe::Receiver, pipe::Sender)>,
}

impl Port {
    /// A new one, and its device file.
    fn open() -> io::Result<(Self, PathBuf)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master).and_then(|()| unlockpt(&master))?;
        let path = ptsname(&master, Vec::new())?;
        let path = PathBuf::from(OsString::from_vec(path.into_bytes()));
        let mut attributes = tcgetattr(&master)?;
        attributes.make_raw();
        tcsetattr(&master, OptionalActions::Now, &attributes)?;
        // Opened and closed once, its end of the line hangs up whenever nobody has it open.
        drop(rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY, rustix::fs::Mode::empty())?);
        fcntl_getfl(&master).and_then(|flags| fcntl_setfl(&master, flags | OFlags::NONBLOCK))?;
        Ok((Self { master, line: None }, path))
    }

    fn up(&self) -> io::Result<(pipe::Receiver, pipe::Sender)> {
        let receiver = pipe::Receiver::from_owned_fd_unchecked(self.master.try_clone()?)?;
        Ok((receiver, pipe::Sender::from_owned_fd_unchecked(self.master.try_clone()?)?))
    }

    fn hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
    }

    /// The speed that the client has set: both ends of a pseudo-terminal share their settings.
    fn client_baud(&self) -> Option<u32> {
        tcgetattr(&self.master).ok().map(|attributes| attributes.output_speed())
    }

    /// As a port stands before the first client sets it.
    fn preset(&self, baud: u32) {
        // Without it, a client that sets no speed hears noise, which is what it would hear from a real one.
        if let Ok(mut attributes) = tcgetattr(&self.master)
            && attributes.set_speed(baud).is_ok()
        {
            let _ = tcsetattr(&self.master, OptionalActions::Now, &attributes);
        }
    }
}

impl Pty {
    /// A new one; a symbolic link to it at `link` if wanted, in place of an older link.
    ///
    /// # Errors
    /// There is none to be had, or the link can't be made.
    pub fn open(link: Option<&Path>) -> Result<Self, DeviceError> {
        let (port, path) = Port::open().map_err(DeviceError::Pty)?;
        let linked = link.map(|link| relink(&path, link)).transpose();
        linked.map_err(|error| DeviceError::Symlink { path: link.unwrap_or(&path).to_owned(), error })?;
        let (paces, back_at) = ([Pace::new(), Pace::new()], Instant::now());
        Ok(Self { port: Some(port), path, link: link.map(Path::to_owned), back_at, baud: None, paces })
    }

    /// The device file that the client opens, `/dev/pts/…`: another one after the line was pulled out.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The line is put in again.
    fn replug(&mut self) -> io::Result<()> {
        let (port, path) = Port::open()?;
        if let Some(link) = &self.link {
            relink(&path, link)?;
        }
        if let Some(baud) = self.baud {
            port.preset(baud);
        }
        (self.port, self.path) = (Some(port), path);
        Ok(())
    }

    fn unlink(&self) {
        if let Some(link) = &self.link
            && std::fs::read_link(link).is_ok_and(|path| path == self.path)
        {
            // It leads nowhere now; the next start would replace it as well.
            let _ = std::fs::remove_file(link);
        }
    }
}

/// Makes `link` lead to `path`. What is there and isn't a link stays.
fn relink(path: &Path, link: &Path) -> io::Result<()> {
    if let Some(folder) = link.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if link.is_symlink() {
        std::fs::remove_file(link)?;
    }
    Ok(symlink(path, link)?)
}

impl Line for Pty {
    async fn opened(&mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match &mut self.port {
                Some(port) if port.hung_up() => {}
                Some(port) => {
                    if let Ok(line) = port.up() {
                        port.line = Some(line);
                        return;
                    }
                }
                None if Instant::now() < self.back_at => {}
                None => {
                    // Tried again until it works.
                    let _ = self.replug();
                }
            }
        }
    }

    async fn read(&self, octets: &mut [u8]) -> io::Result<usize> {
        let Some((port, (receiver, _))) = self.port.as_ref().and_then(|port| Some((port, port.line.as_ref()?))) else {
            return Ok(0);
        };
        loop {
            let part = match self.baud {
                None => octets.len(),
                Some(baud) => {
                    self.paces[0].free().await;
                    Pace::part(baud).min(octets.len())
                }
            };
            receiver.readable().await?;
            let count = match receiver.try_read(&mut octets[..part]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                // Nobody has the other end open.
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => return Ok(0),
                Err(error) => return Err(error),
                Ok(0) => return Ok(0),
                Ok(count) => count,
            };
            let Some(baud) = self.baud else { return Ok(count) };
            self.paces[0].carry(count, baud);
            let arrived = heard(&octets[..count], port.client_baud().unwrap_or(baud), baud);
            let arrived = &arrived[..arrived.len().min(octets.len())];
            octets[..arrived.len()].copy_from_slice(arrived);
            if !arrived.is_empty() {
                return Ok(arrived.len());
            }
        }
    }

    async fn write(&self, octets: &[u8]) -> io::Result<usize> {
        let Some((port, (_, sender))) = self.port.as_ref().and_then(|port| Some((port, port.line.as_ref()?))) else {
            return Ok(octets.len());
        };
        loop {
            if self.baud.is_some() {
                self.paces[1].free().await;
            }
            sender.writable().await?;
            let sent = match self.baud {
                None => sender.try_write(octets),
                Some(baud) => {
                    let part = &octets[..Pace::part(baud).min(octets.len())];
                    self.paces[1].carry(part.len(), baud);
                    let arriving = heard(part, baud, port.client_baud().unwrap_or(baud));
                    // What a client that doesn't read has no room for is lost, as it is in a UART.
                    if arriving.is_empty() { Ok(part.len()) } else { sender.try_write(&arriving).map(|_| part.len()) }
                }
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return sent,
            }
        }
    }

    fn close(&mut self) {
        if let Some(port) = &mut self.port {
            port.line = None;
            // What the last one left unread is not for the next one.
            let _ = tcflush(&port.master, QueueSelector::IOFlush);
        }
    }

    fn set_baud(&mut self, baud: Option<u32>) {
        if let (None, Some(baud), Some(port)) = (self.baud, baud, &self.port) {
            port.preset(baud);
        }
        self.baud = baud;
    }

    fn unplug(&mut self, back_after: Duration) -> bool {
        self.unlink();
        self.port = None;
        self.back_at = Instant::now() + back_after;
        true
    }

    fn cut(&mut self) {
        self.unplug(Duration::ZERO);
        // Where there is no other to be had, that is tried again until there is.
        let _ = self.replug();
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.unlink();
    }
}
