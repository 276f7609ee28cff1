//! The demo's files are good; a copy broken in many ways is refused with every fault, each on its line.

use super::*;
use proptest::prelude::*;
use std::fs;
use stowage_core::site::{DeviceIx, ZoneKind};

fn demo(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/demo").join(file)
}

/// A folder with copies of the demo's files, edited; for each edit the text must occur exactly once.
fn copy(edge_edits: &[(&str, &str)], site_edits: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, edits) in [("edge.toml", edge_edits), ("site.toml", site_edits)] {
        let mut text = fs::read_to_string(demo(name)).expect("the demo's file");
        for (old, new) in edits {
            assert_eq!(text.matches(old).count(), 1, "{name}: {old:?}");
            text = text.replace(old, new);
        }
        fs::write(folder.path().join(name), text).expect("writes");
    }
    folder
}

/// The faults as `FILE:LINE KEY FOUND: MESSAGE`, where LINE is compared with the line on which `marks` stand.
fn faults(folder: &Path) -> Vec<(String, String, String)> {
    let Err(faults) = load_edge(&folder.join("edge.toml")) else { panic!("the copy is accepted") };
    let line = |file: &Path, line: Option<usize>| {
        let text = fs::read_to_string(file).expect("it was read before");
        line.map_or_else(String::new, |line| text.lines().nth(line - 1).unwrap_or_default().trim().to_owned())
    };
    let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let all = faults.0.iter().flat_map(|file| file.faults.iter().map(move |fault| (&file.file, fault)));
    all.map(|(file, fault)| (name(file), line(file, fault.line), fault.to_string())).collect()
}

/// One file's text by itself, as a site.
fn site_faults(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("site.toml");
    fs::write(&path, text).expect("writes");
    match load_site(&path) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.0[0].faults.iter().map(|f| format!("{}: {f}", f.line.unwrap_or(0))).collect(),
    }
}

#[test]
fn the_demo_is_good() {
    let edge = load_edge(&demo("edge.toml")).unwrap_or_else(|faults| panic!("{faults}"));
    let ids: Vec<&str> = edge.devices.iter().map(|device| device.id.as_str()).collect();
    let known =
        ["gate-1", "gate-2", "sorter-1", "scan-1", "scan-2", "shelf-1", "bench-1", "sorter-2", "robot-1", "robot-2"];
    assert_eq!(ids, known);
    let site = &edge.site;
    let codes: Vec<&str> = site.devices.iter().map(|device| device.code.as_str()).collect();
    assert_eq!(codes, ids, "the core's devices keep the edge's order");
    let point =
        site.read_point(DeviceIx(1), 2).map(|ix| &site.read_points[usize::from(ix.0)]).expect("gate-2's second");
    assert_eq!((site.zone(point.zone).code.as_str(), point.portal.map(|(_, x_mm)| x_mm)), ("STORE", Some(1000)));
    assert_eq!(site.location("STORE").map(|location| site.zone(location.zone).kind), Some(ZoneKind::Aisle));
    assert_eq!(site.sku_coded("X001LAMP05").map(|sku| sku.code.as_str()), Some("LAMP"));
    assert_eq!(site.sku_of_gtin(site.skus[0].gtin), Some(&site.skus[0]));
    let DeviceKind::Llrp(Llrp { antennas, way, dwell, .. }) = &edge.devices[0].kind else {
        panic!("gate-1 speaks LLRP")
    };
    assert_eq!((antennas[1].power_cdbm, dwell.millis()), (3_000, 200));
    assert_eq!(*way, Way::Dial { host: "127.0.0.1".into(), port: 5084, ca: None });
    assert_eq!(edge.data, demo(".stowage"));
}

/// The faults of a copy of the example with a PLC, edited, as `LINE'S TEXT: FAULT`.
fn plc_faults(edits: &[(&str, &str)]) -> Vec<String> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/sorter-plc");
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(example.join("site.toml"), folder.path().join("site.toml")).expect("the example's site");
    let mut text = fs::read_to_string(example.join("edge.toml")).expect("the example");
    for (old, new) in edits {
        assert_eq!(text.matches(old).count(), 1, "{old:?}");
        text = text.replace(old, new);
    }
    let path = folder.path().join("edge.toml");
    fs::write(&path, &text).expect("writes");
    let Err(faults) = load_edge(&path) else { return Vec::new() };
    let line =
        |fault: &Fault| text.lines().nth(fault.line.unwrap_or(1) - 1).unwrap_or_default().split(['=', ' ']).next();
    let told = |fault: &Fault| format!("{}: {fault}", line(fault).unwrap_or_default());
    faults.0.iter().flat_map(|file| &file.faults).map(told).collect()
}

#[test]
fn the_example_with_a_plc_is_good() {
    assert_eq!(plc_faults(&[]), [] as [String; 0]);
    let edge = load_edge(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/sorter-plc/edge.toml"));
    let edge = edge.unwrap_or_else(|faults| panic!("{faults}"));
    let DeviceKind::SorterModbus(plc) = &edge.devices[0].kind else { panic!("it is a PLC") };
    assert_eq!(plc.chutes.all.len(), 5);
    assert_eq!((plc.numbers[4].code.as_str(), plc.numbers[4].number), ("HOSPITAL", 9));
    assert_eq!((plc.map.ring, plc.map.slots, plc.poll.millis(), plc.response_max.millis()), (200, 64, 50, 200));
}

#[test]
fn every_fault_of_a_plcs_map_is_reported_at_once_on_its_line() {
    let faults = plc_faults(&[
        ("serial:///tmp/stowage-plc?baud=19200&parity=even\"", "serial:///tmp/stowage-plc?baud=1&parity=even\""),
        ("unit = 1 ", "unit = 248 "),
        ("number = 2 }", "number = 1 }"),
        ("{ code = \"C3\", number = 3 }", "{ code = \"C3\" }"),
        ("hospital = \"HOSPITAL\"", "hospital = \"HOSPITLA\""),
        ("edge = 100 ", "edge = 12 "),
        ("ring = 200 ", "ring = 65000 "),
        ("code_octets = 32 ", "code_octets = 31 "),
        ("words = \"high-first\" ", "words = \"big\" "),
    ]);
    let expected = [
        "url: device[0].url \"serial:///tmp/stowage-plc?baud=1&parity=even\": baud rate out of range: give 1200 to 921600",
        ": device[0].chutes[1].number 1: is given twice: first on line 24",
        ": device[0].chutes[2].number: is missing: give the PLC's number for it, from 1",
        "hospital: device[0].hospital \"HOSPITLA\": no such chute of this sorter; did you mean \"HOSPITAL\"?",
        "edge: device[0].map.edge 12: its registers 12 to 16 overlap those of status, 0 to 12: give 13 or more, or move status",
        "ring: device[0].map.ring 65000: its 1856 registers from 65000 would end at 66855, the last there is is 65535: give 63680 or less",
        "code_octets: device[0].map.code_octets 31: is odd, a register has two octets: give an even number",
        "words: device[0].map.words \"big\": not known: expected \"high-first\" or \"low-first\"",
    ];
    assert_eq!(faults, expected);
    let unit = plc_faults(&[("unit = 1 ", "unit = 248 ")]);
    assert_eq!(unit, ["unit: device[0].unit 248: out of range: give 1 to 247"]);
    let missing = plc_faults(&[("edge = 100 ", "#"), ("ring = 200 ", "#")]);
    assert_eq!(
        missing,
        [
            "[device.map]: device[0].map.edge: is missing: give the first register of the edge's own block",
            "[device.map]: device[0].map.ring: is missing: give the first register of the ring of events",
        ]
    );
}

#[test]
fn every_fault_is_reported_at_once_on_its_line() {
    let folder = copy(
        &[
            ("listen = \"127.0.0.1:8080\"", "listen = \"localhost:8080\""),
            ("llrp://127.0.0.1:5084", "llrp://10.0.0.300"),
            ("dwell_ms = 200 ", "dwel_ms = 200 "),
            ("population = 64", "population = \"many\""),
            ("    { port = 2, power_dbm = 30 },", "    { port = 1, power_dbm = 99 },"),
            ("antennas = [1, 2] ", "antennas = [1, 17] "),
            ("region = \"eu3\"", "region = \"eu9\""),
            ("hospital = \"HOSPITAL\"", "hospital = \"HOSPITL\""),
            ("6F6E6C7921\"\n\n[[device]]", "6F6E6C79\"\n\n[[device]]"),
            ("prefix = \"stowage/demo\"", "prefix = \"stowage/#\""),
        ],
        &[
            ("time_zone = \"Europe/Berlin\"", "time_zone = \"Europe/Berlni\""),
            ("between = [\"STORE\", \"PACK\"]", "between = [\"STORES\", \"PACK\"]"),
            ("kind = \"packing\"", "kind = \"packin\""),
            ("\"A-01-1\", \"A-01-2\"", "\"A-01-1\", \"A-01-1\""),
            ("code = \"RETURNS\"", "code = \"STORE\""),
            ("gtin = \"9521321001015\"", "gtin = \"9521321001016\""),
            ("interior = 600", "interior = 100"),
            ("chutes = [\"C1\", \"C2\"]", "chutes = [\"C1\", \"C9\"]"),
        ],
    );
    let faults = faults(folder.path());
    let expected: &[(&str, &str, &str)] = &[
        (
            "edge.toml",
            "listen = ",
            "listen \"localhost:8080\": not an IP address with a port: give one such as 127.0.0.1:8080",
        ),
        (
            "edge.toml",
            "url = \"llrp://10.0.0.300\"",
            "device[0].url \"llrp://10.0.0.300\": not an IP address or host name; LLRP readers listen on port 5084",
        ),
        (
            "edge.toml",
            "{ port = 1, power_dbm = 99 },",
            "device[0].antennas[1].power_dbm 99: out of range: give 0 to 33 dBm",
        ),
        ("edge.toml", "{ port = 1, power_dbm = 99 },", "device[0].antennas[1].port: port 1 is given twice"),
        ("edge.toml", "dwel_ms = 200", "device[0].dwel_ms: unknown key; did you mean \"dwell_ms\"?"),
        ("edge.toml", "population = ", "device[0].population: is text: give a whole number"),
        ("edge.toml", "region = ", "device[1].region \"eu9\": not known here; did you mean \"eu\"?"),
        ("edge.toml", "antennas = [1, 17]", "device[1].antennas[1] 17: out of range: give 1 to 16"),
        (
            "edge.toml",
            "hospital = ",
            "device[2].hospital \"HOSPITL\": no such chute of this sorter; did you mean \"HOSPITAL\"?",
        ),
        ("edge.toml", "key = ", "device[3].key: not a key: give the enrolment key, 64 hex digits"),
        (
            "edge.toml",
            "prefix = ",
            "follower[1].prefix \"stowage/#\": not a topic's beginning: give levels such as stowage/demo, without # and +",
        ),
        (
            "site.toml",
            "time_zone = ",
            "time_zone \"Europe/Berlni\": not an IANA time zone; did you mean \"Europe/Berlin\"?",
        ),
        (
            "site.toml",
            "kind = \"packin\"",
            "zone[3].kind \"packin\": not known: expected one of \"outside\", \"dock\", \"receiving\", \"aisle\", \"staging\", \"conveyor\", \"chute\", \"quarantine\", \"packing\"",
        ),
        (
            "site.toml",
            "{ between = [\"STORES\", \"PACK\"] }",
            "passage[0].between[0] \"STORES\": no such zone; did you mean \"STORE\"?",
        ),
        ("site.toml", "\"A-01-1\", \"A-01-1\"", "location[1].codes[1] \"A-01-1\": is given twice: first on line "),
        ("site.toml", "code = \"STORE\"", "location[3].code \"STORE\": is a zone's code"),
        (
            "site.toml",
            "gtin = \"9521321001016\"",
            "sku[0].gtin \"9521321001016\": check digit is wrong: the other digits give 5",
        ),
        (
            "site.toml",
            "chutes = [\"C1\", \"C9\"]",
            "sort[1].chutes[1] \"C9\": sorter-1 has no such chute; did you mean \"C1\"?",
        ),
        ("site.toml", "interior = 100", "presence.interior 100: out of range: give 500 to 999"),
    ];
    let shown = faults.iter().map(|(file, line, fault)| format!("{file} | {line} | {fault}\n")).collect::<String>();
    for (file, line, fault) in expected {
        let hit = |(f, l, t): &&(String, String, String)| f == file && l.starts_with(line) && t.starts_with(fault);
        assert!(faults.iter().any(|found| hit(&found)), "missing: {file} | {line} | {fault}\nin:\n{shown}");
    }
    // The second antennas are gone, and the site still has read points for them.
    let consequences = ["gate-1 has no such antenna; it has 1", "gate-2 has no such antenna; it has 1"];
    let others: Vec<_> = faults
        .iter()
        .filter(|(f, l, t)| {
            !expected.iter().any(|(file, line, fault)| f == file && l.starts_with(line) && t.starts_with(fault))
        })
        .filter(|(_, _, fault)| !consequences.iter().any(|consequence| fault.ends_with(consequence)))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn no_secret_is_ever_shown() {
    let folder = copy(
        &[
            ("url = \"mqtt://127.0.0.1:1883\" # mqtt", "url = \"mqtt://edge:hunter2@bad host\" # mqtt"),
            ("key = \"5354303141474520444D4F206B657920666F72207363616E2D31", "key = \"hunter2"),
            ("url = \"mqtt://127.0.0.1:1883\"\nprefix", "url = \"edge:hunter2@broker\"\nprefix"),
        ],
        &[],
    );
    let shown = load_edge(&folder.path().join("edge.toml")).map(|_| ()).expect_err("three faults").to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("\"mqtt://…@bad host\""), "{shown}");
    let folder = copy(&[("key = \"5354303141474520444D4F206B657920666F72207363616E2D31", "key = hunter2 \"")], &[]);
    let shown = load_edge(&folder.path().join("edge.toml")).map(|_| ()).expect_err("broken syntax").to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    let edge = load_edge(&demo("edge.toml")).expect("good");
    assert!(!format!("{edge:?}").contains("83, 84"), "a key's octets");
}

#[test]
fn a_broker_with_tls_needs_to_be_vouched_for() {
    let faults = |device: &str, follower: &str| {
        let folder = copy(
            &[
                ("url = \"mqtt://127.0.0.1:1883\" # mqtt", &format!("{device} # mqtt")),
                ("url = \"mqtt://127.0.0.1:1883\"\nprefix", &format!("{follower}\nprefix")),
            ],
            &[],
        );
        std::fs::write(folder.path().join("empty.pem"), "no certificate").expect("the folder is ours");
        load_edge(&folder.path().join("edge.toml")).map(|_| ()).expect_err("two faults").to_string()
    };
    let said = faults("url = \"mqtts://edge:hunter2@broker\"", "url = \"mqtt://broker\"\nca = \"ca.pem\"");
    assert!(said.contains("device[2].url \"mqtts://…@broker\": wants to know whom to trust: give `ca`"), "{said}");
    assert!(said.contains("follower[1].ca \"ca.pem\": is for TLS: give mqtts:// as url"), "{said}");
    let said =
        faults("url = \"mqtts://broker\"\nca = \"missing.pem\"", "url = \"mqtts://broker:8884\"\nca = \"empty.pem\"");
    assert!(said.contains("device[2].ca \"missing.pem\": can't be read: No such file"), "{said}");
    assert!(said.contains("follower[1].ca \"empty.pem\": has no certificate in it"), "{said}");
}

#[test]
fn broken_syntax_ends_a_file_with_line_and_column() {
    let folder = copy(&[("kind = \"edge\"", "kind = \"edge")], &[]);
    let Err(faults) = load_edge(&folder.path().join("edge.toml")) else { panic!("accepted") };
    let fault = &faults.0[0].faults[0];
    assert_eq!((faults.0.len(), faults.0[0].faults.len()), (1, 1), "{faults}");
    let text = std::fs::read_to_string(folder.path().join("edge.toml")).expect("reads");
    let line = text.lines().position(|line| line.starts_with("kind = ")).map(|at| at + 1);
    assert!(fault.line == line && fault.column.is_some() && fault.message.starts_with("not TOML: "), "{faults}");
}

#[test]
fn an_antenna_that_looks_nowhere_is_a_fault() {
    let folder = copy(
        &[(
            "    { port = 2, power_dbm = 30 },",
            "    { port = 2, power_dbm = 30 },\n    { port = 3, power_dbm = 30 },",
        )],
        &[],
    );
    let faults = faults(folder.path());
    let [(file, _, fault)] = &faults[..] else { panic!("{faults:?}") };
    assert_eq!(file, "edge.toml");
    assert_eq!(
        fault,
        "device[0].antennas[2].port: no read point of site.toml has gate-1's antenna 3: add one there, or take it out here"
    );
}

#[test]
fn a_file_that_is_missing_or_of_another_kind_says_so() {
    let folder = copy(&[("site = \"site.toml\"", "site = \"gone.toml\"")], &[]);
    let shown = load_edge(&folder.path().join("edge.toml")).map(|_| ()).expect_err("no site").to_string();
    assert!(shown.contains("gone.toml: 1 fault, nothing started\n  can't be read: "), "{shown}");
    let shown = load_edge(&demo("site.toml")).map(|_| ()).expect_err("a site").to_string();
    assert!(shown.contains("kind \"site\": not known here; give one of edge"), "{shown}");
    assert_eq!(site_faults("name = \"x\"\n"), ["1: kind: is missing: give \"site\""]);
}

#[test]
fn a_site_refers_only_to_what_it_has() {
    let base = "kind = \"site\"\ncode = \"s\"\nname = \"S\"\ntime_zone = \"UTC\"\n\
        [[zone]]\ncode = \"A\"\nkind = \"aisle\"\narea = [0, 0, 1, 1]\n[[zone]]\ncode = \"B\"\nkind = \"dock\"\narea = [0, 0, 9, 9]\n";
    assert_eq!(site_faults(base), [""; 0]);
    // Each addition begins on line 13.
    for (addition, expected) in [
        (
            "[[zone]]\ncode = \"A\"\nkind = \"dock\"\narea = [0, 0, 0, 1]",
            vec![
                "14: zone[2].code \"A\": is given twice: first on line 6",
                "16: zone[2].area: [0, 0, 0, 1] out of range",
            ],
        ),
        ("[[passage]]\nbetween = [\"A\", \"A\"]", vec!["14: passage[0].between[1] \"A\": is the same zone twice"]),
        (
            "[[portal]]\ncode = \"P\"\nouter = \"A\"\ninner = \"A\"",
            vec![
                "13: portal[0]: no antenna looks to the outer side",
                "13: portal[0]: no antenna looks to the inner side",
                "16: portal[0].inner \"A\": is the outer zone as well",
            ],
        ),
        (
            "[[read_point]]\ndevice = \"r\"\nantenna = 1\nzone = \"A\"\nx_mm = 5",
            vec!["17: read_point[0].x_mm 5: has no portal"],
        ),
        (
            "[[portal]]\ncode = \"P\"\nouter = \"A\"\ninner = \"B\"\n[[read_point]]\ndevice = \"r\"\nantenna = 1\nzone = \"B\"\nportal = \"P\"\nx_mm = -5\n[[read_point]]\ndevice = \"r\"\nantenna = 1\nzone = \"B\"\nportal = \"P\"\nx_mm = 5",
            vec![
                "20: read_point[0].zone \"B\": x_mm -5 looks to the outer side, which is A",
                "25: read_point[1].antenna 1: this antenna has a read point already",
            ],
        ),
        ("[[location]]\nzone = \"A\"", vec!["13: location[0].code: is missing"]),
        ("[[location]]\ncode = \"X\"\ncodes = [\"Y\"]\nzone = \"A\"", vec!["13: location[0].code: has both"]),
        (
            "[[sku]]\ncode = \"A\"\nname = \"a\"\ngtin = \"95200002\"\naliases = [\"A\"]",
            vec![
                "14: sku[0].code \"A\": is a location's code",
                "17: sku[0].aliases[0] \"A\": is a location's code",
                "17: sku[0].aliases[0] \"A\": is given twice",
            ],
        ),
        (
            "[[sku]]\ncode = \"K\"\nname = \"k\"\ngtin = 95200002",
            vec!["16: sku[0].gtin: is a whole number: give text in quotes"],
        ),
        (
            "[[tag]]\ncompany_prefix = \"95x\"\nunknown = \"register\"",
            vec!["14: tag[0].company_prefix \"95x\": not a company prefix"],
        ),
        (
            "[[policy]]\nfrom = \"C\"\naction = \"confrim\"",
            vec![
                "14: policy[0].from \"C\": no such zone; did you mean \"A\"?",
                "15: policy[0].action \"confrim\": not known: expected one of",
            ],
        ),
        ("[[sort]]\nroute = \"DE\"", vec!["13: sort[0].chutes: is missing"]),
    ] {
        let found = site_faults(&format!("{base}{addition}\n"));
        let agree = found.len() == expected.len() && found.iter().zip(&expected).all(|(f, e)| f.starts_with(e));
        assert!(agree, "{addition}\nfound: {found:#?}\nexpected: {expected:#?}");
    }
}

#[test]
fn checking_a_site_beside_its_edge_reports_it_once() {
    let report = check(&[demo("edge.toml"), demo("site.toml")]);
    let kinds: Vec<_> = report.0.iter().map(|checked| checked.kind).collect();
    assert_eq!((kinds, report.is_good()), (vec![Some(Kind::Edge), Some(Kind::Site)], true));
    let alone = check(&[demo("site.toml")]);
    assert_eq!((alone.0.len(), alone.is_good()), (1, true), "{alone:?}");
}

fn scenario(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/scenarios").join(file)
}

#[test]
fn the_scenarios_are_good_and_are_checked_with_their_edge_and_its_site() {
    let faults = load_scenario(&scenario("faults.toml")).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((faults.name.as_str(), faults.duration.micros(), faults.load.together), ("faults", 3_600_000_000, 4));
    assert!(faults.faults.kills > 0 && faults.edge.devices.len() == 10);
    let quiet = load_scenario(&scenario("demo.toml")).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((quiet.name.as_str(), quiet.faults), ("demo", FaultRates::default()));
    let report = check(&[demo("edge.toml"), scenario("demo.toml"), demo("site.toml")]);
    let kinds: Vec<_> = report.0.iter().filter_map(|checked| checked.kind).collect();
    assert_eq!((kinds, report.is_good()), (vec![Kind::Scenario, Kind::Edge, Kind::Site], true), "each file once");
}

#[test]
fn every_fault_of_a_scenario_is_reported_at_once() {
    let folder = copy(&[("127.0.0.1:8080", "localhost:8080")], &[]);
    let path = folder.path().join("scenario.toml");
    let text = "kind = \"scenario\"\nedge = \"edge.toml\"\nduration_s = 0\nlatency_ms = 21\n\
                [load]\nparcels_unread_permille = 1001\n[faults]\nkill_per_hour = 3\ncut_max_s = \"long\"\n";
    fs::write(&path, text).expect("writes");
    let Err(Faults(files)) = load_scenario(&path) else { panic!("it is accepted") };
    let faults = |at: usize| files[at].faults.iter().map(|fault| (fault.line, fault.key.as_str())).collect::<Vec<_>>();
    let wanted = [
        (Some(3), "duration_s"),
        (Some(4), "latency_ms"),
        (Some(6), "load.parcels_unread_permille"),
        (Some(8), "faults.kill_per_hour"),
        (Some(9), "faults.cut_max_s"),
    ];
    assert_eq!(faults(0), wanted);
    assert_eq!(faults(1).len(), 1, "and that of its edge");
    let Err(nothing) = load_scenario(&demo("edge.toml")) else { panic!("an edge is no scenario") };
    assert!(nothing.to_string().contains("kind"), "{nothing}");
}

#[test]
fn a_portal_to_an_unknown_zone_is_one_fault() {
    let folder = copy(&[], &[("inner = \"STORE\"", "inner = \"STOER\"")]);
    let faults = faults(folder.path());
    let [(_, line, fault)] = &faults[..] else { panic!("{faults:?}") };
    assert_eq!(line, "inner = \"STOER\"");
    assert!(fault.ends_with("no such zone; did you mean \"STORE\"?"), "{fault}");
}

#[test]
fn a_device_of_unknown_kind_is_one_fault() {
    for old in ["kind = \"llrp\"", "kind = \"sorter-mqtt\""] {
        let folder = copy(&[(old, "kind = \"crane\"")], &[]);
        let faults = faults(folder.path());
        let [(_, line, fault)] = &faults[..] else { panic!("{faults:?}") };
        assert_eq!(line, "kind = \"crane\"");
        assert!(
            fault.ends_with(
                "not known here; give one of llrp, mercury, impinj-iot, zebra-iotc, sorter-mqtt, sorter-modbus, scanner, robot"
            ),
            "{fault}"
        );
    }
}

/// A ring of 4 m a side between chute C1 and the dock, and a robot on it.
const ROADMAP: &str = r#"
[[node]]
code = "N1"
x_mm = 0
y_mm = 0
station = "C1"
[[node]]
code = "N2"
x_mm = 4000
y_mm = 0
parking = true
[[node]]
code = "N3"
x_mm = 4000
y_mm = 4000
station = "DOCK"
[[edge]]
between = ["N1", "N2"]
[[edge]]
between = ["N2", "N3"]
[[edge]]
between = ["N3", "N1"]
one_way = true
[[transport]]
from = "C1"
to = "DOCK"
when = "full"
"#;

const ROBOT: &str = r#"
[[device]]
id = "amr-1"
kind = "robot"
url = "mqtt://127.0.0.1:1883"
vda5050 = "2.1"
manufacturer = "acme"
serial = "1"
start = "N2"
"#;

/// The demo with this robot and this roadmap in place of its own, edited.
fn with_robot(edge: &[(&str, &str)], site: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = copy(&[], &[]);
    let own = [("# Robots bring", "# Followers get"), ("# The roadmap of", "# Zones: areas")];
    let files = [("edge.toml", ROBOT, edge), ("site.toml", ROADMAP, site)];
    for ((name, more, edits), (from, to)) in files.into_iter().zip(own) {
        let text = fs::read_to_string(demo(name)).expect("the demo's file");
        let (before, rest) = text.split_once(from).expect("the demo has some");
        let (_, after) = rest.split_once(to).expect("something follows");
        let mut text = format!("{before}#{after}{more}");
        for (old, new) in edits {
            assert!(text.contains(old), "{name}: {old:?}");
            text = text.replacen(old, new, 1);
        }
        fs::write(folder.path().join(name), text).expect("writes");
    }
    folder
}

#[test]
fn a_robot_drives_on_the_sites_roadmap() {
    let folder = with_robot(&[], &[]);
    let edge = load_edge(&folder.path().join("edge.toml")).unwrap_or_else(|faults| panic!("{faults}"));
    let map = &edge.site.roadmap;
    let node = |code| map.coded(code).expect("a node");
    assert_eq!((map.station("C1"), map.station("DOCK")), (Some(node("N1")), Some(node("N3"))));
    assert_eq!(map.ways(node("N1")).len(), 1, "from N3 it is one-way");
    let robot = edge.site.devices.last().expect("a device");
    assert_eq!(robot.kind, stowage_core::site::DeviceKind::Robot { start: Some(node("N2")) });
    let Some(DeviceKind::Robot(Robot { interface, map, .. })) = edge.devices.last().map(|device| &device.kind) else {
        panic!("a robot")
    };
    assert_eq!((interface.as_str(), map.as_str()), ("uagv", "floor"));
    assert_eq!(edge.site.transports[0].when, stowage_core::site::TransportWhen::Full);
}

#[test]
fn faults_of_a_roadmap_name_the_line_and_the_mend() {
    let refused = |edge: &[(&str, &str)], site: &[(&str, &str)], expected: &[(&str, &str)]| {
        let found = faults(with_robot(edge, site).path());
        let found: Vec<_> = found.iter().map(|(_, line, fault)| (line.as_str(), fault.as_str())).collect();
        assert_eq!(found, expected);
    };
    let site = |old, new, expected: &[(&str, &str)]| refused(&[], &[(old, new)], expected);
    site(
        "between = [\"N2\", \"N3\"]",
        "between = [\"N2\", \"N4\"]",
        &[("between = [\"N2\", \"N4\"]", "edge[1].between[1] \"N4\": no such node; did you mean \"N1\"?")],
    );
    site(
        "between = [\"N2\", \"N3\"]",
        "between = [\"N3\", \"N2\"]\none_way = true",
        &[("[[node]]", "node[2]: no way leads from N1 to N3: add an edge")],
    );
    site(
        "[[edge]]\nbetween = [\"N3\"",
        "[[node]]\ncode = \"N4\"\nx_mm = 8000\ny_mm = 0\n[[edge]]\nbetween = [\"N3\"",
        &[("[[node]]", "node[3]: no edge joins N4 to N1: add one, or take it out")],
    );
    site(
        "x_mm = 4000\ny_mm = 0",
        "x_mm = 600\ny_mm = 0",
        &[("[[node]]", "node[1]: N2 is 600 mm from N1: robots there would touch; 1000 mm are needed")],
    );
    site(
        "x_mm = 4000\ny_mm = 0",
        "x_mm = 2000\ny_mm = 2200",
        &[("[[edge]]", "edge[2]: node N2 lies less than 1000 mm beside edge N3 – N1: let the edge end there")],
    );
    site(
        "[[edge]]\nbetween = [\"N3\"",
        "[[node]]\ncode = \"N4\"\nx_mm = 6000\ny_mm = 2000\n[[edge]]\nbetween = [\"N1\", \"N4\"]\n[[edge]]\nbetween = [\"N3\"",
        &[("[[edge]]", "edge[2]: N1 – N4 crosses edge N2 – N3: robots could meet there; give the crossing a node")],
    );
    site(
        "station = \"DOCK\"",
        "station = \"DOCKS\"",
        &[
            ("station = \"DOCKS\"", "node[2].station \"DOCKS\": no such location; 20 are given, none like it"),
            (
                "to = \"DOCK\"",
                "transport[0].to \"DOCK\": is no station: give a node `station` with this location's code",
            ),
        ],
    );
    site(
        "from = \"C1\"\nto = \"DOCK\"",
        "from = \"DOCK\"\nto = \"C1\"",
        &[(
            "from = \"DOCK\"",
            "transport[0].from \"DOCK\": is no sorter's chute: nobody tells that it is full; give `parcels` instead of `when`",
        )],
    );
    site(
        "when = \"full\"",
        "",
        &[(
            "[[transport]]",
            "transport[0]: needs one of: when = \"full\" (a chute that tells that it is full), parcels = NUMBER",
        )],
    );
    let edge = |old, new, expected: &[(&str, &str)]| refused(&[(old, new)], &[], expected);
    edge(
        "start = \"N2\"",
        "start = \"N9\"",
        &[("start = \"N9\"", "device[8].start \"N9\": no node of site.toml; did you mean \"N1\"?")],
    );
    edge(
        "serial = \"1\"",
        "serial = \"a/1\"",
        &[(
            "serial = \"a/1\"",
            "device[8].serial \"a/1\": not fit for a topic: 1 or more characters, none of '/', '+', '#' and '$'",
        )],
    );
    edge(
        "vda5050 = \"2.1\"",
        "vda5050 = \"2.2\"",
        &[("vda5050 = \"2.2\"", "device[8].vda5050 \"2.2\": not known here; did you mean \"2.0\"?")],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_damage_to_a_file_makes_us_panic(cut in any::<prop::sample::Index>(), len in 0_usize..40, put in "[ -~\n]{0,6}") {
        for name in ["edge.toml", "site.toml"] {
            let folder = copy(&[], &[]);
            let path = folder.path().join(name);
            let mut text = fs::read_to_string(&path).expect("the copy");
            let start = (0..=cut.index(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            let end = (start + len..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
            text.replace_range(start..end, &put);
            fs::write(&path, text).expect("writes");
            if let Err(faults) = load_edge(&folder.path().join("edge.toml")) {
                prop_assert!(faults.to_string().contains(" fault"));
            }
        }
    }
}

fn smart(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/smart-readers").join(file)
}

#[test]
fn the_smart_readers_example_is_good() {
    let edge = load_edge(&smart("edge.toml")).unwrap_or_else(|faults| panic!("{faults}"));
    let DeviceKind::ImpinjIot(impinj) = &edge.devices[0].kind else { panic!("gate-1 is Impinj's") };
    assert_eq!((impinj.control.port, impinj.control.login.0.as_str(), impinj.turn.millis()), (8070, "root", 250));
    assert_eq!((&impinj.reader_broker, impinj.reader_tls, &impinj.preset), (&impinj.broker, false, &None));
    let DeviceKind::ZebraIotc(zebra) = &edge.devices[1].kind else { panic!("gate-2 is Zebra's") };
    assert_eq!(
        (zebra.topics.data.as_str(), zebra.topics.will.as_deref()),
        ("zebra/gate-2/data", Some("zebra/gate-2/will"))
    );
    let site = &edge.site;
    assert!(site.devices[..2].iter().all(|device| device.kind == stowage_core::site::DeviceKind::Reader));
}

#[test]
fn faults_of_smart_readers_are_reported_at_once_on_their_lines() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(smart("site.toml"), folder.path().join("site.toml")).expect("copies");
    let mut text = fs::read_to_string(smart("edge.toml")).expect("the example's file");
    for (old, new) in [
        ("control = \"http://root:impinj@127.0.0.1:8070\"", "control = \"https://root:impinj@10.0.0.7\""),
        ("topics = \"zebra/gate-2\" ", "data = \"zebra/+/data\" "),
        ("rf_mode = 1002", "rf_mode = -1"),
        ("batch_ms = 0 ", "batch_ms = 70000 "),
        ("# preset = \"dock\"", "preset = \"a dock\""),
    ] {
        assert_eq!(text.matches(old).count(), 1, "{old:?}");
        text = text.replace(old, new);
    }
    fs::write(folder.path().join("edge.toml"), text).expect("writes");
    let found = faults(folder.path());
    let needed =
        |key: &str| format!("device[1].{key}: is missing: give the topic, or `topics` as what all of them lie below");
    let expected = [
        ("id = \"gate-1\"", "device[0].reader_broker: is missing: the reader can't reach the broker at this machine's own address; give mqtt://HOST with a name or address that it can reach".to_owned()),
        ("control = ", "device[0].control \"https://…@10.0.0.7\": wants to know whom to trust: give `control_ca`, the PEM file with the reader's certificate".to_owned()),
        ("rf_mode = ", "device[0].rf_mode -1: out of range: give 0 to 9999".to_owned()),
        ("preset = ", "device[0].preset \"a dock\": not a preset's id: use letters, digits, '-', '_' and '.'".to_owned()),
        ("", needed("control_command")),
        ("", needed("control_response")),
        ("", needed("management_command")),
        ("", needed("management_response")),
        ("", needed("events")),
        ("data = ", "device[1].data \"zebra/+/data\": not a topic: give levels such as readers/gate-3, without # and +".to_owned()),
        ("batch_ms = ", "device[1].batch_ms 70000: out of range: give 0 to 60000".to_owned()),
    ];
    for (line, fault) in &expected {
        let same = |(_, found_line, found): &&(String, String, String)| {
            found == fault && (found_line.starts_with(line) || line.starts_with("id"))
        };
        assert!(found.iter().any(|found| same(&found)), "{fault}\nfound: {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

/// The demo with its fixed reader's url replaced by `keys`; what is found wrong with it.
fn llrp_faults(keys: &str) -> Result<Llrp, Vec<String>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(demo("site.toml"), folder.path().join("site.toml")).expect("copies");
    let text = fs::read_to_string(demo("edge.toml")).expect("the demo's file");
    let url = "url = \"llrp://127.0.0.1:5084\"";
    assert_eq!(text.matches(url).count(), 1);
    fs::write(folder.path().join("edge.toml"), text.replace(url, &format!("{keys} "))).expect("writes");
    match load_edge(&folder.path().join("edge.toml")) {
        Err(faults) => Err(faults.0.iter().flat_map(|file| &file.faults).map(ToString::to_string).collect()),
        Ok(edge) => match &edge.devices[0].kind {
            DeviceKind::Llrp(llrp) => Ok(llrp.clone()),
            other => panic!("{other:?}"),
        },
    }
}

#[test]
fn a_fixed_reader_may_dial_be_gated_and_be_held_to_its_region() {
    let keys = "listen = \"127.0.0.1:5084\"\nmode = 2\nregion = \"etsi\"\nlamp = 1\ngate = { input = 2, level = \"low\", linger_ms = 0 }\n#";
    let llrp = llrp_faults(keys).expect("good");
    assert_eq!(llrp.way, Way::Listen("127.0.0.1:5084".parse().expect("an address")));
    assert_eq!((llrp.mode, llrp.region, llrp.lamp), (Some(2), Some(Region::Etsi), Some(1)));
    assert_eq!(llrp.gate.map(|gate| (gate.input, gate.high, gate.linger.millis())), Some((2, false, 0)));
    let faults = |keys: &str| llrp_faults(keys).expect_err("refused");
    assert!(faults("url = \"llrps://10.0.0.3\"")[0].contains("give the PEM file with the reader's certificate"));
    assert!(faults("url = \"llrp://10.0.0.3\"\nca = \"a.pem\"")[0].contains("give llrps:// as url"));
    assert!(faults("url = \"llrps://10.0.0.3\"\nca = \"none.pem\"")[0].contains("can't be read"));
    assert!(faults("#")[0].contains("or `listen` where the reader dials"));
    let all = faults(
        "url = \"llrp://a\"\nlisten = \"127.0.0.1:1\"\nmode = -1\nregion = \"us\"\nlamp = 0\ngate = { level = \"up\" }\n#",
    );
    for part in ["beside `listen`", "mode", "region", "lamp", "gate.input", "gate.level"] {
        assert!(all.iter().any(|fault| fault.contains(part)), "{part}: {all:#?}");
    }
}

/// Devices and followers that are where the demo's are, or where another of these is.
const TWINS: &str = r#"
[[device]]
id = "twin-llrp"
kind = "llrp"
url = "llrp://127.0.0.1"
antennas = [{ port = 1, power_dbm = 30 }]
[[device]]
id = "twin-dialling"
kind = "llrp"
listen = "127.0.0.1:8080"
antennas = [{ port = 1, power_dbm = 30 }]
[[device]]
id = "first-serial"
kind = "mercury"
url = "serial:///dev/null"
region = "eu3"
antennas = [1]
power_dbm = 27
[[device]]
id = "twin-serial"
kind = "sorter-modbus"
url = "serial:///dev/../dev/null?baud=9600"
unit = 2
[[device]]
id = "first-plc"
kind = "sorter-modbus"
url = "modbus://10.0.0.9"
[[device]]
id = "other-plc"
kind = "sorter-modbus"
url = "modbus://10.0.0.9"
unit = 2
[[device]]
id = "twin-plc"
kind = "sorter-modbus"
url = "modbus://10.0.0.9:502"
unit = 1
[[device]]
id = "twin-impinj"
kind = "impinj-iot"
url = "mqtt://127.0.0.1:1883"
control = "http://root:hunter2@127.0.0.1:8070"
antennas = [{ port = 1, power_dbm = 30 }]
[[device]]
id = "twin-zebra"
kind = "zebra-iotc"
url = "mqtt://127.0.0.1:1883"
topics = "zebra/bench-1"
antennas = [{ port = 1, power_dbm = 30 }]
[[device]]
id = "twin-robot"
kind = "robot"
url = "mqtt://127.0.0.1"
vda5050 = "2.0"
manufacturer = "northway"
serial = "nw-0007"
[[follower]]
id = "sorter-1"
kind = "mqtt"
url = "mqtt://127.0.0.1:1884"
[[follower]]
id = "twin-file"
kind = "jsonl"
path = "./.stowage/facts.jsonl"
"#;

#[test]
fn no_two_parts_of_an_edge_are_one_and_the_same() {
    let folder = copy(&[("scanners = \"127.0.0.1:7070\"", "scanners = \"0.0.0.0:8080\"")], &[]);
    let path = folder.path().join("edge.toml");
    let text = fs::read_to_string(&path).expect("the copy") + TWINS;
    fs::write(&path, &text).expect("writes");
    let line = |of: &str| text.lines().position(|line| line.starts_with(of)).map_or(0, |at| at + 1);
    let own = |key: &str, name: &str, of: &str| {
        format!("{key}: {name} is taken on line {} already: give each device its own", line(of))
    };
    let page = format!("the page (line {}) listens at", line("listen"));
    let serial = "serial line /dev/null";
    let robot = "robot uagv/northway/nw-0007 at 127.0.0.1:1883";
    let facts = path.with_file_name(".stowage").join("facts.jsonl");
    let expected = [
        format!("scanners: {page} 0.0.0.0:8080 already: give another port"),
        own("device[10].url", "reader 127.0.0.1:5084", "url = \"llrp://127.0.0.1:5084\""),
        format!("device[11].listen: {page} 127.0.0.1:8080 already: give another port"),
        own("device[13].url", serial, "url = \"serial:///dev/null"),
        own("device[16].url", "unit 1 at 10.0.0.9:502", "url = \"modbus://10.0.0.9\""),
        own("device[17].control", "reader 127.0.0.1:8070", "control = "),
        own("device[18].id", "topic zebra/bench-1/data at 127.0.0.1:1883", "id = \"bench-1\""),
        own("device[19].id", robot, "id = \"robot-1\""),
        format!(
            "follower[2].id \"sorter-1\": client sorter-1 of broker 127.0.0.1 is taken on line {} already: give another id",
            line("id = \"sorter-1\"")
        ),
        format!(
            "follower[3].path \"./.stowage/facts.jsonl\": file {} is taken on line {} already: give each \
             follower its own",
            facts.display(),
            line("path = ")
        ),
    ];
    let found: Vec<_> = faults(folder.path()).into_iter().map(|(_, _, fault)| fault).collect();
    let found: Vec<_> = found.into_iter().filter(|fault| fault.contains(" already: ")).collect();
    assert_eq!(found, expected);
}

#[test]
fn names_of_the_page_are_host_names() {
    let named = |names: &str| {
        let folder = copy(&[("# names = [\"edge.example\"]", &format!("names = {names}"))], &[]);
        load_edge(&folder.path().join("edge.toml")).map(|edge| edge.names).map_err(|faults| faults.to_string())
    };
    assert_eq!(named("[\"edge.example\", \"edge\"]"), Ok(vec!["edge.example".to_owned(), "edge".to_owned()]));
    let fault = named("[\"edge\", \"edge:8080\"]").expect_err("a port");
    assert!(fault.contains("names[1] \"edge:8080\": not a host name"), "{fault}");
}
