//! The simulator's command line: see [`stowage_sim::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    stowage_sim::cli::main()
}
