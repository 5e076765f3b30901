//! Blobs as CIDs: a block store on disk, and files over it.
//!
//! ```text
//!   add ---> dag (chunks, hashes) ---> writer ---> packs/00000000.pack, .idx
//!                                        |               ^
//!                                      syncer (flush)    | pread
//!   read --> walk (seeks, reads ahead) ----------------> shelf (index in memory)
//!              '--- what is not here ---> BlockSource, bound late
//! ```
//!
//! - A block is kept once, under its multihash, in an append-only pack. An add answers after a flush that covers its
//!   last block; adds that end together share that flush.
//! - After a kill at any point the packs are read back: what was acknowledged is whole, a torn end is cut off.
//! - Every record has a checksum that is compared when it is read. A damaged block counts as missing, and is fetched.
//! - A file is a UnixFS DAG, made by `rust-unixfs` with the profiles of IPIP-499, read by a reader of our own.
//!
//! Deliberately unknown here: HTTP, the network (a [`BlockSource`](rustdht_core::ports::BlockSource) stands for it),
//! who references a blob, and how long it is kept. Blocks are never deleted yet; those of an add that broke off stay
//! in their pack.
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
mod config;
mod dag;
mod digest;
mod error;
mod index;
mod metrics;
mod node;
mod pack;
mod protobuf;
mod recovery;
mod shelf;
mod store;
mod syncer;
mod walk;
mod writer;

pub use config::Config;
pub use error::Error;
pub use store::Store;
