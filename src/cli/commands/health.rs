//! `rustdht health`

use reqwest::Method;

use crate::{
    args::Global,
    client::Client,
    exit::{Exit, coded},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "For HEALTHCHECK of a container: the code is 0 or 1, whatever is wrong.")]
pub(crate) struct Arguments {}

pub(crate) async fn run(global: &Global) -> anyhow::Result<()> {
    // Without the token: readiness is for everybody, and a probe must not fail over a file.
    match ask(global.api()).await {
        Ok(answer) => global.output().line(if global.json { answer.trim() } else { "ready" }),
        Err(error) => Err(coded(Exit::Failure, format!("not ready: {error:#}"))),
    }
}

async fn ask(api: &str) -> anyhow::Result<String> {
    let client = Client::new(api, None)?;
    client.text(client.request(Method::GET, "/readyz")).await
}
