//! Who signs what is written here, in which session and under which certificate.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use rustdht_core::{CertificateId, Code, Field, Hlc, PublicKey, Refusal, Soul, Space, Stamp};
use rustdht_graph::Pen;
use rustdht_wire::{Certificates, SigningKey};

use super::{revocations::Revocations, session::Session};
use crate::{Error, Ports, Principal, authority::Holding, authority::Revoked};

/// Authors kept in memory; a session that was let go is read again.
const MAX_AUTHORS: usize = 8192;

/// A key that signs here.
pub(super) struct Author {
    pub(super) key: Arc<SigningKey>,
    pub(super) session: Session,
    /// The certificates that it holds, in the one order in which commits name them.
    pub(super) holdings: Arc<Vec<Holding>>,
    /// The last group that it was loaded for.
    group: u64,
    /// It signed in the open group.
    moved: bool,
}

/// The keys that sign here.
#[derive(Default)]
pub(super) struct Authors {
    held: HashMap<PublicKey, Author>,
}

/// Who writes, resolved: his keys in the order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Writers {
    pub(super) by: Principal,
    pub(super) keys: Vec<PublicKey>,
    /// A key whose own space its successor writes.
    pub(super) superseded: Option<PublicKey>,
}

impl Authors {
    pub(super) fn get(&self, key: &PublicKey) -> Option<&Author> {
        self.held.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &PublicKey) -> Option<&mut Author> {
        self.held.get_mut(key)
    }

    /// Brings the session of a key.
    pub(super) async fn load(
        &mut self,
        ports: &Ports,
        host_tag: [u8; 32],
        key: &Arc<SigningKey>,
        group: u64,
        clock: &mut Hlc,
    ) -> Result<&mut Author, Error> {
        let author = match self.held.entry(key.public()) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => {
                let (session, stamp) = Session::load(ports, host_tag, key.public()).await?;
                clock.observe(stamp);
                place.insert(Author { key: Arc::clone(key), session, holdings: Arc::default(), group, moved: false })
            }
        };
        author.group = group;
        Ok(author)
    }

    /// Lets go of authors above the bound, but of none that a group after `durable` used.
    pub(super) fn evict(&mut self, durable: u64, gateway: &PublicKey) {
        if self.held.len() > MAX_AUTHORS {
            self.held.retain(|key, author| author.group > durable || key == gateway);
        }
    }

    /// The rows of the sessions that moved since the last call.
    pub(super) fn rows(&mut self, clock: Stamp) -> Vec<rustdht_core::ports::SideRow> {
        let moved = |author: &mut Author| std::mem::take(&mut author.moved).then(|| author.session.row(clock));
        self.held.values_mut().filter_map(moved).collect()
    }
}

impl Author {
    /// Takes the next place in the session, for a commit with this id.
    pub(super) fn signed(&mut self, id: rustdht_core::CommitId) {
        self.session.seq += 1;
        self.session.prev = Some(id);
        self.moved = true;
    }

    /// Has the session's row written with the group.
    pub(super) fn touch(&mut self) {
        self.moved = true;
    }

    /// The first certificate that lets it write there.
    fn leaf(&self, soul: &Soul, field: &Field, stamp: Stamp, revoked: &Revoked) -> Option<CertificateId> {
        let holding = self.holdings.iter().find(|holding| holding.lets_write(soul, field, stamp, revoked))?;
        Some(holding.leaf()?.id())
    }

    /// The chains of the certificates that it holds.
    pub(super) fn chains(&self, leaves: &[CertificateId]) -> Certificates {
        let named =
            self.holdings.iter().filter(|holding| holding.leaf().is_some_and(|leaf| leaves.contains(&leaf.id())));
        named.flat_map(|holding| &holding.chain).map(|link| (link.id(), Arc::clone(link))).collect()
    }

    /// `leaves` in the order of the holdings.
    pub(super) fn in_order(&self, leaves: &[CertificateId]) -> Vec<CertificateId> {
        let all = self.holdings.iter().filter_map(|holding| Some(holding.leaf()?.id()));
        all.filter(|id| leaves.contains(id)).collect()
    }
}

/// What decides about a writer's place.
pub(super) struct Places<'a> {
    pub(super) authors: &'a Authors,
    pub(super) revocations: &'a Revocations,
    /// Now, as far as certificates are looked at.
    pub(super) stamp: Stamp,
}

const FOREIGN: &str = "this soul is written by its own key, or under a certificate that it issued";

fn refuse<T>(code: Code, detail: &'static str) -> Result<T, Refusal> {
    Err(Refusal::new(code, detail))
}

/// Which key signs, and under which certificate. `None`: any of the writer's keys may.
type Place = Option<(PublicKey, Option<CertificateId>)>;

impl Places<'_> {
    /// The owner whose space the soul lies in; `None`: any of the writer's keys may write it.
    fn owner_of(writers: &Writers, soul: &Soul) -> Result<Option<PublicKey>, Refusal> {
        if writers.keys.is_empty() {
            return refuse(Code::NotAuthorised, "only who is known here, and may write, writes");
        }
        match soul.space() {
            Space::Public => Ok(None),
            Space::Owned(owner) => Ok(Some(owner)),
            Space::Mirror if writers.by == Principal::Internal => Ok(None),
            Space::Mirror => refuse(Code::NotAuthorised, "mirror souls are written by bridges only"),
            Space::Content(_) => refuse(Code::Immutable, "content souls never change"),
            Space::Local if writers.by == Principal::Internal => Ok(None),
            Space::Local => refuse(Code::LocalSpace, "local souls are written by this gateway only"),
        }
    }

    /// Whether the writer may write anything at all there.
    pub(super) fn enters(&self, writers: &Writers, soul: &Soul) -> Result<(), Refusal> {
        let Some(owner) = Self::owner_of(writers, soul)? else { return Ok(()) };
        let space = Soul::of_key(owner);
        let holds = |key: &PublicKey| {
            let holdings = self.authors.get(key).map(|author| &author.holdings);
            holdings.is_some_and(|held| {
                held.iter().any(|holding| holding.leaf().is_some_and(|leaf| leaf.certificate().space == space))
            })
        };
        if writers.keys.contains(&owner) || writers.keys.iter().any(holds) {
            return Ok(());
        }
        refuse(Code::NotAuthorised, FOREIGN)
    }

    fn place(&self, writers: &Writers, soul: &Soul, field: &Field) -> Result<Place, Refusal> {
        match Self::owner_of(writers, soul)? {
            Some(owner) => self.owned(writers, &owner, soul, field).map(Some),
            None => Ok(None),
        }
    }

    fn owned(
        &self,
        writers: &Writers,
        owner: &PublicKey,
        soul: &Soul,
        field: &Field,
    ) -> Result<(PublicKey, Option<CertificateId>), Refusal> {
        let own = writers.keys.contains(owner);
        // Who was revoked, and who follows, K itself says, also after a rotation.
        if own && (writers.superseded != Some(*owner) || rustdht_graph::is_permanent(soul, field)) {
            return Ok((*owner, None));
        }
        let none = Arc::default();
        let revoked = self.revocations.get(owner).unwrap_or(&none);
        for key in &writers.keys {
            if let Some(leaf) = self.authors.get(key).and_then(|author| author.leaf(soul, field, self.stamp, revoked)) {
                return Ok((*key, Some(leaf)));
            }
        }
        if own {
            return Ok((*owner, None));
        }
        refuse(Code::NotAuthorised, FOREIGN)
    }

    /// The one key that signs all of these: a commit has one author.
    pub(super) fn author<'s>(
        &self,
        writers: &Writers,
        wanted: impl Iterator<Item = (&'s Soul, &'s Field)>,
    ) -> Result<PublicKey, (usize, Refusal)> {
        let mut author = None;
        let mut local = None;
        for (at, (soul, field)) in wanted.enumerate() {
            let place = self.place(writers, soul, field).map_err(|refusal| (at, refusal))?;
            let stays = soul.space() == Space::Local;
            if *local.get_or_insert(stays) != stays {
                let detail = "what stays here and what is sent to others are written apart";
                return Err((at, Refusal::new(Code::LocalSpace, detail)));
            }
            if let Some((key, _)) = place
                && *author.get_or_insert(key) != key
            {
                let detail = "these souls are written by different keys; write them apart";
                return Err((at, Refusal::new(Code::NotAuthorised, detail)));
            }
        }
        let any = writers.keys.first().copied();
        let none = || (0, Refusal::new(Code::NotAuthorised, "only who is known here, and may write, writes"));
        author.or(any).ok_or_else(none)
    }

    /// The pen with which `author` writes there.
    pub(super) fn pen(
        &self,
        writers: &Writers,
        author: &PublicKey,
        soul: &Soul,
        field: &Field,
    ) -> Result<Pen, Refusal> {
        let leaf = match self.place(writers, soul, field)? {
            Some((key, leaf)) if key == *author => leaf,
            Some(_) => return refuse(Code::NotAuthorised, "this soul is written by another key; write it apart"),
            None => None,
        };
        match self.authors.get(author) {
            Some(held) => Ok(Pen::new(*author, held.session.id, leaf)),
            None => refuse(Code::NotAuthorised, "the key of this writer is not here"),
        }
    }
}
