//! Drives any reader session over any octet stream: moves octets and time, decides nothing.

use super::backoff::Backoff;
use crate::adapt::reader::{self, Points};
use crate::runtime::{Clock, Hearing, Port};
use std::io;
use std::sync::Arc;
use stowage_base::{ReaderEvent, ReaderSession, ReaderSink, TagRead, Visit};
use stowage_core::input::DeviceEvent;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// Octets read at once.
const CHUNK: usize = 64 * 1024;

/// Octets that may wait for a reader that doesn't read: past it the connection is closed.
const OUT_MAX: usize = 1 << 20;

/// Puts what a session makes of one chunk where it belongs.
struct Sink<'a> {
    out: &'a mut Vec<u8>,
    hearing: Hearing<'a>,
    points: &'a Points,
    /// Set once the session is up.
    up: &'a mut bool,
}

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
}

/// What a reader driver needs.
pub(super) struct Reader<S> {
    pub(super) session: S,
    pub(super) port: Port,
    pub(super) points: Points,
    pub(super) clock: Arc<Clock>,
    pub(super) stop: CancellationToken,
}

impl<S: ReaderSession> Reader<S> {
    /// Dials and serves, again and again, until told to stop.
    pub(super) async fn run<T, F>(mut self, dial: impl Fn() -> F)
    where
        T: AsyncRead + AsyncWrite + Unpin,
        F: Future<Output = io::Result<T>>,
    {
        let mut backoff = Backoff::new();
        loop {
            let why = tokio::select! {
                () = self.stop.cancelled() => return,
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
                () = tokio::time::sleep(backoff.wait()) => {}
            }
        }
    }

    /// One connection, to its end.
    async fn serve<T: AsyncRead + AsyncWrite + Unpin>(&mut self, link: T, backoff: &mut Backoff) -> io::Result<()> {
        let (mut from, mut to) = tokio::io::split(link);
        let (mut buffer, mut out) = (vec![0; CHUNK], Vec::new());
        let mut up = false;
        self.feed(&mut out, &mut up, |session, now, sink| session.connected(now, sink));
        let ended = loop {
            if self.session.over() {
                break Ok(());
            }
            if out.len() > OUT_MAX {
                break Err(io::Error::other("it doesn't read what it is sent"));
            }
            let deadline = self.session.next_deadline();
            tokio::select! {
                () = self.stop.cancelled() => break Ok(()),
                n = from.read(&mut buffer) => match n {
                    // A serial port whose device is gone reads nothing for ever.
                    Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(n) => {
                        let chunk = &buffer[..n];
                        self.feed(&mut out, &mut up, |session, now, sink| session.receive(now, chunk, sink));
                    }
                    Err(error) => break Err(error),
                },
                n = to.write(&out), if !out.is_empty() => match n {
                    Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => drop(out.drain(..n)),
                    Err(error) => break Err(error),
                },
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
        let mut sink = Sink { out, hearing: self.port.hear(), points: &self.points, up };
        step(&mut self.session, self.clock.now(), &mut sink);
    }
}
