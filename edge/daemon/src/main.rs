//! The `stowage` program.

#[path = "../../../tests/include/allocations.rs"]
mod allocations;

use std::process::ExitCode;

fn main() -> ExitCode {
    stowage::cli::main(allocations::allocations)
}
