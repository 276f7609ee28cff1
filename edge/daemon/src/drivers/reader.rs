//! Drives any reader session over any octet stream: moves octets and time, decides nothing.

use super::backoff::Backoff;
use crate::adapt::reader::{self, Points};
use crate::runtime::{Clock, Hearing, Port};
use crate::serial;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use stowage_base::{CommandError, ReaderCommand, ReaderEvent, ReaderSession, ReaderSink, TagRead, Visit, Words};
use stowage_core::input::DeviceEvent;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::client::TlsStream;
use tokio_serial::SerialStream;
use tokio_util::sync::CancellationToken;

/// Octets read at once.
const CHUNK: usize = 64 * 1024;

/// Octets that may wait for a reader that doesn't read: past it the connection is closed.
const OUT_MAX: usize = 1 << 20;

/// The way to a reader.
pub(super) trait Line: AsyncRead + AsyncWrite + Unpin + Send {
    /// All octets from now on go at this speed in Bd.
    fn set_baud(&mut self, baud: u32) -> io::Result<()>;
}

impl Line for SerialStream {
    fn set_baud(&mut self, baud: u32) -> io::Result<()> {
        serial::set_baud(self, baud)
    }
}

impl Line for TcpStream {
    fn set_baud(&mut self, _baud: u32) -> io::Result<()> {
        Ok(())
    }
}

impl Line for TlsStream<TcpStream> {
    fn set_baud(&mut self, _baud: u32) -> io::Result<()> {
        Ok(())
    }
}

impl<L: Line + ?Sized> Line for Box<L> {
    fn set_baud(&mut self, baud: u32) -> io::Result<()> {
        (**self).set_baud(baud)
    }
}

/// Something that a reader is to do, and who waits for how it ended.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) command: ReaderCommand,
    pub(crate) reply: oneshot::Sender<Result<Words, CommandError>>,
}

/// What a line did: gave octets, or took some.
enum Moved {
    Read(usize),
    Written(usize),
}

/// Waits until `line` takes some of `out` or gives something into `buffer`. Loses nothing when it is dropped.
async fn exchange(line: &mut impl Line, buffer: &mut [u8], out: &[u8]) -> io::Result<Moved> {
    poll_fn(|context| {
        if !out.is_empty()
            && let Poll::Ready(written) = Pin::new(&mut *line).poll_write(context, out)
        {
            return Poll::Ready(written.map(Moved::Written));
        }
        let mut into = ReadBuf::new(buffer);
        let read = Pin::new(&mut *line).poll_read(context, &mut into);
        read.map_ok(|()| Moved::Read(into.filled().len()))
    })
    .await
}

/// Puts what a session makes of one chunk where it belongs.
struct Sink<'a> {
    out: &'a mut Vec<u8>,
    hearing: Hearing<'a>,
    points: &'a Points,
    /// Set once the session is up.
    up: &'a mut bool,
    /// Who waits for which command.
    waiting: &'a mut Waiting,
}

/// Who waits for which command: one at a time, save those that are refused at once. Beside it stands what the journal
/// is to keep of it.
type Waiting = Vec<(u32, Option<String>, oneshot::Sender<Result<Words, CommandError>>)>;

impl ReaderSink for Sink<'_> {
    fn send(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    fn read(&mut self, read: &TagRead) {
        if let Some(point) = self.points.get(read.antenna) {
            self.hearing.reads().read(point, read);
        }
    }

    fn visit(&mut self, visit: &Visit) {
        if let Some(point) = self.points.get(visit.antenna) {
            self.hearing.reads().visit(point, visit);
        }
    }

    fn event(&mut self, event: ReaderEvent) {
        *self.up |= event == ReaderEvent::Up;
        self.hearing.event(reader::event(event));
    }

    fn down(&mut self, why: &'static str, detail: fmt::Arguments<'_>) {
        self.hearing.event(DeviceEvent::Down(format!("{why}: {detail}")));
    }

    fn fault(&mut self, _what: &'static str, code: u32, detail: fmt::Arguments<'_>) {
        let what = if code == 0 { detail.to_string() } else { format!("{detail} (code {code})") };
        self.hearing.event(DeviceEvent::Fault { count: 1, what });
    }

    fn done(&mut self, id: u32, result: Result<Words, CommandError>) {
        if let Some(at) = self.waiting.iter().position(|(of, ..)| *of == id) {
            let (_, note, reply) = self.waiting.swap_remove(at);
            if let Some(note) = note.filter(|_| result.is_ok()) {
                self.hearing.event(DeviceEvent::Note(note));
            }
            // Who asked may have gone.
            let _ = reply.send(result);
        }
    }
}

/// Answers whatever is ordered while there is no session. Never ends.
async fn decline(orders: &mut mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        let _ = order.reply.send(Err(CommandError::Down));
    }
    std::future::pending().await
}

/// What a reader driver needs.
pub(super) struct Reader<S> {
    pub(super) session: S,
    pub(super) port: Port,
    pub(super) points: Points,
    pub(super) clock: Arc<Clock>,
    pub(super) stop: CancellationToken,
    /// What people want done.
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) waiting: Waiting,
    /// Counts orders.
    pub(super) ordered: u32,
}

impl<S: ReaderSession> Reader<S> {
    /// Dials and serves, again and again, until told to stop.
    pub(super) async fn run<T, F>(mut self, dial: impl Fn() -> F)
    where
        T: Line,
        F: Future<Output = io::Result<T>>,
    {
        let mut backoff = Backoff::new();
        loop {
            let why = tokio::select! {
                () = self.stop.cancelled() => return,
                () = decline(&mut self.orders) => return,
                link = dial() => match link {
                    Err(error) => format!("can't connect: {error}"),
                    Ok(link) => match self.serve(link, &mut backoff).await {
                        // The session has told why it gave up.
                        Ok(()) => String::new(),
                        Err(error) => format!("connection lost: {error}"),
                    },
                },
            };
            if self.stop.is_cancelled() {
                return;
            }
            if !why.is_empty() {
                self.port.tell(DeviceEvent::Down(why));
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = decline(&mut self.orders) => return,
                () = tokio::time::sleep(backoff.wait()) => {}
            }
        }
    }

    /// One connection, to its end.
    async fn serve(&mut self, mut line: impl Line, backoff: &mut Backoff) -> io::Result<()> {
        let (mut buffer, mut out) = (vec![0; CHUNK], Vec::new());
        let (mut up, mut baud) = (false, self.session.baud());
        self.feed(&mut out, &mut up, |session, now, sink| session.connected(now, sink));
        let ended = loop {
            if self.session.over() {
                break Ok(());
            }
            if out.len() > OUT_MAX {
                break Err(io::Error::other("it doesn't read what it is sent"));
            }
            let wanted = self.session.baud();
            if let Some(speed) = wanted.filter(|_| wanted != baud) {
                if let Err(error) = line.set_baud(speed) {
                    break Err(error);
                }
                baud = wanted;
            }
            let deadline = self.session.next_deadline();
            tokio::select! {
                () = self.stop.cancelled() => break Ok(()),
                moved = exchange(&mut line, &mut buffer, &out) => match moved {
                    // A serial port whose device is gone reads nothing for ever.
                    Ok(Moved::Read(0)) => break Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(Moved::Read(n)) => {
                        let chunk = &buffer[..n];
                        self.feed(&mut out, &mut up, |session, now, sink| session.receive(now, chunk, sink));
                    }
                    Ok(Moved::Written(0)) => break Err(io::ErrorKind::WriteZero.into()),
                    Ok(Moved::Written(n)) => drop(out.drain(..n)),
                    Err(error) => break Err(error),
                },
                Some(Order { command, reply }) = self.orders.recv() => {
                    self.ordered = self.ordered.wrapping_add(1);
                    let id = self.ordered;
                    self.waiting.push((id, reader::note(&command), reply));
                    self.feed(&mut out, &mut up, |session, now, sink| session.command(now, id, &command, sink));
                }
                () = self.clock.sleep_until(deadline) => {
                    self.feed(&mut out, &mut up, |session, now, sink| session.tick(now, sink));
                }
            }
            if up {
                backoff.reset();
            }
        };
        self.feed(&mut out, &mut up, |session, now, sink| session.disconnected(now, sink));
        ended
    }

    fn feed(
        &mut self,
        out: &mut Vec<u8>,
        up: &mut bool,
        step: impl FnOnce(&mut S, stowage_base::Timestamp, &mut Sink<'_>),
    ) {
        let Self { session, port, points, clock, waiting, .. } = self;
        let mut sink = Sink { out, hearing: port.hear(), points, up, waiting };
        step(session, clock.now(), &mut sink);
    }
}
