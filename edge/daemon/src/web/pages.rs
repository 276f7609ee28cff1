//! The pages for people: the floor, an item's trail, the facts.
//!
//! The floor's page carries its names and plan as HTML, its first numbers as JSON; `floor.js` puts these in, and then
//! those of the event stream, by one way. The other pages are whole without any script.

use super::App;
use super::api::{Asked, Route, Told, picture, told, unreadable_query};
use super::history::{LIMIT_MAX, Query};
use super::problem::Problem;
use super::words::thing;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, State};
use axum::response::Html;
use axum::routing::get;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::json;
use std::fmt::Write;
use stowage_base::Epc;
use stowage_core::Site;
use stowage_core::site::{Portal, Zone, ZoneKind};
use stowage_gs1::epc::{DigitalLink, Identity, PureUri};

/// Facts on the floor's page, and on a page of the list.
const FLOOR_FACTS: usize = 60;
const PAGE_FACTS: usize = 200;

/// The pages' routes.
pub(super) fn routes() -> Vec<Route> {
    vec![("get", "/", get(floor)), ("get", "/facts", get(facts)), ("get", "/item/{item}", get(item))]
}

fn page(site: &Site, title: &str, script: bool, main: Markup) -> Html<String> {
    let here = |name: &str| (title == name).then_some("page");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · " (site.name) }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/style.css";
                link rel="stylesheet" href="/assets/floor.css";
                script type="module" src="/assets/page.js" {}
                @if script { script type="module" src="/assets/floor.js" {} }
            }
            body data-zone=(site.time_zone) {
                a.skip href="#main" { "Skip to content" }
                header.top {
                    a.brand href="/" { img src="/assets/icon.svg" alt="" width="28" height="28"; span { (site.name) } }
                    nav aria-label="Pages" {
                        a href="/" aria-current=[here("Floor")] { "Floor" }
                        a href="/facts" aria-current=[here("Facts")] { "Facts" }
                    }
                    @if script { p #link .link data-state="wait" role="status" { "Connecting" } }
                    p.clock { time #clock { "--:--:--" } small { (site.time_zone.replace('_', " ")) } }
                }
                (main)
            }
        }
    };
    Html(page.into_string())
}

async fn floor(State(app): State<App>) -> Html<String> {
    let site = &app.shared.site;
    let view = app.shared.view.borrow().clone();
    let query = Query { limit: FLOOR_FACTS, ..Query::default() };
    // The rest of the page is worth showing even if the journal can't be read: the list then says so.
    let (facts, unread) = match told(&app.shared, query).await {
        Ok(facts) => (facts, None),
        Err(problem) => (Vec::new(), Some(problem.detail)),
    };
    let first = json!({ "view": picture(&view, &app.shared), "facts": facts, "unread": unread });
    let totals = [
        ("units", "Units in book"),
        ("tags", "Tags present"),
        ("open", "Discrepancies"),
        ("rate", "Reads/s"),
        ("reads", "Tag reads"),
        ("intents", "Scans"),
        ("sorted", "Parcels"),
        ("facts", "Facts"),
    ];
    let main = html! {
        p #problem .banner.bad role="alert" hidden {}
        p #lost .banner.warn role="alert" hidden {}
        noscript { p.banner.warn { "This page needs JavaScript to be live. " a href="/facts" { "The facts" } " don't." } }
        dl.totals aria-label="Totals" {
            @for (key, name) in totals { div { dt { (name) } dd data-total=(key) { "–" } } }
        }
        main #main .floor {
            div.column {
                section.panel.plan aria-labelledby="h-plan" {
                    h2 #h-plan { "Floor" small { "tags by radio, units by the book" } }
                    @let [left, top, width, height] = bounds(site);
                    div.map data-left=(left) data-top=(top) data-width=(width) data-height=(height) {
                        @for (at, zone) in site.zones.iter().enumerate() { (zone_tile(at, zone)) }
                        (ways(site))
                        @for (at, portal) in site.portals.iter().enumerate() { (doorway(site, at, portal)) }
                        @for (at, robot) in view.robots.iter().enumerate() {
                            div.robot data-robot=(at) role="img" aria-label=(robot.code) hidden { b { (robot.code) } }
                        }
                    }
                }
                section.panel.facts aria-labelledby="h-facts" {
                    h2 #h-facts { "Latest" small { "what was recorded, newest first" } a href="/facts" { "All facts" } }
                    ol #facts .log role="log" aria-live="off" aria-labelledby="h-facts" tabindex="0" {}
                    p #facts-none .empty hidden { "Nothing recorded yet." }
                }
            }
            div.column {
                section.panel.doubts aria-labelledby="h-doubts" {
                    h2 #h-doubts { "Discrepancies" small #doubts-count aria-live="polite" {} }
                    ul #doubts {}
                    p #doubts-none .empty hidden { "Book and radio agree." }
                }
                @if !site.portals.is_empty() {
                    section.panel.portals aria-labelledby="h-portals" {
                        h2 #h-portals { "Portals" small { "since the start" } }
                        table {
                            thead { tr {
                                th scope="col" { "Doorway" } th scope="col" { "In" } th scope="col" { "Out" }
                                th scope="col" { "Turned back" } th scope="col" { "Last" }
                            } }
                            tbody {
                                @for (at, portal) in site.portals.iter().enumerate() {
                                    tr data-portal=(at) {
                                        th scope="row" {
                                            (portal.name)
                                            small { (site.zone(portal.outer).name) " to " (site.zone(portal.inner).name) }
                                        }
                                        td data-f="inwards" { "–" } td data-f="outwards" { "–" }
                                        td data-f="turned_back" { "–" } td data-f="last" { "–" }
                                    }
                                }
                            }
                        }
                    }
                }
                @if !view.robots.is_empty() {
                    section.panel.robots aria-labelledby="h-robots" {
                        h2 #h-robots { "Robots" small #transports-count aria-live="polite" {} }
                        ul {
                            @for (at, robot) in view.robots.iter().enumerate() {
                                li data-robot=(at) {
                                    b { (robot.code) } span data-f="does" { "–" } span.charge data-f="charge" {}
                                    p data-f="waits" {}
                                    div.act data-f="emptied" hidden {
                                        button type="button" { "It is empty now" }
                                        output aria-live="polite" {}
                                    }
                                }
                            }
                        }
                        ul #transports aria-label="Transports" {}
                    }
                }
                section.panel.devices aria-labelledby="h-devices" {
                    h2 #h-devices { "Devices" small #devices-count aria-live="polite" {} }
                    ul #devices {
                        @for at in 0..view.devices.len() {
                            @let device = &view.devices[at];
                            li data-device=(at) data-state="never" {
                                b { (device.code) } span.kind { (device.kind) }
                                span.state data-f="state" { "–" }
                                dl {
                                    div { dt { (counted(device.kind)) } dd data-f="count" { "–" } }
                                    div { dt { "faults" } dd data-f="faults" { "–" } }
                                    div { dt { "malformed" } dd data-f="malformed" { "–" } }
                                    div { dt { "drops" } dd data-f="downs" { "–" } }
                                }
                                p data-f="last_error" { "–" }
                                p data-f="note" {}
                            }
                        }
                    }
                }
                @if !app.shared.followers.is_empty() {
                    section.panel.devices.followers aria-labelledby="h-followers" {
                        h2 #h-followers { "Followers" small #followers-count aria-live="polite" {} }
                        ul {
                            @for (at, follower) in app.shared.followers.iter().enumerate() {
                                li data-follower=(at) data-state="never" {
                                    b { (follower.name()) } span.kind { "takes every fact" }
                                    span.state data-f="state" { "–" }
                                    p data-f="trouble" {}
                                    p data-f="left_out" {}
                                }
                            }
                        }
                    }
                }
            }
        }
        template #fact-row { (fact_row(None, false)) }
        template #transport-row {
            li {
                h3 { a data-f="id" {} span data-f="way" {} }
                p data-f="state" {}
                div.act {
                    button.quiet type="button" { "Cancel" }
                    output aria-live="polite" {}
                }
            }
        }
        template #doubt-row {
            li.doubt {
                h3 { a data-f="headline" {} span.sure { span data-f="confidence" {} " sure" } }
                p.sentence data-f="sentence" {}
                p.reason data-f="reason" {}
                p.wanted { span data-f="wanted" {} ", open for " span data-f="since" {} }
                div.act {
                    button type="button" { "Take the radio's word" }
                    span { "or scan it where it is" }
                    output aria-live="polite" {}
                }
            }
        }
        // JSON that can't end the script element.
        script #first type="application/json" { (PreEscaped(first.to_string().replace('<', "\\u003c"))) }
    };
    page(site, "Floor", true, main)
}

/// What a device's count counts.
fn counted(kind: &str) -> &'static str {
    match kind {
        "reader" => "reads",
        "sorter" => "items",
        "scanner" => "scans",
        "robot" => "reports",
        _ => "count",
    }
}

fn zone_tile(at: usize, zone: &Zone) -> Markup {
    let outside = zone.kind == ZoneKind::Outside;
    html! {
        section class={ "zone z" (at) @if outside { " outside" } } data-zone=(at) aria-label=(zone.name) {
            div {
                h3 title=(zone.name) { (zone.name) }
                p.tags { b data-f="tags" { "–" } " " span { "tags" } }
                p.book { @if !outside { span { "book " } b data-f="book" { "–" } } }
            }
            p.differ data-f="differ" {}
        }
    }
}

/// Where robots drive, as lines.
fn ways(site: &Site) -> Markup {
    let map = &site.roadmap;
    let [left, top, width, height] = bounds(site);
    html! {
        @if !map.nodes().is_empty() {
            svg.ways viewBox={ (left) " " (top) " " (width) " " (height) } preserveAspectRatio="none" aria-hidden="true" {
                @for from in map.indices() {
                    @let (a, back) = (map.node(from), |to| map.ways(to).iter().any(|way| way.to == from));
                    // A way that leads both ways is one line.
                    @for to in map.ways(from).iter().map(|way| way.to).filter(|to| from < *to || !back(*to)) {
                        @let b = map.node(to);
                        line x1=(a.x_mm) y1=(a.y_mm) x2=(b.x_mm) y2=(b.y_mm) vector-effect="non-scaling-stroke" {}
                    }
                }
            }
        }
    }
}

fn doorway(site: &Site, at: usize, portal: &Portal) -> Markup {
    let door = Door::of(site, portal);
    html! {
        div class={ "door d" (at) " " (door.class()) } data-portal=(at) role="group" aria-label=(portal.name) title=(portal.name) {
            i.bar {}
            span.counts {
                span title="in" { (door.inwards()) b data-f="inwards" { "–" } }
                span title="out" { (door.outwards()) b data-f="outwards" { "–" } }
            }
            span.now data-f="tags" {}
        }
    }
}

/// A fact in the list; `None` for the template. `dated`: with the day.
fn fact_row(fact: Option<&Told>, dated: bool) -> Markup {
    let at = fact.map(|fact| fact.at.to_string());
    let item = fact.and_then(|fact| fact.words.item.as_deref());
    let tone = fact.map(|fact| json!(fact.words.tone));
    html! {
        li data-tone=[tone.as_ref().and_then(|tone| tone.as_str())] {
            time datetime=[at.as_deref()] data-style=(if dated { "long" } else { "short" }) { (at.as_deref().unwrap_or_default()) }
            p {
                a data-f="text" href=[item.map(item_path)] { @if let Some(fact) = fact { (fact.words.text) } }
                small data-f="why" { @if let Some(why) = fact.and_then(|fact| fact.words.why.as_deref()) { (why) } }
            }
            @if let Some(fact) = fact.filter(|_| dated) { span.kind { (fact.kind) " " (fact.seq) } }
        }
    }
}

/// The address of an item's page.
fn item_path(item: &str) -> String {
    let mut path = String::from("/item/");
    for octet in item.bytes() {
        match octet {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => path.push(octet.into()),
            // Writing to a string can't fail.
            _ => _ = write!(path, "%{octet:02X}"),
        }
    }
    path
}

/// Kinds of facts to choose from: the beginning of a kind's name, and its name for people.
const KINDS: [(&str, &str); 13] = [
    ("", "Everything"),
    ("stock.", "Stock"),
    ("presence.", "Moves seen by radio"),
    ("discrepancy.", "Discrepancies"),
    ("item.", "Sightings"),
    ("intent.", "Scans"),
    ("parcel.", "Parcels"),
    ("command.", "Commands to sorters"),
    ("transport.", "Transports"),
    ("drive.", "Ways of robots"),
    ("robot.", "Robots"),
    ("device.", "Devices"),
    ("belt.", "Belts"),
];

async fn facts(
    State(app): State<App>,
    asked: Result<axum::extract::Query<Asked>, QueryRejection>,
) -> Result<Html<String>, Problem> {
    let axum::extract::Query(mut asked) = asked.map_err(unreadable_query)?;
    asked.limit.get_or_insert(PAGE_FACTS);
    let query = asked.query()?;
    let (kind, item) = (query.kind.clone().unwrap_or_default(), query.item.clone().unwrap_or_default());
    let limit = query.limit;
    let facts = told(&app.shared, query).await?;
    let more = facts.last().filter(|fact| facts.len() == limit && fact.seq > 1).map(|fact| fact.seq);
    let main = html! {
        main #main .list {
            h1 { "Facts" }
            form method="get" action="/facts" role="search" {
                label { "Kind " select name="kind" {
                    @for (value, name) in KINDS { option value=(value) selected[value == kind] { (name) } }
                    @if !KINDS.iter().any(|(value, _)| *value == kind) { option value=(kind) selected { (kind) } }
                } }
                label { "Item " input name="item" value=(item) placeholder="EPC in hex, parcel code" autocomplete="off"; }
                button { "Show" }
            }
            @if facts.is_empty() { p.empty { "No facts fit." } }
            ol.log.long { @for fact in &facts { (fact_row(Some(fact), true)) } }
            @if let Some(before) = more {
                p { a.button href={ "/facts?kind=" (escaped(&kind)) "&item=" (escaped(&item)) "&before=" (before) } { "Older" } }
            }
        }
    };
    Ok(page(&app.shared.site, "Facts", false, main))
}

/// Text for a query string.
fn escaped(text: &str) -> String {
    item_path(text).split_off("/item/".len())
}

async fn item(State(app): State<App>, Path(item): Path<String>) -> Result<Html<String>, Problem> {
    let site = &app.shared.site;
    let query = Query { item: Some(item.clone()), limit: LIMIT_MAX, ..Query::default() };
    let facts = told(&app.shared, query).await?;
    let epc = Epc::from_hex(&item);
    let identity = epc.and_then(|epc| Identity::decode(&epc).ok());
    let name = epc.map_or_else(|| item.clone(), |epc| thing(&epc, site));
    let view = app.shared.view.borrow().clone();
    let open = view.discrepancies.iter().find(|open| Some(open.epc) == epc);
    let main = html! {
        main #main .list {
            h1 { (name) }
            dl.facts-of {
                @if let Some(epc) = epc { div { dt { "EPC" } dd { code { (epc) } } } }
                @if let Some(identity) = &identity {
                    div { dt { "Identity" } dd { code { (PureUri(identity).to_string()) } } }
                    div { dt { "GS1 Digital Link" } dd { code { (DigitalLink(identity).to_string()) } } }
                }
                @if let Some(sku) = identity.as_ref().and_then(|identity| site.sku_of_gtin(identity.gtin()?)) {
                    div { dt { "SKU" } dd { code { (sku.code) } } }
                }
            }
            @if let Some(open) = open {
                @let words = super::words::discrepancy(open, site);
                p.banner.warn { (words.sentence) ". " a href="/" { "Settle it on the floor's page" } ", or scan it where it is." }
            }
            h2 { "Trail" small { "newest first" } }
            @if facts.is_empty() { p.empty { "Nothing is recorded about " (item) "." } }
            ol.log.long { @for fact in &facts { (fact_row(Some(fact), true)) } }
        }
    };
    Ok(page(site, &name, false, main))
}

/// Where zones and doorways lie on the plan, in per cent, as a style sheet: the pages allow no inline style.
pub(super) fn floor_css(site: &Site) -> String {
    let [left, top, width, height] = bounds(site);
    let across = |x: f64| 100.0 * (x - left) / width;
    let down = |y: f64| 100.0 * (y - top) / height;
    let mut css = format!(".map{{--wide:{width:.0};--high:{height:.0}}}\n");
    for (at, zone) in site.zones.iter().enumerate() {
        let [x, y, w, h] = zone.area.map(f64::from);
        let (w, h) = (100.0 * w / width, 100.0 * h / height);
        // Writing to a string can't fail.
        _ = writeln!(css, ".z{at}{{left:{:.2}%;top:{:.2}%;width:{w:.2}%;height:{h:.2}%}}", across(x), down(y));
    }
    for (at, portal) in site.portals.iter().enumerate() {
        let door = Door::of(site, portal);
        _ = writeln!(css, ".d{at}{{left:{:.2}%;top:{:.2}%}}", across(door.x), down(door.y));
    }
    css
}

/// Left, top, width and height of what all zones cover, mm; never empty.
fn bounds(site: &Site) -> [f64; 4] {
    let edge = |of: fn(&Zone) -> f64, pick: fn(f64, f64) -> f64| site.zones.iter().map(of).reduce(pick).unwrap_or(0.0);
    let left = edge(|zone| zone.area[0].into(), f64::min);
    let top = edge(|zone| zone.area[1].into(), f64::min);
    let right = edge(|zone| f64::from(zone.area[0]) + f64::from(zone.area[2]), f64::max);
    let bottom = edge(|zone| f64::from(zone.area[1]) + f64::from(zone.area[3]), f64::max);
    [left, top, (right - left).max(1.0), (bottom - top).max(1.0)]
}

/// A doorway on the plan.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Door {
    /// Its middle, mm.
    x: f64,
    y: f64,
    /// One goes inwards along x, or else along y.
    along_x: bool,
    /// One goes inwards to the right, or down.
    forward: bool,
}

impl Door {
    /// In the middle of the wall that the portal's zones share, or of the gap between them; several in one wall stand
    /// apart evenly, in order of the site file.
    fn of(site: &Site, portal: &Portal) -> Self {
        let spans = |zone: &Zone| {
            let [x, y, w, h] = zone.area.map(f64::from);
            [(x, x + w), (y, y + h)]
        };
        let (outer, inner) = (spans(site.zone(portal.outer)), spans(site.zone(portal.inner)));
        let gap = |axis: usize| (inner[axis].0 - outer[axis].1).max(outer[axis].0 - inner[axis].1);
        let (axis, side) = if gap(0) >= gap(1) { (0, 1) } else { (1, 0) };
        let centre = |(from, to): (f64, f64)| (from + to) / 2.0;
        let forward = centre(outer[axis]) <= centre(inner[axis]);
        let through = match forward {
            true => (outer[axis].1 + inner[axis].0) / 2.0,
            false => (inner[axis].1 + outer[axis].0) / 2.0,
        };
        let pair = |other: &&Portal| {
            let (a, b) = (other.outer, other.inner);
            (a, b) == (portal.outer, portal.inner) || (b, a) == (portal.outer, portal.inner)
        };
        let doors = site.portals.iter().filter(pair).count();
        let before = site.portals.iter().filter(pair).take_while(|other| other.code != portal.code).count();
        let (from, to) = (outer[side].0.max(inner[side].0), outer[side].1.min(inner[side].1));
        let along = from + (to - from) * (before + 1) as f64 / (doors + 1) as f64;
        let (x, y) = if axis == 0 { (through, along) } else { (along, through) };
        Self { x, y, along_x: axis == 0, forward }
    }

    const fn class(self) -> &'static str {
        if self.along_x { "along-x" } else { "along-y" }
    }

    const fn inwards(self) -> &'static str {
        match (self.along_x, self.forward) {
            (true, true) => "→",
            (true, false) => "←",
            (false, true) => "↓",
            (false, false) => "↑",
        }
    }

    const fn outwards(self) -> &'static str {
        Self { forward: !self.forward, ..self }.inwards()
    }
}
