//! `rustdht rm`

use reqwest::{Method, header};
use serde_json::{Map, Value};

use super::written;
use crate::{args::Global, client::escape};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rustdht rm people/ada born      deletes a field
  rustdht rm people/ada           deletes every field")]
pub(crate) struct Arguments {
    /// The node
    soul: String,
    /// Fields of it; without any, all of them
    fields: Vec<String>,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let path = format!("/api/v1/node?soul={}", escape(&arguments.soul));
    let request = if arguments.fields.is_empty() {
        client.request(Method::DELETE, &path)
    } else {
        let nulls: Map<String, Value> = arguments.fields.into_iter().map(|field| (field, Value::Null)).collect();
        client
            .request(Method::PATCH, &path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Value::Object(nulls).to_string())
    };
    let answer = client.text(request).await?;
    written::report(global.output(), &answer)
}
