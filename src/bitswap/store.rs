use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use libp2p_identity::PeerId;

/// Where the blocks come from that peers ask for.
///
/// The futures run in the task of the connection that asked. A store that blocks belongs behind a pool of threads
/// (`spawn_blocking`), else its disk holds up that connection. Blocks that were got from peers are not put into it: the
/// caller of [`Session::get`](crate::Session::get) keeps what it wants to keep.
#[async_trait]
pub trait Blockstore: Send + Sync + 'static {
    /// The block, if it is here. Its bytes are sent without being copied or hashed again.
    async fn get(&self, cid: &Cid) -> io::Result<Option<Bytes>>;

    /// Length of the block, if it is here.
    async fn size(&self, cid: &Cid) -> io::Result<Option<u64>>;

    /// Whether the block is here.
    async fn has(&self, cid: &Cid) -> io::Result<bool> {
        Ok(self.size(cid).await?.is_some())
    }
}

/// A store without blocks, for a node that only asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBlocks;

#[async_trait]
impl Blockstore for NoBlocks {
    async fn get(&self, _: &Cid) -> io::Result<Option<Bytes>> {
        Ok(None)
    }

    async fn size(&self, _: &Cid) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

/// Who is served, and what. Asked in the swarm's task for every want, so it must answer from memory.
///
/// Whatever is refused looks like a block that is not here: DONT_HAVE when the peer asked for that, else nothing.
pub trait Gate: Send + Sync + 'static {
    /// Whether this peer is served at all.
    fn peer(&self, _peer: &PeerId) -> bool {
        true
    }

    /// Whether this peer may have this block, such as by a denylist. Asked again before the block is read.
    fn block(&self, _peer: &PeerId, _cid: &Cid) -> bool {
        true
    }
}

/// Everybody is served everything; the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Gate for Open {}
