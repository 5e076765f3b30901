//! Commits that this gateway took before it was a member: they are kept and shown here, and endorsed and pushed when
//! its certificate has come.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rustdht_core::{
    CertificateId, CommitId, Stamp,
    ports::{SideRow, StoredCommit},
};

use crate::{
    Error,
    merger::{Backlog, Request},
    node::Inner,
};

/// Namespace of the rows: key = commit id, value = its stamp, big-endian.
pub(crate) const NS: &str = "unendorsed";
/// Commits endorsed at a time.
const PAGE: u32 = 64;
/// Operations of a commit.
const ENTRIES: u32 = rustdht_wire::limits::MAX_OPERATIONS as u32;

/// The row of a commit that lacks an endorsement.
pub(crate) fn row(id: &CommitId, stamp: Stamp) -> SideRow {
    SideRow { ns: NS, key: id.0.to_vec(), value: Some(stamp.0.to_be_bytes().to_vec()), insert_only: false }
}

/// The removal of the row.
pub(crate) fn done(id: &CommitId) -> SideRow {
    SideRow { ns: NS, key: id.0.to_vec(), value: None, insert_only: false }
}

/// Endorses everything that waits for it, once this gateway may.
pub(crate) async fn endorse_all(inner: &Inner) -> Result<(), Error> {
    let store = &inner.shared.ports.store;
    loop {
        let now = Stamp::from_ms(inner.shared.ports.clock.now_ms());
        if inner.shared.authority.membership(now).is_none() {
            return Ok(());
        }
        let rows = store.side_scan(NS, &[], PAGE).await?;
        let ids: Vec<CommitId> = rows.iter().filter_map(|(key, _)| key.as_slice().try_into().ok()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let stored = store.commits(&ids).await?;
        let mut commits: HashMap<CommitId, StoredCommit> =
            stored.into_iter().map(|commit| (commit.id, commit)).collect();
        let mut backlog = Vec::with_capacity(ids.len());
        for id in ids {
            let commit = commits.remove(&id);
            // Nothing may be left of it: whatever it wrote was written over since.
            let entries = if commit.is_some() { store.entries_of(id, ENTRIES).await? } else { Vec::new() };
            let leaves: HashSet<CertificateId> = entries.iter().filter_map(|entry| entry.leaf).collect();
            let mut certificates = Vec::new();
            for leaf in leaves {
                certificates.extend(inner.shared.authority.chain(&leaf).await?.unwrap_or_default());
            }
            let entries = entries.into_iter().map(Arc::new).collect();
            backlog.push(Backlog { id, commit, entries, certificates });
        }
        inner.submit(Request::Endorse(backlog)).await?;
    }
}
