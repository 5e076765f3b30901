//! `?meta=true`: what a node shows, by whom, and why not something else.

use std::{collections::HashMap, fmt::Write as _, sync::Arc};

use rustdht_core::{
    Entry, Field,
    json::{self, Ints},
};
use rustdht_graph::{NodeState, explain, render, yjs::Document};

/// Sides of one field that are printed, the newest ones.
const SIDES_SHOWN: usize = 1000;

/// `{"soul","data","meta"` of a node, to be finished by the caller; `None` when it shows nothing. `meta` has every field with
/// an entry: `{"kind","stamp","author","commit","id","entries","sides"}`, of a document `roots` too; one that shows nothing has
/// `kind` null.
pub(crate) fn render_meta(state: &NodeState, losers: &HashMap<Field, Vec<Arc<Entry>>>, ints: Ints) -> Option<String> {
    let mut out = String::with_capacity(1024);
    out.push_str("{\"soul\":");
    json::write_str(&mut out, state.soul());
    out.push_str(",\"data\":");
    if !render::write_data(&mut out, state, ints) {
        return None;
    }
    out.push_str(",\"meta\":{");
    for (at, name) in state.field_names().iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json::write_str(&mut out, name);
        write_field(&mut out, state, name, losers.get(name).map_or(&[], Vec::as_slice), ints);
    }
    out.push('}');
    Some(out)
}

fn write_field(out: &mut String, state: &NodeState, name: &Field, losers: &[Arc<Entry>], ints: Ints) {
    out.push_str(":{\"kind\":");
    match state.view(name) {
        Some(view) => {
            json::write_str(out, &view.kind);
            let _ = write!(
                out,
                ",\"stamp\":\"{}\",\"author\":\"{}\",\"commit\":\"{}\",\"id\":\"{}\"",
                view.stamp, view.author, view.commit, view.entry
            );
            if let Some(leaf) = view.leaf {
                let _ = write!(out, ",\"leaf\":\"{}\"", leaf.to_cid());
            }
            write_roots(out, state, name, &view.kind);
        }
        None => out.push_str("null"),
    }
    let entries = state.field(name).map_or(0, |field| field.entries().count());
    let _ = write!(out, ",\"entries\":{entries},\"sides\":");
    let mut sides = explain(state, name, losers);
    let more = sides.len() > SIDES_SHOWN;
    sides.truncate(SIDES_SHOWN);
    render::write_sides(out, &sides, ints);
    if more {
        out.push_str(",\"truncated\":true");
    }
    out.push('}');
}

/// The root types of a document: editors may have put more into it than the API shows.
fn write_roots(out: &mut String, state: &NodeState, name: &Field, kind: &rustdht_core::Kind) {
    if !kind.is_yjs() {
        return;
    }
    let Some(field) = state.field(name) else { return };
    let document = Document::of(field.counted().filter(|entry| entry.kind == *kind));
    out.push_str(",\"roots\":[");
    for (at, root) in document.root_names().into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json::write_str(out, root);
    }
    out.push(']');
}
