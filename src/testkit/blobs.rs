//! The real block store, in a folder that goes when it does: directories, archives and paths have no fake.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cid::{Cid, multihash::Multihash};
use futures::stream::BoxStream;
use rustdht_blobs::{Config, Store};
use rustdht_core::ports::{
    AddOptions, Added, BlobError, BlobStat, BlobStore, BlobUsage, BoxByteStream, CarImported, CarOptions,
    CollectOptions, Collected, DagEntry, DagStore, Fetch, Hold, PathError, Resolved, RootSource, TreeItem,
};

/// A block store that is removed when it is dropped.
#[derive(Debug)]
pub struct TempBlobs {
    store: Store,
    // Behind the store: its threads end before the folder goes.
    _dir: tempfile::TempDir,
}

impl Default for TempBlobs {
    /// Opens it: in memory where there is such a folder, since flushes are not what is tested.
    ///
    /// # Panics
    /// When no folder for it can be made.
    #[expect(clippy::unwrap_used, reason = "a test without a folder fails")]
    fn default() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { store: Store::open(Config::new(dir.path())).unwrap(), _dir: dir }
    }
}

impl TempBlobs {
    /// The store itself.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }
}

#[async_trait]
impl BlobStore for TempBlobs {
    async fn add(&self, body: BoxByteStream, options: AddOptions) -> Result<Added, BlobError> {
        self.store.add(body, options).await
    }

    async fn stat(&self, cid: &Cid) -> Result<BlobStat, BlobError> {
        self.store.stat(cid).await
    }

    async fn read(&self, cid: &Cid, range: Range<u64>) -> Result<BoxByteStream, BlobError> {
        self.store.read(cid, range).await
    }

    async fn block(&self, cid: &Cid) -> Result<Option<Bytes>, BlobError> {
        self.store.block(cid).await
    }

    async fn put_block(&self, cid: &Cid, bytes: Bytes) -> Result<(), BlobError> {
        self.store.put_block(cid, bytes).await
    }

    async fn by_digest(&self, sha256: &[u8; 32]) -> Result<Option<Cid>, BlobError> {
        self.store.by_digest(sha256).await
    }

    async fn has(&self, cid: &Cid) -> Result<bool, BlobError> {
        self.store.has(cid).await
    }

    async fn block_size(&self, cid: &Cid) -> Result<Option<u64>, BlobError> {
        self.store.block_size(cid).await
    }

    fn multihashes(&self) -> BoxStream<'static, Result<Vec<Multihash<64>>, BlobError>> {
        self.store.multihashes()
    }

    async fn totals(&self) -> (u64, u64) {
        self.store.totals().await
    }

    fn hold(&self) -> Hold {
        self.store.hold()
    }

    async fn flush(&self) -> Result<(), BlobError> {
        self.store.flush().await
    }

    async fn collect(&self, roots: Arc<dyn RootSource>, options: CollectOptions) -> Result<Collected, BlobError> {
        self.store.collect(roots, options).await
    }

    async fn usage(&self) -> Result<BlobUsage, BlobError> {
        self.store.usage().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[async_trait]
impl DagStore for TempBlobs {
    async fn resolve(&self, root: &Cid, path: &[String], fetch: Fetch) -> Result<Resolved, PathError> {
        self.store.resolve(root, path, fetch).await
    }

    async fn symlink(&self, cid: &Cid) -> Result<String, BlobError> {
        self.store.symlink(cid).await
    }

    async fn entries(&self, directory: &Cid) -> Result<BoxStream<'static, Result<DagEntry, BlobError>>, BlobError> {
        self.store.entries(directory).await
    }

    async fn car(&self, root: &Cid, path: &[String], options: CarOptions) -> Result<BoxByteStream, PathError> {
        self.store.car(root, path, options).await
    }

    async fn tar(&self, cid: &Cid, name: String) -> Result<BoxByteStream, BlobError> {
        self.store.tar(cid, name).await
    }

    async fn import_car(&self, body: BoxByteStream) -> Result<CarImported, BlobError> {
        self.store.import_car(body).await
    }

    async fn add_tree(
        &self,
        items: BoxStream<'static, Result<TreeItem, BlobError>>,
        options: AddOptions,
    ) -> Result<Added, BlobError> {
        self.store.add_tree(items, options).await
    }
}
