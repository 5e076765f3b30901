//! Private rows, page by page.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use rustdht_core::ports::{GraphStore, StoreError};

/// Rows read at a time.
const PAGE: u32 = 2048;

/// Keys and values.
pub(crate) type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// All rows of a namespace, ascending by key. Rows that were given out may be removed before the next are asked for.
pub(crate) fn pages(store: Arc<dyn GraphStore>, ns: &'static str) -> BoxStream<'static, Result<Rows, StoreError>> {
    stream::try_unfold(None, move |after: Option<Vec<u8>>| {
        let store = Arc::clone(&store);
        async move {
            let rows = store.side_page(ns, &[], after.as_deref(), PAGE).await?;
            let last = rows.last().map(|(key, _)| key.clone());
            Ok(last.map(|last| (rows, Some(last))))
        }
    })
    .boxed()
}
