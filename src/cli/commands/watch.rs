//! `rustdht watch`

use std::time::Duration;

use reqwest::{Method, header};
use serde_json::Value;

use crate::{
    args::Global,
    client::{Client, Events, escape},
    exit::{self, Exit},
    output::Output,
};

/// Waits between attempts to connect again.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(after_help = "Runs until it is interrupted; a lost connection is taken up where it broke.

Examples:
  rustdht watch --soul people/ada
  rustdht watch --prefix people/ --json | jq .fields")]
pub(crate) struct Arguments {
    /// One node
    #[arg(long, conflicts_with = "prefix")]
    soul: Option<String>,
    /// Every node whose soul begins so; without --soul and --prefix, every node
    #[arg(long)]
    prefix: Option<String>,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let path = match (&arguments.soul, &arguments.prefix) {
        (Some(soul), _) => format!("/api/v1/watch?soul={}", escape(soul)),
        (None, prefix) => format!("/api/v1/watch?prefix={}", escape(prefix.as_deref().unwrap_or_default())),
    };
    let mut last = None;
    let mut connected_once = false;
    let mut retry = FIRST_RETRY;
    loop {
        let before = last.clone();
        match follow(&client, &path, &mut last, &mut connected_once, global.output()).await {
            // The gateway is away for a while; what happens meanwhile is replayed from its change feed.
            Err(error) if connected_once && exit::of(&error) == Exit::Unreachable => {
                if last != before {
                    retry = FIRST_RETRY;
                }
                global.output().say(format!("{error}; trying again"));
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(LAST_RETRY);
            }
            Err(error) => return Err(error),
            Ok(()) => tokio::time::sleep(FIRST_RETRY).await,
        }
    }
}

/// Follows one connection to its end.
async fn follow(
    client: &Client,
    path: &str,
    last: &mut Option<String>,
    connected_once: &mut bool,
    output: Output,
) -> anyhow::Result<()> {
    let mut request = client.stream(Method::GET, path).header(header::ACCEPT, "text/event-stream");
    if let Some(id) = last.as_ref() {
        request = request.header("last-event-id", id);
    }
    let mut answer = client.send(request).await?;
    *connected_once = true;
    let mut events = Events::default();
    while let Some(bytes) = answer.chunk().await.map_err(|error| client.unreachable(&error))? {
        for event in events.feed(&bytes)? {
            match event.name.as_str() {
                _ if event.data.is_empty() => {}
                "lost" => output.say("changes were lost: the gateway no longer keeps what happened since the last one"),
                _ if output.json => output.line(&event.data)?,
                _ => output.line(sentence(&event.data))?,
            }
            if event.id.is_some() {
                *last = event.id;
            }
        }
    }
    Ok(())
}

/// `people/ada  name, born`
fn sentence(data: &str) -> String {
    let change: Value = serde_json::from_str(data).unwrap_or_default();
    let fields: Vec<&str> = change["fields"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let gone = if change["node"].is_null() { "  (gone)" } else { "" };
    format!("{}  {}{gone}", change["soul"].as_str().unwrap_or("?"), fields.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_line() {
        assert_eq!(sentence(r#"{"soul":"a","fields":["x","y"],"node":{}}"#), "a  x, y");
        assert_eq!(sentence(r#"{"soul":"a","fields":["x"],"node":null}"#), "a  x  (gone)");
    }
}
