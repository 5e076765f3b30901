//! JSON of nodes. Fields are sorted by their bytes, so equal states give equal bytes.

use std::fmt::Write as _;

use rustdht_core::{
    Slot, Value,
    json::{self, Ints},
};

use crate::{FieldView, NodeState, Shown, Side};

/// Appends `{"field":value,...}`. Returns whether any field is shown.
pub fn write_data(out: &mut String, node: &NodeState, ints: Ints) -> bool {
    out.push('{');
    let mut any = false;
    for (name, view) in node.views() {
        if any {
            out.push(',');
        }
        any = true;
        json::write_str(out, name);
        out.push(':');
        write_shown(out, &view, ints);
    }
    out.push('}');
    any
}

/// Appends what a field shows: a plain value, or a wrapped one.
pub fn write_shown(out: &mut String, view: &FieldView, ints: Ints) {
    match &view.shown {
        Shown::Value(value) => json::write(out, value, ints),
        Shown::Set(elements) => {
            out.push_str("{\"@set\":[");
            write_list(out, elements, ints);
            out.push_str("]}");
        }
        Shown::Counter(sum) => {
            let _ = write!(out, "{{\"@counter\":\"{sum}\"}}");
        }
        Shown::Wrapped(content) => {
            out.push_str("{\"@");
            // A kind's name may need escapes: its opening quote stands before the `@`.
            let start = out.len();
            json::write_str(out, &view.kind);
            out.remove(start);
            out.push(':');
            content.write(out, ints);
            out.push('}');
        }
        Shown::Opaque { entries } => {
            out.push_str("{\"@opaque\":{\"kind\":");
            json::write_str(out, &view.kind);
            let _ = write!(out, ",\"entries\":{entries}}}}}");
        }
    }
}

fn write_list(out: &mut String, values: &[Value], ints: Ints) {
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json::write(out, value, ints);
    }
}

/// The line of an export: `{"soul":...,"data":{...}}` and a newline. `false`, and nothing appended: the node has no
/// data.
pub fn write_export_line(out: &mut String, node: &NodeState) -> bool {
    let start = out.len();
    out.push_str("{\"soul\":");
    json::write_str(out, node.soul());
    out.push_str(",\"data\":");
    if !write_data(out, node, Ints::Numbers) {
        out.truncate(start);
        return false;
    }
    out.push_str("}\n");
    true
}

/// Appends the sides of a field as a JSON array of `{"kind","value","slot","stamp","author","leaf","commit","id","base",
/// "over","kills","reason","by","seen"}`. `value` is left out where there is none; `slot` is lower-case hex, null for the
/// entry's own id; `leaf`, `base`, `by` and `seen` are left out where they say nothing; `kills` is a number.
pub fn write_sides(out: &mut String, sides: &[Side], ints: Ints) {
    out.push('[');
    for (at, side) in sides.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_side(out, side, ints);
    }
    out.push(']');
}

fn write_side(out: &mut String, side: &Side, ints: Ints) {
    let Side { entry, reason, by, seen } = side;
    out.push_str("{\"kind\":");
    json::write_str(out, &entry.kind);
    if let Some(value) = entry.body.value() {
        out.push_str(",\"value\":");
        json::write(out, value, ints);
    }
    match &entry.slot {
        Slot::Own => out.push_str(",\"slot\":null"),
        Slot::Explicit(slot) => {
            out.push_str(",\"slot\":\"");
            for byte in slot {
                let _ = write!(out, "{byte:02x}");
            }
            out.push('"');
        }
    }
    let _ = write!(out, ",\"stamp\":\"{}\",\"author\":\"{}\"", entry.stamp, entry.author);
    if let Some(leaf) = &entry.leaf {
        let _ = write!(out, ",\"leaf\":\"{}\"", leaf.to_cid());
    }
    let _ = write!(out, ",\"commit\":\"{}\",\"id\":\"{}\"", entry.commit, entry.id);
    if let Some(base) = &entry.base {
        let _ = write!(out, ",\"base\":\"{base}\"");
    }
    let over: Vec<String> = entry.over.iter().map(|id| format!("\"{id}\"")).collect();
    let _ = write!(out, ",\"over\":[{}],\"kills\":{},\"reason\":\"{reason}\"", over.join(","), entry.kills.len());
    if let Some(by) = by {
        let _ = write!(out, ",\"by\":\"{by}\"");
    }
    if let Some(seen) = seen {
        let _ = write!(out, ",\"seen\":{seen}");
    }
    out.push('}');
}
