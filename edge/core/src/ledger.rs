//! The book: operations on stock, each one or more facts.
//!
//! What a person did on the floor has happened. Where the book lacks the unit, the same decision first books it as
//! found, so that the book never goes below zero and never refuses the world.

use crate::fact::{Body, Disposition, Movement, Place};
use crate::identity;
use crate::record::Clerk;
use crate::site::{Site, Sku, ZoneKind};
use crate::state::{Item, State, StockKey};
use stowage_base::{Code, Epc};

/// Goods of one kind: a serialised unit, or a quantity of a SKU and lot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goods {
    /// The serialised unit.
    pub epc: Option<Epc>,
    /// What.
    pub sku: Code,
    /// Whose.
    pub owner: Code,
    /// Lot, or empty.
    pub lot: Code,
}

impl Goods {
    /// A serialised unit of `sku`.
    pub fn unit(sku: &Sku, epc: Epc) -> Self {
        Self { epc: Some(epc), sku: sku.code.clone(), owner: sku.owner.clone(), lot: Code::new() }
    }

    /// Goods of `sku` by quantity.
    pub fn bulk(sku: &Sku, lot: Code) -> Self {
        Self { epc: None, sku: sku.code.clone(), owner: sku.owner.clone(), lot }
    }

    /// The unit `epc` that the book knows as `item`.
    pub fn known(item: &Item, epc: Epc) -> Self {
        Self { epc: Some(epc), sku: item.sku.clone(), owner: item.owner.clone(), lot: item.lot.clone() }
    }

    /// The most readable name.
    pub fn name(&self) -> String {
        self.epc.as_ref().map_or_else(|| self.sku.as_str().into(), identity::name)
    }

    fn movement(&self, quantity: u32, from: Option<Place>, to: Option<Place>) -> Movement {
        Movement {
            epc: self.epc,
            owner: self.owner.clone(),
            sku: self.sku.clone(),
            lot: self.lot.clone(),
            quantity,
            from,
            to,
        }
    }
}

/// The disposition that goods get at `location` when they come from one of `before`; `None`: they leave the book.
pub fn disposition_at(site: &Site, location: &str, before: Option<Disposition>) -> Option<Disposition> {
    let kind = site.location(location).map(|location| site.zone(location.zone).kind);
    match kind {
        Some(ZoneKind::Outside) => None,
        Some(ZoneKind::Aisle) => Some(Disposition::SellableNotAccessible),
        Some(ZoneKind::Quarantine) => Some(Disposition::NonSellableOther),
        Some(ZoneKind::Dock | ZoneKind::Receiving) => Some(Disposition::InProgress),
        _ => Some(before.unwrap_or(Disposition::InProgress)),
    }
}

/// Where the book has a serialised unit.
pub fn place_of<'a>(state: &'a State, epc: &Epc) -> Option<&'a Place> {
    state.items.get(epc)?.place.as_ref()
}

/// How many of the goods lie at `location`, over all dispositions.
pub fn quantity_at(state: &State, goods: &Goods, location: &str) -> u64 {
    places(state, goods).filter(|(place, _)| place.location == location).map(|(_, quantity)| quantity).sum()
}

/// Where goods by quantity lie, in the order in which they are taken when nobody says from where: first what is not
/// put away yet, then by location code.
pub fn places<'a>(state: &'a State, goods: &'a Goods) -> impl Iterator<Item = (Place, u64)> + 'a {
    let first = StockKey {
        sku: goods.sku.clone(),
        lot: goods.lot.clone(),
        location: Code::new(),
        disposition: Disposition::InProgress,
        owner: Code::new(),
    };
    let of_goods = move |disposition| {
        let of_sku =
            state.stock.from(first.clone()).take_while(|(key, _)| key.sku == goods.sku && key.lot == goods.lot);
        let fitting = of_sku.filter(move |(key, _)| key.owner == goods.owner && key.disposition == disposition);
        fitting.map(move |(key, &quantity)| (Place { location: key.location.clone(), disposition }, quantity))
    };
    [Disposition::InProgress, Disposition::SellableNotAccessible, Disposition::NonSellableOther, Disposition::InTransit]
        .into_iter()
        .flat_map(of_goods)
}

/// The lots of a SKU that are in stock, each once; the empty one is goods without a lot.
pub fn lots(state: &State, sku: &Sku) -> Vec<Code> {
    let of_sku = state.stock.iter().filter(|(key, _)| key.sku == sku.code && key.owner == sku.owner);
    let mut lots: Vec<Code> = of_sku.map(|(key, _)| key.lot.clone()).collect();
    lots.dedup();
    lots
}

/// As many of `booked` as `wanted`.
fn at_most(booked: u64, wanted: u32) -> u32 {
    u32::try_from(booked).unwrap_or(u32::MAX).min(wanted)
}

/// What became of a [`Clerk::relocate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relocated {
    /// How many the book had to move.
    pub booked: u32,
    /// How many were booked as found first.
    pub found: u32,
}

impl Clerk<'_> {
    /// Books goods in at `location`.
    pub fn receive(&mut self, goods: &Goods, quantity: u32, location: &Code, why: Option<String>) {
        let Some(disposition) = disposition_at(self.site, location, None) else { return };
        let to = Place { location: location.clone(), disposition };
        let body = Body::Received(goods.movement(quantity, None, Some(to)));
        self.record(Some(goods.name()), Some(location.clone()), why, body);
    }

    /// Books goods at `location` that the book did not have, or (`difference` negative) takes out what is not there.
    pub fn adjust(&mut self, goods: &Goods, difference: i64, location: &Code, why: &str) {
        let mut rest = u32::try_from(difference.unsigned_abs()).unwrap_or(u32::MAX);
        let mut changes = Vec::new();
        if difference > 0 {
            let Some(disposition) = disposition_at(self.site, location, None) else { return };
            changes.push((rest, None, Some(Place { location: location.clone(), disposition })));
        } else {
            let there = |(place, _): &(Place, u64)| place.location == *location;
            let lying: Vec<_> = match &goods.epc {
                Some(epc) => place_of(self.state(), epc).cloned().map(|place| (place, 1)).into_iter().collect(),
                None => places(self.state(), goods).collect(),
            };
            for (place, booked) in lying.into_iter().filter(there) {
                let taken = at_most(booked, rest);
                rest -= taken;
                if taken > 0 {
                    changes.push((taken, Some(place), None));
                }
            }
        }
        for (amount, from, to) in changes {
            let body = Body::Adjusted(goods.movement(amount, from, to));
            self.record(Some(goods.name()), Some(location.clone()), Some(why.into()), body);
        }
    }

    /// Moves goods to `to`, from `from` if that is known; what the book lacks is booked as found. Goods that go
    /// outside leave the book.
    pub fn relocate(
        &mut self,
        goods: &Goods,
        quantity: u32,
        from: Option<&Code>,
        to: &Code,
        why: Option<&str>,
    ) -> Relocated {
        let sources: Vec<(Place, u64)> = match &goods.epc {
            Some(epc) => place_of(self.state(), epc).cloned().map(|place| (place, 1)).into_iter().collect(),
            None => places(self.state(), goods)
                .filter(|(place, _)| from.is_none_or(|from| place.location == *from) && place.location != *to)
                .collect(),
        };
        let mut missing = quantity;
        for (place, booked) in sources {
            let moved = at_most(booked, missing);
            if moved == 0 {
                break;
            }
            missing -= moved;
            let goal = disposition_at(self.site, to, Some(place.disposition))
                .map(|disposition| Place { location: to.clone(), disposition });
            if goal.as_ref() == Some(&place) {
                continue;
            }
            let leaves = goal.is_none();
            let movement = goods.movement(moved, Some(place), goal);
            let body = if leaves { Body::Departed(movement) } else { Body::Moved(movement) };
            self.record(Some(goods.name()), Some(to.clone()), why.map(Into::into), body);
        }
        if missing > 0 {
            let why = match from {
                Some(from) => format!("found: the book had too few at {from}"),
                None => "found: the book had too few".into(),
            };
            self.adjust(goods, i64::from(missing), to, &why);
        }
        Relocated { booked: quantity - missing, found: missing }
    }
}
