//! `rustdht put`

use std::io::Read as _;

use anyhow::Context as _;
use reqwest::{Method, header};
use serde_json::value::RawValue;

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
  rustdht put people/ada 'tags={\"@set\":[\"maths\",\"poet\"]}'  a set
  rustdht put people/ada born=null                         deletes the field
  echo '{\"name\":\"Ada\"}' | rustdht put people/ada -")]
pub(crate) struct Arguments {
    /// The node
    soul: String,
    /// FIELD=VALUE. What reads as JSON is JSON (numbers, true, null, links), anything else is text; `-` alone reads a
    /// JSON object of fields from stdin
    #[arg(required = true, value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// Delete the fields that are not named
    #[arg(long)]
    replace: bool,
    /// Only if the node's ETag is this one; exit code 4 if not
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
    /// How long to wait for other gateways to have it on disk, such as 500ms or 2s
    #[arg(long, value_name = "TIME")]
    wait: Option<String>,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let body = if arguments.fields == ["-"] { from_stdin()? } else { object(&arguments.fields)? };
    let client = global.client()?;
    let mut path = format!("/api/v1/node?soul={}", escape(&arguments.soul));
    if let Some(wait) = &arguments.wait {
        path.push_str(&format!("&wait={}", escape(wait)));
    }
    let method = if arguments.replace { Method::PUT } else { Method::PATCH };
    let mut request = client.request(method, &path).header(header::CONTENT_TYPE, "application/json").body(body);
    if let Some(tag) = arguments.if_match {
        request = request.header(header::IF_MATCH, tag);
    }
    let answer = client.text(request).await?;
    written::report(global.output(), &answer)
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
        // JSON keeps its spelling, so that 5.0 arrives as a float.
        let raw = match serde_json::from_str::<Box<RawValue>>(value) {
            Ok(raw) => raw.get().to_owned(),
            Err(_) => serde_json::to_string(value)?,
        };
        if body.len() > 1 {
            body.push(',');
        }
        body.push_str(&format!("{}:{raw}", serde_json::to_string(name)?));
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
}
