//! `rustdht user`

use std::path::PathBuf;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::Global,
    client::{Client, escape},
    config::{read_password, read_token},
    output::Output,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "An account is a name and two keys that this gateway keeps sealed: one signs what the account writes, one opens
private nodes that are shared with it. ~KEY and what lies below it are its own.

Examples:
  rustdht user create ada
  rustdht user create ada --password-file ada.password
  rustdht token create --user ada --scope write > ada.token
  rustdht put people/ada name=Ada --token-file ada.token
  rustdht user invite > eve.invite                a code for one account, where gateway.registration = \"invite\"
  rustdht user create eve --password-file eve.password --invite-file eve.invite"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an account
    Create {
        /// 1 to 64 of a-z 0-9 _ . -
        name: String,
        /// File with its password (10 to 1,024 bytes, the line end not counted), `-` is stdin; without one it is used
        /// with tokens only
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// File with an invite code, for who does not run the gateway
        #[arg(long, value_name = "FILE")]
        invite_file: Option<PathBuf>,
    },
    /// List the accounts
    Ls,
    /// Show an account
    Show {
        /// The account
        name: String,
    },
    /// Log in with a password; prints a token for twelve hours
    Login {
        /// The account
        name: String,
        /// File with its password, `-` is stdin
        #[arg(long, value_name = "FILE", default_value = "-")]
        password_file: PathBuf,
    },
    /// Print an invite code, good for one account
    Invite {
        /// How long it is good for, such as 12h or 7d
        #[arg(long, value_name = "TIME", default_value = "7d")]
        expires: String,
    },
    /// Disable an account: it writes nothing, its tokens no longer stand
    Disable {
        /// The account
        name: String,
    },
    /// Enable an account again
    Enable {
        /// The account
        name: String,
    },
    /// Give an account a new signing key, certified by the old one
    Rotate {
        /// The account
        name: String,
    },
    /// Set the password of an account
    Password {
        /// The account
        name: String,
        /// File with the new password, `-` is stdin
        #[arg(long, value_name = "FILE", default_value = "-")]
        password_file: PathBuf,
        /// File with the password until now; who runs the gateway leaves it out
        #[arg(long, value_name = "FILE")]
        current_file: Option<PathBuf>,
    },
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let output = global.output();
    let of = |name: &str, what: &str| format!("/api/v1/accounts/{}{what}", escape(name));
    match arguments.command {
        Command::Create { name, password_file, invite_file } => {
            let password = password_file.as_deref().map(read_password).transpose()?;
            let invite = invite_file.as_deref().map(read_token).transpose()?;
            let body = json!({ "name": name, "password": password, "invite": invite });
            show(output, client.send_json(Method::POST, "/api/v1/accounts", &body).await?)
        }
        Command::Ls => list(&client, output).await,
        Command::Show { name } => show(output, client.get_json(&of(&name, "")).await?),
        Command::Login { name, password_file } => {
            let body = json!({ "name": name, "password": read_password(&password_file)? });
            super::token::made(output, &client.send_json(Method::POST, "/api/v1/sessions", &body).await?)
        }
        Command::Invite { expires } => {
            let body = json!({
                "scopes": ["register"], "note": "invite", "expires_in": super::lifetime::seconds(&expires)?,
            });
            super::token::made(output, &client.send_json(Method::POST, "/api/v1/tokens", &body).await?)
        }
        Command::Disable { name } => change(&client, output, &of(&name, "/disable")).await,
        Command::Enable { name } => change(&client, output, &of(&name, "/enable")).await,
        Command::Rotate { name } => change(&client, output, &of(&name, "/rotate")).await,
        Command::Password { name, password_file, current_file } => {
            let current = current_file.as_deref().map(read_password).transpose()?;
            let body = json!({ "password": read_password(&password_file)?, "current": current });
            show(output, client.send_json(Method::PUT, &of(&name, "/password"), &body).await?)
        }
    }
}

async fn change(client: &Client, output: Output, path: &str) -> anyhow::Result<()> {
    let answer = client.text(client.request(Method::POST, path)).await?;
    show(output, serde_json::from_str(&answer).context("the gateway's answer is no account")?)
}

async fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let mut none = true;
    for account in client.pages("/api/v1/accounts", "accounts").await? {
        none = false;
        if output.json { output.line(account.to_string())? } else { output.line(row(&account))? }
    }
    if none {
        output.say("there are no accounts; make one with: rustdht user create NAME");
    }
    Ok(())
}

fn row(account: &Value) -> String {
    let text = |key: &str| account[key].as_str().unwrap_or("-").to_owned();
    let state = if account["disabled"].is_null() { "" } else { "  disabled" };
    format!("{:<20} {}  {}{state}", text("name"), text("key"), text("created"))
}

#[expect(clippy::needless_pass_by_value, reason = "it is the last use of every answer")]
fn show(output: Output, account: Value) -> anyhow::Result<()> {
    if output.json {
        return output.line(account.to_string());
    }
    for (name, key) in [("name", "name"), ("key", "key"), ("signs as", "signer"), ("recipient", "recipient")] {
        output.line(format!("{name:<10} {}", account[key].as_str().unwrap_or("-")))?;
    }
    output.line(format!("{:<10} ~{}", "own nodes", account["key"].as_str().unwrap_or("-")))?;
    output.line(format!("{:<10} {}", "created", account["created"].as_str().unwrap_or("-")))?;
    output.line(format!("{:<10} {}", "disabled", account["disabled"].as_str().unwrap_or("no")))
}
