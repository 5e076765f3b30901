//! Who vouches for what was joined, and what the members get of it.

use std::sync::Arc;

use bytes::Bytes;
use rustdht_core::{CommitId, Entry, Stamp, ports::StoredCommit};
use rustdht_wire::{
    EndorsedBy, Extras, SignedCertificate, endorse, envelopes_of, limits::MAX_ENVELOPE_BYTES, with_extras,
};

use super::{Backlog, Foreign, Origin, group::Group, run::Merger};
use crate::{authority::is_exempt, unendorsed};

impl Merger {
    /// This gateway's word for a commit of this stamp; `None`: it may not give it, or it is not wanted.
    fn word(&self, commit: &CommitId, stamp: Stamp) -> Option<(EndorsedBy, Vec<Arc<SignedCertificate>>)> {
        let member = self.shared.authority.membership(stamp)?;
        let by = EndorsedBy { certificate: member.leaf().id(), signature: endorse(&self.shared.gateway, commit) };
        Some((by, member.chain.clone()))
    }

    /// Whether a commit needs an endorsement here.
    fn is_governed<'a>(&self, mut entries: impl Iterator<Item = &'a Entry>) -> bool {
        let community = self.shared.identity.community;
        self.shared.authority.wants_members() && entries.any(|entry| !is_exempt(&entry.soul, &community))
    }

    /// A commit from a door or a member was joined: what it stands under is kept, and one from a door is endorsed and pushed.
    /// `taken`: something of it is part of the state now.
    pub(super) fn vouch(&self, group: &mut Group, foreign: &Foreign, taken: bool) {
        let verified = &foreign.verified;
        let id = verified.commit.id;
        group.certificates(&self.shared.authority, &verified.certificates);
        // What was held of the commit may be gone by now, and its endorsements with it: an entry that is new brings them
        // again. Without one, those that are durable make no group of their own.
        let news = verified.endorsements.iter().filter(|by| taken || !foreign.endorsed.contains(&by.certificate));
        self.endorsed(group, id, &news.copied().collect::<Vec<_>>());
        if !foreign.origin.is_door() {
            return;
        }
        let entries: Vec<&Entry> = verified.entries.iter().filter_map(|(_, entry)| entry.as_ref().ok()).collect();
        let governed = self.is_governed(entries.iter().copied());
        let word =
            if governed && foreign.origin == Origin::Door { self.word(&id, verified.header.stamp) } else { None };
        let Some((by, chain)) = word else {
            if governed && verified.endorsements.is_empty() {
                group.side.push(unendorsed::row(&id, verified.header.stamp));
            } else {
                group.push(id, foreign.envelope.clone());
            }
            return;
        };
        self.endorsed(group, id, &[by]);
        group.certificates(&self.shared.authority, &chain);
        let mut endorsements = vec![by];
        endorsements.extend(verified.endorsements.iter().filter(|other| other.certificate != by.certificate));
        let mut certificates = chain;
        certificates.extend(verified.certificates.iter().cloned());
        let extras = Extras { certificates: &certificates, endorsements: &endorsements };
        match with_extras(&foreign.envelope, &extras) {
            Ok(envelope) => group.push(id, envelope.into()),
            // It fills its megabyte: it travels in parts.
            Err(_) => push_parts(group, &verified.commit, &entries, &extras),
        }
    }

    /// Commits that this gateway took before it was a member.
    pub(super) fn endorse_backlog(&self, group: &mut Group, backlog: &[Backlog]) {
        for Backlog { id, commit, entries, certificates } in backlog {
            group.side.push(unendorsed::done(id));
            let (Some(commit), Some(first)) = (commit, entries.first()) else { continue };
            let Some((by, chain)) = self.word(id, first.stamp) else {
                tracing::warn!(commit = %id, "a commit lies outside the times of the member certificate: it stays here");
                continue;
            };
            self.endorsed(group, *id, &[by]);
            group.certificates(&self.shared.authority, &chain);
            let endorsements = [by];
            let mut along = chain;
            along.extend(certificates.iter().cloned());
            let entries: Vec<&Entry> = entries.iter().map(|entry| &**entry).collect();
            push_parts(group, commit, &entries, &Extras { certificates: &along, endorsements: &endorsements });
        }
    }
}

fn push_parts(group: &mut Group, commit: &StoredCommit, entries: &[&Entry], extras: &Extras<'_>) {
    match envelopes_of(commit, entries, extras, MAX_ENVELOPE_BYTES) {
        Ok(parts) => parts.into_iter().for_each(|part| group.push(commit.id, Bytes::from(part))),
        Err(error) => tracing::error!(commit = %commit.id, %error, "a commit cannot be pushed"),
    }
}
