//! What goods and the worker do, one thing after the other, drawn from the seed.

use super::Gates;
use super::floor::{Floor, Good, Heap};
use super::narrator::say;
use super::worker::{Worker, short};
use crate::device::Stage;
use crate::world::{Course, Direction, SpotIx};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::time::Duration;
use stowage_base::{Code, Epc};
use stowage_core::Site;
use stowage_core::site::{PortalIx, Sku, ZoneIx};
use stowage_gs1::epc::sgtin96;
use stowage_scanner::Mode;

/// Digits of the demo's company prefix.
const PREFIX_LEN: u8 = 7;

/// So many items are enough for the house: then more leave than come.
const GOODS_MANY: usize = 40;

/// Where goods are received.
const DOCK: &str = "DOCK";
const RECEIVING: &str = "RECV-2";

/// Where goods are packed.
const BENCH: &str = "PACK-1";

/// A person with a pallet truck.
const SPEED_MM_S: u32 = 1_200;

/// The script with everything that it moves.
pub(super) struct Script {
    draw: ChaCha8Rng,
    site: Site,
    gates: Gates,
    stage: Stage,
    floor: Floor,
    worker: Worker,
    /// What fell off the cart: it lies where it is until she is sent to look for it.
    lost: Vec<Epc>,
}

impl Script {
    pub(super) fn new(seed: u64, site: Site, gates: Gates, stage: Stage, floor: Floor, worker: Worker) -> Self {
        // Another day, other things: but the same ones if the house is in the same state.
        let draw = ChaCha8Rng::seed_from_u64(seed ^ floor.last_serial << 16);
        let script = Self { draw, site, gates, stage, floor, worker, lost: Vec::new() };
        script.floor.goods.iter().for_each(|good| script.lay(good.epc, &good.at));
        script
    }

    pub(super) async fn run(mut self) {
        self.worker.begin().await;
        if self.floor.goods.is_empty() {
            self.open_house().await;
        }
        loop {
            if let Some(search) = self.worker.search() {
                self.look_for(search).await;
            } else {
                self.next().await;
            }
            self.floor.save();
            let pause = 1_500 + u64::from(self.below(2_500));
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// In an empty house, what there is to see comes first: goods arrive, one is lost on the way, others turn back.
    async fn open_house(&mut self) {
        self.arrive().await;
        let on_dock = self.on_dock();
        self.put_away(on_dock, true).await;
        self.arrive().await;
        let on_dock = self.on_dock();
        self.turn_back(on_dock).await;
    }

    async fn next(&mut self) {
        let on_dock = self.on_dock();
        let stored = self.in_store();
        let on_bench = self.at(|at| at == BENCH);
        let full = self.floor.goods.len() >= GOODS_MANY;
        match self.below(100) {
            _ if on_dock.len() >= 4 && self.below(3) > 0 => {
                let loses_one = self.below(6) == 0;
                self.put_away(on_dock, loses_one).await;
            }
            _ if on_bench.len() >= 3 => self.put_back(on_bench).await,
            0..30 if !full => self.arrive().await,
            30..40 => self.receive_heap().await,
            40..55 => self.count().await,
            55..65 if !on_dock.is_empty() => self.turn_back(on_dock).await,
            65..75 if !stored.is_empty() => self.mislay(stored).await,
            _ if stored.len() > 8 || full && !stored.is_empty() => self.ship(stored).await,
            _ => self.arrive().await,
        }
    }

    async fn arrive(&mut self) {
        let sku = self.any_sku(true);
        let count = 2 + self.below(4);
        let mut epcs = Vec::new();
        for _ in 0..count {
            self.floor.last_serial += 1;
            // The demo's GTINs and a serial that rises fit.
            epcs.extend(sgtin96(sku.gtin, PREFIX_LEN, self.floor.last_serial, 1));
        }
        say("yard", &format!("a pallet with {count} × {} comes in at the dock door", sku.code));
        let goods = epcs.iter().map(|epc| Good { epc: *epc, sku: sku.code.clone(), at: short(DOCK) });
        self.floor.goods.extend(goods);
        self.floor.save();
        self.walk(self.gates.dock, &epcs, Direction::In, Course::Through).await;
    }

    /// Takes goods from the dock into the store. One may fall off the cart behind her, and she doesn't see it.
    async fn put_away(&mut self, mut which: Vec<usize>, loses_one: bool) {
        which.truncate(4);
        let to = self.any_shelf();
        let epcs = self.epcs(&which);
        say("ada", &format!("takes {} items through the store door to {to}", epcs.len()));
        let lost = (epcs.len() > 1 && loses_one).then(|| epcs.len() - 1);
        let carried = &epcs[..lost.unwrap_or(epcs.len())];
        self.walk(self.gates.store, carried, Direction::In, Course::Through).await;
        if let Some(lost) = lost {
            let now = self.stage.clock.now();
            let _ = self.stage.world().place(now, epcs[lost], self.gates.store_reader, 1, 1_200);
            self.lost.push(epcs[lost]);
            say("ada", &format!("has lost one before the store door, but books all {} on {to}", epcs.len()));
        }
        for (position, index) in which.iter().enumerate() {
            if Some(position) != lost {
                self.floor.goods[*index].at = to.clone();
                self.lay(epcs[position], &to);
            }
        }
        self.worker.mode(Mode::PutAway).await;
        self.worker.scan(&to).await;
        for epc in &epcs {
            self.worker.tag(*epc).await;
        }
        self.worker.settled().await;
    }

    async fn turn_back(&mut self, mut which: Vec<usize>) {
        which.truncate(3);
        let epcs = self.epcs(&which);
        say("ada", &format!("comes to the store door with {} items, and turns back", epcs.len()));
        self.walk(self.gates.store, &epcs, Direction::In, Course::TurnBack).await;
    }

    /// An item is put somewhere else, and nobody scans it.
    async fn mislay(&mut self, which: Vec<usize>) {
        let index = self.any(&which);
        let epc = self.floor.goods[index].epc;
        match self.below(3) {
            0 => {
                say("floor", "somebody carries an item out of the store without a scan");
                self.floor.goods[index].at = short(DOCK);
                self.walk(self.gates.store, &[epc], Direction::Out, Course::Through).await;
            }
            1 => {
                say("floor", "somebody takes an item to the packing bench without a scan");
                self.floor.goods[index].at = short(BENCH);
                self.lay(epc, &short(BENCH));
            }
            _ => {
                say("floor", "an item is put on another shelf without a scan: no antenna tells shelves apart");
                let shelf = self.any_shelf();
                self.lay(epc, &shelf);
                self.floor.goods[index].at = shelf;
            }
        }
    }

    /// What lies on the bench goes back to a shelf.
    async fn put_back(&mut self, mut which: Vec<usize>) {
        which.truncate(4);
        let (to, epcs) = (self.any_shelf(), self.epcs(&which));
        say("ada", &format!("brings {} items from the packing bench back to {to}", epcs.len()));
        for (index, epc) in which.iter().zip(&epcs) {
            self.floor.goods[*index].at = to.clone();
            self.lay(*epc, &to);
        }
        self.worker.mode(Mode::PutAway).await;
        self.worker.scan(&to).await;
        for epc in &epcs {
            self.worker.tag(*epc).await;
        }
        self.worker.settled().await;
    }

    /// Lays a tag where goods at `at` lie: under an antenna that looks into the zone, if there is one; of several, under
    /// its shelf's.
    fn lay(&self, epc: Epc, at: &Code) {
        let zone = self.zone(at);
        let over = self.site.read_points.iter().filter(|point| point.portal.is_none() && point.zone == zone);
        let over: Vec<_> = over.collect();
        let shelf = at.bytes().map(usize::from).sum::<usize>();
        let mut world = self.stage.world();
        match over.get(shelf % over.len().max(1)) {
            Some(point) => {
                let distance_mm = 800 + (epc.hash64() % 1_500) as u32;
                // The site's world has every antenna of the site.
                let _ = world.place(self.stage.clock.now(), epc, point.device, point.antenna, distance_mm);
            }
            None => world.stow(epc, zone),
        }
    }

    async fn ship(&mut self, mut which: Vec<usize>) {
        which.truncate(1 + self.below(3) as usize);
        let epcs = self.epcs(&which);
        say("ada", &format!("brings {} items to the dock and out", epcs.len()));
        self.walk(self.gates.store, &epcs, Direction::Out, Course::Through).await;
        self.walk(self.gates.dock, &epcs, Direction::Out, Course::Through).await;
        self.floor.goods.retain(|good| !epcs.contains(&good.epc));
        for epc in &epcs {
            self.stage.world().remove(epc);
        }
    }

    /// Goods without tags: received, and moved to a shelf.
    async fn receive_heap(&mut self) {
        let (sku, to, quantity) = (self.any_sku(false), self.any_shelf(), 12 + self.below(60));
        say("ada", &format!("receives {quantity} × {} and brings them to {to}", sku.code));
        let gtin = format!("{:013}", sku.gtin);
        self.worker.mode(Mode::Receive).await;
        self.worker.scan(RECEIVING).await;
        self.worker.quantity(quantity).await;
        self.worker.scan(&gtin).await;
        self.worker.mode(Mode::Move).await;
        self.worker.scan(RECEIVING).await;
        self.worker.quantity(quantity).await;
        self.worker.scan(&gtin).await;
        self.worker.scan(&to).await;
        match self.floor.heaps.iter_mut().find(|heap| heap.sku == sku.code && heap.at == to) {
            Some(heap) => heap.quantity += quantity,
            None => self.floor.heaps.push(Heap { sku: sku.code, at: to, quantity }),
        }
        self.worker.settled().await;
    }

    /// Counts a heap; sometimes something has gone from it.
    async fn count(&mut self) {
        if self.floor.heaps.is_empty() {
            return self.receive_heap().await;
        }
        let index = self.below(self.floor.heaps.len() as u32) as usize;
        let gone = if self.below(4) == 0 { 1 + self.below(2) } else { 0 };
        let heap = &mut self.floor.heaps[index];
        heap.quantity = heap.quantity.saturating_sub(gone).max(1);
        let Heap { sku, at, quantity } = heap.clone();
        let Some(gtin) = self.site.skus.iter().find(|known| known.code == sku).map(|sku| format!("{:013}", sku.gtin))
        else {
            return;
        };
        say("ada", &format!("counts {sku} at {at}"));
        self.worker.mode(Mode::Count).await;
        self.worker.scan(&at).await;
        self.worker.quantity(quantity).await;
        self.worker.scan(&gtin).await;
        self.worker.enter().await;
        self.worker.settled().await;
    }

    /// The handheld asks to look for an item: she scans what she finds of it where the radio heard it.
    async fn look_for(&mut self, search: super::worker::Search) {
        let [what, _, heard] = &search;
        let zone = |at: &Code| &self.site.zones[usize::from(self.zone(at).0)].code;
        let fits = |good: &&Good| good.sku == *what || good.epc.to_string() == what.as_str();
        let found = self.floor.goods.iter().filter(fits).filter(|good| zone(&good.at) == heard);
        let found: Vec<Good> = found.take(4).cloned().collect();
        // Nothing of the kind lies there any more: whoever moved it has settled the doubt.
        if found.is_empty() {
            return self.worker.forget(&search);
        }
        say("ada", &format!("goes to look for {what} as her scanner asks"));
        self.worker.mode(Mode::See).await;
        for good in found {
            self.worker.scan(&good.at).await;
            self.worker.tag(good.epc).await;
            self.lost.retain(|lost| *lost != good.epc);
        }
        self.worker.settled().await;
        self.worker.forget(&search);
    }

    async fn walk(&self, gate: PortalIx, epcs: &[Epc], direction: Direction, course: Course) {
        let clock = self.stage.clock;
        // A site's world has a spot for each portal, in their order.
        let spot = SpotIx(gate.0);
        let end = self.stage.world().walk(clock.now(), spot, epcs, direction, course, SPEED_MM_S);
        clock.sleep_until(Some(end)).await;
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.draw.next_u32() % limit.max(1)
    }

    fn any(&mut self, which: &[usize]) -> usize {
        which[self.below(which.len() as u32) as usize]
    }

    fn any_sku(&mut self, serialised: bool) -> Sku {
        let all: Vec<usize> =
            (0..self.site.skus.len()).filter(|index| self.site.skus[*index].serialised == serialised).collect();
        let index = self.any(&all);
        self.site.skus[index].clone()
    }

    fn any_shelf(&mut self) -> Code {
        let store = self.site.portals[usize::from(self.gates.store.0)].inner;
        let floor = self.site.zones[usize::from(store.0)].code.clone();
        let shelves = self.site.locations.iter().filter(|location| location.zone == store && location.code != floor);
        let shelves: Vec<Code> = shelves.map(|location| location.code.clone()).collect();
        let index = self.below(shelves.len() as u32) as usize;
        shelves.get(index).cloned().unwrap_or(floor)
    }

    /// The zone of a location; of one that there isn't any more, the dock.
    fn zone(&self, at: &Code) -> ZoneIx {
        let known = self.site.locations.iter().find(|location| location.code == *at);
        known.map_or(self.site.portals[usize::from(self.gates.dock.0)].inner, |location| location.zone)
    }

    fn at(&self, fits: impl Fn(&Code) -> bool) -> Vec<usize> {
        (0..self.floor.goods.len()).filter(|index| fits(&self.floor.goods[*index].at)).collect()
    }

    fn on_dock(&self) -> Vec<usize> {
        let lying = self.at(|at| at == DOCK);
        lying.into_iter().filter(|index| !self.lost.contains(&self.floor.goods[*index].epc)).collect()
    }

    fn in_store(&self) -> Vec<usize> {
        let store = self.site.portals[usize::from(self.gates.store.0)].inner;
        self.at(|at| self.zone(at) == store)
    }

    fn epcs(&self, which: &[usize]) -> Vec<Epc> {
        which.iter().map(|index| self.floor.goods[*index].epc).collect()
    }
}
