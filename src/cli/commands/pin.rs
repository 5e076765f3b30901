//! `rustdht pin`

use std::time::Duration;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    args::Global,
    client::{Client, escape},
    exit::{Exit, coded},
    output::{Output, bytes, cut},
};

/// How often a pin that is being fetched is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Pins of one page (Pinning Service API).
const PAGE: usize = 1000;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is added or uploaded is pinned already. A pin of the community is held by the replicas that are \
nearest to it, wherever it is added.

Examples:
  rustdht pin add bafybei... --name photos
  rustdht pin add bafybei... --shared --min 3
  rustdht pin ls --status queued,pinning,failed
  rustdht pin rm bafybei..."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Keep something, fetching what of it is not here
    Add(Add),
    /// List what is kept
    Ls {
        /// The community's pins, with who holds them
        #[arg(long, conflicts_with = "status")]
        shared: bool,
        /// queued, pinning, pinned, failed; several with commas
        #[arg(long, value_name = "STATUS", default_value = "queued,pinning,pinned,failed")]
        status: String,
    },
    /// Keep something no longer
    Rm {
        /// A CID, with all pins of it, or the id of one pin
        #[arg(value_name = "CID|ID")]
        what: String,
        /// Take it out of the community's pins
        #[arg(long)]
        shared: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The root
    cid: String,
    /// A name for it
    #[arg(long)]
    name: Option<String>,
    /// Only this block, without what it links
    #[arg(long, conflicts_with = "shared")]
    direct: bool,
    /// A multiaddr, ending in /p2p/..., where it may be had; may be given several times
    #[arg(long, value_name = "MULTIADDR", conflicts_with = "shared")]
    origin: Vec<String>,
    /// Do not wait until it is here
    #[arg(long, conflicts_with = "shared")]
    background: bool,
    /// For the community: the nearest replicas hold it
    #[arg(long)]
    shared: bool,
    /// Replicas that hold it at least [default: 2]
    #[arg(long, value_name = "N", requires = "shared")]
    min: Option<u16>,
    /// Replicas beyond these let go of it [default: as many as --min]
    #[arg(long, value_name = "N", requires = "shared")]
    max: Option<u16>,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = (global.client()?, global.output());
    match arguments.command {
        Command::Add(add) if add.shared => share(&client, output, &add).await,
        Command::Add(new) => add(&client, output, new).await,
        Command::Ls { shared: true, .. } => {
            for pin in client.pages("/api/v1/pinset", "pins").await? {
                output.line(if output.json { pin.to_string() } else { shared_row(&pin) })?;
            }
            Ok(())
        }
        Command::Ls { status, .. } => {
            for pin in list(&client, &format!("status={}", escape(&status))).await? {
                output.line(if output.json { pin.to_string() } else { row(&pin) })?;
            }
            Ok(())
        }
        Command::Rm { what, shared: true } => {
            client.send(client.request(Method::DELETE, &format!("/api/v1/pinset/{}", escape(&what)))).await?;
            done(output, &json!({ "removed": what }), "the community keeps it no longer")
        }
        Command::Rm { what, .. } => remove(&client, output, &what).await,
    }
}

async fn share(client: &Client, output: Output, add: &Add) -> anyhow::Result<()> {
    let mut body = Map::from_iter([("cid".to_owned(), json!(add.cid))]);
    let members = [("name", json!(add.name)), ("min", json!(add.min)), ("max", json!(add.max))];
    body.extend(members.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.to_owned(), value)));
    let answer = client.send_json(Method::POST, "/api/v1/pinset", &body.into()).await?;
    done(output, &answer, "pinned for the community; `rustdht pin ls --shared` shows who holds it")
}

async fn add(client: &Client, output: Output, add: Add) -> anyhow::Result<()> {
    let mut body = Map::from_iter([("cid".to_owned(), json!(add.cid))]);
    if let Some(name) = add.name {
        body.insert("name".to_owned(), json!(name));
    }
    if add.direct {
        body.insert("recursive".to_owned(), json!(false));
    }
    if !add.origin.is_empty() {
        body.insert("origins".to_owned(), json!(add.origin));
    }
    let mut pin = client.send_json(Method::POST, "/api/v1/pins", &body.into()).await?;
    let id = pin["requestid"].as_str().context("the gateway names no pin")?.to_owned();
    let mut told = String::new();
    while !add.background && matches!(pin["status"].as_str(), Some("queued" | "pinning")) {
        let state = progress(&pin);
        if state != told {
            output.say(&state);
            told = state;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        pin = client.get_json(&format!("/api/v1/pins/{id}")).await?;
    }
    if pin["status"] == "failed" {
        let why = pin["info"]["status_details"].as_str().unwrap_or("the gateway does not say why");
        return Err(coded(Exit::Failure, format!("it cannot be pinned: {why}")));
    }
    if output.json {
        return output.line(pin.to_string());
    }
    output.say(progress(&pin));
    output.line(id)
}

/// All pins that a query takes, the newest first.
async fn list(client: &Client, query: &str) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut before = String::new();
    loop {
        let mut page = client.get_json(&format!("/api/v1/pins?limit={PAGE}&{query}{before}")).await?;
        let Value::Array(results) = page["results"].take() else { return Ok(all) };
        let full = results.len() == PAGE;
        all.extend(results);
        match all.last().and_then(|last| last["created"].as_str()).filter(|_| full) {
            Some(created) => before = format!("&before={}", escape(created)),
            None => return Ok(all),
        }
    }
}

async fn remove(client: &Client, output: Output, what: &str) -> anyhow::Result<()> {
    let is_id = what.len() == 32 && what.bytes().all(|byte| byte.is_ascii_hexdigit());
    let ids: Vec<String> = if is_id {
        vec![what.to_owned()]
    } else {
        let query = format!("cid={}&status=queued,pinning,pinned,failed", escape(what));
        let pins = list(client, &query).await?;
        pins.iter().filter_map(|pin| pin["requestid"].as_str().map(str::to_owned)).collect()
    };
    if ids.is_empty() {
        return Err(coded(Exit::NotFound, format!("nothing of {what} is pinned here by this caller")));
    }
    for id in &ids {
        client.send(client.request(Method::DELETE, &format!("/api/v1/pins/{}", escape(id)))).await?;
    }
    let count = if ids.len() == 1 { "one pin".to_owned() } else { format!("{} pins", ids.len()) };
    done(output, &json!({ "removed": ids }), &format!("removed {count}"))
}

fn done(output: Output, answer: &Value, words: &str) -> anyhow::Result<()> {
    if output.json {
        return output.line(answer.to_string());
    }
    output.say(words);
    Ok(())
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

fn progress(pin: &Value) -> String {
    let info = &pin["info"];
    match pin["status"].as_str() {
        Some("pinned") => format!("pinned, {}", bytes(number(&info["dag_size"]))),
        Some("pinning") => {
            format!("fetching: {} blocks, {}", number(&info["blocks"]), bytes(number(&info["bytes"])))
        }
        Some("queued") => match info["status_details"].as_str() {
            Some(why) => format!("waiting for another attempt: {why}"),
            None => "waiting".to_owned(),
        },
        _ => "failed".to_owned(),
    }
}

/// CID, status, size or what stands in the way, name, id.
fn row(pin: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = if pin["pin"]["recursive"] == false { " (direct)" } else { "" };
    let what = match pin["status"].as_str() {
        Some("pinned") => bytes(number(&pin["info"]["dag_size"])),
        Some("pinning") => bytes(number(&pin["info"]["bytes"])),
        _ => cut(pin["info"]["status_details"].as_str().unwrap_or("-"), 60).to_string(),
    };
    let row = format!(
        "{}{kind}  {:<7}  {what:>10}  {}  {}",
        text(&pin["pin"]["cid"]),
        text(&pin["status"]),
        text(&pin["requestid"]),
        cut(&text(&pin["pin"]["name"]), 60)
    );
    row.trim_end().to_owned()
}

/// CID, copies of how many, what this gateway does, name.
fn shared_row(pin: &Value) -> String {
    let holders = pin["holders"].as_array().map_or(0, Vec::len);
    let here = match pin["here"].as_str() {
        Some("held") => "held here".to_owned(),
        Some("fetching") => format!("fetching, {}", bytes(number(&pin["bytes"]))),
        _ => "elsewhere".to_owned(),
    };
    let row = format!(
        "{}  {holders} of {}..{} copies  {here}  {}",
        pin["cid"].as_str().unwrap_or("?"),
        number(&pin["min"]),
        number(&pin["max"]),
        cut(pin["name"].as_str().unwrap_or_default(), 60)
    );
    row.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let pin = json!({
            "requestid": "01", "status": "pinned", "pin": { "cid": "bafy", "name": "n" }, "info": { "dag_size": "2048" },
        });
        let words = |row: &str| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&row(&pin)), ["bafy", "pinned", "2.0", "KiB", "01", "n"]);
        let pin = json!({
            "requestid": "01", "status": "queued", "pin": { "cid": "bafy", "recursive": false },
            "info": { "status_details": "nobody has it" },
        });
        assert_eq!(words(&row(&pin)), ["bafy", "(direct)", "queued", "nobody", "has", "it", "01"]);
        let pin = json!({ "cid": "bafy", "min": 2, "max": 3, "holders": ["a"], "here": "fetching", "bytes": 1024 });
        assert_eq!(shared_row(&pin), "bafy  1 of 2..3 copies  fetching, 1.0 KiB");
    }

    #[test]
    fn progress_in_words() {
        let at = |status: &str, info: Value| progress(&json!({ "status": status, "info": info }));
        assert_eq!(at("pinning", json!({ "blocks": "3", "bytes": "1024" })), "fetching: 3 blocks, 1.0 KiB");
        assert_eq!(at("queued", json!({ "status_details": "x" })), "waiting for another attempt: x");
        assert_eq!(at("queued", Value::Null), "waiting");
    }
}
