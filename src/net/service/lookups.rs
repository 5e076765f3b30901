//! What the node asks of the two DHTs, and what others ask of this node there.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use libp2p::{
    Multiaddr, PeerId,
    kad::{self, GetProvidersOk, GetRecordOk, QueryId, QueryResult, Quorum, Record, RecordKey},
};
use rustdht_core::ports::{IpnsName, MAX_IPNS_RECORD_BYTES, NameRecord, Provider};
use rustdht_wire::protocol::MAX_MEMBER_ADDRESSES;
use tokio::sync::{mpsc, oneshot};

use super::Running;
use crate::{
    behaviour::{Announced, Announcement},
    limits::{LOG_INTERVAL_MS, MAX_LOOKUPS, MAX_NAME_CHECKS},
    routing::{Kad, Log, Lookup, Which, add_providers, found, wire_addresses},
};

/// A query that somebody waits for.
enum Query {
    Providers { found: mpsc::Sender<Provider>, left: usize, seen: HashSet<PeerId> },
    Peer { peer: PeerId, reply: oneshot::Sender<Option<Provider>> },
    Nearest { reply: oneshot::Sender<Option<Vec<Provider>>> },
    Names { found: mpsc::Sender<Bytes> },
    Put { reply: oneshot::Sender<bool> },
}

impl Query {
    /// Whether nobody waits any more.
    fn is_moot(&self) -> bool {
        match self {
            Self::Providers { found, left, .. } => *left == 0 || found.is_closed(),
            Self::Peer { reply, .. } => reply.is_closed(),
            Self::Nearest { reply } => reply.is_closed(),
            Self::Names { found } => found.is_closed(),
            // It goes on without being waited for.
            Self::Put { .. } => false,
        }
    }
}

/// Queries, announcements and rows under way.
pub(super) struct Lookups {
    queries: HashMap<(Which, QueryId), Query>,
    announcements: HashMap<u64, oneshot::Sender<bool>>,
    logs: [Log; 2],
    next_log_ms: u64,
    /// Records of names that are being checked.
    checking: usize,
}

impl Default for Lookups {
    fn default() -> Self {
        Self {
            queries: HashMap::new(),
            announcements: HashMap::new(),
            logs: Which::ALL.map(Log::new),
            next_log_ms: 0,
            checking: 0,
        }
    }
}

impl Lookups {
    fn log(&mut self, which: Which) -> &mut Log {
        &mut self.logs[which as usize]
    }
}

impl Running {
    /// Takes rows that were kept, and the records of names.
    pub(super) fn restore_routing(&mut self, rows: &[(Vec<u8>, Vec<u8>)], names: &[(IpnsName, NameRecord)]) {
        let now_ms = self.clock.now_ms();
        for which in Which::ALL {
            let mut kept = Vec::new();
            for (key, value) in rows {
                kept.extend(self.routing.log(which).restore(key, value));
            }
            if let Some(kad) = self.swarm.behaviour_mut().kad(which) {
                let records = kad.store_mut();
                records.advance(now_ms);
                for kept in kept {
                    records.keep(kept);
                }
                names.iter().for_each(|(name, record)| records.put_name(name, record));
            }
        }
    }

    /// What the node asks.
    pub(super) fn look_up(&mut self, which: Which, lookup: Lookup) {
        if let Lookup::Announce { peer, addresses, keys, reply } = lookup {
            self.announce(which, peer, addresses, &keys, reply);
            return;
        }
        // Dropping what an answer would go to says that there is none.
        if self.routing.queries.len() >= MAX_LOOKUPS {
            return;
        }
        let Some(kad) = self.swarm.behaviour_mut().kad(which) else { return };
        let (id, query) = match lookup {
            Lookup::Providers { key, limit, found } => {
                let id = kad.get_providers(RecordKey::from(key.to_bytes()));
                (id, Query::Providers { found, left: limit, seen: HashSet::new() })
            }
            Lookup::Peer { peer, reply } => (kad.get_closest_peers(peer), Query::Peer { peer, reply }),
            Lookup::Nearest { key, reply } => (kad.get_closest_peers(key), Query::Nearest { reply }),
            Lookup::Names { name, found } => {
                (kad.get_record(RecordKey::from(name.routing_key())), Query::Names { found })
            }
            Lookup::PutName { name, record, reply } => {
                kad.store_mut().put_name(&name, &record);
                let record = Record::new(name.routing_key(), record.bytes.to_vec());
                match kad.put_record(record, Quorum::One) {
                    Ok(id) => (id, Query::Put { reply }),
                    // A newer one is held: then it is that one's turn.
                    Err(_) => return,
                }
            }
            Lookup::Announce { .. } => return,
        };
        self.routing.queries.insert((which, id), query);
    }

    fn announce(
        &mut self,
        which: Which,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        keys: &[cid::multihash::Multihash<64>],
        reply: oneshot::Sender<bool>,
    ) {
        let own = wire_addresses(self.external.iter().chain(&self.listen));
        let local = self.secret.local;
        let id = self.next_id();
        let behaviour = self.swarm.behaviour_mut();
        let Some(protocol) = behaviour.kad(which).and_then(|kad| kad.protocol_names().first().cloned()) else { return };
        let keys: Vec<Vec<u8>> = keys.iter().map(cid::multihash::Multihash::to_bytes).collect();
        let messages = add_providers(keys.iter().map(Vec::as_slice), &local, &own);
        if behaviour.announce(peer, addresses, Announcement { id, protocol, messages }) {
            self.routing.announcements.insert(id, reply);
        }
    }

    pub(super) fn announced(&mut self, announced: Announced) {
        if let Some(reply) = self.routing.announcements.remove(&announced.id) {
            // Whoever asked may have gone.
            let _ = reply.send(announced.sent);
        }
    }

    /// A DHT reports.
    pub(super) fn dht_event(&mut self, which: Which, event: kad::Event) {
        match event {
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => {
                self.progressed(which, id, result, step.last);
            }
            kad::Event::InboundRequest { request } => self.asked_of(which, request),
            _ => {}
        }
    }

    fn progressed(&mut self, which: Which, id: QueryId, result: QueryResult, last: bool) {
        let Some(mut query) = self.routing.queries.remove(&(which, id)) else {
            if which == Which::Network {
                self.members_found(result);
            }
            return;
        };
        let local = self.secret.local;
        match (&mut query, result) {
            (
                Query::Providers { found: sender, left, seen },
                QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { key, providers })),
            ) => {
                for peer in providers.into_iter().filter(|peer| *peer != local) {
                    if *left == 0 || !seen.insert(peer) {
                        continue;
                    }
                    let Some(kad) = self.swarm.behaviour_mut().kad(which) else { break };
                    // One that takes nothing loses what does not fit.
                    if sender.try_send(found(&peer, places(kad, &key, &peer))).is_ok() {
                        *left -= 1;
                    }
                }
            }
            (Query::Names { found }, QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(answer))))
                if answer.record.value.len() <= MAX_IPNS_RECORD_BYTES =>
            {
                let _ = found.try_send(answer.record.value.into());
            }
            (Query::Peer { .. } | Query::Nearest { .. }, QueryResult::GetClosestPeers(result)) => {
                self.closest(which, query, result);
                return;
            }
            (Query::Put { .. }, QueryResult::PutRecord(result)) => {
                if let Query::Put { reply } = query {
                    let _ = reply.send(result.is_ok());
                }
                return;
            }
            _ => {}
        }
        if last {
            return;
        }
        if query.is_moot() {
            self.finish(which, id);
        } else {
            self.routing.queries.insert((which, id), query);
        }
    }

    /// The peers nearest to something were found.
    fn closest(&mut self, which: Which, query: Query, result: kad::GetClosestPeersResult) {
        let (peers, whole) = match result {
            Ok(nearest) => (nearest.peers, true),
            Err(kad::GetClosestPeersError::Timeout { peers, .. }) => (peers, false),
        };
        match query {
            Query::Nearest { reply } => {
                // Those that were found until a timeout need not be the nearest.
                let peers = peers.into_iter().filter(|near| near.peer_id != self.secret.local);
                let _ = reply.send(whole.then(|| peers.map(|near| found(&near.peer_id, near.addrs)).collect()));
            }
            Query::Peer { peer, reply } => {
                let near = peers.into_iter().find(|near| near.peer_id == peer);
                let mut addresses = near.map(|near| near.addrs).unwrap_or_default();
                if let Some(kad) = self.swarm.behaviour_mut().kad(which) {
                    addresses.extend(addresses_of(kad, &peer));
                }
                let _ = reply.send(Some(found(&peer, addresses)).filter(|found| !found.addresses.is_empty()));
            }
            _ => {}
        }
    }

    fn finish(&mut self, which: Which, id: QueryId) {
        if let Some(kad) = self.swarm.behaviour_mut().kad(which)
            && let Some(mut query) = kad.query_mut(&id)
        {
            query.finish();
        }
    }

    /// The routing table of the network found where members are.
    fn members_found(&mut self, result: QueryResult) {
        let QueryResult::GetClosestPeers(result) = result else { return };
        let peers = match result {
            Ok(found) => found.peers,
            Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
        };
        for found in peers {
            let known = self.engine.peers().iter().any(|view| view.id.0 == found.peer_id.to_base58());
            if known && !self.sessions.contains_key(&found.peer_id) {
                for address in found.addrs.into_iter().take(MAX_MEMBER_ADDRESSES) {
                    self.addresses.add(found.peer_id, address);
                }
            }
        }
    }

    /// Others want something kept.
    fn asked_of(&mut self, which: Which, request: kad::InboundRequest) {
        match request {
            kad::InboundRequest::AddProvider { record: Some(record) } => {
                let Some(kad) = self.swarm.behaviour_mut().kad(which) else { return };
                if let Some(kept) = kad.store_mut().provided_by(record) {
                    self.routing.log(which).note(kept);
                }
            }
            kad::InboundRequest::PutRecord { record: Some(record), .. } => {
                let Some(name) = IpnsName::from_routing_key(record.key.as_ref()) else { return };
                // The sender puts it at nineteen others.
                if record.value.len() <= MAX_IPNS_RECORD_BYTES && self.routing.checking < MAX_NAME_CHECKS {
                    self.routing.checking += 1;
                    self.spawn_name(name, record.value.into());
                }
            }
            _ => {}
        }
    }

    /// A record of a name was checked, and is kept if it was good.
    pub(super) fn name_checked(&mut self, name: &IpnsName, record: Option<&NameRecord>) {
        self.routing.checking = self.routing.checking.saturating_sub(1);
        let Some(record) = record else { return };
        for which in Which::ALL {
            if let Some(kad) = self.swarm.behaviour_mut().kad(which) {
                kad.store_mut().put_name(name, record);
            }
        }
    }

    /// Ends queries that nobody waits for, lets go of what is over, and writes rows.
    pub(super) fn tend_routing(&mut self, now_ms: u64) {
        let moot: Vec<(Which, QueryId)> =
            self.routing.queries.iter().filter(|(_, query)| query.is_moot()).map(|(id, _)| *id).collect();
        for (which, id) in moot {
            self.routing.queries.remove(&(which, id));
            self.finish(which, id);
        }
        let wall_ms = self.clock.now_ms();
        for which in Which::ALL {
            if let Some(kad) = self.swarm.behaviour_mut().kad(which) {
                kad.store_mut().advance(wall_ms);
                crate::metrics::provider_records(which.name(), kad.store_mut().len());
            }
        }
        if now_ms >= self.routing.next_log_ms {
            self.routing.next_log_ms = now_ms + LOG_INTERVAL_MS;
            self.write_routing();
        }
    }

    /// Writes what came since the last row.
    pub(super) fn write_routing(&mut self) {
        let wall_ms = self.clock.now_ms();
        for which in Which::ALL {
            for (key, value) in self.routing.log(which).flush(wall_ms) {
                self.save(key, value);
            }
        }
    }
}

/// Addresses of a peer that a DHT knows: of its table, and of queries under way.
fn addresses_of(kad: &mut Kad, peer: &PeerId) -> Vec<Multiaddr> {
    use libp2p::swarm::{ConnectionId, NetworkBehaviour};
    // It keeps no account of connections that are asked about; the number stands for none.
    let nobody = ConnectionId::new_unchecked(usize::MAX);
    let known = kad.handle_pending_outbound_connection(nobody, Some(*peer), &[], libp2p::core::Endpoint::Dialer);
    known.unwrap_or_default()
}

/// Addresses of a provider: those that came with its record, here or elsewhere.
fn places(kad: &mut Kad, key: &RecordKey, peer: &PeerId) -> Vec<Multiaddr> {
    use libp2p::kad::store::RecordStore;
    let held = kad.store_mut().providers(key).into_iter().find(|record| record.provider == *peer);
    let mut places = held.map(|record| record.addresses).unwrap_or_default();
    places.extend(addresses_of(kad, peer));
    places
}
