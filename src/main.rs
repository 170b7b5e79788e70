//! The `fewshot` command; `cli/` has one file a subcommand and sees the public library only.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
