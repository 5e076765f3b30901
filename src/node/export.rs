//! Export: every node that has data, one line each, sorted by the bytes of its soul. Equal states give equal bytes.

use bytes::Bytes;
use futures::{Stream, stream};
use rustdht_core::Space;

use crate::{Error, Node};

/// Souls of one page.
const PAGE: u32 = 256;

impl Node {
    /// The lines of an export, many to a chunk. Local souls stay here.
    pub fn export(&self, prefix: String) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        let node = self.clone();
        stream::try_unfold((node, prefix, Some(None::<String>)), |(node, prefix, after)| async move {
            let Some(mut after) = after else { return Ok(None) };
            loop {
                let souls = node.store().souls(&prefix, after.as_deref(), PAGE).await?;
                let Some(last) = souls.last() else { return Ok(None) };
                after = Some(last.to_string());
                let shared: Vec<_> = souls.into_iter().filter(|soul| soul.space() != Space::Local).collect();
                let mut lines = String::new();
                for state in node.states(&shared).await? {
                    rustdht_graph::render::write_export_line(&mut lines, &state);
                }
                if !lines.is_empty() {
                    return Ok(Some((Bytes::from(lines), (node, prefix, Some(after)))));
                }
            }
        })
    }
}
