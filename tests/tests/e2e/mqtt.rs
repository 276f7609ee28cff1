//! The way to a broker: TLS, users and passwords, what is said when they don't fit, and links that never hold.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rumqttc::{Client, Event, Packet, QoS};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stowage::config::{Broker, Secret};
use stowage_tests::plant::{Plant, free_port};
use stowage_tests::process::{Program, run};
use stowage_tests::relay::{Borders, Relay};
use stowage_tests::{until, within};

const USER: &str = "edge";
const PASSWORD: &str = "p@ss:word";

/// Somebody who makes certificates.
struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// A new one; its certificate is the file `name`.pem.
    fn new(plant: &Plant, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(plant.path(&format!("{name}.pem")), certificate.pem()).expect("the folder is ours");
        Self(Issuer::new(params, key))
    }

    /// A certificate for `localhost` in the files `name`.pem and `name`.key; over in 2021 if `expired`.
    fn certify(&self, plant: &Plant, name: &str, expired: bool) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        if expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 2, 3));
        }
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        fs::write(plant.path(&format!("{name}.pem")), certificate.pem()).expect("the folder is ours");
        fs::write(plant.path(&format!("{name}.key")), key.serialize_pem()).expect("the folder is ours");
    }
}

/// A listener that speaks TLS with the certificate `name`, and knows the one user.
fn listener(plant: &Plant, port: u16, name: &str) -> String {
    let passwords = plant.path("passwords");
    if !passwords.exists() {
        let file = passwords.display().to_string();
        let made = run("mosquitto_passwd", &["-c", "-b", &file, USER, PASSWORD], b"");
        assert!(made.status.success(), "mosquitto_passwd: {}", String::from_utf8_lossy(&made.stderr));
    }
    let file = |name: &str| plant.path(name).display().to_string();
    format!(
        "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\ncertfile {}\nkeyfile {}\n",
        file("passwords"),
        file(&format!("{name}.pem")),
        file(&format!("{name}.key")),
    )
}

/// Topic and payload.
type Message = (String, Vec<u8>);

/// Who hears everything at a broker.
struct Witness(Arc<Mutex<Vec<Message>>>);

impl Witness {
    /// Subscribes to everything.
    fn at(broker: &Broker) -> Self {
        let options = stowage::mqtt::options(broker, "witness").expect("good files");
        let (client, mut connection) = Client::new(options, 10);
        client.subscribe("#", QoS::AtLeastOnce).expect("room");
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let (of_thread, ready) = (Arc::clone(&heard), Arc::<Mutex<bool>>::default());
        let subscribed = Arc::clone(&ready);
        std::thread::spawn(move || {
            let _alive = client;
            for event in connection.iter().map_while(Result::ok) {
                match event {
                    Event::Incoming(Packet::SubAck(_)) => *lock(&subscribed) = true,
                    Event::Incoming(Packet::Publish(publish)) => {
                        lock(&of_thread).push((publish.topic, publish.payload.to_vec()));
                    }
                    Event::Incoming(_) | Event::Outgoing(_) => {}
                }
            }
        });
        until("the witness to listen", || lock(&ready).then_some(()));
        Self(heard)
    }

    /// The payloads on topics that begin so.
    fn on(&self, topic: &str) -> Vec<Vec<u8>> {
        lock(&self.0).iter().filter(|(of, _)| of.starts_with(topic)).map(|(_, payload)| payload.clone()).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The edge's file with the sorter's broker at `url` and a mirror at `mirror`, each with more lines beside.
fn edge_toml(plant: &Plant, sorter: &str, mirror: &str) -> String {
    let plain = format!("url = \"mqtt://127.0.0.1:{}\"", plant.broker);
    let toml = plant.edge_toml();
    assert!(toml.contains(&plain), "{toml}");
    format!("{}\n[[follower]]\nkind = \"mqtt\"\n{mirror}\nprefix = \"mirror\"\n", toml.replace(&plain, sorter))
}

fn broker(port: u16, ca: Option<PathBuf>) -> Broker {
    let login = ca.is_some().then(|| (USER.to_owned(), Secret::new(PASSWORD.to_owned())));
    let host = if ca.is_some() { "localhost" } else { "127.0.0.1" };
    Broker { host: host.to_owned(), port, login, ca }
}

/// What the mirror has brought, by number; the first of each in order.
fn mirrored(witness: &Witness) -> BTreeMap<u64, Value> {
    let mut facts = BTreeMap::new();
    for payload in witness.on("mirror/facts/") {
        let fact: Value = serde_json::from_slice(&payload).expect("a fact");
        let seq = fact["seq"].as_u64().expect("a number");
        if let Some(before) = facts.insert(seq, fact.clone()) {
            assert_eq!(before, fact, "a repeat is the same");
        } else {
            assert_eq!(facts.len() as u64, seq, "the first of each come in order, without a gap");
        }
    }
    facts
}

#[test]
fn behind_tls_and_a_password_parcels_are_sorted_and_facts_are_mirrored() {
    let plant = Plant::new();
    Authority::new(&plant, "ca").certify(&plant, "broker", false);
    let _broker = plant.broker_of(&listener(&plant, plant.broker, "broker"));
    let url = format!("url = \"mqtts://{USER}:p%40ss%3Aword@localhost:{}\"\nca = \"ca.pem\"", plant.broker);
    plant.write_edge(&edge_toml(&plant, &url, &url));
    let ca = plant.path("ca.pem");
    let witness = Witness::at(&broker(plant.broker, Some(ca.clone())));
    let (port, file) = (plant.broker.to_string(), ca.display().to_string());
    let args = ["--host", "localhost", "--port", &port, "--user", USER, "--password", PASSWORD, "--tls-ca", &file];
    let mut sorter = plant.sorter_with(&args);
    let edge = plant.edge();
    edge.wait_device("sorter-1", true);
    edge.announce("P-1", "DE");
    sorter.tell(&json!({"parcel": {"code": "P-1"}}));
    let delivered = sorter.hear("delivered", |_| true);
    assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!("C1"), &json!("diverted")));
    until("the mirror", || {
        let facts = mirrored(&witness);
        facts.values().any(|fact| fact["kind"] == "command.confirmed").then_some(())
    });
    edge.stop();
    plant.verify();
}

#[test]
fn what_keeps_a_broker_away_is_said_on_the_devices_line_with_the_mend() {
    let plant = Plant::new();
    let ca = Authority::new(&plant, "ca");
    ca.certify(&plant, "broker", false);
    ca.certify(&plant, "old", true);
    Authority::new(&plant, "other");
    let (old, plain, nobody) = (free_port(), free_port(), free_port());
    let listeners = [
        "per_listener_settings true\n".to_owned(),
        listener(&plant, plant.broker, "broker"),
        listener(&plant, old, "old"),
        format!("listener {plain} 127.0.0.1\nallow_anonymous true\n"),
    ];
    let _broker = plant.broker_of(&listeners.concat());
    let good = plant.broker;
    let cases = [
        (
            "wrong-password",
            format!("mqtts://{USER}:wrong@localhost:{good}"),
            "ca",
            "it refuses user \"edge\" with this password: mend them in `url`",
        ),
        (
            "no-password",
            format!("mqtts://localhost:{good}"),
            "ca",
            "it wants a user and a password: give them in `url`",
        ),
        ("wrong-name", format!("mqtts://{USER}:x@127.0.0.1:{good}"), "ca", "its certificate is made for localhost"),
        ("wrong-ca", format!("mqtts://{USER}:x@localhost:{good}"), "other", "comes from an authority that"),
        (
            "expired",
            format!("mqtts://{USER}:x@localhost:{old}"),
            "ca",
            "its certificate expired on 2021-02-03: have a new one made",
        ),
        ("no-tls", format!("mqtts://{USER}:x@localhost:{plain}"), "ca", "does it speak TLS at this port?"),
        ("nobody", format!("mqtt://127.0.0.1:{nobody}"), "", "nobody listens there"),
    ];
    let mut toml = plant.edge_toml();
    for (id, url, ca, _) in &cases {
        let ca = if ca.is_empty() { String::new() } else { format!("ca = \"{ca}.pem\"\n") };
        let chutes = "chutes = [\"C1\", \"C2\", \"C3\", \"C4\", \"HOSPITAL\"]\nhospital = \"HOSPITAL\"\n";
        toml += &format!("\n[[device]]\nid = \"{id}\"\nkind = \"sorter-mqtt\"\nurl = \"{url}\"\n{ca}{chutes}");
    }
    plant.write_edge(&toml);
    let edge = plant.edge();
    for (id, _, _, words) in &cases {
        until(&format!("{id} to say {words:?}"), || {
            let error = edge.device(id)["last_error"].as_str().unwrap_or_default().to_owned();
            assert!(!error.contains("wrong@"), "a password: {error}");
            error.contains(words).then_some(())
        });
        assert_eq!(edge.device(id)["up"], false);
    }
    edge.stop();
}

#[test]
fn a_link_that_never_holds_loses_nothing_and_does_nothing_twice_or_late() {
    const ITEMS: usize = 320;
    const ON_BELT: usize = 40;
    let seed = 20_261_125;
    println!("seed {seed}");
    let plant = Plant::new();
    let _broker = plant.broker();
    let [of_sorter, of_mirror] = [free_port(), free_port()];
    let links = [of_sorter, of_mirror].map(|port| Relay::tcp(port, plant.broker, Borders::None));
    let url = |port: u16| format!("url = \"mqtt://127.0.0.1:{port}\"");
    plant.write_edge(&edge_toml(&plant, &url(of_sorter), &url(of_mirror)));
    let witness = Witness::at(&broker(plant.broker, None));
    let args = ["--to-decision-ms", "4000", "--to-chutes-ms", "100", "--between-chutes-ms", "50"];
    let mut sorter = plant.sorter_with(&[&["--port", &plant.broker.to_string()], &args[..]].concat());
    let edge = plant.edge();
    edge.wait_device("sorter-1", true);
    for (link, seed) in links.iter().zip(seed..) {
        link.flap(seed, 30..=250);
        link.cut();
    }
    for n in 0..ITEMS {
        within(Duration::from_secs(120), "room on the belt", || {
            (n < sorter.told("delivered").len() + ON_BELT).then_some(())
        });
        sorter.tell(&json!({"parcel": {"code": format!("EXP-{n}")}}));
    }
    let delivered = within(Duration::from_secs(120), "the last delivery", || {
        let delivered = sorter.told("delivered");
        (delivered.len() == ITEMS).then_some(delivered)
    });
    let cuts: u64 = links.iter().map(Relay::connections).sum();
    assert!(cuts >= 100, "the links held: {cuts} connections");
    links.iter().for_each(Relay::steady);

    // The faults end: everything must come to its end.
    let ends = until("the end of every item", || {
        let ends = ends(&plant.facts());
        (ends.len() == ITEMS).then_some(ends)
    });
    let in_time = delivered.iter().filter(|delivered| delivered["outcome"] == "diverted").count();
    for delivered in &delivered {
        let (kind, chute) = &ends[&delivered["item"].as_u64().expect("a number")];
        let agrees = match delivered["outcome"].as_str() {
            Some("diverted") => kind == "command.confirmed" && chute == "C4" && delivered["chute"] == "C4",
            _ => kind != "command.confirmed" && delivered["chute"] == "HOSPITAL",
        };
        let life = || plant.facts().into_iter().filter(|fact| fact["what"] == delivered["code"]);
        assert!(agrees, "the facts say {kind} of {delivered}: {:#?}", life().collect::<Vec<_>>());
    }
    assert!(in_time * 100 >= ITEMS * 95, "only {in_time} of {ITEMS} had a link within 4 s");
    let items: BTreeSet<_> = delivered.iter().map(|delivered| delivered["item"].as_u64()).collect();
    assert_eq!(items.len(), ITEMS, "each went once");
    assert_eq!(sorter.told("violation"), [] as [Value; 0], "nothing came late, twice or wrong");
    until("the mirror to show every fact", || (mirrored(&witness).len() == plant.facts().len()).then_some(()));
    edge.stop();
    let facts = plant.facts();
    let said = mirrored(&witness);
    // What became a fact while the edge stopped may wait for its next start.
    assert!(facts.len() - said.len() <= 2, "{} of {} facts are mirrored", said.len(), facts.len());
    assert!(said.values().zip(&facts).all(|(said, fact)| said == fact));
    let messages = witness.on("").len();
    println!("{messages} messages, {cuts} connections, {in_time} of {ITEMS} diverted, {} facts", facts.len());
    assert!(messages >= 3_000, "only {messages} messages");
    plant.verify();
}

/// The one end of each item by the facts: kind and chute, by the sorter's number.
fn ends(facts: &[Value]) -> BTreeMap<u64, (String, Value)> {
    let mut ends = BTreeMap::new();
    for fact in facts {
        let kind = fact["kind"].as_str().unwrap_or_default();
        if ["parcel.missed", "command.confirmed", "command.missed", "command.failed"].contains(&kind) {
            let command = fact["data"]["command"].as_str().unwrap_or_default();
            let item = command.rsplit_once('-').and_then(|(_, item)| item.parse().ok()).expect("it ends in the item");
            let before = ends.insert(item, (kind.to_owned(), fact["data"]["chute"].clone()));
            assert_eq!(before, None, "a second end: {fact}");
        }
    }
    ends
}

/// Publishes `payload` at the plain broker as anyone could.
fn publish(plant: &Plant, topic: &str, payload: &Path, retain: bool) {
    let port = plant.broker.to_string();
    let mut args = vec!["-p", &port, "-q", "1", "-t", topic, "-f", payload.to_str().expect("plain")];
    if retain {
        args.push("-r");
    }
    let done = run("mosquitto_pub", &args, b"");
    assert!(done.status.success(), "mosquitto_pub: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn long_messages_pass_up_to_a_mebibyte_and_a_longer_one_costs_itself_alone() {
    let plant = Plant::new();
    let _broker = plant.broker();
    let _sorter: Program = plant.sorter();
    let edge = plant.edge();
    edge.wait_device("sorter-1", true);
    let topic = "stowage/demo/sorter/sorter-1/scan";
    for (octets, words) in [
        // Read to the end and refused by the contract, not by the connection.
        (11 << 10, "missing field"),
        ((1 << 20) - 100, "65536 are allowed"),
        (3 << 20, "1048560 are allowed"),
    ] {
        let file = plant.path("message");
        let malformed = edge.device("sorter-1")["malformed"].as_u64().expect("a number");
        fs::write(&file, format!("{{\"boot\":1{}}}", " ".repeat(octets - 10))).expect("the folder is ours");
        publish(&plant, topic, &file, false);
        let device = until(&format!("{octets} octets to be told"), || {
            let device = edge.device("sorter-1");
            (device["malformed"].as_u64() > Some(malformed)).then_some(device)
        });
        assert!(device["last_error"].as_str().is_some_and(|error| error.contains(words)), "{device}");
        assert_eq!((&device["up"], &device["downs"]), (&json!(true), &json!(0)), "the connection holds");
    }
    edge.stop();
}
