//! Publishing what keys stand for, and doing so again before the records end.

use rustdht_core::ports::{Batch, IpnsName, NameDraft, NameError, NameRecord, SideRow};
use serde::{Deserialize, Serialize};

use super::{follow, keys::name_of};
use crate::{Error, Node, node::Inner};

/// What keys published last, as JSON, by the name of the key.
pub(super) const PUBLISHED_NS: &str = "ipns-published";
/// How long a record lasts unless it is said (Kubo's default; records in the DHT last as long).
const LIFETIME_MS: u64 = 48 * 3_600_000;
/// The longest lifetime: ten years. Beyond it a lost key could never be replaced.
const MAX_LIFETIME_MS: u64 = 3653 * 86_400_000;
/// The shortest lifetime: below it a record would end before it is published again.
const MIN_LIFETIME_MS: u64 = 60_000;
/// How long a record may be cached unless it is said: Kubo's 5 minutes.
const TTL_S: u64 = 300;
/// After this a record is made anew and given to the routers again (Kubo's `Ipns.RepublishPeriod`).
const REPUBLISH_MS: u64 = 4 * 3_600_000;

/// A name to publish.
#[derive(Clone, Debug)]
pub struct NewName {
    /// Whose.
    pub key: String,
    /// `/ipfs/...`, `/ipns/...`, or a CID.
    pub value: String,
    /// How long the record is to last, in milliseconds; it is renewed while the gateway runs.
    pub lifetime_ms: Option<u64>,
    /// How long it may be cached, in seconds.
    pub ttl_s: Option<u64>,
}

/// A name that was published here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedName {
    /// The name.
    pub name: IpnsName,
    /// Its record.
    pub record: NameRecord,
}

/// What a key published last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Published {
    value: String,
    ttl_s: u64,
    lifetime_ms: u64,
    at_ms: u64,
}

impl Published {
    /// Whether it is time to publish it again.
    fn is_due(&self, now_ms: u64) -> bool {
        // A short-lived one is renewed when half of its life is over.
        now_ms >= self.at_ms.saturating_add(REPUBLISH_MS.min(self.lifetime_ms / 2))
    }
}

impl Node {
    /// Signs and keeps a record, and has it given to the routers; durable here when this returns.
    ///
    /// # Errors
    /// [`crate::NameFault`]; when the store fails.
    #[tracing::instrument(name = "node.names.publish", skip_all, fields(key = %new.key))]
    pub async fn publish_name(&self, new: NewName) -> Result<PublishedName, Error> {
        let value = follow::target(&new.value)?;
        let lifetime_ms = new.lifetime_ms.unwrap_or(LIFETIME_MS).clamp(MIN_LIFETIME_MS, MAX_LIFETIME_MS);
        let published = Published {
            value,
            ttl_s: new.ttl_s.unwrap_or(TTL_S),
            lifetime_ms,
            at_ms: self.inner.shared.ports.clock.now_ms(),
        };
        let _turn = self.inner.names.keys.lock().await;
        publish(&self.inner, &new.key, published).await
    }
}

/// Signs what `published` says as the key's newest record. The caller holds the turn of the keys.
async fn publish(inner: &Inner, key: &str, published: Published) -> Result<PublishedName, Error> {
    let ports = &inner.shared.ports;
    let seed = inner.name_seed(key).await?;
    let name = name_of(&seed);
    let routing = inner.routing.get().ok_or_else(|| NameError::Unavailable("the node is starting".to_owned()))?;
    // The key may have been in use elsewhere, with greater sequences.
    let last = match inner.names.stored(inner, &name, 0).await? {
        Some(last) => Some(last),
        None => inner.names.ask(inner, &name).await,
    };
    let sequence = match last {
        // The same value for longer keeps its sequence.
        Some(last) if last.value == published.value => last.sequence,
        Some(last) => last.sequence.saturating_add(1),
        None => 0,
    };
    let until_ms = published.at_ms.saturating_add(published.lifetime_ms);
    let draft = NameDraft { value: published.value.clone(), sequence, until_ms, ttl_s: published.ttl_s };
    let record = routing.records.sign(&seed, &draft)?;
    let record = match inner.names.keep(inner, &name, record.bytes).await {
        // The same value with a longer validity is held: nothing is lost by one more.
        Err(NameError::Stale { held }) => {
            let draft = NameDraft { sequence: held.saturating_add(1), ..draft };
            let record = routing.records.sign(&seed, &draft)?;
            inner.names.keep(inner, &name, record.bytes).await
        }
        kept => kept,
    }?;
    // A struct of strings and numbers always serialises.
    let value = serde_json::to_vec(&published).unwrap_or_default();
    let row = SideRow { ns: PUBLISHED_NS, key: key.as_bytes().to_vec(), value: Some(value), insert_only: false };
    ports.store.apply(Batch { side: vec![row], now_ms: published.at_ms, ..Batch::default() }).await?;
    inner.names.give(name);
    Ok(PublishedName { name, record })
}

/// Publishes again what is due.
pub(super) async fn republish(inner: &Inner) -> Result<(), Error> {
    let now_ms = inner.shared.ports.clock.now_ms();
    for (key, value) in inner.shared.ports.store.side_scan(PUBLISHED_NS, &[], u32::MAX).await? {
        let (Ok(key), Ok(published)) = (String::from_utf8(key), serde_json::from_slice::<Published>(&value)) else {
            continue;
        };
        if !published.is_due(now_ms) {
            continue;
        }
        let _turn = inner.names.keys.lock().await;
        let again = Published { at_ms: now_ms, ..published };
        if let Err(error) = publish(inner, &key, again).await {
            tracing::warn!(key, %error, "a name could not be published again");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_renewed_in_time() {
        let published = |lifetime_ms| Published { value: String::new(), ttl_s: 0, lifetime_ms, at_ms: 1_000 };
        assert!(
            !published(LIFETIME_MS).is_due(1_000 + REPUBLISH_MS - 1)
                && published(LIFETIME_MS).is_due(1_000 + REPUBLISH_MS)
        );
        assert!(!published(60_000).is_due(30_999) && published(60_000).is_due(31_000));
    }
}
