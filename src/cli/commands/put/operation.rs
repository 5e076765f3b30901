//! Operations on one field, as arguments spell them.

use anyhow::Context as _;
use serde_json::value::RawValue;

use super::raw;
use crate::exit::{Exit, coded};

/// The gateway takes at most 1 MiB of JSON for a commit.
const MAX_TEXT_BYTES: u64 = 1024 * 1024;

/// At most one operation; several elements may be added or removed together.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Operations on one field")]
#[group(id = "operation", multiple = false)]
pub(crate) struct Operation {
    /// Add an element to a set; may be given several times
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    add: Vec<String>,
    /// Remove an element from a set; may be given several times
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    remove: Vec<String>,
    /// Change a counter by an integer
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    increment: Option<String>,
    /// Switch a flag on
    #[arg(long)]
    enable: bool,
    /// Switch a flag off
    #[arg(long)]
    disable: bool,
    /// Raise a maximum to a number, if that is more
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max: Option<String>,
    /// Lower a minimum to a number, if that is less
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    min: Option<String>,
    /// Make a text this one, or what the file holds, as @FILE (@- is stdin), by the least edit
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// Make a list this JSON array, by the least edit
    #[arg(long, value_name = "JSON")]
    list: Option<String>,
    /// Insert into a text at a position (UTF-16 code units), or into a list with --kind list
    #[arg(long, num_args = 2, value_names = ["INDEX", "VALUE"], allow_hyphen_values = true)]
    insert: Vec<String>,
    /// Replace a part of a text (UTF-16 code units), or with --kind list of a list by a JSON array
    #[arg(long, num_args = 2..=3, value_names = ["INDEX", "DELETE", "VALUE"], allow_hyphen_values = true)]
    splice: Vec<String>,
    /// Set a key of a map
    #[arg(long, num_args = 2, value_names = ["KEY", "VALUE"], allow_hyphen_values = true)]
    map_set: Vec<String>,
    /// Remove a key of a map
    #[arg(long, value_name = "KEY")]
    map_remove: Option<String>,
}

fn usage(text: String) -> anyhow::Error {
    coded(Exit::Usage, text)
}

fn position(text: &str) -> anyhow::Result<u64> {
    text.parse().map_err(|_| usage(format!("{text:?} is no position or length: an integer from 0 on")))
}

fn number(text: &str) -> anyhow::Result<Box<RawValue>> {
    let plain = text.strip_prefix('+').unwrap_or(text);
    match serde_json::from_str::<serde_json::Number>(plain) {
        Ok(_) => Ok(RawValue::from_string(plain.to_owned())?),
        Err(_) => Err(usage(format!("{text:?} is no number"))),
    }
}

/// The text itself, or what the file after `@` holds.
fn text_of(text: &str) -> anyhow::Result<String> {
    let Some(file) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    let mut read = String::new();
    let count = if file == "-" {
        std::io::Read::read_to_string(&mut std::io::Read::take(std::io::stdin(), MAX_TEXT_BYTES + 1), &mut read)
    } else {
        std::fs::File::open(file).and_then(|open| {
            std::io::Read::read_to_string(&mut std::io::Read::take(open, MAX_TEXT_BYTES + 1), &mut read)
        })
    };
    let count = count.with_context(|| format!("cannot read the text of {text}"))?;
    anyhow::ensure!(count as u64 <= MAX_TEXT_BYTES, "a commit is at most 1 MiB; insert a longer text in pieces");
    Ok(read)
}

impl Operation {
    /// Whether any operation stands there.
    pub(super) fn is_given(&self) -> bool {
        self.enable
            || self.disable
            || [&self.increment, &self.max, &self.min, &self.text, &self.list, &self.map_remove]
                .iter()
                .any(|given| given.is_some())
            || [&self.add, &self.remove, &self.insert, &self.splice, &self.map_set]
                .iter()
                .any(|given| !given.is_empty())
    }

    /// The operations as `POST /api/v1/commits` takes them; `kind` is what `--insert` and `--splice` work on. Values keep the spelling of their JSON.
    pub(super) fn read(&self, soul: &str, field: &str, kind: &str) -> anyhow::Result<Vec<Box<RawValue>>> {
        let op = |members: Vec<(&str, Box<RawValue>)>| -> anyhow::Result<Box<RawValue>> {
            let mut out = String::from("{");
            for (name, value) in [("soul", text(soul)?), ("field", text(field)?)].into_iter().chain(members) {
                if out.len() > 1 {
                    out.push(',');
                }
                out.push_str(&format!("\"{name}\":{value}"));
            }
            out.push('}');
            Ok(RawValue::from_string(out)?)
        };
        let wrapped = |kind: &str, value: &RawValue| {
            op(vec![("op", text("set")?), ("value", RawValue::from_string(format!("{{\"@{kind}\":{value}}}"))?)])
        };
        let many = |name: &str, values: &[String]| -> anyhow::Result<Vec<Box<RawValue>>> {
            values.iter().map(|value| op(vec![("op", text(name)?), ("value", raw(value)?)])).collect()
        };
        // What goes into a text is text, also when it reads as a number.
        let piece = |value: &str| if kind == "text" { text(value) } else { raw(value) };
        Ok(match self {
            _ if !self.add.is_empty() => many("add", &self.add)?,
            _ if !self.remove.is_empty() => many("remove", &self.remove)?,
            Self { increment: Some(by), .. } => vec![op(vec![("op", text("increment")?), ("value", number(by)?)])?],
            Self { enable: true, .. } => vec![op(vec![("op", text("enable")?)])?],
            Self { disable: true, .. } => vec![op(vec![("op", text("disable")?)])?],
            Self { max: Some(max), .. } => vec![wrapped("max", &number(max)?)?],
            Self { min: Some(min), .. } => vec![wrapped("min", &number(min)?)?],
            Self { text: Some(wanted), .. } => vec![wrapped("text", &text(&text_of(wanted)?)?)?],
            Self { list: Some(list), .. } => {
                let array: Option<Box<RawValue>> = serde_json::from_str(list).ok();
                let array = array.filter(|_| list.trim_start().starts_with('['));
                let array = array.ok_or_else(|| usage(format!("{list:?} is no JSON array")))?;
                vec![wrapped("list", &array)?]
            }
            Self { map_remove: Some(key), .. } => {
                vec![op(vec![("op", text("remove")?), ("kind", text("map")?), ("key", text(key)?)])?]
            }
            _ => match (self.insert.as_slice(), self.splice.as_slice(), self.map_set.as_slice()) {
                ([at, value], ..) => vec![op(vec![
                    ("op", text("insert")?),
                    ("kind", text(kind)?),
                    ("index", plain(position(at)?)?),
                    ("value", piece(value)?),
                ])?],
                (_, [at, delete, value @ ..], _) => {
                    let mut members = vec![
                        ("op", text("splice")?),
                        ("kind", text(kind)?),
                        ("index", plain(position(at)?)?),
                        ("delete", plain(position(delete)?)?),
                    ];
                    if let [value] = value {
                        members.push(("value", piece(value)?));
                    }
                    vec![op(members)?]
                }
                (.., [key, value]) => vec![op(vec![
                    ("op", text("set")?),
                    ("kind", text("map")?),
                    ("key", text(key)?),
                    ("value", raw(value)?),
                ])?],
                _ => return Err(usage("no operation is given".to_owned())),
            },
        })
    }
}

fn text(text: &str) -> anyhow::Result<Box<RawValue>> {
    Ok(RawValue::from_string(serde_json::to_string(text)?)?)
}

fn plain(number: u64) -> anyhow::Result<Box<RawValue>> {
    Ok(RawValue::from_string(number.to_string())?)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Map, Value, json};

    use super::*;

    fn ops(args: &[&str]) -> Result<Value, Option<Exit>> {
        let all = [&["rustdht", "put", "s", "f"], args].concat();
        let cli = crate::args::Cli::try_parse_from(all).map_err(|_| None)?;
        let crate::args::Command::Put(arguments) = cli.command else { panic!("put") };
        assert!(arguments.operation.is_given());
        let read =
            arguments.operation.read("s", "f", &arguments.kind).map_err(|error| Some(crate::exit::of(&error)))?;
        let mut ops: Value = serde_json::from_str(&json!(read).to_string()).unwrap();
        for op in ops.as_array_mut().into_iter().flatten() {
            let op: &mut Map<String, Value> = op.as_object_mut().unwrap();
            assert_eq!((op.remove("soul"), op.remove("field")), (Some(json!("s")), Some(json!("f"))));
        }
        Ok(ops)
    }

    #[test]
    fn each_operation() {
        for (args, wanted) in [
            (&["--add", "poet", "--add", "7"][..], json!([{"op": "add", "value": "poet"}, {"op": "add", "value": 7}])),
            (&["--remove", "-7"], json!([{"op": "remove", "value": -7}])),
            (&["--increment", "+3"], json!([{"op": "increment", "value": 3}])),
            (&["--increment", "-3"], json!([{"op": "increment", "value": -3}])),
            (&["--enable"], json!([{"op": "enable"}])),
            (&["--disable"], json!([{"op": "disable"}])),
            (&["--max", "1.5"], json!([{"op": "set", "value": {"@max": 1.5}}])),
            (&["--min", "-1"], json!([{"op": "set", "value": {"@min": -1}}])),
            (&["--text", "12"], json!([{"op": "set", "value": {"@text": "12"}}])),
            (&["--list", "[1,{}]"], json!([{"op": "set", "value": {"@list": [1, {}]}}])),
            (&["--insert", "4", "12"], json!([{"op": "insert", "kind": "text", "index": 4, "value": "12"}])),
            (
                &["--kind", "list", "--insert", "0", "12"],
                json!([{"op": "insert", "kind": "list", "index": 0, "value": 12}]),
            ),
            (&["--splice", "1", "2"], json!([{"op": "splice", "kind": "text", "index": 1, "delete": 2}])),
            (
                &["--splice", "1", "2", "[x]", "--kind", "list"],
                json!([{"op": "splice", "kind": "list", "index": 1, "delete": 2, "value": "[x]"}]),
            ),
            (&["--map-set", "k", "{\"a\":1}"], json!([{"op": "set", "kind": "map", "key": "k", "value": {"a": 1}}])),
            (&["--map-remove", "k"], json!([{"op": "remove", "kind": "map", "key": "k"}])),
        ] {
            assert_eq!(ops(args), Ok(wanted), "{args:?}");
        }
    }

    #[test]
    fn what_makes_no_operation_is_a_usage_error() {
        for args in [
            &["--increment", "x"][..],
            &["--max", "true"],
            &["--insert", "-1", "x"],
            &["--splice", "1", "x"],
            &["--list", "{}"],
            &["--list", "[1"],
        ] {
            assert_eq!(ops(args), Err(Some(Exit::Usage)), "{args:?}");
        }
        for args in [&["--enable", "--disable"][..], &["--insert", "1"], &["--kind", "map", "--insert", "1", "x"]] {
            assert_eq!(ops(args), Err(None), "{args:?}");
        }
    }

    #[test]
    fn a_float_keeps_its_spelling_and_a_text_may_come_from_a_file() {
        let op = Operation { max: Some("5.0".into()), ..Operation::default() };
        assert!(op.read("s", "f", "text").unwrap()[0].get().ends_with("{\"@max\":5.0}}"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        std::fs::write(&file, "é\n").unwrap();
        assert_eq!(text_of(&format!("@{}", file.display())).unwrap(), "é\n");
        assert!(text_of("@/nonexistent").is_err());
        std::fs::write(&file, vec![b'x'; (MAX_TEXT_BYTES + 1) as usize]).unwrap();
        assert!(text_of(&format!("@{}", file.display())).is_err());
    }
}
