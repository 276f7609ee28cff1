//! A fact in English words, for people. Pure.

use stowage_base::text::Sentence;
use stowage_base::{Code, Epc, Language, Level};
use stowage_core::fact::{Movement, PresenceMoved, SettledBy};
use stowage_core::input::Belt;
use stowage_core::site::{Action, DeviceKind};
use stowage_core::view::DiscrepancyView;
use stowage_core::{Body, Fact, Site};
use stowage_gs1::epc::Identity;

/// How much a fact asks for attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// A step that matters only to who looks for it; the floor's page leaves it out.
    Routine,
    /// Work goes on.
    Plain,
    /// Something was put right.
    Good,
    /// Someone should look.
    Warn,
    /// Someone must act.
    Bad,
}

/// A fact in words.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Words {
    /// The sentence.
    pub text: String,
    /// The reason, where one was given.
    pub why: Option<String>,
    /// How much it asks for attention.
    pub tone: Tone,
    /// What to ask the item's page for: an EPC in hex, or the code of what the fact is about.
    pub item: Option<String>,
}

/// The sentence for `fact`. Names come from `site`; what it doesn't know is called by its code.
pub fn words(fact: &Fact, site: &Site) -> Words {
    let names = Names(site);
    let who = fact.who.as_deref().and_then(person);
    let mut item = None;
    let mut of = |epc: &Epc, sku: Option<&Code>| {
        item = Some(epc.to_string());
        names.thing(epc, sku)
    };
    let (text, tone) = match &fact.body {
        Body::Started(started) => (format!("The edge started, version {}", started.version), Tone::Plain),
        Body::Received(movement) => {
            let (goods, at) = (goods(&names, movement, &mut of), names.movement(movement).1);
            let text = match who {
                Some(who) => format!("{who} received {goods} at {at}"),
                None => format!("{goods} came in at {at}"),
            };
            (text, Tone::Good)
        }
        Body::Moved(movement) => {
            let (goods, (from, to)) = (goods(&names, movement, &mut of), names.movement(movement));
            let text = match who {
                Some(who) => format!("{who} moved {goods} from {from} to {to}"),
                None => format!("The book moved {goods} from {from} to {to}"),
            };
            (text, Tone::Plain)
        }
        Body::Adjusted(movement) => {
            let (goods, (from, to)) = (goods(&names, movement, &mut of), names.movement(movement));
            let text = match (&movement.from, &movement.to) {
                (None, _) => format!("{goods} added to the book at {to}"),
                (_, None) => format!("{goods} taken off the book at {from}"),
                (Some(_), Some(_)) => format!("The book now has {goods} at {to}, no longer at {from}"),
            };
            (text, Tone::Warn)
        }
        Body::Departed(movement) => {
            let (goods, (from, _)) = (goods(&names, movement, &mut of), names.movement(movement));
            (format!("{goods} left from {from}"), Tone::Plain)
        }
        Body::Counted(count) => {
            let who = who.unwrap_or_else(|| "Someone".into());
            let (sku, at) = (names.sku(&count.sku), names.place(&count.location));
            let counted = format!("{who} counted {} × {sku} at {at}", count.counted);
            if u64::from(count.counted) == count.booked {
                (format!("{counted}: the book agrees"), Tone::Good)
            } else {
                (format!("{counted}: the book had {}", count.booked), Tone::Warn)
            }
        }
        Body::Seen(seen) => {
            let who = who.unwrap_or_else(|| "Someone".into());
            let thing = of(&seen.epc, None);
            (format!("{who} saw {thing} at {}", names.place(&seen.location)), Tone::Good)
        }
        Body::PresenceMoved(moved) => {
            let thing = of(&moved.epc, None);
            (passage(&names, &thing, moved), Tone::Plain)
        }
        Body::DiscrepancyOpened(open) => {
            let thing = of(&open.epc, open.sku.as_ref());
            (doubt(&names, &thing, open.book.as_ref(), &open.world), Tone::Warn)
        }
        Body::DiscrepancySettled(settled) => {
            let thing = of(&settled.epc, None);
            let how = match settled.by {
                SettledBy::Scan => "a scan said where it is",
                SettledBy::Radio => "the radio agrees with the book again",
                SettledBy::Page => "the radio's word was taken at the page",
            };
            (format!("Doubt about {thing} settled: {how}"), Tone::Good)
        }
        Body::IntentAnswered(answer) => {
            let verdict = &answer.verdict;
            let sentence = Sentence { key: verdict.key, language: Language::English, args: &verdict.args };
            let tone = match verdict.level {
                Level::Ok => Tone::Routine,
                Level::Warn => Tone::Warn,
                Level::Stop => Tone::Bad,
            };
            (format!("Worker {} was told on {}: {sentence}", answer.intent.worker, answer.scanner), tone)
        }
        Body::ParcelAnnounced(parcel) => {
            (format!("Parcel {} announced for route {}", parcel.code, parcel.route), Tone::Routine)
        }
        Body::ParcelScanned(scan) => match &scan.code {
            Some(code) => (format!("Parcel {code} passed the scan point of {}", scan.sorter), Tone::Routine),
            None => (format!("Item {} of {} could not be read", scan.item, scan.sorter), Tone::Warn),
        },
        Body::ParcelMissed(missed) => {
            let parcel = parcel(fact, &missed.command);
            let chute =
                missed.chute.as_ref().map_or_else(|| "nobody knows where".into(), |chute| format!("in chute {chute}"));
            (format!("{parcel} ended {chute} unrecognised"), Tone::Warn)
        }
        Body::ParcelEnded(ended) => {
            let parcel = parcel(fact, &ended.command);
            match &ended.chute {
                Some(chute) => (format!("{parcel} ended in chute {chute}"), Tone::Warn),
                None => (format!("{parcel} ended, nobody knows where"), Tone::Bad),
            }
        }
        Body::CommandPlanned(planned) => {
            let parcel = parcel(fact, &planned.command);
            (format!("{parcel} is to go into chute {} of {}", planned.chute, planned.target), Tone::Plain)
        }
        Body::CommandSent(step)
        | Body::CommandAcknowledged(step)
        | Body::CommandConfirmed(step)
        | Body::CommandMissed(step)
        | Body::CommandFailed(step) => {
            let parcel = parcel(fact, &step.command);
            let chute = step.chute.as_ref().map_or_else(String::new, |chute| format!(" chute {chute}"));
            match &fact.body {
                Body::CommandSent(_) => (format!("{parcel}: command sent"), Tone::Routine),
                Body::CommandAcknowledged(_) => (format!("{parcel}: command acknowledged"), Tone::Routine),
                Body::CommandConfirmed(_) => (format!("{parcel} arrived in{chute}"), Tone::Good),
                Body::CommandMissed(_) => (format!("{parcel} missed its divert"), Tone::Warn),
                _ => (format!("{parcel}: divert failed"), Tone::Bad),
            }
        }
        Body::ScannerResumed(resumed) => {
            let scanner = names.device(&resumed.scanner);
            (format!("{scanner} goes on after scan {}, which this journal lacks", resumed.seq), Tone::Warn)
        }
        Body::BeltChanged(changed) => {
            let sorter = names.device(&changed.sorter);
            match changed.belt {
                Belt::Running => (format!("The belt of {sorter} runs"), Tone::Plain),
                Belt::Stopped => (format!("The belt of {sorter} stands"), Tone::Warn),
                Belt::Estop => (format!("The belt of {sorter} stands: emergency stop"), Tone::Bad),
            }
        }
        Body::ParcelMoved(moved) => {
            let place = |code: &Code| if names.0.is_robot(code) { names.device(code) } else { names.place(code) };
            let (from, to) = (place(&moved.from), place(&moved.to));
            (format!("Parcel {} went from {from} to {to}", moved.code), Tone::Plain)
        }
        Body::TransportPlanned(load) => {
            let (from, to) = (names.place(&load.from), names.place(&load.to));
            (format!("Transport {} from {from} to {to} asked for", load.transport), Tone::Plain)
        }
        Body::TransportAssigned(step)
        | Body::TransportUnassigned(step)
        | Body::TransportRecalled(step)
        | Body::TransportLoaded(step)
        | Body::TransportDelivered(step)
        | Body::TransportFailed(step)
        | Body::TransportCancelled(step) => {
            let transport = format!("Transport {}", step.transport);
            let robot = step.robot.as_ref().map_or_else(|| "a robot".to_owned(), |robot| names.device(robot));
            match &fact.body {
                Body::TransportAssigned(_) => (format!("{transport} given to {robot}"), Tone::Plain),
                Body::TransportUnassigned(_) => (format!("{transport} taken from {robot}"), Tone::Warn),
                Body::TransportRecalled(_) => {
                    (format!("{transport} is to be cancelled once {robot} stands"), Tone::Warn)
                }
                Body::TransportLoaded(_) => (format!("{transport} is on {robot}"), Tone::Plain),
                Body::TransportDelivered(_) => (format!("{transport} delivered by {robot}"), Tone::Good),
                Body::TransportFailed(_) => (format!("{transport} failed"), Tone::Bad),
                _ => (format!("{transport} cancelled"), Tone::Warn),
            }
        }
        Body::DrivePlanned(planned) => {
            let robot = names.device(&planned.robot);
            let goal = planned.stops.last().map_or_else(String::new, |stop| format!(" to {}", stop.node));
            (format!("{robot} is to drive{goal}"), Tone::Routine)
        }
        Body::DriveUpdated(updated) => {
            let node = fact.place.as_ref().map_or_else(String::new, |node| format!(" as far as {node}"));
            (format!("{} may drive on{node}", names.device(&updated.robot)), Tone::Routine)
        }
        Body::DrivePassed(passed) => {
            let node = fact.place.as_ref().map_or_else(String::new, |node| format!(" {node}"));
            (format!("{} reached{node}", names.device(&passed.robot)), Tone::Routine)
        }
        Body::DriveAccepted(step)
        | Body::DriveRecalled(step)
        | Body::DriveDone(step)
        | Body::DriveRefused(step)
        | Body::DriveCancelled(step)
        | Body::DriveLost(step) => {
            let robot = names.device(&step.robot);
            match &fact.body {
                Body::DriveAccepted(_) => (format!("{robot} has its way"), Tone::Routine),
                Body::DriveRecalled(_) => (format!("{robot} is told to stop"), Tone::Warn),
                Body::DriveDone(_) => (format!("{robot} has arrived"), Tone::Routine),
                Body::DriveRefused(_) => (format!("{robot} refuses its way"), Tone::Bad),
                Body::DriveCancelled(_) => (format!("{robot} has stopped"), Tone::Plain),
                _ => (format!("{robot} has lost its way"), Tone::Warn),
            }
        }
        Body::RobotPlaced(placed) => {
            let robot = names.device(&placed.robot);
            match &placed.node {
                Some(node) => (format!("{robot} stands at {node}"), Tone::Routine),
                None => (format!("{robot} stands off the roadmap"), Tone::Warn),
            }
        }
        Body::RobotEmptied(emptied) => {
            (format!("{} carries nothing any more", names.device(&emptied.robot)), Tone::Plain)
        }
        Body::DeviceUp(changed) => (format!("{} is connected", names.device(&changed.device)), Tone::Good),
        Body::DeviceDown(changed) => (format!("{} is disconnected", names.device(&changed.device)), Tone::Bad),
    };
    Words { text, why: fact.why.clone(), tone, item: item.or_else(|| fact.what.clone()) }
}

/// An open discrepancy in words.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Doubt {
    /// What it is about.
    pub headline: String,
    /// How book and world differ.
    pub sentence: String,
    /// What presence goes by.
    pub reason: String,
    /// What the policy wants.
    pub wanted: &'static str,
}

/// The words for an open discrepancy.
pub fn discrepancy(open: &DiscrepancyView, site: &Site) -> Doubt {
    let names = Names(site);
    let book = match &open.book {
        Some(book) => format!("Book says {}, ", names.place(book)),
        None => "Not in the book, ".into(),
    };
    Doubt {
        headline: names.thing(&open.epc, open.sku.as_ref()),
        sentence: format!("{book}radio says {}", names.place(&open.world)),
        reason: open.reason.clone(),
        wanted: match open.action {
            Action::AutoMove => "The book will follow by itself",
            Action::Confirm => "Next worker who passes is asked",
            Action::Count => "Count the place",
            Action::Alarm => "Tell the supervisor now",
        },
    }
}

/// A tag as people call it: the goods' name and serial number, else its most readable code.
pub fn thing(epc: &Epc, site: &Site) -> String {
    Names(site).thing(epc, None)
}

/// Who acted, where a person or a device did.
fn person(who: &str) -> Option<String> {
    match who.split_once(':') {
        Some(("worker", badge)) => Some(format!("Worker {badge}")),
        Some((_, code)) => Some(code.to_owned()),
        None if who == "page" => Some("Someone at the page".to_owned()),
        None => Some(who.to_owned()),
    }
}

/// `Parcel P1`, or `Item 17 of S1` (the machine's 17th item, from a command's id `S1/3-17`) where nothing was read.
fn parcel(fact: &Fact, command: &str) -> String {
    if let Some(code) = fact.what.as_deref().filter(|what| *what != command && !what.is_empty()) {
        return format!("Parcel {code}");
    }
    let parts = command.rsplit_once('/').and_then(|(machine, item)| Some((machine, item.split_once('-')?.1)));
    parts.map_or_else(|| format!("Item {command}"), |(machine, item)| format!("Item {item} of {machine}"))
}

/// `3 × Mug, lot L7`, or a single tagged unit's name.
fn goods(names: &Names<'_>, movement: &Movement, of: &mut impl FnMut(&Epc, Option<&Code>) -> String) -> String {
    let goods = match &movement.epc {
        Some(epc) => of(epc, Some(&movement.sku)),
        None => format!("{} × {}", movement.quantity, names.sku(&movement.sku)),
    };
    if movement.lot.is_empty() { goods } else { format!("{goods}, lot {}", movement.lot) }
}

fn passage(names: &Names<'_>, thing: &str, moved: &PresenceMoved) -> String {
    let to = names.place(&moved.to);
    let way = match &moved.from {
        Some(from) => format!("{thing} went from {} to {to}", names.place(from)),
        None => format!("{thing} turned up in {to}"),
    };
    let through = moved.portal.as_ref().map_or_else(String::new, |portal| format!(" through {}", names.portal(portal)));
    format!("{way}{through}, {} % sure", percent(moved.confidence))
}

fn doubt(names: &Names<'_>, thing: &str, book: Option<&Code>, world: &Code) -> String {
    match book {
        Some(book) => format!("{thing}: the book says {}, the radio says {}", names.place(book), names.place(world)),
        None => format!("{thing} is not in the book, the radio says {}", names.place(world)),
    }
}

/// Whole per cent, rounded down: nothing uncertain is called 100 %.
pub fn percent(permille: u16) -> u16 {
    permille / 10
}

/// What people call things here.
struct Names<'a>(&'a Site);

impl Names<'_> {
    fn thing(&self, epc: &Epc, sku: Option<&Code>) -> String {
        let identity = Identity::decode(epc).ok();
        let stocked = sku.and_then(|sku| self.0.sku_coded(sku));
        let stocked = stocked.or_else(|| self.0.sku_of_gtin(identity.as_ref()?.gtin()?));
        let serial = identity.as_ref().and_then(Identity::serial);
        match (stocked, sku, identity) {
            (Some(sku), _, _) => serial.map_or_else(|| sku.name.clone(), |serial| format!("{} #{serial}", sku.name)),
            (None, Some(sku), _) => serial.map_or_else(|| sku.to_string(), |serial| format!("{sku} #{serial}")),
            (None, None, Some(identity)) => match (identity.sscc(), identity.gtin(), serial) {
                (Some(sscc), ..) => format!("SSCC {sscc:018}"),
                (None, Some(gtin), Some(serial)) => format!("GTIN {gtin:014} #{serial}"),
                _ => format!("tag {epc}"),
            },
            (None, None, None) => format!("tag {epc}"),
        }
    }

    fn sku(&self, code: &Code) -> String {
        self.0.sku_coded(code).map_or_else(|| code.to_string(), |sku| sku.name.clone())
    }

    /// A zone by its name, a location in it by its label.
    fn place(&self, code: &Code) -> String {
        self.0.zone_coded(code).map_or_else(|| code.to_string(), |zone| self.0.zone(zone).name.clone())
    }

    /// Where from and where to.
    fn movement(&self, movement: &Movement) -> (String, String) {
        let place = |place: &Option<stowage_core::fact::Place>| {
            place.as_ref().map_or_else(|| "outside".to_owned(), |place| self.place(&place.location))
        };
        (place(&movement.from), place(&movement.to))
    }

    fn portal(&self, code: &Code) -> String {
        let portal = self.0.portals.iter().find(|portal| portal.code == *code);
        portal.map_or_else(|| code.to_string(), |portal| portal.name.clone())
    }

    fn device(&self, code: &Code) -> String {
        let kind = self.0.device_coded(code).map(|ix| &self.0.device(ix).kind);
        match kind {
            Some(DeviceKind::Reader) => format!("Reader {code}"),
            Some(DeviceKind::Sorter { .. }) => format!("Sorter {code}"),
            Some(DeviceKind::Scanner) => format!("Scanner {code}"),
            Some(DeviceKind::Robot { .. }) => format!("Robot {code}"),
            None => format!("Device {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::testing::{EPC, MUG, fact, site};
    use stowage_base::{Intent, IntentBody, ItemRef, TextKey, Timestamp, Verdict, code};
    use stowage_core::fact as f;
    use stowage_core::input::SortOutcome;

    fn c(text: &str) -> Code {
        code(text).expect("short")
    }

    fn epc() -> Epc {
        Epc::from_hex(EPC).expect("hex")
    }

    fn movement(from: Option<&str>, to: Option<&str>) -> Movement {
        let place = |at: &str| f::Place { location: c(at), disposition: f::Disposition::InProgress };
        let (owner, sku) = (c("demo"), c(MUG));
        let (from, to) = (from.map(place), to.map(place));
        Movement { epc: Some(epc()), owner, sku, lot: Code::new(), quantity: 1, from, to }
    }

    /// The sentence and tone for a fact by `who`.
    fn said(who: Option<&str>, what: &str, body: Body) -> (String, Tone) {
        let fact = Fact { who: who.map(str::to_owned), what: Some(what.to_owned()), ..fact(1, body) };
        let words = words(&fact, &site());
        (words.text, words.tone)
    }

    #[test]
    fn every_kind_of_fact_is_told_in_words() {
        let worker = Some("worker:B-17");
        let step = || f::CommandStep { command: "S1/3-17".into(), chute: Some(c("C2")), outcome: None };
        let ended = |chute| {
            let (command, outcome) = ("S1/3-17".into(), SortOutcome::Full);
            ParcelEnded(f::ParcelEnded { command, sorter: c("S1"), chute, outcome })
        };
        let belt = |belt| BeltChanged(f::BeltChanged { sorter: c("S1"), belt });
        let soap = Movement { epc: None, sku: c("SOAP"), lot: c("L7"), quantity: 3, ..movement(None, Some("A-01-1")) };
        let passage = f::PresenceMoved {
            epc: epc(),
            from: Some(c("DOCK")),
            to: c("STORE"),
            portal: Some(c("GATE-2")),
            confidence: 999,
            runner_up: None,
            runner_up_confidence: 0,
            visits: 8,
        };
        let opened = f::DiscrepancyOpened {
            epc: epc(),
            sku: Some(c(MUG)),
            book: Some(c("A-01-1")),
            world: c("DOCK"),
            confidence: 940,
            action: Action::Confirm,
        };
        let settled = |by| Body::DiscrepancySettled(f::DiscrepancySettled { id: 4, epc: epc(), by });
        let counted =
            |counted| f::Counted { sku: c("SOAP"), lot: Code::new(), location: c("A-01-1"), counted, booked: 5 };
        let body = IntentBody::See { item: ItemRef::Epc(epc()), at: c("A-01-1") };
        let intent = Intent { seq: 9, at: Timestamp::EPOCH, worker: c("B-17"), body };
        let answer = |level, key| {
            let verdict = Verdict::new(level, key, &["MUG", "A-01-1"]);
            Body::IntentAnswered(f::IntentAnswered { scanner: c("scan-1"), intent: intent.clone(), verdict })
        };
        let scanned = |code| f::ParcelScanned { sorter: c("S1"), boot: 3, item: 17, code };
        let missed =
            f::ParcelMissed { command: "S1/3-17".into(), sorter: c("S1"), boot: 3, item: 17, chute: Some(c("C2")) };
        let planned = f::CommandPlanned {
            command: "S1/3-17".into(),
            target: c("S1"),
            boot: 3,
            item: 17,
            parcel: Some(c("P1")),
            chute: c("C2"),
            deadline: Timestamp::EPOCH,
        };
        let device = |device: &str| f::DeviceChanged { device: c(device) };
        let transport = || f::TransportStep { transport: c("T-1"), robot: Some(c("amr-1")) };
        let drive = || f::DriveStep { drive: "amr-1-1-2".into(), robot: c("amr-1") };
        let placed = |node: Option<&str>| Body::RobotPlaced(f::RobotPlaced { robot: c("amr-1"), node: node.map(c) });
        use Body::*;
        let table = [
            (None, "", Started(f::Started { version: "1.0".into() }), "The edge started, version 1.0", Tone::Plain),
            (worker, "", Received(movement(None, Some("DOCK"))), "Worker B-17 received Mug #7 at Dock", Tone::Good),
            (None, "", Received(soap.clone()), "3 × Olive soap, lot L7 came in at A-01-1", Tone::Good),
            (
                worker,
                "",
                Moved(movement(Some("DOCK"), Some("A-01-1"))),
                "Worker B-17 moved Mug #7 from Dock to A-01-1",
                Tone::Plain,
            ),
            (
                None,
                "",
                Moved(movement(Some("DOCK"), Some("STORE"))),
                "The book moved Mug #7 from Dock to Store",
                Tone::Plain,
            ),
            (None, "", Adjusted(movement(None, Some("A-01-1"))), "Mug #7 added to the book at A-01-1", Tone::Warn),
            (None, "", Adjusted(movement(Some("A-01-1"), None)), "Mug #7 taken off the book at A-01-1", Tone::Warn),
            (None, "", Departed(movement(Some("DOCK"), None)), "Mug #7 left from Dock", Tone::Plain),
            (
                worker,
                "",
                Counted(counted(5)),
                "Worker B-17 counted 5 × Olive soap at A-01-1: the book agrees",
                Tone::Good,
            ),
            (
                worker,
                "",
                Counted(counted(4)),
                "Worker B-17 counted 4 × Olive soap at A-01-1: the book had 5",
                Tone::Warn,
            ),
            (
                worker,
                "",
                Seen(f::Seen { epc: epc(), location: c("A-01-1") }),
                "Worker B-17 saw Mug #7 at A-01-1",
                Tone::Good,
            ),
            (
                None,
                "",
                PresenceMoved(passage.clone()),
                "Mug #7 went from Dock to Store through Store door, 99 % sure",
                Tone::Plain,
            ),
            (
                None,
                "",
                PresenceMoved(f::PresenceMoved { from: None, portal: None, ..passage }),
                "Mug #7 turned up in Store, 99 % sure",
                Tone::Plain,
            ),
            (
                None,
                "",
                DiscrepancyOpened(opened.clone()),
                "Mug #7: the book says A-01-1, the radio says Dock",
                Tone::Warn,
            ),
            (
                None,
                "",
                DiscrepancyOpened(f::DiscrepancyOpened { book: None, ..opened }),
                "Mug #7 is not in the book, the radio says Dock",
                Tone::Warn,
            ),
            (None, "", settled(SettledBy::Scan), "Doubt about Mug #7 settled: a scan said where it is", Tone::Good),
            (
                None,
                "",
                settled(SettledBy::Radio),
                "Doubt about Mug #7 settled: the radio agrees with the book again",
                Tone::Good,
            ),
            (
                Some("page"),
                "",
                settled(SettledBy::Page),
                "Doubt about Mug #7 settled: the radio's word was taken at the page",
                Tone::Good,
            ),
            (
                worker,
                "",
                answer(Level::Ok, TextKey::Seen),
                "Worker B-17 was told on scan-1: MUG is at A-01-1: confirmed",
                Tone::Routine,
            ),
            (
                worker,
                "",
                answer(Level::Stop, TextKey::UnknownCode),
                "Worker B-17 was told on scan-1: MUG is not known here. Put it aside for the supervisor",
                Tone::Bad,
            ),
            (
                None,
                "",
                ScannerResumed(f::ScannerResumed { scanner: c("scan-1"), seq: 9 }),
                "Scanner scan-1 goes on after scan 9, which this journal lacks",
                Tone::Warn,
            ),
            (
                None,
                "P1",
                ParcelAnnounced(f::ParcelAnnounced { code: c("P1"), route: c("NORTH") }),
                "Parcel P1 announced for route NORTH",
                Tone::Routine,
            ),
            (None, "P1", ParcelScanned(scanned(Some(c("P1")))), "Parcel P1 passed the scan point of S1", Tone::Routine),
            (None, "S1/3-17", ParcelScanned(scanned(None)), "Item 17 of S1 could not be read", Tone::Warn),
            (None, "S1/3-17", ParcelMissed(missed), "Item 17 of S1 ended in chute C2 unrecognised", Tone::Warn),
            (None, "P1", CommandPlanned(planned.clone()), "Parcel P1 is to go into chute C2 of S1", Tone::Plain),
            (None, "S1/3-17", CommandPlanned(planned), "Item 17 of S1 is to go into chute C2 of S1", Tone::Plain),
            (None, "P1", CommandSent(step()), "Parcel P1: command sent", Tone::Routine),
            (None, "P1", CommandAcknowledged(step()), "Parcel P1: command acknowledged", Tone::Routine),
            (None, "P1", CommandConfirmed(step()), "Parcel P1 arrived in chute C2", Tone::Good),
            (None, "", CommandConfirmed(step()), "Item 17 of S1 arrived in chute C2", Tone::Good),
            (None, "", CommandMissed(step()), "Item 17 of S1 missed its divert", Tone::Warn),
            (None, "", CommandFailed(step()), "Item 17 of S1: divert failed", Tone::Bad),
            (None, "", ended(Some(c("C2"))), "Item 17 of S1 ended in chute C2", Tone::Warn),
            (None, "", ended(None), "Item 17 of S1 ended, nobody knows where", Tone::Bad),
            (None, "", belt(Belt::Running), "The belt of Sorter S1 runs", Tone::Plain),
            (None, "", belt(Belt::Stopped), "The belt of Sorter S1 stands", Tone::Warn),
            (None, "", belt(Belt::Estop), "The belt of Sorter S1 stands: emergency stop", Tone::Bad),
            (
                None,
                "P1",
                ParcelMoved(f::ParcelMoved { code: c("P1"), from: c("A-01-1"), to: c("DOCK") }),
                "Parcel P1 went from A-01-1 to Dock",
                Tone::Plain,
            ),
            (
                None,
                "T-1",
                TransportPlanned(f::TransportPlanned { transport: c("T-1"), from: c("A-01-1"), to: c("DOCK") }),
                "Transport T-1 from A-01-1 to Dock asked for",
                Tone::Plain,
            ),
            (None, "T-1", TransportAssigned(transport()), "Transport T-1 given to Robot amr-1", Tone::Plain),
            (None, "T-1", TransportUnassigned(transport()), "Transport T-1 taken from Robot amr-1", Tone::Warn),
            (
                None,
                "T-1",
                TransportRecalled(transport()),
                "Transport T-1 is to be cancelled once Robot amr-1 stands",
                Tone::Warn,
            ),
            (None, "T-1", TransportLoaded(transport()), "Transport T-1 is on Robot amr-1", Tone::Plain),
            (None, "T-1", TransportDelivered(transport()), "Transport T-1 delivered by Robot amr-1", Tone::Good),
            (None, "T-1", TransportFailed(transport()), "Transport T-1 failed", Tone::Bad),
            (None, "T-1", TransportCancelled(transport()), "Transport T-1 cancelled", Tone::Warn),
            (
                None,
                "amr-1",
                DrivePlanned(f::DrivePlanned {
                    drive: "amr-1-1-2".into(),
                    robot: c("amr-1"),
                    transport: None,
                    stops: vec![f::DriveStop { node: c("W"), act: None }, f::DriveStop { node: c("C"), act: None }],
                    released: 1,
                }),
                "Robot amr-1 is to drive to C",
                Tone::Routine,
            ),
            (
                None,
                "amr-1",
                DriveUpdated(f::DriveUpdated {
                    drive: "amr-1-1-2".into(),
                    robot: c("amr-1"),
                    update: 1,
                    keep: 1,
                    stops: Vec::new(),
                    released: 2,
                }),
                "Robot amr-1 may drive on",
                Tone::Routine,
            ),
            (
                None,
                "amr-1",
                DrivePassed(f::DrivePassed { drive: "amr-1-1-2".into(), robot: c("amr-1"), stop: 1 }),
                "Robot amr-1 reached",
                Tone::Routine,
            ),
            (None, "amr-1", DriveAccepted(drive()), "Robot amr-1 has its way", Tone::Routine),
            (None, "amr-1", DriveRecalled(drive()), "Robot amr-1 is told to stop", Tone::Warn),
            (None, "amr-1", DriveDone(drive()), "Robot amr-1 has arrived", Tone::Routine),
            (None, "amr-1", DriveRefused(drive()), "Robot amr-1 refuses its way", Tone::Bad),
            (None, "amr-1", DriveCancelled(drive()), "Robot amr-1 has stopped", Tone::Plain),
            (None, "amr-1", DriveLost(drive()), "Robot amr-1 has lost its way", Tone::Warn),
            (None, "amr-1", placed(Some("W")), "Robot amr-1 stands at W", Tone::Routine),
            (None, "amr-1", placed(None), "Robot amr-1 stands off the roadmap", Tone::Warn),
            (
                None,
                "amr-1",
                RobotEmptied(f::RobotEmptied { robot: c("amr-1") }),
                "Robot amr-1 carries nothing any more",
                Tone::Plain,
            ),
            (None, "", DeviceUp(device("gate-1")), "Reader gate-1 is connected", Tone::Good),
            (None, "", DeviceDown(device("S1")), "Sorter S1 is disconnected", Tone::Bad),
        ];
        for (who, what, body, text, tone) in table {
            let kind = body.kind();
            assert_eq!(said(who, what, body), (text.to_owned(), tone), "{kind}");
        }
    }

    #[test]
    fn a_tag_is_called_by_goods_and_serial_or_by_what_can_be_read_from_it() {
        let site = site();
        let foreign = stowage_gs1::epc::sgtin96(614_141_999_996, 7, 5, 1).expect("valid");
        assert_eq!(thing(&foreign, &site), "GTIN 00614141999996 #5");
        let pallet = stowage_gs1::epc::sscc96(106_141_412_345_678_908, 7, 0).expect("valid");
        assert_eq!(thing(&pallet, &site), "SSCC 106141412345678908");
        let junk = Epc::from_hex("FFFF").expect("hex");
        assert_eq!(thing(&junk, &site), "tag FFFF");
    }
}
