//! Blocks by CID, from the disk or from the source.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cid::Cid;
use rustdht_core::ports::{BlobError, BlockSource, Fetch};

use crate::{
    digest::{Digest, Place, hashes_to, verify},
    holds::Holds,
    metrics,
    node::Node,
    shelf::{Found, Shelf},
    writer::{Ticket, Writer},
};

/// Reads blocks here or elsewhere, and writes them here.
pub(crate) struct Blocks {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) holds: Arc<Holds>,
    /// Of one read: begun with the first block that is not here.
    session: Option<OnceLock<Arc<dyn BlockSource>>>,
}

impl Blocks {
    pub(crate) fn new(shelf: Arc<Shelf>, writer: Writer) -> Self {
        Self { shelf, writer: Arc::new(writer), holds: Arc::default(), session: None }
    }

    /// The same blocks, for a read of one DAG: those that are missing are asked for in one session.
    pub(crate) fn of_one_dag(&self) -> Arc<Self> {
        let (shelf, writer, holds) = (Arc::clone(&self.shelf), Arc::clone(&self.writer), Arc::clone(&self.holds));
        Arc::new(Self { shelf, writer, holds, session: Some(OnceLock::new()) })
    }

    /// Where to ask for a block that is not here.
    fn source(&self) -> Option<&Arc<dyn BlockSource>> {
        let source = self.shelf.source.get()?;
        let begin = || source.session().unwrap_or_else(|| Arc::clone(source));
        Some(self.session.as_ref().map_or(source, |session| session.get_or_init(begin)))
    }

    /// A block that is here.
    pub(crate) async fn here(&self, cid: &Cid) -> Result<Option<Bytes>, BlobError> {
        let digest = match Place::of(cid) {
            Place::Inline(block) => return Ok(Some(block)),
            Place::Unknown => return Err(BlobError::UnknownHash(*cid)),
            Place::Stored(digest) => digest,
        };
        if let Some(block) = self.shelf.arriving.get(&digest) {
            return Ok(Some(block));
        }
        match self.shelf.read(digest).await? {
            Found::Whole(block) if digest.is_shortened() && !hashes_to(cid, &block) => Ok(None),
            Found::Whole(block) => Ok(Some(block)),
            Found::Damaged => Err(BlobError::BadBlock(*cid)),
            Found::Nothing => Ok(None),
        }
    }

    /// A block, from the source when it is not here or its record is damaged. What comes from the source is kept.
    pub(crate) async fn load(&self, cid: &Cid, fetch: Fetch) -> Result<Bytes, BlobError> {
        let failure = match self.here(cid).await {
            Ok(Some(block)) => return Ok(block),
            Ok(None) => BlobError::Missing(*cid),
            Err(damaged @ BlobError::BadBlock(_)) => damaged,
            Err(other) => return Err(other),
        };
        let (Place::Stored(digest), Fetch::Allowed) = (Place::of(cid), fetch) else { return Err(failure) };
        let block = self.fetched(cid).await?.ok_or(failure)?;
        self.land(digest, &block).await?;
        Ok(block)
    }

    /// A block from the source, checked; `None`: nobody has it.
    async fn fetched(&self, cid: &Cid) -> Result<Option<Bytes>, BlobError> {
        let Some(source) = self.source() else { return Ok(None) };
        let Some(block) = source.fetch_block(cid).await else { return Ok(None) };
        verify(cid, &block).await?;
        metrics::fetched();
        Ok(Some(block))
    }

    /// Keeps a block that came from the source. Not flushed: what came from a peer can be fetched again, and a read does not
    /// wait for the disk.
    async fn land(&self, digest: Digest, block: &Bytes) -> Result<(), BlobError> {
        let landing = self.shelf.arriving.begin(digest, block.clone());
        self.writer.append(digest, block.clone(), &Ticket::default()).await?;
        landing.handed_over();
        Ok(())
    }

    /// A block from the source, in the place of a record that cannot be read, durable when this returns; `None`: nobody
    /// has it.
    pub(crate) async fn mend(&self, cid: &Cid) -> Result<Option<Bytes>, BlobError> {
        let Place::Stored(digest) = Place::of(cid) else { return Ok(None) };
        let Some(block) = self.fetched(cid).await? else { return Ok(None) };
        let ticket = Ticket::default();
        self.writer.append(digest, block.clone(), &ticket).await?;
        self.writer.flush(&ticket).await?;
        Ok(Some(block))
    }

    /// A block, read as a part of a file.
    pub(crate) async fn node(&self, cid: &Cid) -> Result<Node, BlobError> {
        let block = self.load(cid, Fetch::Allowed).await?;
        Node::parse(cid, &block).map_err(BlobError::NotAFile)
    }

    /// Appends a block that was given this CID here, or checked against it.
    pub(crate) async fn append(&self, cid: &Cid, block: Bytes, ticket: &Ticket) -> Result<(), BlobError> {
        match Place::of(cid) {
            Place::Inline(_) => Ok(()),
            Place::Unknown => Err(BlobError::UnknownHash(*cid)),
            Place::Stored(digest) => Ok(self.writer.append(digest, block, ticket).await?),
        }
    }

    /// Notes which root the file with this sha2-256 has.
    pub(crate) async fn note_file(&self, sha256: [u8; 32], root: &Cid, ticket: &Ticket) -> Result<(), BlobError> {
        Ok(self.writer.append(Digest::whole_file(sha256), root.to_bytes().into(), ticket).await?)
    }

    /// The root of a file, by its sha2-256.
    pub(crate) async fn by_digest(&self, sha256: &[u8; 32]) -> Result<Option<Cid>, BlobError> {
        // A file of one chunk is its own block.
        if self.shelf.index.get(&Digest::sha2(*sha256)).is_some() {
            return Ok(Some(crate::digest::sha2_cid(crate::node::RAW, sha256)));
        }
        match self.shelf.read(Digest::whole_file(*sha256)).await? {
            Found::Whole(root) => Ok(Cid::try_from(&root[..]).ok()),
            Found::Damaged | Found::Nothing => Ok(None),
        }
    }
}
