//! Which replicas there are, and which of them count.
//!
//! A replica is known by its signed record and counts until it was not seen for seven days; the retired stay on the
//! list, so that others who still know them do not bring them back. Only its own hello does.

use std::collections::BTreeMap;

use bytes::Bytes;
use rustdht_core::{NetId, cbor, ports::ReplicaId};
use rustdht_wire::{Role, SignedReplica};

use crate::{
    Error,
    limits::{MAX_MEMBERS, RETIRE_AFTER_MS, SAVE_SEEN_EVERY_MS},
};

/// Prefix of the rows that [`Members`] keeps.
const ROW_PREFIX: &[u8] = b"replica/";

#[derive(Clone, Debug)]
struct Member {
    signed: SignedReplica,
    seen_ms: u64,
    saved_ms: u64,
    retired: bool,
    /// Whether it was ever connected here; of others there is hearsay only.
    met: bool,
}

/// A row to be kept.
pub(crate) type Row = (Vec<u8>, Option<Vec<u8>>);

/// What became of a signed record.
#[derive(Debug)]
pub(crate) struct Learned {
    pub(crate) replica: ReplicaId,
    /// It was unknown before.
    pub(crate) new: bool,
    pub(crate) rows: Vec<Row>,
}

/// The replicas other than this one.
#[derive(Debug)]
pub(crate) struct Members {
    net: NetId,
    own: ReplicaId,
    own_role: Role,
    others: BTreeMap<ReplicaId, Member>,
}

impl Members {
    pub(crate) fn new(net: NetId, own: &SignedReplica) -> Self {
        let record = own.record();
        Self { net, own: ReplicaId(record.replica.clone()), own_role: record.role, others: BTreeMap::new() }
    }

    /// Takes a row that was kept; rows of other owners and broken ones are left alone.
    pub(crate) fn restore(&mut self, key: &[u8], value: &[u8]) {
        if !key.starts_with(ROW_PREFIX) || self.others.len() >= MAX_MEMBERS {
            return;
        }
        let Ok(cbor::Item::Array(parts)) = cbor::decode(value) else { return };
        if let [cbor::Item::Bytes(pair), cbor::Item::Uint(seen_ms), cbor::Item::Bool(retired), met @ ..] =
            parts.as_slice()
            && let Ok(signed) = SignedReplica::decode(pair, &self.net)
        {
            let id = ReplicaId(signed.record().replica.clone());
            if id != self.own {
                let met = met != [cbor::Item::Bool(false)];
                let member = Member { signed, seen_ms: *seen_ms, saved_ms: *seen_ms, retired: *retired, met };
                self.others.insert(id, member);
            }
        }
    }

    /// Takes a signed record that somebody sent.
    ///
    /// # Errors
    /// [`Error::Record`] when it is not a record of this network, [`Error::Full`] when nobody makes room for it.
    pub(crate) fn learn(&mut self, pair: &[u8], now_ms: u64) -> Result<Learned, Error> {
        let refused = |what: String| Error::Record(what);
        let signed = SignedReplica::decode(pair, &self.net).map_err(|refusal| refused(refusal.to_string()))?;
        let id = ReplicaId(signed.record().replica.clone());
        if id == self.own {
            return Ok(Learned { replica: id, new: false, rows: Vec::new() });
        }
        match self.others.get_mut(&id) {
            Some(member) if member.signed.record().stamp >= signed.record().stamp => {
                Ok(Learned { replica: id, new: false, rows: Vec::new() })
            }
            Some(member) => {
                member.signed = signed;
                let rows = vec![row(&id, member)];
                Ok(Learned { replica: id, new: false, rows })
            }
            None => {
                let mut rows = Vec::new();
                if self.others.len() >= MAX_MEMBERS {
                    let gone = self.dispensable(now_ms).ok_or(Error::Full)?;
                    self.others.remove(&gone);
                    rows.push((row_key(&gone), None));
                }
                let member = Member { signed, seen_ms: now_ms, saved_ms: now_ms, retired: false, met: false };
                rows.push(row(&id, &member));
                self.others.insert(id.clone(), member);
                Ok(Learned { replica: id, new: true, rows })
            }
        }
    }

    /// Who makes room: the retired one not seen for longest, else the oldest of those only heard of. What was heard
    /// this very moment stays, or the rest of a list would drive out its beginning.
    fn dispensable(&self, now_ms: u64) -> Option<ReplicaId> {
        let candidates =
            self.others.iter().filter(|(_, member)| member.retired || (!member.met && member.seen_ms < now_ms));
        candidates.min_by_key(|(_, member)| (!member.retired, member.seen_ms)).map(|(id, _)| id.clone())
    }

    /// Notes that a replica is connected now.
    pub(crate) fn seen(&mut self, id: &ReplicaId, now_ms: u64) -> Option<Row> {
        let member = self.others.get_mut(id)?;
        member.seen_ms = member.seen_ms.max(now_ms);
        if member.retired || !member.met || now_ms.saturating_sub(member.saved_ms) >= SAVE_SEEN_EVERY_MS {
            member.retired = false;
            member.met = true;
            member.saved_ms = now_ms;
            return Some(row(id, member));
        }
        None
    }

    /// Retires who was not seen for too long.
    pub(crate) fn retire(&mut self, now_ms: u64) -> Vec<(ReplicaId, Row)> {
        let mut rows = Vec::new();
        for (id, member) in &mut self.others {
            if !member.retired && now_ms.saturating_sub(member.seen_ms) >= RETIRE_AFTER_MS {
                member.retired = true;
                rows.push((id.clone(), row(id, member)));
            }
        }
        rows
    }

    pub(crate) const fn own(&self) -> &ReplicaId {
        &self.own
    }

    /// 1 when this replica is one that keeps data.
    pub(crate) fn own_weight(&self) -> u16 {
        u16::from(self.own_role != Role::Client)
    }

    /// Whether a replica other than this one counts.
    pub(crate) fn counts(&self, id: &ReplicaId) -> bool {
        self.others.get(id).is_some_and(|member| !member.retired && member.signed.record().role != Role::Client)
    }

    pub(crate) fn is_retired(&self, id: &ReplicaId) -> bool {
        self.others.get(id).is_some_and(|member| member.retired)
    }

    pub(crate) fn knows(&self, id: &ReplicaId) -> bool {
        self.others.contains_key(id)
    }

    /// The others that count, in the order of their ids.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &ReplicaId> {
        self.others.keys().filter(|id| self.counts(id))
    }

    /// Every replica known, with when it was seen.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&ReplicaId, u64)> {
        self.others.iter().map(|(id, member)| (id, member.seen_ms))
    }

    /// Replicas that count, this one included.
    pub(crate) fn replicas(&self) -> u16 {
        u16::try_from(self.counted().count()).unwrap_or(u16::MAX).saturating_add(self.own_weight())
    }

    /// The signed records of the others that are not retired.
    pub(crate) fn records(&self) -> impl Iterator<Item = (&ReplicaId, Bytes)> {
        let active = self.others.iter().filter(|(_, member)| !member.retired);
        active.map(|(id, member)| (id, Bytes::from(member.signed.encode())))
    }
}

fn row_key(id: &ReplicaId) -> Vec<u8> {
    [ROW_PREFIX, id.0.as_bytes()].concat()
}

/// DAG-CBOR `[signed record, seen_ms, retired, met]`.
fn row(id: &ReplicaId, member: &Member) -> Row {
    let mut value = Vec::with_capacity(384);
    cbor::array(&mut value, 4);
    cbor::bytes(&mut value, &member.signed.encode());
    cbor::uint(&mut value, member.seen_ms);
    cbor::bool(&mut value, member.retired);
    cbor::bool(&mut value, member.met);
    (row_key(id), Some(value))
}

#[cfg(test)]
mod tests {
    use rustdht_core::Stamp;
    use rustdht_wire::{ReplicaRecord, SigningKey, peer_id_text};

    use super::*;

    const NET: NetId = NetId([3; 32]);

    fn signed(seed: u8, role: Role, stamp: u64) -> SignedReplica {
        let key = SigningKey::from_seed(&[seed; 32]);
        let replica = peer_id_text(&key.public());
        ReplicaRecord { net: NET, replica, key: key.public(), role, stamp: Stamp(stamp) }.sign(&key).unwrap()
    }

    fn id(seed: u8) -> ReplicaId {
        ReplicaId(signed(seed, Role::Full, 1).record().replica.clone())
    }

    #[test]
    fn a_replica_counts_until_it_was_not_seen_for_seven_days() {
        let mut members = Members::new(NET, &signed(1, Role::Full, 1));
        let learned = members.learn(&signed(2, Role::Full, 1).encode(), 1000).unwrap();
        assert!(learned.new && learned.replica == id(2) && learned.rows.len() == 1);
        assert!(members.learn(&signed(3, Role::Client, 1).encode(), 1000).unwrap().new);
        assert_eq!(members.replicas(), 2, "a client is never an owner");
        assert!(members.retire(1000 + RETIRE_AFTER_MS - 1).is_empty());
        assert_eq!(members.retire(1000 + RETIRE_AFTER_MS).len(), 2);
        assert_eq!(members.replicas(), 1);
        assert!(!members.learn(&signed(2, Role::Full, 2).encode(), 2000).unwrap().new);
        assert_eq!(members.replicas(), 1, "hearsay does not bring it back");
        assert!(members.seen(&id(2), RETIRE_AFTER_MS + 5000).is_some());
        assert_eq!(members.replicas(), 2);
    }

    #[test]
    fn rows_restore_what_was_known() {
        let mut members = Members::new(NET, &signed(1, Role::Full, 1));
        let (key, value) = members.learn(&signed(2, Role::Full, 1).encode(), 1000).unwrap().rows.remove(0);
        let mut again = Members::new(NET, &signed(1, Role::Full, 1));
        again.restore(&key, &value.clone().unwrap());
        again.restore(b"replica/x", b"noise");
        assert_eq!(again.counted().collect::<Vec<_>>(), [&id(2)]);
        let mut elsewhere = Members::new(NetId([4; 32]), &signed(1, Role::Full, 1));
        elsewhere.restore(&key, &value.unwrap());
        assert_eq!(elsewhere.counted().count(), 0);
    }

    #[test]
    fn a_full_list_makes_room_for_the_living() {
        let wide = |number: u16| {
            let mut seed = [0xaa; 32];
            seed[..2].copy_from_slice(&number.to_be_bytes());
            let key = SigningKey::from_seed(&seed);
            let replica = peer_id_text(&key.public());
            let record = ReplicaRecord { net: NET, replica, key: key.public(), role: Role::Full, stamp: Stamp(1) };
            record.sign(&key).unwrap().encode()
        };
        let mut members = Members::new(NET, &signed(1, Role::Full, 1));
        let mut ids = Vec::new();
        for number in 0..MAX_MEMBERS as u16 {
            let learned = members.learn(&wide(number), 1000 + u64::from(number)).unwrap();
            // The first one was heard of only.
            if number > 0 {
                members.seen(&learned.replica, 1000 + u64::from(number));
            }
            ids.push(learned.replica);
        }
        let first_ms = 1000 + MAX_MEMBERS as u64;
        let learned = members.learn(&wide(5000), first_ms).unwrap();
        assert_eq!(learned.rows[0], (row_key(&ids[0]), None));
        assert!(learned.new && learned.rows.len() == 2 && !members.knows(&ids[0]));
        assert!(matches!(members.learn(&wide(5001), first_ms), Err(Error::Full)));
        // The retired go first, the longest unseen of them before all.
        members.retire(1002 + RETIRE_AFTER_MS);
        let learned = members.learn(&wide(5002), first_ms + 1).unwrap();
        assert_eq!(learned.rows[0], (row_key(&ids[1]), None));
    }

    #[test]
    fn an_older_record_never_replaces_a_newer_one() {
        let mut members = Members::new(NET, &signed(1, Role::Full, 1));
        members.learn(&signed(2, Role::Full, 5).encode(), 0).unwrap();
        members.learn(&signed(2, Role::Client, 4).encode(), 0).unwrap();
        assert!(members.counts(&id(2)));
        members.learn(&signed(2, Role::Client, 6).encode(), 0).unwrap();
        assert!(!members.counts(&id(2)));
        assert!(members.learn(&[0; 40], 0).is_err());
    }
}
