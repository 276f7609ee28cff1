//! A debugger at a board: as much of GDB's remote protocol as stops it at an instruction and reads its registers.

use crate::until;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection to the board's stub. The board stands still but in [`run`](Self::run) and [`step`](Self::step).
pub struct Debugger {
    line: UnixStream,
}

impl Debugger {
    /// Stops the board, by being there.
    ///
    /// # Panics
    /// Nothing listens at the socket.
    pub fn attach(socket: &Path) -> Self {
        let line = until("the board's debugging stub", || UnixStream::connect(socket).ok());
        Self { line }
    }

    /// From now on the board stops before the instruction at `address`.
    ///
    /// # Errors
    /// The board is gone.
    pub fn break_at(&mut self, address: u32) -> io::Result<()> {
        // The lowest bit of a function's address only says that it is Thumb code.
        let answer = self.ask(&format!("Z1,{:x},2", address & !1))?;
        assert_eq!(answer, "OK", "a breakpoint");
        Ok(())
    }

    /// Lets the board run until it stops.
    ///
    /// # Errors
    /// The board is gone.
    pub fn run(&mut self) -> io::Result<()> {
        self.send("c")?;
        self.stopped()
    }

    /// Lets the board run for one instruction: off a breakpoint.
    ///
    /// # Errors
    /// The board is gone.
    pub fn step(&mut self) -> io::Result<()> {
        self.send("s")?;
        self.stopped()
    }

    /// What r0 and r1 hold: a function's arguments at its first instruction.
    ///
    /// # Errors
    /// The board is gone.
    pub fn arguments(&mut self) -> io::Result<[u32; 2]> {
        let registers = self.ask("g")?;
        let register = |index: usize| {
            let hex = registers.get(index * 8..index * 8 + 8).and_then(|hex| u32::from_str_radix(hex, 16).ok());
            hex.map(u32::swap_bytes).unwrap_or_else(|| panic!("registers: {registers}"))
        };
        Ok([register(0), register(1)])
    }

    /// The answer to a command that doesn't let the board run. That it has stopped is also told out of turn.
    fn ask(&mut self, command: &str) -> io::Result<String> {
        self.send(command)?;
        loop {
            let answer = self.answer()?;
            if !answer.starts_with('T') {
                return Ok(answer);
            }
        }
    }

    fn stopped(&mut self) -> io::Result<()> {
        while !self.answer()?.starts_with('T') {}
        Ok(())
    }

    fn send(&mut self, command: &str) -> io::Result<()> {
        let sum = command.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.line, "${command}#{sum:02x}")
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut octet = || {
            let mut octet = [0];
            self.line.read_exact(&mut octet).map(|()| octet[0])
        };
        while octet()? != b'$' {}
        let mut answer = String::new();
        loop {
            match octet()? {
                b'#' => break,
                other => answer.push(other.into()),
            }
        }
        let _sum = [octet()?, octet()?]; // a socket changes nothing
        self.line.write_all(b"+")?;
        Ok(answer)
    }
}
