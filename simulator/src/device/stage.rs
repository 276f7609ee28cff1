//! The world in real time, shared by readers, and what is done in it.

use super::{Clock, Event, Events};
use crate::world::{Course, Direction, SpotIx, World};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stowage_base::{Duration, Epc};
use stowage_core::site::DeviceIx;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How fast goods move if it isn't said: a person with a pallet truck.
const SPEED_MM_S: u32 = 1_200;

/// A world that several tasks share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its time.
    pub clock: Clock,
    world: Arc<Mutex<World>>,
    /// Where a device that can have faults hears of them.
    faulty: Arc<Mutex<Option<mpsc::UnboundedSender<Fault>>>>,
}

/// What may be done around one reader. As JSON: an object with one member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StageCommand {
    /// Tags go through the doorway.
    Pass(Walk),
    /// Tags come up to it and go back.
    TurnBack(Walk),
    /// Tags stand in it for a while and go on.
    Pause(Walk),
    /// A tag is laid before an antenna.
    Place {
        /// Which.
        epc: Epc,
        /// The antenna's port.
        antenna: u16,
        /// How far before it.
        distance_mm: u32,
    },
    /// A tag is taken away.
    Remove {
        /// Which.
        epc: Epc,
    },
    /// Something goes wrong with the device itself, or is mended.
    Fault(Fault),
}

/// What can go wrong with a UART module. As JSON: `"restart"`, or an object with one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// It loses its power for a moment.
    Restart,
    /// Its line, and with it its power, is pulled out, and put in again.
    Unplug {
        /// After how long.
        for_ms: u32,
    },
    /// It is too hot, or no longer.
    TooHot(bool),
    /// What hangs at an antenna port from now on.
    Antenna {
        /// The port.
        port: u8,
        /// What hangs there.
        state: AntennaState,
    },
}

/// What hangs at an antenna port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AntennaState {
    /// A good antenna.
    On,
    /// Nothing.
    Off,
    /// Something that sends the power back.
    ReturnLoss,
}

/// Who goes where.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Walk {
    /// The tags, together as on a pallet.
    pub epcs: Vec<Epc>,
    /// Which way.
    pub direction: Direction,
    /// How fast; 1200 if left out.
    #[serde(default = "speed")]
    pub speed_mm_s: u32,
    /// For how long a pause lasts; 5000 if left out.
    #[serde(default = "pause")]
    pub pause_ms: u32,
}

fn speed() -> u32 {
    SPEED_MM_S
}

fn pause() -> u32 {
    5_000
}

impl Stage {
    /// A stage for `world`.
    pub fn new(clock: Clock, world: World) -> Self {
        Self { clock, world: Arc::new(Mutex::new(world)), faulty: Arc::default() }
    }

    /// The faults that the device on this stage shall have.
    pub(super) fn faults(&self) -> mpsc::UnboundedReceiver<Fault> {
        let (give, faults) = mpsc::unbounded_channel();
        *self.faulty.lock().unwrap_or_else(PoisonError::into_inner) = Some(give);
        faults
    }

    /// The world. Not to be held over a wait.
    pub fn world(&self) -> MutexGuard<'_, World> {
        // The world has no state that a panic could leave half done and harmful.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out commands around the reader `device` in `spot`, and tells when each is done.
    pub async fn carry_out(
        self,
        spot: SpotIx,
        device: DeviceIx,
        mut commands: mpsc::Receiver<StageCommand>,
        events: Events,
        stop: CancellationToken,
    ) {
        loop {
            let command = tokio::select! {
                command = commands.recv() => command,
                () = stop.cancelled() => return,
            };
            // Without anyone to command, what goes on goes on.
            let Some(command) = command else { return stop.cancelled().await };
            self.obey(spot, device, command, &events);
        }
    }

    fn obey(&self, spot: SpotIx, device: DeviceIx, command: StageCommand, events: &Events) {
        match command {
            StageCommand::Pass(walk) => {
                self.walk(spot, walk, |_| Course::Through, |epcs| Event::Passed { epcs }, events)
            }
            StageCommand::TurnBack(walk) => {
                self.walk(spot, walk, |_| Course::TurnBack, |epcs| Event::TurnedBack { epcs }, events);
            }
            StageCommand::Pause(walk) => {
                let course = |walk: &Walk| Course::Pause(Duration::from_millis(walk.pause_ms.into()));
                self.walk(spot, walk, course, |epcs| Event::Passed { epcs }, events);
            }
            StageCommand::Place { epc, antenna, distance_mm } => {
                let placed = self.world().place(self.clock.now(), epc, device, antenna, distance_mm);
                events.tell(placed.map_or_else(|error| Event::Error(error.to_string()), |()| Event::Placed { epc }));
            }
            StageCommand::Remove { epc } => {
                let removed = self.world().remove(&epc);
                events.tell(if removed {
                    Event::Removed { epc }
                } else {
                    Event::Error(format!("there is no tag {epc}"))
                });
            }
            StageCommand::Fault(fault) => {
                let faulty = self.faulty.lock().unwrap_or_else(PoisonError::into_inner);
                if faulty.as_ref().is_none_or(|device| device.send(fault).is_err()) {
                    events.tell(Event::Error("only a UART module (mercury) can have faults".into()));
                }
            }
        }
    }

    fn walk(
        &self,
        spot: SpotIx,
        walk: Walk,
        course: impl Fn(&Walk) -> Course,
        done: impl FnOnce(Vec<Epc>) -> Event + Send + 'static,
        events: &Events,
    ) {
        let course = course(&walk);
        let Walk { epcs, direction, speed_mm_s, .. } = walk;
        let end = self.world().walk(self.clock.now(), spot, &epcs, direction, course, speed_mm_s);
        let (clock, events) = (self.clock, events.clone());
        tokio::spawn(async move {
            clock.sleep_until(Some(end)).await;
            events.tell(done(epcs));
        });
    }
}
