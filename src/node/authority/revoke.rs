//! Taking back what was delegated: revocation, and the rotation of an account's key.

use std::{sync::Arc, time::Duration};

use rustdht_core::{CertificateId, Code, FUTURE_LIMIT_MS, Field, PublicKey, Refusal, Soul, Space, Stamp, Value};
use rustdht_graph::{Action, Content, NodeState, Shown, Wanted};
use rustdht_wire::{Certificate, Rights, SignedCertificate, SigningKey};

use super::{
    certificates::rows_of,
    revoked::{REVOKED, SUCCESSOR},
};
use crate::{
    Committed, Error, Node, NodeWrite, Op, Principal, RenderOptions, WriteMode,
    custody::Keys as _,
    merger::{Answer, Planned, Request},
};

/// Souls looked at a time for what is worth keeping.
const PAGE: u32 = 256;

fn refuse<T>(code: Code, detail: &'static str) -> Result<T, Error> {
    Err(Refusal::new(code, detail).into())
}

/// The wish that makes a field show this; `None` for what nobody can wish for.
fn wish(shown: &Shown, kind: &rustdht_core::Kind) -> Option<Wanted> {
    match shown {
        Shown::Value(value) => Some(Wanted::Value(value.clone())),
        Shown::Set(elements) => Some(Wanted::set(elements.iter().cloned())),
        Shown::Counter(total) => {
            let content = Content::Value(Value::from(total.to_string().as_str()));
            Some(Wanted::Wrapped { kind: kind.clone(), content })
        }
        Shown::Wrapped(content) => Some(Wanted::Wrapped { kind: kind.clone(), content: content.clone() }),
        Shown::Opaque { .. } => None,
    }
}

/// The fields that show something else in `after` than in `before`, with what they showed; not those that one of `keys`
/// wrote after `since`: they were kept already, or changed since.
fn worth_keeping(before: &NodeState, after: &NodeState, keys: &[PublicKey], since: Stamp) -> Vec<(Field, Wanted)> {
    let mut kept = Vec::new();
    for name in before.field_names() {
        let written = after.field(&name).is_some_and(|field| {
            let mut entries = field.entries();
            entries.any(|entry| entry.stamp > since && keys.contains(&entry.author))
        });
        if written || rustdht_graph::is_permanent(before.soul(), &name) {
            continue;
        }
        let (shown, left) = (before.view(&name), after.view(&name));
        if shown.as_ref().map(|view| &view.shown) == left.as_ref().map(|view| &view.shown) {
            continue;
        }
        let wanted = match &shown {
            Some(view) => wish(&view.shown, &view.kind),
            None => Some(Wanted::Value(Value::Null)),
        };
        kept.extend(wanted.map(|wanted| (name, wanted)));
    }
    kept
}

impl Node {
    /// Revokes a certificate: what was written under it, or under one that descends from it, is hidden on every gateway
    /// that learns of it, whatever its stamp. With `keep` the fields that it shows are written anew by the principal, so
    /// that they go on showing what they show; run again, it takes up where it was interrupted.
    ///
    /// # Errors
    /// `certificate_missing` when the certificate is not here; `not_authorised` unless the principal owns the space or
    /// issued a certificate of its chain (in `~C`: C only).
    pub async fn revoke(
        &self,
        by: Principal,
        id: &CertificateId,
        keep: bool,
        wait: Duration,
    ) -> Result<Committed, Error> {
        let shared = &self.inner.shared;
        let Some(chain) = shared.authority.chain(id).await? else {
            return refuse(Code::CertificateMissing, "the certificate is not here");
        };
        let Some(leaf) = chain.first() else { return refuse(Code::CertificateMissing, "the certificate is not here") };
        let space = leaf.certificate().space.clone();
        let Space::Owned(owner) = space.space() else {
            return refuse(Code::BadSoul, "the space of a certificate is exactly ~K");
        };
        let keys: Vec<PublicKey> = shared.keys_of(by).iter().map(|key| key.public()).collect();
        let issued =
            owner != shared.authority.community() && chain.iter().any(|link| keys.contains(&link.certificate().issuer));
        if !keys.contains(&owner) && !issued {
            let detail = "who owns the space, or issued a certificate of this chain, revokes it";
            return refuse(Code::NotAuthorised, detail);
        }
        let op = Op { soul: space.clone(), field: REVOKED.parse()?, action: Action::Add(Value::Blob(id.to_cid())) };
        let made = self.commit(by, vec![op], wait).await?;
        if keep {
            let mut named = self.state(&space).await?.added(REVOKED).cloned().collect::<Vec<_>>();
            named.retain(|entry| entry.body.value() == Some(&Value::Blob(id.to_cid())));
            let since = named.iter().map(|entry| entry.stamp).min().unwrap_or(made.stamp);
            self.keep_shown(by, &space, &owner, id, since).await?;
        }
        Ok(made)
    }

    /// Writes anew what the space showed from under a certificate.
    async fn keep_shown(
        &self,
        by: Principal,
        space: &Soul,
        owner: &PublicKey,
        id: &CertificateId,
        since: Stamp,
    ) -> Result<(), Error> {
        let authority = &self.inner.shared.authority;
        let keys: Vec<PublicKey> = self.inner.shared.keys_of(by).iter().map(|key| key.public()).collect();
        let now = authority.revoked(owner).await?;
        let before = now.without(id);
        let none = super::Revoked::default();
        let mut after: Option<String> = None;
        loop {
            let page = self.store().souls(space, after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.to_string());
            // The prefix `~K` ends where the key ends, so no other space begins with it.
            for soul in page {
                let mut state = NodeState::new(soul.clone());
                for entry in self.store().load(std::slice::from_ref(&soul)).await? {
                    state.restore(entry.into());
                }
                if !state.entries().any(|entry| entry.leaf.is_some()) {
                    continue;
                }
                let mut shown = state.clone();
                shown.set_hidden(authority.hidden(&shown, Some(&before), &none).await?);
                state.set_hidden(authority.hidden(&state, Some(&now), &none).await?);
                let fields = worth_keeping(&shown, &state, &keys, since);
                if !fields.is_empty() {
                    self.write(NodeWrite {
                        by,
                        soul,
                        mode: WriteMode::Patch,
                        fields,
                        if_match: None,
                        if_none_match: None,
                        wait: Duration::ZERO,
                        render: RenderOptions::default(),
                    })
                    .await?;
                }
            }
        }
    }

    /// Gives an account a new key: the first one, K, certifies it for the whole space and names it in `successor` of `~K`.
    /// From then on the account signs with it, and nothing more that an earlier successor signs counts there;
    /// certificates, revocations and further successors are still signed by K itself.
    ///
    /// # Errors
    /// `not_authorised` when the account's key is not in custody here, or disabled.
    pub async fn rotate(&self, account: PublicKey) -> Result<PublicKey, Error> {
        let shared = &self.inner.shared;
        let Some(root) = shared.keyring.signing_key(&account) else {
            return refuse(Code::NotAuthorised, "the key of this account is not in custody here");
        };
        // Two at once, or one beside another change of the account, would write over each other's row.
        let _turn = self.inner.accounts.changes.lock().await;
        let mut seed = [0; 32];
        shared.ports.entropy.fill(&mut seed);
        let successor = SigningKey::from_seed(&seed).public();
        let certificate = self.certify_successor(&root, successor)?;
        let mut side = shared.keyring.rotate(&account, &seed)?;
        side.extend(rows_of(&certificate));
        let by = Principal::Account(account);
        let soul = Soul::of_key(account);
        let field: Field = SUCCESSOR.parse()?;
        let pen = self.pen(by, &soul, &field).await?;
        let state = self.state(&soul).await?;
        let mut drafts = Vec::new();
        let value = Value::Link(Soul::of_key(successor));
        rustdht_graph::plan(&state, &pen, &field, &Action::Add(value), &mut drafts)?;
        match self.inner.submit(Request::Planned(Planned { by, drafts, side, unless: None })).await? {
            Answer::Joined(_) => {}
            _ => return Err(Error::Stopping),
        }
        shared.authority.learned(&[Arc::new(certificate)]);
        shared.keyring.rotated(&account, &seed);
        Ok(successor)
    }

    fn certify_successor(&self, root: &SigningKey, successor: PublicKey) -> Result<SignedCertificate, Error> {
        let shared = &self.inner.shared;
        let space = Soul::of_key(root.public());
        let mut nonce = [0; 16];
        shared.ports.entropy.fill(&mut nonce);
        let certificate = Certificate {
            net: shared.identity.net,
            issuer: root.public(),
            audience: successor,
            prefixes: vec![space.clone()],
            space,
            fields: Vec::new(),
            rights: Rights { write: true, delegate: true, endorse: true },
            not_before: Stamp::from_ms(shared.ports.clock.now_ms().saturating_sub(FUTURE_LIMIT_MS)),
            // A successor has no end of its own; K revokes it when there is one.
            not_after: Stamp(u64::MAX),
            parent: None,
            nonce,
        };
        Ok(certificate.sign(root)?)
    }
}
