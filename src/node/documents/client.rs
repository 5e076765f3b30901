//! A stock editor, for tests: a Yjs document of yrs behind the y-websocket protocol.

use bytes::Bytes;
use yrs::{
    Doc, GetString, OffsetKind, Options, ReadTxn, StateVector, Text, TextRef, Transact,
    updates::{decoder::Decode, encoder::Encode},
};

use super::message::{self, Message};

/// A stock editor.
pub(crate) struct Client {
    pub(crate) doc: Doc,
    text: TextRef,
}

impl Client {
    pub(crate) fn new(client: u64) -> Self {
        let options = Options { offset_kind: OffsetKind::Utf16, ..Options::with_client_id(yrs::ClientID::new(client)) };
        let doc = Doc::with_options(options);
        let text = doc.get_or_insert_text("text");
        Self { doc, text }
    }

    fn vector(&self) -> StateVector {
        self.doc.transact().state_vector()
    }

    /// The frame of a change.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut yrs::TransactionMut<'_>, &TextRef)) -> Bytes {
        let before = self.vector();
        change(&mut self.doc.transact_mut(), &self.text);
        message::update(&self.doc.transact().encode_diff_v1(&before))
    }

    pub(crate) fn insert(&self, at: u32, text: &str) -> Bytes {
        self.edit(|txn, shared| shared.insert(txn, at, text))
    }

    pub(crate) fn step_1(&self) -> Bytes {
        message::step_1(&self.vector().encode_v1())
    }

    /// Takes a frame; the answer that it asks for.
    pub(crate) fn take(&self, frame: &[u8]) -> Option<Bytes> {
        let mut answer = None;
        for message in message::read(frame).unwrap() {
            match message {
                Message::Step1(vector) => {
                    let vector = StateVector::decode_v1(vector).unwrap();
                    answer = Some(message::step_2(&self.doc.transact().encode_diff_v1(&vector)));
                }
                Message::Update(update) => {
                    self.doc.transact_mut().apply_update(yrs::Update::decode_v1(update).unwrap()).unwrap();
                }
                Message::Awareness(_) | Message::QueryAwareness => {}
            }
        }
        answer
    }

    pub(crate) fn text(&self) -> String {
        self.text.get_string(&self.doc.transact())
    }
}
