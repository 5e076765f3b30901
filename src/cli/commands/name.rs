//! `rustdht name`

use reqwest::Method;
use serde_json::json;

use super::lifetime;
use crate::{args::Global, client::escape};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A name is published with a key (`rustdht key`), and again every four hours while the gateway runs.

Examples:
  rustdht name publish bafybei...
  rustdht name publish --key site /ipfs/bafybei.../public --ttl 1m
  rustdht name resolve k51...
  rustdht name resolve docs.ipfs.tech"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Let a name stand for something
    Publish {
        /// A CID, /ipfs/CID/path or /ipns/NAME
        value: String,
        /// The key whose name it is
        #[arg(long, default_value = "self")]
        key: String,
        /// How long a record is valid, such as 48h [default: 48h]
        #[arg(long, value_name = "TIME")]
        lifetime: Option<String>,
        /// How long others may keep it before they ask again, such as 5m [default: 5m]
        #[arg(long, value_name = "TIME")]
        ttl: Option<String>,
    },
    /// Print what a name stands for
    Resolve {
        /// An IPNS name or a domain, with /ipns/ or without
        name: String,
        /// Follow this name only, not those that it stands for
        #[arg(long)]
        no_recursive: bool,
        /// Only what is known here
        #[arg(long)]
        local: bool,
    },
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let output = global.output();
    match arguments.command {
        Command::Publish { value, key, lifetime, ttl } => {
            let seconds = |text: Option<String>| text.map(|text| lifetime::seconds(&text)).transpose();
            let body = json!({ "key": key, "value": value, "lifetime_s": seconds(lifetime)?, "ttl_s": seconds(ttl)? });
            let published = client.send_json(Method::POST, "/api/v1/names", &body).await?;
            if output.json {
                return output.line(published.to_string());
            }
            let text = |key: &str| published[key].as_str().unwrap_or("-").to_owned();
            output.say(format!("{} until {}", text("value"), text("valid_until")));
            output.line(format!("/ipns/{}", text("name")))
        }
        Command::Resolve { name, no_recursive, local } => {
            let name = ["ipns://", "/ipns/"].iter().find_map(|start| name.strip_prefix(start)).unwrap_or(&name);
            let (root, path) = name.split_once('/').map_or((name, ""), |(root, path)| (root, path));
            let query = format!("?recursive={}&local={local}", !no_recursive);
            let found = client.get_json(&format!("/api/v1/names/{}{query}", escape(root))).await?;
            if output.json {
                return output.line(found.to_string());
            }
            let value = found["value"].as_str().unwrap_or_default().trim_end_matches('/');
            output.line(if path.is_empty() { value.to_owned() } else { format!("{value}/{path}") })
        }
    }
}
