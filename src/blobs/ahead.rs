//! Loading before it is due: several loads at once, their results taken in any order.

use std::{collections::HashMap, future::Future};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use rustdht_core::ports::BlobError;

type Loaded<T> = (u64, Result<T, BlobError>);

/// Loads under way and done. Dropping it ends them.
pub(crate) struct Ahead<T> {
    loading: FuturesUnordered<BoxFuture<'static, Loaded<T>>>,
    loaded: HashMap<u64, Result<T, BlobError>>,
    last: u64,
}

impl<T: Send + 'static> Ahead<T> {
    pub(crate) fn new() -> Self {
        Self { loading: FuturesUnordered::new(), loaded: HashMap::new(), last: 0 }
    }

    /// Loads that are under way, or done and not taken.
    pub(crate) fn held(&self) -> usize {
        self.loading.len() + self.loaded.len()
    }

    /// Starts a load. It makes progress while another one is waited for.
    pub(crate) fn start(&mut self, load: impl Future<Output = Result<T, BlobError>> + Send + 'static) -> u64 {
        self.last += 1;
        let number = self.last;
        self.loading.push(Box::pin(async move { (number, load.await) }));
        number
    }

    /// The result of the load that `start` gave this number.
    pub(crate) async fn take(&mut self, number: u64) -> Result<T, BlobError> {
        loop {
            if let Some(result) = self.loaded.remove(&number) {
                return result;
            }
            match self.loading.next().await {
                Some((number, result)) => self.loaded.insert(number, result),
                None => return Err(std::io::Error::other("a block was not asked for").into()),
            };
        }
    }
}
