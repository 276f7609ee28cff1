//! The way into the engine: urgent inputs bounded by a credit for each device, reads merged in a place of their own.
//!
//! [`Port::offer`] and [`Port::hear`] never wait: a session can always answer its device's keepalive.

use super::reads::Reads;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stowage_core::Input;
use stowage_core::input::DeviceEvent;
use stowage_core::site::DeviceIx;

/// Urgent inputs of one device that may wait.
pub(crate) const CREDIT: usize = 1_024;

/// Session changes of one device that may wait; in between only the last complaints are told.
const EVENTS_MAX: usize = 8;

/// Something for the engine's thread.
#[derive(Debug)]
pub(crate) enum Message {
    /// An urgent input of a device.
    Input(DeviceIx, Input),
    /// Reads, visits or complaints of this device wait in its port.
    Look(DeviceIx),
    /// A commit's outcome has come in.
    Committed,
    /// Something asked by a page or another program.
    Asked(crate::web::Request),
    /// Stop, after what came before.
    Stop,
}

/// One device's way to the engine. Clones are the same way.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    /// The device.
    pub(crate) device: DeviceIx,
    shared: Arc<Shared>,
    messages: Sender<Message>,
}

#[derive(Debug)]
struct Shared {
    credit: AtomicUsize,
    /// Whether a [`Message::Look`] is on its way.
    looking: AtomicBool,
    waiting: Mutex<Waiting>,
}

/// What waits in a port until the engine looks.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Reads and visits.
    pub(crate) reads: Reads,
    events: Vec<DeviceEvent>,
}

/// The messages' other end.
#[derive(Debug)]
pub(crate) struct Inlet {
    /// What has come.
    pub(crate) messages: Receiver<Message>,
    ports: Vec<Port>,
}

impl Inlet {
    /// A way in for each of `devices` devices, and a sender for other messages.
    pub(crate) fn new(devices: usize) -> (Self, Vec<Port>, Sender<Message>) {
        let (messages, received) = mpsc::channel();
        let port = |at| Port {
            // A site has at most 65,536 devices: its index says so.
            device: DeviceIx(at as u16),
            shared: Arc::new(Shared {
                credit: AtomicUsize::new(CREDIT),
                looking: AtomicBool::new(false),
                waiting: Mutex::default(),
            }),
            messages: messages.clone(),
        };
        let ports: Vec<_> = (0..devices).map(port).collect();
        (Self { messages: received, ports: ports.clone() }, ports, messages)
    }

    /// Gives a device back the credit of one input.
    pub(crate) fn handled(&self, device: DeviceIx) {
        self.ports[usize::from(device.0)].shared.credit.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes what waits in a device's port: reads into `reads` (which must be empty), and returns its events.
    pub(crate) fn look(&self, device: DeviceIx, reads: &mut Reads) -> Vec<DeviceEvent> {
        let port = &self.ports[usize::from(device.0)];
        port.shared.looking.store(false, Ordering::Release);
        let mut waiting = port.lock();
        waiting.reads.swap(reads);
        std::mem::take(&mut waiting.events)
    }
}

impl Port {
    /// Gives the engine an urgent input. Without credit it comes back: the device sends more than can be handled.
    ///
    /// # Errors
    /// The input, not taken.
    pub(crate) fn offer(&self, input: Input) -> Result<(), Box<Input>> {
        let credit = &self.shared.credit;
        if credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            return Err(Box::new(input));
        }
        // Without an engine the daemon is stopping: nothing more is to be done.
        let _ = self.messages.send(Message::Input(self.device, input));
        Ok(())
    }

    /// Lends the place for reads and events; the engine is woken when it is given back.
    pub(crate) fn hear(&self) -> Hearing<'_> {
        Hearing { port: self, waiting: self.lock(), touched: false }
    }

    /// Tells a change of the session, or a complaint.
    pub(crate) fn tell(&self, event: DeviceEvent) {
        self.hear().event(event);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // What waits is whole between any two statements that could panic.
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port's place for reads, held for one chunk of received octets.
#[derive(Debug)]
pub(crate) struct Hearing<'a> {
    port: &'a Port,
    waiting: MutexGuard<'a, Waiting>,
    touched: bool,
}

impl Hearing<'_> {
    /// The waiting reads, to add to.
    pub(crate) fn reads(&mut self) -> &mut Reads {
        self.touched = true;
        &mut self.waiting.reads
    }

    /// Adds an event. Complaints of one kind that wait become one.
    pub(crate) fn event(&mut self, event: DeviceEvent) {
        self.touched = true;
        let events = &mut self.waiting.events;
        match (&event, events.last_mut()) {
            (DeviceEvent::Fault { count, what }, Some(DeviceEvent::Fault { count: sum, what: last }))
            | (DeviceEvent::Malformed { count, what }, Some(DeviceEvent::Malformed { count: sum, what: last })) => {
                *sum += count;
                last.clone_from(what);
            }
            _ => {
                if events.len() >= EVENTS_MAX {
                    // Complaints go first; of a session that flaps, the newest changes tell the most.
                    let complaint = |event: &DeviceEvent| !matches!(event, DeviceEvent::Up | DeviceEvent::Down(_));
                    events.remove(events.iter().position(complaint).unwrap_or(0));
                }
                events.push(event);
            }
        }
    }
}

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        if self.touched && !self.port.shared.looking.swap(true, Ordering::AcqRel) {
            let _ = self.port.messages.send(Message::Look(self.port.device));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_bounds_what_waits_and_comes_back() {
        let (inlet, ports, _) = Inlet::new(1);
        let input = || Input::Settle { request: 0, discrepancy: 0 };
        for _ in 0..CREDIT {
            ports[0].offer(input()).expect("there is credit");
        }
        assert_eq!(ports[0].offer(input()), Err(Box::new(input())));
        inlet.handled(ports[0].device);
        ports[0].offer(input()).expect("one came back");
    }

    #[test]
    fn complaints_never_push_out_a_change_of_the_session() {
        let (inlet, ports, _) = Inlet::new(1);
        let mut hearing = ports[0].hear();
        hearing.event(DeviceEvent::Up);
        for _ in 0..20 {
            hearing.event(DeviceEvent::Fault { count: 1, what: "f".into() });
            hearing.event(DeviceEvent::Malformed { count: 1, what: "m".into() });
        }
        drop(hearing);
        let events = inlet.look(ports[0].device, &mut Reads::new());
        assert_eq!((events.len(), &events[0]), (EVENTS_MAX, &DeviceEvent::Up));
    }

    #[test]
    fn one_look_is_enough_for_much_that_waits() {
        let (inlet, ports, _) = Inlet::new(1);
        for n in 0..100 {
            ports[0].tell(DeviceEvent::Malformed { count: 2, what: format!("frame {n}") });
        }
        ports[0].tell(DeviceEvent::Up);
        assert!(matches!(inlet.messages.try_recv(), Ok(Message::Look(device)) if device == ports[0].device));
        assert!(inlet.messages.try_recv().is_err());
        let events = inlet.look(ports[0].device, &mut Reads::new());
        assert_eq!(events, [DeviceEvent::Malformed { count: 200, what: "frame 99".into() }, DeviceEvent::Up]);
        ports[0].tell(DeviceEvent::Up);
        assert!(matches!(inlet.messages.try_recv(), Ok(Message::Look(_))), "woken again");
    }
}
