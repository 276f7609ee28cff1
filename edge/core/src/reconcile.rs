//! Where book and world meet: what presence says, what the book says, and the policy between them.

use crate::fact::{Body, Cause, DiscrepancyOpened, DiscrepancySettled, PresenceMoved, SettledBy};
use crate::identity;
use crate::ledger::{self, Goods};
use crate::presence::{Decision, Outcome};
use crate::record::{Act, Clerk, Recorder};
use crate::site::{Action, Policy, PortalIx, Site, UnknownTag, ZoneIx, ZoneKind};
use stowage_base::{Code, Epc, Timestamp};

/// What came of a presence decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// A discrepancy that was opened.
    pub opened: Option<u64>,
    /// Discrepancies that were settled.
    pub settled: Vec<u64>,
    /// The tag is not ours: nothing was recorded.
    pub foreign: bool,
}

/// Compares a presence decision with the book and does what the policy says.
pub fn presence(recorder: &mut Recorder, site: &Site, now: Timestamp, decision: &Decision) -> Reconciled {
    let Outcome::Moved { from, to, portal } = decision.outcome else { return Reconciled::default() };
    let known = recorder.state().items.get(&decision.epc);
    let goods = match known {
        Some(item) => Some(Goods::known(item, decision.epc)),
        // A tag on goods that are kept by quantity is no unit of the book.
        None => {
            let sku = identity::sku(site, &decision.epc).filter(|sku| sku.serialised);
            sku.map(|sku| Goods::unit(sku, decision.epc))
        }
    };
    let unknown = if known.is_some() { UnknownTag::Register } else { identity::policy(site, &decision.epc) };
    if unknown == UnknownTag::Ignore || (unknown == UnknownTag::Register && goods.is_none()) {
        return Reconciled { foreign: true, ..Reconciled::default() };
    }
    let act = Act { who: None, when: decision.at, cause: None };
    let mut step = Step { clerk: Clerk { recorder, site, now, act }, decision, from, to, portal };
    let moved = step.record_presence();
    step.clerk.act.cause = Some(Cause::Seq(moved));
    match goods {
        Some(goods) if unknown == UnknownTag::Register => step.ours(&goods),
        _ => step.open(None, None, Action::Alarm),
    }
}

/// One presence decision on its way through the policy.
struct Step<'a> {
    clerk: Clerk<'a>,
    decision: &'a Decision,
    from: Option<ZoneIx>,
    to: ZoneIx,
    portal: Option<PortalIx>,
}

impl Step<'_> {
    fn record_presence(&mut self) -> u64 {
        let (site, decision) = (self.clerk.site, self.decision);
        let goal = site.zone(self.to).code.clone();
        let body = Body::PresenceMoved(PresenceMoved {
            epc: decision.epc,
            from: self.from.map(|zone| site.zone(zone).code.clone()),
            to: goal.clone(),
            portal: self.portal.map(|portal| site.portals[usize::from(portal.0)].code.clone()),
            confidence: decision.confidence,
            runner_up: decision.runner_up.map(|(zone, _)| site.zone(zone).code.clone()),
            runner_up_confidence: decision.runner_up.map_or(0, |(_, confidence)| confidence),
            visits: decision.visits,
        });
        self.clerk.record(Some(identity::name(&decision.epc)), Some(goal), Some(decision.reason.clone()), body)
    }

    fn ours(mut self, goods: &Goods) -> Reconciled {
        let (site, epc) = (self.clerk.site, &self.decision.epc);
        let book = ledger::place_of(self.clerk.state(), epc).map(|place| place.location.clone());
        if book.as_ref().is_some_and(|place| site.is_robot(place)) {
            // On its way with a robot, through whatever zone: the robot tells where it goes.
            return Reconciled::default();
        }
        let booked_zone = book.as_ref().and_then(|location| site.location(location)).map(|place| place.zone);
        let outside = |zone: ZoneIx| site.zone(zone).kind == ZoneKind::Outside;
        let agree = match booked_zone {
            Some(zone) => zone == self.to,
            None => outside(self.to),
        };
        if agree {
            let settled = self.clerk.settle(epc, SettledBy::Radio);
            return Reconciled { settled, ..Reconciled::default() };
        }
        // What the book does not have comes from outside, as far as the policy goes.
        let book_side = booked_zone.or_else(|| self.from.filter(|zone| outside(*zone)));
        let action = self.policy(book_side);
        if action != Action::AutoMove {
            return self.open(book, Some(goods), action);
        }
        let floor = site.zone(self.to).code.clone();
        let why = self.decision.reason.clone();
        if book.is_some() {
            self.clerk.relocate(goods, 1, None, &floor, Some(&why));
        } else {
            self.clerk.receive(goods, 1, &floor, Some(why));
        }
        let settled = self.clerk.settle(epc, SettledBy::Radio);
        Reconciled { settled, ..Reconciled::default() }
    }

    /// The first policy that fits; where none does, a person is asked.
    fn policy(&self, book: Option<ZoneIx>) -> Action {
        let fits = |policy: &&Policy| {
            policy.from.is_none_or(|from| Some(from) == book)
                && policy.to.is_none_or(|to| to == self.to)
                && policy.by_portal.is_none_or(|by_portal| by_portal == self.portal.is_some())
        };
        self.clerk.site.policies.iter().find(fits).map_or(Action::Confirm, |policy| policy.action)
    }

    fn open(mut self, book: Option<Code>, goods: Option<&Goods>, action: Action) -> Reconciled {
        let epc = self.decision.epc;
        let world = self.clerk.site.zone(self.to).code.clone();
        let same = self.clerk.state().discrepancies.iter().any(|(_, open)| open.epc == epc && open.world == world);
        if same {
            return Reconciled::default();
        }
        let settled = self.clerk.settle(&epc, SettledBy::Radio);
        let body = Body::DiscrepancyOpened(DiscrepancyOpened {
            epc,
            sku: goods.map(|goods| goods.sku.clone()),
            book,
            world: world.clone(),
            confidence: self.decision.confidence,
            action,
        });
        let opened =
            self.clerk.record(Some(identity::name(&epc)), Some(world), Some(self.decision.reason.clone()), body);
        Reconciled { opened: Some(opened), settled, foreign: false }
    }
}

impl Clerk<'_> {
    /// Ends every open discrepancy about the tag; returns their numbers.
    pub fn settle(&mut self, epc: &Epc, by: SettledBy) -> Vec<u64> {
        let about = self.state().discrepancies.iter().filter(|(_, open)| open.epc == *epc);
        let open: Vec<u64> = about.map(|(&id, _)| id).collect();
        for &id in &open {
            let body = Body::DiscrepancySettled(DiscrepancySettled { id, epc: *epc, by });
            self.record(Some(identity::name(epc)), None, None, body);
        }
        open
    }
}

/// A person at the page takes the radio's word: the book follows. Returns the discrepancies that are settled by it;
/// `None`: there is no such one.
pub fn take_radios_word(recorder: &mut Recorder, site: &Site, now: Timestamp, id: u64) -> Option<Vec<u64>> {
    let open = recorder.state().discrepancies.get(&id)?.clone();
    let act = Act { who: Some("page".into()), when: now, cause: Some(Cause::Seq(id)) };
    let mut clerk = Clerk { recorder, site, now, act };
    let known = clerk.state().items.get(&open.epc).map(|item| Goods::known(item, open.epc));
    let stocked = || open.sku.as_ref().and_then(|sku| site.sku_coded(sku)).map(|sku| Goods::unit(sku, open.epc));
    if let Some(goods) = known.or_else(stocked) {
        let why = "a person took the radio's word";
        if ledger::place_of(clerk.state(), &open.epc).is_some() {
            clerk.relocate(&goods, 1, None, &open.world, Some(why));
        } else {
            clerk.receive(&goods, 1, &open.world, Some(why.into()));
        }
    }
    Some(clerk.settle(&open.epc, SettledBy::Page))
}
