//! What one peer wants, in the order in which it is served.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use cid::Cid;

use crate::wire::{Entry, Kind};

/// Place in the line: greater priority first, then who came first.
pub(super) type Place = (Reverse<i32>, u64);

/// How far the serving of a want has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its size is not looked up yet.
    New,
    /// Its size is being looked up.
    LookedUp,
    /// It is not here; kept in case that it comes.
    Missing,
    /// It is here, with so many bytes, and is to be sent.
    Ready(u64),
    /// It is being read, with so many bytes.
    Reading(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub(super) kind: Kind,
    pub(super) send_dont_have: bool,
    place: Place,
    state: State,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It is in the list for the first time.
    New,
    /// It was in the list already.
    Known,
    /// It has taken the place of another, which is out. `tell`: its peer waits for an answer to that.
    Instead { out: Cid, tell: bool },
    /// The list is full of wants that come before it.
    Dropped,
}

/// A bounded wantlist.
#[derive(Debug, Default)]
pub(super) struct Wantlist {
    wants: HashMap<Cid, Want>,
    new: BTreeMap<Place, Cid>,
    missing: BTreeMap<Place, Cid>,
    ready: BTreeMap<Place, Cid>,
    next: u64,
}

impl Wantlist {
    pub(super) fn len(&self) -> usize {
        self.wants.len()
    }

    pub(super) fn get(&self, cid: &Cid) -> Option<&Want> {
        self.wants.get(cid)
    }

    pub(super) fn cids(&self) -> impl Iterator<Item = &Cid> {
        self.wants.keys()
    }

    pub(super) fn state(&self, cid: &Cid) -> Option<State> {
        self.wants.get(cid).map(|want| want.state)
    }

    /// Takes an entry. A list with `max` entries makes room by what comes last in it: of what is not here, else of what
    /// waits to be sent.
    pub(super) fn add(&mut self, entry: &Entry, max: usize) -> Added {
        if let Some(want) = self.wants.get(&entry.cid).copied() {
            // What is missing is denied again; the rest will be answered anyway.
            let state = if want.state == State::Missing { State::New } else { want.state };
            // A WANT-HAVE does not take back a WANT-BLOCK that came before.
            let kind = if want.kind == Kind::Block { Kind::Block } else { entry.kind };
            self.unlist(&want);
            let place = (Reverse(entry.priority), want.place.1);
            self.list(entry.cid, Want { kind, send_dont_have: entry.send_dont_have, place, state });
            return Added::Known;
        }
        let place = (Reverse(entry.priority), self.next);
        self.next += 1;
        let mut instead = None;
        if self.wants.len() >= max {
            let Some(out) = self.last_before(&place) else { return Added::Dropped };
            let tell = self.get(&out).is_some_and(|want| want.state != State::Missing && want.send_dont_have);
            self.remove(&out);
            instead = Some(Added::Instead { out, tell });
        }
        let want = Want { kind: entry.kind, send_dont_have: entry.send_dont_have, place, state: State::New };
        self.list(entry.cid, want);
        instead.unwrap_or(Added::New)
    }

    /// What makes room for a want at `place`: one that is missing whatever its place, for its peer knows that it is;
    /// else the last of those that come behind.
    fn last_before(&self, place: &Place) -> Option<Cid> {
        if let Some((_, cid)) = self.missing.last_key_value() {
            return Some(*cid);
        }
        let last = self.ready.last_key_value().into_iter().chain(self.new.last_key_value());
        last.max_by_key(|(place, _)| **place).filter(|(last, _)| **last > *place).map(|(_, cid)| *cid)
    }

    pub(super) fn remove(&mut self, cid: &Cid) -> bool {
        let Some(want) = self.wants.remove(cid) else { return false };
        self.unlist(&want);
        true
    }

    /// Moves a want on; nothing when it is not wanted any more.
    pub(super) fn set(&mut self, cid: &Cid, state: State) {
        if let Some(want) = self.wants.get(cid).copied() {
            self.unlist(&want);
            self.list(*cid, Want { state, ..want });
        }
    }

    /// The next wants to look up, at most `max`.
    pub(super) fn take_new(&mut self, max: usize) -> Vec<(Cid, Kind)> {
        let cids: Vec<Cid> = self.new.values().take(max).copied().collect();
        let mut taken = Vec::with_capacity(cids.len());
        for cid in cids {
            self.set(&cid, State::LookedUp);
            taken.extend(self.get(&cid).map(|want| (cid, want.kind)));
        }
        taken
    }

    /// The next blocks to send, together at most `bytes` but at least one.
    pub(super) fn take_ready(&mut self, bytes: u64) -> Vec<(Cid, u64)> {
        let mut taken = Vec::new();
        let mut sum = 0;
        for cid in self.ready.values() {
            let Some(State::Ready(size)) = self.state(cid) else { continue };
            if !taken.is_empty() && sum + size > bytes {
                break;
            }
            sum += size;
            taken.push((*cid, size));
        }
        for (cid, size) in &taken {
            self.set(cid, State::Reading(*size));
        }
        taken
    }

    /// Bytes of the next block to send.
    pub(super) fn next_ready(&self) -> Option<u64> {
        let (_, cid) = self.ready.first_key_value()?;
        match self.state(cid) {
            Some(State::Ready(size)) => Some(size),
            _ => None,
        }
    }

    pub(super) fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// What was being looked up or read begins anew, because its connection is gone.
    pub(super) fn restart(&mut self) {
        let again = |(cid, want): (&Cid, &Want)| match want.state {
            State::LookedUp => Some((*cid, State::New)),
            State::Reading(size) => Some((*cid, State::Ready(size))),
            State::New | State::Missing | State::Ready(_) => None,
        };
        let under_way: Vec<(Cid, State)> = self.wants.iter().filter_map(again).collect();
        for (cid, state) in under_way {
            self.set(&cid, state);
        }
    }

    /// Everything that is missing is looked up again.
    pub(super) fn recheck(&mut self) {
        let missing: Vec<Cid> = self.missing.values().copied().collect();
        for cid in missing {
            self.set(&cid, State::New);
        }
    }

    fn list(&mut self, cid: Cid, want: Want) {
        self.wants.insert(cid, want);
        match want.state {
            State::New => self.new.insert(want.place, cid),
            State::Missing => self.missing.insert(want.place, cid),
            State::Ready(_) => self.ready.insert(want.place, cid),
            State::LookedUp | State::Reading(_) => None,
        };
    }

    fn unlist(&mut self, want: &Want) {
        match want.state {
            State::New => self.new.remove(&want.place),
            State::Missing => self.missing.remove(&want.place),
            State::Ready(_) => self.ready.remove(&want.place),
            State::LookedUp | State::Reading(_) => None,
        };
    }
}
