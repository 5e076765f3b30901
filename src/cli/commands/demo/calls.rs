//! What the demo asks of a gateway, over HTTP like any other client.

use anyhow::Context as _;
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::client::{Client, escape};

const JSON: &str = "application/json";

/// Writes fields of a node. Whether it was acknowledged (200), or kept for later (202).
pub(super) async fn patch(client: &Client, soul: &str, fields: Value) -> anyhow::Result<Fate> {
    let path = format!("/api/v1/node?soul={}", escape(soul));
    send(client, Method::PATCH, &path, &fields).await
}

/// Adds a link to a set, or takes it out.
pub(super) async fn set(client: &Client, op: &str, soul: &str, field: &str, to: &str) -> anyhow::Result<Fate> {
    let commit = json!({ "ops": [{ "op": op, "soul": soul, "field": field, "value": { "#": to } }] });
    send(client, Method::POST, "/api/v1/commits", &commit).await
}

/// One operation on a field of Ada.
pub(super) async fn op(client: &Client, mut op: Value) -> anyhow::Result<Fate> {
    op["soul"] = super::ADA.into();
    send(client, Method::POST, "/api/v1/commits", &json!({ "ops": [op] })).await
}

async fn send(client: &Client, method: Method, path: &str, body: &Value) -> anyhow::Result<Fate> {
    let request = client.request(method, path).header(header::CONTENT_TYPE, JSON).body(body.to_string());
    let answer = client.send(request).await?;
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_str(&answer.text().await?)?;
    Ok(Fate { status, durable: body["durable"].as_u64(), wanted: body["wanted"].as_u64() })
}

/// How far a write got.
#[derive(Debug)]
pub(super) struct Fate {
    pub status: u16,
    durable: Option<u64>,
    wanted: Option<u64>,
}

impl Fate {
    /// `200 acknowledged`, or `202 kept here, 1 of 2`.
    pub(super) fn text(&self) -> String {
        match (self.durable, self.wanted) {
            (Some(durable), Some(wanted)) => format!("{} kept, {durable} of {wanted} have it", self.status),
            _ => format!("{} acknowledged", self.status),
        }
    }
}

/// A node's fields.
pub(super) async fn data(client: &Client, soul: &str) -> anyhow::Result<Value> {
    let mut node = client.get_json(&format!("/api/v1/node?soul={}", escape(soul))).await?;
    Ok(node["data"].take())
}

/// Imports lines of nodes; nodes and fields taken.
pub(super) async fn import(client: &Client, lines: &'static str) -> anyhow::Result<(u64, u64)> {
    let request = client.request(Method::POST, "/api/v1/import").header(header::CONTENT_TYPE, "application/x-ndjson");
    let answer = client.text(request.body(lines)).await?;
    let last: Value = serde_json::from_str(answer.lines().last().context("the import says nothing")?)?;
    let number = |key: &str| last["done"][key].as_u64().with_context(|| format!("the import ends in {last}"));
    anyhow::ensure!(number("errors")? == 0, "the sample has lines that are refused: {answer}");
    Ok((number("nodes")?, number("fields")?))
}

/// All nodes as lines.
pub(super) async fn export(client: &Client) -> anyhow::Result<String> {
    client.text(client.request(Method::GET, "/api/v1/export")).await
}

/// Adds a file; its CID.
pub(super) async fn add(client: &Client, bytes: Vec<u8>) -> anyhow::Result<String> {
    let request =
        client.request(Method::POST, "/api/v1/blobs").header(header::CONTENT_TYPE, "application/octet-stream");
    let answer: Value = serde_json::from_str(&client.text(request.body(bytes)).await?)?;
    Ok(answer["cid"].as_str().context("the add answers no CID")?.to_owned())
}

/// Reads a file.
pub(super) async fn cat(client: &Client, cid: &str) -> anyhow::Result<bytes::Bytes> {
    let answer = client.send(client.request(Method::GET, &format!("/ipfs/{cid}"))).await?;
    Ok(answer.bytes().await?)
}

/// The souls of a set of links, without their common beginning, sorted.
pub(super) fn names(value: &Value) -> String {
    let links = value["@set"].as_array().into_iter().flatten().filter_map(|link| link["#"].as_str());
    let mut names: Vec<&str> = links.map(|soul| soul.rsplit('/').next().unwrap_or(soul)).collect();
    names.sort_unstable();
    format!("{{{}}}", names.join(", "))
}
