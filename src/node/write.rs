//! Writing: nodes, atomic commits, imports.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rustdht_core::{
    Code, Entry, EntryId, Field, Refusal, Slot, Soul, Space, Stamp, Value,
    ports::{Batch, Durability, SideRow},
};
use rustdht_graph::{Draft, Pen, Wanted};
use rustdht_wire::{Certificates, Place, Verified, limits::MAX_OPERATIONS};

use crate::{
    At, Committed, Error, ImportNode, Node, NodeWrite, NodeWritten, Op, OpResult, Outcome, Principal, RenderOptions,
    WriteMode,
    authority::is_exempt,
    merger::{Answer, Foreign, Joined, Origin, Planned, Request, Unless},
    private,
};

/// Killed ids looked up at a time.
const KILLS_AT_A_TIME: usize = 1024;

fn unexpected<T>() -> Result<T, Error> {
    // Only a node that is stopping answers a job with something else.
    Err(Error::Stopping)
}

fn check_count(operations: usize) -> Result<(), Refusal> {
    if operations == 0 {
        return Err(Refusal::new(Code::OutOfRange, "a commit has 1 to 1,024 operations").within("ops"));
    }
    if operations > MAX_OPERATIONS {
        return Err(Refusal::new(Code::TooManyOperations, "a commit has at most 1,024 operations").within("ops"));
    }
    Ok(())
}

impl Node {
    /// Writes one node. Answered when it is durable here, and at W' owners or after `wait`. PUT of a content soul with the
    /// whole content makes that.
    ///
    /// # Errors
    /// A refusal or a failed precondition, and nothing changed; or the store failed, and nothing was acknowledged.
    pub async fn write(&self, write: NodeWrite) -> Result<NodeWritten, Error> {
        if write.mode == WriteMode::Put && matches!(write.soul.space(), Space::Content(_)) {
            let value = |(field, wanted): (Field, Wanted)| match wanted {
                Wanted::Value(value) => Ok((field, value)),
                Wanted::Wrapped { .. } => {
                    Err(Refusal::new(Code::Immutable, "content holds plain values only").within(&field).into())
                }
            };
            let fields = write.fields.into_iter().map(value).collect::<Result<Vec<_>, Error>>()?;
            return self.put_whole(write.by, &write.soul, fields, write.wait, write.render).await;
        }
        let wait = write.wait;
        match self.inner.submit(Request::Write(Box::new(write))).await? {
            Answer::Written(written) => {
                let durability = self.settled(written.commits.last().copied(), wait).await;
                Ok(NodeWritten { node: written.node, commits: written.commits, stamp: written.stamp, durability })
            }
            _ => unexpected(),
        }
    }

    /// Makes the content node of these fields: its soul is named by what it says, and nobody writes it again.
    ///
    /// # Errors
    /// `not_authorised` for nobody in particular; `bad_value` for null, `out_of_range` without fields or above 1,024.
    pub async fn put_content(
        &self,
        by: Principal,
        fields: Vec<(Field, Value)>,
        wait: Duration,
        render: RenderOptions,
    ) -> Result<(Soul, NodeWritten), Error> {
        let soul = rustdht_wire::content_soul(&fields)?;
        let written = self.put_whole(by, &soul, fields, wait, render).await?;
        Ok((soul, written))
    }

    async fn put_whole(
        &self,
        by: Principal,
        soul: &Soul,
        fields: Vec<(Field, Value)>,
        wait: Duration,
        render: RenderOptions,
    ) -> Result<NodeWritten, Error> {
        if self.inner.shared.keys_of(by).is_empty() {
            let detail = "only who is known here, and may write, writes";
            return Err(Refusal::new(Code::NotAuthorised, detail).into());
        }
        let built = rustdht_wire::content_commit(self.inner.shared.identity.net, soul, fields)?;
        let made = self.commit_signed(built.envelope, wait, by).await?;
        let node = self.get(soul, At::Local, RenderOptions { reader: by, ..render }).await?;
        Ok(NodeWritten {
            node,
            commits: made.commit.into_iter().collect(),
            stamp: made.stamp,
            durability: made.durability,
        })
    }

    /// One atomic commit.
    ///
    /// # Errors
    /// As [`Node::write`]; `field` of a refusal names the operation (`ops.3.value`).
    pub async fn commit(&self, by: Principal, ops: Vec<Op>, wait: Duration) -> Result<Committed, Error> {
        check_count(ops.len())?;
        match self.inner.submit(Request::Ops(by, ops)).await? {
            Answer::Joined(joined) => Ok(self.committed(joined, wait).await),
            _ => unexpected(),
        }
    }

    /// One atomic commit of operations that were planned outside, with rows of the same transaction. Slots are those of the
    /// moment when it is signed. Without drafts only the rows are written.
    ///
    /// # Errors
    /// As [`Node::commit`]; `field` names the draft (`ops.3`).
    pub async fn submit_drafts(
        &self,
        by: Principal,
        drafts: Vec<Draft>,
        side: Vec<SideRow>,
        wait: Duration,
    ) -> Result<Committed, Error> {
        self.submit_unless(by, drafts, side, None, wait).await
    }

    /// As [`Node::submit_drafts`]; `stale` when `unless` happened to a field of a draft.
    pub(crate) async fn submit_unless(
        &self,
        by: Principal,
        drafts: Vec<Draft>,
        side: Vec<SideRow>,
        unless: Option<Unless>,
        wait: Duration,
    ) -> Result<Committed, Error> {
        if !drafts.is_empty() {
            check_count(drafts.len())?;
        }
        match self.inner.submit(Request::Planned(Planned { by, drafts, side, unless })).await? {
            Answer::Joined(joined) => Ok(self.committed(joined, wait).await),
            _ => unexpected(),
        }
    }

    /// The pen with which a principal would write there now: for planning outside of the merger.
    ///
    /// # Errors
    /// Why he may not.
    pub async fn pen(&self, by: Principal, soul: &Soul, field: &Field) -> Result<Pen, Error> {
        match self.inner.submit(Request::Pen(by, soul.clone(), field.clone())).await? {
            Answer::Pen(pen) => Ok(pen),
            _ => unexpected(),
        }
    }

    /// Makes private rows durable.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn side(&self, side: Vec<SideRow>) -> Result<(), Error> {
        let batch = Batch { side, now_ms: self.inner.shared.ports.clock.now_ms(), ..Batch::default() };
        self.store().apply(batch).await?;
        Ok(())
    }

    async fn committed(&self, joined: Joined, wait: Duration) -> Committed {
        let durability = self.settled(joined.commit, wait).await;
        Committed { commit: joined.commit, stamp: joined.stamp, results: joined.results, durability }
    }

    /// How far a commit of this gateway gets. Before it is a member nobody takes it from here.
    async fn settled(&self, commit: Option<rustdht_core::CommitId>, wait: Duration) -> Durability {
        let shared = &self.inner.shared;
        let now = Stamp::from_ms(shared.ports.clock.now_ms());
        if commit.is_some() && shared.authority.wants_members() && shared.authority.membership(now).is_none() {
            return self.here_only();
        }
        self.wait_durable(commit, wait).await
    }

    /// A commit that its author signed, as an envelope.
    ///
    /// # Errors
    /// The refusal of the first rule it breaks; nothing changed.
    pub async fn commit_signed(&self, envelope: Bytes, wait: Duration, by: Principal) -> Result<Committed, Error> {
        let shared = Arc::clone(&self.inner.shared);
        let certificates = shared.authority.certificates_for(std::slice::from_ref(&envelope)).await?;
        let bytes = envelope.clone();
        let verify = move || {
            let rules = shared.authority.rules(shared.ports.clock.now_ms(), &certificates);
            rustdht_wire::check(&bytes, Place::Door, &rules)?.verify()
        };
        let verified = tokio::task::spawn_blocking(verify).await.map_err(|_| Error::Stopping)??;
        let origin = if by == Principal::Anonymous { Origin::Stranger } else { Origin::Door };
        self.check_standing(&verified, origin).await?;
        self.check_kills(&verified).await?;
        let ids: Vec<EntryId> =
            verified.entries.iter().filter_map(|(_, entry)| Some(entry.as_ref().ok()?.id)).collect();
        let (commit, stamp) = (verified.commit.id, verified.header.stamp);
        let known: HashSet<EntryId> = self.store().in_history(&ids).await?.into_iter().collect();
        let foreign = Foreign { verified, envelope, origin, endorsed: Vec::new() };
        let Answer::Foreign(mut done) = self.inner.submit(Request::Foreign(vec![foreign])).await? else {
            return unexpected();
        };
        let mut results = Vec::new();
        for (index, id, outcome) in done.pop().map(|done| done.results).unwrap_or_default() {
            let outcome = match outcome? {
                // A replay whose operation lost since is known, not news.
                Some(Outcome::Historical) if known.contains(&id) => Outcome::Known,
                Some(outcome) => outcome,
                None => return Err(Refusal::new(Code::Malformed, "w travels between replicas only").into()),
            };
            results.push(OpResult { index, outcome, id: Some(id) });
        }
        // A replay asks again how far the commit got; one that waits for its time is on this disk only.
        let deferred = results.iter().any(|result| matches!(result.outcome, Outcome::Deferred { .. }));
        let durability = if deferred { self.here_only() } else { self.settled(Some(commit), wait).await };
        Ok(Committed { commit: Some(commit), stamp, results, durability })
    }

    /// At a door nothing comes in under a revoked certificate, and where endorsements are needed this gateway gives its
    /// own to those only whom it knows.
    async fn check_standing(&self, verified: &Verified, origin: Origin) -> Result<(), Error> {
        let authority = &self.inner.shared.authority;
        let net = authority.net();
        let known: Certificates =
            verified.certificates.iter().map(|certificate| (certificate.id(), Arc::clone(certificate))).collect();
        let endorsers = verified.endorsements.iter().enumerate().map(|(at, by)| (format!("e.{at}"), by.certificate));
        let leaves = verified.header.auth.iter().enumerate().map(|(at, id)| (format!("h.auth.{at}"), *id));
        for (part, id) in leaves.chain(endorsers) {
            let chain = rustdht_wire::chain(&id, &known, &net)?;
            let Some(Space::Owned(owner)) = chain.first().map(|leaf| leaf.certificate().space.space()) else {
                continue;
            };
            if authority.revoked(&owner).await?.covers_at(&chain, verified.header.stamp) {
                let detail = "the certificate was revoked";
                return Err(Refusal::new(Code::CertificateRevoked, detail).within(&part).into());
            }
        }
        for (at, (_, entry)) in verified.entries.iter().enumerate() {
            let Ok(Entry { soul, field, leaf: Some(leaf), .. }) = entry else { continue };
            let entitled = known.get(leaf).is_some_and(|leaf| private::entitles(leaf.certificate()));
            if private::holds_keys(soul, field) && !entitled {
                let detail = "a certificate for the keys of private nodes names field 'private', or may be delegated";
                return Err(Refusal::new(Code::NotAuthorised, detail).within(&format!("ops.{at}.f")).into());
            }
        }
        let community = authority.community();
        let mut entries = verified.entries.iter().filter_map(|(_, entry)| entry.as_ref().ok());
        let stranger = origin == Origin::Stranger && authority.wants_members() && verified.endorsements.is_empty();
        if stranger && entries.any(|entry| !is_exempt(&entry.soul, &community)) {
            let detail = "in this network somebody who may write here sends it, or a member gateway has endorsed it";
            return Err(Refusal::new(Code::NotAuthorised, detail).into());
        }
        Ok(())
    }

    /// At a door a kill may not name an id that is known here as slotted or of another field.
    async fn check_kills(&self, verified: &rustdht_wire::Verified) -> Result<(), Error> {
        let key = &self.inner.shared.network_key;
        let killers: Vec<_> =
            verified.entries.iter().filter_map(|(index, entry)| Some((*index, entry.as_ref().ok()?))).collect();
        let named: Vec<EntryId> = killers.iter().flat_map(|(_, entry)| entry.kills.iter().copied()).collect();
        let mut held: HashMap<EntryId, Entry> = HashMap::new();
        for named in named.chunks(KILLS_AT_A_TIME) {
            let records: Vec<_> = named.iter().map(|id| id.record_id(key)).collect();
            held.extend(self.store().by_record(&records).await?.into_iter().map(|entry| (entry.id, entry)));
        }
        for (index, killer) in killers {
            for (at, id) in killer.kills.iter().enumerate() {
                let wrong = held.get(id).is_some_and(|entry| {
                    matches!(entry.slot, Slot::Explicit(_)) || entry.soul != killer.soul || entry.field != killer.field
                });
                if wrong {
                    let detail = "a kill names own-id entries of its own field";
                    return Err(Refusal::new(Code::BadValue, detail).within(&format!("ops.{index}.x.{at}")).into());
                }
            }
        }
        Ok(())
    }

    /// Nodes of an import stream, in commits of up to 1,024 operations; durable here when it returns. One answer a
    /// node, in order: what was refused, with its line.
    pub async fn import(&self, by: Principal, nodes: Vec<ImportNode>) -> Vec<Result<(), (u64, Error)>> {
        let lines: Vec<u64> = nodes.iter().map(|node| node.line).collect();
        match self.inner.submit(Request::Import(by, nodes)).await {
            Ok(Answer::Imported(answers)) => answers,
            Ok(_) => lines.into_iter().map(|line| Err((line, Error::Stopping))).collect(),
            Err(error) => {
                let text = error.to_string();
                let again = |line| {
                    let error = match &error {
                        Error::Overloaded => Error::Overloaded,
                        Error::Stopping => Error::Stopping,
                        _ => Error::Store(rustdht_core::ports::StoreError::Failed(text.clone())),
                    };
                    Err((line, error))
                };
                lines.into_iter().map(again).collect()
            }
        }
    }
}
