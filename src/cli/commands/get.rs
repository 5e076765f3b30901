//! `rustdht get`

mod explain;

use std::collections::HashMap;

use anyhow::Context as _;
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    args::Global,
    client::escape,
    exit::{Exit, coded},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rustdht get people/ada
  rustdht get people/ada name                    the bare text
  rustdht get people/ada --explain               all sides of every field: who, when, what he had seen, why it won or lost
  rustdht get people/ada city --explain
  rustdht get people/ada city --history          what the field was before
  rustdht get people/ada --path knows/knows      friends of friends")]
pub(crate) struct Arguments {
    /// The node
    soul: String,
    /// One field of it: text is printed as it is, anything else as JSON
    #[arg(conflicts_with = "path")]
    field: Option<String>,
    /// Tell per field kind, stamp, author, commit, and all sides, as JSON
    #[arg(long, conflicts_with_all = ["field", "path"])]
    meta: bool,
    /// Tell all sides of each field, or of one, as a table: who wrote, when, and why it won or lost
    #[arg(long, conflicts_with_all = ["meta", "path"])]
    explain: bool,
    /// Tell what the field was before, the latest first, as long as the gateway keeps it
    #[arg(long, conflicts_with_all = ["meta", "path", "explain", "at"], requires = "field")]
    history: bool,
    /// Follow these fields from link to link; a set of links fans out
    #[arg(long, value_name = "A/B/...")]
    path: Option<String>,
    /// Where to look
    #[arg(long, value_parser = ["local", "network"])]
    at: Option<String>,
}

#[derive(Deserialize)]
struct Node<'a> {
    #[serde(borrow)]
    data: HashMap<String, &'a RawValue>,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let client = global.client()?;
    let output = global.output();
    if arguments.history {
        return explain::history(&client, output, &arguments.soul, arguments.field.as_deref().unwrap_or_default())
            .await;
    }
    if arguments.explain {
        let answer = client.text(client.request(Method::GET, &path_of(&arguments))).await?;
        return explain::sides(output, &answer, arguments.field.as_deref());
    }
    let answer = client.text(client.request(Method::GET, &path_of(&arguments))).await?;
    match &arguments.field {
        None => output.json_text(&answer),
        Some(field) => output.line(field_of(&answer, &arguments.soul, field, output.json)?),
    }
}

fn path_of(arguments: &Arguments) -> String {
    let soul = escape(&arguments.soul);
    let mut options = Vec::new();
    let mut path = match &arguments.path {
        Some(path) => {
            let segments: Vec<String> = path.split('/').map(escape).collect();
            format!("/api/v1/nodes/{soul}/path/{}", segments.join("/"))
        }
        // As a query, since `.` and `..` do not survive as segments of a path.
        None => {
            options.push(format!("soul={soul}"));
            "/api/v1/node".to_owned()
        }
    };
    if arguments.meta || arguments.explain {
        options.push("meta=true".to_owned());
    }
    if let Some(at) = &arguments.at {
        options.push(format!("at={at}"));
    }
    if !options.is_empty() {
        path.push('?');
        path.push_str(&options.join("&"));
    }
    path
}

fn field_of(answer: &str, soul: &str, field: &str, json: bool) -> anyhow::Result<String> {
    let node: Node<'_> = serde_json::from_str(answer).context("the gateway's answer is no node")?;
    let raw = node
        .data
        .get(field)
        .ok_or_else(|| coded(Exit::NotFound, format!("node {soul:?} has no field {field:?}")))?
        .get();
    Ok(match serde_json::from_str::<String>(raw) {
        Ok(text) if !json => text,
        _ => raw.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = r##"{"soul":"a","data":{"t":"x\ny","f":5.0,"l":{"#":"b"}},"stamp":"1"}"##;

    #[test]
    fn a_field_prints_bare_or_as_json() {
        assert_eq!(field_of(NODE, "a", "t", false).unwrap(), "x\ny");
        assert_eq!(field_of(NODE, "a", "t", true).unwrap(), r#""x\ny""#);
        assert_eq!(field_of(NODE, "a", "f", false).unwrap(), "5.0");
        assert_eq!(field_of(NODE, "a", "l", false).unwrap(), r##"{"#":"b"}"##);
        assert_eq!(crate::exit::of(&field_of(NODE, "a", "zz", false).unwrap_err()), Exit::NotFound);
    }

    fn plain(soul: &str) -> Arguments {
        Arguments { soul: soul.into(), field: None, meta: false, explain: false, history: false, path: None, at: None }
    }

    #[test]
    fn paths() {
        let mut arguments = Arguments { meta: true, at: Some("local".into()), ..plain("a/b") };
        assert_eq!(path_of(&arguments), "/api/v1/node?soul=a%2Fb&meta=true&at=local");
        arguments.path = Some("x y/z".into());
        arguments.meta = false;
        assert_eq!(path_of(&arguments), "/api/v1/nodes/a%2Fb/path/x%20y/z?at=local");
    }
}
