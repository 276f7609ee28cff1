//! The command line: one module for each subcommand, each a function over its input and `Output`.
//!
//! Exit status: 0 good, 1 the job failed, 2 wrong usage. Results go to standard output, as JSON lines with `--json` or
//! where it is no terminal, else as a table; logs and complaints to standard error.

mod bench;
mod check;
mod decode;
mod encode;
mod facts;
mod output;
mod probe;
mod replay;
mod restored;
mod run;
mod verify;

use clap::{Parser, Subcommand};
use output::Output;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

/// Warehouse automation and RFID edge controller.
///
/// Exit status: 0 good, 1 the job failed, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "stowage", version, max_term_width = 100, arg_required_else_help = true)]
struct Args {
    /// Print JSON lines even to a terminal
    #[arg(long, global = true, display_order = 100)]
    json: bool,
    /// Log more to standard error
    #[arg(long, short, global = true, display_order = 101)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Facts(facts::Args),
    Verify(verify::Args),
    Restored(restored::Args),
    Probe(probe::Args),
    Replay(replay::Args),
    /// Tell what codes and frames say, one answer a line
    #[command(subcommand)]
    Decode(decode::Command),
    /// Make a tag's bits of what they are to say, one answer a line
    #[command(subcommand)]
    Encode(encode::Command),
    /// Measure this machine against hand-written floors
    #[command(subcommand)]
    Bench(bench::Command),
}

/// Why a subcommand ends without success.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The job was done and its answer is bad; the output says so already.
    #[error("")]
    Bad,
    /// The job can't be done.
    #[error("{0}")]
    Job(String),
    /// Standard output can't be written.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command that the process was started with. `allocations` counts those of the calling thread.
pub fn main(allocations: fn() -> u64) -> ExitCode {
    // A process has one main.
    let _ = bench::presence::ALLOCATIONS.set(allocations);
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    ExitCode::from(run(std::env::args_os(), &mut io::stdin().lock(), &mut stdout.lock(), &mut io::stderr(), terminal))
}

/// Runs the command `args` (the program's name first) on these streams; returns the exit status.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    input: &mut dyn Read,
    out: &mut dyn Write,
    err: &mut dyn Write,
    terminal: bool,
) -> u8 {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Help and version are results, wrong usage is a complaint.
            let text = error.render();
            let text = if terminal { text.ansi().to_string() } else { text.to_string() };
            let (written, status) =
                if error.use_stderr() { (write!(err, "{text}"), 2) } else { (write!(out, "{text}"), 0) };
            // Nothing is left to tell it to.
            drop(written);
            return status;
        }
    };
    log(args.verbose);
    // https://no-color.org
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut output = Output::new(out, args.json || !terminal, colours);
    let result = match args.command {
        Command::Run(args) => run::run(&args, &mut output),
        Command::Check(args) => check::run(&args, &mut output),
        Command::Facts(args) => facts::run(&args, &mut output),
        Command::Verify(args) => verify::run(&args, &mut output),
        Command::Restored(args) => restored::run(&args, &mut output),
        Command::Probe(args) => probe::run(&args, &mut output),
        Command::Replay(args) => replay::run(&args, &mut output),
        Command::Decode(command) => decode::run(&command, input, &mut output),
        Command::Encode(command) => encode::run(&command, input, &mut output),
        Command::Bench(command) => bench::run(&command, &mut output),
    };
    match result.and_then(|()| Ok(output.flush()?)) {
        Ok(()) => 0,
        // Whoever read our output has seen enough: `stowage facts … | head`.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(Error::Bad) => output.flush().map_or(1, |()| 1),
        Err(error) => {
            let _ = writeln!(err, "stowage: {error}");
            1
        }
    }
}

/// Logs to standard error, once for the process.
fn log(verbose: bool) {
    let level = if verbose { tracing::Level::DEBUG } else { tracing::Level::INFO };
    let subscriber = tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level).with_target(false);
    // A second call, as tests make it, changes nothing.
    let _ = subscriber.with_ansi(io::stderr().is_terminal()).try_init();
}

#[cfg(test)]
mod testing {
    use std::ffi::OsString;

    /// Status, standard output and standard error of `stowage ARGS` fed with `input`, no terminal.
    pub(super) fn stowage(args: &[&str], input: &[u8]) -> (u8, String, String) {
        run(args, input, false)
    }

    /// As [`stowage`], at a terminal; without the colours.
    pub(super) fn at_terminal(args: &[&str], input: &[u8]) -> (u8, String, String) {
        let (status, out, err) = in_colour(args, input);
        let plain = ["\x1b[1m", "\x1b[31m", "\x1b[0m"].iter().fold(out, |out, code| out.replace(code, ""));
        (status, plain, err)
    }

    /// As [`stowage`], at a terminal with colours.
    pub(super) fn in_colour(args: &[&str], input: &[u8]) -> (u8, String, String) {
        run(args, input, true)
    }

    fn run(args: &[&str], mut input: &[u8], terminal: bool) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args = std::iter::once("stowage").chain(args.iter().copied()).map(OsString::from);
        let status = super::run(args, &mut input, &mut out, &mut err, terminal);
        (status, String::from_utf8(out).expect("text"), String::from_utf8(err).expect("text"))
    }

    /// The JSON of each line.
    pub(super) fn json(out: &str) -> Vec<serde_json::Value> {
        out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{at_terminal, in_colour, stowage};
    use super::*;

    #[test]
    fn wrong_usage_is_told_apart_from_help() {
        for (args, status) in [(&["--help"][..], 0), (&["--version"], 0), (&["decode", "epc", "--help"], 0)] {
            let (got, out, err) = stowage(args, b"");
            assert_eq!((got, err.as_str()), (status, ""), "{args:?}");
            assert!(!out.is_empty() && !out.contains('\u{1b}'), "{args:?}");
        }
        for args in
            [&[][..], &["no-such"], &["check"], &["decode", "mercury"], &["facts"], &["decode", "epc", "--bogus"]]
        {
            let (got, out, err) = stowage(args, b"");
            assert_eq!((got, out.as_str()), (2, ""), "{args:?}");
            assert!(!err.is_empty(), "{args:?}");
        }
        assert!(at_terminal(&["--help"], b"").1.contains("decode"));
        let table = in_colour(&["decode", "llrp", "--hex"], b"043E0000000A00000007\nno hex\n").1;
        let rows: Vec<_> = table.lines().collect();
        assert!(rows[0].starts_with("\x1b[1mMESSAGE") && rows[0].ends_with("\x1b[0m"), "{table}");
        assert!(rows[1].starts_with("KEEPALIVE") && rows[2].starts_with("\x1b[31m-"), "{table}");
    }

    #[test]
    fn every_help_text_has_a_first_line() {
        fn walk(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in
                command.get_arguments().filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
            {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(walk);
        }
        let command = <Args as clap::CommandFactory>::command();
        command.clone().debug_assert();
        walk(&command);
    }

    #[test]
    fn a_broken_pipe_ends_quietly() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let args = ["stowage", "decode", "epc"].map(OsString::from);
        let (mut input, mut err) = (&b"30\n31\n"[..], Vec::new());
        assert_eq!((run(args, &mut input, &mut Closed, &mut err, false), err), (0, Vec::new()));
    }
}
