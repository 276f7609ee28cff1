//! An MQTT broker in the process, for the demo and for tests. It keeps everything in RAM, knows no passwords, and so
//! is no broker for a warehouse.

use crate::device::DeviceError;
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Most octets in a message.
const PAYLOAD_MAX: usize = 1 << 20;

/// How long the broker may take to listen.
const START_MAX: Duration = Duration::from_secs(5);

/// Starts a broker for MQTT 3.1.1 on `address`, which is the loopback's; it ends with the process. Returns when it
/// accepts connections.
///
/// # Errors
/// The port is taken, or not ours to take.
pub fn start(address: SocketAddr) -> Result<(), DeviceError> {
    // The broker itself only logs that it can't listen.
    TcpListener::bind(address).map_err(|error| DeviceError::Listen { what: "the MQTT broker", address, error })?;
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: PAYLOAD_MAX,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let listener = ServerSettings {
        name: "mqtt".to_owned(),
        listen: address,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    let router = RouterConfig {
        max_connections: 100,
        max_outgoing_packet_count: 200,
        max_segment_size: PAYLOAD_MAX,
        max_segment_count: 4,
        ..RouterConfig::default()
    };
    let v4 = Some(HashMap::from([("mqtt".to_owned(), listener)]));
    let mut broker = Broker::new(Config { router, v4, ..Config::default() });
    let failed = |why: String| DeviceError::Broker { address, why };
    // Its threads stay until the process ends: there is no way to stop them.
    let started = std::thread::Builder::new().name("broker".to_owned()).spawn(move || broker.start());
    started.map_err(|error| failed(error.to_string()))?;
    let deadline = Instant::now() + START_MAX;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            return Err(failed(format!("it doesn't listen after {} s", START_MAX.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
