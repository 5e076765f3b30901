//! `rustdht put`

mod operation;

use std::io::Read as _;

use anyhow::Context as _;
use reqwest::{Method, header};
use serde_json::{Value, json, value::RawValue};

use self::operation::Operation;
use super::written;
use crate::{
    args::Global,
    client::escape,
    exit::{Exit, coded},
};

/// The gateway takes at most 1 MiB of JSON for a node.
const MAX_STDIN_BYTES: u64 = 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rustdht put people/ada name=Ada born=1815
  rustdht put people/ada 'knows={\"#\":\"people/charles\"}'    a link
  rustdht put people/ada 'tags={\"@set\":[\"maths\",\"poet\"]}'  a set, exactly these
  rustdht put people/ada born=null                         deletes the field
  echo '{\"name\":\"Ada\"}' | rustdht put people/ada -

One operation on one field:
  rustdht put people/ada tags --add poet --add maths
  rustdht put people/ada visits --increment 1
  rustdht put people/ada active --enable
  rustdht put people/ada best --max 97.5
  rustdht put notes/1 body --text @draft.txt               a text becomes this, by the least edit
  rustdht put notes/1 body --insert 0 'Dear Ada, '
  rustdht put notes/1 todo --kind list --splice 2 1 '[\"call\"]'
  rustdht put notes/1 meta --map-set lang en

A node that never changes; prints its soul:
  rustdht put --content title=Notes year=1843")]
pub(crate) struct Arguments {
    /// The node; with --content the first FIELD=VALUE
    soul: String,
    /// FIELD=VALUE. What reads as JSON is JSON (numbers, true, null, links), anything else is text; `-` alone reads a
    /// JSON object of fields from stdin. With an operation the name of one field
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// Delete the fields that are not named
    #[arg(long, conflicts_with_all = ["operation", "content"])]
    replace: bool,
    /// Make a node that never changes, named by the hash of its fields
    #[arg(long, conflicts_with_all = ["operation", "if_match"])]
    content: bool,
    /// Only if the node's ETag is this one; exit code 4 if not
    #[arg(long, value_name = "ETAG", conflicts_with = "operation")]
    if_match: Option<String>,
    /// How long to wait for other gateways to have it on disk, such as 500ms or 2s
    #[arg(long, value_name = "TIME")]
    wait: Option<String>,
    #[command(flatten)]
    operation: Operation,
    /// What --insert and --splice work on
    #[arg(long, value_parser = ["text", "list"], value_name = "KIND", default_value = "text")]
    #[arg(help_heading = "Operations on one field")]
    kind: String,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    if arguments.content {
        return content(global, arguments).await;
    }
    if arguments.operation.is_given() {
        return operate(global, arguments).await;
    }
    if arguments.fields.is_empty() {
        return Err(coded(Exit::Usage, "name at least one FIELD=VALUE, or an operation such as --increment 1"));
    }
    let body = body_of(&arguments.fields)?;
    let client = global.client()?;
    let path = with_wait(format!("/api/v1/node?soul={}", escape(&arguments.soul)), arguments.wait.as_deref());
    let method = if arguments.replace { Method::PUT } else { Method::PATCH };
    let mut request = client.request(method, &path).header(header::CONTENT_TYPE, "application/json").body(body);
    if let Some(tag) = arguments.if_match {
        request = request.header(header::IF_MATCH, tag);
    }
    let answer = client.text(request).await?;
    written::report(global.output(), &answer)
}

fn with_wait(path: String, wait: Option<&str>) -> String {
    match wait {
        Some(wait) => {
            let mark = if path.contains('?') { '&' } else { '?' };
            format!("{path}{mark}wait={}", escape(wait))
        }
        None => path,
    }
}

async fn operate(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let [field] = arguments.fields.as_slice() else {
        return Err(coded(Exit::Usage, "an operation takes the name of one field"));
    };
    let ops = arguments.operation.read(&arguments.soul, field, &arguments.kind)?;
    let client = global.client()?;
    let path = with_wait("/api/v1/commits".to_owned(), arguments.wait.as_deref());
    let request = client
        .request(Method::POST, &path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(json!({ "ops": ops }).to_string());
    let answer = client.text(request).await?;
    written::report(global.output(), &answer)
}

async fn content(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let mut fields = vec![arguments.soul];
    fields.extend(arguments.fields);
    let client = global.client()?;
    let path = with_wait("/api/v1/content".to_owned(), arguments.wait.as_deref());
    let request =
        client.request(Method::POST, &path).header(header::CONTENT_TYPE, "application/json").body(body_of(&fields)?);
    let answer = client.text(request).await?;
    let output = global.output();
    if output.json {
        return output.line(answer.trim());
    }
    let node: Value = serde_json::from_str(&answer).context("the gateway's answer is no node")?;
    output.line(node["soul"].as_str().unwrap_or_default())
}

fn body_of(fields: &[String]) -> anyhow::Result<String> {
    if fields == ["-"] { from_stdin() } else { object(fields) }
}

fn from_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(MAX_STDIN_BYTES + 1).read_to_string(&mut text).context("cannot read stdin")?;
    anyhow::ensure!(
        text.len() as u64 <= MAX_STDIN_BYTES,
        "a node's JSON is at most 1 MiB; larger values go in with `rustdht add`"
    );
    Ok(text)
}

/// What reads as JSON, with its spelling, so that 5.0 arrives as a float; else text.
fn raw(text: &str) -> anyhow::Result<Box<RawValue>> {
    Ok(match serde_json::from_str::<Box<RawValue>>(text) {
        Ok(raw) => raw,
        Err(_) => RawValue::from_string(serde_json::to_string(text)?)?,
    })
}

/// The JSON object that the arguments spell.
fn object(fields: &[String]) -> anyhow::Result<String> {
    let usage = |text: String| coded(Exit::Usage, text);
    let mut names = Vec::new();
    let mut body = String::from("{");
    for argument in fields {
        let (name, value) = argument
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| usage(format!("{argument:?} is not FIELD=VALUE")))?;
        if names.contains(&name) {
            return Err(usage(format!("field {name:?} is named twice")));
        }
        names.push(name);
        if body.len() > 1 {
            body.push(',');
        }
        body.push_str(&format!("{}:{}", serde_json::to_string(name)?, raw(value)?));
    }
    body.push('}');
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&str]) -> anyhow::Result<String> {
        object(&fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn json_stays_json_and_the_rest_is_text() {
        let fields = ["a=1", "b=5.0", "c=x y", "d=", "e=null", "f={\"#\":\"g\"}", "h=a=b", "i=\"1\"", "j=[1,"];
        assert_eq!(
            of(&fields).unwrap(),
            r##"{"a":1,"b":5.0,"c":"x y","d":"","e":null,"f":{"#":"g"},"h":"a=b","i":"1","j":"[1,"}"##
        );
    }

    #[test]
    fn what_is_no_field_is_a_usage_error() {
        for fields in [&["a"][..], &["=1"], &["a=1", "a=2"], &["-", "a=1"]] {
            assert_eq!(crate::exit::of(&of(fields).unwrap_err()), Exit::Usage, "{fields:?}");
        }
    }

    #[test]
    fn waits_stand_behind_what_is_there() {
        assert_eq!(with_wait("/a".into(), None), "/a");
        assert_eq!(with_wait("/a".into(), Some("2s")), "/a?wait=2s");
        assert_eq!(with_wait("/a?b=c".into(), Some("2s")), "/a?b=c&wait=2s");
    }
}
