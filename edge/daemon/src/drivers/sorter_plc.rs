//! Drives a sorter PLC's session over a serial port or a TCP connection.

use super::backoff::Backoff;
use super::outlet::Outlet;
use crate::runtime::{Clock, Port};
use std::io;
use std::sync::Arc;
use stowage_base::Timestamp;
use stowage_core::Effect;
use stowage_protocol::modbus_sorter::{Edge, Sink};
use stowage_protocol::sorter::{Event, Order};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Octets read at once: more than a PLC sends at once.
const CHUNK: usize = 1_024;

pub(super) struct SorterPlc {
    session: Edge,
    outlet: Outlet,
    effects: mpsc::Receiver<Effect>,
    clock: Arc<Clock>,
    stop: CancellationToken,
    /// Octets that the line is to have.
    out: Vec<u8>,
    backoff: Backoff,
}

struct ToBoth<'a> {
    out: &'a mut Vec<u8>,
    outlet: &'a mut Outlet,
    backoff: &'a mut Backoff,
}

impl Sink for ToBoth<'_> {
    fn send(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    fn event(&mut self, event: Event) {
        if matches!(event, Event::Up { .. }) {
            self.backoff.reset();
        }
        self.outlet.event(event);
    }
}

impl SorterPlc {
    pub(super) fn new(
        session: Edge,
        port: Port,
        effects: mpsc::Receiver<Effect>,
        clock: Arc<Clock>,
        stop: CancellationToken,
    ) -> Self {
        Self { session, outlet: Outlet::new(port), effects, clock, stop, out: Vec::new(), backoff: Backoff::new() }
    }

    /// Opens the line and serves, again and again, until told to stop.
    pub(super) async fn run<T, F>(mut self, dial: impl Fn() -> F)
    where
        T: AsyncRead + AsyncWrite + Unpin,
        F: Future<Output = io::Result<T>>,
    {
        loop {
            let Some(link) = self.without_a_line(dial()).await else { return };
            match link {
                Err(error) => self.outlet.down(format!("can't connect: {error}")),
                Ok(link) => {
                    let ended = self.serve(link).await;
                    if let Err(error) = &ended {
                        self.outlet.down(format!("connection lost: {error}"));
                    }
                    self.step(|session, now, sink| session.disconnected(now, sink));
                    self.out.clear();
                }
            }
            let pause = tokio::time::sleep(self.backoff.wait());
            if self.without_a_line(pause).await.is_none() {
                return;
            }
        }
    }

    /// Waits for `future`: commands for a sorter out of reach still run into their deadlines. `None` when told to stop.
    async fn without_a_line<F: Future>(&mut self, future: F) -> Option<F::Output> {
        tokio::pin!(future);
        loop {
            self.outlet.drain();
            let deadline = self.session.next_deadline();
            tokio::select! {
                () = self.stop.cancelled() => return None,
                done = &mut future => return Some(done),
                Some(effect) = self.effects.recv() => self.effect(effect),
                () = self.clock.sleep_until(deadline) => self.step(|session, now, sink| session.tick(now, sink)),
                () = self.outlet.room() => {}
            }
        }
    }

    /// One connection, to its end; no error when told to stop, or when the session has told why it gave up.
    async fn serve<T: AsyncRead + AsyncWrite + Unpin>(&mut self, link: T) -> io::Result<()> {
        let (mut from, mut to) = tokio::io::split(link);
        let mut buffer = [0; CHUNK];
        self.step(|session, now, sink| session.connected(now, sink));
        while !self.session.over() {
            self.outlet.drain();
            let deadline = self.session.next_deadline();
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                n = from.read(&mut buffer) => match n? {
                    // A serial port whose device is gone reads nothing for ever.
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    n => self.step(|session, now, sink| session.receive(now, &buffer[..n], sink)),
                },
                n = to.write(&self.out), if !self.out.is_empty() => match n? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    n => drop(self.out.drain(..n)),
                },
                Some(effect) = self.effects.recv() => self.effect(effect),
                () = self.clock.sleep_until(deadline) => self.step(|session, now, sink| session.tick(now, sink)),
                () = self.outlet.room() => {}
            }
        }
        Ok(())
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Divert { boot, item, chute, deadline, .. } => {
                let order = Order { boot, item, chute, deadline };
                self.step(|session, now, sink| session.divert(now, order, sink));
            }
            Effect::Recorded { boot, item, .. } => {
                self.step(|session, now, sink| session.recorded(now, boot, item, sink));
            }
            Effect::Answer { .. }
            | Effect::Refuse { .. }
            | Effect::AddTask { .. }
            | Effect::RemoveTask { .. }
            | Effect::Reply { .. }
            | Effect::Drive { .. }
            | Effect::CancelDrive { .. } => {}
        }
    }

    fn step(&mut self, step: impl FnOnce(&mut Edge, Timestamp, &mut ToBoth<'_>)) {
        let Self { session, outlet, out, backoff, .. } = self;
        step(session, self.clock.now(), &mut ToBoth { out, outlet, backoff });
    }
}
