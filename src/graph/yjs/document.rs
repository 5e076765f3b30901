//! A Yjs document as the view sees it: updates integrated in an order in which nothing gets lost.

use std::{collections::BTreeSet, fmt, sync::Arc};

use rustdht_core::{Entry, EntryId, Kind, Refusal};
use yrs::{
    ArrayRef, ClientID, Doc, GetString as _, MapRef, OffsetKind, Options, Out, ReadTxn as _, TextRef, Transact as _,
    TransactionMut, updates::decoder::Decode as _,
};

use super::{
    fold::{Applied, Fold, Sink},
    ids::{Ranges, StateVector},
    tree::Tree,
    update::{Body, Section, Struct, Update},
};
use crate::Content;

/// The fold of Yjs updates, which takes further ones. yrs folds; what it is given is in order and without
/// contradictions, and its store of pending updates stays empty.
pub struct Document {
    doc: Doc,
    roots: Roots,
    fold: Fold,
}

/// The root types that are shown.
pub(super) struct Roots {
    pub(super) text: TextRef,
    pub(super) list: ArrayRef,
    pub(super) map: MapRef,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("clocks", &self.state_vector()).field("waiting", &self.waiting()).finish()
    }
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

/// A yrs document that writes as `client`. It collects nothing: what an editor brings about a deleted element finds it.
pub(super) fn blank(client: u64) -> Doc {
    let mut options = Options::with_guid_and_client_id("".into(), ClientID::new(client));
    options.offset_kind = OffsetKind::Utf16;
    options.skip_gc = true;
    options.cleanup_formatting = false;
    Doc::with_options(options)
}

impl Clone for Document {
    /// Another document with the same content; takes as long as encoding and reading it once.
    fn clone(&self) -> Self {
        let (doc, roots) = self.copy(0);
        Self { doc, roots, fold: self.fold.clone() }
    }
}

impl Document {
    /// An empty document.
    #[must_use]
    pub fn new() -> Self {
        let doc = blank(0);
        let roots = Roots::of(&doc);
        Self { doc, roots, fold: Fold::default() }
    }

    /// The fold of entries of one of the kinds text, list, map; their order does not matter. An update is integrated
    /// when all that it depends on is; of those ready the least (`b` or stamp, stamp, id) first; when none is ready,
    /// the greatest set whose dependencies are integrated or inside the set is integrated as one. The rest waits.
    ///
    /// A value that is a blob is counted as one that waits: only a node could load it.
    #[must_use]
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Arc<Entry>>) -> Self {
        let mut document = Self::new();
        document.fold = Fold::of(entries, &mut document.doc.transact_mut());
        document
    }

    /// Takes an update as it comes: a keystroke, a preview, a sync step.
    ///
    /// # Errors
    /// `too_large` when it would have to wait and too many do.
    pub fn apply(&mut self, update: Update) -> Result<Applied, Refusal> {
        self.fold.apply(update, &mut self.doc.transact_mut())
    }

    /// How much of each client is integrated.
    #[must_use]
    pub fn state_vector(&self) -> StateVector {
        self.fold.index.state_vector()
    }

    /// What a client that holds `known` lacks, and every deletion: the second sync step.
    #[must_use]
    pub fn diff(&self, known: &StateVector) -> Vec<u8> {
        let known = yrs::StateVector::decode_v1(&known.encode()).unwrap_or_default();
        self.doc.transact().encode_diff_v1(&known)
    }

    /// What a root type named after its kind shows: a text, or the elements of a list or map; `None` for a list or map
    /// without any, and for other kinds.
    #[must_use]
    pub fn content(&self, of: &str) -> Option<Content> {
        let txn = self.doc.transact();
        let tree = match of {
            Kind::TEXT => Tree::from(&*self.roots.text.get_string(&txn)),
            Kind::LIST => Tree::of(&Out::YArray(self.roots.list.clone()), &txn),
            Kind::MAP => Tree::of(&Out::YMap(self.roots.map.clone()), &txn),
            _ => return None,
        };
        match tree {
            Tree::List(list) if list.is_empty() => None,
            Tree::Map(map) if map.is_empty() => None,
            tree => Some(tree.into_content()),
        }
    }

    /// The names of the root types that something was written to, ascending.
    #[must_use]
    pub fn root_names(&self) -> BTreeSet<&str> {
        self.fold.index.roots().collect()
    }

    /// Entries that are not part of the document: what they depend on is missing, they contradict what is there, or
    /// are no updates.
    #[must_use]
    pub fn unready(&self) -> BTreeSet<EntryId> {
        self.fold.unready()
    }

    /// What waits, entries or not.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.fold.waiting()
    }

    /// Entries that bring different content under one (client, clock); of those integrated.
    #[must_use]
    pub fn flagged(&self) -> BTreeSet<EntryId> {
        self.fold.sources.flagged()
    }

    /// The elements that they disagree about.
    #[must_use]
    pub fn disputed(&self) -> &Ranges {
        self.fold.sources.disputed()
    }

    /// The elements for which `update` has other content than this document took. Equal structs, and those that one
    /// side knows as deleted only, are no contradiction.
    #[must_use]
    pub fn contradictions(&mut self, update: &Update) -> Ranges {
        self.fold.sources.contradictions(update)
    }

    #[cfg(test)]
    pub(super) fn yrs(&self) -> &Doc {
        &self.doc
    }

    /// A yrs document with this content that writes as `client`.
    pub(super) fn copy(&self, client: u64) -> (Doc, Roots) {
        let doc = blank(client);
        let roots = Roots::of(&doc);
        let whole = yrs::Update::decode_v1(&self.diff(&StateVector::default())).unwrap_or_default();
        let applied = doc.transact_mut().apply_update(whole);
        debug_assert!(applied.is_ok(), "yrs reads what it wrote");
        (doc, roots)
    }
}

impl Roots {
    fn of(doc: &Doc) -> Self {
        Self {
            text: doc.get_or_insert_text(Kind::TEXT),
            list: doc.get_or_insert_array(Kind::LIST),
            map: doc.get_or_insert_map(Kind::MAP),
        }
    }
}

/// Gives yrs one run of structs after the other, then the deletions.
impl Sink for TransactionMut<'_> {
    fn feed(&mut self, mut runs: Vec<Section>, deletes: &Ranges) {
        let last = runs.pop();
        for run in runs {
            feed_one(self, Update { sections: vec![run], deletes: Ranges::default() });
        }
        feed_one(self, Update { sections: last.into_iter().collect(), deletes: deletes.clone() });
    }
}

fn feed_one(txn: &mut TransactionMut<'_>, update: Update) {
    let applied = yrs::Update::decode_v1(&update.encode()).is_ok_and(|update| txn.apply_update(update).is_ok());
    debug_assert!(applied, "yrs takes what the index let through");
    if !applied {
        // The clocks must go on, alike everywhere: what yrs does not take counts as collected.
        let collected = |item: &Struct| Struct { clock: item.clock, len: item.len, body: Body::Gc };
        let sections = update.sections.iter().map(|section| Section {
            client: section.client,
            structs: section.structs.iter().map(collected).collect(),
        });
        let update = Update { sections: sections.collect(), deletes: update.deletes };
        if let Ok(update) = yrs::Update::decode_v1(&update.encode()) {
            let _ = txn.apply_update(update);
        }
    }
}
