//! Records as they are written: schema `peer` of the specification.

use bytes::Bytes;
use rustdht_core::ports::Provider;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    schema: &'static str,
    #[serde(rename = "ID")]
    id: &'a str,
    addrs: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    protocols: &'a [String],
}

impl<'a> From<&'a Provider> for Record<'a> {
    fn from(found: &'a Provider) -> Self {
        Self { schema: "peer", id: &found.peer, addrs: &found.addresses, protocols: &found.protocols }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Providers<'a> {
    providers: Vec<Record<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Peers<'a> {
    peers: Vec<Record<'a>>,
}

// Structs of texts always serialise.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

pub(super) fn providers_json(found: &[Provider]) -> Vec<u8> {
    json(&Providers { providers: found.iter().map(Into::into).collect() })
}

pub(super) fn peers_json(found: &[Provider]) -> Vec<u8> {
    json(&Peers { peers: found.iter().map(Into::into).collect() })
}

/// A record and the end of its line.
pub(super) fn record_line(found: &Provider) -> Bytes {
    let mut line = json(&Record::from(found));
    line.push(b'\n');
    line.into()
}
