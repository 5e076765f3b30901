//! `rustdht link`

use reqwest::{Method, header};
use serde_json::json;

use super::written;
use crate::args::Global;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rustdht link people/ada knows people/charles
  rustdht link people/ada knows people/charles --remove
  rustdht get people/ada --path knows")]
pub(crate) struct Arguments {
    /// The node that links
    from: String,
    /// Its field, a set of links
    field: String,
    /// The node linked to
    to: String,
    /// Take the link out
    #[arg(long)]
    remove: bool,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let op = if arguments.remove { "remove" } else { "add" };
    let body = json!({ "ops": [{
        "op": op, "soul": arguments.from, "field": arguments.field, "value": { "#": arguments.to },
    }] });
    let request = client
        .request(Method::POST, "/api/v1/commits")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_string());
    let answer = client.text(request).await?;
    written::report(global.output(), &answer)
}
