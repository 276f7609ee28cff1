//! Requests to devices over HTTP, each with a connection of its own: they are few and small.

use crate::config::Control;
use crate::tls;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::time::Duration;
use stowage_protocol::impinj_iot::authorization;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long all of it may take.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// Most octets of an answer.
const ANSWER_MAX: usize = 1 << 20;

/// Asks the device at `control`; gives HTTP's status and the answer's body.
///
/// # Errors
/// There is no answer: why, with the mend.
pub(crate) async fn request(
    control: &Control,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> Result<(u16, Vec<u8>), String> {
    let Control { host, port, .. } = control;
    match tokio::time::timeout(REQUEST_MAX, exchange(control, method, path, body)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(why)) => Err(format!("{host}:{port}: {why}")),
        Err(_) => Err(format!("{host}:{port} doesn't answer within 5 s: is it on, and is this its address?")),
    }
}

async fn exchange(control: &Control, method: &str, path: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>), String> {
    let Control { host, port, ca, .. } = control;
    let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| error.to_string())?;
    let Some(ca) = ca else { return speak(stream, control, method, path, body).await };
    // Read for each request: a certificate that was renewed holds without a restart.
    let trust = tls::pinned(ca).map_err(|why| format!("{} {why}", ca.display()))?;
    let name = ServerName::try_from(host.clone()).map_err(|_| "no certificate can be made for this name".to_owned())?;
    let stream = TlsConnector::from(trust).connect(name, stream).await.map_err(|error| {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_)) => format!(
                "its certificate is not in {}, nor made for {host} by one that is: give the reader's own as `control_ca`",
                ca.display()
            ),
            Some(rustls::Error::InvalidMessage(_)) => {
                "it doesn't speak TLS at this port: give http:// as `control`, or another port".to_owned()
            }
            Some(other) => tls::words(other, host, ca),
            None => error.to_string(),
        }
    })?;
    speak(stream, control, method, path, body).await
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    control: &Control,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> Result<(u16, Vec<u8>), String> {
    let words = |error: hyper::Error| format!("it doesn't speak HTTP as it should: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
    let (user, password) = &control.login;
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, &control.host)
        .header(AUTHORIZATION, authorization(user, password.expose()))
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(words)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| format!("its answer breaks off: {error}"))?;
        Ok((status, body.to_bytes().to_vec()))
    };
    tokio::pin!(answer);
    tokio::pin!(connection);
    tokio::select! {
        answer = &mut answer => answer,
        // It ends when the answer is there, or without one: then the answer says so.
        _ = &mut connection => answer.await,
    }
}
