//! The port of DAGs, by the parts of this crate.

use async_trait::async_trait;
use cid::Cid;
use futures::stream::BoxStream;
use rustdht_core::ports::{
    AddOptions, Added, BlobError, BlobStore as _, BoxByteStream, CarImported, CarOptions, DagEntry, DagStore, Fetch,
    PathError, Resolved, TreeItem,
};

use crate::{
    Store, car, directory, resolve, tar, tree,
    view::{View, Viewed},
};

#[async_trait]
impl DagStore for Store {
    async fn resolve(&self, root: &Cid, path: &[String], fetch: Fetch) -> Result<Resolved, PathError> {
        resolve::resolve(&self.blocks.of_one_dag(), root, path, fetch).await
    }

    async fn symlink(&self, cid: &Cid) -> Result<String, BlobError> {
        let block = self.blocks.load(cid, Fetch::Allowed).await?;
        let View::Symlink(target) = Viewed::of(cid, &block)?.view else {
            return Err(BlobError::NotAFile(format!("block {cid} is no symbolic link")));
        };
        Ok(String::from_utf8_lossy(&target).into_owned())
    }

    async fn entries(&self, directory: &Cid) -> Result<BoxStream<'static, Result<DagEntry, BlobError>>, BlobError> {
        directory::entries(&self.blocks.of_one_dag(), directory).await
    }

    async fn car(&self, root: &Cid, path: &[String], options: CarOptions) -> Result<BoxByteStream, PathError> {
        car::export(self.blocks.of_one_dag(), root, path, options).await
    }

    async fn tar(&self, cid: &Cid, name: String) -> Result<BoxByteStream, BlobError> {
        tar::tar(self.blocks.of_one_dag(), cid, name).await
    }

    async fn import_car(&self, body: BoxByteStream) -> Result<CarImported, BlobError> {
        let _turn = self.adds.acquire().await.map_err(std::io::Error::other)?;
        let _hold = self.hold();
        car::import(&self.blocks, body).await
    }

    async fn add_tree(
        &self,
        items: BoxStream<'static, Result<TreeItem, BlobError>>,
        options: AddOptions,
    ) -> Result<Added, BlobError> {
        let _turn = self.adds.acquire().await.map_err(std::io::Error::other)?;
        let _hold = self.hold();
        tree::add(&self.blocks, items, options).await
    }
}
