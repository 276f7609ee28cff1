//! As much of an HTTP client as the demo needs, for the edge's own page.

use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Posts JSON and returns the status.
pub(super) async fn post(page: SocketAddr, path: &str, json: &str) -> io::Result<u16> {
    let mut line = TcpStream::connect(page).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {page}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{json}",
        json.len()
    );
    line.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    line.read_to_end(&mut answer).await?;
    let status = std::str::from_utf8(&answer).ok().and_then(|answer| answer.split(' ').nth(1)?.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer"))
}

/// Opens a stream of server-sent events; its lines follow.
pub(super) async fn events(page: SocketAddr, path: &str) -> io::Result<BufReader<TcpStream>> {
    let mut line = TcpStream::connect(page).await?;
    line.write_all(format!("GET {path} HTTP/1.0\r\nHost: {page}\r\nAccept: text/event-stream\r\n\r\n").as_bytes())
        .await?;
    Ok(BufReader::new(line))
}
