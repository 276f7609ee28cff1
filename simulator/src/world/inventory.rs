//! A reader's inventory of the tags around an antenna: rounds of framed slotted Aloha, as in Gen2, with the times of
//! Miller 4 at 274 kHz. Every round asks every tag (both session flags are inventoried by turns).

use super::Ether;
use super::radio::{self, Signal};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use std::f64::consts::TAU;
use stowage_base::{Duration, Epc, TagRead, Timestamp};

/// What a slot takes in which nobody answers, several do, or one does.
const EMPTY: Duration = Duration::from_micros(263);
const COLLISION: Duration = Duration::from_micros(683);
const REPLY: Duration = Duration::from_micros(3_386);

/// What a reader needs between rounds: with a reply, a tag alone is read 70 times a second.
const OVERHEAD: Duration = Duration::from_micros(10_600);

/// Slots of the first frame after the antenna came on: 2 to the power of this.
const Q_START: u32 = 4;
const Q_MAX: u32 = 15;

/// Of two that answer at once the stronger one is understood if it is so much stronger, dB.
const CAPTURE_DB: f64 = 6.0;

/// A reply of this strength is understood every other time, and how fast that changes, dB.
const HALF_DBM: f64 = -66.0;
const HALF_WIDTH_DB: f64 = 2.25;

/// No reply is understood below this.
const FLOOR_DBM: f64 = -82.0;

/// Deviation of a measured strength from the true one, dB.
const NOISE_DB: f64 = 0.35;

/// Where a reader stands in its inventory.
#[derive(Debug)]
pub(super) struct Inventory {
    draw: ChaCha8Rng,
    /// Antenna, power, and until when it has looked.
    window: Option<(u16, i16, Timestamp)>,
    /// What is on the air, and when that is over; decided as it begins.
    now: Option<(Timestamp, Step)>,
    q: u32,
    /// Slots of the frame that are over.
    slot: u32,
    /// Who answers in which slot, the next one last.
    frame: Vec<(u32, Epc)>,
    /// Who collided in this frame.
    collided: Vec<Epc>,
    /// Slots of this frame in which one answered, or several.
    singles: u32,
    collisions: u32,
}

#[derive(Debug)]
enum Step {
    /// The reader prepares the next round.
    Prepare,
    /// Slots with nobody, or with several; then the frame goes on.
    Nothing,
    Heard(TagRead),
}

impl Inventory {
    pub(super) fn new(draw: ChaCha8Rng) -> Self {
        Self {
            draw,
            window: None,
            now: None,
            q: Q_START,
            slot: 0,
            frame: Vec::new(),
            collided: Vec::new(),
            singles: 0,
            collisions: 0,
        }
    }

    pub(super) fn run(
        &mut self,
        ether: &mut Ether<'_>,
        start: Timestamp,
        end: Timestamp,
        heard: &mut dyn FnMut(&TagRead),
    ) {
        let (port, power) = (ether.antenna.port, ether.power_cdbm);
        if self.window.replace((port, power, end)) != Some((port, power, start)) {
            self.now = Some((start + OVERHEAD, Step::Prepare));
            self.q = Q_START;
        }
        while let Some((over, step)) = self.now.take_if(|(over, _)| *over <= end) {
            match step {
                Step::Prepare => {
                    let asked = ether.here.iter().copied().collect::<Vec<_>>();
                    let powered =
                        asked.into_iter().filter(|epc| ether.signal(epc, over).is_some_and(|signal| signal.powered));
                    let powered = powered.collect();
                    self.open_frame(powered);
                }
                Step::Nothing => {}
                Step::Heard(read) => heard(&read),
            }
            let (took, step) = self.next(ether, over);
            self.now = Some((over + took, step));
        }
    }

    fn open_frame(&mut self, tags: Vec<Epc>) {
        (self.slot, self.singles, self.collisions) = (0, 0, 0);
        let Self { draw, q, .. } = self;
        self.frame = tags.into_iter().map(|epc| (draw.next_u32() & ((1 << *q) - 1), epc)).collect();
        self.frame.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// What comes on the air at `at`, and for how long.
    fn next(&mut self, ether: &mut Ether<'_>, at: Timestamp) -> (Duration, Step) {
        let empties = |from: u32, to: u32| Duration::from_micros(EMPTY.micros() * i64::from(to.saturating_sub(from)));
        let Some((slot, _)) = self.frame.last().copied() else {
            // Seen from the reader, a slot in which several answer has 2.39 of them on average.
            let left = self.collisions * 239 / 100;
            let rest = empties(self.slot, 1 << self.q);
            if self.collided.is_empty() {
                self.q = q_for(self.singles + left);
                return (rest + OVERHEAD, Step::Prepare);
            }
            self.q = q_for(left);
            let collided = std::mem::take(&mut self.collided);
            self.open_frame(collided);
            return (rest, Step::Nothing);
        };
        let before = empties(self.slot, slot);
        self.slot = slot + 1;
        let first = self.frame.iter().rposition(|(other, _)| *other != slot).map_or(0, |last| last + 1);
        let answers = self.frame.split_off(first);
        // A reply that is lost to noise costs its slot; the tag is asked again in the next round.
        let begin = at + before;
        let mut loudest: Option<(Epc, Signal)> = None;
        let mut others_mw = 0.0;
        for (_, epc) in &answers {
            let Some(signal) = ether.signal(epc, begin) else { continue };
            match &mut loudest {
                Some((_, loud)) if loud.rssi_dbm >= signal.rssi_dbm => others_mw += milliwatts(signal.rssi_dbm),
                _ => {
                    let softer = loudest.replace((*epc, signal));
                    others_mw += softer.map_or(0.0, |(_, softer)| milliwatts(softer.rssi_dbm));
                }
            }
        }
        let Some((epc, signal)) = loudest else { return (before + EMPTY, Step::Nothing) };
        let captured = milliwatts(signal.rssi_dbm - CAPTURE_DB) >= others_mw;
        if !captured {
            self.collisions += 1;
            self.collided.extend(answers.into_iter().map(|(_, epc)| epc));
            return (before + COLLISION, Step::Nothing);
        }
        self.singles += 1;
        self.collided.extend(answers.into_iter().map(|(_, epc)| epc).filter(|other| *other != epc));
        let took = before + REPLY;
        let chance = 1.0 / (1.0 + libm::exp((HALF_DBM - signal.rssi_dbm) / HALF_WIDTH_DB));
        let understood = signal.rssi_dbm >= FLOOR_DBM && radio::unit(&mut self.draw) < chance;
        let measured = signal.rssi_dbm + NOISE_DB * radio::normal(&mut self.draw);
        let spread = libm::hypot(0.007, 0.065 * libm::pow(10.0, -(signal.rssi_dbm + 62.0) / 20.0));
        let phase = signal.phase + spread * radio::normal(&mut self.draw);
        if !understood {
            return (took, Step::Nothing);
        }
        let turns = phase / TAU;
        let read = TagRead {
            epc,
            antenna: ether.antenna.port,
            rssi_cdbm: (100.0 * measured) as i16,
            count: 1,
            at: at + took,
            frequency_khz: Some(signal.khz),
            phase: Some(((turns - libm::floor(turns)) * 4_096.0) as u16 & 0xFFF),
        };
        (took, Step::Heard(read))
    }
}

/// Slots for so many tags: the power of two nearest to them, as an exponent.
fn q_for(tags: u32) -> u32 {
    // 181/128 is √2.
    (tags.saturating_mul(181) >> 7).checked_ilog2().unwrap_or(0).min(Q_MAX)
}

fn milliwatts(dbm: f64) -> f64 {
    libm::pow(10.0, dbm / 10.0)
}

#[cfg(test)]
mod tests {
    use super::q_for;

    #[test]
    fn a_frame_has_about_as_many_slots_as_tags() {
        assert_eq!([0, 1, 2, 3, 5, 6, 11, 12, 100].map(q_for), [0, 0, 1, 2, 2, 3, 3, 4, 7]);
    }
}
