//! JSON of nodes. Fields are sorted by their bytes, so equal states give equal bytes.

use std::fmt::Write as _;

use rustdht_core::{
    Value,
    json::{self, Ints},
};

use crate::{FieldView, NodeState, Shown};

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
