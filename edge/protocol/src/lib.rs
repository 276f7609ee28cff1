//! The protocols that Stowage speaks with devices and other systems, as codecs and sessions without I/O.
//!
//! Bytes and a time go in, values and bytes come out. Where Stowage simulates a device, its end lives here too.

pub mod impinj_iot;
pub mod llrp;
pub mod modbus;
pub mod modbus_sorter;
pub mod reader_mqtt;
pub mod sorter;
pub mod sorter_mqtt;
pub mod vda5050;
pub mod zebra_iotc;
