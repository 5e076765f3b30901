//! The change feed.

use futures::StreamExt;

use super::{Bench, text};
use crate::{Principal, WatchEvent, WatchFilter};

#[tokio::test]
async fn watchers_see_each_change_once_and_resume() {
    let bench = Bench::new(1).await;
    bench.patch("a/1", &[("x", text("before"))]).await;
    let mut watch = Box::pin(bench.node.watch(WatchFilter::Prefix("a/".into()), None, Principal::Anonymous));
    bench.patch("b", &[("x", text("other"))]).await;
    bench.patch("a/2", &[("x", text("seen"))]).await;
    let Some(Ok(WatchEvent::Changed { feed, soul, node, .. })) = watch.next().await else { panic!("no event") };
    assert_eq!(soul.as_str(), "a/2");
    assert!(node.is_some());
    bench.patch("a/1", &[("x", text("later"))]).await;
    let mut resumed = Box::pin(bench.node.watch(WatchFilter::Prefix("a/".into()), Some(feed), Principal::Anonymous));
    for watch in [&mut watch, &mut resumed] {
        let Some(Ok(WatchEvent::Changed { soul, fields, .. })) = watch.next().await else { panic!("no event") };
        assert_eq!((soul.as_str(), fields[0].as_str()), ("a/1", "x"));
    }
    bench.node.stop();
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_number_that_was_never_given_out_is_lost_not_awaited() {
    let bench = Bench::new(1).await;
    bench.patch("a", &[("x", text("one"))]).await;
    let mut watch =
        Box::pin(bench.node.watch(WatchFilter::Prefix(String::new()), Some(u64::MAX), Principal::Anonymous));
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Lost { oldest: 2 }))));
    bench.patch("a", &[("x", text("two"))]).await;
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Changed { .. }))));
}
