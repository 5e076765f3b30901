//! `rustdht export`

use reqwest::Method;

use crate::{args::Global, client::escape};

#[derive(Debug, clap::Args)]
#[command(after_help = "One line per node, sorted; equal graphs give equal bytes.

Examples:
  rustdht export > graph.ndjson
  rustdht export --prefix people/ | sha256sum")]
pub(crate) struct Arguments {
    /// Only nodes whose soul begins so
    #[arg(long)]
    prefix: Option<String>,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let path = match &arguments.prefix {
        Some(prefix) => format!("/api/v1/export?prefix={}", escape(prefix)),
        None => "/api/v1/export".to_owned(),
    };
    let mut answer = client.send(client.stream(Method::GET, &path)).await?;
    let output = global.output();
    while let Some(bytes) = answer.chunk().await.map_err(|error| client.unreachable(&error))? {
        output.raw(&bytes)?;
    }
    output.flush()
}
