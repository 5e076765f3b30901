//! Every bound on what a client can make this gateway do.

use std::time::Duration;

/// Connections open at once; further ones wait in the listen queue. Leaves room for the files of the stores and the
/// sockets of the swarm below the usual 1,024 descriptors of a process.
pub const MAX_CONNECTIONS: usize = 640;
/// Connections open at once from one address (of IPv6, one /64); further ones are closed. Loopback is not counted: a
/// proxy there speaks for everybody. Less than half of all, so that one address leaves room for others.
pub const MAX_CONNECTIONS_PER_ADDRESS: u32 = 256;
/// Head of a request, and pieces of its body read ahead.
pub const MAX_HEAD_BYTES: usize = 128 * 1024;
/// A JSON body of a node or commit, and a signed commit.
pub const MAX_JSON_BODY_BYTES: usize = 1024 * 1024;
/// A JSON body about accounts, tokens, certificates, recipients, peers; a schema has the bound of the node.
pub const MAX_SMALL_BODY_BYTES: usize = 128 * 1024;
/// What is read on and thrown away of a body that is too large: most clients look for an answer only when they have sent
/// the whole body, and take a closed connection for a fault of the network.
pub const MAX_DISCARDED_BYTES: usize = 16 * 1024 * 1024;
/// A line of an import.
pub const MAX_LINE_BYTES: usize = 2 * 1024 * 1024;
/// Imports running at once.
pub const MAX_IMPORTS: usize = 4;
/// Batches of one import in flight at once.
pub const MAX_BATCHES_IN_FLIGHT: usize = 4;
/// Nodes of one import batch.
pub const BATCH_NODES: usize = 256;
/// Bytes of lines after which a batch goes, however few nodes it holds.
pub const BATCH_BYTES: usize = 256 * 1024;
/// Editors of documents at once. Their sockets count beside [`MAX_CONNECTIONS`], since a connection is let go when it is upgraded.
pub const MAX_EDITORS: usize = 192;
/// Live watches at once.
pub const MAX_WATCHERS: usize = 256;
/// Blob uploads at once.
pub const MAX_UPLOADS: usize = 64;
/// Blob uploads of one account at once: a part of all, so that others have room whatever it does.
pub const MAX_UPLOADS_PER_ACCOUNT: usize = MAX_UPLOADS / 2;
/// A body with an `Upload-Checksum`: it is kept whole or not at all, so that its bytes lie aside until its end.
pub const MAX_CHECKED_BYTES: u64 = 64 * 1024 * 1024;
/// How long an upload in parts waits for its client, from the last byte that came.
pub const UPLOAD_EXPIRY: Duration = Duration::from_secs(24 * 3600);
/// Requests for content being answered at once; further ones are refused with 429. Leaves connections to the API.
pub const MAX_CONTENT_REQUESTS: usize = 512;
/// Private files being opened at once; further ones are refused with 429. Each holds a segment of 1 MiB, and another that is being
/// sent.
pub const MAX_PRIVATE_READS: usize = 64;
/// Entries shown of one directory; an archive holds them all.
pub const MAX_LISTED_ENTRIES: usize = 50_000;
/// A website's file of redirects (web redirects file specification, "Max File Size").
pub const MAX_REDIRECTS_BYTES: u64 = 64 * 1024;
/// Operations in one commit (the commit format's bound).
pub const MAX_OPERATIONS: usize = 1024;
/// Items of one page of a list.
pub const MAX_PAGE: usize = 1000;
/// Items of one page unless `?limit=` says otherwise.
pub const DEFAULT_PAGE: usize = 100;
/// Prefixes of one token: each is looked at with every soul.
pub const MAX_TOKEN_PREFIXES: usize = 32;
/// How long a login lasts.
pub const SESSION: Duration = Duration::from_secs(12 * 3600);
/// How long a token lasts unless it is said.
pub const DEFAULT_TOKEN: Duration = Duration::from_secs(90 * 24 * 3600);
/// The longest life of a token or certificate: ten years.
pub const MAX_LIFETIME: Duration = Duration::from_secs(3653 * 24 * 3600);
/// How long a certificate lasts unless it is said.
pub const DEFAULT_CERTIFICATE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Bytes of a password: fewer can be guessed, more only cost time.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 10..=1024;
/// Bytes of the note of a token.
pub const MAX_NOTE_BYTES: usize = 256;
/// Segments of one path, as the node follows them.
pub const MAX_PATH_SEGMENTS: usize = 32;
/// An entry of `If-Match` or `If-None-Match` beyond this many is refused.
pub const MAX_TAGS: usize = 64;
/// A whole small body arrives within this time.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection that begins no request for one to two times this long is closed, be it idle or slow with a head.
pub const IDLE: Duration = Duration::from_secs(60);
/// A connection whose peer takes none of what is sent for this long is closed.
pub const WRITE_STALL: Duration = Duration::from_secs(120);
/// The longest pause between two pieces of a streamed body, and how far one that trickles may fall behind
/// [`MIN_BODY_RATE`].
pub const BODY_IDLE: Duration = Duration::from_secs(120);
/// The slowest streamed body, in bytes per second: below what a modem does.
pub const MIN_BODY_RATE: u64 = 1024;
/// The longest `POST /api/v1/blobs` of an account. Until its end no collection removes what was used since its beginning, so this is how far
/// uploads make collections lag.
pub const MAX_ADD_TIME: Duration = Duration::from_secs(24 * 3600);
/// How long a write waits for the quorum unless `?wait=` says otherwise.
pub const DEFAULT_WAIT: Duration = Duration::from_millis(500);
/// The longest `?wait=`.
pub const MAX_WAIT: Duration = Duration::from_secs(30);
/// The silence after which a watch sends a comment, so that proxies keep it open.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The shortest time between two progress lines of an import.
pub const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// How long requests under way may take once the gateway stops.
pub const DRAIN: Duration = Duration::from_secs(3);
/// `now_ms` and then some, in milliseconds since the epoch.
pub(crate) fn after(now_ms: u64, time: Duration) -> u64 {
    now_ms.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Bytes looked at to tell the type of a file.
pub const SNIFF_BYTES: usize = 512;
/// How long a range that does not begin at 0 waits for the first bytes of the file, which only tell its type.
pub const SNIFF_WAIT: Duration = Duration::from_secs(1);
