//! How long the view takes over a long document: reads Yjs updates (base64, one per line, in any order) on stdin, folds
//! them as entries of a text, and prints seconds and bytes; then compacts them as their author would.
//!
//! Usage: `yjs_trace [KIND] < updates`

#![expect(clippy::print_stdout, reason = "a program that reports")]
#![expect(clippy::disallowed_methods, reason = "it measures, and has no clock of a node")]

use std::{
    io::{self, BufRead},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use data_encoding::BASE64;
use rustdht_core::{
    Body, CommitId, Entry, EntryId, Field, Kind, PublicKey, Salt, Session, Slot, Soul, Stamp, Value, Writer, json::Ints,
};
use rustdht_graph::{
    NodeState, Pen,
    yjs::{COMPACT_AT, Document, StateVector, compact},
};

fn entry(at: usize, soul: &Soul, field: &Field, kind: &Kind, author: PublicKey, update: Vec<u8>) -> Arc<Entry> {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(at as u64).to_be_bytes());
    Arc::new(Entry {
        id: EntryId(id),
        commit: CommitId(id),
        index: 0,
        soul: soul.clone(),
        field: field.clone(),
        kind: kind.clone(),
        slot: Slot::Own,
        stamp: Stamp(at as u64 + 1),
        author,
        leaf: None,
        writer: Writer::new(&author, None),
        body: Body::Live { value: Value::Bytes(update.into()), salt: Some(Salt([0; 16])) },
        kills: Vec::new(),
        over: Vec::new(),
        base: None,
    })
}

fn main() -> ExitCode {
    let kind = std::env::args().nth(1).unwrap_or_else(|| Kind::TEXT.to_owned());
    let author = PublicKey([1; 32]);
    let (Ok(soul), Ok(field), Ok(kind)) = ("s".parse::<Soul>(), "f".parse::<Field>(), kind.parse::<Kind>()) else {
        return ExitCode::FAILURE;
    };
    let lines = io::stdin().lock().lines().map_while(Result::ok);
    let updates: Vec<Vec<u8>> = lines.filter_map(|line| BASE64.decode(line.trim().as_bytes()).ok()).collect();
    let bytes: usize = updates.iter().map(Vec::len).sum();
    let entries: Vec<_> =
        updates.into_iter().enumerate().map(|(at, update)| entry(at, &soul, &field, &kind, author, update)).collect();

    let start = Instant::now();
    let document = Document::of(&entries);
    let folded = start.elapsed();
    let start = Instant::now();
    let mut shown = String::new();
    if let Some(content) = document.content(&kind) {
        content.write(&mut shown, Ints::Numbers);
    }
    let rendered = start.elapsed();
    let start = Instant::now();
    let whole = document.diff(&StateVector::default());
    let encoded = start.elapsed();
    println!(
        "{} updates, {bytes} bytes: folded in {:.3} s, shown ({} bytes) in {:.3} s, sent whole ({} bytes) in {:.3} s, {} left out",
        entries.len(),
        folded.as_secs_f64(),
        shown.len(),
        rendered.as_secs_f64(),
        whole.len(),
        encoded.as_secs_f64(),
        document.unready().len()
    );

    let mut node = NodeState::new(soul.clone());
    let start = Instant::now();
    entries.iter().for_each(|entry| drop(node.join(Arc::clone(entry))));
    println!("joined in {:.3} s", start.elapsed().as_secs_f64());
    let pen = Pen::new(author, Session([0; 8]), None);
    let start = Instant::now();
    let mut compactions = 0;
    while let Some(draft) = node.field(&field).and_then(|field| compact(field, &kind, &pen, COMPACT_AT)) {
        let Some(Value::Bytes(merged)) = draft.value else { break };
        compactions += 1;
        let mut merged =
            Arc::unwrap_or_clone(entry(entries.len() + compactions, &soul, &field, &kind, author, merged.to_vec()));
        merged.kills = draft.kills;
        merged.base = draft.base;
        node.join(Arc::new(merged));
        if compactions == 8 {
            break;
        }
    }
    let took = start.elapsed().as_secs_f64();
    let left = node.field(&field).map_or(0, |field| field.visible().count());
    println!("{compactions} compactions in {took:.3} s leave {left} entries");
    ExitCode::SUCCESS
}
