//! Blobs as CIDs: a block store on disk, and files, directories and archives over it.
//!
//! ```text
//!   add, tree, car import ---> dag (chunks, hashes) ---> writer ---> packs/00000000.pack, .idx
//!                                                          |               ^
//!                                                        syncer (flush)    | pread, or objects of a bucket
//!   read --> walk (seeks, reads ahead) ------------------------------> shelf (index in memory)
//!   resolve, entries, tar, car export --'--- what is not here ---> BlockSource, bound late
//! ```
//!
//! - A block is kept once, under its multihash, in an append-only pack. An add answers after a flush that covers its
//!   last block; adds that end together share that flush.
//! - After a kill at any point the packs are read back: what was acknowledged is whole, a torn end is cut off.
//! - Every record has a checksum that is compared when it is read. A damaged block counts as missing, and is fetched.
//! - A file is a UnixFS DAG, made by `rust-unixfs` with the profiles of IPIP-499, read by a reader of our own. Directories
//!   are made here: their roots are those of Kubo, and so is where they begin to be sharded.
//! - The SHA-256 of a whole file leads to its root, whatever its blocks are hashed with.
//! - An upload in parts survives a kill: its chunks are blocks as they come, and a journal knows them (`uploads`).
//! - Images have previews, decoded within bounds (`preview`).
//! - Blocks that nothing keeps are removed while reads and adds go on (`gc`).
//! - Whatever a DAG or an archive of a stranger claims, it costs memory by named bounds only, and an archive or listing
//!   that contradicts itself ends in an error that says where.
//!
//! Deliberately unknown here: HTTP, the network (a [`BlockSource`](rustdht_core::ports::BlockSource) stands for it),
//! and who references a blob and for how long: a [`RootSource`](rustdht_core::ports::RootSource) tells.
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use futures::{StreamExt, TryStreamExt, stream};
//! use rustdht_blobs::{Config, Store};
//! use rustdht_core::ports::{AddOptions, BlobStore};
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let store = Store::open(Config::new(dir))?;
//! let body = stream::iter([Ok("hello ".into()), Ok("world".into())]).boxed();
//! let added = store.add(body, AddOptions::default()).await?;
//! assert_eq!(added.cid.to_string(), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
//! let pieces: Vec<_> = store.read(&added.cid, 6..11).await?.try_collect().await?;
//! assert_eq!(pieces.concat(), b"world");
//! store.close().await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod add;
mod ahead;
mod arriving;
mod blocks;
mod bucket;
mod car;
mod config;
mod dag;
mod dagpb;
mod dags;
mod damage;
mod digest;
mod directory;
mod error;
mod fence;
mod folder;
mod gc;
mod hamt;
mod hashing;
mod holds;
mod index;
mod metrics;
mod names;
mod node;
mod pack;
mod preview;
mod protobuf;
mod recovery;
mod resolve;
mod shelf;
mod store;
mod syncer;
mod tar;
mod tree;
mod unixfs;
mod uploads;
mod value;
mod view;
mod walk;
mod writer;

pub use config::{Config, UploadBounds};
pub use error::Error;
pub use names::IpnsRecords;
pub use preview::Previewer;
pub use store::Store;
