//! `edge.toml`: this edge's devices and followers, where it listens and keeps its data.

use super::device::{self, Device, Devices};
use super::endpoints::Endpoints;
use super::fault::nearest;
use super::read::{File, Found, Names, Section};
use super::url::{self, Broker};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use stowage_base::Code;
use stowage_core::Site;
use stowage_core::site;

/// An edge as checked: nothing in it can be wrong any more, except the world.
#[derive(Debug, Clone)]
pub struct Edge {
    /// The folder of the journal.
    pub data: PathBuf,
    /// Where the page and the API listen.
    pub listen: SocketAddr,
    /// Names by which browsers may call the page, beside addresses and `localhost`.
    pub names: Vec<String>,
    /// Where scanners connect.
    pub scanners: SocketAddr,
    /// The site; its `devices` are in the order of [`devices`](Self::devices).
    pub site: Site,
    /// Readers, sorters, scanners and robots.
    pub devices: Vec<Device>,
    /// Where facts go.
    pub followers: Vec<Follower>,
}

/// Where facts go beside the journal.
#[derive(Debug, Clone)]
pub struct Follower {
    /// Names its cursor: the same id goes on where it stopped.
    pub id: Code,
    /// Where to.
    pub kind: FollowerKind,
}

/// Where a follower's facts go.
#[derive(Debug, Clone)]
pub enum FollowerKind {
    /// Appended to a file, one line each.
    Jsonl {
        /// The file.
        path: PathBuf,
    },
    /// Published, each to `PREFIX/KIND`.
    Mqtt {
        /// The broker.
        broker: Broker,
        /// Leading levels of the topics.
        prefix: String,
    },
}

/// A key or password. Debug prints none of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a secret.
    pub fn new(secret: T) -> Self {
        Self(secret)
    }

    /// The secret itself.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// An edge's file, read and checked but for what hangs on the site.
pub(super) struct Written {
    pub(super) data: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) names: Vec<String>,
    pub(super) scanners: SocketAddr,
    /// Where the site's file is; `None` if that is a fault.
    pub(super) site: Option<PathBuf>,
    pub(super) devices: Devices,
    pub(super) followers: Vec<Follower>,
}

impl Written {
    /// Notes antennas that the site has no place for: they would read tags and tell nothing.
    pub(super) fn refuse_unplaced_antennas(&self, file: &File, site: &Site) {
        for ((device, port), at) in &self.devices.antennas {
            if site.read_point(site::DeviceIx(*device as u16), *port).is_none() {
                let (id, _) = &self.devices.list[*device];
                let message =
                    format!("no read point of site.toml has {id}'s antenna {port}: add one there, or take it out here");
                file.fault_of_key(at, message);
            }
        }
    }

    /// Notes robots that have nowhere to drive, or that start where no node is or where another starts.
    pub(super) fn refuse_unplaced_robots(&self, file: &File, site: &Site) {
        let mut taken: Vec<(&Code, &Code)> = Vec::new();
        for robot in &self.devices.robots {
            let (id, _) = &self.devices.list[robot.device];
            if site.roadmap.nodes().is_empty() {
                let message = format!("{id} has nowhere to drive: give site.toml a roadmap, [[node]] and [[edge]]");
                file.fault_of_key(&robot.at, message);
                continue;
            }
            let Some(start) = &robot.start else { continue };
            if site.roadmap.coded(&start.value).is_none() {
                let codes = site.roadmap.nodes().iter().map(|node| node.code.as_str());
                let mend = match nearest(&start.value, codes) {
                    Some(node) => format!("did you mean {node:?}?"),
                    None => "give one of its [[node]]s".into(),
                };
                file.fault(&start.at, format!("no node of site.toml; {mend}"));
            }
            match taken.iter().find(|(node, _)| *node == &start.value) {
                Some((_, other)) => file.fault(&start.at, format!("{other} starts there already: give another node")),
                None => taken.push((&start.value, id)),
            }
        }
    }

    /// The edge on its site, both without a fault.
    pub(super) fn on(self, site: Site) -> Edge {
        let Self { data, listen, names, scanners, devices, followers, .. } = self;
        let devices = devices.list.into_iter().filter_map(|(id, kind)| Some(Device { id, kind: kind? })).collect();
        Edge { data, listen, names, scanners, site, devices, followers }
    }
}

/// Reads an edge's file whose `kind` was taken already.
pub(super) fn read(mut root: Section<'_>) -> Written {
    let file = root.file;
    root.require(&[("site", "the path of site.toml, relative to this file")]);
    let beside = |path: &str| file.beside(path);
    let data = root.text("data").map_or_else(|| ".stowage".into(), |data| data.value);
    let site = root.text("site").map(|site| beside(&site.value));
    let mut endpoints = Endpoints::new();
    let mut listen = |key, who, port| {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let at = root.place(key);
        let address = root.address(key, &local.to_string()).map_or(local, |address| address.value);
        endpoints.listen(file, &at, who, address);
        address
    };
    let listen = (listen("listen", "the page", 8080), listen("scanners", "the scanners' port", 7070));
    let names = root.texts("names");
    for name in names.iter().filter(|name| !url::is_host_name(&name.value)) {
        file.fault(&name.at, "not a host name: give one such as edge.example, without a port");
    }
    let names = names.into_iter().map(|name| name.value).collect();
    let devices = device::read(&mut root, &mut endpoints);
    let followers = followers(&mut root, &mut endpoints, &beside);
    root.end();
    Written { data: beside(&data), listen: listen.0, names, scanners: listen.1, site, devices, followers }
}

fn followers(root: &mut Section<'_>, endpoints: &mut Endpoints, beside: &impl Fn(&str) -> PathBuf) -> Vec<Follower> {
    #[derive(Clone, Copy)]
    enum Kind {
        Jsonl,
        Mqtt,
    }
    let mut names = Names::new("follower");
    let mut followers = Vec::new();
    for (index, mut section) in root.sections("follower").into_iter().enumerate() {
        let file = section.file;
        section.require(&[("kind", r#""jsonl" or "mqtt""#)]);
        let id = section.id("id");
        let Some(kind) = section.choice("kind", &[("jsonl", Kind::Jsonl), ("mqtt", Kind::Mqtt)]) else { continue };
        let (name, kind) = match kind.value {
            Kind::Jsonl => {
                section.require(&[("path", "the file to append to, relative to this one")]);
                let text = section.text("path").unwrap_or_default();
                let path = beside(&text.value);
                if !text.value.is_empty() {
                    endpoints.file(file, &text.at, &path);
                }
                ("jsonl", FollowerKind::Jsonl { path })
            }
            Kind::Mqtt => {
                section.require(&[("url", "mqtt://HOST or mqtts://USER:PASSWORD@HOST:PORT")]);
                let broker = device::broker(&mut section);
                let prefix = section.text("prefix");
                if let Some(prefix) = &prefix
                    && (prefix.value.is_empty() || prefix.value.contains(['#', '+', '\0']))
                {
                    file.fault(
                        &prefix.at,
                        "not a topic's beginning: give levels such as stowage/demo, without # and +",
                    );
                }
                let prefix = prefix.map_or_else(|| "stowage".into(), |prefix| prefix.value);
                ("mqtt", FollowerKind::Mqtt { broker, prefix })
            }
        };
        let id = id.unwrap_or_else(|| Found {
            value: stowage_base::code(name).unwrap_or_default(),
            at: section.at.named(format!("{}.id", section.at.key)),
        });
        names.add(file, &id, index);
        if let FollowerKind::Mqtt { broker, .. } = &kind
            && names.index(&id.value) == Some(index)
        {
            endpoints.client(file, &id.at, broker, &id.value);
        }
        followers.push(Follower { id: id.value, kind });
        section.end();
    }
    followers
}
