//! `rustdht invite`

use anyhow::Context as _;
use reqwest::Method;

use crate::args::Global;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "An invite holds the network's secret: whoever has it is a member. It names the addresses on which this
gateway listens now.

Example:
  rustdht serve --data-dir second --listen 127.0.0.1:0 --port 0 --ws-port 0 --join \"$(rustdht invite)\""
)]
pub(crate) struct Arguments {}

pub(crate) async fn run(global: &Global) -> anyhow::Result<()> {
    let client = global.client()?;
    let answer = client.text(client.request(Method::GET, "/api/v1/invite")).await?;
    if global.json {
        return global.output().line(answer.trim());
    }
    let value: serde_json::Value = serde_json::from_str(&answer).context("the gateway's answer is no JSON")?;
    global.output().line(value["invite"].as_str().context("the gateway's answer holds no invite")?)
}
