//! Everything end to end: the programs as separate processes, over real sockets, ports and brokers, with independent
//! witnesses. One program, so that all its tests share the machine.

mod board;
mod commit_conformance;
mod demo;
mod discrepancy;
mod fixed_readers;
mod hostile;
mod kill;
mod mqtt;
mod portal;
mod probe;
mod robot;
mod robots;
mod scanner;
mod smart_readers;
mod sorter;
mod sorter_plc;
mod start;
mod uart;
mod vectors;
mod witness;
