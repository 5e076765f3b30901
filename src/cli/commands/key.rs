//! `rustdht key`

use std::path::PathBuf;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::{args::Global, client::escape, output::Output};

/// Greatest file of a key: PEM is some 120 bytes.
const MAX_KEY_FILE_BYTES: u64 = 4096;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each key publishes one IPNS name; `self` is that of the gateway's peer id. Keys are Ed25519 and kept sealed.

Examples:
  rustdht key gen site
  rustdht name publish --key site bafybei...
  ipfs key export -o site.key site && rustdht key import site site.key"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key and print the name that it publishes
    Gen {
        /// What it is to be called: 1 to 64 of a-z A-Z 0-9 _ . -
        key: String,
    },
    /// List the keys and their names
    Ls,
    /// Take a key from elsewhere: what `ipfs key export` writes, in either format
    Import {
        /// What it is to be called
        key: String,
        /// Its file, `-` is stdin
        file: PathBuf,
    },
    /// Remove a key for good: nobody can publish its name any more
    Rm {
        /// The key
        key: String,
    },
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let output = global.output();
    match arguments.command {
        Command::Gen { key } => {
            let made = client.send_json(Method::POST, "/api/v1/keys", &json!({ "key": key })).await?;
            print(output, &made)
        }
        Command::Ls => {
            let answer = client.get_json("/api/v1/keys").await?;
            let keys = answer["keys"].as_array().cloned().unwrap_or_default();
            if output.json {
                return keys.iter().try_for_each(|key| output.line(key.to_string()));
            }
            keys.iter().try_for_each(|key| output.line(row(key)))
        }
        Command::Import { key, file } => {
            let (reader, _) = super::add::open(&file).await?;
            let mut bytes = Vec::new();
            reader
                .take(MAX_KEY_FILE_BYTES + 1)
                .read_to_end(&mut bytes)
                .await
                .with_context(|| format!("cannot read {}", file.display()))?;
            anyhow::ensure!(bytes.len() as u64 <= MAX_KEY_FILE_BYTES, "{} is no key: it is too large", file.display());
            let private = data_encoding::BASE64.encode(&bytes);
            let made =
                client.send_json(Method::POST, "/api/v1/keys", &json!({ "key": key, "private": private })).await?;
            print(output, &made)
        }
        Command::Rm { key } => {
            let path = format!("/api/v1/keys/{}", escape(&key));
            let gone = client.text(client.request(Method::DELETE, &path)).await?;
            if output.json {
                return output.line(gone.trim());
            }
            output.say(format!("{key} is removed; what it published is gone when its time is over"));
            Ok(())
        }
    }
}

/// The name alone, for programs that go on with it.
fn print(output: Output, key: &Value) -> anyhow::Result<()> {
    if output.json { output.line(key.to_string()) } else { output.line(key["name"].as_str().unwrap_or_default()) }
}

fn row(key: &Value) -> String {
    format!("{:<24} {}", key["key"].as_str().unwrap_or("-"), key["name"].as_str().unwrap_or("-"))
}
