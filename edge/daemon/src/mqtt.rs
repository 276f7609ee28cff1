//! A connection to an MQTT broker, once: whatever goes wrong ends it, and its owner makes a new one.
//!
//! rumqttc silently drops what is under way when the broker forgets the session, and keeps stale messages otherwise.
//! So nothing is left to it: one client for each connection, and the owners above know what to say again.

use crate::config::Broker;
use rumqttc::{AsyncClient, ConnectReturnCode, Event, MqttOptions, Packet, QoS, SubscribeReasonCode};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Most octets of a packet, both ways.
pub(crate) const PACKET_MAX: usize = 1 << 20;

const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The broker must have said something within this.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Messages that wait for the socket.
const WAITING_MAX: usize = 128;

/// What happens on a connection.
#[derive(Debug)]
pub(crate) enum Happened {
    /// It is up, and every subscription is confirmed.
    Up,
    /// A message arrived.
    Message {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// A message that was published with QoS 1 has reached the broker: one for each, in order of publishing.
    Acknowledged,
    /// It is over, and why. Nothing follows.
    Over(String),
}

/// One connection. Dropping it closes it.
pub(crate) struct Connection {
    client: AsyncClient,
    /// What happens. Closed after [`Happened::Over`].
    pub(crate) happened: mpsc::Receiver<Happened>,
    poll: JoinHandle<()>,
}

impl Connection {
    /// Connects to `broker` as `client`, which must be unique there, and subscribes to `topics` with QoS 1.
    pub(crate) fn open(broker: &Broker, client: &str, topics: Vec<String>) -> Self {
        let mut options = MqttOptions::new(client, &broker.host, broker.port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_max_packet_size(PACKET_MAX, PACKET_MAX);
        if let Some((user, password)) = &broker.login {
            options.set_credentials(user, password.expose());
        }
        let (client, mut events) = AsyncClient::new(options, WAITING_MAX);
        events.network_options.set_tcp_nodelay(true);
        let (say, happened) = mpsc::channel(WAITING_MAX);
        let subscriber = client.clone();
        // `poll` is not cancel-safe: this task does nothing else.
        let poll = tokio::spawn(async move {
            let mut unconfirmed = topics.len();
            loop {
                let event = tokio::time::timeout(SILENCE_MAX, events.poll()).await;
                let news = match event {
                    Err(_) => Some(Happened::Over("the broker is silent".into())),
                    Ok(Err(error)) => Some(Happened::Over(error.to_string())),
                    Ok(Ok(Event::Incoming(Packet::ConnAck(ack)))) if ack.code != ConnectReturnCode::Success => {
                        Some(Happened::Over(format!("the broker refuses: {:?}", ack.code)))
                    }
                    Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => {
                        let fits = topics.iter().all(|topic| subscriber.try_subscribe(topic, QoS::AtLeastOnce).is_ok());
                        match (fits, topics.is_empty()) {
                            (false, _) => Some(Happened::Over("too many subscriptions".into())),
                            (true, true) => Some(Happened::Up),
                            (true, false) => None,
                        }
                    }
                    Ok(Ok(Event::Incoming(Packet::SubAck(ack))))
                        if ack.return_codes.contains(&SubscribeReasonCode::Failure) =>
                    {
                        Some(Happened::Over(
                            "the broker refuses a subscription: give this user the right to read".into(),
                        ))
                    }
                    Ok(Ok(Event::Incoming(Packet::SubAck(_)))) => {
                        unconfirmed = unconfirmed.saturating_sub(1);
                        (unconfirmed == 0).then_some(Happened::Up)
                    }
                    Ok(Ok(Event::Incoming(Packet::Publish(publish)))) => {
                        Some(Happened::Message { topic: publish.topic, payload: publish.payload.to_vec() })
                    }
                    Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => Some(Happened::Acknowledged),
                    Ok(Ok(_)) => None,
                };
                let Some(news) = news else { continue };
                let over = matches!(news, Happened::Over(_));
                if say.send(news).await.is_err() || over {
                    return;
                }
            }
        });
        Self { client, happened, poll }
    }

    /// Publishes with QoS 1. `false`: too much waits already, or it is too long; nothing was taken.
    pub(crate) fn publish(&self, topic: String, payload: Vec<u8>, retain: bool) -> bool {
        payload.len() + topic.len() + 16 <= PACKET_MAX
            && self.client.try_publish(topic, QoS::AtLeastOnce, retain, payload).is_ok()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.poll.abort();
    }
}
