//! `rustdht id`

use serde_json::{Value, json};

use super::status;
use crate::{
    args::Global,
    exit::{Exit, coded},
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Peer: this node in the network. Gateway: the key that signs what is written through it; its own nodes are
those below ~KEY. Network: what all members share."
)]
pub(crate) struct Arguments {}

pub(crate) async fn run(global: &Global) -> anyhow::Result<()> {
    let client = global.client()?;
    let status = status::fetch(&client).await?;
    let output = global.output();
    let id = json!({
        "peer": status["swarm"]["id"],
        "gateway": status["gateway"],
        "community": status["community"],
        "network": status["network"]["id"],
    });
    if id["gateway"].is_null() {
        return Err(coded(Exit::Failure, "only the owner sees who this gateway is; give the token with --token-file"));
    }
    if output.json {
        return output.line(id.to_string());
    }
    for name in ["peer", "gateway", "community", "network"] {
        output.line(format!(
            "{name:<10} {}",
            id[name].as_str().map_or_else(|| Value::to_string(&id[name]), str::to_owned)
        ))?;
    }
    Ok(())
}
