//! Ways to a fixed reader: it dials the edge, or is dialled over TLS; settings that it can't do are told with the mend.

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use std::fs;
use stowage_tests::goods::LAMP;
use stowage_tests::plant::{Plant, free_port};
use stowage_tests::process::{Program, binary};
use stowage_tests::{sgtin96, until};

/// Writes the demo's configuration with the fixed reader's url replaced by `keys`.
fn with_keys(plant: &Plant, keys: &str) {
    let url = format!("url = \"llrp://127.0.0.1:{}\"", plant.reader);
    let toml = plant.edge_toml();
    assert!(toml.contains(&url), "the demo dials its fixed reader");
    plant.write_edge(&toml.replace(&url, &format!("{keys} ")));
}

#[test]
fn a_reader_dials_the_edge_and_dials_it_again() {
    let plant = Plant::new();
    let address = format!("127.0.0.1:{}", plant.reader);
    with_keys(&plant, &format!("listen = \"{address}\"\nlamp = 1\n#"));
    let dials = ["device", "llrp", "--dial", &address, "--seed", "61", "--llrp-version", "2"];
    let mut reader = Program::start("the reader", binary("stowage-sim"), &dials);
    for round in 0..2 {
        let edge = plant.edge();
        edge.wait_device("gate-1", true);
        if round == 0 {
            reader.tell(&json!({"place": {"epc": sgtin96(LAMP, 1), "antenna": 1, "distance_mm": 900}}));
        }
        until("a read", || (edge.view()["totals"]["reads"].as_u64() > Some(0)).then_some(()));
        edge.stop();
    }
    assert_eq!(reader.told("violation"), [] as [Value; 0]);
}

/// Ends TLS before a reader that has none: CERTIFICATE-AND-KEY PORT READER'S-PORT.
const TLS: &str = r#"
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
print('{"ready": true}', flush=True)
def carry(source, sink):
    try:
        while octets := source.recv(65536):
            sink.sendall(octets)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
while True:
    plain, _ = listener.accept()
    try:
        client = context.wrap_socket(plain, server_side=True)
    except (OSError, ssl.SSLError):
        continue
    reader = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
    for pair in ((client, reader), (reader, client)):
        threading.Thread(target=carry, args=pair, daemon=True).start()
"#;

#[test]
fn a_reader_is_dialled_over_tls_and_trusted_by_the_certificate_that_it_made_itself() {
    let Some(python) = std::env::var_os("STOWAGE_TEST_PYTHON") else {
        eprintln!("SKIPPED: STOWAGE_TEST_PYTHON names no Python; tests/run makes one");
        return;
    };
    let plant = Plant::new();
    let made = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(vec!["reader.example".to_owned()]).expect("a name").self_signed(&key);
        let own = own.expect("a certificate").pem();
        fs::write(plant.path(name), &own).expect("the folder is ours");
        own + &key.serialize_pem()
    };
    let (both, _) = (made("reader.pem"), made("other.pem"));
    fs::write(plant.path("both.pem"), both).expect("the folder is ours");
    let reader = plant.reader(62);
    let tls = free_port();
    let args = [plant.path("both.pem").display().to_string(), tls.to_string(), plant.reader.to_string()];
    let end = Program::start("TLS", &python, &[&["-c", TLS][..], &args.each_ref().map(String::as_str)].concat());
    end.hear("ready", |_| true);

    with_keys(&plant, &format!("url = \"llrps://127.0.0.1:{tls}\"\nca = \"other.pem\"\n#"));
    let edge = plant.edge();
    let told = until("the refusal to be told", || {
        edge.device("gate-1")["last_error"].as_str().filter(|told| told.contains("certificate")).map(str::to_owned)
    });
    assert!(told.contains("other.pem"), "{told}");
    edge.stop();

    with_keys(&plant, &format!("url = \"llrps://127.0.0.1:{tls}\"\nca = \"reader.pem\"\n#"));
    let edge = plant.edge();
    edge.wait_device("gate-1", true);
    edge.stop();
    assert_eq!(reader.told("violation"), [] as [Value; 0]);
}

#[test]
fn what_a_reader_can_not_do_is_told_with_key_and_mend() {
    let plant = Plant::new();
    let _reader = plant.reader(63);
    let url = format!("url = \"llrp://127.0.0.1:{}\"", plant.reader);
    for (keys, expected) in [
        ("mode = 7", "mode 7: give one of 0, 1, 2, 3, or leave it out"),
        ("region = \"etsi\"", "region ETSI: the reader is set to country code 840"),
        ("gate = { input = 9 }", "gate.input 9: the reader has 4 inputs"),
    ] {
        with_keys(&plant, &format!("{url}\n{keys}\n#"));
        let edge = plant.edge();
        until(expected, || {
            edge.device("gate-1")["last_error"].as_str().filter(|told| told.contains(expected)).map(drop)
        });
        edge.stop();
    }
}
