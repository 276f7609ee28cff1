//! A connection to an MQTT broker, once: whatever goes wrong ends it, and its owner makes a new one.
//!
//! rumqttc silently drops what is under way when the broker forgets the session, and keeps stale messages otherwise.
//! So nothing is left to it: one client for each connection, and the owners above know what to say again.

use crate::config::Broker;
use crate::tls;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Packet, QoS,
    StateError, SubscribeReasonCode, TlsConfiguration, TlsError, Transport,
};
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Most octets of a message, topic and payload together, both ways.
pub const MESSAGE_MAX: usize = (1 << 20) - 16;

/// Most octets of a packet that is still read to its end, so that it can be told and dropped. A broker that sends a
/// longer one loses the connection.
const READ_MAX: usize = 16 << 20;

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
    /// A message arrived that is too long for anyone: what it was, in words. It is dropped.
    TooLong(String),
    /// A message that was published with QoS 1 has reached the broker: one for each, in order of publishing.
    Acknowledged,
    /// It is over, and why. Nothing follows.
    Over(String),
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// Too many messages wait for the broker.
    #[error("{WAITING_MAX} messages wait for the broker already")]
    Full,
    /// It is too long.
    #[error("it has {0} octets, topic and payload together; {MESSAGE_MAX} are allowed")]
    TooLong(usize),
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
        let (say, happened) = mpsc::channel(WAITING_MAX);
        let (mut options, refused) = match options(broker, client) {
            Ok(options) => (options, None),
            Err(why) => (MqttOptions::new(client, &broker.host, broker.port), Some(why)),
        };
        options.set_keep_alive(KEEP_ALIVE);
        let (client, events) = self::client(options, WAITING_MAX);
        let subscriber = client.clone();
        let broker = broker.clone();
        // `poll` is not cancel-safe: this task does nothing else.
        let poll = tokio::spawn(async move {
            match refused {
                Some(why) => drop(say.send(Happened::Over(why)).await),
                None => poll(events, &broker, subscriber, topics, say).await,
            }
        });
        Self { client, happened, poll }
    }

    /// Publishes.
    ///
    /// # Errors
    /// Nothing was taken.
    pub(crate) fn publish(&self, topic: String, payload: Vec<u8>, qos: QoS, retain: bool) -> Result<(), NotTaken> {
        let octets = topic.len() + payload.len();
        if octets > MESSAGE_MAX {
            return Err(NotTaken::TooLong(octets));
        }
        self.client.try_publish(topic, qos, retain, payload).map_err(|_| NotTaken::Full)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

async fn poll(
    mut events: EventLoop,
    broker: &Broker,
    subscriber: AsyncClient,
    topics: Vec<String>,
    say: mpsc::Sender<Happened>,
) {
    let mut unconfirmed = topics.len();
    // Retained messages of the first topics come before the last one is confirmed.
    let mut early = Vec::new();
    loop {
        let news = match tokio::time::timeout(SILENCE_MAX, events.poll()).await {
            Err(_) => Some(Happened::Over("it is silent".into())),
            Ok(Err(error)) => Some(Happened::Over(words(&error, broker))),
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
                Some(Happened::Over("it refuses a subscription: give this user the right to read".into()))
            }
            Ok(Ok(Event::Incoming(Packet::SubAck(_)))) => {
                unconfirmed = unconfirmed.saturating_sub(1);
                (unconfirmed == 0).then_some(Happened::Up)
            }
            Ok(Ok(Event::Incoming(Packet::Publish(publish)))) => {
                let octets = publish.topic.len() + publish.payload.len();
                Some(if octets > MESSAGE_MAX {
                    let topic: String = publish.topic.chars().take(64).collect();
                    Happened::TooLong(format!("a message of {octets} octets on {topic}; {MESSAGE_MAX} are allowed"))
                } else {
                    Happened::Message { topic: publish.topic, payload: publish.payload.to_vec() }
                })
            }
            Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => Some(Happened::Acknowledged),
            Ok(Ok(_)) => None,
        };
        let Some(news) = news else { continue };
        let waits = unconfirmed > 0 && matches!(news, Happened::Message { .. } | Happened::TooLong(_));
        if waits && early.len() < WAITING_MAX {
            early.push(news);
            continue;
        }
        let (up, over) = (matches!(news, Happened::Up), matches!(news, Happened::Over(_)));
        if say.send(news).await.is_err() || over {
            return;
        }
        for news in early.drain(..).filter(|_| up) {
            if say.send(news).await.is_err() {
                return;
            }
        }
    }
}

/// How to reach `broker` as `client`: with its user and password, with TLS where it is asked for, every session a new
/// one, and packets that may be as long as any message.
///
/// # Errors
/// The file of authorities can't be used, in words with the mend.
pub fn options(broker: &Broker, client: &str) -> Result<MqttOptions, String> {
    // Only in brackets does the library tell an IPv6 address from its port.
    let host = if broker.host.contains(':') { format!("[{}]", broker.host) } else { broker.host.clone() };
    let mut options = MqttOptions::new(client, host, broker.port);
    options.set_clean_session(true).set_max_packet_size(READ_MAX, 1 << 20);
    if let Some((user, password)) = &broker.login {
        options.set_credentials(user, password.expose());
    }
    if let Some(ca) = &broker.ca {
        // Read for each connection: an authority that was renewed holds without a restart.
        let tls = tls::client(ca).map_err(|why| format!("{} {why}", ca.display()))?;
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
    }
    Ok(options)
}

/// A client for one connection, with room for `waiting` requests. Without TCP_NODELAY a QoS 1 round trip would wait for
/// the other side's delayed acknowledgement, 40 ms.
pub fn client(options: MqttOptions, waiting: usize) -> (AsyncClient, EventLoop) {
    let (client, mut events) = AsyncClient::new(options, waiting);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    (client, events)
}

/// What ended the connection to `broker`, and the mend: to be said behind its name.
pub fn words(error: &ConnectionError, broker: &Broker) -> String {
    let login = broker.login.as_ref().map(|(user, _)| user);
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => match login {
            Some(user) => format!("it refuses user {user:?} with this password: mend them in `url`"),
            None => "it wants a user and a password: give them in `url`, before the host as USER:PASSWORD@".into(),
        },
        ConnectionError::ConnectionRefused(code) => format!("it refuses the connection: {code:?}"),
        ConnectionError::Tls(TlsError::Io(error)) => match (error.get_ref(), &broker.ca) {
            (Some(inner), Some(ca)) if inner.is::<rustls::Error>() => {
                let error = inner.downcast_ref().unwrap_or(&rustls::Error::HandshakeNotComplete);
                tls::words(error, &broker.host, ca)
            }
            _ => format!("it ends the TLS handshake ({error}): does it speak TLS at this port? Mostly that is 8883"),
        },
        ConnectionError::Tls(error) => format!("TLS: {error}"),
        ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused => "nobody listens there: start it, or mend `url`".into(),
            _ => error.to_string(),
        },
        ConnectionError::NetworkTimeout => "no answer within 5 s".into(),
        ConnectionError::MqttState(StateError::ConnectionAborted) if broker.ca.is_none() && broker.port == 8883 => {
            "it closes the connection: at port 8883 it mostly wants TLS, give mqtts:// and `ca`".into()
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => "it closed the connection".into(),
        ConnectionError::MqttState(StateError::AwaitPingResp) => "it is silent".into(),
        other => other.to_string(),
    }
}
