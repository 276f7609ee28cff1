//! A sorter's way to the engine: what finds no credit waits in its order.

use crate::adapt::sorter::{self, Said};
use crate::runtime::Port;
use std::collections::VecDeque;
use stowage_core::Input;
use stowage_core::input::{DeviceEvent, SorterEvent};
use stowage_protocol::sorter::Event;

/// Inputs that wait for credit: past it the newest is dropped and counted, for a sorter never sends so many.
const WAITING_MAX: usize = 4_096;

/// How soon inputs that found no credit are offered again.
const OFFER_AGAIN: std::time::Duration = std::time::Duration::from_millis(5);

pub(super) struct Outlet {
    port: Port,
    waiting: VecDeque<Input>,
}

impl Outlet {
    pub(super) fn new(port: Port) -> Self {
        Self { port, waiting: VecDeque::new() }
    }

    /// The session says something.
    pub(super) fn event(&mut self, event: Event) {
        sorter::event(event, |said| match said {
            Said::Device(event) => self.port.tell(event),
            Said::Sorter(event) => self.input(event),
        });
    }

    /// The device is out of reach.
    pub(super) fn down(&self, why: String) {
        self.port.tell(DeviceEvent::Down(why));
    }

    fn input(&mut self, event: SorterEvent) {
        let input = Input::Sorter { sorter: self.port.device, event };
        if self.waiting.is_empty() {
            if let Err(input) = self.port.offer(input) {
                self.waiting.push_back(*input);
            }
        } else if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(input);
        } else {
            let what = "more messages than can be handled: the newest were dropped".into();
            self.port.tell(DeviceEvent::Fault { count: 1, what });
        }
    }

    /// Offers what waits for credit, as far as there is some.
    pub(super) fn drain(&mut self) {
        while let Some(input) = self.waiting.pop_front() {
            if let Err(input) = self.port.offer(input) {
                self.waiting.push_front(*input);
                return;
            }
        }
    }

    /// Waits until [`drain`](Self::drain) is worth a try; for ever if nothing waits.
    pub(super) async fn room(&self) {
        if self.waiting.is_empty() {
            return std::future::pending().await;
        }
        tokio::time::sleep(OFFER_AGAIN).await;
    }
}
