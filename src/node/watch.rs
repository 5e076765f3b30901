//! Watching: the change feed, filtered, from any number that is still kept.

use std::{collections::VecDeque, sync::Arc};

use futures::{Stream, stream};
use rustdht_core::{Field, Soul, Space, ports::FeedRow};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{At, Error, Node, Principal, RenderOptions, WatchEvent, WatchFilter};

/// Feed rows read at a time when a watcher catches up.
const PAGE: u32 = 256;

impl WatchFilter {
    fn wants(&self, soul: &Soul) -> bool {
        match self {
            Self::Soul(wanted) => soul == wanted,
            Self::Prefix(prefix) => soul.starts_with(prefix.as_str()) && soul.space() != Space::Local,
        }
    }
}

struct Watcher {
    node: Node,
    filter: WatchFilter,
    live: Receiver<Arc<FeedRow>>,
    /// The last number whose changes were given out or passed over.
    seen: u64,
    /// Rows between `seen` and the live ones have to be read from the store.
    behind: bool,
    ready: VecDeque<(u64, Soul, Vec<Field>)>,
    reader: Principal,
}

impl Node {
    /// Changes of nodes from now on, or from after feed number `after`. A watcher that is slower than the writes is
    /// served from the store; it never holds a writer up. Nodes are rendered for `reader`.
    pub fn watch(
        &self,
        filter: WatchFilter,
        after: Option<u64>,
        reader: Principal,
    ) -> impl Stream<Item = Result<WatchEvent, Error>> + Send + 'static {
        let live = self.inner.feed.subscribe();
        let seen = after.unwrap_or_else(|| self.last_feed());
        let watcher = Watcher { node: self.clone(), filter, live, seen, behind: true, ready: VecDeque::new(), reader };
        stream::try_unfold(
            watcher,
            |mut watcher| async move { Ok(watcher.next().await?.map(|event| (event, watcher))) },
        )
    }
}

impl Watcher {
    async fn next(&mut self) -> Result<Option<WatchEvent>, Error> {
        loop {
            if let Some((feed, soul, fields)) = self.ready.pop_front() {
                let options = RenderOptions { reader: self.reader, ..RenderOptions::default() };
                let node = self.node.get(&soul, At::Local, options).await?;
                let more = self.ready.front().is_some_and(|(next, ..)| *next == feed);
                return Ok(Some(WatchEvent::Changed { feed, soul, fields, node, more }));
            }
            if self.behind {
                if let Some(lost) = self.catch_up().await? {
                    return Ok(Some(lost));
                }
                continue;
            }
            tokio::select! {
                row = self.live.recv() => match row {
                    Ok(row) => self.take(&row),
                    Err(RecvError::Lagged(_)) => self.behind = true,
                    Err(RecvError::Closed) => return Ok(None),
                },
                () = self.node.inner.stopping.cancelled() => return Ok(None),
            }
        }
    }

    fn take(&mut self, row: &FeedRow) {
        if row.number <= self.seen {
            return;
        }
        self.seen = row.number;
        for change in row.changes.iter().filter(|change| self.filter.wants(&change.soul)) {
            self.ready.push_back((row.number, change.soul.clone(), change.fields.clone()));
        }
    }

    async fn catch_up(&mut self) -> Result<Option<WatchEvent>, Error> {
        let last = self.node.store().last_feed().await?;
        if self.seen > last {
            // The number is of another folder, or of a backup that was replaced.
            self.seen = last;
            return Ok(Some(WatchEvent::Lost { oldest: last + 1 }));
        }
        let page = self.node.store().feed(self.seen, PAGE).await?;
        if page.oldest > self.seen + 1 {
            self.seen = page.oldest - 1;
            return Ok(Some(WatchEvent::Lost { oldest: page.oldest }));
        }
        self.behind = !page.rows.is_empty();
        for row in &page.rows {
            self.take(row);
        }
        Ok(None)
    }
}
