//! `rustdht schema`

use std::{io::Read as _, path::PathBuf};

use anyhow::Context as _;
use reqwest::{Method, header};
use serde_json::json;

use crate::{args::Global, client::escape};

/// The gateway takes at most 64 KiB.
const MAX_SCHEMA_BYTES: u64 = 128 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "A schema holds for nodes whose field `type` is the type, and for writes at this gateway only.

Examples:
  rustdht schema put person person.schema.json
  rustdht schema ls
  rustdht schema rm person")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Set the schema of a type
    Put {
        /// The type
        r#type: String,
        /// A JSON Schema over the fields as `get` shows them, `-` is stdin
        file: PathBuf,
    },
    /// List the types that have a schema
    Ls,
    /// Print the schema of a type
    Show {
        /// The type
        r#type: String,
    },
    /// Take the schema of a type away
    Rm {
        /// The type
        r#type: String,
    },
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let output = global.output();
    let of = |name: &str| format!("/api/v1/schemas/{}", escape(name));
    match arguments.command {
        Command::Put { r#type, file } => {
            let request = client
                .request(Method::PUT, &of(&r#type))
                .header(header::CONTENT_TYPE, "application/json")
                .body(read(&file)?);
            let answer = client.text(request).await?;
            if output.json {
                return output.line(answer.trim());
            }
            output.say(["writes of type ", &r#type, " have to fit from now on"].concat());
            Ok(())
        }
        Command::Ls => {
            let answer = client.get_json("/api/v1/schemas").await?;
            for schema in answer["schemas"].as_array().into_iter().flatten() {
                let text = |key: &str| schema[key].as_str().unwrap_or("-");
                if output.json {
                    output.line(schema.to_string())?;
                } else {
                    output.line(format!("{:<24} {}", text("type"), text("updated")))?;
                }
            }
            Ok(())
        }
        Command::Show { r#type } => {
            let answer = client.get_json(&of(&r#type)).await?;
            output.json_text(&answer["schema"].to_string())
        }
        Command::Rm { r#type } => {
            client.send(client.request(Method::DELETE, &of(&r#type))).await?;
            if output.json {
                return output.line(json!({ "removed": r#type }).to_string());
            }
            output.say("removed");
            Ok(())
        }
    }
}

fn read(file: &PathBuf) -> anyhow::Result<String> {
    let mut text = String::new();
    let shown = file.display();
    let count = if file.as_os_str() == "-" {
        std::io::stdin().take(MAX_SCHEMA_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(MAX_SCHEMA_BYTES + 1).read_to_string(&mut text))
    };
    let count = count.with_context(|| format!("cannot read {shown}"))?;
    anyhow::ensure!(count as u64 <= MAX_SCHEMA_BYTES, "{shown} is too large for a schema");
    Ok(text)
}
