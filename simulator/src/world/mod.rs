//! The truth: tags, where they are and how they move, and what antennas hear of them.
//!
//! Pure: time comes in, and every draw hangs on the seed and on what is drawn, not on the order of calls. Arithmetic is
//! of integers and of IEEE operations with `libm`, so debug and release agree bit for bit. Nothing here knows what a
//! reader reports, or what anyone believes.
//!
//! Space is a set of [`Spot`]s: surroundings of a doorway or of a lone antenna, each with its own axes in mm. `x` runs
//! through the doorway from the outer side (negative) to the inner (positive), `y` across it, `z` upwards. What is in
//! no spot is in a zone, out of every antenna's reach.

mod inventory;
mod path;
mod radio;

pub use path::{Course, Direction, REACH_MM};

use inventory::Inventory;
use path::Path;
use radio::{Antenna, Body, Link};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use stowage_base::{Air, Duration, Epc, TagRead, Timestamp};
use stowage_core::Site;
use stowage_core::site::{DeviceIx, DeviceKind, ZoneIx};

/// A place in a spot: x, y, z in mm.
pub type Point = [i32; 3];

/// Speeds are limited to this, in mm/s.
pub const SPEED_MAX_MM_S: u32 = 20_000;

/// A tag lies at most this far from an antenna when placed before it, in mm.
pub const DISTANCE_MAX_MM: u32 = 20_000;

/// Index of a [`Spot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpotIx(pub u16);

/// Surroundings that antennas can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Where x is negative.
    pub outer: ZoneIx,
    /// Where x is zero or positive.
    pub inner: ZoneIx,
}

/// Where an antenna hangs: at `x_mm`, 1.5 m beside the lane and 1.5 m high, looking across it. Away from the middle it
/// is turned 30° outwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AntennaSpec {
    /// Its port on the reader, from 1.
    pub port: u16,
    /// Where.
    pub spot: SpotIx,
    /// Before (-) or behind (+) the doorway.
    pub x_mm: i32,
}

/// A reader's radio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderSpec {
    /// What the edge knows it as.
    pub device: DeviceIx,
    /// Its antennas.
    pub antennas: Vec<AntennaSpec>,
    /// The channels in kHz that it hops through, in order; at least one.
    pub channels_khz: Vec<u32>,
    /// How long it stays on a channel.
    pub hop: Duration,
}

impl ReaderSpec {
    /// A reader without antennas that hops as in North America: 50 channels, 200 ms each.
    pub fn fcc(device: DeviceIx) -> Self {
        let channels_khz = (0..50).map(|hop| 902_750 + 500 * (hop * 7 % 50)).collect();
        Self { device, antennas: Vec::new(), channels_khz, hop: Duration::from_millis(200) }
    }

    /// A reader without antennas that hops as in Europe: four channels, 2 s each.
    pub fn etsi(device: DeviceIx) -> Self {
        let channels_khz = vec![865_700, 866_300, 866_900, 867_500];
        Self { device, antennas: Vec::new(), channels_khz, hop: Duration::from_secs(2) }
    }
}

/// What can't be done in this world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// There is no such antenna.
    #[error("reader {} has no antenna {port}", device.0)]
    NoAntenna {
        /// The reader.
        device: DeviceIx,
        /// The port asked for.
        port: u16,
    },
}

/// The world. See the module.
#[derive(Debug)]
pub struct World {
    seed: u64,
    spots: Vec<Spot>,
    /// Tags in each spot, and some that have left it.
    present: Vec<BTreeSet<Epc>>,
    readers: Vec<Reader>,
    tags: BTreeMap<Epc, Tag>,
    /// Counts walks, so that each is drawn anew.
    walks: u64,
}

#[derive(Debug)]
struct Reader {
    spec: ReaderSpec,
    antennas: Vec<Antenna>,
    inventory: Inventory,
}

#[derive(Debug)]
struct Tag {
    body: Body,
    place: Place,
    /// Fading to the antennas that have looked for it, by reader and port.
    links: BTreeMap<(usize, u16), Link>,
}

#[derive(Debug)]
enum Place {
    Spot(SpotIx, Path),
    Zone(ZoneIx),
}

impl World {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        let (spots, present, readers) = (Vec::new(), Vec::new(), Vec::new());
        Self { seed, spots, present, readers, tags: BTreeMap::new(), walks: 0 }
    }

    /// The world of a site: a spot for each portal, in their order, then one for each antenna elsewhere; a reader that
    /// hops as in North America for each device that is one.
    pub fn of_site(seed: u64, site: &Site) -> Self {
        let mut world = Self::new(seed);
        for portal in &site.portals {
            world.add_spot(Spot { outer: portal.outer, inner: portal.inner });
        }
        for (index, _) in site.devices.iter().enumerate().filter(|(_, device)| device.kind == DeviceKind::Reader) {
            let mut spec = ReaderSpec::fcc(DeviceIx(index as u16));
            for point in site.read_points.iter().filter(|point| point.device == spec.device) {
                let (spot, x_mm) = match point.portal {
                    Some((portal, x_mm)) => (SpotIx(portal.0), x_mm),
                    None => (world.add_spot(Spot { outer: point.zone, inner: point.zone }), 0),
                };
                spec.antennas.push(AntennaSpec { port: point.antenna, spot, x_mm });
            }
            world.add_reader(spec);
        }
        world
    }

    /// Adds surroundings.
    pub fn add_spot(&mut self, spot: Spot) -> SpotIx {
        self.spots.push(spot);
        self.present.push(BTreeSet::new());
        SpotIx(self.spots.len() as u16 - 1)
    }

    /// Adds a reader.
    pub fn add_reader(&mut self, spec: ReaderSpec) {
        let antennas = spec.antennas.iter().map(Antenna::new).collect();
        let inventory = Inventory::new(rng(self.seed, [1, u64::from(spec.device.0), 0]));
        self.readers.push(Reader { spec, antennas, inventory });
    }

    /// What `device` hears. A device that is no reader here hears nothing.
    pub fn air(&mut self, device: DeviceIx) -> impl Air + '_ {
        let reader = self.readers.iter().position(|reader| reader.spec.device == device);
        ReaderAir { world: self, reader }
    }

    /// Sends tags through the doorway of `spot`, or as `course` says, from `now` on at `speed_mm_s` (1 to
    /// [`SPEED_MAX_MM_S`]; beyond that the nearest). They start [`REACH_MM`] before it and end out of reach, as close
    /// together as on a pallet. Returns when the last one is out of reach.
    pub fn walk(
        &mut self,
        now: Timestamp,
        spot: SpotIx,
        epcs: &[Epc],
        direction: Direction,
        course: Course,
        speed_mm_s: u32,
    ) -> Timestamp {
        self.walks += 1;
        let Spot { outer, inner } = self.spots[usize::from(spot.0)];
        let (from, to) = match direction {
            Direction::In => (outer, inner),
            Direction::Out => (inner, outer),
        };
        let goal = if course == Course::TurnBack { from } else { to };
        let mut end = now;
        for epc in epcs {
            let mut draw = rng(self.seed, [2, self.walks, epc.hash64()]);
            let mut within = |low: i32, high: i32| low + (draw.next_u32() % (high - low) as u32) as i32;
            let offset = [within(-500, 500), within(-400, 400), within(300, 1_700)];
            let path = Path::walk(now, offset, direction, course, speed_mm_s.clamp(1, SPEED_MAX_MM_S), goal);
            end = end.max(path.end());
            self.put(*epc, Place::Spot(spot, path));
        }
        end
    }

    /// Lays a tag `distance_mm` before an antenna, where it is strongest; at most [`DISTANCE_MAX_MM`].
    ///
    /// # Errors
    /// There is no such antenna.
    pub fn place(
        &mut self,
        now: Timestamp,
        epc: Epc,
        device: DeviceIx,
        port: u16,
        distance_mm: u32,
    ) -> Result<(), WorldError> {
        let reader = self.readers.iter().find(|reader| reader.spec.device == device);
        let antenna = reader.and_then(|reader| reader.antennas.iter().find(|antenna| antenna.port == port));
        let Some(antenna) = antenna else { return Err(WorldError::NoAntenna { device, port }) };
        let (spot, point) = (antenna.spot, antenna.ahead(distance_mm.min(DISTANCE_MAX_MM)));
        self.put(epc, Place::Spot(spot, Path::rest(now, point)));
        Ok(())
    }

    /// Lays a tag into a zone, out of every antenna's reach.
    pub fn stow(&mut self, epc: Epc, zone: ZoneIx) {
        self.put(epc, Place::Zone(zone));
    }

    /// Takes a tag out of the world; `false` if it wasn't in it.
    pub fn remove(&mut self, epc: &Epc) -> bool {
        self.tags.remove(epc).is_some()
    }

    /// The zone in which a tag is at `at`, which is not before what was last done to it.
    pub fn zone(&self, epc: &Epc, at: Timestamp) -> Option<ZoneIx> {
        match &self.tags.get(epc)?.place {
            Place::Zone(zone) => Some(*zone),
            Place::Spot(spot, path) => {
                let Spot { outer, inner } = self.spots[usize::from(spot.0)];
                Some(path.left(at).unwrap_or_else(|| if path.at(at)[0] < 0 { outer } else { inner }))
            }
        }
    }

    /// Where in a spot a tag is at `at`; `None` if in none.
    pub fn position(&self, epc: &Epc, at: Timestamp) -> Option<(SpotIx, Point)> {
        match &self.tags.get(epc)?.place {
            Place::Spot(spot, path) if path.left(at).is_none() => Some((*spot, path.at(at))),
            Place::Spot(..) | Place::Zone(_) => None,
        }
    }

    /// All tags, by EPC.
    pub fn tags(&self) -> impl Iterator<Item = &Epc> {
        self.tags.keys()
    }

    fn put(&mut self, epc: Epc, place: Place) {
        if let Place::Spot(spot, _) = &place {
            self.present[usize::from(spot.0)].insert(epc);
        }
        let body = || Body::draw(&mut rng(self.seed, [3, epc.hash64(), 0]));
        match self.tags.entry(epc) {
            std::collections::btree_map::Entry::Occupied(mut tag) => tag.get_mut().place = place,
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(Tag { body: body(), place, links: BTreeMap::new() });
            }
        }
    }
}

/// The generator of what `what` names; [`World::add_reader`], [`World::walk`] and others name things apart.
fn rng(seed: u64, what: [u64; 3]) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (octets, part) in key.chunks_exact_mut(8).zip([seed, what[0], what[1], what[2]]) {
        octets.copy_from_slice(&part.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// One reader's share of the world.
struct ReaderAir<'a> {
    world: &'a mut World,
    reader: Option<usize>,
}

impl Air for ReaderAir<'_> {
    /// Windows that follow each other without a gap, by the same antenna at the same power, hear what one window over
    /// all of them would.
    fn interrogate(
        &mut self,
        antenna: u16,
        power_cdbm: i16,
        start: Timestamp,
        end: Timestamp,
        heard: &mut dyn FnMut(&TagRead),
    ) {
        let Some(index) = self.reader else { return };
        let World { seed, present, readers, tags, .. } = &mut *self.world;
        let Reader { spec, antennas, inventory } = &mut readers[index];
        let Some(antenna) = antennas.iter().find(|other| other.port == antenna) else { return };
        let here = &mut present[usize::from(antenna.spot.0)];
        here.retain(|epc| match tags.get(epc).map(|tag| &tag.place) {
            Some(Place::Spot(spot, path)) => *spot == antenna.spot && path.left(start).is_none(),
            Some(Place::Zone(_)) | None => false,
        });
        let mut ether = Ether { seed: *seed, reader: index, spec, antenna, power_cdbm, here, tags };
        inventory.run(&mut ether, start, end, heard);
    }
}

/// What an antenna and the tags around it are to each other during one interrogation.
struct Ether<'a> {
    seed: u64,
    reader: usize,
    spec: &'a ReaderSpec,
    antenna: &'a Antenna,
    power_cdbm: i16,
    here: &'a BTreeSet<Epc>,
    tags: &'a mut BTreeMap<Epc, Tag>,
}

impl Ether<'_> {
    /// The channel at `at`, in kHz.
    fn channel(&self, at: Timestamp) -> u32 {
        let hop = at.micros().div_euclid(self.spec.hop.micros().max(1));
        self.spec.channels_khz[hop.rem_euclid(self.spec.channels_khz.len() as i64) as usize]
    }

    /// What the way to `epc` and back is like at `at`; `None` if it is not here.
    fn signal(&mut self, epc: &Epc, at: Timestamp) -> Option<radio::Signal> {
        let khz = self.channel(at);
        let tag = self.tags.get_mut(epc)?;
        let Place::Spot(spot, path) = &tag.place else { return None };
        if *spot != self.antenna.spot || path.left(at).is_some() {
            return None;
        }
        let key = (self.reader, self.antenna.port);
        let what = [4 << 32 | (key.0 as u64) << 16 | u64::from(key.1), epc.hash64(), 0];
        let link = tag.links.entry(key).or_insert_with(|| Link::draw(&mut rng(self.seed, what)));
        Some(radio::signal(self.antenna, &tag.body, link, path.at(at), khz, self.power_cdbm))
    }
}

#[cfg(test)]
mod tests;
