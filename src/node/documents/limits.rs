//! Bounds of open documents.

use std::time::Duration;

/// Documents open at once.
pub(crate) const MAX_ROOMS: usize = 512;
/// Editors in one document: each change goes to all of them.
pub(crate) const MAX_EDITORS: usize = 256;
/// One in so many rooms, and places in one, is kept for callers who said who they are.
pub(crate) const KEPT_FROM_ANYBODY: usize = 2;
/// Bytes of updates that all open documents hold together, counted as they are stored.
pub(crate) const MAX_OPEN_BYTES: usize = 256 << 20;
/// What a struct of an update takes beside its bytes, about; five bytes can be one.
pub(crate) const STRUCT_BYTES: usize = 48;
/// Bytes of updates of one document; more belongs into blobs.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 64 << 20;
/// A frame of a client: an editor that comes back with this much offline work is still taken in.
pub const MAX_FRAME_BYTES: usize = 4 << 20;
/// Frames on their way to the rooms, all together in bytes; further ones wait in their sockets.
pub(crate) const MAX_INBOUND_BYTES: usize = 32 << 20;
/// Messages that wait for one room.
pub(crate) const MAILBOX: usize = 256;
/// Frames that wait for one editor; one that is slower is closed.
pub(crate) const OUTBOX_FRAMES: usize = 512;
/// Bytes that wait for one editor. A single greater frame (a whole document) may wait alone.
pub(crate) const OUTBOX_BYTES: usize = 4 << 20;
/// Echoes tell an editor that its change is durable; greater changes are not sent back.
pub(crate) const MAX_ECHO_BYTES: usize = 64 << 10;
/// Keystrokes wait at most this long to be signed...
pub(crate) const SIGN_AFTER_MS: u64 = 800;
/// ... or until they are this many bytes.
pub(crate) const SIGN_BYTES: usize = 32 << 10;
/// A signed value, with room for what encodes it (the format's bound is 64 KiB).
pub(crate) const MAX_UPDATE_BYTES: usize = (64 << 10) - 64;
/// The same in a private node: ciphertext is up to 71 bytes longer than the value in it.
pub(crate) const MAX_SEALED_UPDATE_BYTES: usize = rustdht_graph::yjs::MAX_SEALED_BYTES;
/// After a failure signing is tried again, at first after this long, later after up to [`RETRY_MOST_MS`].
pub(crate) const RETRY_FIRST_MS: u64 = 250;
/// The longest pause between two attempts to sign.
pub(crate) const RETRY_MOST_MS: u64 = 10_000;
/// A room without editors gives up to sign after this many failures; what is journalled is signed at the next start.
pub(crate) const EMPTY_ROOM_FAILURES: u32 = 5;
/// Keystrokes of one message to other gateways (dht.md).
pub(crate) const MAX_PREVIEW_BYTES: usize = 32 << 10;
/// Awareness of one message to other gateways (dht.md).
pub(crate) const MAX_AWARENESS_BYTES: usize = 4 << 10;
/// Previews of one room that wait for their signed form; further ones are dropped, their signed form follows.
pub(crate) const MAX_PREVIEWS: usize = 1024;
/// Bytes of them.
pub(crate) const MAX_PREVIEWS_BYTES: usize = 4 << 20;
/// A preview that an editor here built on and that is not signed for this long is signed here.
pub(crate) const ADOPT_AFTER_MS: u64 = 30_000;
/// Messages a second to other gateways, of all rooms together; below what a member takes from one source.
pub(crate) const BROADCASTS_PER_SECOND: u64 = 150;
/// Those of them that carry awareness: who only moves a cursor must not hold up what others type.
pub(crate) const AWARENESS_PER_SECOND: u64 = 100;
/// Awareness states of one document, and the clients that are remembered after they left.
pub(crate) const MAX_STATES: usize = 512;
/// One awareness state as JSON.
pub(crate) const MAX_STATE_BYTES: usize = 3 << 10;
/// An awareness state that is not renewed ends (y-protocols).
pub(crate) const AWARENESS_TIMEOUT_MS: u64 = 30_000;
/// A client's clock number is remembered this long after its state ended, so that late messages do not bring it back.
pub(crate) const AWARENESS_MEMORY_MS: u64 = 120_000;
/// Pieces of knowledge about (client, clock) pairs of one document: ranges by client. An honest document has a few for
/// each client that ever edited it.
pub(crate) const MAX_RANGES: usize = 1 << 20;
/// Rows of the journal of one document that are read when it opens.
pub(crate) const MAX_ROWS: u32 = 100_000;
/// Rows of the journal that are looked through at a time after a start.
pub(crate) const LEFT_OVER_PAGE: u32 = 1024;
/// How often an idle room looks at its timers.
pub(crate) const TICK: Duration = Duration::from_secs(5);
/// The shortest pause between two looks at the timers.
pub(crate) const TICK_LEAST: Duration = Duration::from_millis(10);
/// Frames of one room that are written to the journal together.
pub(crate) const BATCH_FRAMES: usize = 128;
