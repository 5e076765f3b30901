//! Edits that a gateway makes for others: positions and wanted contents become updates to be signed.

use rustdht_core::{Code, Refusal};
use yrs::{
    Any, Array as _, ArrayRef, Map as _, Out, Text as _, TextRef, Transact as _, TransactionMut, types::text::YChange,
};

use super::{
    Document, Update,
    diff::diff,
    document::Roots,
    payload::{Payload, inside_pair, utf16_len},
    tree::Tree,
    update::Body,
};
use crate::Content;

/// Greatest position that is answered with anything but `out_of_range`; keeps sums of two small.
const MAX_POSITION: u64 = 1 << 30;

fn beyond_the_end() -> Refusal {
    Refusal::new(Code::OutOfRange, "the position lies beyond the end")
}

fn bad(detail: &'static str) -> Refusal {
    Refusal::new(Code::BadValue, detail)
}

fn position(value: u64) -> Result<usize, Refusal> {
    usize::try_from(value).ok().filter(|_| value <= MAX_POSITION).ok_or_else(beyond_the_end)
}

/// Positions and lengths that were checked fit into 32 bits.
fn yrs_len(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The plain text that a value is.
fn text_of(content: &Content) -> Result<&str, Refusal> {
    match content {
        Content::Value(rustdht_core::Value::Text(text)) => Ok(text),
        _ => Err(bad("a text takes a string")),
    }
}

/// What a text shows, and how its positions lie in the shared type: embeds of rich text count there, but do not show.
struct Shape {
    shown: String,
    /// Position in UTF-16 units of what is shown, before which embeds stand, and how many.
    embeds: Vec<(usize, usize)>,
}

impl Shape {
    fn of(text: &TextRef, txn: &TransactionMut<'_>) -> Result<Self, Refusal> {
        let mut shape = Self { shown: String::new(), embeds: Vec::new() };
        let mut length = 0;
        for chunk in text.diff(txn, YChange::identity) {
            match chunk.insert {
                Out::Any(Any::String(text)) => shape.shown.push_str(&text),
                _ => {
                    let at = utf16_len(&shape.shown);
                    length += 1;
                    match shape.embeds.last_mut().filter(|last| last.0 == at) {
                        Some(last) => last.1 += 1,
                        None => shape.embeds.push((at, 1)),
                    }
                }
            }
        }
        length += utf16_len(&shape.shown);
        // yrs cannot pass over other content without losing count.
        if text.len(txn) as usize != length {
            return Err(bad("this text holds content that is no text; only its editor can change it"));
        }
        Ok(shape)
    }

    /// The position in the shared type of the element that is shown at `at`.
    fn inner(&self, at: usize) -> usize {
        at + self.embeds.iter().take_while(|embed| embed.0 <= at).map(|embed| embed.1).sum::<usize>()
    }

    /// The position behind the element that is shown in front of `at`.
    fn inner_end(&self, at: usize) -> usize {
        if at == 0 { 0 } else { self.inner(at - 1) + 1 }
    }

    fn splice(&self, text: &TextRef, txn: &mut TransactionMut<'_>, at: usize, delete: usize, insert: &str) {
        let start = if delete > 0 { self.inner(at) } else { self.inner_end(at) };
        if delete > 0 {
            let end = self.inner_end(at + delete);
            text.remove_range(txn, yrs_len(start), yrs_len(end - start));
        }
        if !insert.is_empty() {
            text.insert(txn, yrs_len(start), insert);
        }
    }
}

impl Document {
    /// Runs an edit on a copy that writes as `client`, and answers it as an update.
    fn edited(
        &self,
        client: u64,
        edit: impl FnOnce(&Roots, &mut TransactionMut<'_>) -> Result<(), Refusal>,
    ) -> Result<Update, Refusal> {
        let (doc, roots) = self.copy(client);
        let mut txn = doc.transact_mut();
        edit(&roots, &mut txn)?;
        let mut update = Update::decode(&txn.encode_update_v1())?;
        // yrs writes the keys of plain objects in any order; ours is one.
        for item in update.sections.iter_mut().flat_map(|section| &mut section.structs) {
            if let Body::Item(item) = &mut item.body
                && let Payload::Any(values) = &mut item.content
            {
                for value in values {
                    let mut out = Vec::with_capacity(value.len());
                    super::tree::parse_any(value).write_any(&mut out);
                    *value = out.into();
                }
            }
        }
        Ok(update)
    }

    /// Replaces `delete` UTF-16 code units of the text at `index`.
    ///
    /// # Errors
    /// `out_of_range` beyond the end, `bad_value` inside a surrogate pair.
    pub fn splice_text(&self, client: u64, index: u64, delete: u64, insert: &str) -> Result<Update, Refusal> {
        let (index, delete) = (position(index)?, position(delete)?);
        self.edited(client, |roots, txn| {
            let shape = Shape::of(&roots.text, txn)?;
            if index + delete > utf16_len(&shape.shown) {
                return Err(beyond_the_end());
            }
            if inside_pair(&shape.shown, index) || inside_pair(&shape.shown, index + delete) {
                return Err(bad("the position lies inside a surrogate pair"));
            }
            shape.splice(&roots.text, txn, index, delete, insert);
            Ok(())
        })
    }

    /// Makes the text what is wanted, touching as little as a bounded search finds.
    ///
    /// # Errors
    /// `bad_value` when `wanted` is no text.
    pub fn want_text(&self, client: u64, wanted: &Content) -> Result<Update, Refusal> {
        let wanted: Vec<char> = text_of(wanted)?.chars().collect();
        self.edited(client, |roots, txn| {
            let shape = Shape::of(&roots.text, txn)?;
            let shown: Vec<char> = shape.shown.chars().collect();
            // By characters, so that no pair is cut; positions count code units.
            let mut units = Vec::with_capacity(shown.len() + 1);
            let mut at = 0;
            for char in &shown {
                units.push(at);
                at += char.len_utf16();
            }
            units.push(at);
            // From the end, so that positions in front stay.
            for hunk in diff(&shown, &wanted).into_iter().rev() {
                let (start, end) = (units[hunk.at], units[hunk.at + hunk.delete]);
                let insert: String = wanted[hunk.insert].iter().collect();
                shape.splice(&roots.text, txn, start, end - start, &insert);
            }
            Ok(())
        })
    }

    /// Replaces `delete` elements of the list at `index`.
    ///
    /// # Errors
    /// `out_of_range` beyond the end, `bad_value` for an integer beyond 2^53.
    pub fn splice_list(&self, client: u64, index: u64, delete: u64, insert: &[Content]) -> Result<Update, Refusal> {
        let (index, delete) = (position(index)?, position(delete)?);
        let insert: Vec<Tree> = insert.iter().map(Tree::wanted).collect::<Result<_, _>>()?;
        self.edited(client, |roots, txn| {
            if index + delete > roots.list.len(txn) as usize {
                return Err(beyond_the_end());
            }
            splice(&roots.list, txn, index, delete, &insert);
            Ok(())
        })
    }

    /// Makes the list what is wanted; elements that are equal stay, nested shared types too.
    ///
    /// # Errors
    /// `bad_value` when `wanted` is no array, or holds an integer beyond 2^53.
    pub fn want_list(&self, client: u64, wanted: &Content) -> Result<Update, Refusal> {
        let Content::List(wanted) = wanted else { return Err(bad("a list takes an array")) };
        let trees: Vec<Tree> = wanted.iter().map(Tree::wanted).collect::<Result<_, _>>()?;
        self.edited(client, |roots, txn| {
            let held: Vec<Content> = roots.list.iter(txn).map(|out| Tree::of(&out, txn).into_content()).collect();
            let wanted: Vec<Content> = trees.iter().cloned().map(Tree::into_content).collect();
            for hunk in diff(&held, &wanted).into_iter().rev() {
                splice(&roots.list, txn, hunk.at, hunk.delete, &trees[hunk.insert]);
            }
            Ok(())
        })
    }

    /// Sets a key of the map; `None` removes it, if it is there.
    ///
    /// # Errors
    /// `bad_value` for an integer beyond 2^53.
    pub fn set_key(&self, client: u64, key: &str, value: Option<&Content>) -> Result<Update, Refusal> {
        let value = value.map(Tree::wanted).transpose()?;
        self.edited(client, |roots, txn| {
            match value {
                Some(value) => drop(roots.map.insert(txn, key, value.to_any())),
                None => drop(roots.map.remove(txn, key)),
            }
            Ok(())
        })
    }

    /// Makes the map what is wanted; values that are equal stay. With `add_only` no key goes.
    ///
    /// # Errors
    /// `bad_value` when `wanted` is no object, or holds an integer beyond 2^53.
    pub fn want_map(&self, client: u64, wanted: &Content, add_only: bool) -> Result<Update, Refusal> {
        let Content::Map(wanted) = wanted else { return Err(bad("a map takes an object")) };
        let mut trees = Vec::with_capacity(wanted.len());
        for (key, value) in wanted {
            trees.push((key, Tree::wanted(value)?));
        }
        self.edited(client, |roots, txn| {
            let mut held: Vec<(String, Content)> =
                roots.map.iter(txn).map(|(key, out)| (key.to_owned(), Tree::of(&out, txn).into_content())).collect();
            held.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            for (key, _) in held.iter().filter(|(key, _)| !add_only && !wanted.contains_key(key)) {
                roots.map.remove(txn, key);
            }
            for (key, tree) in trees {
                let known = held.binary_search_by(|one| one.0.cmp(key)).ok().map(|at| &held[at].1);
                if known != Some(&tree.clone().into_content()) {
                    roots.map.insert(txn, key.as_str(), tree.to_any());
                }
            }
            Ok(())
        })
    }
}

fn splice(list: &ArrayRef, txn: &mut TransactionMut<'_>, at: usize, delete: usize, insert: &[Tree]) {
    if delete > 0 {
        list.remove_range(txn, yrs_len(at), yrs_len(delete));
    }
    if !insert.is_empty() {
        list.insert_range(txn, yrs_len(at), insert.iter().map(Tree::to_any));
    }
}
