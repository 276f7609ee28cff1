//! What lies at a place goes with a robot: parcels, tagged units, goods by quantity.

use super::Relocation;
use crate::fact::{Body, ParcelMoved};
use crate::ledger::{self, Goods};
use crate::record::Clerk;
use stowage_base::{Code, Epc};

/// Moves everything that the book has at `from` to `to`, one of which is a robot. Returns the tagged units and where
/// they are now.
pub(super) fn shift(clerk: &mut Clerk<'_>, from: &Code, to: &Code) -> Vec<Relocation> {
    let parcels: Vec<Code> = clerk.state().parcels_at(from).cloned().collect();
    for code in parcels {
        let what = Some(code.as_str().to_owned());
        let body = Body::ParcelMoved(ParcelMoved { code, from: from.clone(), to: to.clone() });
        clerk.record(what, Some(to.clone()), None, body);
    }
    let lies_here = |epc: &Epc| ledger::place_of(clerk.state(), epc).is_some_and(|place| place.location == *from);
    let units: Vec<(Epc, Goods)> = clerk
        .state()
        .items
        .iter()
        .filter(|(epc, _)| lies_here(epc))
        .map(|(epc, item)| (*epc, Goods::known(item, *epc)))
        .collect();
    for (_, goods) in &units {
        clerk.relocate(goods, 1, Some(from), to, None);
    }
    // What is left there is goods by quantity; those of one kind in several dispositions go together.
    let mut bulk: Vec<Goods> = clerk
        .state()
        .stock
        .iter()
        .filter(|(key, _)| key.location == *from)
        .map(|(key, _)| Goods { epc: None, sku: key.sku.clone(), owner: key.owner.clone(), lot: key.lot.clone() })
        .collect();
    bulk.dedup();
    for goods in bulk {
        let quantity = ledger::quantity_at(clerk.state(), &goods, from);
        clerk.relocate(&goods, u32::try_from(quantity).unwrap_or(u32::MAX), Some(from), to, None);
    }
    let state = clerk.state();
    units.into_iter().map(|(epc, _)| (epc, ledger::place_of(state, &epc).map(|place| place.location.clone()))).collect()
}
