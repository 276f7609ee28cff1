//! The `stowage` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    stowage::cli::main()
}
