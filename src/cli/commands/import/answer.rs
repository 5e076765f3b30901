//! The lines with which the gateway answers an import.

use anyhow::Context as _;
use serde::Deserialize;

/// An answer's line is short; this bounds what a broken gateway makes us keep.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// One line of the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Every line up to `line` is durable.
    Progress { line: u64, nodes: u64, fields: u64 },
    /// A line was refused.
    Error { line: u64, text: String },
    /// The end.
    Done { nodes: u64, fields: u64 },
    /// Something a later gateway says.
    Other,
}

#[derive(Deserialize)]
struct Raw {
    progress: Option<Counts>,
    done: Option<Counts>,
    line: Option<u64>,
    error: Option<Refused>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    line: u64,
    #[serde(default)]
    nodes: u64,
    #[serde(default)]
    fields: u64,
}

#[derive(Deserialize)]
struct Refused {
    code: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    field: Option<String>,
}

/// Reads one line.
pub(super) fn read(text: &str) -> anyhow::Result<Line> {
    let raw: Raw = serde_json::from_str(text).with_context(|| format!("the gateway's answer holds {text:?}"))?;
    Ok(match raw {
        Raw { progress: Some(Counts { line, nodes, fields }), .. } => Line::Progress { line, nodes, fields },
        Raw { done: Some(Counts { nodes, fields, .. }), .. } => Line::Done { nodes, fields },
        Raw { error: Some(error), line, .. } => {
            let field =
                error.field.filter(|field| !field.is_empty()).map(|field| format!("{field}: ")).unwrap_or_default();
            Line::Error { line: line.unwrap_or_default(), text: format!("{field}{} [{}]", error.detail, error.code) }
        }
        _ => Line::Other,
    })
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Takes bytes in pieces of any size; gives the lines that they complete, without empty ones.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<String>> {
        let mut done = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.0.extend_from_slice(piece);
            anyhow::ensure!(self.0.len() <= MAX_LINE_BYTES, "the gateway sent a line beyond {MAX_LINE_BYTES} bytes");
            if piece.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.0)).trim().to_owned();
                if !line.is_empty() {
                    done.push(line);
                }
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_contract() {
        assert_eq!(
            read(r#"{"progress":{"line":3,"nodes":2,"fields":5}}"#).unwrap(),
            Line::Progress { line: 3, nodes: 2, fields: 5 }
        );
        assert_eq!(
            read(r#"{"line":7,"error":{"code":"bad_value","detail":"no","field":"data.x"}}"#).unwrap(),
            Line::Error { line: 7, text: "data.x: no [bad_value]".into() }
        );
        assert_eq!(read(r#"{"done":{"nodes":2,"fields":5,"errors":0}}"#).unwrap(), Line::Done { nodes: 2, fields: 5 });
        assert_eq!(read(r#"{"new":1}"#).unwrap(), Line::Other);
        assert!(read("<html>").is_err());
    }

    #[test]
    fn any_split_gives_the_same_lines() {
        let text = "{\"a\":\"ä\"}\n\n{}\r\nrest";
        for piece in 1..text.len() {
            let mut lines = Lines::default();
            let all: Vec<String> = text.as_bytes().chunks(piece).flat_map(|b| lines.feed(b).unwrap()).collect();
            assert_eq!(all, ["{\"a\":\"ä\"}", "{}"]);
        }
    }

    proptest::proptest! {
        #[test]
        fn an_answer_that_is_none_is_an_error_or_other_and_never_a_panic(
            text in "[{}\\[\\]\":,0-9a-z ]{0,80}|\\{\"(progress|done|error|line)\":[0-9a-z{}\": ]{0,20}\\}",
        ) {
            let _ = read(&text);
            Lines::default().feed(text.as_bytes()).unwrap();
        }
    }
}
