//! Serial ports: opened for one program alone, with words for what is to be done where they can't be.

use crate::config::Parity;
use std::io;
use std::path::Path;
use tokio_serial::{ErrorKind, SerialPort as _, SerialPortBuilder, SerialStream, StopBits};

/// Opens the port behind a device file: eight bits, no parity, one stop bit, no flow control.
///
/// # Errors
/// There is none, it is another's, or it is no serial port. The text names the file and the mend.
pub(crate) fn open(path: &Path, baud: u32) -> io::Result<SerialStream> {
    open_as(path, &tokio_serial::new(path.display().to_string(), baud))
}

fn open_as(path: &Path, settings: &SerialPortBuilder) -> io::Result<SerialStream> {
    SerialStream::open(settings).map_err(|error| {
        let kind = io::Error::from(error.clone()).kind();
        io::Error::new(kind, format!("{}: {}", path.display(), mend(&error, path)))
    })
}

/// Opens it for a bus of Modbus RTU.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_bus(path: &Path, baud: u32, parity: Parity, stop_bits: u8) -> io::Result<SerialStream> {
    let parity = match parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let stop_bits = if stop_bits == 2 { StopBits::Two } else { StopBits::One };
    open_as(path, &tokio_serial::new(path.display().to_string(), baud).parity(parity).stop_bits(stop_bits))
}

/// Gives an open port another speed, for all octets from now on.
pub(crate) fn set_baud(port: &mut SerialStream, baud: u32) -> io::Result<()> {
    port.set_baud_rate(baud).map_err(|error| {
        io::Error::other(format!("the port can't do {baud} Bd ({error}): set another speed by baud=… in its url"))
    })
}

fn mend(error: &tokio_serial::Error, path: &Path) -> String {
    match error.kind {
        ErrorKind::Io(io::ErrorKind::NotFound) => {
            "is not there: plug the device in, or give the right port (`ls /dev/serial/by-id` names what is there)"
                .into()
        }
        ErrorKind::Io(io::ErrorKind::PermissionDenied) => {
            "may not be opened: let this user into the group of the port (mostly dialout) and log in again".into()
        }
        ErrorKind::NoDevice => {
            format!("is open in another program: end that one (`fuser {}` tells which)", path.display())
        }
        _ if path.is_dir() || path.is_file() => "is no serial port: give the port's device file".into(),
        ErrorKind::InvalidInput | ErrorKind::Io(_) | ErrorKind::Unknown => format!("can't be opened: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_can_not_be_opened_says_what_to_do() {
        let told = |path: &Path| open(path, 115_200).expect_err("no port").to_string();
        let folder = tempfile::tempdir().expect("a folder");
        assert!(told(&folder.path().join("ttyUSB9")).contains("ttyUSB9: is not there: plug the device in"));
        let file = folder.path().join("notes.txt");
        std::fs::write(&file, "x").expect("the folder is ours");
        assert!(told(&file).contains("is no serial port"), "{}", told(&file));
        assert!(told(folder.path()).contains("is no serial port"), "{}", told(folder.path()));
        let refused = tokio_serial::Error::new(ErrorKind::Io(io::ErrorKind::PermissionDenied), "");
        assert!(mend(&refused, &file).contains("dialout"));
    }
}
