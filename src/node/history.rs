//! What a field held before, as far back as this gateway keeps it.

use std::{fmt, str::FromStr, sync::Arc};

use rustdht_core::{
    Entry, Field, Soul,
    json::{self, Ints},
    ports::Loser,
};
use rustdht_graph::{Side, explain, render};

use crate::{Error, Node, Principal, private};

/// Displaced entries of one page.
pub const MAX_HISTORY_PAGE: u32 = 1000;

/// Where the next page of a history begins; opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryCursor(i64);

impl fmt::Display for HistoryCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for HistoryCursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        i64::from_str_radix(text, 16).map(Self)
    }
}

/// A displaced entry.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// The entry and why it is not shown.
    pub side: Side,
    /// When it was displaced here, in milliseconds since the epoch.
    pub lost_ms: u64,
}

/// A page of a field's history, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPage {
    /// The node.
    pub soul: Soul,
    /// The field.
    pub field: Field,
    /// The displaced entries.
    pub entries: Vec<HistoryEntry>,
    /// Where the next page begins; `None`: this is the last one.
    pub next: Option<HistoryCursor>,
}

impl HistoryPage {
    /// `{"soul","field","entries":[{...,"lost_ms"}],"next"}`; an entry is printed as one side of `?meta=true`.
    #[must_use]
    pub fn to_json(&self, ints: Ints) -> String {
        let mut out = String::from("{\"soul\":");
        json::write_str(&mut out, &self.soul);
        out.push_str(",\"field\":");
        json::write_str(&mut out, &self.field);
        out.push_str(",\"entries\":[");
        for (at, entry) in self.entries.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            let mut side = String::new();
            render::write_sides(&mut side, std::slice::from_ref(&entry.side), ints);
            // An array of one object, of which the end is written here.
            out.push_str(side.strip_prefix('[').and_then(|side| side.strip_suffix("}]")).unwrap_or("{"));
            out.push_str(&format!(",\"lost_ms\":{}}}", entry.lost_ms));
        }
        out.push_str("],\"next\":");
        match &self.next {
            Some(next) => json::write_str(&mut out, &next.to_string()),
            None => out.push_str("null"),
        }
        out.push('}');
        out
    }
}

impl Node {
    /// What a field held before, newest first, behind `before`; at most `limit` entries and never more than 1,000. Values
    /// of a private node are opened for those who can read it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn history(
        &self,
        soul: &Soul,
        field: &Field,
        reader: Principal,
        before: Option<HistoryCursor>,
        limit: u32,
    ) -> Result<HistoryPage, Error> {
        let limit = limit.clamp(1, MAX_HISTORY_PAGE);
        let page = self.store().history(soul, field, before.map(|cursor| cursor.0), limit).await?;
        let state = self.state(soul).await?;
        let mut opener = private::opener(&self.inner.shared.keyring, &state, &reader);
        let mut open = |entry: &Arc<Entry>| match opener.as_mut().and_then(|opener| opener.open_entry(entry)) {
            Some(opened) => Arc::new(opened),
            None => Arc::clone(entry),
        };
        let losers: Vec<Arc<Entry>> = page.losers.iter().map(|loser| open(&loser.entry)).collect();
        let state = private::open(&self.inner.shared.keyring, state, &reader);
        let sides = explain(&state, field, &losers);
        let entry = |loser: &Loser| {
            let side = sides.iter().find(|side| side.entry.id == loser.entry.id)?.clone();
            Some(HistoryEntry { side, lost_ms: loser.lost_ms })
        };
        let entries = page.losers.iter().filter_map(entry).collect();
        Ok(HistoryPage { soul: soul.clone(), field: field.clone(), entries, next: page.next.map(HistoryCursor) })
    }
}
