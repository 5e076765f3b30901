//! `rustdht token`

use std::path::PathBuf;

use anyhow::Context as _;
use reqwest::Method;
use rustdht_gateway::Narrowing;
use serde_json::{Value, json};

use super::lifetime;
use crate::{
    args::Global,
    client::escape,
    config::read_token,
    output::{Output, cut},
    serve::{now_seconds, random},
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A token is a biscuit: whoever holds it can narrow it further without the gateway, and pass that on.

Examples:
  rustdht token create --user ada --scope write > ada.token
  rustdht token create --user ada --scope read --prefix blog --expires 30d --note 'for the website'
  rustdht token narrow ada.token --scope read --prefix people --expires 1h > guest.token
  rustdht token revoke 0123456789abcdef0123456789abcdef"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a token and print it, this once
    Create {
        /// The account that it speaks for; without one the owner, or the account whose token is used
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// read, write (includes read), admin (includes all), register (an invite code); may be given several times
        #[arg(long, required = true, value_name = "SCOPE", value_delimiter = ',')]
        scope: Vec<String>,
        /// A soul that it is for, with what lies below it; may be given several times; without one every soul
        #[arg(long, value_name = "SOUL")]
        prefix: Vec<String>,
        /// What it is for
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
        /// How long it lasts, such as 12h or 30d
        #[arg(long, value_name = "TIME", default_value = "90d")]
        expires: String,
    },
    /// List the tokens; their texts are not kept
    Ls,
    /// Revoke a token, and every one that was narrowed from it
    Revoke {
        /// Its id, as `ls` shows it
        id: String,
    },
    /// Print a token that is good for less; works without a gateway
    Narrow {
        /// File with the token
        file: PathBuf,
        /// What it is still for; may be given several times
        #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
        scope: Vec<String>,
        /// A soul that it is still for, with what lies below it; may be given several times
        #[arg(long, value_name = "SOUL")]
        prefix: Vec<String>,
        /// How long it still lasts, such as 1h
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let output = global.output();
    match arguments.command {
        Command::Create { user, scope, prefix, note, expires } => {
            let body = json!({
                "user": user, "scopes": scope, "prefixes": prefix, "note": note,
                "expires_in": lifetime::seconds(&expires)?,
            });
            made(output, &global.client()?.send_json(Method::POST, "/api/v1/tokens", &body).await?)
        }
        Command::Ls => {
            for token in global.client()?.pages("/api/v1/tokens", "tokens").await? {
                if output.json { output.line(token.to_string())? } else { output.line(row(&token))? }
            }
            Ok(())
        }
        Command::Revoke { id } => {
            let client = global.client()?;
            client.send(client.request(Method::DELETE, &format!("/api/v1/tokens/{}", escape(&id)))).await?;
            if output.json {
                return output.line(json!({ "revoked": id }).to_string());
            }
            output.say("revoked");
            Ok(())
        }
        Command::Narrow { file, scope, prefix, expires } => {
            let expires = expires.map(|time| lifetime::seconds(&time)).transpose()?;
            let expires_s = expires.map(|seconds| now_seconds().saturating_add(seconds));
            let narrowing = Narrowing { scopes: scope, prefixes: prefix, expires_s };
            let token = rustdht_gateway::narrow(&read_token(&file)?, &narrowing, &random())
                .with_context(|| format!("the token in {} cannot be narrowed", file.display()))?;
            if output.json { output.line(json!({ "token": token }).to_string()) } else { output.line(token) }
        }
    }
}

/// Prints a new token: its text alone on stdout, what it is on stderr.
pub(super) fn made(output: Output, answer: &Value) -> anyhow::Result<()> {
    if output.json {
        return output.line(answer.to_string());
    }
    output.line(answer["token"].as_str().context("the gateway answers no token")?)?;
    let text = |key: &str| answer[key].as_str().unwrap_or("-").to_owned();
    output.say(format!("id {}, good until {}; it is not shown again", text("id"), text("expires")));
    Ok(())
}

fn row(token: &Value) -> String {
    let text = |key: &str| token[key].as_str().unwrap_or("-").to_owned();
    let list = |key: &str| {
        let items: Vec<&str> = token[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        items.join(",")
    };
    let user = token["user"].as_str().unwrap_or("(owner)");
    let prefixes = if list("prefixes").is_empty() { "all nodes".to_owned() } else { list("prefixes") };
    let state = match token["revoked"].as_str() {
        Some(when) => format!("revoked {when}"),
        None => format!("until {}", text("expires")),
    };
    let row = format!(
        "{}  {user:<16} {:<11} {state}  {}  {}",
        text("id"),
        list("scopes"),
        cut(&prefixes, 40),
        cut(token["note"].as_str().unwrap_or_default(), 40)
    );
    row.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let token = json!({
            "id": "01", "user": "ada", "scopes": ["read", "write"], "prefixes": [], "note": "login",
            "expires": "T", "revoked": null,
        });
        assert_eq!(row(&token), "01  ada              read,write  until T  all nodes  login");
        let token = json!({ "id": "02", "user": null, "scopes": ["admin"], "prefixes": ["a", "b"], "note": "", "revoked": "T" });
        assert_eq!(row(&token), "02  (owner)          admin       revoked T  a,b");
    }
}
