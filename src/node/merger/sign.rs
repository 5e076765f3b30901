//! Signing what was planned, and joining it.

use std::sync::Arc;

use rustdht_core::{Body, CommitId, EndorsementId, Refusal, Salt, Space, Stamp, ports::Endorsement};
use rustdht_graph::{Draft, Merge};
use rustdht_wire::{Built, EndorsedBy, Operation, Signing, limits::MAX_OPERATIONS, sign_commit};

use super::{
    group::Group,
    run::Merger,
    staged::{Signable, size},
};
use crate::{OpResult, Outcome, authority::is_exempt, unendorsed};

/// Bytes of operations after which a write that may span several commits begins the next one.
pub(super) const COMMIT_BYTES: usize = 512 << 10;

/// Where the souls of a commit lie.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    /// It never leaves this gateway.
    local: bool,
    mirror: bool,
    /// Some of it needs an endorsement, where the network wants them.
    governed: bool,
}

impl Merger {
    fn reach(&self, drafts: &[Draft]) -> Reach {
        let mut reach = Reach::default();
        let community = self.shared.identity.community;
        for draft in drafts {
            match draft.soul.space() {
                Space::Local => reach.local = true,
                Space::Mirror => reach.mirror = true,
                _ => {}
            }
            reach.governed |= self.shared.authority.wants_members() && !is_exempt(&draft.soul, &community);
        }
        reach
    }

    /// The built commit, whether it is sent to others, and whether it still lacks an endorsement.
    fn sign(&mut self, group: &Group, what: Signable) -> Result<(Built, Reach), Refusal> {
        let reach = self.reach(&what.drafts);
        let shared = Arc::clone(&self.shared);
        what.drafts.iter().for_each(|draft| self.clock.observe(draft.after));
        let stamp = self.clock.tick(group.now_ms);
        self.clock_moved = true;
        let Some(author) = self.authors.get_mut(&what.author) else {
            return Err(Refusal::new(rustdht_core::Code::NotAuthorised, "the key of this writer is not here"));
        };
        let mut signing = Signing::new(&author.key, shared.identity.net, author.session.id);
        if !what.leaves.is_empty() {
            signing = signing.under(&author.in_order(&what.leaves), &author.chains(&what.leaves))?;
        }
        if reach.mirror || reach.local {
            signing = signing.at_home();
        }
        let member = if reach.governed { shared.authority.membership(stamp) } else { None };
        if let Some(member) = &member {
            let known = member.chain.iter().map(|link| (link.id(), Arc::clone(link))).collect();
            let leaf = member.leaf().id();
            signing = signing.endorsed_by(&shared.gateway, &leaf, &shared.identity.community, &known)?;
        }
        let mut seed = [0; 32];
        shared.ports.entropy.fill(&mut seed);
        let mut salts = blake3::Hasher::new_keyed(&seed).finalize_xof();
        let operation = |draft: Draft| {
            debug_assert!(draft.after < stamp, "a writer's stamp exceeds what it observed");
            let body = draft.value.map_or(Body::None, |value| {
                let mut salt = [0; 16];
                salts.fill(&mut salt);
                Body::Live { value, salt: Some(Salt(salt)) }
            });
            let Draft { soul, field, kind, slot, kills, over, base, .. } = draft;
            Operation { soul, field, kind, slot, body, kills, over, base }
        };
        let operations = what.drafts.into_iter().map(operation).collect();
        let built = sign_commit(&signing, author.session.seq, author.session.prev, stamp, operations)?;
        author.signed(built.commit.id);
        Ok((built, reach))
    }

    /// Signs and joins one commit.
    pub(super) fn commit_drafts(
        &mut self,
        group: &mut Group,
        what: Signable,
    ) -> Result<(CommitId, Stamp, Vec<OpResult>), Refusal> {
        let (built, reach) = self.sign(group, what)?;
        let (id, stamp) = (built.commit.id, built.header.stamp);
        let mut results = Vec::with_capacity(built.entries.len());
        for entry in built.entries {
            let (index, entry_id) = (entry.index, entry.id);
            let outcome = match self.join(group, Arc::new(entry)) {
                Merge::Taken => Outcome::Taken,
                Merge::Known => Outcome::Known,
                Merge::Historical | Merge::Pending => Outcome::Historical,
            };
            results.push(OpResult { index, outcome, id: Some(entry_id) });
        }
        group.commit(built.commit);
        group.certificates(&self.shared.authority, &built.certificates);
        self.endorsed(group, id, &built.endorsements);
        if reach.governed && built.endorsements.is_empty() {
            // Kept and shown here; the members hear of it when this gateway is one.
            group.side.push(unendorsed::row(&id, stamp));
        } else if !reach.local {
            group.push(id, built.envelope);
        }
        Ok((id, stamp, results))
    }

    /// Takes note of who vouches for a commit.
    pub(super) fn endorsed(&self, group: &mut Group, commit: CommitId, endorsements: &[EndorsedBy]) {
        let key = &self.shared.network_key;
        group.endorsements.extend(endorsements.iter().map(|by| Endorsement {
            commit,
            certificate: by.certificate,
            signature: by.signature,
            record: EndorsementId::of(&commit, &by.certificate).record_id(key),
        }));
    }

    /// As many commits as the drafts need, each atomic.
    pub(super) fn commit_in_parts(
        &mut self,
        group: &mut Group,
        what: Signable,
    ) -> Result<Vec<(CommitId, Stamp)>, Refusal> {
        let Signable { author, leaves, drafts } = what;
        let part_of = |drafts| Signable { author, leaves: leaves.clone(), drafts };
        let mut made = Vec::new();
        let mut part: Vec<Draft> = Vec::new();
        let mut bytes = 0;
        for draft in drafts {
            let more = size(&draft);
            if !part.is_empty() && (part.len() == MAX_OPERATIONS || bytes + more > COMMIT_BYTES) {
                let (id, stamp, _) = self.commit_drafts(group, part_of(std::mem::take(&mut part)))?;
                made.push((id, stamp));
                bytes = 0;
            }
            bytes += more;
            part.push(draft);
        }
        if !part.is_empty() {
            let (id, stamp, _) = self.commit_drafts(group, part_of(part))?;
            made.push((id, stamp));
        }
        Ok(made)
    }

    /// One atomic commit. Kills of more than fits beside the rest go in earlier commits: they only take away what the
    /// deletion behind them hides anyway.
    pub(super) fn commit_patch(
        &mut self,
        group: &mut Group,
        what: Signable,
    ) -> Result<Vec<(CommitId, Stamp)>, Refusal> {
        let Signable { author, leaves, drafts } = what;
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let part_of = |drafts| Signable { author, leaves: leaves.clone(), drafts };
        let mut made = Vec::new();
        let (kills, rest): (Vec<Draft>, Vec<Draft>) = if drafts.iter().map(size).sum::<usize>() > COMMIT_BYTES {
            drafts.into_iter().partition(|draft| draft.kind.is_kill() && draft.value.is_none())
        } else {
            (Vec::new(), drafts)
        };
        made.extend(self.commit_in_parts(group, part_of(kills))?);
        let (id, stamp, _) = self.commit_drafts(group, part_of(rest))?;
        made.push((id, stamp));
        Ok(made)
    }
}
