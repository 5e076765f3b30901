//! The `rustdht` binary. The folders beside this file are crates of their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    rustdht_cli::main()
}
