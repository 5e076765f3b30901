//! `rustdht peers`

use std::time::Duration;

use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::{args::Global, client::Client};

/// How often it is asked whether a peer is connected.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Default, clap::Subcommand)]
enum Command {
    /// List the peers known (what `peers` alone does)
    #[default]
    Ls,
    /// Dial an address, and again whenever the connection is lost
    Add {
        /// A multiaddr that ends in /p2p/...; `rustdht status` shows those of a gateway
        address: String,
    },
    /// Dial an address and wait until the peer is connected: a member, or a node of IPFS
    Connect {
        /// A multiaddr that ends in /p2p/..., as `ipfs id` shows them
        address: String,
        /// How long to wait
        #[arg(long, value_name = "TIME", default_value = "20s")]
        timeout: String,
    },
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let output = global.output();
    match arguments.command.unwrap_or_default() {
        Command::Ls => {
            let answer = client.get_json("/api/v1/peers").await?;
            let peers = answer["peers"].as_array().cloned().unwrap_or_default();
            if output.json {
                return peers.iter().try_for_each(|peer| output.line(peer.to_string()));
            }
            if peers.is_empty() {
                output.say("no peers are known; another gateway joins with the output of: rustdht invite");
            }
            peers.iter().try_for_each(|peer| output.line(row(peer)))
        }
        Command::Add { address } => {
            let answer = dial(&client, &address).await?;
            if output.json {
                return output.line(answer.trim());
            }
            output.say(format!("dialling {address}; see `rustdht peers`"));
            Ok(())
        }
        Command::Connect { address, timeout } => {
            let patience = Duration::from_secs(super::lifetime::seconds(&timeout)?);
            dial(&client, &address).await?;
            let id = address.rsplit('/').next().unwrap_or_default();
            let Ok(peer) = tokio::time::timeout(patience, connected(&client, id)).await else {
                anyhow::bail!("{address} is not connected after {timeout}; it is dialled on, see `rustdht peers`");
            };
            let peer = peer?;
            output.line(if output.json { peer.to_string() } else { row(&peer) })
        }
    }
}

async fn dial(client: &Client, address: &str) -> anyhow::Result<String> {
    let request = client
        .request(Method::POST, "/api/v1/peers")
        .header(header::CONTENT_TYPE, "application/json")
        .body(json!({ "address": address }).to_string());
    client.text(request).await
}

/// Waits until a peer is connected.
async fn connected(client: &Client, id: &str) -> anyhow::Result<Value> {
    loop {
        let answer = client.get_json("/api/v1/peers").await?;
        let peers = answer["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(peer) = peers.iter().find(|peer| peer["id"] == id && peer["connected"] == true) {
            return Ok(peer.clone());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Id, state, round trip, first address.
fn row(peer: &Value) -> String {
    let guest = peer["guest"].as_bool() == Some(true);
    let state = match (peer["connected"].as_bool(), peer["in_sync"].as_bool()) {
        (Some(true), _) if guest => "open",
        (Some(true), Some(true)) => "in sync",
        (Some(true), _) => "syncing",
        _ => "away",
    };
    #[expect(clippy::cast_precision_loss, reason = "a round trip for people")]
    let rtt = peer["rtt_us"].as_u64().map_or_else(|| "-".to_owned(), |us| format!("{:.1} ms", us as f64 / 1000.0));
    let member = match peer["replica"].as_bool() {
        Some(true) => "member",
        _ if guest => "ipfs",
        _ => "-",
    };
    let address = peer["addresses"][0].as_str().unwrap_or("-");
    format!("{:<52}  {state:<8} {member:<7} {rtt:>9}  {address}", peer["id"].as_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let peer = json!({ "id": "12D3", "connected": true, "in_sync": true, "rtt_us": 1234, "replica": true, "addresses": ["/a"] });
        assert_eq!(
            row(&peer).split_whitespace().collect::<Vec<_>>(),
            ["12D3", "in", "sync", "member", "1.2", "ms", "/a"]
        );
        let guest = json!({ "id": "12D3", "connected": true, "in_sync": false, "guest": true, "addresses": [] });
        assert_eq!(row(&guest).split_whitespace().collect::<Vec<_>>(), ["12D3", "open", "ipfs", "-", "-"]);
        assert!(row(&json!({ "id": "x", "connected": false, "addresses": [] })).contains("away"));
    }
}
