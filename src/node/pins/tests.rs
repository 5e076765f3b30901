//! Keeping, over the real block store and a fake of the graph store, on a clock that only moves when told.

mod cluster;
mod finding;
mod keeping;
mod quotas;
mod roots;
mod together;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, TryStreamExt, stream};
use rustdht_core::ports::{AddOptions, Root};

use super::*;
use crate::{NewAccount, Node, Principal};

/// Adds bytes to a gateway's block store.
async fn add(node: &Node, bytes: impl Into<Bytes>) -> Cid {
    let body = stream::iter([Ok(bytes.into())]).boxed();
    node.blobs().add(body, AddOptions::default()).await.unwrap().cid
}

/// Bytes that make a DAG of several blocks.
fn large(seed: u8, mebibytes: usize) -> Vec<u8> {
    (0..mebibytes).flat_map(|number| vec![seed.wrapping_add(number as u8); 1 << 20]).collect()
}

async fn account(node: &Node, name: &str) -> Principal {
    let account = node.create_account(NewAccount { name: name.into(), password: None }).await.unwrap();
    Principal::Account(account.key)
}

async fn roots(node: &Node) -> Vec<Root> {
    let mut roots: Vec<Root> = node.roots().roots().try_collect().await.unwrap();
    roots.sort_unstable();
    roots.dedup();
    roots
}

const fn recursive(cid: Cid) -> Root {
    Root { cid, recursive: true }
}

/// Waits until `done` holds.
async fn until<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    for _ in 0..1500 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen");
}

fn upload(cid: Cid, bytes: u64, keep: Keep) -> Upload {
    Upload { cid, bytes, name: String::new(), keep }
}
