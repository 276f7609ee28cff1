//! The protocol's numbers. All are open: one that has no name here is carried on as it is.

use core::fmt;

macro_rules! open_numbers {
    ($(#[$doc:meta])* $Name:ident($Raw:ty, $format:literal) { $($constant:ident = $value:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name(pub $Raw);

        impl $Name {
            $(#[doc = concat!("Means: ", $text, ".")] pub const $constant: Self = Self($value);)*

            /// What the number means, if it has a name here.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }

        /// The name, if any, and the number in hex.
        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => write!(f, concat!("{} (", $format, ")"), name, self.0),
                    None => write!(f, $format, self.0),
                }
            }
        }
    };
}

open_numbers! {
    /// What a command asks for; its response repeats it.
    Opcode(u8, "{:02X}") {
        VERSION = 0x03, "version";
        BOOT = 0x04, "boot firmware";
        SET_BAUD = 0x06, "set baud rate";
        VERIFY = 0x08, "verify firmware image";
        BOOT_LOADER = 0x09, "boot bootloader";
        PROGRAM = 0x0C, "current program";
        HARDWARE = 0x10, "hardware version";
        READ_SINGLE = 0x21, "read single tag";
        READ_MULTIPLE = 0x22, "read multiple tags";
        WRITE_EPC = 0x23, "write EPC";
        WRITE_DATA = 0x24, "write tag data";
        LOCK = 0x25, "lock tag";
        KILL = 0x26, "kill tag";
        READ_DATA = 0x28, "read tag data";
        TAG_BUFFER = 0x29, "get tag buffer";
        CLEAR_BUFFER = 0x2A, "clear tag buffer";
        VENDOR_TAG = 0x2D, "vendor-specific tag operation";
        CONTINUOUS = 0x2F, "continuous reading";
        GET_ANTENNA = 0x61, "get antenna";
        GET_READ_POWER = 0x62, "get read power";
        GET_PROTOCOL = 0x63, "get protocol";
        GET_WRITE_POWER = 0x64, "get write power";
        GET_HOP_TABLE = 0x65, "get hop table";
        GET_INPUTS = 0x66, "get inputs";
        GET_REGION = 0x67, "get region";
        GET_POWER_MODE = 0x68, "get power mode";
        GET_OPTION = 0x6A, "get reader option";
        GET_PROTOCOL_OPTION = 0x6B, "get protocol option";
        PROTOCOLS = 0x70, "protocols available";
        REGIONS = 0x71, "regions available";
        TEMPERATURE = 0x72, "temperature";
        SET_ANTENNA = 0x91, "set antenna";
        SET_READ_POWER = 0x92, "set read power";
        SET_PROTOCOL = 0x93, "set protocol";
        SET_WRITE_POWER = 0x94, "set write power";
        SET_HOP_TABLE = 0x95, "set hop table";
        SET_OUTPUTS = 0x96, "set outputs";
        SET_REGION = 0x97, "set region";
        SET_POWER_MODE = 0x98, "set power mode";
        SET_OPTION = 0x9A, "set reader option";
        SET_PROTOCOL_OPTION = 0x9B, "set protocol option";
        SILION = 0xAA, "asynchronous inventory (Silion)";
    }
}

open_numbers! {
    /// How a command went. Zero is good; the rest are faults, of which "no tags found" is none in a streamed read.
    Status(u16, "{:04X}") {
        OK = 0x0000, "ok";
        WRONG_LENGTH = 0x0100, "wrong data length";
        UNKNOWN_OPCODE = 0x0101, "unknown opcode";
        UNIMPLEMENTED = 0x0102, "not implemented";
        POWER_TOO_HIGH = 0x0103, "power too high";
        BAD_FREQUENCY = 0x0104, "frequency not allowed";
        BAD_PARAMETER = 0x0105, "bad parameter";
        POWER_TOO_LOW = 0x0106, "power too low";
        BAD_BAUD = 0x010A, "baud rate not available";
        BAD_REGION = 0x010B, "region not available";
        FIRMWARE_CRC = 0x0200, "firmware image is damaged";
        NO_TAGS = 0x0400, "no tags found";
        NO_PROTOCOL = 0x0401, "no protocol set";
        BAD_PROTOCOL = 0x0402, "protocol not available";
        LOCKED_AFTER_WRITE = 0x0403, "write passed, lock failed";
        TAG_ERROR = 0x040A, "general tag error";
        DATA_TOO_LARGE = 0x040B, "data too large";
        BAD_KILL_PASSWORD = 0x040C, "wrong kill password";
        GEN2_ERROR = 0x0420, "Gen2 protocol error";
        MEMORY_OVERRUN = 0x0423, "memory overrun or bad PC";
        MEMORY_LOCKED = 0x0424, "memory locked";
        TAG_POWER = 0x042B, "tag has too little power";
        TAG_NON_SPECIFIC = 0x042F, "tag reports a non-specific error";
        TAG_UNKNOWN = 0x0430, "unknown tag error";
        ILLEGAL_FREQUENCY = 0x0500, "illegal frequency";
        ANTENNA_NOT_CONNECTED = 0x0503, "antenna not connected";
        TOO_HOT = 0x0504, "module is too hot";
        RETURN_LOSS = 0x0505, "high return loss at the antenna";
        SYSTEM_UNKNOWN = 0x7F00, "unknown system error";
        SYSTEM_ASSERT = 0x7F01, "module's firmware failed an assertion";
    }
}

open_numbers! {
    /// Whose radio rules the module follows.
    Region(u8, "{:02X}") {
        NORTH_AMERICA = 0x01, "North America";
        EUROPE = 0x02, "Europe";
        KOREA = 0x03, "Korea";
        INDIA = 0x04, "India";
        JAPAN = 0x05, "Japan";
        CHINA = 0x06, "China";
        EUROPE_2 = 0x07, "Europe 2";
        EUROPE_3 = 0x08, "Europe 3, 865 to 868 MHz";
        KOREA_2 = 0x09, "Korea 2";
        CHINA_840 = 0x0A, "China, 840 MHz";
        AUSTRALIA = 0x0B, "Australia";
        NEW_ZEALAND = 0x0C, "New Zealand";
        NORTH_AMERICA_2 = 0x0D, "North America 2";
        NORTH_AMERICA_3 = 0x0E, "North America 3";
        OPEN = 0xFF, "open: no rules";
    }
}

impl Status {
    /// What it means to who runs the site, with what to do about it where a person can do something: for messages.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::UNKNOWN_OPCODE | Self::UNIMPLEMENTED => "the module doesn't know a command: update its firmware",
            Self::POWER_TOO_HIGH => {
                "power too high: set power_dbm to what the module can do, `stowage probe` tells its range"
            }
            Self::POWER_TOO_LOW => {
                "power too low: set power_dbm to what the module can do, `stowage probe` tells its range"
            }
            Self::BAD_BAUD => "baud rate not available: set one that the module knows, such as baud=115200",
            Self::BAD_REGION => {
                "region not available: set region to one that the module has (`stowage probe` tells), or get a module \
                 made for this place"
            }
            Self::FIRMWARE_CRC => "firmware image is damaged: load the module's firmware anew",
            Self::BAD_PROTOCOL | Self::NO_PROTOCOL => "the module can't read Gen2 tags: update its firmware",
            Self::BAD_FREQUENCY | Self::ILLEGAL_FREQUENCY => "frequency not allowed in the region: check the region",
            Self::ANTENNA_NOT_CONNECTED => "an antenna is not connected: check its cable, or take it out of antennas",
            Self::TOO_HOT => "the module is too hot and pauses: lower power_dbm, give it air or a heat sink",
            Self::RETURN_LOSS => {
                "an antenna sends its power back (high return loss): check its cable, connector and surroundings"
            }
            Self::SYSTEM_UNKNOWN | Self::SYSTEM_ASSERT => {
                "the module's firmware failed: switch it off and on; if it comes again, update its firmware"
            }
            _ => match self.name() {
                Some(name) => name,
                None => "the module reports a status that is unknown here",
            },
        }
    }
}

/// Tag protocol 5: EPC Class 1 Generation 2, the one that this crate reads.
pub const PROTOCOL_GEN2: u16 = 5;

/// Reader option: 0 reports each read, 1 each tag once.
pub const OPTION_READ_FILTER: u8 = 0x0C;

/// What of the antennas is asked or set by [`Opcode::GET_ANTENNA`] and [`Opcode::SET_ANTENNA`].
pub mod antenna {
    /// The list that is read by turns: pairs of transmitting and receiving port.
    pub const LIST: u8 = 2;
    /// What hangs at each port: pairs of port and 1 (something that lets direct current through) or 0.
    pub const DETECTED: u8 = 5;
    /// How much of the power each port gets back: pairs of port and return loss in dB.
    pub const RETURN_LOSS: u8 = 6;
    /// The least return loss in dB of an antenna that is worth its cable; an open port has 0 to 2.
    pub const RETURN_LOSS_MIN_DB: u8 = 10;
}

/// Option of a get of power: the limits follow the power, highest first.
pub const POWER_WITH_LIMITS: u8 = 1;

/// In the option octet of a read: metadata flags follow and records carry metadata.
pub const READ_WITH_METADATA: u8 = 0x10;

/// Search flags of a read.
pub mod search {
    /// Bits 0 and 1: use the configured antenna list.
    pub const ANTENNA_LIST: u16 = 0x0003;
    /// Report each tag in a frame of its own, without being asked.
    pub const STREAMING: u16 = 0x0008;
    /// Be ready for many tags.
    pub const LARGE_POPULATION: u16 = 0x0010;
    /// Stream the module's status too; not together with [`STATISTICS`].
    pub const STATUS: u16 = 0x0020;
    /// Stream statistics too; not together with [`STATUS`].
    pub const STATISTICS: u16 = 0x0100;
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn numbers_print_with_their_name_and_unknown_ones_as_they_are() {
        assert_eq!(Status::TOO_HOT.to_string(), "module is too hot (0504)");
        assert_eq!(Status(0x0599).to_string(), "0599");
        assert_eq!(Opcode::CONTINUOUS.to_string(), "continuous reading (2F)");
        assert_eq!(Opcode(0x99).to_string(), "99");
    }
}
