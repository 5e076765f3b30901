//! What merger, committer and doors share.

use std::sync::{Arc, atomic::AtomicU64};

use rustdht_core::PublicKey;
use rustdht_wire::SigningKey;

use super::authors::Writers;
use crate::{Identity, Ports, Principal, authority::Authority, custody::Keys, keys::Keyring, schema::Schemas};

pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) identity: Identity,
    pub(crate) gateway: Arc<SigningKey>,
    /// The community key, where it is held here.
    pub(crate) community: Option<Arc<SigningKey>>,
    /// The keys of the accounts.
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) schemas: Schemas,
    pub(crate) authority: Authority,
    pub(crate) network_key: [u8; 32],
    pub(crate) host_tag: [u8; 32],
    /// The last group that is durable.
    pub(crate) durable: AtomicU64,
    /// Rises when a group could not be written: whatever was planned on top of it is void.
    pub(crate) epoch: AtomicU64,
    pub(crate) deferred: AtomicU64,
    pub(crate) clock: AtomicU64,
    /// The last feed number that is durable.
    pub(crate) feed: AtomicU64,
}

impl Shared {
    /// The keys that sign for a principal, the one that he prefers first. None: he writes nothing.
    pub(crate) fn keys_of(&self, by: Principal) -> Vec<Arc<SigningKey>> {
        match by {
            Principal::Owner | Principal::Internal => {
                [Some(&self.gateway), self.community.as_ref()].into_iter().flatten().cloned().collect()
            }
            Principal::Account(account) => {
                let mut keys = vec![self.keyring.signer(&account), Some(account)];
                keys.dedup();
                keys.into_iter().flatten().filter_map(|key| self.keyring.signing_key(&key)).collect()
            }
            Principal::Anonymous => Vec::new(),
        }
    }

    /// The key whose space is the principal's own.
    pub(crate) fn home_of(&self, by: Principal) -> Option<PublicKey> {
        match by {
            Principal::Owner | Principal::Internal => Some(self.identity.gateway),
            Principal::Account(account) => Some(account),
            Principal::Anonymous => None,
        }
    }

    pub(super) fn writers(&self, by: Principal, keys: &[Arc<SigningKey>]) -> Writers {
        let keys: Vec<PublicKey> = keys.iter().map(|key| key.public()).collect();
        let superseded = match by {
            Principal::Account(account) if keys.first() != Some(&account) => Some(account),
            _ => None,
        };
        Writers { by, keys, superseded }
    }
}
