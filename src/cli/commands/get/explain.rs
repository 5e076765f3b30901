//! All sides of a field, and what it was before, for people.

use std::collections::HashMap;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    client::{Client, escape},
    exit::{Exit, coded},
    output::{Output, cut, time_of_stamp},
};

/// Characters of a value that a row shows.
const VALUE_CHARS: usize = 40;

/// One side, as `?meta=true` and the history tell it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Side {
    kind: String,
    value: Value,
    stamp: String,
    author: String,
    id: String,
    over: Vec<String>,
    reason: String,
    by: Option<String>,
    seen: Option<bool>,
    leaf: Option<String>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    meta: HashMap<String, &'a RawValue>,
    data: Map<String, Value>,
}

#[derive(Deserialize)]
struct Field {
    kind: String,
    #[serde(default)]
    sides: Vec<Side>,
}

#[derive(Deserialize)]
struct History {
    entries: Vec<Side>,
    next: Option<String>,
}

/// Prints the sides of every field, or of one.
pub(super) fn sides(output: Output, answer: &str, field: Option<&str>) -> anyhow::Result<()> {
    let node: Meta<'_> = serde_json::from_str(answer).context("the gateway's answer explains nothing")?;
    let mut fields: Vec<(&String, &&RawValue)> =
        node.meta.iter().filter(|(name, _)| field.is_none_or(|field| field == *name)).collect();
    if let Some(field) = field.filter(|_| fields.is_empty()) {
        return Err(coded(Exit::NotFound, format!("the node has no field {field:?}")));
    }
    fields.sort_unstable_by_key(|(name, _)| *name);
    for (name, raw) in fields {
        if output.json {
            output.line(format!("{{\"field\":{},\"meta\":{raw}}}", serde_json::to_string(name)?))?;
            continue;
        }
        let meta: Field = serde_json::from_str(raw.get()).context("the gateway's answer explains nothing")?;
        let shown = node.data.get(name).map(ToString::to_string).unwrap_or_default();
        output.line(format!("{name}  {} ({})", cut(&shown, VALUE_CHARS * 2), meta.kind))?;
        for line in rows(&meta.sides) {
            output.line(line)?;
        }
    }
    Ok(())
}

/// Prints what a field was before, page by page.
pub(super) async fn history(client: &Client, output: Output, soul: &str, field: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/history/{}/{}", escape(soul), escape(field));
    let mut cursor: Option<String> = None;
    let mut told = false;
    loop {
        let query = cursor.map(|cursor| format!("?cursor={}", escape(&cursor))).unwrap_or_default();
        let text = client.text(client.request(reqwest::Method::GET, &format!("{path}{query}"))).await?;
        if output.json {
            let page: Value = serde_json::from_str(&text).context("the gateway's answer is no history")?;
            for entry in page["entries"].as_array().into_iter().flatten() {
                output.line(entry.to_string())?;
            }
        }
        let page: History = serde_json::from_str(&text).context("the gateway's answer is no history")?;
        told |= !page.entries.is_empty();
        if !output.json {
            for line in rows(&page.entries) {
                output.line(line)?;
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if !told {
        output.say("nothing is kept of what this field was before");
    }
    Ok(())
}

/// `  #1  2026-11-22T21:17:25.123Z  z6Mk…doK  "London"  shown`
fn rows(sides: &[Side]) -> Vec<String> {
    let numbers: HashMap<&str, usize> = sides.iter().enumerate().map(|(at, side)| (side.id.as_str(), at + 1)).collect();
    let number = |id: &str| match numbers.get(id) {
        Some(number) => format!("#{number}"),
        None => format!("one no longer here ({})", id.get(..8).unwrap_or(id)),
    };
    let wide = sides.iter().map(|side| value_of(side).chars().count()).max().unwrap_or(0);
    let mut lines = Vec::with_capacity(sides.len());
    for (at, side) in sides.iter().enumerate() {
        let seen: Vec<String> = side.over.iter().map(|id| number(id)).collect();
        let saw = if seen.is_empty() { String::new() } else { format!("; its writer had seen {}", seen.join(", ")) };
        let under = side.leaf.as_ref().map(|_| " under a certificate").unwrap_or_default();
        lines.push(format!(
            "  {:<4} {}  {}{under}  {:<wide$}  {}{saw}",
            format!("#{}", at + 1),
            time_of_stamp(&side.stamp),
            short(&side.author),
            value_of(side),
            verdict(side, &number),
        ));
    }
    lines
}

fn value_of(side: &Side) -> String {
    let text = if side.value.is_null() { format!("({})", side.kind) } else { side.value.to_string() };
    cut(&text, VALUE_CHARS)
}

/// The two ends of a key: enough to tell writers apart.
fn short(key: &str) -> String {
    match (key.get(..6), key.len().checked_sub(4).and_then(|at| key.get(at..))) {
        (Some(head), Some(tail)) if key.len() > 12 => format!("{head}…{tail}"),
        _ => key.to_owned(),
    }
}

/// Why a side is shown or not, as a sentence.
fn verdict(side: &Side, number: &dyn Fn(&str) -> String) -> String {
    let by = side.by.as_deref().map(number).unwrap_or_else(|| "another".to_owned());
    // Whoever decided had this one before him: an edit. Else two wrote without knowing of each other.
    let how = match side.seen {
        Some(true) => ", which had seen it",
        Some(false) => ", written without knowing of it",
        None => "",
    };
    match side.reason.as_str() {
        "won" => "shown".to_owned(),
        "lower_stamp" => format!("earlier than {by}{how}"),
        "lower_value_at_equal_stamp" => format!("at the same time as {by}, whose value is greater{how}"),
        "lower_id_at_equal_value" => format!("the same as {by}{how}"),
        "lower_origin_time" => format!("its origin is earlier than that of {by}"),
        "lower_value" => format!("{by} goes further"),
        "killed_by" => format!("removed by {by}"),
        "cut_off_by" => format!("deleted by {by}{how}"),
        "erased" => format!("erased by {by}"),
        "hidden" => "hidden: a certificate above it is revoked".to_owned(),
        "other_kind_shown" => format!("the field shows another kind since {by}{how}"),
        "ignored" => "of no use to its kind".to_owned(),
        "not_ready" => "waits for what it builds on".to_owned(),
        "removal" => "removes others".to_owned(),
        other => other.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn side(id: &str, value: Value, reason: &str, by: Option<&str>, seen: Option<bool>) -> Side {
        Side {
            kind: "register".into(),
            value,
            stamp: (1_795_000_000_000u64 * 4096).to_string(),
            author: "z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".into(),
            id: id.into(),
            reason: reason.into(),
            by: by.map(Into::into),
            seen,
            ..Side::default()
        }
    }

    #[test]
    fn rows_tell_who_when_what_and_why() {
        let mut won = side("aa", json!("London"), "won", None, None);
        won.over = vec!["cc".into()];
        let sides = [
            won,
            side("bb", json!("Turin"), "lower_stamp", Some("aa"), Some(false)),
            side("cc", json!(1), "lower_stamp", Some("aa"), Some(true)),
            side("dd", Value::Null, "cut_off_by", Some("0123456789"), None),
        ];
        assert_eq!(
            rows(&sides),
            [
                "  #1   2026-11-18T11:06:40.000Z  z6Mkha…2doK  \"London\"    shown; its writer had seen #3",
                "  #2   2026-11-18T11:06:40.000Z  z6Mkha…2doK  \"Turin\"     earlier than #1, written without knowing of it",
                "  #3   2026-11-18T11:06:40.000Z  z6Mkha…2doK  1           earlier than #1, which had seen it",
                "  #4   2026-11-18T11:06:40.000Z  z6Mkha…2doK  (register)  deleted by one no longer here (01234567)",
            ]
        );
    }

    #[test]
    fn a_reason_of_a_newer_gateway_is_told_as_it_is() {
        assert_eq!(verdict(&side("a", Value::Null, "out_of_luck", None, None), &|_| String::new()), "out of luck");
    }
}
