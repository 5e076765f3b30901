//! `rustdht completions`

use clap_complete::Shell;

use crate::{args, output::Output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  rustdht completions bash > ~/.local/share/bash-completion/completions/rustdht")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(output: Output, arguments: &Arguments) -> anyhow::Result<()> {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut args::command(), "rustdht", &mut script);
    output.raw(&script)?;
    output.flush()
}
