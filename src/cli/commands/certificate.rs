//! `rustdht certificate`

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use reqwest::{Method, header};
use serde_json::{Value, json};

use super::{lifetime, written};
use crate::{args::Global, client::escape, output::Output};

/// The media type of a signed certificate and those above it.
const SIGNED: &str = "application/vnd.rustdht.certificate+cbor";
/// The gateway takes at most 128 KiB.
const MAX_CHAIN_BYTES: u64 = 128 * 1024;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A certificate lets somebody else write below ~KEY, on every gateway of the network. With a token of an account the
account issues, else the owner of this gateway.

Examples:
  rustdht certificate issue --to charles --prefix ~KEY/blog --token-file ada.token
  rustdht certificate ls --token-file ada.token
  rustdht certificate revoke bafy... --keep --token-file ada.token"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Issue a certificate and print its id
    Issue {
        /// Who may: a key, or the name of an account of this gateway
        #[arg(long, value_name = "KEY|NAME")]
        to: String,
        /// A soul that it is for, with what lies below it; may be given several times; without one all of the space
        #[arg(long, value_name = "SOUL")]
        prefix: Vec<String>,
        /// A field that it is for; may be given several times; without one all
        #[arg(long, value_name = "FIELD")]
        field: Vec<String>,
        /// write, delegate (pass it on), endorse; may be given several times [default: write]
        #[arg(long, value_name = "RIGHT", value_delimiter = ',')]
        right: Vec<String>,
        /// How long it lasts, such as 12h or 30d
        #[arg(long, value_name = "TIME", default_value = "365d")]
        expires: String,
        /// ~KEY whose nodes it is for, when that is somebody else's that may be passed on
        #[arg(long, value_name = "~KEY")]
        space: Option<String>,
    },
    /// List the certificates that the caller issued or holds
    Ls {
        /// Those that this key or account issued
        #[arg(long, value_name = "KEY|NAME")]
        issuer: Option<String>,
        /// Those that were issued to this key or account
        #[arg(long, value_name = "KEY|NAME")]
        to: Option<String>,
    },
    /// Show a certificate
    Show {
        /// Its id
        id: String,
    },
    /// Print a certificate as signed, with those above it, for its holder to bring to another gateway
    Export {
        /// Its id
        id: String,
    },
    /// Keep a certificate that was exported elsewhere; with a token of the account that holds it
    Add {
        /// File with it, `-` is stdin
        file: PathBuf,
    },
    /// Revoke a certificate: what was written under it is hidden everywhere
    Revoke {
        /// Its id
        id: String,
        /// Write again, as the caller, what is shown from under it
        #[arg(long)]
        keep: bool,
    },
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let output = global.output();
    match arguments.command {
        Command::Issue { to, prefix, field, right, expires, space } => {
            let body = json!({
                "audience": to, "prefixes": prefix, "fields": field, "rights": right, "space": space,
                "expires_in": lifetime::seconds(&expires)?,
            });
            let answer = client.send_json(Method::POST, "/api/v1/certificates", &body).await?;
            if output.json {
                return output.line(answer.to_string());
            }
            output.line(answer["id"].as_str().unwrap_or_default())
        }
        Command::Ls { issuer, to } => {
            let given = [("issuer", issuer), ("audience", to)];
            let query: Vec<String> =
                given.iter().filter_map(|(name, value)| Some(format!("{name}={}", escape(value.as_ref()?)))).collect();
            let answer = client.get_json(&format!("/api/v1/certificates?{}", query.join("&"))).await?;
            for certificate in answer["certificates"].as_array().into_iter().flatten() {
                if output.json { output.line(certificate.to_string())? } else { output.line(row(certificate))? }
            }
            Ok(())
        }
        Command::Show { id } => {
            let answer = client.get_json(&format!("/api/v1/certificates/{}", escape(&id))).await?;
            show(output, &answer)
        }
        Command::Export { id } => {
            let path = format!("/api/v1/certificates/{}", escape(&id));
            let answer = client.send(client.request(Method::GET, &path).header(header::ACCEPT, SIGNED)).await?;
            output.raw(&answer.bytes().await.map_err(|error| client.unreachable(&error))?)?;
            output.flush()
        }
        Command::Add { file } => {
            let request = client
                .request(Method::POST, "/api/v1/certificates")
                .header(header::CONTENT_TYPE, SIGNED)
                .body(read(&file)?);
            let answer = client.text(request).await?;
            show(output, &serde_json::from_str(&answer).context("the gateway's answer is no certificate")?)
        }
        Command::Revoke { id, keep } => {
            let path = format!("/api/v1/certificates/{}/revoke?keep={keep}", escape(&id));
            let answer = client.text(client.request(Method::POST, &path)).await?;
            written::report(output, &answer)
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let shown = file.display();
    let count = if file.as_os_str() == "-" {
        std::io::stdin().take(MAX_CHAIN_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|open| open.take(MAX_CHAIN_BYTES + 1).read_to_end(&mut bytes))
    };
    let count = count.with_context(|| format!("cannot read {shown}"))?;
    anyhow::ensure!(count as u64 <= MAX_CHAIN_BYTES, "{shown} is too large for a certificate");
    Ok(bytes)
}

fn list(value: &Value) -> String {
    let items: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    items.join(",")
}

fn row(certificate: &Value) -> String {
    let text = |key: &str| certificate[key].as_str().unwrap_or("-").to_owned();
    let state = if certificate["revoked"] == true { "revoked" } else { &format!("until {}", text("not_after")) };
    format!(
        "{}  to {}  {}  {}  {state}",
        text("id"),
        text("audience"),
        list(&certificate["rights"]),
        list(&certificate["prefixes"])
    )
}

fn show(output: Output, certificate: &Value) -> anyhow::Result<()> {
    if output.json {
        return output.line(certificate.to_string());
    }
    let rows = [
        ("id", "id"),
        ("issuer", "issuer"),
        ("audience", "audience"),
        ("space", "space"),
        ("prefixes", "prefixes"),
        ("fields", "fields"),
        ("rights", "rights"),
        ("from", "not_before"),
        ("until", "not_after"),
        ("parent", "parent"),
    ];
    for (name, key) in rows {
        let value = match &certificate[key] {
            Value::Array(items) if items.is_empty() => "all".to_owned(),
            value @ Value::Array(_) => list(value),
            value => value.as_str().unwrap_or("-").to_owned(),
        };
        output.line(format!("{name:<9} {value}"))?;
    }
    output.line(format!("{:<9} {}", "revoked", if certificate["revoked"] == true { "yes" } else { "no" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let certificate = json!({
            "id": "bafy", "audience": "z6Mk", "rights": ["write", "delegate"], "prefixes": ["~z/blog"],
            "not_after": "T", "revoked": false,
        });
        assert_eq!(row(&certificate), "bafy  to z6Mk  write,delegate  ~z/blog  until T");
    }
}
