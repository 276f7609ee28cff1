//! What a module shall do, and what it says it is.

use crate::Region;

/// The antenna ports that a module reads by turns: 1 to 16 of them, each from 1 to 16, none twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Antennas {
    ports: [u8; Self::MAX],
    len: u8,
}

impl Antennas {
    /// The highest port, and the longest list.
    pub const MAX: usize = 16;

    /// The list of `ports`; `None` if it is empty, too long, has a port twice or one outside 1 to 16.
    pub fn new(ports: &[u8]) -> Option<Self> {
        let unique = ports.iter().enumerate().all(|(at, port)| !ports[..at].contains(port));
        let fit = !ports.is_empty() && unique && ports.iter().all(|port| (1..=Self::MAX).contains(&usize::from(*port)));
        let mut list = Self { ports: [0; Self::MAX], len: ports.len() as u8 };
        list.ports.get_mut(..ports.len()).filter(|_| fit)?.copy_from_slice(ports);
        Some(list)
    }

    /// The ports, in the order of the turns.
    pub fn ports(&self) -> &[u8] {
        &self.ports[..usize::from(self.len)]
    }

    pub(crate) fn index(&self, port: u8) -> Option<usize> {
        self.ports().iter().position(|other| *other == port)
    }
}

/// How a module shall read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Speed of the line in Bd, one of [`SPEEDS`](crate::speed::SPEEDS); a module that talks at another is found and set.
    pub baud: u32,
    /// Whose radio rules hold where the module stands.
    pub region: Region,
    /// Transmit power for reading in 1/100 dBm; the module refuses what it can't.
    pub read_power_cdbm: u16,
    /// The antennas to read by turns.
    pub antennas: Antennas,
}

/// What a module says it is. Each number as it stands in the answer; the firmware's date is BCD (20130522).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Bootloader version.
    pub bootloader: [u8; 4],
    /// Hardware version.
    pub hardware: [u8; 4],
    /// Firmware date, BCD.
    pub firmware_date: [u8; 4],
    /// Firmware version.
    pub firmware: [u8; 4],
    /// Bit n − 1 stands for tag protocol n: 0x10 is Gen2.
    pub protocols: u32,
}

impl Version {
    /// The version in the data of a [`Opcode::VERSION`](crate::Opcode::VERSION) response; `None` if it hasn't exactly 20 octets.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (parts, []) = data.as_chunks::<4>() else { return None };
        let &[bootloader, hardware, firmware_date, firmware, protocols] = parts else { return None };
        Some(Self { bootloader, hardware, firmware_date, firmware, protocols: u32::from_be_bytes(protocols) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_checked_once() {
        assert_eq!(Antennas::new(&[2, 1]).expect("good").ports(), [2, 1]);
        for bad in [&[][..], &[0], &[17], &[1, 1], &[1; 17]] {
            assert_eq!(Antennas::new(bad), None, "{bad:?}");
        }
    }
}
