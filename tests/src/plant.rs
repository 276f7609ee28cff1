//! The demo warehouse in a temporary folder: an edge with its devices and a broker, each a process of its own.

use crate::http::{self, Stream};
use crate::process::{Program, binary, json_lines, run, text};
use crate::until;
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use stowage_core::commit::Chain;
use stowage_sim::device::BoardSettings;
use tempfile::TempDir;

fn demo(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/demo").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn demo_edge() -> String {
    demo("edge.toml")
}

/// The enrolment key of the handheld `scan-N`, as printed in the demo's configuration.
///
/// # Panics
/// There is no such handheld.
pub fn scanner_key(n: u8) -> String {
    let toml = demo_edge();
    let section = toml.split_once(&format!("\nid = \"scan-{n}\"")).map(|(_, rest)| rest.to_owned());
    let key = section.and_then(|rest| Some(rest.split_once("\nkey = \"")?.1.split_once('"')?.0.to_owned()));
    key.unwrap_or_else(|| panic!("config/demo/edge.toml has no key of scan-{n}"))
}

/// The demo's site without smart readers, robots, and the second sorter; its rules but one are for any sorter.
fn site() -> String {
    let site = without(&demo("site.toml"), "# The roadmap of", "# Zones: areas");
    let site = without(&site, "# An antenna that", "# Locations: addressable");
    let (rules, rest) =
        site.split_once("[[sort]]\nsorter = \"sorter-2\"").expect("the second sorter's rules come last");
    let (_, presence) = rest.split_once("[presence]").expect("presence is last");
    let of_first = "sorter = \"sorter-1\"\n";
    let rules = rules.replace(of_first, "").replace("route = \"DE\"", &format!("{of_first}route = \"DE\""));
    format!("{rules}[presence]{presence}")
}

/// The text without what stands from `from` on and before `to`.
fn without(text: &str, from: &str, to: &str) -> String {
    let (before, rest) = text.split_once(from).unwrap_or_else(|| panic!("the demo has no {from:?}"));
    let (_, after) = rest.split_once(to).unwrap_or_else(|| panic!("the demo has no {to:?}"));
    format!("{before}{to}{after}")
}

/// A TCP port that is free now, below those that the system gives to clients.
///
/// # Panics
/// None is free.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at the same time begin far apart.
    let begin = std::process::id().wrapping_mul(61) % 20_000;
    let candidate = |_| 10_000 + ((begin + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % 20_000) as u16;
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..1_000).map(candidate).find(free).expect("there is a free port")
}

/// The demo warehouse, its ports and its folder, which is removed with it.
pub struct Plant {
    folder: TempDir,
    /// Page and API.
    pub page: u16,
    /// Where scanners connect.
    pub scanners: u16,
    /// The reader `gate-1`.
    pub reader: u16,
    /// The MQTT broker.
    pub broker: u16,
}

impl Default for Plant {
    fn default() -> Self {
        Self::new()
    }
}

impl Plant {
    /// A new one, with nothing in its journal. Its site is the demo's with the gates and one sorter alone; its edge has
    /// those and the handhelds, on free ports.
    ///
    /// # Panics
    /// The temporary folder can't be written.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("stowage-test-").tempdir().expect("a temporary folder");
        let [page, scanners, reader, broker] = std::array::from_fn(|_| free_port());
        let plant = Self { folder, page, scanners, reader, broker };
        fs::write(plant.path("site.toml"), site()).expect("the folder is ours");
        plant.write_edge(&plant.edge_toml());
        plant
    }

    /// The edge's configuration: the demo's, on this plant's ports and folder, without followers.
    ///
    /// # Panics
    /// The demo's isn't as it was when this was written.
    pub fn edge_toml(&self) -> String {
        let Self { page, scanners, reader, broker, .. } = self;
        let mut toml = without(&demo_edge(), "# Two antennas over", "# Followers get");
        let mut set = |from: &str, to: &str| {
            assert!(toml.contains(from), "config/demo/edge.toml has no {from}");
            toml = toml.replace(from, to);
        };
        set("data = \".stowage\"", "data = \"data\"");
        set("127.0.0.1:8080", &format!("127.0.0.1:{page}"));
        set("127.0.0.1:7070", &format!("127.0.0.1:{scanners}"));
        set("127.0.0.1:5084", &format!("127.0.0.1:{reader}"));
        set("127.0.0.1:1883", &format!("127.0.0.1:{broker}"));
        set("/tmp/stowage-demo/gate-2", &self.path("gate-2").display().to_string());
        toml.truncate(toml.find("[[follower]]").expect("config/demo/edge.toml has followers last"));
        toml
    }

    /// Writes another configuration of the edge.
    ///
    /// # Panics
    /// The temporary folder can't be written.
    pub fn write_edge(&self, toml: &str) {
        fs::write(self.path("edge.toml"), toml).expect("the folder is ours");
    }

    /// A path in the plant's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The edge's data folder.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Runs `stowage` with `args` to its end; the edge's files are named by `path`.
    pub fn stowage(&self, args: &[&str]) -> std::process::Output {
        run(binary("stowage"), args, b"")
    }

    /// Starts the edge without waiting for anything.
    pub fn start_edge(&self) -> Program {
        let config = self.path("edge.toml").display().to_string();
        Program::start("the edge", binary("stowage"), &["run", "--config", &config])
    }

    /// Starts the edge, and waits until its page answers.
    ///
    /// # Panics
    /// It doesn't start.
    pub fn edge(&self) -> Edge {
        let mut program = self.start_edge();
        until("the edge to start", || {
            assert!(program.runs(), "the edge ended: {}", program.complaints());
            program.events().iter().any(|event| event.get("page").is_some()).then_some(())
        });
        Edge { program, page: SocketAddr::from((Ipv4Addr::LOCALHOST, self.page)) }
    }

    fn device(&self, what: &str, args: &[&str]) -> Program {
        Program::start(what, binary("stowage-sim"), &[&["device"], args].concat())
    }

    /// The reader at the dock door: an LLRP reader on TCP.
    pub fn reader(&self, seed: u64) -> Program {
        self.reader_with(seed, &[])
    }

    /// [`reader`](Self::reader) with more arguments.
    pub fn reader_with(&self, seed: u64, more: &[&str]) -> Program {
        let (listen, seed) = (format!("127.0.0.1:{}", self.reader), seed.to_string());
        let reader = self.device("the reader", &[&["llrp", "--listen", &listen, "--seed", &seed], more].concat());
        reader.hear("listening", |_| true);
        reader
    }

    /// The reader module at the store's door: Mercury on a pseudo-terminal.
    pub fn module(&self, seed: u64) -> Program {
        let (link, seed) = (self.path("gate-2").display().to_string(), seed.to_string());
        let module = self.device("the module", &["mercury", "--link", &link, "--seed", &seed]);
        module.hear("port", |_| true);
        module
    }

    /// A smart reader in `gate-1`'s place, as Impinj's: REST on its port, MQTT as it is told there.
    pub fn impinj(&self, seed: u64, more: &[&str]) -> Program {
        let (listen, seed) = (format!("127.0.0.1:{}", self.reader), seed.to_string());
        let reader = self.device("the reader", &[&["impinj", "--listen", &listen, "--seed", &seed], more].concat());
        reader.hear("listening", |_| true);
        reader
    }

    /// A smart reader in `gate-1`'s place, as Zebra's, at the broker.
    pub fn zebra(&self, seed: u64, more: &[&str]) -> Program {
        let (port, seed) = (self.broker.to_string(), seed.to_string());
        let args = ["zebra", "--port", &port, "--topics", "zebra/gate-1", "--seed", &seed];
        let reader = self.device("the reader", &[&args[..], more].concat());
        reader.hear("client", |client| client == "connected");
        reader
    }

    /// The sorter, at the broker.
    pub fn sorter(&self) -> Program {
        self.sorter_with(&["--port", &self.broker.to_string()])
    }

    /// A sorter with these arguments.
    pub fn sorter_with(&self, args: &[&str]) -> Program {
        self.device("the sorter", &[&["sorter-mqtt"], args].concat())
    }

    /// A robot of KIT's that speaks this version of VDA 5050, on this node, at the broker. It picks and drops quickly.
    pub fn kit_robot(&self, version: &str, serial: &str, node: &str) -> Program {
        let port = self.broker.to_string();
        let args = ["robot", "--port", &port, "--version", version, "--manufacturer", "KIT", "--serial", serial];
        let more = ["--start-node", node, "--pick-ms", "200", "--drop-ms", "200"];
        self.device(serial, &[&args[..], &more[..]].concat())
    }

    /// A robot of VDA 5050 `version` that stands on a node: its code, and where that is in mm. It is fast.
    pub fn robot(&self, version: &str, serial: &str, start: (&str, i32, i32)) -> Program {
        self.robot_that_picks_in(400, version, serial, start)
    }

    /// A [`robot`](Self::robot) that takes so many ms to pick a load up.
    pub fn robot_that_picks_in(
        &self,
        pick_ms: u32,
        version: &str,
        serial: &str,
        (node, x_mm, y_mm): (&str, i32, i32),
    ) -> Program {
        let (port, x_mm, y_mm) = (self.broker.to_string(), x_mm.to_string(), y_mm.to_string());
        let what = format!("the robot {serial}");
        let at = ["--start-node", node, "--x-mm", &x_mm, "--y-mm", &y_mm];
        let pick_ms = pick_ms.to_string();
        let pace = ["--speed-mm-s", "4000", "--pick-ms", &pick_ms, "--drop-ms", "400"];
        let who = ["robot", "--port", &port, "--version", version, "--serial", serial];
        self.device(&what, &[&who[..], &at, &pace].concat())
    }

    /// The handheld `scan-N`.
    pub fn scanner(&self, n: u8) -> Program {
        let (id, store) = (format!("scan-{n}"), self.path(&format!("scan-{n}.store")).display().to_string());
        let (key, edge) = (scanner_key(n), format!("127.0.0.1:{}", self.scanners));
        let args =
            ["scanner", "--device", &id, "--key", &key, "--edge", &edge, "--store", &store, "--worker", "worker-7"];
        self.device(&id, &args)
    }

    /// The handheld `scan-N` as its image on an emulated board, with more arguments; `None` where the image or QEMU is
    /// absent, which is said. A kill is a cut of its power, and so is the end of the thread that has started it.
    ///
    /// # Panics
    /// It doesn't start.
    pub fn board(&self, n: u8, more: &[&str]) -> Option<Program> {
        let args = self.board_args(n, more)?;
        let args: Vec<_> = ["--pdeathsig", "KILL", "--"].into_iter().chain(args.iter().map(String::as_str)).collect();
        let board = Program::start(&format!("scan-{n}'s board"), "setpriv", &args);
        board.hear("on", |_| true);
        Some(board)
    }

    /// The program and arguments of [`board`](Self::board), without what ends it with its parent.
    pub fn board_args(&self, n: u8, more: &[&str]) -> Option<Vec<String>> {
        let board = BoardSettings::built(self.path(&format!("scan-{n}.flash")));
        if let Err(error) = board.check() {
            eprintln!("SKIPPED: {error}");
            return None;
        }
        let (key, edge) = (scanner_key(n), format!("127.0.0.1:{}", self.scanners));
        let sim = binary("stowage-sim").display().to_string();
        let (image, memory) = (board.image.display().to_string(), board.memory.display().to_string());
        let args = [&sim, "device", "scanner", "--device", &format!("scan-{n}"), "--key", &key, "--edge", &edge];
        let worker = ["--store", &memory, "--worker", "worker-7", "--image", &image];
        Some([&args[..], &worker, more].concat().into_iter().map(str::to_owned).collect())
    }

    /// A Mosquitto, once it takes connections.
    ///
    /// # Panics
    /// There is none, or it doesn't start.
    pub fn broker(&self) -> Program {
        self.broker_with("")
    }

    /// [`broker`](Self::broker) with more lines of configuration.
    ///
    /// # Panics
    /// As [`broker`](Self::broker).
    pub fn broker_with(&self, more: &str) -> Program {
        self.broker_of(&format!("listener {} 127.0.0.1\nallow_anonymous true\n{more}", self.broker))
    }

    /// A Mosquitto with these listeners alone, one of them at the port of [`broker`](Self::broker).
    ///
    /// # Panics
    /// As [`broker`](Self::broker).
    pub fn broker_of(&self, listeners: &str) -> Program {
        let config = self.path("mosquitto.conf");
        // As whoever runs the test: the folder is nobody else's.
        fs::write(&config, format!("user root\npersistence false\n{listeners}")).expect("the folder is ours");
        // Debian puts it where only the administrator's path leads.
        let known = ["mosquitto", "/usr/sbin/mosquitto"].into_iter();
        let found = known.into_iter().find(|path| Command::new(path).arg("-h").output().is_ok());
        let path = found.expect("mosquitto is missing: install it, for instance with apt-get install mosquitto");
        let mut broker = Program::start("the broker", path, &["-c", &config.display().to_string()]);
        until("the broker to listen", || {
            assert!(broker.runs(), "the broker ended: {}", broker.complaints());
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.broker)).ok()
        });
        broker
    }

    /// All facts in the journal, by `stowage facts`.
    ///
    /// # Panics
    /// There is no journal.
    pub fn facts(&self) -> Vec<Value> {
        let data = self.data().display().to_string();
        let output = self.stowage(&["facts", "--json", "--data", &data]);
        assert!(output.status.success(), "stowage facts: {}", text(&output.stderr));
        json_lines(&output.stdout)
    }

    /// Facts of `kind`.
    ///
    /// # Panics
    /// There is no journal.
    pub fn facts_of(&self, kind: &str) -> Vec<Value> {
        self.facts().into_iter().filter(|fact| fact["kind"] == kind).collect()
    }

    /// `stowage verify` finds the journal whole; returns what it says.
    ///
    /// # Panics
    /// It finds a fault.
    pub fn verify(&self) -> Value {
        let data = self.data().display().to_string();
        let output = self.stowage(&["verify", "--json", "--data", &data]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "stowage verify: {said}{}", text(&output.stderr));
        json_lines(&output.stdout).pop().expect("it has an answer")
    }
}

/// A running edge.
pub struct Edge {
    /// Its process.
    pub program: Program,
    /// Its page.
    pub page: SocketAddr,
}

impl Edge {
    /// Asks for a document of JSON.
    ///
    /// # Panics
    /// There is no good answer.
    pub fn get(&self, path: &str) -> Value {
        let (status, body) =
            http::request(self.page, "GET", path, "").unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// Posts a document; returns the answer's status.
    ///
    /// # Panics
    /// There is no answer.
    pub fn post(&self, path: &str, body: &Value) -> u16 {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::request(self.page, "POST", path, &body).unwrap_or_else(|error| panic!("{path}: {error}")).0
    }

    /// Posts a document; returns the answer's status and document.
    ///
    /// # Panics
    /// There is no answer, or it is no JSON.
    pub fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = http::request(self.page, "POST", path, &body.to_string());
        let (status, body) = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")))
    }

    /// The picture of the moment.
    pub fn view(&self) -> Value {
        self.get("/api/view")
    }

    /// What the picture says of a device.
    pub fn device(&self, code: &str) -> Value {
        coded(&self.view()["devices"], code)
    }

    /// Waits until a device is up (or down).
    pub fn wait_device(&self, code: &str, up: bool) {
        until(&format!("{code} to be up: {up}"), || (self.device(code)["up"] == up).then_some(()));
    }

    /// Waits until the picture has so many units in the book.
    pub fn wait_units(&self, units: u64) {
        until(&format!("{units} units in the book"), || (self.view()["totals"]["units"] == units).then_some(()));
    }

    /// The page's stream of events, with all facts from now on.
    ///
    /// # Panics
    /// Nobody answers.
    pub fn stream(&self) -> Stream {
        let stream = Stream::open(self.page, "/api/events").expect("the page answers");
        until("the stream to begin", || (!stream.events().is_empty()).then_some(()));
        stream
    }

    /// Announces a parcel.
    ///
    /// # Panics
    /// It is refused.
    pub fn announce(&self, code: &str, route: &str) {
        assert_eq!(self.post("/api/parcels", &json!({ "code": code, "route": route })), 201, "{code}");
    }

    /// Ends it the ordinary way.
    ///
    /// # Panics
    /// It doesn't end well.
    pub fn stop(mut self) {
        self.program.signal(Signal::TERM);
        let status = self.program.ended();
        assert!(status.success(), "the edge ended with {status}");
    }
}

/// A worker with a handheld.
pub struct Handheld {
    /// The handheld.
    pub program: Program,
    /// Intents handed in so far.
    pub sent: u64,
}

impl Handheld {
    /// The handheld `scan-N`, which may keep intents of before: `sent` goes on from them once they are known.
    pub fn start(plant: &Plant, n: u8) -> Self {
        Self { program: plant.scanner(n), sent: 0 }
    }

    /// Presses a key that the screen answers.
    pub fn key(&mut self, name: &str) {
        let mark = self.program.mark();
        self.program.tell(&json!({ "key": name }));
        self.program.hear_after(mark, "show", |_| true);
    }

    /// Goes to a location: scans its label until the handheld knows it, for at first it may have to learn the site.
    pub fn at(&mut self, location: &str) {
        until(&format!("the handheld to know {location}"), || {
            let mark = self.program.mark();
            self.program.tell(&json!({ "scan": location }));
            let shown = self.program.hear_after(mark, "show", |_| true);
            if shown["key"] == "scan_item" {
                return Some(());
            }
            self.key("cancel");
            None
        });
    }

    /// Waits until it knows goods by their barcode, with nothing in hand: what it has not learned before a break of the
    /// link it lacks until the end of that.
    pub fn learn(&mut self, barcode: &str) {
        until(&format!("the handheld to know {barcode}"), || {
            let mark = self.program.mark();
            self.program.tell(&json!({ "scan": barcode }));
            let shown = self.program.hear_after(mark, "show", |_| true);
            self.key("cancel");
            // What it doesn't know it takes for an item without a name.
            (shown["args"][0] != format!("{barcode:0>14}")).then_some(())
        });
    }

    /// Holds it to a tag, and waits for the beep. Returns the beep's level.
    pub fn tag(&mut self, epc: &str) -> Value {
        self.act(&json!({ "tag": epc }))
    }

    /// Scans a barcode, and waits for the beep. Returns the beep's level.
    pub fn scan(&mut self, code: &str) -> Value {
        self.act(&json!({ "scan": code }))
    }

    fn act(&mut self, command: &Value) -> Value {
        let mark = self.program.mark();
        self.program.tell(command);
        self.sent += 1;
        self.program.hear_after(mark, "beep", |_| true)
    }

    /// Waits until the edge has answered everything handed in; returns its verdicts in order of the intents.
    pub fn verdicts(&self) -> Vec<Value> {
        until(&format!("{} verdicts", self.sent), || {
            let mut verdicts = self.program.told("verdict");
            verdicts.sort_by_key(|verdict| verdict["seq"].as_u64());
            verdicts.dedup_by_key(|verdict| verdict["seq"].clone());
            (verdicts.len() as u64 >= self.sent).then_some(verdicts)
        })
    }
}

/// The entry of a list that has this code.
///
/// # Panics
/// There is none.
pub fn coded(list: &Value, code: &str) -> Value {
    let found = list.as_array().and_then(|list| list.iter().find(|entry| entry["code"] == code));
    found.cloned().unwrap_or_else(|| panic!("no {code} in {list}"))
}

/// Puts the last fact of the journal in the folder `data` into the year 2100, as if the clock had been set back since.
///
/// # Panics
/// There is no journal, or it is in use.
pub fn postdate(data: &Path) {
    let journal = Connection::open(data.join("journal.sqlite")).expect("a journal");
    let (epoch, seq, line): (u32, i64, String) = journal
        .query_row("SELECT epoch, seq, line FROM facts ORDER BY epoch DESC, seq DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .expect("a fact");
    let before: Vec<u8> = journal
        .query_row("SELECT hash FROM facts WHERE epoch = ?1 AND seq = ?2", (epoch, seq - 1), |row| row.get(0))
        .unwrap_or_else(|_| vec![0; 32]);
    // In 2100.
    let at = 4_102_444_800_000_000_i64;
    let old = serde_json::from_str::<Value>(&line).expect("a fact")["at"].to_string();
    let line = line.replacen(&format!("\"at\":{old}"), &format!("\"at\":{at}"), 1);
    let hash = Chain::link(&before.try_into().expect("32 octets"), &line);
    journal
        .execute(
            "UPDATE facts SET at = ?1, line = ?2, hash = ?3 WHERE epoch = ?4 AND seq = ?5",
            (at, &line, hash.as_slice(), epoch, seq),
        )
        .expect("changes");
    drop(journal);
}
