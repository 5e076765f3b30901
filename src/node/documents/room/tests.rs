//! Rooms between real Yjs documents (yrs), a journal that survives, and entries as the view has them.

mod crash;
mod elsewhere;
mod entrance;
mod writing;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use rustdht_core::{
    Body as Content, CommitId, Entry, EntryId, Field, Kind, PublicKey, Salt, Slot, Soul, Stamp, Writer,
};
use rustdht_graph::yjs::{Ranges, Update};
use yrs::{ReadTxn, StateVector, Text, Transact};

use super::{Change, Effect, Room, RowOf, Verdict, View, value_of};
use crate::{
    Principal,
    documents::{
        Close, EditorId, UserTag,
        client::Client,
        live::Body,
        message::{self, Message},
    },
};

const NOW: u64 = 1_795_000_000_000;
const A: EditorId = EditorId(1);
const B: EditorId = EditorId(2);

fn soul() -> Soul {
    "pages/ada".parse().unwrap()
}

fn field() -> Field {
    "text".parse().unwrap()
}

fn room() -> Room {
    Room::new(soul(), field(), Kind::listed(Kind::TEXT))
}

fn account(n: u8) -> Principal {
    Principal::Account(PublicKey([n; 32]))
}

fn tag(id: EditorId) -> UserTag {
    UserTag { id: format!("user {}", id.0), name: "name".into() }
}

fn entry(number: u8, stamp: u64, update: &Update) -> Arc<Entry> {
    let author = PublicKey([number; 32]);
    Arc::new(Entry {
        id: EntryId([number; 32]),
        commit: CommitId([number; 32]),
        index: 0,
        soul: soul(),
        field: field(),
        kind: Kind::listed(Kind::TEXT),
        slot: Slot::Own,
        stamp: Stamp(stamp),
        author,
        leaf: None,
        writer: Writer::new(&author, None),
        body: Content::Live { value: value_of(update), salt: Some(Salt([0; 16])) },
        kills: Vec::new(),
        over: Vec::new(),
        base: None,
    })
}

fn view(entries: &[Arc<Entry>]) -> View {
    View { entries: entries.to_vec(), ..View::default() }
}

fn hides(entries: &[Arc<Entry>], gone: &Update) -> View {
    View { entries: entries.to_vec(), hidden: gone.structs(), ..View::default() }
}

/// The update in a frame.
fn update_in(frame: &[u8]) -> Update {
    match message::read(frame).unwrap()[..] {
        [Message::Update(update)] => Update::decode(update).unwrap(),
        ref other => panic!("{other:?}"),
    }
}

fn sent(effects: &[Effect], to: EditorId) -> Vec<Bytes> {
    let frames = effects.iter().filter_map(|effect| match effect {
        Effect::Send(id, frame) if *id == to => Some(frame.clone()),
        _ => None,
    });
    frames.collect()
}

fn closes(effects: &[Effect]) -> Vec<(EditorId, Close)> {
    let closes = effects.iter().filter_map(|effect| match effect {
        Effect::Close(id, close) => Some((*id, *close)),
        _ => None,
    });
    closes.collect()
}

/// Journals what is staged and passes it on.
fn journal(room: &mut Room, now_ms: u64) -> (Vec<RowOf>, Vec<Effect>) {
    let rows = room.rows();
    let effects = room.durable(&rows, now_ms);
    (rows, effects)
}

/// An editor joins and syncs both ways.
fn enter(room: &mut Room, id: EditorId, by: Principal, client: &Client) {
    let mut effects = room.join(id, by, tag(id), true);
    effects.extend(room.frame(id, &client.step_1(), NOW));
    for frame in sent(&effects, id) {
        if let Some(answer) = client.take(&frame) {
            assert_eq!(closes(&room.frame(id, &answer, NOW)), []);
        }
    }
}

fn pass(effects: &[Effect], clients: &[(EditorId, &Client)]) {
    for (id, client) in clients {
        sent(effects, *id).iter().for_each(|frame| drop(client.take(frame)));
    }
}
