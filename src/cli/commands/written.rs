//! What became of a write.

use serde::Deserialize;

use crate::output::Output;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    soul: Option<String>,
    commit: Option<String>,
    durable: Option<u64>,
    wanted: Option<u64>,
    outstanding: Vec<serde_json::Value>,
}

/// Reports the answer of a write: the whole of it on stdout with `--json`, a line on stderr otherwise.
pub(super) fn report(output: Output, answer: &str) -> anyhow::Result<()> {
    if output.json {
        return output.line(answer.trim());
    }
    output.say(sentence(&serde_json::from_str(answer).unwrap_or_default()));
    Ok(())
}

fn sentence(written: &Written) -> String {
    let Some(commit) = &written.commit else { return "nothing to change".to_owned() };
    let what = written.soul.as_deref().map(|soul| format!(" {soul}")).unwrap_or_default();
    let short = commit.get(..12).unwrap_or(commit);
    match (written.durable, written.wanted) {
        (Some(durable), Some(wanted)) if durable < wanted => format!(
            "wrote{what} (commit {short}): on disk here, {durable} of {wanted} gateways have it, {} to follow",
            written.outstanding.len()
        ),
        _ => format!("wrote{what} (commit {short})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_sentence() {
        let say = |json: &str| sentence(&serde_json::from_str(json).unwrap());
        assert_eq!(say(r#"{"soul":"a","data":{},"stamp":"1"}"#), "nothing to change");
        assert_eq!(say(r#"{"soul":"a","commit":"0123456789abcdef"}"#), "wrote a (commit 0123456789ab)");
        assert_eq!(
            say(r#"{"soul":"a","commit":"01","durable":1,"wanted":2,"outstanding":["x"]}"#),
            "wrote a (commit 01): on disk here, 1 of 2 gateways have it, 1 to follow"
        );
    }
}
