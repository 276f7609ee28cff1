//! What goods and people do, and where everything really is.

use super::chance::Chance;
use super::worker::Press;
use crate::world::{Course, Direction, SpotIx, World};
use std::collections::BTreeMap;
use stowage::config::Load;
use stowage_base::{Code, Duration, Epc, Timestamp};
use stowage_core::Site;
use stowage_core::site::{PortalIx, Sku, UnknownTag, ZoneIx, ZoneKind};
use stowage_gs1::epc::sgtin96;
use stowage_scanner::Mode;

/// A person with a pallet truck, in mm/s.
const SPEED_MM_S: (u32, u32) = (900, 1_500);

/// So many items are enough for the house.
const GOODS_MAX: usize = 400;

/// For so long after a walk nobody touches the goods: what portals make of it stays apart from what comes next.
pub(super) const SETTLE: Duration = Duration::from_secs(8);

/// Goods that went to a portal together.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    pub(super) portal: PortalIx,
    pub(super) epcs: Vec<Epc>,
    /// Where they are afterwards.
    pub(super) goal: ZoneIx,
    /// They came back.
    pub(super) turned: bool,
    pub(super) start: Timestamp,
    /// When the last one is out of reach.
    pub(super) end: Timestamp,
    then: Then,
}

#[derive(Debug, Clone)]
enum Then {
    /// They stay on the floor there.
    Stay,
    /// They are laid here, and scanned.
    Stow(Code),
    /// Out by this portal next.
    Out(PortalIx),
    /// They are gone.
    Gone,
}

/// One tagged item.
#[derive(Debug)]
struct Good {
    sku: usize,
    at: Code,
    free_at: Timestamp,
}

/// Goods without tags in one place.
#[derive(Debug)]
struct Heap {
    sku: usize,
    at: Code,
    quantity: u32,
}

/// What really lies where.
#[derive(Debug)]
pub(super) struct Floor {
    site: std::sync::Arc<Site>,
    load: Load,
    chance: Chance,
    prefix_len: u8,
    serial: u64,
    goods: BTreeMap<Epc, Good>,
    heaps: Vec<Heap>,
    /// Every walk so far.
    pub(super) walks: Vec<Walk>,
}

impl Floor {
    pub(super) fn new(site: std::sync::Arc<Site>, load: Load, chance: Chance) -> Self {
        let ours = site.tags.iter().find(|rule| rule.unknown == UnknownTag::Register && rule.company_prefix.len() >= 6);
        let prefix_len = ours.map_or(7, |rule| rule.company_prefix.len().min(12) as u8);
        let (goods, heaps, walks) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { site, load, chance, prefix_len, serial: 0, goods, heaps, walks }
    }

    /// Each item's zone.
    pub(super) fn zones(&self) -> impl Iterator<Item = (&Epc, ZoneIx)> {
        self.goods.iter().filter_map(|(epc, good)| Some((epc, self.site.location(&good.at)?.zone)))
    }

    /// A pallet comes in. Returns the walk's number and end.
    pub(super) fn arrive(&mut self, now: Timestamp, world: &mut World) -> Option<(usize, Timestamp)> {
        let portal = self.portal(true)?;
        let sku = self.sku(true)?;
        if self.goods.len() >= GOODS_MAX {
            return None;
        }
        let mut epcs = Vec::new();
        for _ in 0..1 + self.chance.below(self.load.together) {
            self.serial += 1;
            // A SKU whose GTIN has another prefix has no such tag.
            let epc = sgtin96(self.site.skus[sku].gtin, self.prefix_len, self.serial, 1).ok()?;
            let at = self.floor(self.site.portals[usize::from(portal.0)].inner);
            self.goods.insert(epc, Good { sku, at, free_at: now });
            epcs.push(epc);
        }
        Some(self.walk(now, world, portal, epcs, Direction::In, Course::Through, Then::Stay))
    }

    /// Goods go through an inner portal and are laid on a shelf behind it.
    pub(super) fn put_away(&mut self, now: Timestamp, world: &mut World) -> Option<(usize, Timestamp)> {
        let portal = self.portal(false)?;
        let (outer, inner) = self.sides(portal);
        let epcs = self.some(now, outer)?;
        let then = Then::Stow(self.shelf(Some(inner)));
        Some(self.walk(now, world, portal, epcs, Direction::In, Course::Through, then))
    }

    /// Goods are carried outside.
    pub(super) fn depart(&mut self, now: Timestamp, world: &mut World) -> Option<(usize, Timestamp)> {
        let out = self.portal(true)?;
        let (_, dock) = self.sides(out);
        let inner = self.portal(false).filter(|portal| self.sides(*portal).0 == dock);
        if let Some(portal) = inner
            && let Some(epcs) = self.some(now, self.sides(portal).1)
        {
            return Some(self.walk(now, world, portal, epcs, Direction::Out, Course::Through, Then::Out(out)));
        }
        let epcs = self.some(now, dock)?;
        Some(self.walk(now, world, out, epcs, Direction::Out, Course::Through, Then::Gone))
    }

    /// Goods come to a portal and turn back.
    pub(super) fn turn_back(&mut self, now: Timestamp, world: &mut World) -> Option<(usize, Timestamp)> {
        let any: Vec<PortalIx> = (0..self.site.portals.len()).map(|portal| PortalIx(portal as u16)).collect();
        let portal = any[self.chance.pick(&any)?];
        let (outer, inner) = self.sides(portal);
        let from_outer = self.chance.permille(500);
        let (zone, direction) = if from_outer { (outer, Direction::In) } else { (inner, Direction::Out) };
        let epcs = self.some(now, zone)?;
        Some(self.walk(now, world, portal, epcs, direction, Course::TurnBack, Then::Stay))
    }

    /// A walk is over: what the worker scans, and the walk that follows.
    pub(super) fn walked(
        &mut self,
        now: Timestamp,
        walk: usize,
        world: &mut World,
    ) -> (Option<Vec<Press>>, Option<(usize, Timestamp)>) {
        let Walk { epcs, goal, turned, then, .. } = self.walks[walk].clone();
        match then {
            Then::Stay if turned => (None, None),
            Then::Stay => {
                self.lay(&epcs, &self.floor(goal));
                (None, None)
            }
            Then::Stow(shelf) => {
                self.lay(&epcs, &shelf);
                let mut presses = vec![Press::Mode(Mode::PutAway), Press::Barcode(self.label(&shelf))];
                presses.extend(epcs.into_iter().map(Press::Tag));
                if self.mistake() {
                    // One of them isn't scanned.
                    presses.pop();
                }
                (Some(presses), None)
            }
            Then::Out(portal) => {
                self.lay(&epcs, &self.floor(goal));
                let start = now + SETTLE;
                let then = self.walk(start, world, portal, epcs, Direction::Out, Course::Through, Then::Gone);
                (None, Some(then))
            }
            Then::Gone => {
                for epc in &epcs {
                    self.goods.remove(epc);
                    world.remove(epc);
                }
                (None, None)
            }
        }
    }

    /// Something that a worker does; `asked` is what the handheld asks to look for.
    pub(super) fn job(&mut self, now: Timestamp, asked: &[Vec<Code>]) -> Vec<Press> {
        if let Some(search) = self.chance.pick(asked)
            && self.chance.permille(500)
        {
            return self.look_for(now, &asked[search]);
        }
        match self.chance.below(3) {
            0 => self.count(),
            1 => self.find(now),
            _ => self.receive(),
        }
    }

    fn look_for(&mut self, now: Timestamp, search: &[Code]) -> Vec<Press> {
        let [what, _, heard] = search else { return Vec::new() };
        let mut presses = vec![Press::Mode(Mode::See)];
        for (epc, good) in self.goods.iter().filter(|(_, good)| good.free_at <= now) {
            let zone = self.site.location(&good.at).map(|location| &self.site.zone(location.zone).code);
            let meant = self.site.skus[good.sku].code == *what || epc.to_string() == what.as_str();
            if meant && zone == Some(heard) && presses.len() < 9 {
                presses.extend([Press::Barcode(good.at.as_str().to_owned()), Press::Tag(*epc)]);
            }
        }
        presses
    }

    fn find(&mut self, now: Timestamp) -> Vec<Press> {
        let free: Vec<(Epc, Code)> = self
            .goods
            .iter()
            .filter(|(_, good)| good.free_at <= now)
            .map(|(epc, good)| (*epc, good.at.clone()))
            .collect();
        let Some(index) = self.chance.pick(&free) else { return Vec::new() };
        let (epc, at) = &free[index];
        vec![Press::Mode(Mode::See), Press::Barcode(self.label(at)), Press::Tag(*epc)]
    }

    fn receive(&mut self) -> Vec<Press> {
        let Some(sku) = self.sku(false) else { return Vec::new() };
        let (from, to, quantity) = (self.receiving(), self.shelf(None), 1 + self.chance.below(40));
        let gtin = Press::Barcode(format!("{:013}", self.site.skus[sku].gtin));
        match self.heaps.iter_mut().find(|heap| heap.sku == sku && heap.at == to) {
            Some(heap) => heap.quantity += quantity,
            None => self.heaps.push(Heap { sku, at: to.clone(), quantity }),
        }
        let mut presses = vec![
            Press::Mode(Mode::Receive),
            Press::Barcode(from.as_str().to_owned()),
            Press::Quantity(quantity),
            gtin.clone(),
        ];
        // Who gets it wrong forgets to say that it was received.
        if self.mistake() {
            presses.clear();
        }
        presses.extend([
            Press::Mode(Mode::Move),
            Press::Barcode(from.as_str().to_owned()),
            Press::Quantity(quantity),
            gtin,
            Press::Barcode(self.label(&to)),
        ]);
        presses
    }

    fn count(&mut self) -> Vec<Press> {
        let Some(index) = self.chance.pick(&self.heaps) else { return self.receive() };
        let wrong = u32::from(self.mistake());
        let heap = &self.heaps[index];
        let gtin = format!("{:013}", self.site.skus[heap.sku].gtin);
        let (at, quantity) = (heap.at.as_str().to_owned(), heap.quantity + wrong);
        vec![
            Press::Mode(Mode::Count),
            Press::Barcode(at),
            Press::Quantity(quantity),
            Press::Barcode(gtin),
            Press::Enter,
        ]
    }

    /// What the worker scans for a location: mostly its label.
    fn label(&mut self, at: &Code) -> String {
        if self.mistake() { self.shelf(None).as_str().to_owned() } else { at.as_str().to_owned() }
    }

    fn mistake(&mut self) -> bool {
        self.chance.permille(self.load.mistakes)
    }

    #[allow(clippy::too_many_arguments, reason = "one walk, told whole")]
    fn walk(
        &mut self,
        now: Timestamp,
        world: &mut World,
        portal: PortalIx,
        epcs: Vec<Epc>,
        direction: Direction,
        course: Course,
        then: Then,
    ) -> (usize, Timestamp) {
        let (outer, inner) = self.sides(portal);
        let (from, to) = if direction == Direction::In { (outer, inner) } else { (inner, outer) };
        let turned = course == Course::TurnBack;
        let speed = SPEED_MM_S.0 + self.chance.below(SPEED_MM_S.1 - SPEED_MM_S.0);
        // A site's world has a spot for each portal, in their order.
        let end = world.walk(now, SpotIx(portal.0), &epcs, direction, course, speed);
        for epc in &epcs {
            if let Some(good) = self.goods.get_mut(epc) {
                good.free_at = end + SETTLE;
            }
        }
        let goal = if turned { from } else { to };
        self.walks.push(Walk { portal, epcs, goal, turned, start: now, end, then });
        (self.walks.len() - 1, end)
    }

    fn lay(&mut self, epcs: &[Epc], at: &Code) {
        for epc in epcs {
            if let Some(good) = self.goods.get_mut(epc) {
                good.at = at.clone();
            }
        }
    }

    /// Some goods in a zone that nobody is busy with.
    fn some(&mut self, now: Timestamp, zone: ZoneIx) -> Option<Vec<Epc>> {
        let here = |good: &Good| self.site.location(&good.at).is_some_and(|location| location.zone == zone);
        let free = self.goods.iter().filter(|(_, good)| good.free_at <= now && here(good));
        let free: Vec<Epc> = free.map(|(epc, _)| *epc).collect();
        let first = self.chance.pick(&free)?;
        let count = 1 + self.chance.below(self.load.together) as usize;
        Some(free.into_iter().skip(first).take(count).collect())
    }

    /// A portal to the outside, or one between zones.
    fn portal(&mut self, outside: bool) -> Option<PortalIx> {
        let leads_out = |portal: &PortalIx| self.site.zone(self.sides(*portal).0).kind == ZoneKind::Outside;
        let all = (0..self.site.portals.len()).map(|portal| PortalIx(portal as u16));
        let all: Vec<PortalIx> = all.filter(|portal| leads_out(portal) == outside).collect();
        Some(all[self.chance.pick(&all)?])
    }

    fn sides(&self, portal: PortalIx) -> (ZoneIx, ZoneIx) {
        let portal = &self.site.portals[usize::from(portal.0)];
        (portal.outer, portal.inner)
    }

    fn floor(&self, zone: ZoneIx) -> Code {
        self.site.zone(zone).code.clone()
    }

    fn sku(&mut self, serialised: bool) -> Option<usize> {
        let fits = |(_, sku): &(usize, &Sku)| sku.serialised == serialised;
        let all: Vec<usize> = self.site.skus.iter().enumerate().filter(fits).map(|(index, _)| index).collect();
        Some(all[self.chance.pick(&all)?])
    }

    /// A place to put goods: in `zone`, or in any aisle; its floor if it has no other.
    fn shelf(&mut self, zone: Option<ZoneIx>) -> Code {
        let fits = |at: ZoneIx| zone.map_or(self.site.zone(at).kind == ZoneKind::Aisle, |zone| zone == at);
        let places = self.site.locations.iter().filter(|place| fits(place.zone));
        let all: Vec<Code> = places.map(|place| place.code.clone()).collect();
        let index = self.chance.pick(&all);
        index.map_or_else(|| self.receiving(), |index| all[index].clone())
    }

    /// Where goods without tags come in.
    fn receiving(&self) -> Code {
        let dock = |zone: ZoneIx| matches!(self.site.zone(zone).kind, ZoneKind::Dock | ZoneKind::Receiving);
        let first = self.site.locations.iter().find(|place| dock(place.zone)).or(self.site.locations.first());
        first.map(|place| place.code.clone()).unwrap_or_default()
    }
}
