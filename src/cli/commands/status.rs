//! `rustdht status`

use serde_json::Value;

use crate::{
    args::Global,
    client::Client,
    output::{bytes, count},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(global: &Global) -> anyhow::Result<()> {
    let client = global.client()?;
    let status = fetch(&client).await?;
    let output = global.output();
    if output.json { output.line(status.to_string()) } else { output.line(table(&status)) }
}

/// `GET /api/v1/status`
pub(super) async fn fetch(client: &Client) -> anyhow::Result<Value> {
    client.get_json("/api/v1/status").await
}

fn table(status: &Value) -> String {
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let mut lines = Vec::new();
    let mut row = |name: &str, value: String| lines.push(format!("{name:<10} {value}"));
    row("version", text("/version"));
    row("network", format!("{} ({}, {})", text("/network/name"), text("/network/id"), text("/network/mode")));
    if status["graph"].is_null() {
        row("detail", "only for the owner; give the token with --token-file".to_owned());
        return lines.join("\n");
    }
    row("gateway", text("/gateway"));
    row("http", text("/listen"));
    if status["swarm"].is_object() {
        row("peer", text("/swarm/id"));
        for (at, address) in status["swarm"]["listen"].as_array().into_iter().flatten().enumerate() {
            row(if at == 0 { "peers at" } else { "" }, address.as_str().unwrap_or("?").to_owned());
        }
        row(
            "members",
            format!(
                "{} of {} reachable, this one included; a write is acknowledged by {}",
                number("/swarm/reachable"),
                number("/swarm/replicas"),
                number("/swarm/write_quorum")
            ),
        );
    }
    if text("/network/mode") == "members" {
        let member = status.pointer("/graph/may_endorse").and_then(Value::as_bool).unwrap_or_default();
        let told = if member {
            "a member: what is written here reaches the others"
        } else {
            "no member yet: what is written here stays here until the community certifies this gateway"
        };
        row("member", told.to_owned());
    }
    row(
        "graph",
        format!(
            "{} entries of {} commits, {} on disk, {} waiting for their time",
            count(number("/graph/entries")),
            count(number("/graph/commits")),
            bytes(number("/graph/database_bytes")),
            count(number("/graph/deferred"))
        ),
    );
    row("blobs", format!("{} blocks, {}", count(number("/blobs/blocks")), bytes(number("/blobs/bytes"))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_owner_sees_all() {
        let status = json!({
            "version": "0.1.0", "network": { "id": "ab", "name": "home", "mode": "members" },
            "listen": "127.0.0.1:8480", "gateway": "zGateway", "community": "zCommunity",
            "graph": { "entries": 12345, "commits": 12, "database_bytes": 1536, "deferred": 0, "may_endorse": true, "clock": "1", "feed": 3 },
            "blobs": { "blocks": 2, "bytes": 2048 },
            "swarm": { "id": "12D3", "listen": ["/a", "/b"], "replicas": 3, "write_quorum": 2, "reachable": 2, "indexed": 9 },
        });
        insta::assert_snapshot!(table(&status));
    }

    #[test]
    fn others_see_the_network() {
        let status = json!({ "version": "0.1.0", "network": { "id": "ab", "name": "home", "mode": "open" } });
        assert!(table(&status).ends_with("--token-file"));
    }
}
