//! The bounds and intervals of the swarm.

use std::time::Duration;

/// Commands that wait for the service. A full queue makes callers wait, not grow.
pub const MAX_COMMANDS: usize = 512;
/// How long both sides have to prove the network key.
pub const HELLO_TIMEOUT_MS: u64 = 10_000;
/// How long a peer that failed `hello` or broke the protocol is refused.
pub const BAN_MS: u64 = 10 * 60_000;
/// How long the address of a peer of another network is left alone.
pub const AVOID_MS: u64 = 5 * 60_000;
/// Peers banned or avoided at a time; the one that ends first makes room.
pub const MAX_SHUNNED: usize = 1024;
/// Pauses between attempts to reach a member; the last one repeats. A quarter of jitter comes on top.
pub const REDIAL_MS: [u64; 5] = [250, 1_000, 2_000, 5_000, 10_000];
/// Peers whose addresses are known.
pub const MAX_BOOK: usize = 2048;
/// Dials under way that the service began.
pub const MAX_DIALS: usize = 16;
/// Those of them that may go to replicas that count no longer.
pub const MAX_RETIRED_DIALS: usize = 4;
/// Index entries read at a time on start.
pub const INDEX_PAGE: u32 = 10_000;
/// Requests without answer from this side, all peers together.
pub const MAX_INBOUND: usize = 1024;
/// Requests of a peer that proved itself but has not yet heard that we are satisfied too.
pub const MAX_EARLY: usize = 32;
/// Gossiped messages waiting for their verdict.
pub const MAX_GOSSIP_WAITING: usize = 128;
/// Events of a peer that has not proved itself, kept for when it has: one announces the protocol and one the
/// subscription. None is larger than a gossiped message, so a stranger makes this side keep about a MiB.
pub const MAX_GATED_EVENTS: usize = 16;
/// How often the engine is told the time.
pub const TICK: Duration = Duration::from_millis(100);
/// How often peers are pinged, and how long one may take.
pub const PING_INTERVAL: Duration = Duration::from_secs(5);
/// After this a silent connection is closed.
pub const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may take, transfer included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the routing table is asked where unconnected members are.
pub const LOOKUP_INTERVAL_MS: u64 = 30_000;
/// How long a graceful stop waits for what is under way.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a graceful stop waits for connections to close.
pub const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the listeners may take to say where they listen.
pub const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests in both directions of one connection and protocol at a time, where a request is small.
pub const MAX_STREAMS: usize = 128;
/// Likewise, where a request may be large: as many as the engine works on for one peer.
pub const MAX_LARGE_STREAMS: usize = rustdht_dht::limits::MAX_SERVED;
/// Pause before the rows and the index are read again after the store failed.
pub const RELOAD: Duration = Duration::from_secs(1);
/// How long one member may take to issue a certificate.
pub const CERTIFY_TIMEOUT: Duration = Duration::from_secs(5);
/// Members asked for a certificate, one after the other.
pub const CERTIFY_PEERS: usize = 3;
/// Requests for a certificate of this gateway under way; it has one key and needs one.
pub const MAX_CERTIFY_ASKS: usize = 8;
/// Certificates being issued to peers at a time: each is a signature and a write.
pub const MAX_CERTIFY_SERVED: usize = 8;
/// What one request for a certificate costs a peer: one in ten seconds.
pub const CERTIFY_REQUEST_US: u64 = 10_000_000;
/// How far ahead of that a peer may be: three at once.
pub const CERTIFY_WINDOW_US: u64 = 3 * CERTIFY_REQUEST_US;
/// Peers whose requests for certificates are paced at a time; those of further ones are refused.
pub const MAX_CERTIFY_PACES: usize = 1024;
/// Live messages of one source in a second: ten editors that type and move their cursors at once.
pub const LIVE_MESSAGES_PER_SECOND: u64 = 200;
/// Bytes of live messages of one source in a second.
pub const LIVE_BYTES_PER_SECOND: u64 = 1024 * 1024;
/// How far ahead of its pace a source may be: what it may send in a second, at once.
pub const LIVE_BURST_US: u64 = 1_000_000;
/// Sources whose live messages are paced at a time.
pub const MAX_LIVE_SOURCES: usize = rustdht_dht::limits::MAX_MEMBERS;
/// Live messages that wait for the node, all sources together.
pub const MAX_LIVE_WAITING: usize = 1024;
/// Bytes of live messages that wait for the node.
pub const MAX_LIVE_WAITING_BYTES: usize = 8 * 1024 * 1024;
/// Live messages of one source that wait for the node.
pub const MAX_LIVE_WAITING_OF_ONE: usize = 64;
/// How long the node may take to hear a live message; afterwards it is of no use to anybody.
pub const LIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Peers at a time that speak IPFS and do not belong to the network; the one that did least for longest makes room.
pub const MAX_GUESTS: usize = 256;
/// After this a connection that nothing uses and nobody keeps is closed: those of lookups, mostly.
pub const GUEST_IDLE: Duration = Duration::from_secs(30);
/// Provider records of others in one DHT, in memory: some 200 bytes each. Kubo's servers of the public DHT hold several
/// hundred thousand.
pub const MAX_PROVIDER_RECORDS: usize = 200_000;
/// Provider records of one key; a lookup asks for twenty.
pub const MAX_KEY_PROVIDERS: usize = 64;
/// How long a provider record lasts, in milliseconds (libp2p Kademlia DHT specification: 48 hours).
pub const PROVIDER_RECORD_MS: u64 = 48 * 3_600_000;
/// Bytes of records of names from which one DHT is answered.
pub const MAX_NAME_BYTES_KEPT: usize = 16 * 1024 * 1024;
/// Provider records in one row of the store: what comes in a minute.
pub const MAX_LOG_ROW_RECORDS: usize = 8192;
/// Bytes of all such rows of one DHT.
pub const MAX_LOG_BYTES: usize = 64 * 1024 * 1024;
/// How often such a row is written.
pub const LOG_INTERVAL_MS: u64 = 60_000;
/// Queries of both DHTs that the node asked for, at a time.
pub const MAX_LOOKUPS: usize = 256;
/// Records of names from strangers that are being checked at a time; further ones are passed over.
pub const MAX_NAME_CHECKS: usize = 32;
/// Lookups of providers for blocks that nobody connected has, at a time.
pub const MAX_PROVIDER_LOOKUPS: usize = 16;
/// Providers that are dialled for one such block.
pub const MAX_FETCH_PROVIDERS: usize = 10;
/// How long such a lookup may take.
pub const PROVIDER_LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a block may take that somebody may have.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
/// How long those who are connected may take to say whether they have a block, when no provider is known.
pub const FETCH_PATIENCE: Duration = Duration::from_secs(5);
/// How long a peer may take to be given provider records.
pub const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(15);
/// Batches of provider records under way to peers, all together.
pub const MAX_ANNOUNCEMENTS: usize = 256;
/// Keys in one batch: about 100 KiB with a dozen addresses in each record.
pub const ANNOUNCE_KEYS: usize = 256;
/// Peers that one announcement speaks to at a time.
pub const ANNOUNCE_PARALLEL: usize = 16;
