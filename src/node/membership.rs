//! Becoming a member, and staying one: asking for a certificate, renewing it, endorsing what was written before.

use std::{sync::Arc, time::Duration};

use rustdht_wire::SignedCertificate;

use crate::{
    Error, Node, Op, Principal,
    authority::{certify, member_value},
    node::Inner,
    unendorsed,
};

/// How long to wait before asking again, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a member looks whether its certificate ends soon.
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);
/// The field of `~C` that lists members.
const MEMBERS: &str = "members";

/// A founder is a member before its first write: it issues itself a certificate.
pub(crate) async fn begin(inner: &Arc<Inner>) -> Result<(), Error> {
    let shared = &inner.shared;
    if shared.community.is_some() && shared.authority.wants_certificate(shared.ports.clock.now_ms()) {
        obtain(inner).await?;
    }
    Ok(())
}

/// Runs until the node stops. In mode `open` there is nothing to do.
pub(crate) async fn keep(inner: Arc<Inner>) {
    let stopping = inner.stopping.clone();
    tokio::select! {
        () = stopping.cancelled() => {}
        () = ask_and_renew(&inner) => {}
    }
}

async fn ask_and_renew(inner: &Arc<Inner>) {
    let authority = &inner.shared.authority;
    if !authority.wants_members() {
        // The task ends with the node.
        return inner.stopping.cancelled().await;
    }
    let mut wait = FIRST_WAIT;
    loop {
        let settled = settle(inner).await;
        let next = match settled {
            Ok(()) if !authority.wants_certificate(inner.shared.ports.clock.now_ms()) => LOOK_INTERVAL,
            Ok(()) => wait,
            Err(error) => {
                tracing::warn!(%error, "what a member does could not be done; it is tried again");
                wait
            }
        };
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            () = inner.bound.notified() => {}
        }
        wait = if next == LOOK_INTERVAL { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
    }
}

/// One round: a certificate when one is wanted, then what waits for it.
async fn settle(inner: &Arc<Inner>) -> Result<(), Error> {
    let shared = &inner.shared;
    if shared.authority.wants_certificate(shared.ports.clock.now_ms()) && !obtain(inner).await? {
        tracing::debug!("no member issued a certificate yet");
    }
    list(inner, shared.identity.gateway).await?;
    unendorsed::endorse_all(inner).await
}

/// Issues itself a certificate where C is held, else asks the members. Whether one came.
async fn obtain(inner: &Arc<Inner>) -> Result<bool, Error> {
    let shared = &inner.shared;
    let gateway = shared.identity.gateway;
    let chain = if shared.community.is_some() {
        certify(inner, gateway).await?
    } else {
        let Some(replicator) = inner.replicator.get() else { return Ok(false) };
        let pairs = replicator.certify(gateway).await?;
        let decode = |(bytes, signature): &(bytes::Bytes, bytes::Bytes)| {
            SignedCertificate::decode(bytes, signature).map(Arc::new)
        };
        pairs.iter().map(decode).collect::<Result<Vec<_>, _>>()?
    };
    shared.authority.adopt(&gateway, chain, shared.ports.clock.now_ms()).await
}

/// Names a gateway in `members` of `~C`, where C is held here.
pub(crate) async fn list(inner: &Arc<Inner>, gateway: rustdht_core::PublicKey) -> Result<(), Error> {
    if inner.shared.community.is_none() {
        return Ok(());
    }
    let node = Node { inner: Arc::clone(inner) };
    let soul = inner.shared.authority.community_soul();
    let value = member_value(&gateway);
    if node.state(&soul).await?.added(MEMBERS).any(|entry| entry.body.value() == Some(&value)) {
        return Ok(());
    }
    let op = Op { soul, field: MEMBERS.parse()?, action: rustdht_graph::Action::Add(value) };
    node.commit(Principal::Owner, vec![op], Duration::ZERO).await?;
    Ok(())
}
