//! `rustdht graph`

use anyhow::Context as _;
use reqwest::Method;
use serde_json::Value;

use crate::{
    args::Global,
    client::Client,
    exit::{Exit, coded},
    output::Output,
};

/// A line of the answer is a finding; a longer one is none of a gateway.
const MAX_LINE_BYTES: usize = 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check every row: cells that cannot be read, signatures and proofs, links that lead nowhere; exit 1 if something
    /// is wrong that is not mended
    Check {
        /// Put aside what is damaged, ask other members for it, and remove links that lead nowhere there either
        #[arg(long)]
        repair: bool,
    },
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let Command::Check { repair } = arguments.command;
    check(&client, global.output(), repair).await
}

async fn check(client: &Client, output: Output, repair: bool) -> anyhow::Result<()> {
    let path = format!("/api/v1/admin/check?repair={repair}");
    let mut answer = client.send(client.stream(Method::POST, &path)).await?;
    let mut buffer = Vec::new();
    let mut done = None;
    while let Some(bytes) = answer.chunk().await.map_err(|error| client.unreachable(&error))? {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            buffer.extend_from_slice(piece);
            anyhow::ensure!(buffer.len() <= MAX_LINE_BYTES, "the gateway sent a line beyond {MAX_LINE_BYTES} bytes");
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut buffer);
                let event: Value = serde_json::from_slice(&line).context("the gateway's answer is no check")?;
                if output.json {
                    output.line(event.to_string())?;
                } else if event["event"] == "progress" {
                    output.say(sentence(&event));
                } else {
                    output.line(sentence(&event))?;
                }
                if event["event"] == "done" {
                    done = Some(event);
                }
            }
        }
    }
    let done = done.context("the check was cut short")?;
    anyhow::ensure!(done["complete"] == true, "the check could not go on to the end");
    match left(&done) {
        0 => Ok(()),
        left => Err(coded(Exit::Failure, format!("{left} findings are not mended{}", hint(repair)))),
    }
}

fn hint(repair: bool) -> &'static str {
    if repair { "" } else { "; `rustdht graph check --repair` mends what can be mended" }
}

/// How many findings are left, as the last line tells.
fn left(done: &Value) -> u64 {
    let number = |key: &str| done[key].as_u64().unwrap_or_default();
    number("findings").saturating_sub(number("repaired"))
}

/// `link  fate dangling  field knows  soul people/ada  target people/nobody`
fn sentence(event: &Value) -> String {
    let name = event["event"].as_str().unwrap_or("?");
    let members = event.as_object().into_iter().flatten().filter(|(key, value)| *key != "event" && !value.is_null());
    let mut parts = vec![format!("{name:<12}")];
    parts.extend(members.map(|(key, value)| match value.as_str() {
        Some(text) => format!("{key} {text}"),
        None => format!("{key} {value}"),
    }));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn findings_are_lines_and_decide_the_exit() {
        let event = json!({ "event": "link", "soul": "a", "field": "b", "n": 1, "x": null });
        assert_eq!(sentence(&event), "link          field b  n 1  soul a");
        assert_eq!(left(&json!({ "event": "done", "findings": 3, "repaired": 1 })), 2);
        assert_eq!(left(&json!({ "event": "done" })), 0);
    }
}
