//! `rustdht share` and `rustdht unshare`

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::Global,
    client::{Client, escape},
    exit::{Exit, coded},
    output::Output,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Makes a node of one's own space private: its values are ciphertext to everybody else, on every gateway and in every
database. Soul, field names, authors and sizes stay visible. Without --with it tells who reads the node.

Examples:
  rustdht share ~KEY/diary --with charles --with z6Mk... --token-file ada.token
  rustdht share ~KEY/diary --token-file ada.token
  rustdht unshare ~KEY/diary --with charles --token-file ada.token"
)]
pub(crate) struct Arguments {
    /// The node
    soul: String,
    /// Who may read it from now on: a key, or the name of an account of this gateway; may be given several times
    #[arg(long, value_name = "NAME|KEY")]
    with: Vec<String>,
    /// Make it private for the caller alone
    #[arg(long, conflicts_with = "with")]
    nobody: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "They read what was there until now and nothing that is written later.

Example:
  rustdht unshare ~KEY/diary --with charles --token-file ada.token")]
pub(crate) struct UnshareArguments {
    /// The node
    soul: String,
    /// Who may no longer read it: a key, or the name of an account of this gateway; may be given several times
    #[arg(long, value_name = "NAME|KEY", required = true)]
    with: Vec<String>,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = (global.client()?, global.output());
    let now = current(&client, &arguments.soul).await?;
    if arguments.with.is_empty() && !arguments.nobody {
        return show(output, &now);
    }
    let mut keys = readers(&now);
    keys.extend(arguments.with);
    show(output, &put(&client, &arguments.soul, &keys).await?)
}

pub(crate) async fn unshare(global: &Global, arguments: UnshareArguments) -> anyhow::Result<()> {
    let (client, output) = (global.client()?, global.output());
    let now = current(&client, &arguments.soul).await?;
    let keys = without(&now, &arguments.with)?;
    show(output, &put(&client, &arguments.soul, &keys).await?)
}

async fn current(client: &Client, soul: &str) -> anyhow::Result<Value> {
    client.get_json(&format!("/api/v1/recipients/{}", escape(soul))).await
}

async fn put(client: &Client, soul: &str, keys: &[String]) -> anyhow::Result<Value> {
    let path = format!("/api/v1/recipients/{}", escape(soul));
    client.send_json(Method::PUT, &path, &json!({ "recipients": keys })).await
}

/// The keys of those who read the node now.
fn readers(now: &Value) -> Vec<String> {
    let current = now["recipients"].as_array().into_iter().flatten().filter(|recipient| recipient["current"] == true);
    current.filter_map(|recipient| recipient["key"].as_str().map(str::to_owned)).collect()
}

/// The keys of those who are left.
fn without(now: &Value, gone: &[String]) -> anyhow::Result<Vec<String>> {
    let mut keys = readers(now);
    for name in gone {
        let recipients = now["recipients"].as_array().into_iter().flatten();
        let mut named = recipients.filter(|one| one["key"] == name.as_str() || one["user"] == name.as_str());
        let key = named.next().and_then(|one| one["key"].as_str());
        let at = keys.iter().position(|held| Some(held.as_str()) == key);
        let Some(at) = at else {
            return Err(coded(Exit::NotFound, format!("{name:?} is not among those who read it")));
        };
        keys.remove(at);
    }
    Ok(keys)
}

fn show(output: Output, answer: &Value) -> anyhow::Result<()> {
    if output.json {
        return output.line(answer.to_string());
    }
    let recipients = answer["recipients"].as_array().cloned().unwrap_or_default();
    if recipients.is_empty() {
        output.say("the node is not private");
    }
    for recipient in &recipients {
        let was = if recipient["current"] == true { "" } else { "  (until it was taken out)" };
        let key = recipient["key"].as_str().unwrap_or("-");
        output.line(format!("{key}  {}{was}", recipient["user"].as_str().unwrap_or("-")))?;
    }
    for field in answer["left_plain"].as_array().into_iter().flatten() {
        output.say(format!("field {field} stays readable: somebody else wrote it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_left() {
        let now = json!({ "recipients": [
            { "key": "k1", "user": "ada", "current": true },
            { "key": "k2", "user": null, "current": true },
            { "key": "k3", "user": "old", "current": false },
        ]});
        let left = |gone: &[&str]| without(&now, &gone.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(left(&["ada"]).unwrap(), ["k2"]);
        assert_eq!(left(&["k2"]).unwrap(), ["k1"]);
        assert!(left(&["ada", "k2"]).unwrap().is_empty());
        for gone in ["old", "nobody", "k3"] {
            assert_eq!(crate::exit::of(&left(&[gone]).unwrap_err()), Exit::NotFound);
        }
    }
}
