//! Writes nodes as the NDJSON that `rustdht import` reads: `{"soul":"...","data":{...}}`, one node a line.

use std::io::{self, Write};

use rustdht_core::json;

/// What was written so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Lines.
    pub(crate) nodes: u64,
    /// Fields of the `data` objects; a set is one field.
    pub(crate) fields: u64,
    /// Elements of sets.
    pub(crate) elements: u64,
}

/// What a field or an element of a set may be here.
pub(crate) trait Json {
    /// Appends the value.
    fn write_to(&self, out: &mut String);
}

impl Json for str {
    fn write_to(&self, out: &mut String) {
        json::write_str(out, self);
    }
}

impl<T: Json + ?Sized> Json for &T {
    fn write_to(&self, out: &mut String) {
        (**self).write_to(out);
    }
}

impl Json for u32 {
    fn write_to(&self, out: &mut String) {
        out.push_str(&self.to_string());
    }
}

/// A link to a soul.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link(pub(crate) String);

impl Json for Link {
    fn write_to(&self, out: &mut String) {
        out.push_str("{\"#\":");
        json::write_str(out, &self.0);
        out.push('}');
    }
}

/// Buffers one line at a time, whatever the length of the stream.
pub(crate) struct NodeWriter<W> {
    out: W,
    line: String,
    counts: Counts,
}

/// The fields of the node being written.
pub(crate) struct Fields<'a> {
    line: &'a mut String,
    counts: &'a mut Counts,
    first: bool,
}

impl<W: Write> NodeWriter<W> {
    /// A writer to `out`, which should be buffered.
    pub(crate) fn new(out: W) -> Self {
        Self { out, line: String::new(), counts: Counts::default() }
    }

    /// Writes the node `soul` with the fields that `fill` gives it.
    ///
    /// # Errors
    /// When `out` fails.
    pub(crate) fn node(&mut self, soul: &str, fill: impl FnOnce(&mut Fields<'_>)) -> io::Result<()> {
        self.line.clear();
        self.line.push_str("{\"soul\":");
        json::write_str(&mut self.line, soul);
        self.line.push_str(",\"data\":{");
        self.counts.nodes += 1;
        fill(&mut Fields { line: &mut self.line, counts: &mut self.counts, first: true });
        self.line.push_str("}}\n");
        self.out.write_all(self.line.as_bytes())
    }

    /// Flushes and tells what was written.
    ///
    /// # Errors
    /// When `out` fails.
    pub(crate) fn finish(mut self) -> io::Result<Counts> {
        self.out.flush()?;
        Ok(self.counts)
    }
}

impl Fields<'_> {
    fn key(&mut self, key: &str) {
        if !self.first {
            self.line.push(',');
        }
        self.first = false;
        self.counts.fields += 1;
        json::write_str(self.line, key);
        self.line.push(':');
    }

    /// A plain field.
    pub(crate) fn value(&mut self, key: &str, value: &(impl Json + ?Sized)) {
        self.key(key);
        value.write_to(self.line);
    }

    /// A set field; elements named twice are written once, an empty set is left out (it would be an absent field).
    pub(crate) fn set<T: Json + Ord>(&mut self, key: &str, elements: impl IntoIterator<Item = T>) {
        let mut elements: Vec<T> = elements.into_iter().collect();
        if elements.is_empty() {
            return;
        }
        elements.sort_unstable();
        elements.dedup();
        self.key(key);
        self.counts.elements += elements.len() as u64;
        for (at, element) in elements.iter().enumerate() {
            self.line.push_str(if at == 0 { "{\"@set\":[" } else { "," });
            element.write_to(self.line);
        }
        self.line.push_str("]}");
    }
}
