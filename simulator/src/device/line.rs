//! Lines on which a reader waits for its client: a TCP port, a pseudo-terminal.

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
use std::time::Duration;
use stowage_protocol::llrp::reader::{Profile, Reader};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream};

/// How often to look whether someone has opened a pseudo-terminal: Linux has no event for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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

/// A pseudo-terminal, of which the client opens the other end as it would a serial port: as often as it likes.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
    /// The master's end while someone has the other open. Made anew for each: a line that hung up once would count as
    /// closed for ever.
    line: Option<(pipe::Receiver, pipe::Sender)>,
    path: PathBuf,
    link: Option<PathBuf>,
}

impl Pty {
    /// A new one; a symbolic link to it at `link` if wanted, in place of an older link.
    ///
    /// # Errors
    /// There is none to be had, or the link can't be made.
    pub fn open(link: Option<&Path>) -> Result<Self, DeviceError> {
        let failed = |error: Errno| DeviceError::Pty(error.into());
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).map_err(failed)?;
        grantpt(&master).and_then(|()| unlockpt(&master)).map_err(failed)?;
        let path = ptsname(&master, Vec::new()).map_err(failed)?;
        let path = PathBuf::from(OsString::from_vec(path.into_bytes()));
        let mut attributes = tcgetattr(&master).map_err(failed)?;
        attributes.make_raw();
        tcsetattr(&master, OptionalActions::Now, &attributes).map_err(failed)?;
        // Opened and closed once, its end of the line hangs up whenever nobody has it open.
        let other = rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY, rustix::fs::Mode::empty());
        drop(other.map_err(failed)?);
        fcntl_getfl(&master).and_then(|flags| fcntl_setfl(&master, flags | OFlags::NONBLOCK)).map_err(failed)?;
        let linked = link.map(|link| relink(&path, link)).transpose();
        linked.map_err(|error| DeviceError::Symlink { path: link.unwrap_or(&path).to_owned(), error })?;
        Ok(Self { master, line: None, path, link: link.map(Path::to_owned) })
    }

    fn up(&self) -> io::Result<(pipe::Receiver, pipe::Sender)> {
        let receiver = pipe::Receiver::from_owned_fd_unchecked(self.master.try_clone()?)?;
        Ok((receiver, pipe::Sender::from_owned_fd_unchecked(self.master.try_clone()?)?))
    }

    /// The device file that the client opens, `/dev/pts/…`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
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
            if !self.hung_up()
                && let Ok(line) = self.up()
            {
                self.line = Some(line);
                return;
            }
        }
    }

    async fn read(&self, octets: &mut [u8]) -> io::Result<usize> {
        let Some((receiver, _)) = &self.line else { return Ok(0) };
        loop {
            receiver.readable().await?;
            match receiver.try_read(octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Nobody has the other end open.
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => return Ok(0),
                read => return read,
            }
        }
    }

    async fn write(&self, octets: &[u8]) -> io::Result<usize> {
        let Some((_, sender)) = &self.line else { return Ok(octets.len()) };
        loop {
            sender.writable().await?;
            match sender.try_write(octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
    }

    fn close(&mut self) {
        self.line = None;
        // What the last one left unread is not for the next one.
        let _ = tcflush(&self.master, QueueSelector::IOFlush);
    }

    fn cut(&mut self) {
        // Where there is no other to be had, the client only has its line emptied.
        match Self::open(self.link.as_deref()) {
            Ok(other) => *self = other,
            Err(_) => self.close(),
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if let Some(link) = &self.link
            && std::fs::read_link(link).is_ok_and(|path| path == self.path)
        {
            // It leads nowhere now; the next start would replace it as well.
            let _ = std::fs::remove_file(link);
        }
    }
}
