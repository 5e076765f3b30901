//! `rustdht config`

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{
    args::Global,
    config::{self, Loaded, Sources},
    exit::{Exit, coded},
    serve::validate,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Files {
    /// A TOML file; may be given several times, later ones win
    #[arg(long = "config", short = 'c', value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Folder of everything the gateway keeps [default: ./rustdht-data]
    #[arg(long, short = 'd', value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl Files {
    /// Loads the configuration with further flags on top.
    pub(crate) fn load(&self, mut flags: Vec<(&'static str, Value)>) -> anyhow::Result<Loaded> {
        if let Some(dir) = &self.data_dir {
            let dir =
                dir.to_str().ok_or_else(|| coded(Exit::Usage, format!("--data-dir {} is not UTF-8", dir.display())))?;
            flags.push(("data_dir", json!(dir)));
        }
        config::load(&Sources::new(self.config.clone(), flags))
    }
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the configuration in effect, as TOML
    Show {
        #[command(flatten)]
        files: Files,
        /// Tell behind each value where it came from
        #[arg(long)]
        origin: bool,
    },
    /// Check the configuration and the files that it names; exit 64 if something is wrong
    Check {
        #[command(flatten)]
        files: Files,
    },
    /// Print a commented example file with every key
    Generate,
}

pub(crate) fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let output = global.output();
    match arguments.command {
        Command::Generate => output.raw(config::example().as_bytes())?,
        Command::Check { files } => {
            validate(&files.load(Vec::new())?.config)?;
            if output.json {
                output.line(json!({ "ok": true }).to_string())?;
            } else {
                output.say("the configuration is sound");
            }
        }
        Command::Show { files, origin } => {
            let loaded = files.load(Vec::new())?;
            let from = |key: &str| if origin { loaded.origin(key) } else { None };
            if output.json {
                output.line(config::to_json(&loaded.config, from).to_string())?;
            } else {
                output.raw(config::to_toml(&loaded.config, from).as_bytes())?;
            }
        }
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn a_folder_that_is_no_text_is_a_usage_error() {
        let data_dir = Some(std::ffi::OsString::from_vec(vec![b'd', 0xff]).into());
        let error = Files { data_dir, ..Files::default() }.load(Vec::new()).unwrap_err();
        assert_eq!(crate::exit::of(&error), Exit::Usage);
    }
}
