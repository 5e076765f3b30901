//! What our Yjs codec makes of histories, for stock Yjs to check (`tests/interop/yjs/codec.mjs`): the merge of their
//! updates, parts of it, edits upon it, and those of a hundred mutants per history that our decoder accepts.
//!
//! Usage: `yjs_codec SEED`, histories on stdin, one JSON line per history on stdout.

#![expect(clippy::print_stdout, reason = "a program that reports")]

use std::{
    io::{self, BufRead},
    process::ExitCode,
};

use data_encoding::BASE64;
use rustdht_core::{Refusal, Value, json::Ints};
use rustdht_graph::{
    Content,
    yjs::{Document, Update, merge, split},
};
use serde_json::{Value as Json, json};

const MUTANTS: usize = 100;

/// splitmix64: a seed repeats a run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or_default()
    }

    fn mutant(&mut self, update: &[u8]) -> Vec<u8> {
        let mut bytes = update.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.byte(),
                2 => bytes.insert(at, self.byte()),
                _ => drop(bytes.splice(at..=at, [])),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        bytes
    }
}

/// As text: reading and printing it once more could move a float's last digit.
fn json_of(content: Option<&Content>, kind: &str) -> String {
    let mut out = String::new();
    match (content, kind) {
        (Some(content), _) => content.write(&mut out, Ints::Numbers),
        (None, "list") => out.push_str("[]"),
        (None, _) => out.push_str("{}"),
    }
    out
}

/// A splice or a wish at random; positions inside a surrogate pair are refused, which is fine here.
fn edit(document: &Document, kind: &str, random: &mut Random) -> Result<Update, Refusal> {
    const CLIENT: u64 = 4_000_000_000;
    let shown = document.content(kind);
    let wished =
        |random: &mut Random| Content::Value(Value::Int(i64::try_from(random.below(1 << 40)).unwrap_or_default()));
    match kind {
        "text" => {
            let Some(Content::Value(Value::Text(text))) = shown else { return Ok(Update::default()) };
            let len = text.encode_utf16().count();
            if random.below(2) == 0 {
                let at = random.below(len + 1);
                let delete = random.below(len - at + 1);
                return document.splice_text(CLIENT, at as u64, delete as u64, "spliced \u{1f680}");
            }
            let kept: String =
                text.chars().filter(|_| random.below(4) > 0).flat_map(|char| [char, '\u{1f980}']).collect();
            document.want_text(CLIENT, &Content::Value(Value::from(&*kept)))
        }
        "list" => {
            let held = if let Some(Content::List(held)) = shown { held } else { Vec::new() };
            if random.below(2) == 0 {
                let at = random.below(held.len() + 1);
                let delete = random.below(held.len() - at + 1);
                return document.splice_list(CLIENT, at as u64, delete as u64, &[wished(random), wished(random)]);
            }
            let mut wanted: Vec<Content> = held.into_iter().filter(|_| random.below(3) > 0).collect();
            wanted.insert(random.below(wanted.len() + 1), wished(random));
            document.want_list(CLIENT, &Content::List(wanted))
        }
        _ => {
            let mut wanted = if let Some(Content::Map(held)) = shown { held } else { Default::default() };
            if random.below(2) == 0 {
                return document.set_key(CLIENT, "a", (random.below(2) == 0).then(|| wished(random)).as_ref());
            }
            wanted.retain(|_, _| random.below(3) > 0);
            wanted.insert("k\u{1f511}".to_owned(), Content::List(vec![wished(random)]));
            document.want_map(CLIENT, &Content::Map(wanted), false)
        }
    }
}

fn checked(history: &Json, random: &mut Random) -> Result<String, Refusal> {
    let kind = history["kind"].as_str().unwrap_or_default();
    let encoded = history["entries"].as_array().cloned().unwrap_or_default();
    let updates: Vec<Vec<u8>> =
        encoded.iter().filter_map(|entry| BASE64.decode(entry["update"].as_str()?.as_bytes()).ok()).collect();
    let decoded: Vec<Update> = updates.iter().map(|update| Update::decode(update)).collect::<Result<_, _>>()?;
    let merged = merge(&decoded);
    let parts = split(&merged, 150 + random.below(2000))?;
    let mut accepted = Vec::new();
    // A history may hold nothing.
    for _ in 0..if updates.is_empty() { 0 } else { MUTANTS } {
        let chosen = random.below(updates.len());
        let mutant = random.mutant(&updates[chosen]);
        if Update::decode(&mutant).is_ok() {
            accepted.push(BASE64.encode(&mutant));
        }
    }
    let mut document = Document::new();
    document.apply(merged.clone())?;
    let mut edits = Vec::new();
    for _ in 0..4 {
        if let Ok(update) = edit(&document, kind, random) {
            let bytes = update.encode();
            document.apply(update)?;
            let expected = json_of(document.content(kind).as_ref(), kind);
            edits.push(format!("{{\"update\":\"{}\",\"expected\":{expected}}}", BASE64.encode(&bytes)));
        }
    }
    let parts: Vec<String> = parts.iter().map(|part| BASE64.encode(&part.encode())).collect();
    let updates: Vec<String> = updates.iter().map(|update| BASE64.encode(update)).collect();
    let rest = json!({
        "kind": kind, "updates": updates, "merged": BASE64.encode(&merged.encode()), "parts": parts, "accepted": accepted,
    });
    let rest = rest.to_string();
    Ok(format!("{},\"edits\":[{}]}}", rest.trim_end_matches('}'), edits.join(",")))
}

fn main() -> ExitCode {
    let mut random = Random(std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1));
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let history: Json = serde_json::from_str(&line).unwrap_or_default();
        match checked(&history, &mut random) {
            Ok(checked) => println!("{checked}"),
            Err(refusal) => {
                eprintln!("an update of stock Yjs is refused: {refusal}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
