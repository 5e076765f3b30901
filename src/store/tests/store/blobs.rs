//! References to blobs, and private rows in pages.

use std::sync::Arc;

use rustdht_core::ports::{Batch, BlobReference, GraphStore, SideRow};
use rustdht_core::{Body, Salt, Value};
use rustdht_store::Store;

use crate::sample::{batch, entry_id, open, record};

const RAW: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
const INLINE: &str = "bafkqabtimvwgy3yk";

/// Every reference, in pages of `rows` entries.
async fn references(store: &Store, rows: u32) -> Vec<BlobReference> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = store.blob_references(after, rows).await.unwrap();
        found.extend(page.references);
        match page.next {
            Some(next) => after = next,
            None => return found,
        }
    }
}

#[tokio::test]
async fn blobs_and_ciphertext_are_found_and_nothing_that_looks_like_them() {
    let (_folder, store) = open().await;
    let tagged = Value::Blob(RAW.parse().unwrap()).to_cbor();
    let values = [
        Value::Blob(RAW.parse().unwrap()),
        Value::from(7),
        // The bytes of a reference, and of what stands around ciphertext, within other values.
        Value::Bytes(tagged.into()),
        Value::Bytes(vec![0xa1, 0x63, b'e', b'n', b'c'].into()),
        Value::Enc(vec![1, 2, 3].into()),
        Value::Blob(INLINE.parse().unwrap()),
    ];
    for (number, value) in values.iter().enumerate() {
        let mut batch = batch(number as u64, 2);
        for (put, live) in batch.puts.iter_mut().zip([true, false]) {
            let entry = Arc::make_mut(&mut put.entry);
            entry.body = Body::Live { value: value.clone(), salt: Some(Salt([0; 16])) };
            if !live {
                entry.body = entry.body.dropped();
            }
        }
        store.apply(batch).await.unwrap();
    }
    let soul = crate::sample::soul(4);
    let wanted = [
        BlobReference::Blob(RAW.parse().unwrap()),
        BlobReference::Sealed(soul),
        BlobReference::Blob(INLINE.parse().unwrap()),
    ];
    for rows in [1, 3, 1000] {
        assert_eq!(references(&store, rows).await, wanted, "{rows}");
    }
    // A gap in the numbers, and one at the end.
    let drops = (1..4).map(|number| (entry_id(number, 0), record(number, 0))).collect();
    store.apply(Batch { drops, ..Batch::default() }).await.unwrap();
    store.apply(Batch { drops: vec![(entry_id(5, 0), record(5, 0))], ..Batch::default() }).await.unwrap();
    for rows in [1, 1000] {
        assert_eq!(references(&store, rows).await, wanted[..2], "{rows}");
    }
}

#[tokio::test]
async fn private_rows_are_paged_within_their_prefix() {
    let (_folder, store) = open().await;
    let row = |ns, key: &[u8]| SideRow { ns, key: key.to_vec(), value: Some(vec![9]), insert_only: false };
    let keys: [&[u8]; 7] = [&[0, 5], &[1], &[1, 0], &[1, 0xff], &[1, 0xff, 0xff], &[2], &[0xff, 1]];
    let side = keys.iter().map(|key| row("a", key)).chain([row("b", &[1, 1])]).collect();
    store.apply(Batch { side, ..Batch::default() }).await.unwrap();
    let page = async |prefix: &'static [u8], after: Option<&'static [u8]>, limit| -> Vec<Vec<u8>> {
        let rows = store.side_page("a", prefix, after, limit).await.unwrap();
        rows.into_iter().map(|(key, value)| if value == [9] { key } else { vec![] }).collect()
    };
    assert_eq!(page(&[], None, 10).await, keys);
    assert_eq!(page(&[1], None, 10).await, keys[1..5]);
    assert_eq!(page(&[1], None, 2).await, keys[1..3]);
    assert_eq!(page(&[1], Some(&[1, 0]), 10).await, keys[3..5]);
    assert_eq!(page(&[1], Some(&[0]), 10).await, keys[1..5], "behind something before the prefix");
    assert_eq!(page(&[1], Some(&[2]), 10).await, [[0_u8; 0]; 0], "behind the prefix");
    assert_eq!(page(&[0xff], Some(&[0xff]), 10).await, keys[6..]);
    for (from, to, count) in
        [(&[1][..], &[2][..], 4), (&[1, 0], &[1, 0xff, 0xff], 2), (&[0], &[0xff, 2], 7), (&[2], &[1], 0)]
    {
        assert_eq!(store.side_count("a", from, to).await.unwrap(), count, "{from:?} {to:?}");
    }
}
