//! An MQTT broker in the process, for the demo and for tests. It keeps everything in RAM, knows no passwords, and so
//! is no broker for a warehouse. Clients set TCP_NODELAY: without it a QoS 1 round trip takes 40 ms, with it half a one.

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
    let started = std::thread::Builder::new().name("broker".to_owned()).spawn(move || drop(broker.start()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::{Client, Event, MqttOptions, NetworkOptions, Packet, QoS};

    /// A client whose first word is in.
    fn client(id: &str, address: SocketAddr) -> (Client, rumqttc::Connection) {
        let (client, mut connection) = Client::new(MqttOptions::new(id, address.ip().to_string(), address.port()), 10);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        connection.eventloop.set_network_options(network);
        let first = connection.recv().expect("open").expect("the broker answers");
        assert!(matches!(first, Event::Incoming(Packet::ConnAck(_))), "{first:?}");
        (client, connection)
    }

    fn until(connection: &mut rumqttc::Connection, wanted: impl Fn(&Packet) -> bool) -> Packet {
        loop {
            if let Event::Incoming(packet) = connection.recv().expect("open").expect("the broker stays")
                && wanted(&packet)
            {
                return packet;
            }
        }
    }

    #[test]
    fn hands_messages_on_and_keeps_what_is_retained() {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        start(free).expect("the port is free");
        assert!(matches!(start(free), Err(DeviceError::Listen { .. })), "taken now");
        let (publisher, mut acks) = client("publisher", free);
        publisher.publish("kept", QoS::AtLeastOnce, true, "1").expect("room");
        until(&mut acks, |packet| matches!(packet, Packet::PubAck(_)));
        let (subscriber, mut messages) = client("subscriber", free);
        subscriber.subscribe("#", QoS::AtLeastOnce).expect("room");
        let kept = until(&mut messages, |packet| matches!(packet, Packet::Publish(_)));
        assert!(matches!(kept, Packet::Publish(message) if message.topic == "kept" && message.retain));
        let mut round_trips = Vec::new();
        for round in 0..50 {
            let begun = Instant::now();
            publisher.publish("live", QoS::AtLeastOnce, false, round.to_string()).expect("room");
            until(&mut acks, |packet| matches!(packet, Packet::PubAck(_)));
            round_trips.push(begun.elapsed());
            let live = until(&mut messages, |packet| matches!(packet, Packet::Publish(_)));
            assert!(matches!(live, Packet::Publish(message) if message.payload == round.to_string()));
        }
        round_trips.sort();
        let median = round_trips[round_trips.len() / 2];
        println!("a QoS 1 round trip takes {median:?}, at most {:?}", round_trips[round_trips.len() - 1]);
        assert!(median < Duration::from_millis(35), "{median:?}: someone waits for a delayed acknowledgement");
    }
}
