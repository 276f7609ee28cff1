//! The URLs of devices and brokers.

use super::device::{ModbusLine, Parity};
use super::edge::Secret;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// An MQTT broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Broker {
    /// IP address or host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name and password, where the broker wants them.
    pub login: Option<(String, Secret<String>)>,
    /// The PEM file of the authorities that may vouch for the broker: it speaks TLS. `None`: it doesn't.
    pub ca: Option<PathBuf>,
}

/// A device that is controlled over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// IP address or host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Who we are there.
    pub login: (String, Secret<String>),
    /// The PEM file of the device's own certificate, or of who made it: it speaks TLS. `None`: it doesn't.
    pub ca: Option<PathBuf>,
}

/// `http://USER:PASSWORD@HOST[:PORT]`, or `https://` with TLS, which is returned beside; `%XX` stands for an octet of
/// name or password.
pub(super) fn control(url: &str) -> Result<(Control, bool), String> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (tls, default) = match scheme {
        "http" => (false, 80),
        "https" => (true, 443),
        _ => return Err("not a reader's URL: give https://USER:PASSWORD@HOST, or http:// without TLS".into()),
    };
    let (login, rest) = rest.rsplit_once('@').ok_or("no user: give USER:PASSWORD@ before the host")?;
    let (user, password) = login.split_once(':').ok_or("no password: give USER:PASSWORD@ before the host")?;
    let plain = |text| unescape(text).ok_or("name or password is badly escaped: write %25 for a percent sign");
    let login = (plain(user)?, Secret::new(plain(password)?));
    let (host, port) = host_port(rest.strip_suffix('/').unwrap_or(rest), default)
        .map_err(|why| format!("{why}; the reader's interface listens on port {default}"))?;
    Ok((Control { host, port, login, ca: None }, tls))
}

/// `llrp://HOST[:PORT]`, or `llrps://` with TLS, which is told beside.
pub(crate) fn llrp(url: &str) -> Result<(String, u16, bool), String> {
    let (tls, rest, port) = match url.split_once("://") {
        Some(("llrp", rest)) => (false, rest, 5084),
        Some(("llrps", rest)) => (true, rest, 5085),
        _ => {
            return Err(
                "not an LLRP reader's URL: give llrp://HOST or llrp://HOST:PORT, or llrps://HOST with TLS".into()
            );
        }
    };
    let (host, port) =
        host_port(rest, port).map_err(|why| format!("{why}; LLRP readers listen on port 5084, or 5085 with TLS"))?;
    Ok((host, port, tls))
}

/// `mqtt://[USER:PASSWORD@]HOST[:PORT]`, or `mqtts://` with TLS, which is returned beside; `%XX` stands for an octet of
/// name or password.
pub(crate) fn mqtt(url: &str) -> Result<(Broker, bool), String> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (tls, default) = match scheme {
        "mqtt" => (false, 1883),
        "mqtts" => (true, 8883),
        _ => return Err("not a broker's URL: give mqtt://HOST or mqtt://HOST:PORT, or mqtts://HOST with TLS".into()),
    };
    let (login, rest) = match rest.rsplit_once('@') {
        None => (None, rest),
        Some((login, rest)) => {
            let (user, password) = login.split_once(':').ok_or("no password: give mqtt://USER:PASSWORD@HOST")?;
            let plain = |text| unescape(text).ok_or("name or password is badly escaped: write %25 for a percent sign");
            (Some((plain(user)?, Secret::new(plain(password)?))), rest)
        }
    };
    let (host, port) = host_port(rest, default)
        .map_err(|why| format!("{why}; MQTT brokers listen on port {default}{}", if tls { " for TLS" } else { "" }))?;
    if tls && host.contains(':') {
        return Err("no certificate can be checked against an IPv6 address here: give the broker's host name".into());
    }
    Ok((Broker { host, port, login, ca: None }, tls))
}

/// `serial:///dev/FILE[?baud=RATE]`.
pub(crate) fn serial(url: &str) -> Result<(PathBuf, u32), String> {
    let (url, query) = url.split_once('?').unwrap_or((url, "baud=115200"));
    let path = url.strip_prefix("serial://").filter(|path| path.starts_with('/') && path.len() > 1);
    let path =
        path.ok_or("not a serial port's URL: give serial:///dev/ttyUSB0 or serial:///dev/ttyUSB0?baud=115200")?;
    let baud = query.strip_prefix("baud=").ok_or("only baud=… may stand after the question mark")?;
    let baud = baud.parse().ok().filter(|baud| (9_600..=921_600).contains(baud));
    Ok((path.into(), baud.ok_or("baud rate out of range: give 9600 to 921600")?))
}

/// `modbus://HOST[:PORT]`, or `serial:///dev/FILE[?baud=RATE&parity=even|odd|none&stop=1|2]`.
pub(crate) fn modbus(url: &str) -> Result<ModbusLine, String> {
    if let Some(rest) = url.strip_prefix("modbus://") {
        let (host, port) = host_port(rest, 502).map_err(|why| format!("{why}; Modbus servers listen on port 502"))?;
        return Ok(ModbusLine::Tcp { host, port });
    }
    let (url, query) = url.split_once('?').unwrap_or((url, ""));
    let path = url.strip_prefix("serial://").filter(|path| path.starts_with('/') && path.len() > 1);
    let path = path.ok_or(
        "not a PLC's URL: give modbus://HOST or modbus://HOST:PORT, or serial:///dev/ttyUSB1?baud=19200&parity=even",
    )?;
    // The standard's own, V1.02 §2.5.1.
    let (mut baud, mut parity, mut stop_bits) = (19_200, Parity::Even, 1);
    for setting in query.split('&').filter(|setting| !setting.is_empty()) {
        match setting.split_once('=') {
            Some(("baud", rate)) => {
                let rate = rate.parse().ok().filter(|rate| (1_200..=921_600).contains(rate));
                baud = rate.ok_or("baud rate out of range: give 1200 to 921600")?;
            }
            Some(("parity", "even")) => parity = Parity::Even,
            Some(("parity", "odd")) => parity = Parity::Odd,
            Some(("parity", "none")) => parity = Parity::None,
            Some(("parity", _)) => return Err("parity not known: give even, odd or none".into()),
            Some(("stop", "1")) => stop_bits = 1,
            Some(("stop", "2")) => stop_bits = 2,
            Some(("stop", _)) => return Err("stop bits not known: give 1 or 2".into()),
            _ => {
                return Err("only baud=…, parity=… and stop=… may stand after the question mark, with & between".into());
            }
        }
    }
    Ok(ModbusLine::Serial { path: path.into(), baud, parity, stop_bits })
}

fn host_port(text: &str, default: u16) -> Result<(String, u16), &'static str> {
    const HOST: &str = "not an IP address or host name";
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']').ok_or(HOST)).transpose()? {
        Some((host, port)) => {
            host.parse::<Ipv6Addr>().map_err(|_| HOST)?;
            (host, port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            if host.parse::<Ipv4Addr>().is_err() && !is_host_name(host) {
                return Err(HOST);
            }
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|&port| port != 0).ok_or("port out of range: give 1 to 65535")?,
        None if port.is_empty() => default,
        None => return Err(HOST),
    };
    Ok((host.into(), port))
}

/// RFC 1123 §2.1: labels of letters, digits and hyphens; the last is no number, or it would be a broken IPv4 address.
pub(super) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or(text);
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|octet| octet.is_ascii_digit())
}

fn unescape(text: &str) -> Option<String> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let (pair, after) = rest.split_first_chunk::<2>()?;
        let digit = |octet: u8| char::from(octet).to_digit(16);
        octets.push((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
        rest = after;
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        let ok = |host: &str, port| Ok((host.to_owned(), port, false));
        assert_eq!(llrp("llrps://gate-1"), Ok(("gate-1".to_owned(), 5085, true)));
        for (url, expected) in [
            ("llrp://10.0.0.30", ok("10.0.0.30", 5084)),
            ("llrp://gate-1.example:5085", ok("gate-1.example", 5085)),
            ("llrp://[fe80::1]:5084", ok("fe80::1", 5084)),
            ("llrp://[::1]", ok("::1", 5084)),
        ] {
            assert_eq!(llrp(url), expected, "{url}");
        }
        for url in
            ["llrp://", "llrp://10.0.0.300", "llrp://a b", "llrp://-a", "llrp://[::1", "llrp://[::1]x", "llrp://a:0"]
        {
            assert!(llrp(url).is_err(), "{url}");
        }
        assert!(llrp("http://10.0.0.30").is_err());
    }

    #[test]
    fn brokers_with_and_without_login() {
        let (broker, tls) = mqtt("mqtt://edge:p%40ss%3Aword@broker:1884").expect("well formed");
        assert!(!tls);
        let (user, password) = broker.login.clone().expect("given");
        assert_eq!((broker.host.as_str(), broker.port, user.as_str()), ("broker", 1884, "edge"));
        assert_eq!(password.expose(), "p@ss:word");
        assert!(!format!("{broker:?}").contains("p@ss"), "{broker:?}");
        assert_eq!(mqtt("mqtt://127.0.0.1").map(|(broker, tls)| (broker.port, tls)), Ok((1883, false)));
        assert_eq!(mqtt("mqtts://127.0.0.1").map(|(broker, tls)| (broker.port, tls)), Ok((8883, true)));
        assert!(mqtt("mqtts://[::1]").is_err(), "no name");
        assert!(mqtt("mqtt://edge@broker").is_err(), "no password");
        assert!(mqtt("mqtt://edge:%4@broker").is_err(), "half an escape");
    }

    #[test]
    fn readers_that_are_controlled_over_http() {
        let (control, tls) = super::control("https://root:im%40pinj@impinj-14-2a-3f.local").expect("well formed");
        assert_eq!((control.host.as_str(), control.port, tls), ("impinj-14-2a-3f.local", 443, true));
        assert_eq!((control.login.0.as_str(), control.login.1.expose().as_str()), ("root", "im@pinj"));
        assert!(!format!("{control:?}").contains("im@"), "{control:?}");
        assert_eq!(
            super::control("http://a:b@10.0.0.7:8080/").map(|(control, tls)| (control.port, tls)),
            Ok((8080, false))
        );
        for url in ["http://10.0.0.7", "http://root@10.0.0.7", "ftp://a:b@c", "http://a:b@10.0.0.300", "https://a:b@"] {
            assert!(super::control(url).is_err(), "{url}");
        }
    }

    #[test]
    fn serial_ports() {
        assert_eq!(serial("serial:///dev/ttyUSB0"), Ok(("/dev/ttyUSB0".into(), 115_200)));
        assert_eq!(serial("serial:///dev/ttyS1?baud=9600"), Ok(("/dev/ttyS1".into(), 9_600)));
        for url in ["serial://ttyUSB0", "serial:///", "serial:///dev/x?baud=300", "serial:///dev/x?parity=odd"] {
            assert!(serial(url).is_err(), "{url}");
        }
    }

    #[test]
    fn plcs_on_either_line() {
        let serial =
            |path: &str, baud, parity, stop_bits| Ok(ModbusLine::Serial { path: path.into(), baud, parity, stop_bits });
        assert_eq!(modbus("modbus://10.0.0.40"), Ok(ModbusLine::Tcp { host: "10.0.0.40".into(), port: 502 }));
        assert_eq!(modbus("modbus://plc:1502"), Ok(ModbusLine::Tcp { host: "plc".into(), port: 1_502 }));
        assert_eq!(modbus("serial:///dev/ttyUSB1"), serial("/dev/ttyUSB1", 19_200, Parity::Even, 1));
        let settings = "serial:///dev/ttyS1?baud=9600&parity=none&stop=2";
        assert_eq!(modbus(settings), serial("/dev/ttyS1", 9_600, Parity::None, 2));
        for url in ["serial:///dev/x?baud=1", "serial:///dev/x?parity=mark", "serial:///dev/x?stop=3", "tcp://plc"] {
            assert!(modbus(url).is_err(), "{url}");
        }
    }
}
