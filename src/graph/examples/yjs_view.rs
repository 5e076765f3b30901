//! Compares our view with what stock Yjs shows: reads histories (one JSON object per line, as `tests/interop/yjs`
//! writes them), joins their entries in a shuffled order with some twice, and compares the views; then gives the same
//! updates to an open document in another order, and what that document sends a newcomer to a third.
//!
//! Usage: `yjs_view SEED [ORDERS]`, histories on stdin. Exit code 1: something differed.

#![expect(clippy::print_stdout, reason = "a program that reports")]

use std::{
    io::{self, BufRead},
    process::ExitCode,
    sync::Arc,
};

use data_encoding::BASE64;
use rustdht_core::{
    Body, CommitId, Entry, EntryId, Kind, PublicKey, Salt, Slot, Soul, Stamp, Value, Writer, json::Ints,
};
use rustdht_graph::{
    Content, NodeState, Shown,
    yjs::{Document, StateVector, Update},
};
use serde_json::Value as Json;

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

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

fn entries(history: &Json, soul: &Soul, random: &mut Random) -> Option<Vec<Arc<Entry>>> {
    let listed = history["entries"].as_array()?;
    let kind: Kind = history["kind"].as_str()?.parse().ok()?;
    // Ids decide between equal stamps, so they are random too.
    let ids: Vec<EntryId> = listed
        .iter()
        .map(|_| EntryId(std::array::from_fn(|_| u8::try_from(random.below(256)).unwrap_or_default())))
        .collect();
    let made = listed.iter().zip(&ids).map(|(entry, id)| {
        let author = PublicKey([u8::try_from(entry["author"].as_u64()?).ok()? + 1; 32]);
        let mut kills: Vec<EntryId> = entry["kills"]
            .as_array()?
            .iter()
            .filter_map(|at| ids.get(usize::try_from(at.as_u64()?).ok()?).copied())
            .collect();
        kills.sort_unstable();
        let update = BASE64.decode(entry["update"].as_str()?.as_bytes()).ok()?;
        Some(Arc::new(Entry {
            id: *id,
            commit: CommitId(id.0),
            index: 0,
            soul: soul.clone(),
            field: "f".parse().ok()?,
            kind: kind.clone(),
            slot: Slot::Own,
            stamp: Stamp(entry["stamp"].as_u64()?),
            author,
            leaf: None,
            writer: Writer::new(&author, None),
            body: Body::Live { value: Value::Bytes(update.into()), salt: Some(Salt([0; 16])) },
            kills,
            over: Vec::new(),
            base: entry["base"].as_u64().map(Stamp),
        }))
    });
    made.collect()
}

/// Content as `expected` says it; an absent list or map is an empty one.
fn json(content: Option<&Content>, kind: &str) -> Json {
    let Some(content) = content else {
        return match kind {
            "text" => Json::from(""),
            "list" => Json::Array(Vec::new()),
            _ => Json::Object(serde_json::Map::new()),
        };
    };
    let mut out = String::new();
    content.write(&mut out, Ints::Numbers);
    serde_json::from_str(&out).unwrap_or_default()
}

/// Numbers are Yjs numbers: 5 and 5.0 are one.
fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

fn check(history: &Json, random: &mut Random) -> Result<(), String> {
    let soul: Soul = "s".parse().map_err(|_| "a soul")?;
    let kind = history["kind"].as_str().unwrap_or_default();
    let mut delivered = entries(history, &soul, random).ok_or("not a history")?;
    let twice = random.below(delivered.len() + 1);
    delivered.extend_from_within(..twice);
    random.shuffle(&mut delivered);
    let mut node = NodeState::new(soul);
    delivered.iter().for_each(|entry| drop(node.join(Arc::clone(entry))));
    let view = node.view("f");
    let shown = match view.as_ref().map(|view| &view.shown) {
        Some(Shown::Wrapped(content)) => Some(content),
        None => None,
        other => return Err(format!("shows {other:?}")),
    };
    let expected = &history["expected"];
    let fits = |what: &str, content: Option<&Content>| {
        let found = json(content, kind);
        if equal(&found, expected) { Ok(()) } else { Err(format!("{what}\n  shows   {found}\n  expects {expected}")) }
    };
    fits("the view", shown)?;

    let mut open = Document::new();
    random.shuffle(&mut delivered);
    for entry in &delivered {
        let Some(Value::Bytes(bytes)) = entry.body.value() else { continue };
        let update = Update::decode(bytes).map_err(|refusal| refusal.to_string())?;
        open.apply(update).map_err(|refusal| refusal.to_string())?;
    }
    if open.waiting() > 0 || !open.disputed().is_empty() {
        return Err(format!("{} updates wait, disputed: {:?}", open.waiting(), open.disputed()));
    }
    fits("an open document", open.content(kind).as_ref())?;
    let mut newcomer = Document::new();
    let whole = Update::decode(&open.diff(&StateVector::default())).map_err(|refusal| refusal.to_string())?;
    newcomer.apply(whole).map_err(|refusal| refusal.to_string())?;
    fits("a newcomer", newcomer.content(kind).as_ref())?;
    if newcomer.state_vector() != open.state_vector() {
        return Err("a newcomer's state vector differs".to_owned());
    }
    fits("a copy", open.clone().content(kind).as_ref())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().unwrap_or(1));
    let (seed, orders) = (arguments.next().unwrap_or(1), arguments.next().unwrap_or(1));
    let mut random = Random(seed);
    let (mut histories, mut compactions, mut differences) = (0, 0, 0);
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let history: Json = serde_json::from_str(&line).unwrap_or_default();
        histories += 1;
        let compacted =
            history["entries"].as_array().is_some_and(|entries| entries.iter().any(|entry| entry["base"].is_u64()));
        compactions += u32::from(compacted);
        for _ in 0..orders {
            if let Err(difference) = check(&history, &mut random) {
                differences += 1;
                if differences <= 5 {
                    println!("history {histories}: {difference}");
                }
            }
        }
    }
    println!(
        "{histories} histories ({compactions} with compactions) in {orders} shuffled order(s), seed {seed}: {differences} differences"
    );
    if differences == 0 && histories > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
