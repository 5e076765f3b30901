//! `rustdht rm`

use reqwest::{Method, header};
use serde_json::{Map, Value, json};

use super::written;
use crate::{
    args::Global,
    client::escape,
    exit::{Exit, coded},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rustdht rm people/ada born              deletes a field
  rustdht rm people/ada                   deletes every field
  rustdht rm people/ada secret --erase    its values are forgotten on every gateway")]
pub(crate) struct Arguments {
    /// The node
    soul: String,
    /// Fields of it; without any, all of them
    fields: Vec<String>,
    /// Forget the values on every gateway, histories included; name the fields
    #[arg(long)]
    erase: bool,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    if arguments.erase && arguments.fields.is_empty() {
        return Err(coded(Exit::Usage, "--erase takes the names of the fields whose values are to be forgotten"));
    }
    let client = global.client()?;
    let json = |method, path: &str, body: Value| {
        client.request(method, path).header(header::CONTENT_TYPE, "application/json").body(body.to_string())
    };
    let path = format!("/api/v1/node?soul={}", escape(&arguments.soul));
    let request = if arguments.erase {
        let erase = |field: &String| json!({ "op": "delete", "soul": arguments.soul, "field": field, "erase": true });
        let ops: Vec<Value> = arguments.fields.iter().map(erase).collect();
        json(Method::POST, "/api/v1/commits", json!({ "ops": ops }))
    } else if arguments.fields.is_empty() {
        client.request(Method::DELETE, &path)
    } else {
        let nulls: Map<String, Value> = arguments.fields.into_iter().map(|field| (field, Value::Null)).collect();
        json(Method::PATCH, &path, Value::Object(nulls))
    };
    let answer = client.text(request).await?;
    written::report(global.output(), &answer)
}
